"""One file of log lines (`debug.log`), only appended to, so that processes of one run may share it."""

from __future__ import annotations

import os
from pathlib import Path

from runslot.experiment.files import open_unless_led


class TextFile:
    """A text file that grows; opened at the first line, and again after it failed or vanished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def write(self, text: str) -> None:
        """Append `text`, which ends in a newline; it is in the file when this returns. Raises `OSError`."""
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
