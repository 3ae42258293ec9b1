"""Why tasks wait, in words for people; what stands in `status` of runs that are queued. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from runslot.engines.batch.task import Task

_HELD = re.compile(r"JobHeld|JobHoldMaxRequeue|requeued held|launch failed")
_MEANINGS = (
    (r"launch failed|JobHoldMaxRequeue|requeued held", "Slurm could not start it, and holds it"),
    (r"JobHeldAdmin", "an administrator holds it"),
    (r"JobHeld", "it is held"),
    (r"^Priority", "other jobs are before it"),
    (r"^Resources", "what it asks for is in use"),
    (r"^BeginTime", "it was requeued, or may not begin yet"),
    (r"^JobArrayTaskLimit", "at_a_time lets no more run"),
    (r"^Dependency", "it waits for another job"),
    (r"^(QOS|Assoc|MaxCpuPer|MaxMemPer)", "a limit of your account is reached"),
    (r"NodeNotAvail|NodeDown|DRAINED|^Reservation", "nodes that it needs are down or reserved"),
    (r"^Partition|BadConstraints|AccountNotAllowed", "it cannot start as it was submitted"),
    (r"^Licenses", "no licence is free"),
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d)(:\d\d)?")


def is_held(task: Task) -> bool:
    """Tell whether a task waits until somebody releases it."""
    return task.waits and _meaning(task.state, task.reason)[1]


def wait_reason(task: Task) -> str:
    """Return why a task waits, and the system's own word for it; empty where it says nothing."""
    reason, is_on_hold = _meaning(task.state, task.reason)
    releasable = is_on_hold and "JobHeldAdmin" not in task.reason
    return f"{reason}: scontrol release {task.name}" if releasable else reason


@functools.cache  # thousands of tasks wait for the same reason
def _meaning(state: str, reason: str) -> tuple[str, bool]:
    word = reason.strip("()")
    is_on_hold = state == "REQUEUE_HOLD" or _HELD.search(word) is not None
    if word in {"", "None"}:
        return ("it was requeued, and is held" if is_on_hold else ""), is_on_hold
    meaning = next((text for pattern, text in _MEANINGS if re.search(pattern, word)), "")
    return (f"{meaning} ({word})" if meaning else word), is_on_hold


def wait_lines(tasks: Iterable[Task]) -> list[str]:
    """Return a line for each reason for which tasks wait: how many, and when the system expects the
    first to begin.
    """
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        reason = _meaning(task.state, task.reason)[0]
        if task.waits and reason:
            groups.setdefault(reason, []).append(task)
    return [
        f"{len(group)} wait{'s' * (len(group) == 1)}: {reason}{_begin(group)}"
        for reason, group in groups.items()
    ]


def _begin(tasks: Iterable[Task]) -> str:
    expected = min((task.begin for task in tasks if _TIME.fullmatch(task.begin)), default="")
    return f"; expected to begin {expected[:16].replace('T', ' ')}" if expected else ""
