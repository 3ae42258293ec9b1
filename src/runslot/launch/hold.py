"""What keeps a launch from going on: starts are held back where the machine is short of something
or the experiment's directory was moved away; Ctrl-C asks it to end.

The supervisor asks before each start, and says what came of it. Held runs stay in the queue and are
tried again, ever less often; it is said once. Only where nothing can be hoped for is a launch given
up: where no run has ever begun, or the directory does not come back.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import field
from types import FrameType
from typing import TypeVar

from runslot.engines.events import LaunchEvent, RunStarted, RunWaits, Said
from runslot.engines.open_experiment import OpenExperiment
from runslot.errors import Damaged, NotFound
from runslot.experiment.records import Run
from runslot.experiment.rundir import ExperimentDir
from runslot.record import record
from runslot.scheduler import Key

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
"""Between tries of a start."""
_TRIES = 2
"""Of reading an experiment that is there, and was not a moment ago."""
_LASTING_S = 0.3
"""From a start that was made while starts are held until it is said."""
_PATIENCE_S = 10.0
"""For a launch of which nothing has begun, and for a directory that was moved while nothing
runs.
"""


@record(frozen=False)
class _Episode:
    reason: str
    since: float
    hopeless: bool = False
    """The directory was removed: it does not come back."""
    moved: bool = False
    given_up: bool = False
    tried: set[Key] = field(default_factory=set)
    """Runs that were started since."""


_Seen = TypeVar("_Seen")


def once_there(directory: ExperimentDir, look: Callable[[], _Seen]) -> _Seen:
    """Return what `look` reads of an experiment, which is waited for where it is moved away this
    moment.
    """
    end, tries = time.monotonic() + _PATIENCE_S, 0
    while True:
        try:
            return look()
        except (NotFound, Damaged, FileNotFoundError):
            tries += directory.experiment_file.exists()
            if tries > _TRIES or time.monotonic() > end:
                raise
        time.sleep(_FIRST_PAUSE_S / 2)


class Holds:
    """What keeps the starts of each experiment back; `now` is on any clock that does not go
    back.
    """

    def __init__(self, observer: Callable[[LaunchEvent], None]) -> None:
        self._observer = observer
        self._episodes: dict[str, _Episode] = {}
        self._productive: set[str] = set()
        """Experiments of which a run has ended here."""
        self._started: set[Key] = set()
        """Runs under way whose start was said."""
        self._perhaps: dict[Key, tuple[float, RunStarted]] = {}
        """Runs that were started while starts are held, and when."""

    def away(self, experiment: OpenExperiment, now: float) -> str:
        """Return why nothing may be started in the experiment's directory, which was moved or
        removed; else nothing.
        """
        place = experiment.place()
        if place == experiment.directory.path:
            if (episode := self._episodes.get(_key(experiment))) is not None and episode.moved:
                del self._episodes[_key(experiment)]
                self._observer(Said(f"{place} is back: its runs go on"))
            return ""
        if place is None:
            reason = (
                f"{experiment.directory.path} was removed, and has no experiment.json any more; no"
                " run is started"
            )
        else:
            reason = (
                f"{experiment.directory.path} was moved to {place}; no run is started until it is"
                f" back, or `runslot resume {place}` goes on there"
            )
        self._begin(experiment, _Episode(reason, now, hopeless=place is None, moved=True))
        return reason

    def short(self, experiment: OpenExperiment, reason: str, now: float) -> None:
        """Note that a run could not be started for a shortage."""
        self._begin(experiment, _Episode(reason, now))

    def _begin(self, experiment: OpenExperiment, episode: _Episode) -> None:
        before = self._episodes.get(_key(experiment))
        if (
            before is not None
            and before.moved == episode.moved
            and before.hopeless == episode.hopeless
        ):
            return
        self._episodes[_key(experiment)] = episode
        self._observer(
            Said(
                episode.reason
                if episode.moved
                else f"{episode.reason}; starts wait until that is over"
            )
        )

    def pause(self, experiment: OpenExperiment, now: float) -> float:
        """Return after how many seconds a held start is tried again: half of what it has waited so
        far.
        """
        waited = now - self._episodes[_key(experiment)].since
        return min(max(_FIRST_PAUSE_S, waited / 2), _LONGEST_PAUSE_S)

    def started(self, experiment: OpenExperiment, key: Key, event: RunStarted, now: float) -> None:
        """Say a start; while starts are held, only once it has lasted: many do not."""
        if (episode := self._episodes.get(_key(experiment))) is None:
            self._started.add(key)
            self._observer(event)
        else:
            episode.tried.add(key)
            self._perhaps[key] = (now, event)

    def say_starts(self, keys: Collection[Key], now: float = math.inf) -> None:
        """Say which starts of these have lasted by now."""
        for key, (moment, event) in [*self._perhaps.items()]:
            if key in keys and now - moment > _LASTING_S:
                del self._perhaps[key]
                self._started.add(key)
                self._observer(event)

    def retract(self, key: Key, event: RunWaits) -> None:
        """Say that a run waits whose start was said."""
        self._perhaps.pop(key, None)
        if key in self._started:
            self._started.discard(key)
            self._observer(event)

    def ended(self, experiment: OpenExperiment, key: Key) -> None:
        """Note the end of a run: where it was started since, the shortage is over."""
        self._productive.add(_key(experiment))
        self._started.discard(key)
        episode = self._episodes.get(_key(experiment))
        if episode is not None and key in episode.tried and not episode.moved:
            del self._episodes[_key(experiment)]

    def holding(self, experiment: OpenExperiment) -> bool:
        """Tell whether anything keeps its starts back now."""
        return _key(experiment) in self._episodes

    def has_given_up(self, experiment: OpenExperiment) -> bool:
        """Tell whether nothing further is to be hoped for."""
        episode = self._episodes.get(_key(experiment))
        return episode is not None and episode.given_up

    def problem(self, experiment: OpenExperiment) -> str:
        """Return why it was given up, or where its directory is now; empty where all is well."""
        episode = self._episodes.get(_key(experiment))
        if episode is None or not (episode.moved or episode.given_up):
            return ""
        return episode.reason if episode.moved else f"no run could be started: {episode.reason}"

    def in_vain(self, experiment: OpenExperiment, under_way: bool, now: float) -> bool:
        """Tell whether nothing further is to be started, because there is nothing to wait for."""
        episode = self._episodes.get(_key(experiment))
        if episode is None or under_way:
            return False
        vain = episode.moved or _key(experiment) not in self._productive
        episode.given_up = episode.hopeless or (vain and now - episode.since > _PATIENCE_S)
        return episode.given_up


class SlotWaits:
    """Runs whose slot someone else has: said once a run, and noted once a holder."""

    def __init__(self, observer: Callable[[LaunchEvent], None]) -> None:
        self._observer = observer
        self._runs: set[Key] = set()
        self._holders: dict[int, str] = {}
        """By slot, who has it, as the journal says."""

    def say(self, key: Key, run: Run, slot: int | None, by: str) -> None:
        """Say that a run waits, until it has started once."""
        if key not in self._runs:
            self._runs.add(key)
            self._observer(RunWaits(run, slot, by))

    def note(self, experiment: OpenExperiment, run: Run, slot: int, by: str) -> None:
        """Write into the journal who has a slot, where it says otherwise."""
        if self._holders.get(slot) != by:
            self._holders[slot] = by
            experiment.journal.write("waits", time.time(), run=run.id, slot=slot, by=by)

    def taken(self, slot: int) -> None:
        """Note that the slot was had."""
        self._holders.pop(slot, None)

    def started(self, key: Key) -> None:
        """Note that a run has started: what it waits for later is said again."""
        self._runs.discard(key)


def _key(experiment: OpenExperiment) -> str:
    return str(experiment.directory.path)


# ---- the user wants it to end --------------------------------------------------------------------


class Interrupts:
    """Counts Ctrl-C and SIGTERM while `heard`, and raises them nowhere: the supervisor looks at the
    count between two steps, so that nothing is torn in the middle; each further one means more.

    `notices` are signals that ask for a stop however often they come, and never kill.
    """

    def __init__(self, notices: Collection[int], wake: Callable[[], None]) -> None:
        self._notices = notices
        self._wake = wake
        self.count = 0
        self._passed_on = 0

    def take(self) -> Iterator[bool]:
        """Yield for each one that came since the last call whether it is to kill: all but the first
        are.
        """
        while self._passed_on < self.count:
            self._passed_on += 1
            yield self._passed_on > 1

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
