"""The processes of a run: what they use, and those that escaped a keeper that was killed: found,
and ended.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from runslot.errors import RunslotError
from runslot.execute.cgroup import end_group, members_of_dead
from runslot.experiment.claim import is_claimed
from runslot.experiment.current import RUN_VARIABLE
from runslot.experiment.owner import other_owner
from runslot.experiment.processes import (
    host_name,
    keeper_of,
    kill_marked,
    start_time,
    tree_of,
    values_of_processes,
)
from runslot.experiment.rundir import RunDir

_DYING = 1.0
"""Seconds that a process which was killed, and has closed its files, takes at most until it is
gone.
"""


def memory_of_tree(pid: int) -> int:
    """Return the resident memory of `pid` and all below it, in bytes; shared pages count in
    each.
    """
    return sum(map(_resident, tree_of(pid)))


def end_escaped(*run_dirs: Path, patience: float = 2.0) -> int:
    """Kill what still runs of runs whose keepers were killed; returns how many processes that were.

    They are known by the environment that they were started with, and by the control group of the
    keeper. A run that somebody executes is left alone, and so is one whose directory is another
    user's.
    """
    paths = [
        path for path in run_dirs if not is_claimed(RunDir(path)) and other_owner(path) is None
    ]
    ended = sum(map(_end_group, paths))
    deadline = time.monotonic() + patience
    while paths:
        killed = kill_marked(RUN_VARIABLE, *map(str, paths))
        ended += killed
        # in uninterruptible sleep: the kernel ends them when it can
        if not killed or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return ended


@dataclass(frozen=True)
class Leftover:
    """A process of a run whose keeper was killed, and that nobody has ended yet."""

    pid: int
    run: str
    """The run's directory; empty where it is not known."""
    pus: frozenset[int]
    """Where it computes."""

    def __str__(self) -> str:
        """`process 4711, which is left of /runs/a/run_0: runslot resume of that experiment ends
        it`.
        """
        if not self.run:
            return f"process {self.pid}, which is left of a run whose keeper was killed: end it"
        return (
            f"process {self.pid}, which is left of {self.run}: a resume or stop of that experiment"
            " ends it"
        )


def find_leftovers() -> list[Leftover]:
    """Return this user's processes that still compute for runs which nobody keeps, on cores that
    were a run's.

    By the environment they were started with, where they keep to the cores of that run's lost
    attempt, and by the control groups of dead keepers. Reads all of this user's processes: once a
    launch, not once a run.
    """
    marked = values_of_processes(RUN_VARIABLE)
    lost = {run: _cores_of_lost(RunDir(run)) for run in set(marked.values())}
    pus = {pid: _affinity(pid) for pid in marked}
    leftovers = {
        pid: Leftover(pid, run, pus[pid])
        for pid, run in marked.items()
        if pus[pid] and pus[pid] <= lost[run]
    }
    leftovers |= {
        pid: Leftover(pid, marked.get(pid, ""), _affinity(pid)) for pid in members_of_dead()
    }
    return [leftover for pid, leftover in leftovers.items() if start_time(pid) is not None]


def _cores_of_lost(run_dir: RunDir) -> frozenset[int]:
    """Return the PUs of a run's attempt that nobody keeps and that has no outcome; none where that
    is not so.
    """
    try:
        attempt, outcome = run_dir.read_attempt(), run_dir.read_outcome()
        over = outcome is not None and attempt is not None and outcome.attempt >= attempt.attempt
        if attempt is None or attempt.occupied is None or over or is_claimed(run_dir):
            return frozenset()
        return frozenset(attempt.occupied.pus)
    except (OSError, RunslotError):  # no run's directory any more
        return frozenset()


def _affinity(pid: int) -> frozenset[int]:
    try:
        return frozenset(os.sched_getaffinity(pid))
    except (OSError, AttributeError):  # it has ended; macOS
        return frozenset()


def _end_group(run_dir: Path) -> int:
    attempt = RunDir(run_dir).read_attempt()
    if attempt is None or attempt.cgroup is None or attempt.host != host_name():
        return 0
    keeper = keeper_of(attempt)
    deadline = time.monotonic() + _DYING
    # whatever boot the file names: the group is of this one
    while start_time(keeper.pid) == keeper.start_time:
        if time.monotonic() > deadline:  # it lives, and keeps another run by now
            return 0
        time.sleep(0.001)
    return end_group(attempt.cgroup, keeper)


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:  # ended meanwhile
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
