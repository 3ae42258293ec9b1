"""What PBS's commands print, read: `qstat -f` as JSON (OpenPBS) and as text (Torque), `qsub`. Pure.

A job of several tasks is an array: `12[].server`, its tasks `12[3].server`. A job of one is
`12.server`: some versions refuse an array of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runslot.engines.batch.task import Task

_ID = re.compile(r"(\d+)(\[(\d*)\])?(\.\S+)?")
_STATES = {
    "H": "PENDING", "M": "PENDING", "Q": "PENDING", "T": "PENDING", "W": "PENDING",
    "B": "RUNNING", "R": "RUNNING", "S": "SUSPENDED", "U": "SUSPENDED", "E": "COMPLETING",
}  # fmt: skip
"""By PBS's letter, of jobs that have not ended; F, X (a task of an array) and Torque's C have."""
_NODE_RESTARTED = dict.fromkeys((-4, -5, -6), "NODE_FAIL")
_OPENPBS_ENDS = {-29: "TIMEOUT", -27: "OUT_OF_MEMORY", -26: "OUT_OF_MEMORY", **_NODE_RESTARTED}
_TORQUE_ENDS = {-11: "TIMEOUT", -10: "OUT_OF_MEMORY", **_NODE_RESTARTED}
_SIGTERM_ENDS, _SIGKILL_ENDS = {256 + 15, 128 + 15}, {256 + 9, 128 + 9}

Attributes = Mapping[str, str]
"""Of one job, as `qstat -f` has them; those in groups by a dot, as `Resource_List.walltime`."""
Names = Mapping[str, Sequence[tuple[str, str]]]
"""By a job's number: the names that it may have, each with the id by which it is known."""


def number_of(job: str) -> str:
    """Return the number in a job's id, which is its own on its server, however that is spelt."""
    match = _ID.match(job)
    return match[1] if match else job


def read_submitted(text: str) -> str:
    """Return the job's id from what qsub printed; sites print words of their own before it."""
    for line in reversed(text.splitlines()):
        if _ID.fullmatch(line.strip()):
            return line.strip()
    raise ValueError(text)


def read_jobs(text: str) -> dict[str, Attributes]:
    """Return the jobs in what `qstat -f` printed, by id; `ValueError` where it is neither JSON nor
    its text.
    """
    if text.lstrip().startswith("{"):
        jobs = json.loads(text, strict=False).get("Jobs", {})
        return {job: dict(_flat(attributes)) for job, attributes in jobs.items()}
    jobs = {}
    for part in re.split(r"^Job Id:\s*", text.replace("\n\t", ""), flags=re.MULTILINE)[1:]:
        job, _, lines = part.partition("\n")
        jobs[job.strip()] = dict(re.findall(r"^\s+(\S+) = (.*?)\s*$", lines, re.MULTILINE))
    return jobs


def _flat(attributes: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in attributes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", str(value)


def tasks_of(jobs: Mapping[str, Attributes], names: Names) -> list[Task]:
    """Return the tasks of the jobs that `names` knows by their numbers, and that have one of the
    names.

    A job that has another name is somebody else's, whatever id stood in a file.
    """
    tasks: dict[tuple[str, int], Task] = {}
    ended_arrays: list[Task] = []
    for job, attributes in jobs.items():
        match = _ID.fullmatch(job)
        for name, known_id in names.get(match[1], ()) if match else ():
            if not match or not re.fullmatch(
                rf"{re.escape(name)}(-\d+)?", attributes.get("Job_Name", "")
            ):
                continue
            node = attributes.get("exec_host", "").partition("/")[0]
            index = int(match[3] or 0)
            task = Task(
                known_id, index, state_of(attributes), name, node, attributes.get("comment", "")
            )
            if match[2] != "[]":
                tasks[known_id, index] = task
            elif task.over:
                ends = re.match(r"(\d+)-(\d+)", attributes.get("array_indices_submitted", "0-0"))
                indices = range(int(ends[1]), int(ends[2]) + 1) if ends else ()
                ended_arrays += [Task(known_id, number, task.state, name) for number in indices]
    for task in ended_arrays:  # where its tasks are no longer listed
        tasks.setdefault((task.job, task.index), task)
    return list(tasks.values())


def state_of(attributes: Attributes) -> str:
    """Return a job's state in Slurm's words."""
    letter = attributes.get("job_state", "")
    if letter not in {"F", "X", "C"}:
        return _STATES.get(letter, letter or "UNKNOWN")
    status = attributes.get("Exit_status", attributes.get("exit_status", ""))
    if re.fullmatch(r"-?\d+", status):
        return _end_of(
            int(status), _OPENPBS_ENDS if "Exit_status" in attributes else _TORQUE_ENDS, attributes
        )
    return "COMPLETED" if "stime" in attributes or "start_time" in attributes else "CANCELLED"


def _end_of(status: int, ends: Mapping[int, str], attributes: Attributes) -> str:
    """Return how a job ended, which PBS tells by a number alone: a program's own status, or why it
    was killed.
    """
    if status in _SIGTERM_ENDS | _SIGKILL_ENDS and _time_was_up(attributes):
        return "TIMEOUT"
    if status in _SIGTERM_ENDS:
        return "CANCELLED"
    return ends.get(status, "COMPLETED" if status == 0 else "FAILED")


def _time_was_up(attributes: Attributes) -> bool:
    used, limit = (
        seconds_of(attributes.get(f"{group}.walltime"))
        for group in ("resources_used", "Resource_List")
    )
    return used is not None and limit is not None and used >= limit


def seconds_of(time: str | None) -> float | None:
    """Return the seconds of `[[hours:]minutes:]seconds`, as PBS has times; None where it is
    none.
    """
    if time is None or not re.fullmatch(r"(\d+:){0,2}\d+", time):
        return None
    return float(sum(int(part) * 60**place for place, part in enumerate(reversed(time.split(":")))))
