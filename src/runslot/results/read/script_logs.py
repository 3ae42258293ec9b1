"""Metrics of scripts that know nothing of runslot: which file in a run directory of ours holds
them, and its rows.

`finding` asks `script_logs` for a run without a log that it knows; `reader` then asks
`read_script_log`. What is read stands where the script put it: nothing is copied, and the run pays
nothing. In this order: what the user named (`--metrics FILE`), W&B's own file, `trainer_state.json`
of Hugging Face's Trainer, what the run printed.
"""

from __future__ import annotations

import functools
import json
import os
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from runslot.errors import RunslotError
from runslot.experiment.metrics import AUTO, NONE, is_file, is_pattern, metric_pattern
from runslot.experiment.rundir import RunDir
from runslot.results.formats.csv_dialect import frame_of
from runslot.results.formats.files import open_regular
from runslot.results.problems import Problem, Unread
from runslot.results.read.layouts import CONSOLE, TRAINER, WANDB_SUFFIX, natural
from runslot.variants.variant import flatten

_RUNS_KEPT = 1 << 14
"""What their `run.json` says: a page that looks again and again reads it once."""
_CONSOLE_LIMIT_BYTES = 16 << 20
"""Of the end of a console that are read: half a million lines, some five seconds."""

_PLACES = (
    f"wandb/*run-*/*{WANDB_SUFFIX}",
    f"*/wandb/*run-*/*{WANDB_SUFFIX}",
    f"*/{TRAINER}",
    f"*/*/{TRAINER}",
    TRAINER,
)


def script_logs(run: str, names: Collection[str], directories: Collection[str]) -> tuple[str, ...]:
    """Return the file, relative to `run`, that holds the metrics of a run; `names` are its
    files."""
    metrics, _ = _asked_of(run)
    if metrics == NONE:
        return ()
    if is_file(metrics):
        return _newest(run, (metrics,))
    anywhere = directories or TRAINER in names
    newest = _newest(run, _PLACES) if anywhere and not is_pattern(metrics) else ()
    return newest or ((CONSOLE,) if CONSOLE in names else ())


def _newest(run: str, places: Sequence[str]) -> tuple[str, ...]:
    home = Path(run).resolve()
    for place in places:
        # A link may lead out of the run's directory, whose files alone are its own.
        files = [
            file
            for file in Path(run).glob(place)
            if file.is_file() and file.resolve().is_relative_to(home)
        ]
        if files:
            last = max(files, key=lambda file: natural(str(file)))
            return (last.relative_to(run).as_posix(),)
    return ()


def read_script_log(
    run: str, log: str, problems: list[Problem], unread: list[Unread]
) -> pl.DataFrame | None:
    """Return the rows of a console, of W&B's file or of a Trainer's state; a problem, and None,
    where it is broken."""
    path = f"{run}/{log}"
    try:
        if log.endswith(WANDB_SUFFIX):
            from runslot.results.read.script_logs import (
                read_history,
            )  # few runs have such a file

            rows = read_history(path)
        elif log.endswith(TRAINER):
            rows = _trainer_rows(Path(path).read_text(encoding="utf-8"))
        else:
            rows = _console_rows(run, path, unread)
    except OSError as error:
        problems.append(Problem(path, f"cannot be read ({error.strerror})"))
        return None
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        problems.append(Problem(path, f"cannot be read ({error})"))
        return None
    return frame_of(rows) if rows else None


def _console_rows(run: str, path: str, unread: list[Unread]) -> list[dict[str, float]]:
    with os.fdopen(open_regular(path), "rb") as file:
        before = max(0, file.seek(0, 2) - _CONSOLE_LIMIT_BYTES)
        file.seek(before)
        text = file.read().decode("utf-8", "replace")
    if before:
        unread.append(
            Unread(
                path,
                f"its last {_CONSOLE_LIMIT_BYTES >> 20} MB alone are looked through for metrics",
            )
        )
    if not text:
        return []
    from runslot.results.formats.printed_rows import printed_rows  # its patterns take milliseconds

    metrics, variant = _asked_of(run)
    return printed_rows(text, metric_pattern(metrics) if is_pattern(metrics) else None, variant)


def _asked_of(run: str) -> tuple[str, Mapping[str, object]]:
    """Return what the user said of a run's metrics (`auto` where nothing), and its variant."""
    try:
        status = os.stat(RunDir(run).run_file)  # noqa: PTH116
    except OSError:
        return AUTO, {}
    return _asked_then(run, (status.st_ino, status.st_mtime_ns))


