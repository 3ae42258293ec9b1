"""PBS's own commands, in both spellings, and what their refusals mean."""

from __future__ import annotations

import functools
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from runslot.engines.batch.cluster import BatchCluster, Jobs
from runslot.engines.batch.submissions import job_name
from runslot.engines.batch.task import Task, task_name
from runslot.engines.pbs.queue import (
    Attributes,
    Names,
    number_of,
    read_jobs,
    read_submitted,
    tasks_of,
)
from runslot.hardware.lockfile import user_name

Dialect = Literal["openpbs", "torque"]
"""OpenPBS and PBS Pro, or Torque."""

USUAL_ARRAY_SIZE = 1000
_NAME_LENGTH = 6
"""Of an experiment's name in a job's, which older versions take up to 15 characters of, its token
included.
"""
_GONE = re.compile(
    r"Unknown Job|has finished|invalid (for )?(state|request)|not running", re.IGNORECASE
)
"""What is said of a job that has ended, or whose state has just changed."""


class PBSCluster(BatchCluster):
    """The commands of one cluster."""

    title = "PBS"
    word = "pbs"
    programs = ("qsub", "qstat", "qselect", "qdel", "qsig")
    variables = "PBS_"
    kept_variables = ("PBS_CONF_FILE", "PBS_SERVER", "PBS_DEFAULT", "PBS_EXEC", "PBS_HOME")
    away = re.compile(
        r"cannot connect to server|Connection refused|Connection timed out|Communication"
        r" failure|pbs_iff|timed out|"
        r"Premature end of message|End of File|No route to host|server .*(is )?(down|not"
        r" responding)",
        re.IGNORECASE,
    )
    unsure = re.compile(r"timed out|Communication failure|Premature end|End of File", re.IGNORECASE)
    submit_limit = re.compile(r"would exceed|Maximum number of jobs|job limit")
    reasons = (
        (r"Unknown queue|Queue is not enabled|No default queue",
         "there is no such queue; `qstat -q` lists them"),
        (r"Unauthorized Request|Access.*denied|not permitted",
         "you may not submit such jobs there"),
        (r"Invalid account|account.*(invalid|required)",
         "the account is not one that you may use here"),
        (r"Unknown resource|Illegal attribute or resource|Bad value for|illegal -l|Cannot .*mix",
         "the server does not know what a task asks for"),
        (r"violates queue and/or server resource limits|exceeds? (queue|server) (resource|generic)",
         "a limit of the queue forbids it; `qstat -Qf` lists them"),
    )  # fmt: skip
    kills_all = False
    given_dialect: Dialect | None = None
    """What the launcher's table says."""

    @functools.cached_property
    def dialect(self) -> Dialect:
        """Which of the two it is, as its commands say where the table does not."""
        if self.given_dialect is not None:
            return self.given_dialect
        process = self.run(
            ["qstat", "--version"]
        )  # `pbs_version = 20.0.1`, `Version: 6.1.2`; scripts may go elsewhere
        return "torque" if b"Version:" in process.stdout + process.stderr else "openpbs"

    def array_size(self) -> int:
        """Return how many tasks an array may have."""
        match = re.search(r"max_(?:job_)?array_size = (\d+)", self.call(["qstat", "-B", "-f"]))
        return int(match[1]) if match else USUAL_ARRAY_SIZE

    def job_name(self, experiment: str) -> str:
        """Return a name for a new job, which begins with a letter."""
        letter = "" if re.match("[A-Za-z]", experiment) else "r"
        return job_name(letter + experiment, secrets.token_hex(4), _NAME_LENGTH)

    def submit_command(self, script: str) -> list[str]:
        """Return the command that submits a script."""
        return ["qsub", script]

    def read_submitted(self, text: str) -> str:
        """Return the job's id from what qsub printed."""
        return read_submitted(text)

    def queue(self, jobs: Jobs) -> list[Task]:
        """Return what PBS says of all tasks of these jobs, those that have ended included as far as
        it keeps them.
        """
        names = self._names(jobs)
        return tasks_of(self._attributes(names), names)

    def _names(self, jobs: Jobs) -> dict[str, list[tuple[str, str]]]:
        """Return by the number of a job which of these names it may have, each with the job's
        id.
        """
        mine: list[str] | None = None
        names: dict[str, list[tuple[str, str]]] = {}
        for name, job in jobs.items():
            if job is not None:
                ids = [job]
            elif self.dialect == "openpbs":
                ids = self.call(["qselect", "-x", "-N", name]).split()
            else:  # its tasks have names of their own, by which qselect does not find the array
                mine = (
                    self.call(["sh", "-c", 'qselect -u "$(id -un)"']).split()
                    if mine is None
                    else mine
                )
                ids = mine
            for id_ in {re.sub(r"\[\d+\]", "[]", id_) for id_ in ids}:
                names.setdefault(number_of(id_), []).append((name, id_))
        return names

    def _attributes(self, names: Names) -> dict[str, Attributes]:
        ids = sorted({job for pairs in names.values() for _, job in pairs})
        if not ids:
            return {}
        if self.dialect == "torque":
            return read_jobs(self._ask(["qstat", "-t", "-f", *ids]))
        try:
            return read_jobs(self._ask(["qstat", "-x", "-t", "-f", "-F", "json", *ids]))
        except ValueError:  # some versions do not quote what stands in a job's variables
            return read_jobs(self._ask(["qstat", "-x", "-t", "-f", *ids]))

    def _ask(self, argv: Sequence[str]) -> str:
        """Call a command whose jobs may have ended, which is no error; the others are answered."""
        process = self.run(argv)
        lines = [
            line for line in process.stderr.decode(errors="replace").splitlines() if line.strip()
        ]
        if process.returncode and not (lines and all(_GONE.search(line) for line in lines)):
            raise self.error(argv, process)
        return process.stdout.decode(errors="replace")

    def cancel(self, tasks: Mapping[str, Collection[int]], jobs: Jobs, kill: bool = False) -> None:
        """End tasks, or whole jobs: what runs is told so that it has its grace, what waits is
        deleted.
        """
        attributes = self._attributes(names := self._names(jobs))
        if self.host is None:  # on a login host PBS sees to it: there the user may be another
            user = user_name(os.geteuid())
            attributes = {
                job: a
                for job, a in attributes.items()
                if a.get("Job_Owner", user).partition("@")[0] == user
            }
        numbers = {number_of(job): indices for job, indices in tasks.items()}
        running, waiting = list[str](), list[str]()
        for task in tasks_of(attributes, names):
            indices = numbers.get(number_of(task.job))
            if indices is None or (indices and task.index not in indices) or task.over:
                continue
            (waiting if task.waits else running).append(task_name(task.job, task.index))
        if running and not kill:
            self._ask(["qsig", "-s", "SIGTERM", *running])
        if deleted := waiting + (running if kill else []):
            self._ask(["qdel", *deleted])
