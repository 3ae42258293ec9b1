"""From the bytes of CSV logs to frames of numbers: only what was appended, many files in one call of the parser.

A file whose writer may still be at work, or was killed, is normal here: a last line without its newline is left for
the next read, a broken line is named and left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from runslot.results.files import open_regular
from runslot.results.problems import Problem

BATCH = 8 << 20
"""Bytes of text that are parsed in one call: enough to keep the parser's threads busy, and so little that the memory
is used again for the next ones (the C library gives larger blocks back each time)."""
_TAIL = 64
RESERVED = ("run", "row")
"""Columns that `Results.progress` adds; a metric of such a name gets a number after it."""


@dataclass(frozen=True)
class Cursor:
    """How far a file was read, and what stood there, so that a rewritten file is not mistaken for a grown one."""

    offset: int
    start: int
    """Bytes before the first row: the header line, and comment lines before it."""
    head: str
    """Those bytes, hexadecimal."""
    tail: str
    """Up to 64 bytes before `offset`, hexadecimal."""
    lines: int
    """Lines before `offset`, for messages."""


@dataclass(frozen=True)
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


def read_new(path: str, cursor: Cursor | None) -> Text | None:
    """Return the lines that are new since `cursor`, or the whole file where it was rewritten; None without a header.

    Raises `OSError` where the file cannot be read.
    """
    with io.FileIO(open_regular(path)) as file:
        restarted = cursor is not None and not _continues(file, cursor)
        known = None if restarted else cursor
        file.seek(known.offset if known else 0)
        data = file.readall()
    end = data.rfind(b"\n") + 1
    start = 0 if known else _header_end(data, end)
    if known is None and start == 0:
        return None
    head = bytes.fromhex(known.head) if known else data[:start]
    rows = data.count(b"\n", start, end)
    tail = data[max(end - _TAIL, 0) : end].hex() if known is None or end else known.tail
    after = Cursor(
        offset=(known.offset if known else 0) + end,
        start=len(head),
        head=head.hex(),
        tail=tail,
        lines=(known.lines if known else head.count(b"\n")) + rows,
    )
    return Text(path, _columns(head), memoryview(data)[start:end], rows, after, restarted)


def _continues(file: io.FileIO, cursor: Cursor) -> bool:
    tail = bytes.fromhex(cursor.tail)
    if file.read(cursor.start).hex() != cursor.head:
        return False
    file.seek(cursor.offset - len(tail))
    return file.read(len(tail)) == tail


def _header_end(data: bytes, end: int) -> int:
    """Return where the rows start: after comment and blank lines (Monitor's first line is one) and the header."""
    position = 0
    while position < end:
        stop = data.index(b"\n", position) + 1
        line = data[position:stop].strip()
        position = stop
        if line and not line.startswith(b"#"):
            return position
    return 0


def _columns(head: bytes) -> tuple[str, ...]:
    line = head.rstrip(b"\r\n").rpartition(b"\n")[2].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    columns: list[str] = []
    taken = set(RESERVED)
    for cell in next(csv.reader([line])):
        plain = cell.strip() or "unnamed"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        columns.append(name)
    return tuple(columns)


@dataclass(frozen=True)
class Parsed:
    """Rows of some texts, one after the other in one frame: Float64 columns, and String ones where no number is."""

    frame: pl.DataFrame
    texts: tuple[Text, ...]
    heights: tuple[int, ...]
    """Rows of each text in `frame`."""


def parse(texts: Iterable[Text], problems: list[Problem]) -> Iterator[Parsed]:
    """Parse texts in batches of equal columns; lines that cannot be read are named in `problems`."""
    waiting: dict[tuple[str, ...], list[Text]] = {}
    size = 0
    for text in texts:
        if not text.rows:
            continue
        waiting.setdefault(text.columns, []).append(text)
        size += len(text.body)
        if size >= BATCH:
            while waiting:
                yield _parse_batch(waiting.pop(next(iter(waiting))), problems)
            size = 0
    for batch in waiting.values():
        yield _parse_batch(batch, problems)


def _parse_batch(texts: Sequence[Text], problems: list[Problem]) -> Parsed:
    frame = _fast(b"".join(text.body for text in texts), texts[0].columns, sum(text.rows for text in texts))
    if frame is not None:
        return Parsed(frame, tuple(texts), tuple(text.rows for text in texts))
    frames = []
    for text in texts:
        alone = _fast(bytes(text.body), text.columns, text.rows) if len(texts) > 1 else None
        frames.append(_slow(text, problems) if alone is None else alone)
    return Parsed(stack(frames), tuple(texts), tuple(frame.height for frame in frames))


def _fast(body: bytes, columns: tuple[str, ...], rows: int) -> pl.DataFrame | None:
    """Return the rows, or None where a line does not have a cell for each column, or a cell is not what it should be.

    polars itself is lenient about short and blank lines; a torn line must not become a row with a cut number.
    """
    if b'"' in body or body[:1] in b"\r\n":
        return None
    first = body[: body.index(b"\n")].decode("utf-8", "replace").split(",")
    if len(first) != len(columns):
        return None
    schema = {name: pl.Float64 if _is_number(cell) else pl.String for name, cell in zip(columns, first, strict=True)}
    try:
        frame = pl.read_csv(body, has_header=False, schema=schema, quote_char=None)
    except pl.exceptions.PolarsError:
        return None
    # A line that is too short has no last cell, so that only then the cells need to be counted.
    short = frame.height != rows or frame[columns[-1]].null_count() > 0
    if short and (body.count(b",") != rows * (len(columns) - 1) or frame.height != rows or b"\n\n" in body):
        return None
    return _settled(frame)


def _is_number(cell: str) -> bool:
    return not cell.strip() or (_number(cell) is not None and cell.strip() not in {"True", "False"})


def _number(cell: str) -> float | None:
    try:
        return float(cell) if "_" not in cell else None  # Python reads 1_000 as a number; nobody else does
    except ValueError:
        return {"True": 1.0, "False": 0.0}.get(cell.strip())


def _settled(frame: pl.DataFrame) -> pl.DataFrame | None:
    """Return the frame with columns that hold only True and False as 1 and 0; None where text and numbers are mixed."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    logical = [name for name in texts if frame[name].drop_nulls().is_in(["True", "False"]).all()]
    others = frame.select(pl.col(list(set(texts) - set(logical))).cast(pl.Float64, strict=False).is_not_null().any())
    if any(others.row(0) if others.width else ()):
        return None
    return frame.with_columns((pl.col(logical) == "True").cast(pl.Float64)) if logical else frame


def _slow(text: Text, problems: list[Problem]) -> pl.DataFrame:
    """Read one file's lines one by one, and say which cannot be read."""
    # Some file systems leave zero bytes after a crash, which csv refuses before Python 3.11.
    lines = str(text.body, "utf-8", "replace").replace("\0", "\ufffd")
    reader = csv.reader(io.StringIO(lines, newline=""))
    before = text.cursor.lines - text.rows
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row or [cell.strip() for cell in row] == list(text.columns):
                continue  # a blank line, or the header again after a restart
            if len(row) == len(text.columns):
                rows.append(row)
            else:
                cells = f"{len(row)} cells for {len(text.columns)} columns"
                problems.append(Problem(text.path, f"line {before + reader.line_num} has {cells}; it is left out"))
    except csv.Error as error:
        problems.append(Problem(text.path, f"line {before + reader.line_num}: {error}; the rest is left out"))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(text.columns)
    return pl.DataFrame(
        [_series(name, cells, text, problems) for name, cells in zip(text.columns, columns, strict=True)]
    )


def _series(name: str, cells: tuple[str, ...], text: Text, problems: list[Problem]) -> pl.Series:
    numbers = [_number(cell) for cell in cells]
    wrong = [cell for cell, number in zip(cells, numbers, strict=True) if number is None and cell.strip()]
    if wrong and all(number is None for number in numbers):
        return pl.Series(name, cells, dtype=pl.String)
    if wrong:
        many = f"{len(wrong)} cells of {name!r} are not numbers, the first is {wrong[0][:40]!r}"
        problems.append(Problem(text.path, f"{many}; they are left out"))
    return pl.Series(name, numbers, dtype=pl.Float64)


def stack(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put frames one below the other without copying; a column that is numbers in one of them is numbers in all."""
    if len(frames) == 1:
        return frames[0]
    numbers = {name for frame in frames for name, kind in frame.schema.items() if kind == pl.Float64}
    texts = {name for frame in frames for name, kind in frame.schema.items() if kind == pl.String}
    if mixed := numbers & texts:
        frames = [frame.cast(dict.fromkeys(mixed & set(frame.columns), pl.Float64), strict=False) for frame in frames]
    same = all(frame.columns == frames[0].columns for frame in frames)
    return pl.concat(frames, how="vertical" if same else "diagonal", rechunk=False)
