"""The parts of a CSV log that a quick parser takes for granted: its separator, its headers, its
broken lines.

`csv_text` reads what is as it should be; what is not comes here, line by line, and is put under the
right columns or named and left out, never under wrong ones.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from runslot.errors import RunslotError
from runslot.record import record
from runslot.results.problems import Problem

RESERVED = ("run", "row")
"""Columns that `Results.progress` adds; a metric of such a name gets a number after it."""
_SEPARATORS = (",", "\t", ";")
_OTHER_SEPARATORS = {"|": "by |", ":": "by colons", " ": "by spaces"}
DECIMAL_COMMA = r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*"
"""Numbers as they are written in much of Europe; among commas that separate, and among others, they
are refused."""
_PROBED_BYTES = 64
"""Bytes of which every other one is zero in UTF-16 text without a mark."""
_CARRIAGE_RETURNS = "has lines that end in a carriage return alone; write newlines"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class NotATable(RunslotError):
    """A file whose rows cannot be put under columns; the message says why."""


@record
class Header:
    """Where the rows of a file begin."""

    end: int
    """Of the header's line, in bytes."""
    separator: str
    problem: str = ""
    """What stood before it and cannot be read."""


def find_header(data: bytes, end: int) -> Header | None:
    """Return the first header in `data[:end]`, after comment and blank lines; None where there is
    no line yet.

    Raises `NotATable` where all lines are rows, or the columns cannot be told apart.
    """
    if data.startswith(_UTF_16) or data[:_PROBED_BYTES].count(0) > len(data[:_PROBED_BYTES]) // 3:
        raise NotATable("is UTF-16 text; write it as UTF-8")
    if not end and data.count(b"\r") > 1:
        raise NotATable(_CARRIAGE_RETURNS)
    lines = _lines(data, end)
    first = next(lines, None)
    if first is None:
        return None
    position, line = first
    second = next(_lines(data, end, position), None)
    separator = _separator(line, second[1] if second else b"")
    cells = cells_of(line, separator)
    if not _is_row(cells):
        return Header(position, separator)
    for rows, (position, line) in enumerate(lines, 1):  # a header that comes after all
        if all(cell.strip() and number_of(cell) is None for cell in cells_of(line, separator)):
            return Header(
                position, separator, f"has no header above its first {rows} rows; they are left out"
            )
    raise NotATable(
        "has no header: its first line holds only numbers, and nothing names the columns"
    )


def _lines(data: bytes, end: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is no comment (a monitor's first line is one) and not blank, with where
    it ends."""
    position = start
    while position < end:
        stop = data.index(b"\n", position) + 1
        line = data[position:stop].strip().removeprefix(b"\xef\xbb\xbf")
        position = stop
        if line and not line.startswith(b"#"):
            yield position, line


def _separator(header: bytes, row: bytes) -> str:
    """Return what separates the cells; where several signs stand in the header, what the row below
    it confirms."""
    if b"," in header and b"\t" not in header and b";" not in header:
        return ","
    counts = {separator: len(cells_of(header, separator)) for separator in _SEPARATORS}
    several = [separator for separator, count in counts.items() if count > 1]
    if not several:
        for sign, words in _OTHER_SEPARATORS.items():
            cells = [
                cell
                for cell in row.decode("utf-8", "replace").split(sign if sign != " " else None)
                if cell
            ]
            if (
                sign.encode() in header
                and len(cells) > 1
                and all(number_of(cell) is not None for cell in cells)
            ):
                raise NotATable(
                    f"has columns separated {words}; commas, tabs and semicolons are read"
                )
        return ","
    agreeing = [
        separator for separator in several if len(cells_of(row, separator)) == counts[separator]
    ]
    return (
        (agreeing or several)[0] if row else max(several, key=lambda separator: counts[separator])
    )


def cells_of(line: bytes, separator: str) -> list[str]:
    """Return the cells of one line. Raises `NotATable` where it cannot be taken apart."""
    text = line.decode("utf-8", "replace").replace("\0", "\ufffd")
    try:
        return next(csv.reader([text], delimiter=separator), [])
    except csv.Error as error:
        if "\r" in text:
            raise NotATable(_CARRIAGE_RETURNS) from error
        raise NotATable(f"cannot be read as a table ({error})") from error


def _is_row(cells: Sequence[str]) -> bool:
    """Tell whether a line holds numbers and nothing else."""
    numbers = [cell for cell in cells if cell.strip()]
    return bool(numbers) and all(number_of(cell) is not None for cell in numbers)


def columns_of(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a header's cells, each once."""
    columns: list[str] = []
    used_names = set(RESERVED)
    for cell in cells:
        plain = cell.strip() or "unnamed"
        name, number = plain, 1
        while name in used_names:
            number += 1
            name = f"{plain}_{number}"
        used_names.add(name)
        columns.append(name)
    return tuple(columns)


def frame_of(rows: Sequence[Mapping[str, float]]) -> pl.DataFrame:
    """Return rows that were read as dicts, with the columns in the order in which they come."""
    columns = dict.fromkeys(column for row in rows for column in row)
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.Float64))
    return frame.rename({column: f"{column}_2" for column in columns if column in RESERVED})


def number_of(cell: str) -> float | None:
    """Return the number in a cell, 1 and 0 for True and False; None where it holds none."""
    try:
        return (
            float(cell) if "_" not in cell else None
        )  # Python reads 1_000 as a number; nobody else does
    except ValueError:
        return {"True": 1.0, "False": 0.0}.get(cell.strip())


