"""Logs of one JSON object a line (Dreamer's, Ray's `result.json`, Baselines' `progress.json`): what
was appended."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from runslot.record import record
from runslot.results.formats.csv_dialect import frame_of
from runslot.results.formats.csv_text import Cursor, continues
from runslot.results.formats.files import open_regular
from runslot.results.problems import Problem

_TAIL_BYTES = 64
_NOT_LOGGED = {"config"}
"""Ray repeats all parameters in every line."""


@record
class Lines:
    """The new rows of one file."""

    frame: pl.DataFrame
    cursor: Cursor
    restarted: bool
    """The file is not the one that was read before: forget its rows."""


def read_new(path: str, cursor: Cursor | None, problems: list[Problem]) -> Lines:
    """Return the rows that are new since `cursor`, or all where the file was rewritten; `OSError`
    where it cannot be.

    A last line without a newline counts where it is a whole object, which cannot grow.
    """
    with io.FileIO(open_regular(path)) as file:
        restarted = cursor is not None and not continues(file, cursor)
        before = None if restarted else cursor
        offset = before.offset if before else 0
        file.seek(offset)
        data = file.readall()
    end = data.rfind(b"\n") + 1
    if _object(data[end:]) is not None:
        end = len(data)
    lines = data[:end].split(b"\n")
    first = before.lines if before else 0
    rows: list[dict[str, float]] = []
    wrong: list[int] = []
    for number, line in enumerate(lines, first + 1):
        value = _object(line)
        if value is not None:
            rows.append(_numbers(value))
        elif line.strip(b"\0\r\t ") or line.strip():
            wrong.append(number)
    if wrong:
        place = (
            f"line {wrong[0]} is"
            if len(wrong) == 1
            else f"{len(wrong)} lines, the first line {wrong[0]}, are"
        )
        problems.append(Problem(path, f"{place} no JSON object; left out"))
    tail = data[max(end - _TAIL_BYTES, 0) : end].hex() if before is None or end else before.tail
    after = Cursor(offset + end, 0, "", tail, first + data.count(b"\n", 0, end))
    return Lines(frame_of(rows), after, restarted)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _numbers(value: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of one object under their keys, those of inner objects under
    `outer/inner`."""
    numbers: dict[str, float] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            if name not in _NOT_LOGGED:
                numbers |= _numbers(item, f"{name}/")
        elif isinstance(item, bool | int | float):
            numbers[name] = number_in(item)
    return numbers


def number_in(value: float) -> float:
    """Return a number of JSON as a float; of an integer beyond all floats, infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
