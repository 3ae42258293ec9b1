"""Launch an experiment on this machine: choose its slots, work out which runs are missing, and supervise them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from runslot.errors import InvalidInput
from runslot.experiment.records import Attempt, ExperimentFile, Outcome, Run
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import FAILED, UNFINISHED, ExperimentStatus, read_status
from runslot.hardware.affinity import slots_from_code
from runslot.hardware.busy import without_busy
from runslot.hardware.lease import Leases
from runslot.hardware.probe import probe
from runslot.hardware.resources import Resources
from runslot.hardware.slots import Slot, carve, describe_slots
from runslot.launch.creating import is_newest, point_latest
from runslot.launch.events import LaunchEvent, Observer, Said
from runslot.launch.local import Import, LocalLauncher
from runslot.launch.notifying import notifying
from runslot.launch.opened import OpenExperiment
from runslot.launch.supervisor import Share, Supervisor


class Outcomes(Sequence[Outcome]):
    """How each run of an experiment ended, in the order of its runs; runs without an attempt are left out."""

    def __init__(self, directory: Path, pairs: Sequence[tuple[Run, Outcome]], not_started: Sequence[Run] = ()) -> None:
        self.directory = directory
        """The experiment's directory."""
        self.pairs = tuple(pairs)
        """Each run with its outcome."""
        self.not_started = tuple(not_started)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Outcome]: ...

    def __getitem__(self, index: int | slice) -> Outcome | Sequence[Outcome]:
        return [outcome for _, outcome in self.pairs][index]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Outcome]:
        return iter([outcome for _, outcome in self.pairs])

    @property
    def all_succeeded(self) -> bool:
        """Whether every run of the experiment succeeded."""
        return not self.not_started and all(outcome.kind == "succeeded" for outcome in self)

    @property
    def failed(self) -> tuple[tuple[Run, Outcome], ...]:
        """Runs that ended otherwise than well."""
        return tuple((run, outcome) for run, outcome in self.pairs if outcome.kind != "succeeded")

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for outcome in self:
            counts[outcome.kind] = counts.get(outcome.kind, 0) + 1
        if self.not_started:
            counts["not started"] = len(self.not_started)
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no runs"
        return f"Outcomes({said}; {self.directory})"


@dataclass(frozen=True)
class Todo:
    """Which runs of an experiment a launch is about."""

    start: tuple[Run, ...]
    attempts: Mapping[str, int]
    adopt: tuple[tuple[Run, Attempt], ...]
    kept: int


def work_out(status: ExperimentStatus, failed: bool = False, only: Sequence[str] = ()) -> Todo:
    """Return what is missing: what never ended, what was lost or stopped, and on request what failed.

    `only` names run ids; the others are left as they are.
    """
    again = UNFINISHED | (FAILED if failed else frozenset())
    asked = [each for each in status.runs if not only or each.run.id in only]
    start = tuple(each.run for each in asked if each.state in again)
    attempts = {each.run.id: each.attempts + 1 for each in asked if each.state in again and each.attempts}
    adopt = tuple((each.run, each.attempt) for each in asked if each.state == "running" and each.attempt)
    return Todo(start, attempts, adopt, len(status.runs) - len(start) - len(adopt))


def choose_slots(
    file: ExperimentFile, runs: int | None, note: Callable[[str], None] = lambda _: None
) -> tuple[tuple[Slot, ...], str]:
    """Return the slots of this machine for an experiment, and what was chosen in one line.

    `note` is told, a line each, what of the machine cannot be used and why.
    """
    topology = probe()
    if file.affinity_code is not None:
        slots = slots_from_code(file.affinity_code, topology)
        return slots, f"{len(slots)} slots of the affinity code {file.affinity_code}"
    resources = Resources(**file.resources)
    topology = without_busy(topology, resources.avoid_busy, Leases())
    for line in topology.notes:
        note(line)
    slots = carve(topology, resources, runs)
    pinned = "" if hasattr(os, "sched_setaffinity") else "; this system can pin no process, and has no leases"
    return slots, describe_slots(topology, slots) + pinned


