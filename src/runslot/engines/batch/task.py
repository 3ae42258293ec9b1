"""A task of a job array, and what is known of it together means for a run that it was to do. Pure.

Every batch system's states are told in Slurm's words. A task is known by its job's id and its index
in the array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from runslot.experiment.records import Outcome
from runslot.experiment.states import Kind
from runslot.record import record

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
"""States in which a task is over, and its processes with it. In every other one it waits, runs, or
is being ended.
"""
WAITING = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
)

SAYING = frozenset({"COMPLETED", "FAILED"})
"""States in which what a task printed last says why its run has no outcome."""
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
_UNBEGUN = "stopped before it started"


def task_name(job: str, index: int) -> str:
    """Return what a system's commands call a task: `12_3` of Slurm's job 12, `12[3].server` of
    PBS's `12[].server`.
    """
    return f"{job}_{index}" if job.isdigit() else job.replace("[]", f"[{index}]")


@record
class Task:
    """One task of an array, as its batch system has it."""

    job: str
    index: int
    state: str
    """In Slurm's words, into which other systems' are translated: `PENDING`, `RUNNING`,
    `NODE_FAIL`, …
    """
    job_name: str = ""
    node: str = ""
    reason: str = ""
    """Why it waits."""
    begin: str = ""
    """When it began, or is expected to, as the system writes it: `2026-11-27T14:05:00`."""

    @property
    def name(self) -> str:
        """What its system's commands take."""
        return task_name(self.job, self.index)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    @property
    def waits(self) -> bool:
        """Whether it has not started, or not started again."""
        return self.state in WAITING


def write_indices(indices: Iterable[int]) -> str:
    """Return indices as Slurm's commands take them: `0-3,7`."""
    parts: list[list[int]] = []
    for index in sorted(set(indices)):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)


def read_time(text: str) -> float | None:
    """Return seconds of `[days-][hours:]minutes:seconds`, as squeue's `%L` prints; None where it is
    no time.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


@record
class RunEvidence:
    """All that is known of one attempt of a run when it is asked how it stands."""

    attempt: int
    """Its number when it was handed over; a task that is requeued, or that retries, goes beyond
    it.
    """
    last_attempt: int
    """The number of the last one that the task makes by itself, where attempts fail."""
    outcome: Outcome | None
    """What the run's directory says."""
    task: Task | None
    """What the batch system says; None where it knows nothing of it."""
    gone: bool = False
    """It was asked often enough to be sure that it knows nothing of it."""
    stopped: bool = False
    """This run was asked to stop."""
    barred: bool = False
    """It was asked to stop, and after that its task still waited: it will not be started."""
    last_line: str = ""
    """Of the task's log."""
    latest: int = 0
    """The number of the latest attempt that began, as the run's directory says."""
    dropped: bool = False
    """Its task has left no log, and the system, which has others of its array, knows nothing of it:
    it was cancelled as it waited.
    """
    unfit: bool = False
    """Its task ended before it began, since the node could not do it."""
    resumable: bool = False
    """Started again, it goes on where it was; one that does not would run out of time again."""
    system: str = "Slurm"
    """The batch system's name, for people."""


def how_it_ended(evidence: RunEvidence) -> Outcome | None:
    """Return how the attempt ended; None while its task may yet go on with it."""
    over = evidence.gone or (evidence.task is not None and evidence.task.over)
    outcome = evidence.outcome
    if outcome is None or outcome.attempt < max(evidence.attempt, evidence.latest):
        if evidence.barred and not over:
            return Outcome(
                "stopped",
                max(evidence.attempt, evidence.latest),
                message=_UNBEGUN,
            )
        return _without_outcome(evidence) if over else None
    if outcome.kind == "succeeded" or evidence.stopped:
        return outcome
    if over:
        return _with_reason(outcome, evidence)
    # It is requeued, or the task ends in a moment; it makes a further attempt; its system will know
    # why it was killed.
    pending = (
        outcome.kind in {"stopped", "lost"}
        or outcome.attempt < evidence.last_attempt
        or outcome.signal == _SIGKILL
    )
    return None if pending else outcome


def _with_reason(outcome: Outcome, evidence: RunEvidence) -> Outcome:
    """Say what only the batch system knows: that the kernel killed the run for its job's memory,
    that its job's time limit is why it was asked to end.
    """
    task = evidence.task
    if task is None:
        return outcome
    if (
        outcome.kind == "stopped"
        and not evidence.resumable
        and _KIND.get(task.state) == "timed_out"
    ):
        message = f"{_SAID[task.state]}, and the run is not resumable"
        return replace(outcome, kind="timed_out", message=message)
    if task.state == "OUT_OF_MEMORY" and outcome.signal == _SIGKILL:
        return replace(
            outcome,
            message=f"{outcome.message}: out of memory, {evidence.system} says of job {task.name}",
        )
    return outcome


def _without_outcome(evidence: RunEvidence) -> Outcome:
    attempt = max(evidence.attempt, evidence.latest)
    if evidence.task is None and evidence.dropped and evidence.latest < evidence.attempt:
        message = f"its task was cancelled as it waited: {evidence.system} has dropped it"
        return Outcome("stopped", attempt, message=message)
    if evidence.task is None and evidence.stopped and evidence.latest < evidence.attempt:
        return Outcome("stopped", attempt, message=_UNBEGUN)
    if evidence.task is None:
        kind: Kind = "stopped" if evidence.stopped else "lost"
        message = f"its job is no longer known to {evidence.system}, and left no outcome"
        if evidence.last_line and evidence.latest < evidence.attempt:
            message += f": {evidence.last_line}"
        return Outcome(kind, attempt, message=message)
    task = evidence.task
    meaning = _SAID.get(task.state, f"the job ended as {task.state} before the run did")
    message = (
        f"{meaning} ({evidence.system} job {task.name}{f' on {task.node}' if task.node else ''}:"
        f" {task.state})"
    )
    if task.state in SAYING and evidence.last_line:
        message += f": {evidence.last_line}"
    kind = "stopped" if evidence.stopped else _KIND.get(task.state, "lost")
    return Outcome(kind, attempt, host=task.node or None, message=message)
