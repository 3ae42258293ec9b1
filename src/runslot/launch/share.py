"""What a launch is about (`Share`), how far the supervisor is with it (`Progress`), and where
(`SlotTable`).

Made by `launch.launch`, `launch.session` and `remote.worker`; the supervisor alone changes a
`Progress`, in its own thread.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from runslot.engines.events import LaunchEnded, LaunchLeft, LaunchStarted, Observer, Said
from runslot.engines.open_experiment import OddRequest, OpenExperiment, Request
from runslot.engines.protocol import Handle, HasHosts, Launcher, Recarves, Short, UnderWay
from runslot.errors import shortage_of
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot
from runslot.record import record
from runslot.scheduler import (
    Added,
    Ended,
    Event,
    GivenUp,
    Halted,
    Key,
    Paused,
    Recarved,
    SlotLeft,
    SlotsJoined,
    Start,
    State,
    StopAsked,
    Vanished,
)

if TYPE_CHECKING:
    from runslot.launch.growth import Growth
    from runslot.launch.hold import Holds


@record
class Share:
    """What a launch is about: an open experiment and those of its runs that are to be done."""

    experiment: OpenExperiment
    runs: tuple[Run, ...]
    """In the order of their start."""
    attempts: Mapping[str, int]
    """By run id: the next attempt's number, where it is not 1."""
    adopt: tuple[tuple[Run, UnderWay], ...] = ()
    """Runs that an earlier launcher started and that still run."""
    kept_count: int = 0
    slots_said: str = ""
    growth: Growth | None = None
    """What adds to its runs, and ends some early."""

    def announce(self, observer: Observer, slots: tuple[Slot, ...]) -> None:
        """Write into the journal that it begins, in these slots, and say it."""
        directory, name = self.experiment.directory.path, self.experiment.file.name
        runs = (*self.runs, *(run for run, _ in self.adopt))
        self.experiment.journal.write(
            "launcher_started",
            time.time(),
            host=host_name(),
            pid=os.getpid(),
            slots=len(slots),
            slots_said=self.slots_said,
            runs=len(runs),
        )
        file = self.experiment.file
        search = "" if self.growth is None or file.search is None else file.space
        observer(
            LaunchStarted(name, directory, runs, self.kept_count, slots, self.slots_said, search)
        )


