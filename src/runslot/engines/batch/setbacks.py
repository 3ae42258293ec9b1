"""Stops that could not be carried out, since the batch system or the login host was away or the
disk full: they are tried again. Kept by the launcher, which stops.

A task that goes on though its run was to stop would else end hours later, and nobody ask again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from runslot.engines.batch.queue import POLITE
from runslot.engines.protocol import Handle
from runslot.errors import RunslotError


class Setbacks:
    """Which runs are to be stopped anew."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._observe = say
        self._handles: dict[Handle, bool] = {}
        """With whether they are to be killed."""
        self._since = 0.0
        """When the last try failed; Unix time."""
        self._not_before = 0.0
        self._problem = ""

    def say(self, problem: str) -> None:
        """Say what went wrong, unless it is the same as before."""
        if problem != self._problem:
            self._problem = problem
            self._observe(problem)

    @contextmanager
    def caught(self, handles: Collection[Handle], kill: bool) -> Iterator[None]:
        """Do a part of a stop: where it fails, the others are done, and all of it once more."""
        try:
            yield
        except (RunslotError, OSError) as error:
            is_passing = isinstance(error, OSError) or getattr(error, "retry", False)
            self.say(f"{error}; the stop is tried again" if is_passing else str(error))
            if is_passing:
                self._handles |= dict.fromkeys(handles, kill)
                self._since = time.time()
                self._not_before = time.monotonic() + POLITE

    def due(self, answered: float) -> Iterator[tuple[list[Handle], bool]]:
        """Yield what is to be stopped anew, and whether to kill it, once the system has answered
        (Unix time) and some seconds have passed.
        """
        if answered <= self._since or time.monotonic() < self._not_before:
            return
        kill_by_handle, self._handles = self._handles, {}
        for kill in set(kill_by_handle.values()):
            yield [handle for handle, kills in kill_by_handle.items() if kills is kill], kill
