"""The ends of files that grow: the last lines of a console, the last row of `progress.csv`, without reading it all."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runslot.experiment.files import open_regular
from runslot.terminal_text import plain

_BLOCK = 16384


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a text file that are not empty, without what would move a terminal's cursor."""
    try:
        text = _tail(path, _BLOCK).decode(errors="replace")
    except OSError:
        return []
    # A progress bar writes over its line with \r: what stood there last is what counts.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return [clean for line in lines if (clean := plain(line).replace("\t", "    ").rstrip())][-count:]


@dataclass
class Tail:
    """The last row of a CSV file that grows, read again only when the file has changed."""

    path: Path
    _seen: tuple[int, int, int] | None = None
    _row: Mapping[str, str] = field(default_factory=dict)

    def row(self) -> Mapping[str, str]:
        """Return the last whole row by column; empty while there is none."""
        try:
            status = self.path.stat()
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen != self._seen:
                self._row = _last_row(self.path)
                self._seen = seen
        except (OSError, csv.Error):
            return {}
        return self._row


def _last_row(path: Path) -> Mapping[str, str]:
    with os.fdopen(open_regular(path), "rb") as file:
        header = file.readline(1 << 20)
        start = file.tell()
    data = _tail(path, _BLOCK, start)
    lines = data.decode(errors="replace").split("\n")[:-1]  # what follows the last newline is still being written
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
