"""What Slurm's commands print, read: squeue, sacct, scontrol. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runslot.engines.batch.task import Task

SQUEUE = ("squeue", "--noheader", "--states=all", "--format=%F|%K|%T|%j|%N|%r")
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
                yield Task(
                    job, index, state, fields[2], "" if fields[3].startswith("None") else fields[3]
                )


def read_indices(text: str) -> Iterator[int]:
    """Yield the indices of `3`, of `0-3,7,9`, of `0-8:4`; a throttle (`%2`) is no part of them."""
    for part in text.partition("%")[0].split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part.strip())
        if found:
            first, last, stride = found.groups()
            yield from range(int(first), int(last or first) + 1, int(stride or 1))


def read_limit(configuration: str, name: str, default: int) -> int:
    """Return a number of `scontrol show config`, as `MaxArraySize`."""
    found = re.search(rf"^{name}\s*=\s*(\d+)", configuration, re.MULTILINE)
    return int(found.group(1)) if found else default


def read_submitted(text: str) -> tuple[str, str | None]:
    """Return the job's id, and its cluster where one is named, from what `sbatch --parsable`
    printed.
    """
    for line in reversed(text.splitlines()):  # sites print words of their own before it
        found = re.fullmatch(r"(\d+)(?:;(\S+))?", line.strip())
        if found:
            return found.group(1), found.group(2)
    raise ValueError(text)


def read_time(text: str) -> float | None:
    """Return seconds of `[days-][hours:]minutes:seconds`, as squeue's `%L` prints; None where it is
    no time.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