def launch(
    directory: ExperimentDir,
    observer: Observer,
    *,
    environment: Mapping[str, str] | None = None,
    failed: bool = False,
    only: Sequence[str] = (),
    take_over: bool = False,
    fresh: bool = False,
    notify: Sequence[str] = (),
) -> Outcomes:
    """Do what is missing of an experiment that is on disk, and return how all its runs stand.

    `notify` are URLs of services (apprise's) that are told of the end and of the first failure.
    Raises KeyboardInterrupt after the runs were stopped on Ctrl-C, and `Busy` where another launcher is at work.
    A `fresh` experiment that is refused before its first run is removed again.
    """
    experiment = OpenExperiment.open(directory, dict(os.environ if environment is None else environment), take_over)
    try:
        observer = notifying(observer, notify)
        status = read_status(directory)
        todo = work_out(status, failed, only)
        if not todo.start and not todo.adopt:
            observer(Said(f"nothing to do: {todo.kept} runs of {directory.path} have ended"))
            experiment.close()
            return outcomes_of(directory)
        # Of all its runs, not of the missing ones: a run that is made good gets the share that its siblings had.
        launcher = _launcher(experiment, len(status.runs), observer)
    except BaseException:
        refuse_fresh(experiment, fresh)
        raise
    try:
        if experiment.file.front_door == "native" and (fresh or is_newest(directory)):
            point_latest(directory)
        supervisor = Supervisor(launcher.engine, observer)
        supervisor.add(Share(experiment, todo.start, todo.attempts, todo.adopt, todo.kept, launcher.slots_said))
        supervisor.run()
    finally:
        launcher.engine.close()
        experiment.lock.release()
    if supervisor.interrupted:
        raise KeyboardInterrupt
    return outcomes_of(directory)


def refuse_fresh(experiment: OpenExperiment, fresh: bool) -> None:
    """Give an experiment back that cannot be launched; a fresh one, of which nothing has run, is removed."""
    experiment.close()
    if fresh:
        shutil.rmtree(experiment.directory.path)


@dataclass(frozen=True)
class _Engine:
    engine: LocalLauncher
    slots_said: str


def _launcher(experiment: OpenExperiment, runs: int, observer: Observer) -> _Engine:
    slots, said = choose_slots(experiment.file, runs, lambda line: observer(Said(line)))
    engine = local_launcher(experiment, slots, observer)
    try:
        check_function(engine, experiment)
    except BaseException:
        engine.close()
        raise
    return _Engine(engine, said)


def local_launcher(experiment: OpenExperiment, slots: Sequence[Slot], observer: Observer) -> LocalLauncher:
    """Return this machine as an engine, its templates writing to the experiment's launcher.log."""

    def say(text: str) -> None:
        event: LaunchEvent = Said(text)
        observer(event)

    return LocalLauncher(slots, experiment.directory.launcher_log, say)


def check_function(launcher: LocalLauncher, experiment: OpenExperiment) -> None:
    """Import the function before anything starts; `InvalidInput` has the end of its traceback."""
    if "function" not in experiment.file.work or experiment.policy.start == "cold":
        return
    wanted = Import.of(experiment.file, experiment.directory.path)
    try:
        launcher.prepare(wanted)
    except InvalidInput as error:
        raise InvalidInput(f"{wanted.function} cannot be imported, so no run was started:\n{error}") from error


def outcomes_of(directory: ExperimentDir) -> Outcomes:
    """Return how the runs of an experiment stand."""
    status = read_status(directory)
    pairs = [(each.run, each.outcome) for each in status.runs if each.outcome is not None]
    return Outcomes(directory.path, pairs, [each.run for each in status.runs if each.outcome is None])
