"""The script of an array: what those of all batch systems have in common. Pure.

Every option stands in the script, so that it submits the same when it is submitted by hand.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from runslot.engines.batch.submissions import Submission


@dataclass(frozen=True)
class Frame:
    """What all scripts of one experiment have around what they ask for."""

    directory: str = "/"
    """The experiment's, as the nodes see it."""
    python: str = "true"
    archive: str = ""
    """runslot itself, in one file."""
    runs_per_job: int = 1
    array_size: int = 1
    """How many tasks an array may have."""
    at_a_time: int | None = None
    ahead: int = 0
    """Seconds before the time limit at which the tasks are told."""
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    moved: bool = False
    script_only: bool = False
    """Scripts are written, and nothing is submitted."""


@dataclass(frozen=True)
class ScriptWriter(ABC):
    """Writes the scripts of one experiment."""

    frame: Frame

    submits: ClassVar[str]
    """The command that takes a script."""
    title: ClassVar[str]

    @abstractmethod
    def text(self, job_name: str, tasks: int, directory: str) -> str:
        """Return the script of an array of so many tasks, whose submission lies in a directory of
        the experiment.
        """

    @abstractmethod
    def demands(self) -> list[str]:
        """Return what a task asks for, in a few words each, the queue first."""

    def script(self, submission: Submission) -> str:
        """Return the text of a submission's script."""
        return self.text(submission.job_name, len(submission.tasks), submission.directory)

    def trial(self) -> str:
        """Return a script that asks for the same, to be tried and not to be carried out."""
        return self.text("runslot-trial", 1, "trial/0000")

    def to_type(self, submission: Submission) -> str:
        """Return the command that submits it, for people."""
        return (
            f"cd {shlex.quote(self.frame.directory)} && {self.submits}"
            f" {submission.directory}/script.sh"
        )

    def said(self) -> str:
        """Return what a task asks for, in one line."""
        place, *demands = self.demands()
        runs = f"{self.frame.runs_per_job} run{'s' * (self.frame.runs_per_job > 1)} a task"
        return f"{self.title}: {', '.join([place, runs, *demands])}"


def counted_cpus(cpus: int) -> str:
    """Return a number of CPUs in words."""
    return f"{cpus} CPU{'s' * (cpus > 1)}"


def task_lines(
    command: Sequence[str], modules: Sequence[str], setup: Sequence[str], task: str
) -> list[str]:
    """Return the lines that get a task's shell ready and become the command; `task` is the shell's
    word for which.
    """
    return [
        "trap '' USR1  # until the task listens",
        *(f"module load {shlex.quote(module)} || exit 1" for module in modules),
        *setup,
        f"exec {shlex.join(command)} --task {task}",
        "",
    ]
