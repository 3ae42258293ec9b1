"""`kind = "slurm"`: a cluster as the configuration names it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from runslot.engines.events import Observer
from runslot.engines.local.config import check_function, local_launcher
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Engine, Finding, LauncherConfig
from runslot.engines.slurm.cluster import DEFAULT_ARRAY_SIZE, Cluster
from runslot.engines.slurm.job_array import Writer, ahead_of, cpus_of
from runslot.engines.slurm.launcher import SlurmLauncher
from runslot.engines.slurm.script import Asked, check_options, gres_of, memory_of
from runslot.engines.slurm.site import LoginSite, SharedSite, Site
from runslot.errors import InvalidInput
from runslot.experiment.records import ExperimentFile
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import ExperimentStatus
from runslot.hardware.resources import Resources
from runslot.transport.ssh import Host, check_host_name
from runslot.transport.zipapp import experiment_archive

_TIME = re.compile(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}")
_LINES = ("partition", "account", "qos", "gres", "constraint", "mem")


@dataclass(frozen=True)
class Slurm(LauncherConfig):
    """A cluster that takes jobs through `sbatch`, here or on a login host."""

    name: str = "slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    """The time limit of a task, as sbatch takes it: `4:00:00`, `2-12:00:00`, minutes."""
    cpus: int | None = None
    """CPUs of each run, as Slurm counts them; else the experiment's cores a run, else 1."""
    gres: str | None = None
    """Generic resources: `gpu:a100` gets the number that the runs ask for; with a number it is taken as it stands."""
    mem: str | None = None
    """Memory of a task, as `16G`; else what the experiment says of each run."""
    constraint: str | None = None
    options: tuple[str, ...] = ()
    """Further options of sbatch, as `--exclude=node7`."""
    modules: tuple[str, ...] = ()
    """Environment modules that each task loads."""
    setup: tuple[str, ...] = ()
    """Lines of shell before the runs, as `source ~/venv/bin/activate`."""
    runs_per_job: int = 1
    """Runs that share the allocation of one task, each in a slot of its own."""
    at_a_time: int | None = None
    """Tasks of an array that run at the same time, at most."""
    ahead: int | None = None
    """Seconds before the time limit at which runs are asked to end; else 120, a quarter of `time` at most."""
    python: str | None = None
    """The interpreter on the nodes; else the launching one, and `python3` with `login`."""
    login: str | None = None
    """A host, as ssh takes it, on which the commands of Slurm are called; else this one."""
    config: str | None = None
    """Another ssh configuration file (`ssh -F`) for `login`."""
    root: str = "~/.runslot"
    """Where experiments lie on the login host, in a directory that the nodes share."""
    script_only: bool = False
    """Write the scripts and submit nothing."""

    leaves = True
    scripts = True

    def __post_init__(self) -> None:
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise InvalidInput(
                f"time is {self.time!r}: write it as sbatch takes it, '4:00:00', '2-12:00:00' or minutes"
            )
        for key, least in (("runs_per_job", 1), ("at_a_time", 1), ("cpus", 1), ("ahead", 0)):
            value = getattr(self, key)
            if value is not None and not least <= value <= 65535:
                raise InvalidInput(f"{key} is {value}, but it is from {least} to 65535")
        for key in _LINES:
            if re.search(r"[\x00-\x1f]", getattr(self, key) or ""):
                raise InvalidInput(f"{key} has a line break, or another control character, in it")
        check_options(self.options)
        if self.login is not None:
            check_host_name(self.login)

    @property
    def moves(self) -> bool:
        """Whether the experiment is brought to a login host."""
        return self.login is not None

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Ask Slurm whether it would take such jobs, and return the engine; without `runs` nothing is asked."""
        cluster = self.cluster(experiment)
        try:
            return self._open(experiment, runs, observer, cluster)
        except BaseException:
            cluster.close()
            raise

    def _open(self, experiment: OpenExperiment, runs: int, observer: Observer, cluster: Cluster) -> Engine:
        site = self.site(experiment.directory, experiment.file, cluster)
        if not runs or (self.script_only and not cluster.has("sbatch")):
            size = DEFAULT_ARRAY_SIZE
        elif not cluster.has("sbatch"):
            raise cluster.missing("sbatch")
        else:
            size = cluster.array_size()
        writer = self.writer(experiment, site, size)
        if runs:
            if not self.script_only:
                cluster.test(writer.trial())
            self._check_function(experiment, observer)
            self._bring(experiment, site)
        launcher = SlurmLauncher(experiment, cluster, site, writer, observer)
        return Engine(launcher, writer.said())

    def _check_function(self, experiment: OpenExperiment, observer: Observer) -> None:
        if self.moves or experiment.file.container is not None:  # what the nodes have is not known here
            return
        launcher = local_launcher(experiment, (), observer)
        try:
            check_function(launcher, experiment)
        finally:
            launcher.close()

    def _bring(self, experiment: OpenExperiment, site: Site) -> None:
        directory = experiment.directory
        archive = experiment_archive(directory)
        code = [] if experiment.file.code is None else [directory.path / experiment.file.code["copy"]]
        wanted = [directory.experiment_file, directory.runs_file, directory.function_pickle, directory.payloads]
        site.send(path for path in (*wanted, archive, *code) if path.exists())

    def cluster(self, experiment: OpenExperiment | None = None) -> Cluster:
        """Return the cluster's commands."""
        host = None if self.login is None else Host(self.login, self.config)
        environment = None if experiment is None or not experiment.environment else experiment.environment
        return Cluster(self.name, host, environment)

    def site(self, directory: ExperimentDir, file: ExperimentFile, cluster: Cluster) -> Site:
        """Return where the cluster has an experiment."""
        if cluster.host is None:
            return SharedSite(directory)
        return LoginSite(directory, file, cluster.host, self.root)

    def writer(self, experiment: OpenExperiment, site: Site, array_size: int) -> Writer:
        """Return what writes the experiment's scripts."""
        file = experiment.file
        resources = Resources(**file.resources)
        asked = Asked(
            cpus=cpus_of(self.cpus, resources, self.runs_per_job),
            gres=gres_of(self.gres, resources, self.runs_per_job),
            memory=memory_of(self.mem, resources, self.runs_per_job),
            partition=self.partition,
            account=self.account,
            qos=self.qos,
            time=self.time,
            constraint=self.constraint,
            options=self.options,
        )
        return Writer(
            asked=asked,
            runs_per_job=self.runs_per_job,
            array_size=array_size,
            at_a_time=self.at_a_time,
            ahead=ahead_of(self.ahead, self.time, experiment.policy.grace),
            directory=site.directory,
            python=self.python
            or ("python3" if site.moved else file.python if file.interpreter is None else sys.executable),
            archive=f"{site.directory}/{experiment_archive(experiment.directory).name}",
            modules=self.modules,
            setup=self.setup,
            moved=site.moved,
            script_only=self.script_only,
        )

    def check(self) -> Iterator[Finding]:
        """Try the commands, the controller, the partition, Python on the nodes' file system, and accounts."""
        from runslot.engines.slurm.check import check_cluster

        cluster = self.cluster()
        try:
            yield from check_cluster(self, cluster)
        finally:
            cluster.close()

    def refresh(self, status: ExperimentStatus) -> ExperimentStatus:
        """Return the status with what Slurm says: what waits in its queue, and what has ended without an outcome."""
        from runslot.engines.slurm.status import refreshed_by

        return refreshed_by(self, status)