@record
class Table:
    """The rows of one text."""

    frame: pl.DataFrame
    columns: tuple[str, ...] | None
    """Those that hold after its end, where another header than the first named them."""


@dataclass
class _Section:
    """Rows below one header."""

    columns: tuple[str, ...]
    rows: list[list[str]] = field(default_factory=list)

    @property
    def has_numbers(self) -> bool:
        """Whether the newest row has any; rows of words alone are a table of texts."""
        return any(number_of(cell) is not None for row in self.rows[-1:] for cell in row)

    def names_anew(self, cells: Sequence[str], below: Sequence[str] | None) -> bool:
        """Tell whether a line is another header: words alone, some of them columns, or with numbers
        under them."""
        if not all(cell.strip() and number_of(cell) is None for cell in cells):
            return False
        if set(columns_of(cells)) & set(self.columns):
            return True
        fits = (
            below is not None
            and len(below) == len(cells)
            and any(number_of(cell) is not None for cell in below)
        )
        return (
            len(cells) > 1 and self.has_numbers and fits and not any(": " in cell for cell in cells)
        )


def read_lines(
    path: str,
    body: memoryview,
    columns: tuple[str, ...],
    separator: str,
    before: int,
    problems: list[Problem],
) -> Table:
    """Read lines one by one, and say which cannot be read; `before` counts the lines above them."""
    # Some file systems leave zero bytes after a crash, which csv refuses before Python 3.11.
    lines = str(body, "utf-8", "replace").replace("\0", "\ufffd")
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=separator)
    numbered: list[tuple[int, list[str]]] = []
    try:
        numbered += (
            (before + reader.line_num, row)
            for row in reader
            if any(cell.strip() for cell in row) or row[1:]
        )
    except csv.Error as error:
        problems.append(
            Problem(path, f"line {before + reader.line_num}: {error}; the rest is left out")
        )
    sections = [_Section(columns)]
    wrong: list[str] = []
    for i, (line, row) in enumerate(numbered):
        section = sections[-1]
        below = numbered[i + 1][1] if i + 1 < len(numbered) else None
        if row[0].startswith("#"):
            continue
        if section.names_anew(row, below):
            names = columns_of(row)
            if not any(set(names) & set(other.columns) for other in sections):
                problems.append(
                    Problem(
                        path,
                        f"line {line} names other columns, {', '.join(names[:3])}: read as such",
                    )
                )
            if names != section.columns:
                sections.append(_Section(names))
        elif len(row) != len(section.columns):
            wrong.append(f"line {line} has {len(row)} cells for {len(section.columns)} columns")
        elif section.has_numbers and all(cell.strip() and number_of(cell) is None for cell in row):
            wrong.append(f"line {line} holds no number, as the lines above it do")
        else:
            section.rows.append(row)
    if wrong:
        subject = "it is" if len(wrong) == 1 else f"it and {len(wrong) - 1} more such lines are"
        problems.append(Problem(path, f"{wrong[0]}; {subject} left out"))
    frames = [
        _frame(section, path, problems)
        for section in sections
        if section.rows or len(sections) == 1
    ]
    return Table(_below(frames, sections[-1]), sections[-1].columns if len(sections) > 1 else None)


def _below(frames: Sequence[pl.DataFrame], last: _Section) -> pl.DataFrame:
    if not frames:
        return pl.DataFrame(schema=dict.fromkeys(last.columns, pl.Float64))
    return frames[0] if len(frames) == 1 else stack(frames)


def _frame(section: _Section, path: str, problems: list[Problem]) -> pl.DataFrame:
    columns = list(zip(*section.rows, strict=True)) if section.rows else [()] * len(section.columns)
    return pl.DataFrame(
        [
            _series(name, cells, path, problems)
            for name, cells in zip(section.columns, columns, strict=True)
        ]
    )


def _series(name: str, cells: tuple[str, ...], path: str, problems: list[Problem]) -> pl.Series:
    numbers = [number_of(cell) for cell in cells]
    wrong = [
        cell for cell, number in zip(cells, numbers, strict=True) if number is None and cell.strip()
    ]
    decimal = [cell for cell in wrong if re.fullmatch(DECIMAL_COMMA, cell)]
    if decimal:
        many = f"{len(decimal)} numbers of {name!r} have a decimal comma, or one of thousands"
        first = f"the first is {decimal[0].strip()!r}"
        problems.append(Problem(path, f"{many}, {first}; write them without; they are left out"))
    elif wrong and all(number is None for number in numbers):
        return pl.Series(name, cells, dtype=pl.String)
    elif wrong:
        many = f"{len(wrong)} cells of {name!r} are not numbers, the first is {wrong[0][:40]!r}"
        problems.append(Problem(path, f"{many}; they are left out"))
    return pl.Series(name, numbers, dtype=pl.Float64)


def stack(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put frames one below the other without copying; a column that is numbers in one of them is
    numbers in all."""
    if len(frames) == 1:
        return frames[0]
    numbers = {
        name for frame in frames for name, kind in frame.schema.items() if kind == pl.Float64
    }
    texts = {name for frame in frames for name, kind in frame.schema.items() if kind == pl.String}
    if mixed := numbers & texts:
        frames = [
            frame.cast(dict.fromkeys(mixed & set(frame.columns), pl.Float64), strict=False)
            for frame in frames
        ]
    same = all(frame.columns == frames[0].columns for frame in frames)
    return pl.concat(frames, how="vertical" if same else "diagonal", rechunk=False)
