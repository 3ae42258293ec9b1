"""One remote end at a time in an experiment's directory on a host: a new one ends the one before.

The one before may not have noticed that its connection is dead; the new one speaks for the launcher.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from runslot.errors import Busy
from runslot.experiment.holder import find_holder
from runslot.experiment.processes import identify

_PATIENCE = 10.0


@contextmanager
def be_the_only_one(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, ending the process that has it; `Busy` where that does not end."""
    file = directory / "agent.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _take(descriptor, file)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(identify())).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, file: Path) -> None:
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            if waited > _PATIENCE:
                raise Busy(f"another remote end in {file.parent} does not leave") from None
            _end(file, descriptor, signal.SIGTERM if waited < _PATIENCE / 5 else signal.SIGKILL)
            time.sleep(0.05)
        else:
            return


def _end(file: Path, descriptor: int, number: signal.Signals) -> None:
    """Signal who has the lock: what the file says of it is where to look first."""
    try:
        hint = int(json.loads(os.pread(descriptor, 4096, 0))["pid"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # it has not said yet who it is
        hint = None
    process = find_holder(file, hint)
    if process is not None:
        process.send(number)
        process.close()
