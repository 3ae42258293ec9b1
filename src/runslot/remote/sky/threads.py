"""A rented machine's threads: one that looks at something again and again, one that pushes to the
bucket.

What does not answer holds nobody else up. Where something is to go out at once, the push under way
is broken off: the next begins with rows and what has ended, and goes on with a large file at the
part where it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from runslot.errors import RunslotError
from runslot.transport.bucket.push import BEAT, Pusher, TakenOver


class Looking:
    """A look every so many seconds, until one finds what it looks for, or the process ends."""

    def __init__(self, name: str, pause: float, look: Callable[[], bool]) -> None:
        """Begin; `look` returns whether it has found all that there is to find."""
        self.found = False
        self._pause = pause
        self._look = look
        threading.Thread(target=self._loop, name=name, daemon=True).start()

    def _loop(self) -> None:
        while not self._found():
            time.sleep(self._pause)
        self.found = True

    def _found(self) -> bool:
        try:
            return self._look()
        except Exception as error:  # noqa: BLE001  a thread has no caller: it says so, and looks again
            say(f"{threading.current_thread().name}: {type(error).__name__}: {error}")
            return False


def say(text: str) -> None:
    """Print a line with the time, into the log of the machine's job."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


class Sender:
    """The only user of a pusher, until it is closed."""

    def __init__(self, pusher: Pusher, interval: float) -> None:
        """Begin, with a push at once; `interval` is in seconds."""
        self.interval = interval
        self.taken_over = False
        """Whether another machine has the share now: nothing more is sent."""
        self._pusher = pusher
        self._changed = threading.Condition()
        self._wanted = True
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="push", daemon=True)
        self._thread.start()

    def now(self) -> None:
        """Send what there is by now, rows and what has ended first; returns at once."""
        with self._changed:
            self._wanted = True
            self._changed.notify()

    def close(self) -> None:
        """Break off what is under way, and return when the pusher is free."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        pushed = -self.interval
        while not self.taken_over:
            with self._changed:
                remaining_s = pushed + self.interval - time.monotonic()
                if not (self._wanted or self._closed) and remaining_s > 0:
                    self._changed.wait(min(remaining_s, BEAT / 2))
                if self._closed:
                    return
                due = self._wanted or time.monotonic() >= pushed + self.interval
                # here, not at the push's beginning: what is wanted from now on breaks it off
                if due:
                    self._wanted = False
            self._try(due)
            pushed = time.monotonic() if due else pushed

    def _try(self, due: bool) -> None:
        try:
            if not due:
                self._pusher.beat()
            elif sent := self._pusher.push(until=lambda: self._wanted or self._closed):
                say(f"pushed {sent} bytes")
        except TakenOver as error:
            say(str(error))
            self.taken_over = True
        except RunslotError as error:
            say(f"{error}; the next push sends it")
        except Exception as error:  # noqa: BLE001  the runs go on; the last push says it again
            say(f"a push failed: {type(error).__name__}: {error}")
