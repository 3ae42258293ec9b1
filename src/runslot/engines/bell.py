"""What wakes a launcher's thread: other threads of it, and Ctrl-C.

Launchers whose runs are elsewhere wait by it; the local one has a poller of its own. What must stay
true: a signal handler may ring. `threading.Event` will not do: its lock is no reentrant one, so
that a signal which comes while the main thread holds it, as it begins to wait or has just been
woken, would have the handler wait for itself for ever.
"""

from __future__ import annotations

import os
import select


class Bell:
    """A pipe. It is closed with the last who could ring: a descriptor that was closed earlier might
    be somebody else's by then.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)

    def ring(self) -> None:
        """Have `wait` return, also one that comes later."""
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:  # full: it will wake
            pass

    def wait(self, timeout: float | None) -> None:
        """Return when it rang, or after `timeout` seconds."""
        if self._poll.poll(None if timeout is None else max(0.0, timeout) * 1000):
            try:
                while os.read(self._read, 4096):
                    pass
            except BlockingIOError:
                pass
