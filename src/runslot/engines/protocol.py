"""What an engine is: a `LauncherConfig`, the record of its table, which opens a `Launcher` for one
experiment.

The registry finds the record by its kind; a launch opens it, and the supervisor works with the
launcher alone. What differs between engines is said by the record's capabilities: nobody asks which
engine it is. `docs/own-engine.md` goes through a whole one, and `runslot.testing.LauncherContract`
is what each must pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from runslot.errors import InvalidInput
from runslot.experiment.records import Attempt, Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.hardware.slots import Slot
from runslot.record import record

if TYPE_CHECKING:
    from runslot.engines.events import Observer
    from runslot.engines.open_experiment import OpenExperiment
    from runslot.experiment.status import ExperimentStatus, RunStatus


@record
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


@record
class Handle:
    """A run that was started, as its engine knows it."""

    run_dir: RunDir
    attempt: int
    name: str
    """The engine's own name for it: a pid, a job id."""


@record
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
    """Whether a machine has it that cannot be asked from here: its claim is all that tells of
    it.
    """

    @classmethod
    def of(cls, status: RunStatus) -> UnderWay:
        """Return what is known of a run that an earlier launcher started."""
        return cls(
            status.attempts, status.attempt, status.name, status.host, status.claim is not None
        )


@record
class Taken:
    """The slot is held by someone else's run."""

    by: str


@record
class Short(Taken):
    """The machine has too little of something, `by`, to start the run now: nothing of it has
    begun.
    """


