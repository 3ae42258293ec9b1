"""The runs as they are now, read at most about once a second however many pages ask."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from runslot.launch.refreshing import Refresher
from runslot.results import Reader, Results
from runslot.view.rows import Rows

_FRESH = 0.7
"""Seconds for which what was read counts as now, at least."""
_SHARE = 3
"""Times as long as reading took, what was read counts as now: a huge tree does not keep a core busy."""


@dataclass(frozen=True)
class Moment:
    """What was read at one time."""

    version: int
    """Grows whenever anything changed; milliseconds since 1970 at first, so that a server that was started again has
    none of the numbers that an open page knows from the one before."""
    results: Results

    @cached_property
    def rows(self) -> Rows:
        """All rows, with numbers for runs."""
        return Rows.of(self.results)


class Watched:
    """The runs below some directories; safe to use from several threads."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        cache: bool = True,
        path: str | None = None,
        log: Sequence[str] = (),
    ) -> None:
        self._reader = Reader(paths, cache=cache, path=path, log=log)
        self._engines = Refresher(self._reader.roots)
        self.roots = tuple(self._reader.roots)
        self._lock = threading.Lock()
        self._until = 0.0
        self._moment: Moment | None = None

    def now(self) -> Moment:
        """Return the runs; an unchanged tree gives the same object again, with the frames it has computed."""
        self._engines.look()
        with self._lock:
            if self._moment is None or time.monotonic() > self._until:
                began = time.monotonic()
                results = self._reader.read()
                if self._moment is None:
                    self._moment = Moment(int(time.time() * 1000), results)
                elif not _equal(results, self._moment.results):
                    self._moment = Moment(self._moment.version + 1, results)
                ended = time.monotonic()
                self._until = ended + max(_FRESH, _SHARE * (ended - began))
            return self._moment


def _equal(one: Results, other: Results) -> bool:
    if one.problems != other.problems or one.unread != other.unread or one.waiting != other.waiting:
        return False
    return one.runs.columns == other.runs.columns and one.runs.equals(other.runs)
