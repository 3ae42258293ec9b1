"""Where rows go beside the CSV: the protocol of a sink, and the thread that keeps one from ever
touching the run.

A sink that fails, or has not taken a row for a while, is detached. Named sinks are in
`named_sinks`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from runslot.logger.cells import Plain

STUCK = 60.0
"""Seconds in which a sink with rows waiting must take one, or it is detached."""

PATIENCE = 10.0
"""Seconds without progress after which the closing of a sink is given up."""

MOST_WAITING = 100_000
"""Rows that may wait for a slow sink."""


class Sink(Protocol):
    """Takes rows, in a thread of its own; whatever it raises detaches it."""

    def write(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Take one row: numbers, and texts for what is none. `iteration`: of `set_iteration`, else
        the row's number.
        """
        ...

    def close(self) -> None:
        """Write out what is left."""
        ...


class SinkThread:
    """One sink behind a queue. `make` is called in the thread, at the first row, since it may take
    long or fail.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Sink],
        failed: Callable[[str, BaseException | str], None],
    ) -> None:
        self.name = name
        self._make = make
        self._failed = failed
        self._waiting: deque[tuple[Mapping[str, Plain], int]] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._progress = time.monotonic()
        self._closing = False
        self.detached = False
        self._thread: threading.Thread | None = None

    def put(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Hand over a row, which nobody changes any more; never waits for the sink."""
        if self.detached:
            return
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"runslot sink {self.name}", daemon=True
            )
            self._thread.start()
        if not self._waiting:
            self._progress = time.monotonic()
        elif time.monotonic() - self._progress > STUCK or len(self._waiting) >= MOST_WAITING:
            self._detach(
                f"took no row for {STUCK:g} s, or fell {len(self._waiting)} rows behind; detached"
            )
            return
        with self._wake:
            self._waiting.append((row, iteration))
            self._wake.notify()

    def close(self) -> None:
        """Let the sink take what waits and close; give up where it makes no progress for `PATIENCE`
        seconds.
        """
        if self._thread is None:
            return
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._progress = time.monotonic()
        while self._thread.is_alive() and not self.detached:
            self._thread.join(0.05)
            if time.monotonic() - self._progress > PATIENCE:
                self._detach(
                    f"did not close within {PATIENCE:g} s; {len(self._waiting)} rows are missing"
                    " there"
                )

    def _detach(self, reason: BaseException | str) -> None:
        self.detached = True
        self._waiting.clear()
        self._failed(self.name, reason)

    def _run(self) -> None:
        try:
            sink = self._make()
            while (item := self._next()) is not None:
                sink.write(*item)
                self._progress = time.monotonic()
                self._waiting.popleft()
            if not self.detached:
                sink.close()
        except Exception as error:  # noqa: BLE001 - another library's code: its failure must not be the run's
            if not self.detached:
                self._detach(error)
        except SystemExit as error:  # how some libraries refuse a login
            self._detach(f"exited ({error})")

    def _next(self) -> tuple[Mapping[str, Plain], int] | None:
        with self._wake:
            while not self._waiting and not self._closing and not self.detached:
                self._wake.wait()
            return self._waiting[0] if self._waiting else None
