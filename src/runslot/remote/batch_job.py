"""What a task asks of its batch system: how much time is left, what it was given, to be started
again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from runslot.engines.batch.task import read_time, write_indices
from runslot.engines.events import Observer, Said
from runslot.engines.local.config import ThisMachine, check_function, local_launcher
from runslot.engines.local.fork import fork_empty
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Engine
from runslot.experiment.records import Command, ExperimentFile
from runslot.hardware.probe import probe
from runslot.hardware.resources import Resources
from runslot.hardware.slots import Slot, carve, describe_slots
from runslot.hardware.topology import Gpu, Topology


class BatchJob(ABC):
    """The job that this process belongs to."""

    number_variables: ClassVar[tuple[str, ...]]
    """Of its environment: those that may have its id."""
    cpu_variables: ClassVar[tuple[str, ...]]
    """Those that may say how many CPUs of this node it has."""
    gpu_variables: ClassVar[tuple[str, ...]]
    """Those of which one is there where it was given GPUs."""

    def __init__(self, environment: Mapping[str, str], limit: float | None = None) -> None:
        self.environment = environment
        self.limit = limit
        """Seconds that it may take, where its script says so."""
        self.started = time.monotonic()

    def tell_in_time(self, ahead: int) -> None:
        """Send this process SIGUSR1 `ahead` seconds before the limit, where the system does not."""
        if self.limit is not None:  # no thread, which would keep this process from forks
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
            signal.setitimer(signal.ITIMER_REAL, max(0.001, self.limit - ahead))

    @property
    def id(self) -> str:
        """Its id; empty where there is none."""
        return next(
            (self.environment[name] for name in self.number_variables if name in self.environment),
            "",
        )

    @property
    def cpus(self) -> int | None:
        """How many CPUs of this node it has; None where it does not say."""
        values = (self.environment.get(name, "") for name in self.cpu_variables)
        return next((int(value) for value in values if value.isdigit()), None)

    @property
    def has_gpus(self) -> bool:
        """Whether it was given GPUs, or all of the node's are its own to choose from."""
        return any(name in self.environment for name in self.gpu_variables)

    def named_gpus(self) -> Mapping[str, str]:
        """Return the variables that name the GPUs it was given, where the system does so in words
        of its own.
        """
        return {}

    @abstractmethod
    def time_left(self) -> float | None:
        """Return the seconds that it has left; None where that is not known."""

    @abstractmethod
    def requeue_command(self) -> list[str]:
        """Return the command that starts this task again, and ends this process."""

    def dismissal(self, tasks: Collection[int]) -> list[str]:
        """Return the command that ends tasks of this array that have nothing to do; none where they
        have to see for themselves.
        """
        del tasks
        return []


class SlurmJob(BatchJob):
    """A task of Slurm."""

    number_variables = ("SLURM_JOB_ID",)
    cpu_variables = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
    gpu_variables = (
        "CUDA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "SLURM_JOB_GPUS",
        "SLURM_GPUS_ON_NODE",
    )

    def time_left(self) -> float | None:
        """Return the seconds that the job has left, as Slurm says; None where it does not."""
        words = _printed(["squeue", "--noheader", f"--jobs={self.id}", "--format=%L %r"]).split()
        if words[1:] == ["TimeLimit"]:  # which it is ended for; what is left is no time any more
            return 0.0
        return read_time(words[0]) if words else None

    def requeue_command(self) -> list[str]:
        """Return the command that has Slurm start this task again."""
        return ["scontrol", "requeue", self.id]

    def dismissal(self, tasks: Collection[int]) -> list[str]:
        """Return the command that ends those of these tasks that wait."""
        array = self.environment.get("SLURM_ARRAY_JOB_ID")
        indices = f"{array}_[{write_indices(tasks)}]"
        return [] if array is None else ["scancel", "--state=PENDING", indices]


