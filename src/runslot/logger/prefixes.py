"""The prefixes of log lines and of keys: each thread has its own stack, above what the run begins with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Prefixes(threading.local):
    """A stack of texts. Another thread starts with what the run began with, not with what this one pushed."""

    def __init__(self, base: str = "") -> None:
        # `threading.local` calls this in every thread, with the arguments of the first
        self._stack: list[str] = [base] if base else []
        self.text = base
        """All of them, joined."""

    def push(self, prefix: str) -> None:
        """Add a text at the end."""
        self._stack.append(str(prefix))
        self.text = "".join(self._stack)

    def pop(self) -> None:
        """Take the last one away; nothing where there is none."""
        if self._stack:
            del self._stack[-1]
            self.text = "".join(self._stack)

    @contextmanager
    def pushed(self, prefix: str) -> Iterator[None]:
        """Hold a text for the length of a `with`, also where it ends in an exception."""
        before = len(self._stack)
        self.push(prefix)
        try:
            yield
        finally:
            del self._stack[before:]
            self.text = "".join(self._stack)