@record(eq=False, frozen=False)
class Progress:
    """An experiment under way: which of its runs are left, and how the others ended."""

    experiment: OpenExperiment
    open_keys: set[Key]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By run id: the last one so far."""
    growth: Growth | None = None
    keys: dict[str, Key] = field(default_factory=dict)
    """By run id."""
    is_held: bool = False
    """Nothing further starts: it is paused, or its growth has a problem."""
    is_blocked: bool = False
    """What comes next could not be asked for, or listed: its directory is away, or a disk is full.
    """

    def waits(self, holds: Holds) -> bool:
        """Tell whether further runs may come though none is left: it is paused, or others' runs may
        make work for it, or there is no room for them, or its directory is away for a while.
        """
        growth = self.growth
        if growth is None or growth.problem or growth.is_over:
            return False
        return (
            self.is_held
            or growth.expects
            or (self.is_blocked and not holds.has_given_up(self.experiment))
        )

    def is_astray(self, holds: Holds, now: float) -> bool:
        """Tell whether its directory is away, and may come back: how it ended is read there."""
        is_away = bool(holds.away(self.experiment, now))
        return is_away and not holds.in_vain(self.experiment, False, now)

    def given_up(self, holds: Holds, under_way: Container[Key], now: float) -> Iterator[Event]:
        """Yield that none of its runs is started any more, where there is nothing to hope for."""
        if not holds.holding(self.experiment):
            return
        if holds.in_vain(self.experiment, any(key in under_way for key in self.open_keys), now):
            yield GivenUp(tuple(sorted(self.open_keys)), "could not be started")

    def halts(self, now: float) -> Iterator[Event]:
        """Yield which runs have shown enough; all are stopped where their search cannot go on."""
        if self.growth is None or self.is_held:
            return
        if halted := self.growth.look(now):
            yield Halted(tuple(self.keys[run] for run in halted))
        if self.growth.problem:
            self.is_held = True
            yield StopAsked(tuple(sorted(self.open_keys)))

    def grow(self, free: int, entries: list[LaunchRun], holds: Holds) -> Iterator[Event]:
        """Yield the runs that come next, for whom so many slots would wait."""
        if self.growth is None or self.is_held or not free:
            return
        now = time.monotonic()
        self.is_blocked = bool(holds.away(self.experiment, now))
        if self.is_blocked:
            return
        try:
            runs = self.growth.grow(free)
        except OSError as error:  # what was decided is listed with the next call
            reason = shortage_of(error)
            # Moved since it was looked for: the next call finds it away, or back already.
            if not reason and not isinstance(error, FileNotFoundError):
                raise
            self.is_blocked = True
            if reason:
                holds.short(self.experiment, reason, now)
            return
        for run, attempt in runs:
            key = self.keys.get(run.id)
            if key is None:
                key = self.keys[run.id] = len(entries)
                entries.append(LaunchRun(self, run))
            self.open_keys.add(key)
            yield Added((key,), self.experiment.policy, {key: attempt})

    def requests(self, observer: Observer) -> Iterator[Request]:
        """Yield what other terminals ask, noted in the journal; what is no request is said."""
        journal = self.experiment.journal
        for request in self.experiment.requests():
            if isinstance(request, OddRequest):
                journal.write("odd_request", time.time(), file=request.file.name, why=request.why)
                observer(Said(f"{request.file} {request.why}"))
                continue
            journal.write("request", time.time(), verb=request.verb, arguments=request.arguments)
            yield request

    def leave(self, observer: Observer) -> None:
        """Close the experiment, whose runs an engine goes on with."""
        count = len(self.open_keys)
        self.experiment.journal.write("launcher_left", time.time(), runs=count)
        self.experiment.close()
        observer(LaunchLeft(self.experiment.directory.path, count))

    def end(self, observer: Observer) -> None:
        """Close the experiment, whose runs are done."""
        if self.growth is not None and not self.is_held:
            self.growth.finish()
        counts = dict(Counter[str](outcome.kind for outcome in self.outcomes.values()))
        self.experiment.journal.write("launcher_ended", time.time(), counts=counts)
        self.experiment.close()
        observer(LaunchEnded(self.experiment.directory.path, counts))

    def wish(self, request: Request, alone: bool) -> Event:
        """Return what a request means; where the experiment is `alone`, a stop of all its runs is
        one of everything.
        """
        if request.verb in {"pause", "continue"}:
            self.is_held = request.verb == "pause"
            return Paused(tuple(sorted(self.open_keys)), self.is_held)
        runs = set(request.arguments)
        keys = sorted(
            key
            for run, key in self.keys.items()
            if key in self.open_keys and (not runs or run in runs)
        )
        everything = alone and not runs
        return StopAsked(None if everything else tuple(keys), kill=request.verb == "kill")


@record
class LaunchRun:
    """A run under way, and the progress of its experiment."""

    progress: Progress
    run: Run

    @property
    def experiment(self) -> OpenExperiment:
        """The experiment that it belongs to."""
        return self.progress.experiment


def end_meanwhile(key: Key, run_dir: RunDir, under_way: UnderWay) -> Event:
    """Return how a run ended of which nobody keeps it any more, though it was under way."""
    outcome = run_dir.read_outcome()
    if outcome is None or outcome.attempt < under_way.attempt:
        outcome = Outcome("lost", under_way.attempt, message="the process that kept it was killed")
    if outcome.kind == "lost" and under_way.elsewhere:
        return Vanished(key, outcome)
    return Ended(key, outcome)


def could_not_start(start: Start, error: Exception) -> Outcome:
    """Return the outcome of a run whose start failed before anything of it began."""
    # Lost, not failed: the run has done nothing yet, and a resume is right to start it.
    return Outcome(
        "lost",
        start.attempt,
        ended=time.time(),
        host=host_name(),
        message=f"could not be started: {error}",
    )


class SlotTable:
    """The slots of a launcher, which may change under way: hosts join late, a run leaves its slot
    before its files are home, and what runs used makes other slots better. An index is one slot's
    as long as the launch goes on.
    """

    def __init__(self, launcher: Launcher) -> None:
        slots = launcher.slots()
        self._hosts = launcher if isinstance(launcher, HasHosts) else None
        self._carver = launcher if isinstance(launcher, Recarves) else None
        self._by_index = {slot.index: slot for slot in slots or ()}
        self.indices = None if slots is None else tuple(self._by_index)
        """Of the slots at the beginning; None where the engine has a queue of its own."""

    def __getitem__(self, index: int) -> Slot:
        """Return a slot that a run may be started in."""
        return self._by_index[index]

    def all(self) -> tuple[Slot, ...]:
        """Return the slots that there are."""
        return tuple(self._by_index.values())

    def meeting(self, slot: Slot | None) -> tuple[int, ...]:
        """Return the indices of those that a run in `slot` is in the way of."""
        return tuple(i for i, other in self._by_index.items() if slot and other.overlaps(slot))

    def changes(self, keys: Mapping[Handle, Key], runs: Sequence[LaunchRun]) -> Iterator[Event]:
        """Yield which slots are new, and which are free though their runs' files have yet to come;
        a search waits for the files, on which it depends what comes next.
        """
        if self._hosts is None:
            return
        if joined := self._hosts.joined():
            self._by_index |= {slot.index: slot for slot in joined}
            yield SlotsJoined(tuple(slot.index for slot in joined))
        vacancies = [keys[handle] for handle in self._hosts.vacant() if handle in keys]
        yield from (SlotLeft(key) for key in vacancies if runs[key].progress.growth is None)

    def recarve(self, state: State, key: Key, outcome: Outcome | Short) -> Recarved | None:
        """Return the slots from here on, where how a run ended changes them."""
        if self._carver is None or isinstance(outcome, Short):
            return None
        occupied = {
            key: [self._by_index[index] for index in run.occupies if index in self._by_index]
            for key, run in state.running.items()
        }
        places = occupied.get(key)
        carved = self._carver.recarve(places[0], outcome) if places else None
        if carved is None:
            return None
        self._by_index = {slot.index: slot for slot in carved}
        indices_by_key = {
            key: tuple(new.index for new in carved if any(map(new.shares_with, old)))
            for key, old in occupied.items()
        }
        return Recarved(tuple(self._by_index), indices_by_key)
