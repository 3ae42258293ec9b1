"""`kind = "slurm"`: a cluster as the configuration names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from runslot.engines.batch.cluster import BatchCluster
from runslot.engines.batch.config import BatchConfig, cpus_of
from runslot.engines.batch.script import Frame, ScriptWriter
from runslot.engines.protocol import Finding
from runslot.engines.slurm.cluster import DEFAULT_ARRAY_SIZE, SlurmCluster
from runslot.engines.slurm.script import (
    Demand,
    SbatchWriter,
    check_options,
    gres_of,
    memory_of,
    seconds_of,
)
from runslot.errors import InvalidInput
from runslot.hardware.resources import Resources

_TIME = re.compile(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}")


@dataclass(frozen=True)
class Slurm(BatchConfig):
    """A cluster that takes jobs through `sbatch`, here or on a login host.

    `time` is a task's limit as sbatch takes it: `4:00:00`, `2-12:00:00`, minutes; `mem` as `16G`;
    `options` are further ones of sbatch, as `--exclude=node7`.
    """

    name: str = "slurm"
    """For messages; in `runslot.toml` the name of the table."""
    partition: str | None = None
    """None: the cluster's default."""
    # Not `_: KW_ONLY`: Python 3.10 cannot read the types of a class that has it.
    qos: str | None = field(default=None, kw_only=True)
    """The quality of service of the jobs."""
    gres: str | None = field(default=None, kw_only=True)
    """Generic resources: `gpu:a100` gets the number that the runs ask for; with a number it is
    taken as it stands.
    """
    constraint: str | None = field(default=None, kw_only=True)
    """Features that the nodes must have, as Slurm takes them: `a100|h100`."""

    grows = True
    commands = SlurmCluster
    probe_time = "1"
    usual_array_size = DEFAULT_ARRAY_SIZE
    line_keys = ("partition", "account", "qos", "gres", "constraint", "mem")

    def __post_init__(self) -> None:
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise InvalidInput(
                f"time is {self.time!r}: write it as sbatch takes it, '4:00:00', '2-12:00:00' or"
                " minutes"
            )
        super().__post_init__()
        check_options(self.options)

    @property
    def limit(self) -> float | None:
        """`time` in seconds."""
        return seconds_of(self.time)

    def writer(self, frame: Frame, resources: Resources, cluster: BatchCluster) -> ScriptWriter:
        """Return what writes the scripts of an experiment whose runs ask for these resources."""
        del cluster
        demand = Demand(
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
        return SbatchWriter(frame, demand)

    def check(self) -> Iterator[Finding]:
        """Try the commands, the controller, the partition, accounts, Python on the nodes' file
        system.
        """
        from runslot.engines.slurm.check import check_cluster

        cluster = SlurmCluster(self.name, self.host())
        try:
            yield from check_cluster(self, cluster)
        finally:
            cluster.close()
