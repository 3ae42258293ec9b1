"""This machine as a place for runs: which slots an experiment gets here, and the engine that starts
runs in them.

An experiment whose runs execute in a container: what is made and checked for it before the first
run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from runslot.engines.events import LaunchEvent, Observer, Said
from runslot.engines.local.launcher import LocalLauncher
from runslot.engines.local.recarve import Recarver
from runslot.engines.local.template import Import
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Engine, Finding, LauncherConfig
from runslot.errors import InvalidInput
from runslot.execute.leftovers import Leftover, end_escaped
from runslot.experiment.current import RUN_VARIABLE
from runslot.experiment.records import (
    Command,
    ExperimentFile,
    Outcome,
    Run,
    RunFile,
    travels_by_value,
)
from runslot.experiment.rundir import RunDir
from runslot.experiment.status import ExperimentStatus
from runslot.hardware.busy import without_busy
from runslot.hardware.lease import Leases
from runslot.hardware.probe import probe
from runslot.hardware.slots import Slot, carve, describe_quota, describe_slots

if TYPE_CHECKING:
    from runslot.experiment.status import ExperimentStatus


@dataclass(frozen=True)
class ThisMachine(LauncherConfig):
    """Runs in slots of the machine that launches them."""

    name: str = "local"
    recarves: ClassVar[bool] = True

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Choose the slots, and import a function once, so that one that cannot be is refused
        before any run.
        """
        slots, slots_text = choose_slots(experiment.file, runs, lambda line: observer(Said(line)))
        recarver = recarver_of(experiment.file, runs)
        if recarver is not None and (obstacle := recarver.obstacle):
            observer(Said(obstacle))
        if recarver is not None and _recall(recarver, experiment):
            slots = recarver.slots(())
            slots_text = recarver.describe(slots)
        _refuse_inside_run(slots)
        launcher = local_launcher(experiment, slots, observer, recarver)
        try:
            check_function(launcher, experiment)
        except BaseException:
            launcher.close()
            raise
        return Engine(launcher, slots_text)

    def check(self) -> Iterator[Finding]:
        """Say what the machine has."""
        topology = probe()
        text = f"{len(topology.cores)} cores, {len(topology.gpus)} GPUs"
        yield Finding(f"hardware of {topology.host}", True, "; ".join([text, *topology.notes]))


def end_lost(status: ExperimentStatus) -> int:
    """End what still runs of runs whose keepers were killed while no launcher was at work; returns
    how many processes.

    Before anything starts: they would hold the slots that they were given.
    """
    if status.file.launcher is not None:
        return 0
    lost = [
        status_of_run.run
        for status_of_run in status.runs
        if status_of_run.state == "lost" and status_of_run.ended is None
    ]
    return end_escaped(*(status.directory.run_dir(run, status.file).path for run in lost))


def choose_slots(
    file: ExperimentFile, runs: int | None, note: Callable[[str], None] = lambda _: None
) -> tuple[tuple[Slot, ...], str]:
    """Return the slots of this machine for an experiment, and what was chosen in one line.

    `note` is told, a line each, what of the machine cannot be used and why.
    """
    topology = probe()
    if file.affinity_code is not None:
        from runslot.hardware.affinity import slots_from_code  # rlpyt's codes alone need it

        slots = slots_from_code(file.affinity_code, topology)
        quota = describe_quota(topology, len({core for slot in slots for core in slot.cores}))
        beyond = f", which go beyond {quota}" if quota else ""
        return slots, f"{len(slots)} slots of the affinity code {file.affinity_code}{beyond}"
    resources = file.resources
    if topology.gpus or resources.avoid_busy == "all":
        topology = without_busy(topology, resources.avoid_busy, Leases())
    for line in topology.notes:
        note(line)
    slots = carve(topology, resources, runs)
    pinned = (
        ""
        if hasattr(os, "sched_setaffinity")
        else "; this system can pin no process, and has no leases"
    )
    return slots, describe_slots(topology, slots) + pinned


