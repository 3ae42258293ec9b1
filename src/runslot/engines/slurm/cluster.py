"""Slurm's own commands, and what their refusals mean."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from runslot.engines.batch.cluster import BatchCluster, BatchError, Jobs, RefusedJob
from runslot.engines.batch.task import Task, write_indices
from runslot.errors import NotInstalled, RunslotError
from runslot.hardware.lockfile import user_name

DEFAULT_ARRAY_SIZE = 1001

_AWAY = re.compile(
    r"Unable to contact slurm controller|Connection refused|Connection timed out|timed out on"
    r" send/recv|"
    r"communication (connection )?failure|Slurm backup controller in standby|Zero Bytes were"
    r" transmitted|"
    r"Resource temporarily unavailable|not responding",
    re.IGNORECASE,
)
_REASONS: tuple[tuple[str, str], ...] = (
    (r"Invalid partition|invalid partition", "there is no such partition; `sinfo -s` lists them"),
    (
        r"Invalid account",
        "the account is not one that you may use here; `sacctmgr show assoc user=$USER` lists them",
    ),
    (
        r"Invalid qos",
        "there is no such qos, or the account may not use it; `sacctmgr show qos` lists them",
    ),
    (
        r"Invalid generic resource",
        "no node has such generic resources; `sinfo -o '%N %G'` lists them",
    ),
    (r"Invalid feature", "no node has the features of `constraint`; `sinfo -o '%N %f'` lists them"),
    (
        r"time limit is invalid|--time specification",
        "the time limit is not one of this partition; `sinfo -s` lists them",
    ),
    (
        r"Requested node configuration is not available",
        "no node has as many CPUs, GPUs, or as much memory, as a task asks for",
    ),
    (r"Memory specification", "no node has as much memory as a task asks for"),
    (
        r"Job violates|QOSMax|AssocMax|AssocGrp|job submit limit",
        "a limit of your account forbids it",
    ),
)


class SlurmCluster(BatchCluster):
    """The commands of one cluster."""

    title = "Slurm"
    word = "slurm"
    programs = ("sbatch", "squeue", "scancel", "scontrol")
    variables = "SLURM_"
    kept_variables = ("SLURM_CONF", "SLURM_CLUSTERS")
    excludes_nodes = True
    set_variables = ("SLURM_BITSTR_LEN=0",)  # else long lists of indices are cut off
    away = _AWAY
    unsure = re.compile(r"timed out|Zero Bytes|communication", re.IGNORECASE)
    submit_limit = re.compile(r"(QOS|Assoc)\w*Submit|job submit limit")
    reasons = _REASONS

    def array_size(self) -> int:
        """Return how many tasks an array may have."""
        return read_limit(
            self.call(["scontrol", "show", "config"]), "MaxArraySize", DEFAULT_ARRAY_SIZE
        )

    def test(self, script: str) -> None:
        """Ask whether a script, given as its text, would be taken; `RefusedJob` where it can never
        be.
        """
        try:
            self.call(["sbatch", "--test-only"], stdin=script)
        except (RefusedJob, NotInstalled):
            raise
        except BatchError as error:
            if error.retry:
                raise
            # Nodes that are down now, and the like: the queue is there to wait for them.

    def submit_command(self, script: str) -> list[str]:
        """Return the command that submits a script."""
        return ["sbatch", "--parsable", script]

    def read_submitted(self, text: str) -> str:
        """Return the job's id from what sbatch printed."""
        return read_submitted(text)[0]

    def queue(self, jobs: Jobs) -> list[Task]:
        """Return what Slurm says of all tasks of these jobs, those that have just ended included,
        in one query.
        """
        names = ",".join(sorted(jobs))
        # A new squeue has the controller choose the user's jobs; one of 22.05 chooses itself.
        user = f"--user={user_name(os.geteuid())}" if self.host is None else "--me"
        by_name = [f"--name={names}"] if len(names) <= _NAMES_LIMIT else []
        printed = self.call([*SQUEUE, user, *by_name])
        return [task for task in read_squeue(printed) if task.job_name in jobs]

    def history(self, jobs: Collection[str]) -> list[Task]:
        """Return what the accounts say of jobs that the queue has forgotten; nothing where no
        accounts are kept.
        """
        try:
            return list(read_sacct(self.call([*SACCT, f"--jobs={','.join(jobs)}"])))
        # not installed, switched off, away: it only adds to what else is known
        except RunslotError:
            return []

    def cancel(self, tasks: Mapping[str, Collection[int]], jobs: Jobs, kill: bool = False) -> None:
        """Cancel tasks, by the ids of their jobs, or whole jobs; only of this user, and under one
        of the names.
        """
        mine = self._jobs_of_this_user(jobs)
        names = [
            f"{job}_[{write_indices(indices)}]" if indices else job
            for job, indices in tasks.items()
            if job in mine
        ]
        if not names:
            return
        if kill:
            self._try_cancel(["scancel", "--full", "--signal=KILL", *names])
        self._try_cancel(["scancel", *names])

    def _jobs_of_this_user(self, jobs: Jobs) -> set[str]:
        return {task.job for task in self.queue(jobs)} if jobs else set()

    def _try_cancel(self, argv: Sequence[str]) -> None:
        try:
            self.call(argv)
        except BatchError as error:
            if not re.search(r"Invalid job id|already completing|Job/step already", error.reason):
                raise


