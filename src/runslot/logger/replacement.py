"""How a snapshot replaces the one before: written beside it, then renamed, so that none is ever
half-written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = re.compile(r"\..+\.pkl\.(\d+)~")


@contextmanager
def replacing(path: Path, *, fsync: bool) -> Iterator[BinaryIO]:
    """Open a file that becomes `path` when the block ends well; a kill leaves the old file or the
    new.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}~")
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o666), "w+b") as file:
            yield file
            if fsync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(directory: Path) -> None:
    """Remove what killed processes of this machine were writing there."""
    for entry in os.scandir(directory):
        match = _TEMPORARY.fullmatch(entry.name)
        if match and not _lives(int(match[1])):
            Path(entry.path).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # another user's, or no pid: not ours to judge
    return True
