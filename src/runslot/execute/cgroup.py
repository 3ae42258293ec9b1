"""A control group for each keeper, where this user may make one: what a killed keeper leaves behind
ends with it.

Without, such processes are found by their environment; one that has cleared it, in a session of its
own, is not.
"""

from __future__ import annotations

import functools
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from runslot.experiment.processes import ProcessIdentity, start_time, tree_of

_PATIENCE = 2.0
"""Seconds in which the kernel ends a group's processes, short of those in uninterruptible sleep."""


_TIMES, _BETWEEN = 3, 0.02


def group_of(process: ProcessIdentity) -> str | None:
    """Return where the group of this keeper is, or will be; None where this process may make
    none.
    """
    base = _base()
    return None if base is None else str(base / _name(process))


def enclose(process: ProcessIdentity) -> None:
    """Make the group of a keeper and move it there with all below it; what they start from then on
    is in it.

    Waits for the kernel, which takes 10 to 30 ms: this is for a process that has nothing else to
    do.
    """
    group = group_of(process)
    if group is None:
        return
    try:
        os.mkdir(group)  # noqa: PTH102
        # times in a row: one whose parent just ends is in no list of children for a moment
        found_all = 0
        while found_all < _TIMES and start_time(process.pid) == process.start_time:
            outside = tree_of(process.pid) - set(_members(Path(group)))
            found_all = 0 if outside else found_all + 1
            _move(outside, Path(group))
            time.sleep(_BETWEEN)
    except OSError:  # it ended meanwhile, or the group may not have processes
        _remove(Path(group))


def sweep() -> None:
    """Remove the groups beside this process's that are empty: their keepers have ended."""
    base = _base()
    for group in () if base is None else base.glob(f"{_PREFIX}*-*"):
        _remove(group)


def members_of_dead() -> Iterator[int]:
    """Yield what is in the groups beside this process's whose keepers are dead."""
    base = _base()
    for group in () if base is None else base.glob(f"{_PREFIX}*-*"):
        pid, _, began = group.name.removeprefix(_PREFIX).partition("-")
        if pid.isdigit() and str(start_time(int(pid))) != began:
            yield from _members(group)


def end_group(group: str | None, keeper: ProcessIdentity) -> int:
    """Kill what is in the group of a keeper that is dead; returns how many processes that were.

    `group` stands in a file that anyone may have written: it is believed where it is this user's,
    is named after the keeper, and lies below the mount of control groups without a link on the way.
    """
    if group is None or Path(group).name != _name(keeper) or not _is_ours(Path(group)):
        return 0
    members = list(_members(Path(group)))
    try:
        Path(group, "cgroup.kill").write_text("1")
        deadline = time.monotonic() + _PATIENCE
        while list(_members(Path(group))) and time.monotonic() < deadline:
            time.sleep(0.005)
    except OSError:  # another launcher ended and removed it
        return 0
    _remove(Path(group))
    return len(members)


def _is_ours(group: Path) -> bool:
    mount = _mount()
    if mount is None or not group.is_relative_to(mount[1]) or os.path.realpath(group) != str(group):
        return False
    try:
        kill, top = os.lstat(group / "cgroup.kill"), os.stat(mount[1])  # noqa: PTH116
        return (
            group.stat().st_uid == os.geteuid()
            and kill.st_dev == top.st_dev
            and stat.S_ISREG(kill.st_mode)
        )
    except OSError:  # it is gone
        return False


_PREFIX = "runslot-"


def _name(process: ProcessIdentity) -> str:
    return f"{_PREFIX}{process.pid}-{process.start_time}"


@functools.cache
def _base() -> Path | None:
    group = _own()
    if group is None or not (
        os.access(group, os.W_OK) and os.access(f"{group}/cgroup.procs", os.W_OK)
    ):
        return None
    return Path(group)


def _own() -> str | None:
    """Return the directory of this process's group in the unified hierarchy; None where there is
    none.
    """
    mount = _mount()
    try:
        group = next(
            line[3:]
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        )
    except (OSError, StopIteration):
        return None
    inside = ".." if mount is None else os.path.relpath(group, mount[0])
    return (
        None
        if mount is None or inside.startswith("..")
        else os.path.normpath(f"{mount[1]}/{inside}")
    )


@functools.cache
def _mount() -> tuple[str, str] | None:
    """Return which group of the unified hierarchy is mounted, and where; None where there is
    none.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            root, mounted = before.split()[3:5]
            return root, mounted
    return None


def _members(group: Path) -> Iterator[int]:
    try:
        yield from map(int, (group / "cgroup.procs").read_text().split())
    except FileNotFoundError:
        return


def _move(pids: Iterable[int], group: Path) -> None:
    for pid in sorted(pids):
        try:
            (group / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:  # it ended meanwhile
            continue


def _remove(group: Path) -> None:
    try:
        group.rmdir()
    except OSError:  # it has processes, or is gone
        pass
