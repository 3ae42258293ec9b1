"""Looks at something again and again in a thread of its own: what does not answer holds nobody else up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


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