def _refuse_inside_run(slots: Sequence[Slot]) -> None:
    """Refuse a launch inside a run that holds all these slots: each would wait for the other."""
    directory = os.environ.get(RUN_VARIABLE)
    run_dir = RunDir(Path(directory)) if directory else None
    attempt = run_dir.read_attempt() if run_dir is not None else None
    if run_dir is None or attempt is None or attempt.occupied is None:
        return
    outcome = run_dir.read_outcome()
    if outcome is not None and outcome.attempt == attempt.attempt:
        return  # what it left behind launches
    leases, lease = Leases(), attempt.occupied
    if lease.shares_cores or not all(
        any(core in lease.cores and leases.is_held(core) for core in slot.cores) for slot in slots
    ):
        return
    raise InvalidInput(
        f"this launch is inside a run, {run_dir.path}, which holds the cores that it could have"
        " until it ends: each would wait for the other; launch it from outside of a run"
    )


def recarver_of(file: ExperimentFile, runs: int | None) -> Recarver | None:
    """Return what decides how many runs share a GPU, where the experiment leaves it open."""
    resources = file.resources
    if resources.runs_per_gpu != "auto" or file.affinity_code is not None:
        return None
    topology = without_busy(probe(), resources.avoid_busy, Leases())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Recarver(topology, resources, runs, memory)


def _recall(recarver: Recarver, experiment: OpenExperiment) -> bool:
    """Tell what the runs used that an earlier launch has done, in the order of their ends; whether
    it changes the slots.
    """
    ends: list[tuple[Slot, Outcome]] = []
    for run in experiment.directory.read_runs():
        run_dir = experiment.run_dir(run)
        outcome, attempt = run_dir.read_outcome(), run_dir.read_attempt()
        if outcome is not None and attempt is not None and attempt.occupied is not None:
            ends.append((attempt.occupied, outcome))
    ends.sort(key=lambda end: end[1].ended or 0.0)
    changes = False
    for slot, outcome in ends:
        changes |= recarver.note(slot, outcome)
    return changes


def local_launcher(
    experiment: OpenExperiment,
    slots: Sequence[Slot],
    observer: Observer,
    recarver: Recarver | None = None,
    leftovers: Sequence[Leftover] | None = None,
) -> LocalLauncher:
    """Return this machine as an engine, its templates writing to the experiment's launcher.log;
    `leftovers` as `LocalLauncher` takes them.
    """

    def say(text: str) -> None:
        event: LaunchEvent = Said(text)
        observer(event)

    return LocalLauncher(slots, experiment.directory.launcher_log, say, recarver, leftovers)


def check_function(launcher: LocalLauncher, experiment: OpenExperiment) -> None:
    """Import the function before anything starts, in its container where it has one.

    `InvalidInput` has the end of the traceback, or says what the container's engine or image lacks.
    """
    file = experiment.file
    if file.container is not None:
        check_container(experiment, launcher)
        return
    if isinstance(file.work, Command) or experiment.policy.start == "cold":
        return
    imported = Import.of(file.work, file, experiment.directory.path)
    try:
        launcher.prepare(imported)
    except InvalidInput as error:
        raise InvalidInput(
            f"{imported.function} cannot be imported, so no run was started:\n{error}"
        ) from error


# ---- runs in containers --------------------------------------------------------------------------


def check_container(experiment: OpenExperiment, launcher: LocalLauncher) -> None:
    """Refuse an image, an engine or a function that no run could execute with; for a launcher
    once.
    """
    from runslot.execute.image import check_image  # this, and the archive, cost a launch 10 ms
    from runslot.transport.zipapp import experiment_archive

    file, home = experiment.file, experiment.directory.path
    if file.container is None:
        raise InvalidInput(f"{home} has no container")
    if travels_by_value(file.work) or experiment.directory.payloads.exists():
        experiment_archive(experiment.directory)  # for cloudpickle, which images need not have
    key = repr((file.container, file.work, file.cwd, file.path))
    if key in launcher.checked:
        return
    run = RunFile(
        run=Run("", "", {}, ""),
        experiment=file.name,
        work=file.work,
        cwd=file.cwd,
        python=file.python,
        path=file.path,
        python_path=file.python_path,
        home=os.curdir,
        policy=file.policy,
        gpu_visibility=file.gpu_visibility,
        container=file.container,
    )
    slot = next(iter(launcher.slots()), None)
    check_image(Path(home), run, file.python_version, slot, experiment.environment, launcher.say)
    launcher.checked.add(key)
