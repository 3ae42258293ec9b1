"""Who leads so far, under the live table: the answer of `runslot results --vs best`, whose evidence
may be looked at at any time while runs are to come.

`LiveView` tells it of runs that ended and asks it for words. It is computed in a process of its
own, at the lowest priority and rarely: what reads tables loads threads, and a launcher forks. What
must stay true: looking costs a few per cent of one core at most, and no error of it is seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from runslot.engines.events import LaunchEvent, LaunchStarted, RunEnded

_REST_S = 10.0
"""From one look to the next, at least."""
_REST_FACTOR = 30
"""Times as long as a look took, until the next."""
_LOWEST_PRIORITY = 19
_RUNS_NEEDED = 3
"""Runs that succeeded, before anything can be compared."""


class Leader:
    """Looks at an experiment's results while its runs go on."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._is_stale = False
        self._succeeded = 0
        self._rests_until = 0.0
        self._began = 0.0
        self._look: tuple[subprocess.Popen[bytes], IO[bytes]] | None = None
        self._words = ""

    def note(self, event: LaunchEvent) -> None:
        """Take note of an event; a run that succeeded makes a further look worth it."""
        if isinstance(event, LaunchStarted):
            self._directory, self._words = event.directory, ""
            self._succeeded = event.kept_count
        elif isinstance(event, RunEnded) and event.outcome.kind == "succeeded":
            self._succeeded += 1
            self._is_stale = True

    def words(self, now: float) -> str:
        """Return who leads, as the last look had it, and look again where it is time; `now` is Unix
        time, and empty words say that nothing is known."""
        if self._look is not None and self._look[0].poll() is not None:
            self._take(now)
        if self._look is None and self._is_due(now):
            self._start(now)
        return self._words

    def close(self) -> None:
        """End a look that is under way."""
        if self._look is not None:
            process, output = self._look
            self._look = None
            process.kill()
            process.wait()
            output.close()

    def _is_due(self, now: float) -> bool:
        is_enough = self._is_stale and self._succeeded >= _RUNS_NEEDED
        return is_enough and self._directory is not None and now >= self._rests_until

    def _start(self, now: float) -> None:
        self._is_stale, self._began = False, now
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the look is taken
        words = ["results", str(self._directory), "--vs", "best", "--json"]
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "runslot", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the launch
            )
        except OSError:  # no more processes: the launch needs them more
            output.close()
            self._rests_until = now + _REST_S
            return
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _LOWEST_PRIORITY)
        self._look = process, output

    def _take(self, now: float) -> None:
        assert self._look is not None
        _, output = self._look
        self._look = None
        self._rests_until = now + max(_REST_S, _REST_FACTOR * (now - self._began))
        with output:
            output.seek(0)
            with contextlib.suppress(ValueError):
                self._words = _sentence_of(json.loads(output.read()))


def _sentence_of(document: Any) -> str:
    """Return the answer of a document of results; empty where there is nothing to compare."""
    variants = document.get("variants", ())
    if sum(variant["n"] > 0 for variant in variants) < 2:
        return ""
    return str(document.get("sentence", ""))