def _printed(argv: Sequence[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


class PBSJob(BatchJob):
    """A task of PBS, which tells nobody how much time is left: its script says what the limit
    is.
    """

    number_variables = ("PBS_JOBID",)
    cpu_variables = ("NCPUS", "PBS_NUM_PPN")
    gpu_variables = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "PBS_GPUFILE")

    def time_left(self) -> float | None:
        """Return the seconds that the job has left; None where its script names no limit."""
        return None if self.limit is None else self.limit - (time.monotonic() - self.started)

    def named_gpus(self) -> Mapping[str, str]:
        """Return the GPUs of Torque's file, a line each: `node1-gpu2`. OpenPBS confines a job to
        its own.
        """
        file = self.environment.get("PBS_GPUFILE")
        if file is None or "CUDA_VISIBLE_DEVICES" in self.environment:
            return {}
        try:
            numbers = re.findall(r"-gpu(\d+)\s*$", Path(file).read_text(), re.MULTILINE)
        except OSError:  # the job's own GPUs are all that are seen, or none is
            return {}
        return {"CUDA_VISIBLE_DEVICES": ",".join(numbers)}

    def requeue_command(self) -> list[str]:
        """Return the command that has PBS start this task again, where it lets users do so."""
        return ["qrerun", self.id]


SYSTEMS: Mapping[str, type[BatchJob]] = {"slurm": SlurmJob, "pbs": PBSJob}
"""By the word of `--system`, which is the directory of its submissions."""


@dataclass(frozen=True)
class JobAllocation(ThisMachine):
    """The share of a node that a job has, divided among the runs of its task."""

    name: str = "allocation"
    job: BatchJob = field(kw_only=True)

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Divide what this process may use among the runs."""
        resources = experiment.file.resources
        has_gpus = bool(resources.gpus) or self.job.has_gpus  # else the node's are others'
        topology = with_gpus_named(probe(gpus=has_gpus), os.environ)
        for note in topology.notes:
            observer(Said(note))
        turn = self.job.id.partition(".")[0].partition("[")[0]
        slots = divide(topology, resources, runs, self.job.cpus, int(turn) if turn.isdigit() else 0)
        _fork_template(experiment.file)
        launcher = local_launcher(experiment, slots, observer, leftovers=())
        try:
            check_function(launcher, experiment)
        except BaseException:
            launcher.close()
            raise
        return Engine(launcher, describe_slots(topology, slots))


def _fork_template(file: ExperimentFile) -> None:
    """Have this process forked as the template of the task's runs: many tasks begin at once on a
    node, and a second interpreter costs each as much as all else. Not so a pilot, which has loaded
    what decides about its search, with pools of threads.
    """
    is_bare = (
        isinstance(file.work, Command) or file.container is not None or file.policy.start == "cold"
    )
    is_own_python = file.interpreter is None and file.python == sys.executable
    if file.search is None and (is_bare or is_own_python):
        fork_empty(is_bare)  # where it cannot be, one is started when it is needed


def divide(
    topology: Topology, resources: Resources, runs: int, cpus: int | None, turn: int = 0
) -> tuple[Slot, ...]:
    """Return a slot for each of `runs` runs, of all that the job has.

    Where the node leaves open which CPUs a job uses (`cpus` are fewer than this process may use),
    runs are not pinned, as nothing else of such a job is: whatever they were pinned to, another job
    might be using it. `turn` differs from job to job, so that programs that pin themselves do not
    all choose the same cores.
    """
    node_resources = replace(
        resources, cpus=None, memory=None, reserved_cpus=0, threads="all", cpus_per_worker=1
    )
    usable = [core for core in topology.cores if set(core.pus) & set(topology.allowed)]
    is_open = cpus is not None and len(topology.allowed) > cpus
    if len(usable) < runs:
        node_resources = replace(node_resources, threads="cores")
    slots = carve(topology, node_resources, runs)[:runs]
    if not is_open or cpus is None:
        return tuple(
            replace(slot, cpus_per_worker=min(resources.cpus_per_worker, slot.size or 1))
            for slot in slots
        )
    width = max(1, cpus // runs)
    order = usable[turn % len(usable) :] + usable[: turn % len(usable)]
    return tuple(
        replace(
            slot,
            cores=tuple((order * runs)[slot.index * width : (slot.index + 1) * width]),
            pus=topology.allowed,
            shares_cores=False,
            cpus_per_worker=min(resources.cpus_per_worker, width),
        )
        for slot in slots
    )


def with_gpus_named(topology: Topology, environment: Mapping[str, str]) -> Topology:
    """Return the topology with the GPUs that the system names, where no driver could be asked for
    them.
    """
    named = [
        name
        for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if name and name != "NoDevFiles"
    ]
    if topology.gpus or not named:
        return topology
    return replace(
        topology,
        gpus=tuple(Gpu(index=i, uuid=name, name="", visible=name) for i, name in enumerate(named)),
    )
