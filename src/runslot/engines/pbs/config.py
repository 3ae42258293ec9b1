"""`kind = "pbs"`: a cluster as the configuration names it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runslot.engines.batch.check import check_batch
from runslot.engines.batch.cluster import BatchCluster, BatchError
from runslot.engines.batch.config import BatchConfig, cpus_of, gpus_of, megabytes_of
from runslot.engines.batch.script import Frame, ScriptWriter, counted_cpus, task_lines
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.pbs.cluster import USUAL_ARRAY_SIZE, Dialect, PBSCluster
from runslot.engines.pbs.queue import seconds_of
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
    """For messages; in `runslot.toml` the name of the table."""
    queue: str | None = None
    """None: the server's default."""
    properties: tuple[str, ...] = ()
    """What else a node must have: `gpu_model=a100` (OpenPBS), `bigmem` (Torque)."""
    dialect: Dialect | None = None
    """How its commands are spelt; else they are asked."""

    commands = PBSCluster
    grows = True
    probe_time = "0:01:00"
    usual_array_size = USUAL_ARRAY_SIZE
    line_keys = ("queue", "account", "mem")

    def __post_init__(self) -> None:
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise InvalidInput(
                f"time is {self.time!r}: write it as hours:minutes:seconds, '4:00:00'"
            )
        super().__post_init__()
        if any(re.search(r"\s", name) for name in self.properties):
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


_OURS = ("-J", "-t", "-N", "-o", "-e", "-j", "-r", "-S", "-h", "-I", "-z")
"""Options of qsub that the script sets itself, or that take away what it prints."""


def check_options(options: Sequence[str]) -> None:
    """Refuse further options of qsub that are none, or that would take runslot's own away."""
    for option in options:
        if not re.fullmatch(r"-[A-Za-z][^\x00-\x1f]*", option):
            raise InvalidInput(
                f"options: {option!r} is no option of qsub; write each as '-l place=excl'"
            )
        if option[:2] in _OURS:
            raise InvalidInput(
                f"options: {option!r} cannot be given, since runslot sets {option[:2]} itself"
            )


@dataclass(frozen=True)
class QsubWriter(ScriptWriter):
    """Writes scripts for qsub."""

    cluster: PBSCluster
    cpus: int
    gpus: int
    memory: str | None
    properties: tuple[str, ...]
    queue: str | None
    time: str | None
    options: tuple[str, ...]

    submits = "qsub"
    title = "PBS"

    def demands(self) -> list[str]:
        """Return what a task asks for, in a few words each, the queue first."""
        gpus = f"{self.gpus} GPU{'s' * (self.gpus > 1)}" if self.gpus else None
        place = f"queue {self.queue}" if self.queue else "the default queue"
        return [
            place,
            counted_cpus(self.cpus),
            *(part for part in (gpus, self.memory, self.time) if part),
        ]

    def text(self, job_name: str, tasks: int, directory: str) -> str:
        """Return the script of an array, or of a plain job of one task."""
        frame = self.frame
        command = [*frame.command, "--system", "pbs"]
        command += ["--submission", directory.rpartition("/")[2], "--ahead", str(frame.ahead)]
        command += ["--limit", f"{seconds_of(self.time):g}"] if self.time else []
        command += ["--moved"] if frame.moved else []
        lines = [
            "#!/bin/bash",
            *(f"#PBS {option}" for option in self._options(job_name, tasks)),
            "",
            *task_lines(
                frame, directory, job_name, command, '"${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-0}}"'
            ),
        ]
        return "\n".join(lines)

    def _options(self, job_name: str, tasks: int) -> list[str]:
        torque = self.cluster.dialect == "torque"
        at_a_time = self.frame.at_a_time
        # PBS starts the user's own shell unless told otherwise, and takes arrays that may be
        # started again alone.
        options = [f"-N {job_name}", "-S /bin/bash", "-j oe", "-o /dev/null", "-r y"]
        if tasks > 1 and torque:
            options.append(f"-t 0-{tasks - 1}" + (f"%{at_a_time}" if at_a_time else ""))
        elif tasks > 1:
            options += [
                f"-J 0-{tasks - 1}",
                *([f"-W max_run_subjobs={at_a_time}"] if at_a_time else []),
            ]
        options += [f"-q {self.queue}"] if self.queue else []
        options += [f"-l walltime={self.time}"] if self.time else []
        memory = [f"mem={self.memory}"] if self.memory else []
        if torque:
            chunk = [
                "nodes=1",
                f"ppn={self.cpus}",
                *([f"gpus={self.gpus}"] if self.gpus else []),
                *self.properties,
            ]
            options += [f"-l {part}" for part in (":".join(chunk), *memory)]
        else:
            gpus = [f"ngpus={self.gpus}"] if self.gpus else []
            options.append(
                "-l "
                + ":".join(["select=1", f"ncpus={self.cpus}", *gpus, *memory, *self.properties])
            )
        return [*options, *self.options]
