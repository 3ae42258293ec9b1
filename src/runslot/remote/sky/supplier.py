"""The thread that takes runs for this machine from what nobody has, and gives them to its worker.

What waits for the bucket waits here: a worker whose slots are full knows nothing of it. A run that
another machine had comes with what that had sent; one that another machine has taken since, as this
one was believed to be lost, is stopped, and nothing further of it is sent.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from runslot.errors import RunslotError
from runslot.remote.sky.holdings import Holdings
from runslot.remote.sky.lifetime import say
from runslot.remote.supply import lines_of, send

_AGAIN_S = 20.0
"""Seconds after which a machine with room looks again for what others have left."""
_LOOK_S = 60.0
"""Seconds between looks whether another machine has taken runs of this one."""
_PAUSE_S = 1.0


class Supplier:
    """Serves one worker, until nothing is left or `close` is called."""

    def __init__(
        self, link: socket.socket, holdings: Holdings, changed: Callable[[], None]
    ) -> None:
        """Begin; `changed` is called where something should be sent soon."""
        self._link = link
        self._holdings = holdings
        self._changed = changed
        self._room = 0
        self._busy = True
        self._wish = threading.Event()
        self._closed = False
        self.has_ended = False
        """Whether the worker was told that nothing is left."""
        threading.Thread(target=self._hear, name="worker's wishes", daemon=True).start()
        self._thread = threading.Thread(target=self._loop, name="supplier", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take nothing further; returns at once."""
        self._closed = True
        self._wish.set()

    def join(self, timeout: float) -> None:
        """After `close`: wait until the thread has ended, so long at most."""
        self._thread.join(timeout)

    def _hear(self) -> None:
        for line in lines_of(self._link):
            if "over" in line:
                self._holdings.end([line["over"]])
            if "room" in line:
                self._room, self._busy = line["room"], line["busy"] > 0
                self._wish.set()
        self.close()

    def _loop(self) -> None:
        pause, last_look = _PAUSE_S, time.monotonic()
        passed = last_look
        while not self._closed:
            self._wish.wait(pause)
            self._wish.clear()
            try:
                if self._holdings.refuse():
                    self._changed()
                # At once where it was away for long, or the bucket was: it may count as lost.
                now, silence = time.monotonic(), self._holdings.job.silence
                if now - last_look >= _LOOK_S or now - passed >= silence / 3:
                    last_look = now
                    self._holdings.give_up()
                pause, passed = self._supply(), time.monotonic()
            except RunslotError as error:
                say(f"{error}; taking runs again later")
                pause = 10.0
            except Exception as error:  # noqa: BLE001  a thread has no caller: it says so, and tries again
                say(f"taking runs failed: {type(error).__name__}: {error}")
                pause = 10.0

    def _supply(self) -> float:
        """Give the worker what it has room for; return how many seconds to wait."""
        room, is_idle = self._room, not self._busy
        if not room or self._closed:
            return _PAUSE_S
        runs = self._holdings.take(room)
        if runs:
            self._room, self._busy = room - len(runs), True
            attempts = self._holdings.attempts
            send(self._link, {"runs": [[run, attempts[run]] for run in runs]})
        elif is_idle:
            say("nothing is left to do")
            self.has_ended = send(self._link, {"end": True})
            self.close()
        return _PAUSE_S if runs else _AGAIN_S
