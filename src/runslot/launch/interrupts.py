"""How often the user asked a launch to stop: Ctrl-C and SIGTERM are counted, and raised nowhere.

The supervisor looks at the count between two steps, so that nothing is torn in the middle; each
further one means more.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Counts them while `heard`; `notices` are signals that ask for a stop however often they come,
    and never kill.
    """

    def __init__(self, notices: Collection[int], wake: Callable[[], None]) -> None:
        self._notices = notices
        self._wake = wake
        self.count = 0
        self._taken = 0

    def take(self) -> Iterator[bool]:
        """Yield for each one that came since the last call whether it is to kill: all but the first
        are.
        """
        while self._taken < self.count:
            self._taken += 1
            yield self._taken > 1

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Count them here; only a main thread can, others do as it says."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        watched = {signal.SIGINT, signal.SIGTERM, *self._notices}
        previous = {number: signal.signal(number, self._count) for number in watched}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _count(self, number: int, _frame: FrameType | None) -> None:
        self.count = max(self.count, 1) if number in self._notices else self.count + 1
        self._wake()