class Launcher(Protocol):
    """Starts runs somewhere. Who derives from it need not say how slots are taken where nobody else
    takes any.
    """

    def slots(self) -> Sequence[Slot] | None:
        """Return the slots that runs are placed in; None where the engine keeps a queue of its
        own.
        """

    def reserve(self, slot: Slot, experiment: str, run: str) -> Taken | None:
        """Take a slot for a run that `start` is asked for next; who has it, where someone else
        does.
        """
        del slot, experiment, run
        return None

    def release(self, slot: Slot) -> None:
        """Give a reserved slot back: its run is not started after all."""
        del slot

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Start the runs, one answer each, in order; an outcome where a run cannot be started at
        all.
        """

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Return a handle for a run that an earlier launcher started; None where it neither runs
        nor waits to.

        Where it has ended, but its files have not come home, `poll` of the handle brings them and
        the outcome.
        """

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | Short | None]:
        """Return how each run ended, or None while it runs; `Short` where it turns out not to have
        begun.
        """

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Ask the runs to stop, or kill them; a request, which `poll` confirms."""

    def wait(self, timeout: float | None) -> None:
        """Return when something may have changed, or after `timeout` seconds."""

    def wake(self) -> None:
        """Make `wait` return, from another thread or a signal handler."""

    def close(self) -> None:
        """Give back what the launcher holds on this machine; runs under way go on."""


@runtime_checkable
class HasBacklog(Protocol):
    """A launcher whose system may have no room for all runs at once."""

    @property
    def backlog(self) -> int:
        """How many runs it was given that its system does not have yet: whoever leaves the others
        to it has to stay until they are in.
        """


@runtime_checkable
class HasHosts(Protocol):
    """A launcher whose slots are other machines': they may join late, and are free again before all
    that their run wrote is here.
    """

    def joined(self) -> Sequence[Slot]:
        """Return slots that came since this was last asked."""

    def vacant(self) -> Collection[Handle]:
        """Return runs that have ended well since this was last asked, and left their slots; `poll`
        tells of each when its files are home.
        """


@runtime_checkable
class Recarves(Protocol):
    """A launcher whose slots follow from what its runs have used."""

    def recarve(self, slot: Slot, outcome: Outcome) -> Sequence[Slot] | None:
        """Return the slots from here on, their indices new, where the end of the run in `slot`
        changes them.
        """


class Crew(Protocol):
    """What a pilot of a search knows of itself and of the others, from the system that runs
    them.
    """

    name: str
    """Of this pilot, as the journal has it: `slurm/0001/3`."""
    job: str
    """What the system calls it."""

    def look(self, is_due: bool = False) -> None:
        """Ask the system how the others are, where that is due; it may take seconds."""

    def gone(self, pilot: str, since: float) -> str:
        """Return why a pilot that was at work at a moment (Unix time) is so no longer; empty where
        it may be, and where the system was last asked before.
        """

    @property
    def is_time_up(self) -> bool:
        """Whether its time limit is why its runs end."""

    def may_begin(self, longest: float) -> bool:
        """Tell whether there is time for a run that takes as long as the longest so far."""

    def is_stop_asked(self, run: str, pilot: str) -> bool:
        """Tell whether somebody asked for a run of a pilot to stop."""

    def why_ended(self, outcome: Outcome, obstacle: str) -> Outcome:
        """Return how a run ended that nobody asked to stop, and that ended with its pilot; the
        obstacle is why it would begin anew, and is empty where it can continue.
        """


class Pilots(Crew, Protocol):
    """Sends processes to an engine with a queue that ask for the runs of a search by themselves."""

    @property
    def most(self) -> int:
        """How many there are at a time, at most."""

    @property
    def slots(self) -> int:
        """How many runs each has at a time."""

    def living(self) -> int:
        """Return how many there are, waiting or at work."""

    def check(self) -> str:
        """Get ready to send some; return what each has, in one line. `InvalidInput` where they
        would not be taken.
        """

    def send(self, count: int) -> None:
        """Hand so many over."""

    def withdraw_stops(self) -> None:
        """Forget which runs were to stop: they are asked for again."""

    def stop(self, kill: bool) -> None:
        """Have them ask for nothing further, and end them."""

    def close(self) -> None:
        """Leave them to their engine."""


# ---- the record, from which a launcher is opened -------------------------------------------------


@record
class Engine:
    """A launcher that is open for one experiment."""

    launcher: Launcher
    slots_said: str
    """The slots, or the queue, in one line."""


@record
class Finding:
    """One thing that `runslot launchers check` tried."""

    what: str
    """As `login node1`."""
    well: bool
    said: str = ""
    """What was seen."""
    fix: str = ""
    """What to do, where it is not well."""


@record
class Facts:
    """What an engine alone knows of an experiment, as what it has cost; for `runslot status`."""

    line: str = ""
    """For people."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """For programs: keys of the experiment in `status --json`."""


@dataclass(frozen=True)
class LauncherConfig(ABC):
    """A table `[launchers.NAME]` of the configuration: a frozen dataclass, whose further fields are
    the table's keys.

    Keys are texts, numbers, true or false, tuples of these, `Literal` words, and mappings; `None`
    is a key that is not given. `__post_init__` refuses with `InvalidInput` what they cannot mean
    together. An engine implements `open`, and overrides what else is different about it.
    """

    name: str
    """The table's, for people."""

    leaves: ClassVar[bool] = False
    """Runs are handed over to a queue, and go on without the launch: it need not wait for them."""
    grows: ClassVar[bool] = False
    """It takes further runs of an experiment while it is launched, as a search has them."""
    shares_machine: ClassVar[bool] = True
    """Its runs may be on this machine, and then are processes that can be looked at; false where
    that cannot be.
    """
    recarves: ClassVar[bool] = False
    """How many runs share a GPU may follow from what they used (`runs_per_gpu = "auto"`)."""
    scripts: ClassVar[bool] = False
    """It has a field `script_only`: with it, what would be submitted is written, and nothing is
    submitted.
    """
    limits: ClassVar[tuple[str, ...]] = ()
    """Its fields that `--max-cost` and `--max-hours` set: `max_cost`, `max_hours`."""

    @property
    def moves(self) -> bool:
        """Whether the experiment's directory is brought to other paths, with a copy of the code in
        it.
        """
        return False

    def with_values(self, **values: Any) -> LauncherConfig:
        """Return the record with other values of some of its keys; `InvalidInput` where its kind
        has no such key.
        """
        unknown = sorted(values.keys() - {field.name for field in fields(self)})
        if unknown:
            raise InvalidInput(f"the launcher {self.name!r} has no key {' or '.join(unknown)}")
        return replace(self, **values)

    @abstractmethod
    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Return the engine for an experiment of `runs` runs; `InvalidInput` where it cannot be
        had.

        With 0 runs nothing is to be started, and what was handed over before is to be watched, or
        stopped.
        """

    def pilots(self, experiment: OpenExperiment, observer: Observer) -> Pilots | None:
        """Return what sends the pilots of a search, which decide for themselves; None where the
        launcher decides.
        """
        del experiment, observer
        return None

    def search_obstacle(self) -> str:
        """Return why a search cannot go there; empty where it can."""
        return "" if self.grows else "takes all its runs at once: leave --on out"

    def give_back(self, experiment: OpenExperiment, observer: Observer) -> None:  # noqa: B027  an engine may hold nothing
        """Give back what is still held for an experiment that has nothing further to do, as a
        rented machine.
        """

    def check(self) -> Iterator[Finding]:
        """Try what runs will need, one thing after the other; nothing where there is nothing to be
        tried.
        """
        return iter(())

    def probe(self) -> Iterator[Finding]:
        """Submit something small, which shows what runs will meet where they are executed; nothing
        where `check` has tried it there.
        """
        return iter(())

    @property
    def probe_cost(self) -> str:
        """Return what `probe` costs, in words, where that is to be agreed to first."""
        return ""

    def refresh(self, status: ExperimentStatus) -> ExperimentStatus:
        """Return the status with what the engine knows better than the files, as which runs still
        wait in its queue.
        """
        return status

    def facts(self, experiment: ExperimentDir, path_text: str) -> Facts | None:
        """Return what else `runslot status` is to say of an experiment, whose path people see as
        `path_text`.
        """
        del experiment, path_text
        return None
