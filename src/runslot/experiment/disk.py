"""What must survive a power cut is brought to the disk, off the way of starts.

Called where an experiment is recorded and by its journal; what is promised is in
docs/decisions/0016-power-cuts.md. Nothing here fails: a disk that cannot be asked keeps what it
keeps.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

FSYNC_VARIABLE = "RUNSLOT_FSYNC"
"""Environment variable: `0` leaves it to the file system when what was written is on the disk."""


def is_asked() -> bool:
    """Tell whether files are to be brought to the disk; they are, unless the user leaves it."""
    return os.environ.get(FSYNC_VARIABLE, "1") != "0"


def sync_soon(paths: Sequence[Path]) -> None:
    """Bring files and directories to the disk, in a thread that the interpreter waits for at its
    end.
    """
    if not is_asked():
        return
    try:
        threading.Thread(target=_sync, args=(tuple(paths),), name="runslot-disk").start()
    except RuntimeError:  # no further threads may be started
        _sync(paths)


def _sync(paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def sync_data(descriptor: int) -> None:
    """Bring what was appended to a file to the disk."""
    with contextlib.suppress(OSError):
        # macOS has none for data alone.
        getattr(os, "fdatasync", os.fsync)(descriptor)
