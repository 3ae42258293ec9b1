"""What wakes a launcher that waits for what is elsewhere."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from contextlib import suppress

import pytest

from runslot.engines.bell import Bell


def test_it_wakes_also_one_who_waits_later() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    bell.wait(None)
    began = time.monotonic()
    bell.wait(0.05)
    assert time.monotonic() - began >= 0.05
    threading.Timer(0.05, bell.ring).start()
    bell.wait(None)


def test_a_signal_may_ring_at_any_moment_of_a_wait() -> None:
    """`threading.Event` in its place waits for itself within a second."""
    bell, rings = Bell(), 0

    def ring(*_: object) -> None:
        nonlocal rings
        rings += 1
        bell.ring()

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        for _ in range(20_000):
            bell.wait(0.00001)
            if rings > 2000:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rings > 100


def test_a_full_bell_still_rings_and_many_open_files_do_not_matter() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip(f"no more than {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1050)]
    try:
        assert max(files) > 1024, "more than select.select takes"
        bell = Bell()
        for _ in range(100_000):
            bell.ring()
        bell.wait(None)
        del bell
    finally:
        for file in files:
            with suppress(OSError):
                os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
