"""From the bytes of CSV logs to frames of numbers: only what was appended, many files in one call
of the parser.

A file whose writer may still be at work, or was killed, is normal here: a last line without its
newline is left for the next read, a broken line is named and left out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from runslot.record import record
from runslot.results.formats.csv_dialect import (
    DECIMAL_COMMA,
    cells_of,
    columns_of,
    find_header,
    number_of,
    read_lines,
    stack,
)
from runslot.results.formats.files import first_line, open_regular
from runslot.results.problems import Problem

BATCH_BYTES = 8 << 20
"""Bytes of text that are parsed in one call: enough to keep the parser's threads busy, and so
little that the memory is used again for the next ones (the C library gives larger blocks back each
time)."""
_TAIL_BYTES = 64


@record
class Cursor:
    """How far a file was read, and what stood there, so that a rewritten file is not mistaken for a
    grown one."""

    offset: int
    start: int
    """Bytes before the first row: the header line, and comment lines before it."""
    head: str
    """Those bytes, hexadecimal."""
    tail: str
    """Up to 64 bytes before `offset`, hexadecimal."""
    lines: int
    """Lines before `offset`, for messages."""
    columns: tuple[str, ...] | None = None
    """Those of a header further down, which holds from there on; None: those of the first."""
    separator: str = ","


@record
class Text:
    """Whole new lines of one file."""

    path: str
    columns: tuple[str, ...]
    body: memoryview
    rows: int
    """Lines in `body`."""
    cursor: Cursor
    """After `body`."""
    restarted: bool
    """The file is not the one that was read before: forget its rows."""
    problem: str = ""
    """What is wrong with the rows before `body`."""


def read_new(path: str, cursor: Cursor | None) -> Text | None:
    """Return the lines that are new since `cursor`, or the whole file where it was rewritten; None
    while it is empty.

    Raises `OSError` where the file cannot be read, `NotATable` where it is none.
    """
    with io.FileIO(open_regular(path)) as file:
        restarted = cursor is not None and not continues(file, cursor)
        previous = None if restarted else cursor
        file.seek(previous.offset if previous else 0)
        data = file.readall()
    end = data.rfind(b"\n") + 1
    header = None if previous else find_header(data, end)
    if previous is None and header is None:
        return None
    start = header.end if header else 0
    head = bytes.fromhex(previous.head) if previous else data[:start]
    separator = previous.separator if previous else header.separator if header else ","
    rows = data.count(b"\n", start, end)
    tail = data[max(end - _TAIL_BYTES, 0) : end].hex() if previous is None or end else previous.tail
    after = Cursor(
        offset=(previous.offset if previous else 0) + end,
        start=len(head),
        head=head.hex(),
        tail=tail,
        lines=(previous.lines if previous else head.count(b"\n")) + rows,
        columns=previous.columns if previous else None,
        separator=separator,
    )
    columns = after.columns or columns_of(cells_of(_last_line(head), separator))
    return Text(
        path,
        columns,
        memoryview(data)[start:end],
        rows,
        after,
        restarted,
        header.problem if header else "",
    )


def _last_line(head: bytes) -> bytes:
    return head.rstrip(b"\r\n").rpartition(b"\n")[2].removeprefix(b"\xef\xbb\xbf")


def continues(file: io.FileIO, cursor: Cursor) -> bool:
    """Tell whether a file still begins as it did when it was read up to `cursor`."""
    tail = bytes.fromhex(cursor.tail)
    if file.read(cursor.start).hex() != cursor.head:
        return False
    file.seek(cursor.offset - len(tail))
    return file.read(len(tail)) == tail


@record
class Parsed:
    """Rows of some texts, one after the other in one frame: Float64 columns, and String ones where
    no number is."""

    frame: pl.DataFrame
    texts: tuple[Text, ...]
    heights: tuple[int, ...]
    """Rows of each text in `frame`."""
    columns: tuple[tuple[str, ...] | None, ...] = ()
    """Of each text that has a further header: the columns that hold after its end."""


def parse(texts: Iterable[Text], problems: list[Problem]) -> Iterator[Parsed]:
    """Parse texts in batches of equal columns; lines that cannot be read are named in
    `problems`."""
    waiting: dict[tuple[str, tuple[str, ...]], list[Text]] = {}
    size = 0
    for text in texts:
        if not text.rows:
            continue
        waiting.setdefault((text.cursor.separator, text.columns), []).append(text)
        size += len(text.body)
        if size >= BATCH_BYTES:
            while waiting:
                yield from _parse_batch(waiting.pop(next(iter(waiting))), problems)
            size = 0
    for batch in waiting.values():
        yield from _parse_batch(batch, problems)


def _parse_batch(texts: Sequence[Text], problems: list[Problem]) -> Iterator[Parsed]:
    frame = _fast(b"".join(text.body for text in texts), texts[0], sum(text.rows for text in texts))
    if frame is not None:
        yield Parsed(frame, tuple(texts), tuple(text.rows for text in texts))
        return
    frames: list[pl.DataFrame] = []
    columns: list[tuple[str, ...] | None] = []
    for text in texts:
        alone = _fast(bytes(text.body), text, text.rows) if len(texts) > 1 else None
        if alone is None:
            before = text.cursor.lines - text.rows
            table = read_lines(
                text.path, text.body, text.columns, text.cursor.separator, before, problems
            )
            alone, further = table.frame, table.columns
        else:
            further = None
        frames.append(alone)
        columns.append(further)
    numbers = {
        name for frame in frames for name, kind in frame.schema.items() if kind == pl.Float64
    }
    if any(
        kind == pl.String and name in numbers
        for frame in frames
        for name, kind in frame.schema.items()
    ):
        # in one frame the text would be lost
        for text, frame, further in zip(texts, frames, columns, strict=True):
            yield Parsed(frame, (text,), (frame.height,), (further,))
        return
    yield Parsed(
        stack(frames), tuple(texts), tuple(frame.height for frame in frames), tuple(columns)
    )


def _fast(body: bytes, text: Text, rows: int) -> pl.DataFrame | None:
    """Return the rows, or None where a line does not have a cell for each column, or a cell is not
    what it should be.

    polars itself is lenient about short and blank lines; a torn line must not become a row with a
    cut number.
    """
    columns, separator = text.columns, text.cursor.separator
    if b'"' in body or body[:1] in b"\r\n":
        return None
    first = body[: body.index(b"\n")].decode("utf-8", "replace").split(separator)
    if len(first) != len(columns):
        return None
    schema = {
        name: pl.Float64 if _is_number(cell) else pl.String
        for name, cell in zip(columns, first, strict=True)
    }
    try:
        frame = pl.read_csv(
            body, has_header=False, schema=schema, quote_char=None, separator=separator
        )
    except pl.exceptions.PolarsError:
        return None
    # A line that is too short has no last cell, so that only then the cells need to be counted.
    short = frame.height != rows or frame[columns[-1]].null_count() > 0
    if short and (
        body.count(separator.encode()) != rows * (len(columns) - 1)
        or frame.height != rows
        or b"\n\n" in body
    ):
        return None
    return _settled(frame)


def _is_number(cell: str) -> bool:
    return not cell.strip() or (
        number_of(cell) is not None and cell.strip() not in {"True", "False"}
    )


def _settled(frame: pl.DataFrame) -> pl.DataFrame | None:
    """Return the frame with columns that hold only True and False as 1 and 0; None where text and
    numbers are mixed."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    logical = [name for name in texts if frame[name].drop_nulls().is_in(["True", "False"]).all()]
    has_number = frame.select(
        pl.col(list(set(texts) - set(logical))).cast(pl.Float64, strict=False).is_not_null().any()
    )
    if any(has_number.row(0) if has_number.width else ()):
        return None
    if any(frame[name].str.contains(f"^{DECIMAL_COMMA}$").any() for name in texts):
        return None
    return frame.with_columns((pl.col(logical) == "True").cast(pl.Float64)) if logical else frame


_HEAD_BYTES = 1 << 14


def monitor_head(line: str) -> dict[str, Any]:
    """Return what the first line of a monitor says; nothing where it does not."""
    try:
        head = json.loads(line.removeprefix("\ufeff").lstrip("# "))
    except (ValueError, RecursionError):
        return {}
    return head if isinstance(head, dict) else {}


def monitor_task(file: str) -> dict[str, str]:
    """Return the environment of a monitor as a parameter."""
    task = monitor_head(first_line(file, _HEAD_BYTES)).get("env_id")
    return {"env_id": task} if isinstance(task, str) and task not in {"", "None"} else {}


def monitor_start(head: bytes) -> float | None:
    """Return when a monitor was started, from the bytes before its rows: `t` counts from there."""
    start = monitor_head(head.lstrip().partition(b"\n")[0].decode("utf-8", "replace")).get(
        "t_start"
    )
    return float(start) if isinstance(start, int | float) and not isinstance(start, bool) else None
