"""Texts of a run directory for its page: the ends of regular files that lie below the directories
that are shown."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from runslot.errors import NotFound

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.")
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Texts:
    """Reads files of run directories below some roots."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(Path(root) for root in roots)

    def directory(self, path: str) -> Path:
        """Return a run directory without links; `NotFound` where it is not below the roots."""
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in self._roots):
            raise NotFound(f"{path} does not lie below the directories that are shown")
        return real

    def read(self, file: Path, last: int = 1 << 16) -> str | None:
        """Return the last bytes of a file as text; None where it is no regular file below the
        roots."""
        try:
            if not any(file.parent.resolve().is_relative_to(root) for root in self._roots):
                return None
            # Without O_NONBLOCK a named pipe would hold the page until somebody writes to it.
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            opened.seek(max(0, status.st_size - last))
            data = opened.read(last)
        if status.st_size > last:
            data = data.partition(b"\n")[2]
        return data.decode("utf-8", "replace")

    def foreign(self, directory: Path) -> list[str]:
        """Return the names in a directory that are links out of the roots."""
        out = []
        for entry in directory.iterdir():
            if entry.is_symlink() and not any(
                entry.resolve().is_relative_to(root) for root in self._roots
            ):
                out.append(entry.name)
        return out


def console_text(text: str, lines: int = 400) -> str:
    """Return the end of a console as it looks: without escape codes, and of a progress bar only its
    last state."""
    plain = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    visible_lines = [line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n")]
    return _UNSEEN.sub("", "\n".join(visible_lines[-lines:]))
