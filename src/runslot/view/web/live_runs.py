"""The runs as they are now, read at most about once a second however many pages ask; and what pages
were sent lately (`Memory`), so that the next answer says only what has changed.

What must stay true: both are safe to use from several threads, and what is forgotten is drawn and
sent as a whole.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

from runslot.engines.registry import Refresher
from runslot.errors import RunslotError
from runslot.experiment.rundir import ExperimentDir
from runslot.record import record
from runslot.results import Reader, Results
from runslot.results.accounts import tasks_of
from runslot.results.confirmation import confirmed
from runslot.results.read.reader import ReadingProgress
from runslot.view.data.alignment import Rows
from runslot.view.data.choices import Choices
from runslot.view.data.groups import choose

_FRESH_S = 0.7
"""Seconds for which what was read counts as now, at least."""
_REST_FACTOR = 3
"""Times as long as reading took, what was read counts as now: a huge tree does not keep a core
busy."""

_LONGEST_REST_S, _RESTS_PER_COST = 120.0, 200
"""An idle page looks again after so many times what a look costs: below one per cent of a core."""
_MOST_TEMPLATES = 3
"""Templates of paths whose runs are kept at a time, beside those that the server was started
with."""


@record
class Moment:
    """What was read at one time."""

    version: int
    """Grows whenever anything changed; milliseconds since 1970 at first, so that a server that was
    started again has none of the numbers that an open page knows from the one before."""
    results: Results
    waits: tuple[str, ...] = ()
    """Why runs wait, a sentence each, where an engine or a launcher says so."""

    @cached_property
    def searches(self) -> dict[str, ExperimentDir]:
        """The experiments that search, by name as in `runs`."""
        return searches_of(self.results)

    @cached_property
    def goal(self) -> tuple[str, str] | None:
        """The metric that all experiments here search by, and which way is better."""
        names = set(self.results.runs["experiment"])
        if not names or not names <= self.searches.keys():
            return None
        goals = {(s["metric"], s["mode"]) for s in map(_search, self.searches.values())}
        return goals.pop() if len(goals) == 1 else None

    @cached_property
    def confirmed(self) -> Results:
        """The runs that count: of an experiment whose best variants were run again on fresh seeds,
        these alone. Raises `RunslotError` where the record of that is damaged."""
        return confirmed(self.results)

    def shown(self, choices: Choices) -> Results:
        """Return the runs that a table or a figure is of."""
        return self.results if choices.seeds == "all" else self.confirmed

    def question(self, choices: Choices) -> tuple[Results, Results, Choices]:
        """Return the runs that count, those of them that were chosen, and the choices as the answer
        takes them: one metric, which is the search's where no other was chosen, and groups that
        pool no tasks, whose scales are their own.

        Raises `InvalidInput` for choices that these runs do not have.
        """
        results = self.shown(choices)
        selection = choose(results, choices)
        choices = dataclasses.replace(choices, split=(), y=choices.y[:1])
        if choices.series is not None:
            keys = tuple(dict.fromkeys((*tasks_of(results), *choices.series)))
            choices = dataclasses.replace(choices, series=keys)
        goal, way = self.goal or ("", "")
        if goal not in self.results.metrics or choices.mode or choices.y not in {(), (goal,)}:
            return results, selection, choices
        return results, selection, dataclasses.replace(choices, y=(goal,), mode=way)

    @cached_property
    def rows(self) -> Rows:
        """All rows, with numbers for runs."""
        return Rows.of(self.results)


def _search(home: ExperimentDir) -> Mapping[str, str]:
    search = home.read().search or {}
    return {name: str(search.get(name) or "") for name in ("metric", "mode")}


def home_of(base: Path, experiment: str) -> ExperimentDir:
    """Return the directory of an experiment by its name in `runs`, which is the base's own where
    that is the experiment."""
    is_base = experiment == base.name and not (base / experiment).is_dir()
    return ExperimentDir(base if is_base else base / experiment)


def searches_of(results: Results) -> dict[str, ExperimentDir]:
    """Return by name (as in `runs`) the experiments that search."""
    base = Path(results.base)
    searches = {}
    for name in results.runs["experiment"].unique(maintain_order=True):
        home = ExperimentDir(
            base if name == base.name and not (base / name).is_dir() else base / name
        )
        try:
            if home.read().search:
                searches[name] = home
        except (RunslotError, OSError):
            continue  # no experiment of runslot's own, or one that the notes name
    return searches


class LiveRuns:
    """The runs below some directories; safe to use from several threads."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        cache: bool = True,
        path: str | None = None,
        log: Sequence[str] = (),
    ) -> None:
        self._paths, self._cache, self._log = paths, cache, log
        self._usual = path or ""
        self._readings = {self._usual: _Reading(Reader(paths, cache=cache, path=path, log=log))}
        self._engines = Refresher(self._readings[self._usual].reader.roots)
        self.roots = tuple(self._readings[self._usual].reader.roots)
        self._lock = threading.Lock()
        self._until = 0.0
        self.rest_s = 1.0
        """How long an open page may rest between two looks where nothing happens."""
        self._fresh: set[str] = set()
        """Templates whose runs were read less than so long ago."""

    def now(self, query: str = "") -> Moment:
        """Return the runs; an unchanged tree gives the same object again, with the frames it has
        computed.

        A page whose address names a template of paths has the runs by that. Raises `InvalidInput`
        where it is none.
        """
        self._engines.look()
        with self._lock:
            path = dict(parse_qsl(query.removeprefix("?"))).get("path", self._usual)
            reading = self._reading(path)
            if time.monotonic() > self._until:
                self._fresh.clear()
            if path not in self._fresh:
                began, cost = time.monotonic(), time.thread_time()
                reading.read(self._engines.waits)
                ended = time.monotonic()
                self.rest_s = min(
                    _LONGEST_REST_S, max(1.0, _RESTS_PER_COST * (time.thread_time() - cost))
                )
                self._until = ended + max(_FRESH_S, _REST_FACTOR * (ended - began))
                self._fresh.add(path)
            assert reading.moment is not None
            return reading.moment

    def progress(self, query: str) -> ReadingProgress:
        """Return how far the reading is that a page waits for; takes no lock, since that is held
        meanwhile."""
        path = dict(parse_qsl(query.removeprefix("?"))).get("path", self._usual)
        reading = self._readings.get(path)
        return ReadingProgress() if reading is None else reading.reader.progress

    def _reading(self, path: str) -> _Reading:
        if path not in self._readings:
            reading = _Reading(Reader(self._paths, cache=self._cache, path=path, log=self._log))
            further = [other for other in self._readings if other != self._usual]
            for other in further[: max(0, len(further) - _MOST_TEMPLATES + 1)]:
                del self._readings[other]
                self._fresh.discard(other)
            self._readings[path] = reading
        return self._readings[path]


class _Reading:
    """The runs by one template of paths."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.moment: Moment | None = None

    def read(self, waits: tuple[str, ...]) -> None:
        """Take what changed."""
        results = self.reader.read()
        if self.moment is None:
            self.moment = Moment(int(time.time() * 1000), results, waits)
        elif waits != self.moment.waits or not _equal(results, self.moment.results):
            self.moment = Moment(self.moment.version + 1, results, waits)


def _equal(before: Results, after: Results) -> bool:
    if (
        before.problems != after.problems
        or before.unread != after.unread
        or before.waiting != after.waiting
    ):
        return False
    return before.runs.columns == after.runs.columns and before.runs.equals(after.runs)


Content = TypeVar("Content")

_MOST_CONTENTS = 24
"""Pages, or earlier moments of one, that are remembered."""
_SLOW_S, _DRAWING_REST_FACTOR = 0.7, 4
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
                self._rests_until[page] = ended + _DRAWING_REST_FACTOR * (ended - began)
            self._rests_until = {
                name: until for name, until in self._rests_until.items() if until > ended
            }
            self._contents[page, version] = content
            while len(self._contents) > _MOST_CONTENTS:
                self._contents.popitem(last=False)
        return content
