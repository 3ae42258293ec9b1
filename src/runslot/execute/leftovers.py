"""The processes below a run: who they are, what they use, and those that escaped a keeper that was killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from runslot.execute.cgroup import end_group
from runslot.experiment.claim import is_claimed
from runslot.experiment.current import RUN_VARIABLE
from runslot.experiment.owner import other_owner
from runslot.experiment.processes import host_name, keeper_of, kill_marked, start_time
from runslot.experiment.rundir import RunDir

_DYING = 1.0
"""Seconds that a process which was killed, and has closed its files, takes at most until it is gone."""


def children_of(pid: int) -> list[int]:
    """Return the direct children of `pid`, zombies included; none where there is no `/proc`."""
    return [child for child, parent in _parents().items() if parent == pid]


def memory_of_tree(pid: int) -> int:
    """Return the resident memory of `pid` and all below it, in bytes; shared pages count in each."""
    parents = _parents()
    tree, border = {pid}, {pid}
    while border:
        border = {child for child, parent in parents.items() if parent in border} - tree
        tree |= border
    return sum(_resident(each) for each in tree)


def end_escaped(*run_dirs: Path, patience: float = 2.0) -> int:
    """Kill what still runs of runs whose keepers were killed; returns how many processes that were.

    They are known by the environment that they were started with, and by the control group of the keeper. A run that
    somebody executes is left alone, and so is one whose directory is another user's.
    """
    ours = [path for path in run_dirs if not is_claimed(RunDir(path)) and other_owner(path) is None]
    ended = sum(map(_end_group, ours))
    deadline = time.monotonic() + patience
    while ours:
        killed = kill_marked(RUN_VARIABLE, *map(str, ours))
        ended += killed
        if not killed or time.monotonic() > deadline:  # in uninterruptible sleep: the kernel ends them when it can
            break
        time.sleep(0.01)
    return ended


def _end_group(run_dir: Path) -> int:
    attempt = RunDir(run_dir).read_attempt()
    if attempt is None or attempt.cgroup is None or attempt.host != host_name():
        return 0
    keeper = keeper_of(attempt)
    deadline = time.monotonic() + _DYING
    while start_time(keeper.pid) == keeper.start_time:  # whatever boot the file names: the group is of this one
        if time.monotonic() > deadline:  # it lives, and keeps another run by now
            return 0
        time.sleep(0.001)
    return end_group(attempt.cgroup, keeper)


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_bytes()
        except OSError:  # ended meanwhile
            continue
        parents[int(entry.name)] = int(stat[stat.rindex(b")") + 2 :].split()[1])
    return parents


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:  # ended meanwhile
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
