"""What Slurm says of jobs, read: squeue, sacct, scontrol; and what it means for a run that a task was to do.

Pure. A task is known by its job's id and its index in the array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from runslot.experiment.records import Outcome
from runslot.experiment.states import Kind

SQUEUE = ("squeue", "--noheader", "--states=all", "--format=%F|%K|%T|%j|%N|%r")
SACCT = ("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,JobName,NodeList")

ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
"""States in which a task is over, and its processes with it. In every other one it waits, runs, or is being ended."""
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})

_KIND: Mapping[str, Kind] = {
    "CANCELLED": "stopped",
    "DEADLINE": "timed_out",
    "OUT_OF_MEMORY": "failed",
    "TIMEOUT": "timed_out",
}
_SAID = {
    "BOOT_FAIL": "its node did not boot",
    "CANCELLED": "it was cancelled",
    "DEADLINE": "its deadline passed",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it was killed for using more memory than the job has",
    "PREEMPTED": "it was preempted",
    "TIMEOUT": "the job's time limit ran out",
}
_SIGKILL = 9


@dataclass(frozen=True)
class Task:
    """One task of an array, as Slurm has it."""

    job: str
    index: int
    state: str
    """Slurm's word: `PENDING`, `RUNNING`, `NODE_FAIL`, …"""
    job_name: str = ""
    node: str = ""
    reason: str = ""
    """Why it waits."""

    @property
    def name(self) -> str:
        """`JOB_INDEX`, as Slurm's commands take it."""
        return f"{self.job}_{self.index}"

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    @property
    def waits(self) -> bool:
        """Whether it has not started, or not started again."""
        return self.state in WAITING


def read_squeue(text: str) -> Iterator[Task]:
    """Yield the tasks in what the command `SQUEUE` printed; tasks that wait together stand in one line."""
    for line in text.splitlines():
        fields = line.strip().split("|", 5)
        if len(fields) == 6 and fields[0].isdigit():
            job, indices, state, job_name, node, reason = fields
            for index in read_indices(indices):
                yield Task(job, index, state, job_name, node, reason)


def read_sacct(text: str) -> Iterator[Task]:
    """Yield the tasks in what the command `SACCT` printed."""
    for line in text.splitlines():
        fields = line.strip().split("|")
        job, _, indices = fields[0].partition("_")
        if len(fields) >= 4 and job.isdigit():
            state = fields[1].split(" ")[0]  # "CANCELLED by 1000"
            for index in read_indices(indices.strip("[]")):
                yield Task(job, index, state, fields[2], "" if fields[3].startswith("None") else fields[3])


def read_indices(text: str) -> Iterator[int]:
    """Yield the indices of `3`, of `0-3,7,9`, of `0-8:4`; a throttle (`%2`) is no part of them."""
    for part in text.partition("%")[0].split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part.strip())
        if found:
            first, last, stride = found.groups()
            yield from range(int(first), int(last or first) + 1, int(stride or 1))


def write_indices(indices: Iterable[int]) -> str:
    """Return indices as Slurm's commands take them: `0-3,7`."""
    parts: list[list[int]] = []
    for index in sorted(set(indices)):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)


def read_limit(configuration: str, name: str, default: int) -> int:
    """Return a number of `scontrol show config`, as `MaxArraySize`."""
    found = re.search(rf"^{name}\s*=\s*(\d+)", configuration, re.MULTILINE)
    return int(found.group(1)) if found else default


def read_submitted(text: str) -> tuple[str, str | None]:
    """Return the job's id, and its cluster where one is named, from what `sbatch --parsable` printed."""
    for line in reversed(text.splitlines()):  # sites print words of their own before it
        found = re.fullmatch(r"(\d+)(?:;(\S+))?", line.strip())
        if found:
            return found.group(1), found.group(2)
    raise ValueError(text)


def read_time(text: str) -> float | None:
    """Return seconds of `[days-][hours:]minutes:seconds`, as squeue's `%L` prints; None where it is no time."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


# ---- what it means for a run -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """All that is known of one attempt of a run when it is asked how it stands."""

    attempt: int
    """Its number when it was handed over; a task that is requeued, or that retries, goes beyond it."""
    last_attempt: int
    """The number of the last one that the task makes by itself, where attempts fail."""
    outcome: Outcome | None
    """What the run's directory says."""
    task: Task | None
    """What Slurm says; None where it knows nothing of it."""
    gone: bool = False
    """Slurm was asked often enough to be sure that it knows nothing of it."""
    stopped: bool = False
    """This run was asked to stop."""
    barred: bool = False
    """It was asked to stop, and after that its task still waited: it will not be started."""
    last_line: str = ""
    """Of the task's log."""
    latest: int = 0
    """The number of the latest attempt that began, as the run's directory says."""


def how_it_ended(seen: Seen) -> Outcome | None:
    """Return how the attempt ended; None while its task may yet go on with it."""
    over = seen.gone or (seen.task is not None and seen.task.over)
    outcome = seen.outcome
    if outcome is None or outcome.attempt < max(seen.attempt, seen.latest):
        if seen.barred and not over:
            return Outcome("stopped", max(seen.attempt, seen.latest), message="stopped before it started")
        return _without_outcome(seen) if over else None
    if outcome.kind == "succeeded" or seen.stopped:
        return outcome
    if over:
        return _with_reason(outcome, seen.task)
    # It is requeued, or the task ends in a moment; it makes a further attempt; Slurm will know why it was killed.
    pending = outcome.kind in {"stopped", "lost"} or outcome.attempt < seen.last_attempt or outcome.signal == _SIGKILL
    return None if pending else outcome


def _with_reason(outcome: Outcome, task: Task | None) -> Outcome:
    """Say what only Slurm knows: that the kernel killed the run for its job's memory."""
    if task is not None and task.state == "OUT_OF_MEMORY" and outcome.signal == _SIGKILL:
        return replace(outcome, message=f"{outcome.message}: out of memory, Slurm says of job {task.name}")
    return outcome


def _without_outcome(seen: Seen) -> Outcome:
    attempt = max(seen.attempt, seen.latest)
    if seen.task is None:
        kind: Kind = "stopped" if seen.stopped else "lost"
        return Outcome(kind, attempt, message="its job is no longer known to Slurm, and left no outcome")
    task = seen.task
    said = _SAID.get(task.state, f"the job ended as {task.state} before the run did")
    message = f"{said} (Slurm job {task.name}{f' on {task.node}' if task.node else ''}: {task.state})"
    if task.state in {"FAILED", "COMPLETED"} and seen.last_line:
        message += f": {seen.last_line}"
    kind = "stopped" if seen.stopped else _KIND.get(task.state, "lost")
    return Outcome(kind, attempt, host=task.node or None, message=message)
