"""The ends of files that grow: the last lines of a console, the last row of `progress.csv`, without
reading it all.

The live table asks four times a second and run: a file is read again only when it has changed.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runslot.experiment.files import open_regular
from runslot.experiment.rundir import RunDir
from runslot.terminal_text import plain

_BLOCK = 16384


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a text file that are not empty, without what would move a terminal's
    cursor.
    """
    try:
        text = _tail(path, _BLOCK).decode(errors="replace")
    except OSError:
        return []
    # A progress bar writes over its line with \r: what stood there last is what counts.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return [clean for line in lines if (clean := plain(line).replace("\t", "    ").rstrip())][
        -count:
    ]


@dataclass
class Tail:
    """The last row of a CSV file that grows, read again only when the file has changed."""

    path: Path
    _read_version: _Version | None = None
    _row: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> Mapping[str, str]:
        """Return the last whole row by column; empty while there is none."""
        try:
            version = _version(self.path)
            if version != self._read_version:
                self._row = _last_row(self.path)
                self._read_version = version
        except (OSError, csv.Error):
            return {}
        return self._row


@dataclass
class RunTail:
    """What a run showed last: the row that it logged, else the line that it printed."""

    progress: Tail
    console: Path
    _read_version: _Version | None = None
    _line: str = ""

    @classmethod
    def of(cls, run_dir: RunDir) -> RunTail:
        """Return the tail of a run's own files."""
        return cls(Tail(run_dir.progress), run_dir.console)

    def row_or_line(self) -> Mapping[str, str] | str:
        """Return the last row, or where it has logged none the last line; either is empty while
        there is none.
        """
        row = self.progress.row()
        return row or self._last_line()

    def _last_line(self) -> str:
        try:
            version = _version(self.console)
        except OSError:
            return ""
        if version != self._read_version:
            self._line = "".join(last_lines(self.console, 1))
            self._read_version = version
        return self._line


_Version = tuple[int, int, int]


def _version(path: Path) -> _Version:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _last_row(path: Path) -> Mapping[str, str]:
    with os.fdopen(open_regular(path), "rb") as file:
        header = file.readline(1 << 20)
        start = file.tell()
    data = _tail(path, _BLOCK, start)
    lines = data.decode(errors="replace").split("\n")[
        :-1
    ]  # what follows the last newline is still being written
    if not header.endswith(b"\n") or not lines:
        return {}
    columns = next(csv.reader([header.decode(errors="replace")]))
    cells = next(csv.reader([lines[-1]]), [])
    return dict(zip(columns, cells, strict=False)) if len(cells) == len(columns) else {}


def _tail(path: Path, size: int, start: int = 0) -> bytes:
    with os.fdopen(open_regular(path), "rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - size))
        return file.read()
