"""The processes of a run: what they use, and those that escaped a keeper that was killed: found,
and ended.

A keeper has a control group of its own, where this user may make one: what a killed keeper leaves
behind ends with it. Without, such processes are found by their environment; one that has cleared
it, in a session of its own, is not.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from runslot.errors import RunslotError
from runslot.execute.spawn import ROOM_MARK
from runslot.experiment.claim import is_claimed
from runslot.experiment.current import RUN_VARIABLE
from runslot.experiment.owner import other_owner
from runslot.experiment.processes import (
    ProcessIdentity,
    host_name,
    keeper_of,
    kill_marked,
    start_time,
    tree_of,
    values_of_processes,
)
from runslot.experiment.rundir import RunDir
from runslot.hardware.lockfile import DIRECTORY_VARIABLE
from runslot.record import record

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


@record
class Leftover:
    """A process of a run whose keeper was killed, and that nobody has ended yet."""

    pid: int
    run: str
    """The run's directory; empty where it is not known."""
    pus: frozenset[int]
    """Where it computes."""

    def __str__(self) -> str:
        """`process 4711, which is left of /runs/a/run_0, computes there: a resume or stop of that
        experiment ends it`.
        """
        run = self.run or "a run whose keeper was killed"
        ends = "a resume or stop of that experiment ends it" if self.run else f"kill {self.pid}"
        return f"process {self.pid}, which is left of {run}, computes there: {ends}"


def find_leftovers() -> list[Leftover]:
    """Return this user's processes that still compute for runs which nobody keeps, on cores that
    were a run's.

    By the environment they were started with, where they keep to the cores of that run's lost
    attempt, and by the control groups of dead keepers. Reads all of this user's processes: once a
    launch, not once a run.
    """
    marked = {
        pid: run for pid, run in values_of_processes(RUN_VARIABLE).items() if run.strip(ROOM_MARK)
    }
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
    if not leftovers:
        return []
    # Launchers with other locks do not see each other, nor what is left of their runs.
    locks = values_of_processes(DIRECTORY_VARIABLE)
    own = os.environ.get(DIRECTORY_VARIABLE)
    return [
        leftover
        for pid, leftover in leftovers.items()
        if locks.get(pid, own) == own and start_time(pid) is not None
    ]


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
    """Remove the groups beside this process's whose keepers have ended, where they are empty: so is
    a living keeper's that was made a moment ago.
    """
    for group, _, _ in _groups_of_dead():
        _remove(group)


def members_of_dead() -> Iterator[int]:
    """Yield what is in the groups beside this process's whose keepers are dead."""
    for group, pid, began in _groups_of_dead():
        members = list(_members(group))
        # a keeper in a pid namespace has named its group by its number there
        is_keeper = (str(start_time(m)) == began and pid in _numbers(m) for m in members)
        if not any(is_keeper):
            yield from members


def _groups_of_dead() -> Iterator[tuple[Path, str, str]]:
    """Yield the groups whose keepers have ended, with the pid and the start time in their names."""
    base = _base()
    for group in () if base is None else base.glob(f"{_PREFIX}*-*"):
        pid, _, began = group.name.removeprefix(_PREFIX).partition("-")
        if pid.isdigit() and str(start_time(int(pid))) != began:
            yield group, pid, began


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
    except OSError as error:  # it is gone, or was removed between the opening and the reading
        if error.errno not in {errno.ENOENT, errno.ENODEV}:
            raise


def _numbers(pid: int) -> list[str]:
    """Return a process's numbers in this pid namespace and those below it, down to its own."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(line for line in lines if line.startswith("NSpid:")).split()[1:]
    return []


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
