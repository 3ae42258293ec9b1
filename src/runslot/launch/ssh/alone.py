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
from runslot.experiment.processes import ProcessIdentity, identify, is_alive

_PATIENCE = 10.0


@contextmanager
def be_the_only_one(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, ending the process that has it; `Busy` where that does not end."""
    descriptor = os.open(directory / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, directory)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(identify())).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, directory: Path) -> None:
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            if waited > _PATIENCE:
                raise Busy(f"another remote end in {directory} does not leave") from None
            _end(descriptor, signal.SIGTERM if waited < _PATIENCE / 5 else signal.SIGKILL)
            time.sleep(0.05)
        else:
            return


def _end(descriptor: int, number: signal.Signals) -> None:
    try:
        holder = ProcessIdentity(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):  # it has the lock, and has not said yet who it is
        return
    if is_alive(holder):
        try:
            os.kill(holder.pid, number)
        except ProcessLookupError:
            pass
