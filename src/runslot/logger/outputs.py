"""The files that a logger writes to, and what happens where one of them cannot be written.

Rows are held back and tried again; lines of text are not. Nothing raises unless that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from runslot.errors import Busy
from runslot.experiment.files import open_unless_led
from runslot.logger.cells import Plain
from runslot.logger.problems import Problems
from runslot.logger.progress import ProgressFile


class TextFile:
    """A text file that grows; opened at the first line, and again after it failed or vanished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def write(self, text: str) -> None:
        """Append `text`, which ends in a newline; it is in the file when this returns. Raises
        `OSError`.
        """
        if self._fd < 0 or not os.fstat(self._fd).st_nlink:
            self._open()
        rest = text.encode("utf-8", "backslashreplace")
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; a later `write` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self.close()
        self._fd = open_unless_led(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            end = os.fstat(self._fd).st_size
            if end and os.pread(self._fd, 1, end - 1) != b"\n":
                os.write(self._fd, b"\n")  # a line that a kill tore
        except OSError:
            self.close()
            raise


class Outputs:
    """Text files and CSV files, by absolute path."""

    def __init__(self, problems: Problems) -> None:
        self.fsync = False
        self.keeps_rows = False
        """A resumed run: files of rows that are there already are continued, never begun anew."""
        self._problems = problems
        self._texts: dict[Path, TextFile] = {}
        self._tabulars: dict[Path, ProgressFile] = {}
        self._put_aside: dict[Path, ProgressFile] = {}

    @property
    def rows(self) -> int:
        """Rows in the longest file of rows."""
        return max((file.rows for file in self._tabulars.values()), default=0)

    @property
    def has_text(self) -> bool:
        """Whether there is a file for log lines."""
        return bool(self._texts)

    def add_text(self, path: Path) -> None:
        """Write log lines to `path` too."""
        if path not in self._texts:
            self._texts[path] = TextFile(path)
            self._make_directory(path.parent)

    def remove_text(self, path: Path) -> None:
        """Write no more lines to `path`."""
        file = self._texts.pop(path, None)
        if file is not None:
            file.close()

    def add_tabular(self, path: Path, *, fresh: bool) -> None:
        """Write rows to `path` too. `fresh`: begin it anew, unless rows were written to it before,
        or are kept.
        """
        if path not in self._tabulars:
            state = self._put_aside.pop(path, None)
            self._tabulars[path] = state or ProgressFile(
                path, fresh=fresh and not self.keeps_rows, fsync=self.fsync
            )
            self._make_directory(path.parent)

    def put_tabular_aside(self, path: Path) -> None:
        """Write no more rows to `path`; adding it again continues it."""
        file = self._tabulars.pop(path, None)
        if file is not None:
            self._put_aside[path] = file
            self._finish(file)

    def write_text(self, text: str) -> None:
        """Append lines to every text file."""
        for file in self._texts.values():
            try:
                file.write(text)
            except OSError as error:
                self._problems.met(file.path.name, error, lost=text.count("\n"))
                if self._problems.on_error == "raise":
                    raise

    def write_row(self, row: Mapping[str, Plain]) -> bool:
        """Add a row to every file of rows; False where another process writes them."""
        is_own = True
        for file in self._tabulars.values():
            held_back, dropped = file.held_back, file.dropped
            file.fsync = self.fsync
            try:
                file.write(row)
            except Exception as error:
                is_own = is_own and not isinstance(error, Busy)
                lost = file.dropped - dropped if is_own else 1
                self._problems.met(file.path.name, error, lost=lost)
                if self._problems.on_error == "raise":
                    raise
            else:
                if held_back:
                    self._problems.solved(file.path.name)
        return is_own

    def close(self) -> None:
        """Try once more what was held back, and close everything."""
        for file in (*self._tabulars.values(), *self._put_aside.values()):
            self._finish(file)
            if file.held_back:
                self._problems.met(file.path.name, "rows never written", lost=file.held_back)
        for text in self._texts.values():
            text.close()

    def leave_to_parent(self) -> None:
        """After a fork, in the child: rows that are not ours stay the parent's."""
        for file in (*self._tabulars.values(), *self._put_aside.values()):
            file.leave_to_parent()

    def _finish(self, file: ProgressFile) -> None:
        if file.held_back:
            try:
                file.catch_up()
                self._problems.solved(file.path.name)
            except (OSError, Busy) as error:
                self._problems.met(file.path.name, error)
        file.close()

    def _make_directory(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._problems.met(str(directory), error)
            if self._problems.on_error == "raise":
                raise
