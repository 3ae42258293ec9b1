"""One CSV file of rows (`progress.csv`): one header, rows of any keys, readable after a kill at any
byte.

A row is one `write` to a file opened for appending. A new key rewrites the file once, by rename.
The process that writes holds a lock on the file, so that a second process of the run cannot mix its
rows in.
"""

from __future__ import annotations

import csv
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from runslot.errors import Busy
from runslot.experiment.current import where_now
from runslot.experiment.files import open_unless_led
from runslot.logger.cells import GAP, Plain, line, row_line

_BLOCK = 1 << 20
_HELD_BACK = 64 << 20
"""Bytes of rows kept in memory while the disk takes none."""


def complete_length(path: Path) -> tuple[int, int]:
    """Return how many bytes at the start of a CSV file are whole lines, and how many lines those
    are.

    What follows was torn by a kill. A newline inside quotes ends no line.
    """
    length = lines = offset = 0
    inside_quotes = 0
    with path.open("rb") as file:
        for text in file:
            offset += len(text)
            inside_quotes ^= text.count(b'"') & 1
            if not inside_quotes and text.endswith(b"\n"):
                length = offset
                lines += 1
    return length, lines


class ProgressFile:
    """A CSV file that grows by rows.

    Errors of the system (`OSError`) leave `write`; the row is then kept, and written before the
    next one. `Busy` where another process writes the file; that row is not kept.
    """

    def __init__(self, path: Path, *, fresh: bool = False, fsync: bool = False) -> None:
        """Open nothing yet. `fresh`: start the file anew at the first row instead of continuing
        it.
        """
        self.path = self._asked = path
        self.fsync = fsync
        self.rows = 0
        """Rows in the file."""
        self.dropped = 0
        """Rows given up, because more were held back than memory should hold."""
        self._fresh = fresh
        self._fd = -1
        self._regular = True
        self._end = 0
        self._columns: list[str] = []
        self._header: frozenset[str] = frozenset()
        self._held_back: list[Mapping[str, Plain]] = []
        self._held_bytes = 0

    def write(self, row: Mapping[str, Plain]) -> None:
        """Add one row, which is in the file when this returns, after any that were held back."""
        try:
            self._ensure_open()
            if self._held_back:
                self._catch_up()
            self._write(row)
        # also an interrupt: what is in the file is looked up when it is opened again
        except BaseException as error:
            self._close_fd()
            if isinstance(error, OSError):
                self._hold(row)
            raise

    def catch_up(self) -> None:
        """Write the rows that were held back, if there are any."""
        if self._held_back:
            try:
                self._ensure_open()
                self._catch_up()
            except BaseException:
                self._close_fd()
                raise

    @property
    def held_back(self) -> int:
        """Rows that wait for the disk."""
        return len(self._held_back)

    def close(self) -> None:
        """Close the file and let go of its lock; what is held back stays so."""
        self._close_fd()

    def leave_to_parent(self) -> None:
        """After a fork, in the child: forget the parent's file and rows, without touching them."""
        self._close_fd()
        self._held_back.clear()
        self._held_bytes = 0
        self._fresh = False

    def _write(self, row: Mapping[str, Plain]) -> None:
        if not row.keys() <= self._header:
            self._widen([key for key in row if key not in self._header])
        if len(row) == len(self._columns):
            data = line([row[column] for column in self._columns])
        else:
            data = row_line(self._columns, row)
        if not self._end:
            data = line(self._columns) + data
        self._append(data)
        self.rows += 1

    def _catch_up(self) -> None:
        count = 0
        try:
            for row in self._held_back:
                self._write(row)
                count += 1
        finally:
            del self._held_back[:count]
        self._held_bytes = 0

    def _hold(self, row: Mapping[str, Plain]) -> None:
        size = 100 * (len(row) + 1)
        if self._held_bytes + size > _HELD_BACK:
            self.dropped += 1
            return
        self._held_bytes += size
        self._held_back.append(dict(row))

    def _append(self, data: bytes) -> None:
        rest = data
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            if self.fsync:
                os.fsync(self._fd)
        except OSError:
            self._cut_to(self._end)
            raise
        self._end += len(data)

    def _cut_to(self, end: int) -> None:
        try:
            os.ftruncate(self._fd, end)
        except OSError:
            pass  # no regular file, or gone: the torn line is cut when the file is opened next

    def _ensure_open(self) -> None:
        if self._fd >= 0:
            if os.fstat(self._fd).st_nlink:
                return
            self._close_fd()  # removed under us: a new file, if its directory is still there
        self.path = where_now(self._asked)
        self._fd = self._open_locked()
        try:
            self._settle()
        except BaseException:
            self._close_fd()
            raise

    def _open_locked(self) -> int:
        while True:
            fd = open_unless_led(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            try:
                if not _lock(fd, self.path) or _same_file(fd, self.path):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # renamed over between the opening and the lock

    def _settle(self) -> None:
        """Cut off a torn last line and learn the columns; a file that is to be fresh is emptied."""
        state = os.fstat(self._fd)
        self._regular = stat.S_ISREG(state.st_mode)
        if not self._regular:
            return
        if self._fresh:
            os.ftruncate(self._fd, 0)
            self._fresh = False
        elif state.st_size == self._end > 0:
            return  # opened again after a failure, as it was left
        self._end, lines = complete_length(self.path)
        if state.st_size > self._end:
            os.ftruncate(self._fd, self._end)
        self.rows = max(lines - 1, 0)
        self._set_columns(_header(self.path) if self._end else [])

    def _set_columns(self, columns: list[str]) -> None:
        self._columns, self._header = columns, frozenset(columns)

    def _widen(self, new: list[str]) -> None:
        """Add columns: a copy of the file with them replaces it, or a kill leaves it as it was."""
        columns = [*self._columns, *new]
        if not self._end or not self._regular:
            self._set_columns(columns)
            return
        self.path = where_now(self._asked)
        copy = self.path.with_name(f".{self.path.name}.wider")
        fd = open_unless_led(copy, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC)
        try:
            _lock(fd, copy)
            with os.fdopen(os.dup(fd), "wb") as target, self.path.open("rb") as source:
                target.write(line(columns))
                _copy_wider(source, target, f",{GAP}".encode() * len(new))
            if self.fsync:
                os.fsync(fd)
            copy.replace(self.path)
        except BaseException:
            os.close(fd)
            copy.unlink(missing_ok=True)
            raise
        os.close(self._fd)
        self._fd = fd
        self._end = os.fstat(fd).st_size
        self._set_columns(columns)

    def _close_fd(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _copy_wider(source: BinaryIO, target: BinaryIO, gaps: bytes) -> None:
    """Copy all lines but the header, each with `gaps` at its end; `source` holds whole lines
    only.
    """
    _skip_line(source)
    while block := source.read(_BLOCK):
        block += source.readline()
        if b'"' in block or b"\r" in block:
            while block.count(b'"') & 1:
                block += source.readline()
            block = _wider_lines(block, gaps)
        else:
            block = block.replace(b"\n", gaps + b"\n")
        target.write(block)


def _skip_line(source: BinaryIO) -> None:
    inside_quotes = source.readline().count(b'"') & 1
    while inside_quotes:
        inside_quotes ^= source.readline().count(b'"') & 1


def _wider_lines(block: bytes, gaps: bytes) -> bytes:
    inside_quotes = 0
    lines = block.split(b"\n")
    for index, text in enumerate(lines[:-1]):
        inside_quotes ^= text.count(b'"') & 1
        if not inside_quotes:
            lines[index] = (
                text.removesuffix(b"\r") + gaps
            )  # csv.writer, which the ancestors use, ends lines in \r\n
    return b"\n".join(lines)


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return next(csv.reader(file))


def _lock(fd: int, path: Path) -> bool:
    """Take the file's lock; False where the file system has none. `Busy` where another process
    holds it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(
            f"another process of the run writes {path.name}; log rows in one process of the run"
        ) from None
    except OSError:
        return False
    return True


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
