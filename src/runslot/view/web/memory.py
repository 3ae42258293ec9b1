"""What pages were sent lately, so that the next answer says only what has changed.

`runslot.view.web.content` and `run_page` keep theirs here. What must stay true: it is safe to use
from several threads, and what is forgotten is drawn and sent as a whole.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Content = TypeVar("Content")

_MOST_CONTENTS = 24
"""Pages, or earlier moments of one, that are remembered."""
_SLOW_S, _REST_FACTOR = 0.7, 4
"""Seconds after which drawing is slow, and how many times as long as it took what was drawn stays:
a page of slow figures does not keep a core busy."""


class Memory(Generic[Content]):
    """Contents by the page (its choices, or its run) and the version of the runs."""

    def __init__(self) -> None:
        self._contents: OrderedDict[tuple[str, int], Content] = OrderedDict()
        self._lock = threading.Lock()
        self._rests_until: dict[str, float] = {}

    def rests(self, page: str) -> bool:
        """Tell whether the page took so long to draw that it is not drawn again yet, though rows
        were added."""
        return time.monotonic() < self._rests_until.get(page, 0.0)

    def get(self, page: str, version: int) -> Content | None:
        """Return what was shown then, where it is still remembered."""
        with self._lock:
            return self._contents.get((page, version))

    def show(self, page: str, version: int, draw: Callable[[], Content]) -> Content:
        """Return what the page shows at that version, drawn and remembered where it is new."""
        content = self.get(page, version)
        if content is not None:
            return content
        began = time.monotonic()
        content = draw()
        ended = time.monotonic()
        with self._lock:
            if ended - began > _SLOW_S:
                self._rests_until[page] = ended + _REST_FACTOR * (ended - began)
            self._rests_until = {
                name: until for name, until in self._rests_until.items() if until > ended
            }
            self._contents[page, version] = content
            while len(self._contents) > _MOST_CONTENTS:
                self._contents.popitem(last=False)
        return content
