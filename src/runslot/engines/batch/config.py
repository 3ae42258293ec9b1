"""What the tables of all batch systems have in common, and how an experiment is opened on one."""

from __future__ import annotations

import math
import re
import sys
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from runslot.engines.batch.cluster import BatchCluster, BatchError
from runslot.engines.batch.launcher import BatchLauncher
from runslot.engines.batch.script import Frame, ScriptWriter
from runslot.engines.batch.site import LoginSite, SharedSite, Site
from runslot.engines.batch.submissions import PackLimits
from runslot.engines.events import Observer, Said
from runslot.engines.local.config import check_function, local_launcher
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Engine, Finding, LauncherConfig, Pilots
from runslot.errors import InvalidInput
from runslot.experiment.records import Command, ExperimentFile
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import ExperimentStatus
from runslot.hardware.resources import Resources
from runslot.transport.contents import what_runs_need
from runslot.transport.ssh import Host, check_host_name
from runslot.transport.zipapp import experiment_archive

_AHEAD_S = 120
"""Before a time limit, when runs are asked to end, where that is at most a quarter of the limit."""
MOST_AHEAD_S = 65535
"""What sbatch takes at most."""
_PACKED_RUN_S = 30.0
"""What a run takes at most after which its task takes a further one: about what a queue takes to
start a task.
"""
_PACKED_TASK_S = 600.0
"""For which a task takes further runs: the queue gets its node back soon."""
_PACKED_SHARE = 10
"""Part of a time limit, one in so many, that may be used up when a further run begins."""
_BEYOND_GRACE_S = 30
"""That ending takes beyond the grace of the runs."""


