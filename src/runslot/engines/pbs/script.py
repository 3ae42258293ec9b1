"""The qsub script of one array, in both spellings; every option stands in it. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from runslot.engines.batch.script import ScriptWriter, counted_cpus, task_lines
from runslot.engines.pbs.cluster import PBSCluster
from runslot.engines.pbs.queue import seconds_of
from runslot.errors import InvalidInput

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
        command = [frame.python, frame.archive, "task", frame.directory, "--system", "pbs"]
        command += ["--submission", directory.rpartition("/")[2], "--ahead", str(frame.ahead)]
        command += ["--limit", f"{seconds_of(self.time):g}"] if self.time else []
        command += ["--moved"] if frame.moved else []
        lines = [
            "#!/bin/bash",
            *(f"#PBS {option}" for option in self._options(job_name, tasks)),
            "",
            f"cd {shlex.quote(frame.directory)} || exit 1",
            'task="${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-0}}"',
            f'exec >>{directory}/"$task".log 2>&1',
            *task_lines(command, frame.modules, frame.setup, '"$task"'),
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