@functools.lru_cache(maxsize=_RUNS_KEPT)
def _asked_then(run: str, _version: tuple[int, int]) -> tuple[str, Mapping[str, object]]:
    try:
        file = RunDir(run).read_run()
        variant = flatten(file.run.variant)
    except (RunslotError, OSError):
        return AUTO, {}
    return file.logger.metrics or AUTO, variant


def _trainer_rows(text: str) -> list[dict[str, float]]:
    """Return a Trainer's `log_history`; training and evaluation of one step are one row."""
    rows: dict[float, dict[str, float]] = {}
    for entry in json.loads(text)["log_history"]:
        numbers = {
            str(name): float(value)
            for name, value in entry.items()
            if isinstance(value, (int, float))
        }
        if "step" in numbers:
            rows.setdefault(numbers["step"], {}).update(numbers)
    return list(rows.values())


_MAGIC = b":W&B"
_HEADER_BYTES = 7
_BLOCK_BYTES = 1 << 15
_RECORD_HEAD = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# Numbers of fields in wandb_internal.proto.
_HISTORY, _ITEM, _STEP = 2, 1, 2
_KEY, _NESTED_KEY, _BOOLEAN, _INTEGER, _NUMBER, _VALUE_JSON = 1, 2, 4, 5, 6, 16
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5

Field = tuple[int, bytes | int]
"""Number and content of one field of a message."""


def read_history(path: str) -> list[dict[str, float]]:
    """Return the rows that were logged, with `step`; `ValueError` where the file is none of
    W&B's."""
    data = Path(path).read_bytes()
    if not data.startswith(_MAGIC):
        raise ValueError("is no file of W&B's")
    rows = []
    for record in _records(data):
        try:
            rows += [_row(content) for number, content in _fields(record) if number == _HISTORY]
        except (ValueError, OverflowError, IndexError, struct.error):
            continue  # half a record, or one of a later version
    return [row for row in rows if len(row) > 1]


def _records(data: bytes) -> Iterator[bytes]:
    position, parts = _HEADER_BYTES, b""
    while position + _RECORD_HEAD.size <= len(data):
        room = _BLOCK_BYTES - position % _BLOCK_BYTES
        if room < _RECORD_HEAD.size:  # too little for a head: padding
            position += room
            continue
        _, length, kind = _RECORD_HEAD.unpack_from(data, position)
        position += _RECORD_HEAD.size
        part = data[position : position + length]
        position += length
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or len(part) < length:
            return
        parts = part if kind in (_FULL, _FIRST) else parts + part
        if kind in (_FULL, _LAST):
            yield parts


def _row(history: bytes | int) -> dict[str, float]:
    if not isinstance(history, bytes):
        raise ValueError("a history is no number")  # noqa: TRY004  (of a later version of the format)
    row: dict[str, float] = {}
    for number, content in _fields(history):
        if number == _STEP and isinstance(content, bytes):
            row["step"] = float(
                next((value for _, value in _fields(content) if isinstance(value, int)), 0)
            )
        elif number == _ITEM and isinstance(content, bytes):
            _add_item(row, content)
    return row


def _add_item(row: dict[str, float], item: bytes) -> None:
    names: list[str] = []
    value: float | None = None
    for number, content in _fields(item):
        if number in (_KEY, _NESTED_KEY) and isinstance(content, bytes):
            names.append(content.decode("utf-8", "replace"))
        elif number in (_BOOLEAN, _INTEGER) and isinstance(content, int):
            value = float(content - (1 << 64) if content >> 63 else content)
        elif number == _NUMBER and isinstance(content, bytes):
            value = float(struct.unpack("<d", content)[0])
        elif number == _VALUE_JSON and isinstance(content, bytes):
            _add_json(row, "/".join(names), json.loads(content))
    name = "/".join(names)
    if value is not None and not name.startswith("_"):  # _runtime, _timestamp, _step are W&B's
        row[name] = value


def _add_json(row: dict[str, float], name: str, value: object) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _add_json(row, f"{name}/{key}", inner)
    elif isinstance(value, (int, float)) and not name.startswith("_"):
        row[name] = float(value)
    elif value in ("NaN", "Infinity", "-Infinity") and not name.startswith("_"):
        row[name] = float(str(value))


def _fields(message: bytes) -> Iterator[Field]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        content: bytes | int
        if kind == _VARINT:
            content, position = _varint(message, position)
        else:
            if kind == _BYTES:
                length, position = _varint(message, position)
            elif kind in (_DOUBLE, _FLOAT):
                length = 8 if kind == _DOUBLE else 4
            else:
                raise ValueError(f"kind {kind} of a field is not known")
            content, position = message[position : position + length], position + length
        yield tag >> 3, content


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
