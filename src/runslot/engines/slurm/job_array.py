"""From a launcher's table and an experiment to the script of an array."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from runslot.engines.batch.submissions import Submission
from runslot.engines.slurm.queue import read_time
from runslot.engines.slurm.script import Array, Asked, script_of


@dataclass(frozen=True)
class ArrayWriter:
    """All that the scripts of one experiment have in common."""

    asked: Asked
    runs_per_job: int
    array_size: int
    at_a_time: int | None
    ahead: int
    directory: str
    """The experiment's, as the nodes see it."""
    python: str
    archive: str
    modules: tuple[str, ...]
    setup: tuple[str, ...]
    moved: bool
    script_only: bool

    def script(self, submission: Submission) -> str:
        """Return the text of a submission's script."""
        return self._script(submission.job_name, len(submission.tasks), submission.directory)

    def trial(self) -> str:
        """Return a script that asks for the same, to be tried and not to be submitted."""
        return self._script("runslot-trial", 1, "slurm/0000")

    def to_type(self, submission: Submission) -> str:
        """Return the command that submits it, for people."""
        return f"cd {shlex.quote(self.directory)} && sbatch {submission.directory}/script.sh"

    def said(self) -> str:
        """Return what a task asks for, in one line."""
        parts = [f"partition {self.asked.partition}" if self.asked.partition else "the default partition"]
        parts.append(f"{self.runs_per_job} run{'s' if self.runs_per_job > 1 else ''} a task")
        parts.append(f"{self.asked.cpus} CPU{'s' if self.asked.cpus > 1 else ''}")
        parts += [part for part in (self.asked.gres, self.asked.memory, self.asked.time) if part]
        return "Slurm: " + ", ".join(parts)

    def _script(self, job_name: str, tasks: int, directory: str) -> str:
        array = Array(job_name, tasks, directory, self.directory, self.at_a_time, self.ahead)
        return script_of(array, self.asked, self.python, self.archive, self.modules, self.setup, self.moved)


def seconds_of(time: str | None) -> float | None:
    """Return the seconds of a time limit as sbatch takes it: `90` (minutes), `1:30:00`, `2-12`, `2-12:30`."""
    if time is None:
        return None
    days, dash, rest = time.partition("-")
    if not dash:
        return float(time) * 60 if time.isdigit() else read_time(time)
    parts = [int(part) for part in rest.split(":")]
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return float(((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds)
