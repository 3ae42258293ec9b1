"""What a launch looks like at one moment: who is in which slot, what has ended, how long it may
still take. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from runslot.engines.events import (
    LaunchEvent,
    LaunchStarted,
    RunDropped,
    RunEnded,
    RunsAdded,
    RunStarted,
    RunWaits,
    SearchStands,
    StopNoted,
)
from runslot.experiment.records import Outcome, Run
from runslot.experiment.states import HALTED
from runslot.experiment.status import time_left
from runslot.record import record


@record
class RunningRun:
    """A run that executes."""

    run: Run
    directory: Path
    attempt: int
    slot: int | None
    started: float
    """Unix time."""


@record
class WaitingRun:
    """A run whose slot someone else holds."""

    run: Run
    slot: int | None
    by: str


@dataclass
class Board:
    """The state that events leave behind; times are Unix times."""

    total: int = 0
    slots: tuple[int, ...] = ()
    longest: int = 0
    """Characters of the longest run directory."""
    started: float = 0.0
    running: dict[str, RunningRun] = field(default_factory=dict)
    """By run id."""
    waiting: dict[str, WaitingRun] = field(default_factory=dict)
    """By run id."""
    succeeded: int = 0
    failed: int = 0
    """All that ended otherwise than well and is not tried again, but for what was stopped."""
    stopped: int = 0
    halted: set[str] = field(default_factory=set)
    """Runs that a search has pruned, or paused: the latter may go on."""
    dropped: int = 0
    search: tuple[str, ...] = ()
    """How a search stands, in lines."""
    stopping: StopNoted | None = None
    durations: list[float] = field(default_factory=list)
    """Of the attempts that succeeded, seconds."""

    @property
    def done(self) -> int:
        """How many runs will not run again."""
        return self.succeeded + self.failed + self.stopped + self.dropped + len(self.halted)

    @property
    def queued(self) -> int:
        """How many runs have not begun, or are to be tried again."""
        return max(0, self.total - self.done - len(self.running))

    def note(self, event: LaunchEvent, now: float) -> None:
        """Take note of an event."""
        match event:
            case LaunchStarted():
                self.total += len(event.runs)
                self.longest = max([self.longest, *(len(run.directory) for run in event.runs)])
                self.slots = tuple(sorted({*self.slots, *(slot.index for slot in event.slots)}))
                self.started = self.started or now
            case RunsAdded():
                self.total += len(event.runs)
                self.longest = max([self.longest, *(len(run.directory) for run in event.runs)])
            case SearchStands():
                self.search = event.lines
            case RunStarted():
                self._forget_waits(event.run.id, event.slot)
                started = RunningRun(event.run, event.directory, event.attempt, event.slot, now)
                self.running[event.run.id] = started
                self.halted.discard(event.run.id)
            case RunWaits():
                self.running.pop(event.run.id, None)  # it had not begun, after all
                self._forget_waits(event.run.id, event.slot)
                self.waiting[event.run.id] = WaitingRun(event.run, event.slot, event.by)
            case RunEnded():
                self.running.pop(event.run.id, None)
                self._count(event.run.id, event.outcome, event.retry)
            case RunDropped():
                self.waiting.pop(event.run.id, None)
                self.dropped += 1
            case StopNoted():
                self.stopping = event
            case _:
                pass

    def _forget_waits(self, run: str, slot: int | None) -> None:
        self.waiting = {
            other: wait
            for other, wait in self.waiting.items()
            if other != run and (slot is None or wait.slot != slot)
        }

    def _count(self, run: str, outcome: Outcome, retry: bool) -> None:
        if retry:
            return
        if outcome.kind == "succeeded":
            self.succeeded += 1
            if outcome.started is not None and outcome.ended is not None:
                self.durations.append(outcome.ended - outcome.started)
        elif outcome.kind in HALTED:
            self.halted.add(run)
        elif outcome.kind == "stopped":
            self.stopped += 1
        else:
            self.failed += 1

    def left(self, now: float) -> float | None:
        """Return about how many seconds the rest will take; None while no run has succeeded."""
        elapsed = [now - running.started for running in self.running.values()]
        return time_left(self.durations, elapsed, self.queued, len(self.slots))