SQUEUE = ("squeue", "--noheader", "--states=all", "--format=%F|%K|%T|%j|%N|%r|%S")
_NAMES_LIMIT = 100_000
"""Characters of names that one argument of a command holds; Linux takes 131,071."""
SACCT = (
    "sacct",
    "--noheader",
    "--parsable2",
    "--allocations",
    "--format=JobID,State,JobName,NodeList",
)


def read_squeue(text: str) -> Iterator[Task]:
    """Yield the tasks in what the command `SQUEUE` printed; tasks that wait together stand in one
    line.
    """
    for line in text.splitlines():
        fields = line.strip().split("|", 6)
        if len(fields) >= 6 and fields[0].isdigit():
            job, indices, *rest = fields
            for index in read_indices(indices):
                yield Task(job, index, *rest)


def read_sacct(text: str) -> Iterator[Task]:
    """Yield the tasks in what the command `SACCT` printed."""
    for line in text.splitlines():
        fields = line.strip().split("|")
        job, _, indices = fields[0].partition("_")
        if len(fields) >= 4 and job.isdigit():
            state = fields[1].split(" ")[0]  # "CANCELLED by 1000"
            for index in read_indices(indices.strip("[]")):
                yield Task(
                    job, index, state, fields[2], "" if fields[3].startswith("None") else fields[3]
                )


def read_indices(text: str) -> Iterator[int]:
    """Yield the indices of `3`, of `0-3,7,9`, of `0-8:4`; a throttle (`%2`) is no part of them."""
    for part in text.partition("%")[0].split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part.strip())
        if match:
            first, last, stride = match.groups()
            yield from range(int(first), int(last or first) + 1, int(stride or 1))


def read_limit(configuration: str, name: str, default: int) -> int:
    """Return a number of `scontrol show config`, as `MaxArraySize`."""
    match = re.search(rf"^{name}\s*=\s*(\d+)", configuration, re.MULTILINE)
    return int(match.group(1)) if match else default


def read_submitted(text: str) -> tuple[str, str | None]:
    """Return the job's id, and its cluster where one is named, from what `sbatch --parsable`
    printed.
    """
    for line in reversed(text.splitlines()):  # sites print words of their own before it
        match = re.fullmatch(r"(\d+)(?:;(\S+))?", line.strip())
        if match:
            return match.group(1), match.group(2)
    raise ValueError(text)
