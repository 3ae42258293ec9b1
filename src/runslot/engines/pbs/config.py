"""`kind = "pbs"`: a cluster as the configuration names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from runslot.engines.batch.check import check_batch
from runslot.engines.batch.cluster import BatchCluster, BatchError
from runslot.engines.batch.config import BatchConfig, cpus_of, gpus_of, megabytes_of
from runslot.engines.batch.script import Frame, ScriptWriter
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.pbs.cluster import USUAL_ARRAY_SIZE, Dialect, PBSCluster
from runslot.engines.pbs.queue import seconds_of
from runslot.engines.pbs.script import QsubWriter, check_options
from runslot.engines.protocol import Finding
from runslot.errors import InvalidInput
from runslot.hardware.resources import Resources

_TIME = re.compile(r"\d+:[0-5]\d:[0-5]\d")


@dataclass(frozen=True)
class PBS(BatchConfig):
    """A cluster that takes jobs through `qsub`, here or on a login host: OpenPBS, PBS Pro, or
    Torque.

    `time` is a task's walltime, hours:minutes:seconds; `mem` as `16gb`; `options` are further ones
    of qsub, as `-l place=excl`.
    """

    name: str = "pbs"
    queue: str | None = None
    properties: tuple[str, ...] = ()
    """What else a node must have: `gpu_model=a100` (OpenPBS), `bigmem` (Torque)."""
    dialect: Dialect | None = None
    """How its commands are spelt; else they are asked."""

    commands = PBSCluster
    usual_array_size = USUAL_ARRAY_SIZE
    line_keys = ("queue", "account", "mem")

    def __post_init__(self) -> None:
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise InvalidInput(
                f"time is {self.time!r}: write it as hours:minutes:seconds, '4:00:00'"
            )
        super().__post_init__()
        if any(re.search(r"\s", each) for each in self.properties):
            raise InvalidInput(
                f"properties is {list(self.properties)}: qsub takes no blanks in one"
            )
        check_options(self.options)

    def cluster(self, experiment: OpenExperiment | None = None) -> BatchCluster:
        """Return the cluster's commands, in this dialect where one is named."""
        cluster = super().cluster(experiment)
        assert isinstance(cluster, PBSCluster)
        cluster.given_dialect = self.dialect
        return cluster

    @property
    def limit(self) -> float | None:
        """`time` in seconds."""
        return seconds_of(self.time)

    def writer(self, frame: Frame, resources: Resources, cluster: BatchCluster) -> ScriptWriter:
        """Return what writes the scripts of an experiment whose runs ask for these resources."""
        assert isinstance(cluster, PBSCluster)
        memory = megabytes_of(resources, self.runs_per_job)
        return QsubWriter(
            frame,
            cluster=cluster,
            cpus=cpus_of(self.cpus, resources, self.runs_per_job),
            gpus=gpus_of(resources, self.runs_per_job),
            memory=self.mem or (memory and f"{memory}mb") or None,
            properties=self.properties,
            queue=self.queue,
            time=self.time,
            options=(*([f"-A {self.account}"] if self.account else []), *self.options),
        )

    def check(self) -> Iterator[Finding]:
        """Try the commands, the server, the queue, a job that is held and deleted again, Python on
        the nodes' disk.
        """
        cluster = self.cluster()
        try:
            yield from check_batch(
                cluster,
                self.python,
                ["qstat", "--version"],
                lambda: self._findings(cluster),
                "`qstat -B` asks it",
            )
        finally:
            cluster.close()

    def _findings(self, cluster: BatchCluster) -> Iterator[Finding]:
        assert isinstance(cluster, PBSCluster)
        yield Finding(
            "server", True, f"{cluster.dialect}, arrays of up to {cluster.array_size()} tasks"
        )
        if self.queue:
            text = cluster.call(["qstat", "-Q", "-f", self.queue])
            ready = "enabled = True" in text and "started = True" in text
            yield Finding(
                f"queue {self.queue}", ready, "" if ready else "it takes or starts no jobs now"
            )
        script = self.writer(Frame(), Resources(), cluster).trial()
        try:
            job = cluster.read_submitted(cluster.call(["qsub", "-h"], stdin=script))
        except (BatchError, ValueError) as error:
            yield Finding("a job with these options", False, str(error))
            return
        cluster.call(["qdel", job])
        yield Finding(
            "a job with these options", True, f"was taken, held, as {job}, and is deleted"
        )
