"""What every engine offers to the loop: slots, start, poll, stop, wait. A new engine is a class with these methods."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from runslot.experiment.records import Attempt, Outcome, Run
from runslot.experiment.rundir import RunDir
from runslot.experiment.status import RunStatus
from runslot.hardware.slots import Slot


@dataclass(frozen=True)
class Placed:
    """A run that is to start: its directory is complete (`run.json`), its slot chosen."""

    run: Run
    experiment: str
    """The experiment's name, for whoever waits for the slot."""
    run_dir: RunDir
    attempt: int
    slot: Slot | None
    environment: Mapping[str, str]
    """The caller's environment."""


class LeftRunning(KeyboardInterrupt):
    """After Ctrl-C the user leaves the runs to the engine, which goes on without this launch."""


@dataclass(frozen=True)
class Handle:
    """A run that was started, as its engine knows it."""

    run_dir: RunDir
    attempt: int
    name: str
    """The engine's own name for it: a pid, a job id."""


@dataclass(frozen=True)
class UnderWay:
    """A run that an earlier launcher started, as far as the files here tell."""

    attempt: int
    record: Attempt | None
    """What its keeper wrote, where that has come home."""
    name: str | None = None
    """The engine's own name for it (`Handle.name`), as the journal has it."""
    host: str | None = None
    """Of the slot that it was started in, where the engine has slots of several hosts."""
    elsewhere: bool = False
    """Whether a machine has it that cannot be asked from here: its claim is all that tells of it."""

    @classmethod
    def of(cls, status: RunStatus) -> UnderWay:
        """Return what is known of a run that an earlier launcher started."""
        return cls(status.attempts, status.attempt, status.name, status.host, status.claim is not None)


@dataclass(frozen=True)
class Taken:
    """The slot is held by someone else's run."""

    by: str


@dataclass(frozen=True)
class Short(Taken):
    """The machine has too little of something, `by`, to start the run now: nothing of it has begun."""


class Launcher(Protocol):
    """Starts runs somewhere."""

    def slots(self) -> Sequence[Slot] | None:
        """Return the slots that runs are placed in; None where the engine keeps a queue of its own."""

    def reserve(self, slot: Slot, experiment: str, run: str) -> Taken | None:
        """Take a slot for a run that `start` is asked for next; who has it, where someone else does."""

    def release(self, slot: Slot) -> None:
        """Give a reserved slot back: its run is not started after all."""

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Start the runs, one answer each, in order; an outcome where a run cannot be started at all."""

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Return a handle for a run that an earlier launcher started; None where it neither runs nor waits to.

        Where it has ended, but its files have not come home, `poll` of the handle brings them and the outcome.
        """

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | Short | None]:
        """Return how each run ended, or None while it runs; `Short` where it turns out not to have begun."""

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Ask the runs to stop, or kill them; a request, which `poll` confirms."""

    def wait(self, timeout: float | None) -> None:
        """Return when something may have changed, or after `timeout` seconds."""

    def wake(self) -> None:
        """Make `wait` return, from another thread or a signal handler."""

    def close(self) -> None:
        """Give back what the launcher holds on this machine; runs under way go on."""