@dataclass(frozen=True, kw_only=True)
class BatchConfig(LauncherConfig):
    """A cluster that takes jobs through commands, here or on a login host."""

    account: str | None = None
    """Whom the jobs are charged to."""
    time: str | None = None
    """The time limit of a task, as the system takes it: `4:00:00`."""
    cpus: int | None = None
    """CPUs of each run, as the system counts them; else the experiment's cores a run, else 1."""
    mem: str | None = None
    """Memory of a task, as the system takes it; else what the experiment says of each run."""
    options: tuple[str, ...] = ()
    """Further options of the command that submits."""
    modules: tuple[str, ...] = ()
    """Environment modules that each task loads."""
    setup: tuple[str, ...] = ()
    """Lines of shell before the runs, as `source ~/venv/bin/activate`."""
    runs_per_job: int = 1
    """Runs that share the allocation of one task, each in a slot of its own."""
    pack: bool = True
    """Tasks whose runs were short take further ones that have not begun."""
    at_a_time: int | None = None
    """Tasks of an array that run at the same time, at most."""
    ahead: int | None = None
    """Seconds before the time limit at which runs are asked to end; else 120, a quarter of `time`
    at most.
    """
    python: str | None = None
    """The interpreter on the nodes; else the launching one, and `python3` with `login`."""
    login: str | None = None
    """A host, as ssh takes it, on which the system's commands are called; else this one."""
    config: str | None = None
    """Another ssh configuration file (`ssh -F`) for `login`."""
    root: str = "~/.runslot"
    """Where experiments lie on the login host, in a directory that the nodes share."""
    script_only: bool = False
    """Write the scripts and submit nothing."""

    leaves = True
    scripts = True
    commands: ClassVar[type[BatchCluster]]
    """The system's."""
    usual_array_size: ClassVar[int]
    """How many tasks an array has at most, where the system is not asked."""
    probe_time: ClassVar[str]
    """The time limit of a probe, a minute."""
    line_keys: ClassVar[tuple[str, ...]] = ("account", "mem")
    """Keys that stand in a line of the script."""

    def __post_init__(self) -> None:
        for key, least in (("runs_per_job", 1), ("at_a_time", 1), ("cpus", 1), ("ahead", 0)):
            value = getattr(self, key)
            if value is not None and not least <= value <= MOST_AHEAD_S:
                raise InvalidInput(f"{key} is {value}, but it is from {least} to {MOST_AHEAD_S}")
        for key in self.line_keys:
            if re.search(r"[\x00-\x1f]", getattr(self, key) or ""):
                raise InvalidInput(f"{key} has a line break, or another control character, in it")
        if self.login is not None:
            check_host_name(self.login)

    @property
    def title(self) -> str:
        """The system's name, for people."""
        return self.commands.title

    @property
    def system(self) -> str:
        """The directory of its submissions."""
        return self.commands.word

    @property
    def moves(self) -> bool:
        """Whether the experiment is brought to a login host."""
        return self.login is not None

    @property
    @abstractmethod
    def limit(self) -> float | None:
        """`time` in seconds."""

    @abstractmethod
    def writer(self, frame: Frame, resources: Resources, cluster: BatchCluster) -> ScriptWriter:
        """Return what writes the scripts of an experiment whose runs ask for these resources."""

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Ask the system whether it would take such jobs, and return the engine; without `runs`
        nothing is asked.
        """
        cluster = self.cluster(experiment)
        try:
            return self._open(experiment, runs, observer, cluster)
        except BaseException:
            cluster.close()
            raise

    def _open(
        self, experiment: OpenExperiment, runs: int, observer: Observer, cluster: BatchCluster
    ) -> Engine:
        site, writer = self.writer_for(experiment, cluster, observer, submits=bool(runs))
        launcher = BatchLauncher(experiment, cluster, site, writer, observer)
        return Engine(launcher, writer.said())

    def writer_for(
        self,
        experiment: OpenExperiment,
        cluster: BatchCluster,
        observer: Observer,
        submits: bool = True,
    ) -> tuple[Site, ScriptWriter]:
        """Return where the cluster has the experiment, and what writes its scripts; where something
        is to be submitted, it was asked whether it would be taken, and what is needed was brought.
        """
        site = self.site(experiment.directory, experiment.file, cluster)
        command = cluster.programs[0]
        if not submits or (self.script_only and not cluster.has(command)):
            size = self.usual_array_size
        elif not cluster.has(command):
            raise cluster.missing(command)
        else:
            size = self._array_size(cluster, observer)
        archive = archive_of(experiment)
        frame = self._frame(experiment, site, archive, size)
        writer = self.writer(frame, experiment.file.resources, cluster)
        if submits:
            if not self.script_only:
                cluster.test(writer.trial())
            self._check_function(experiment, observer)
            site.send(what_runs_need(experiment.directory, experiment.file, archive))
        return site, writer

    def pilots(self, experiment: OpenExperiment, observer: Observer) -> Pilots:
        """Return what sends the pilots of a search."""
        from runslot.engines.batch.pilots import BatchPilots  # few launches search

        return BatchPilots(experiment, self, observer)

    def search_obstacle(self) -> str:
        """Return why a search cannot go there; empty where it can."""
        if not self.grows:
            return super().search_obstacle()
        if self.login is not None:
            return "its pilots decide on the cluster: launch on the login node, without `login`"
        if self.script_only:
            return "its pilots are submitted by runslot, not by hand: leave script_only out"
        return ""

    def _array_size(self, cluster: BatchCluster, observer: Observer) -> int:
        try:
            return cluster.array_size()
        except BatchError as error:
            if not self.script_only:
                raise
            size = self.usual_array_size
            observer(Said(f"arrays of up to {size} tasks, which is usual: {error}"))
            return size

    def _check_function(self, experiment: OpenExperiment, observer: Observer) -> None:
        # what the nodes have is not known here
        if self.moves or experiment.file.container is not None:
            return
        launcher = local_launcher(experiment, (), observer)
        try:
            check_function(launcher, experiment)
        finally:
            launcher.close()

    def cluster(self, experiment: OpenExperiment | None = None) -> BatchCluster:
        """Return the cluster's commands."""
        environment = (
            None if experiment is None or not experiment.environment else experiment.environment
        )
        return self.commands(self.name, self.host(), environment)

    def host(self) -> Host | None:
        """Return the login host, where there is one."""
        return None if self.login is None else Host(self.login, self.config)

    def site(self, directory: ExperimentDir, file: ExperimentFile, cluster: BatchCluster) -> Site:
        """Return where the cluster has an experiment."""
        if cluster.host is None:
            return SharedSite(directory)
        return LoginSite(directory, file, cluster.host, self.root)

    def _frame(
        self, experiment: OpenExperiment, site: Site, archive: Path, array_size: int
    ) -> Frame:
        file = experiment.file
        of_launch = file.python if file.interpreter is None else sys.executable
        return Frame(
            directory=site.directory,
            python=self.python or ("python3" if site.moved else of_launch),
            archive=f"{site.directory}/{archive.name}",
            runs_per_job=self.runs_per_job,
            pack=self._pack(file.policy.expect),
            expect=file.policy.expect,
            array_size=array_size,
            at_a_time=self.at_a_time,
            ahead=ahead_of(self.ahead, self.limit, experiment.policy.grace),
            modules=self.modules,
            setup=self.setup,
            moved=site.moved,
            script_only=self.script_only,
            flags=("-S",) if isinstance(file.work, Command) and file.search is None else (),
        )

    def _pack(self, expect: float | None) -> PackLimits | None:
        if not self.pack:
            return None
        task_s = min(_PACKED_TASK_S, (self.limit or math.inf) / _PACKED_SHARE)
        return PackLimits(self.runs_per_job, max(_PACKED_RUN_S, 2 * (expect or 0.0)), task_s)

    def probe(self) -> Iterator[Finding]:
        """Submit one task of a minute, and tell what it met on its node."""
        from runslot.engines.batch.probe import probe_cluster  # a check's alone

        cluster = self.cluster()
        try:
            yield from probe_cluster(self, cluster)
        finally:
            cluster.close()

    @property
    def probe_cost(self) -> str:
        """Whose account pays for the task of a probe."""
        return f"a minute is charged to the account {self.account}" if self.account else ""

    def refresh(self, status: ExperimentStatus) -> ExperimentStatus:
        """Return the status with what the system says: what waits in its queue, and what has ended
        silently.
        """
        from runslot.engines.batch.status import refreshed_by

        return refreshed_by(self, status)


def archive_of(experiment: OpenExperiment) -> Path:
    """Return the archive that the tasks execute; those of a search decide what comes next."""
    searches = experiment.file.search is not None
    return experiment_archive(experiment.directory, searches)


def cpus_of(cpus: int | None, resources: Resources, runs: int) -> int:
    """Return how many CPUs a task of `runs` runs asks for; one for each run where nothing is
    said.
    """
    return (cpus or resources.cpus or resources.cpus_per_worker) * runs


def gpus_of(resources: Resources, runs: int) -> int:
    """Return how many GPUs a task of `runs` runs asks for."""
    return math.ceil((resources.gpus or 0) * runs / resources.sharers)


def megabytes_of(resources: Resources, runs: int) -> int | None:
    """Return the memory of a task of `runs` runs; None where the runs ask for none."""
    return None if resources.memory is None else math.ceil(resources.memory * runs / 2**20)


def ahead_of(ahead: int | None, limit: float | None, grace: float) -> int:
    """Return how many seconds before the time limit (seconds; 0 is none) the tasks are told."""
    if ahead is not None:
        return ahead
    seconds = min(max(_AHEAD_S, math.ceil(grace) + _BEYOND_GRACE_S), MOST_AHEAD_S)
    return min(seconds, int(limit // 4)) if limit else seconds
