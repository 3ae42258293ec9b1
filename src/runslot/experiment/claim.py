"""The claim on a run: an `flock` on its `run.json`, held by the keeper that executes it, on
whatever host.

It is what tells whether a run is executed; hosts and pids that files name are only words. The
kernel gives it back when the keeper ends, however that ends; what follows from a claim that is free
depends on the disk (`reaches_others`). Called by keepers, which take it, and by whoever has to know
of a run of another host, boot or container.

Which process holds the claim on a run, or another exclusive lock: the only one that a stop may
signal.

What `attempt.json` says of processes is a hint where to look first, and no more: anyone may have
written it. The holder is found among this user's processes, by their descriptors and the kernel's
word that one took the lock, and is looked at once more when a pidfd holds it. Called by launchers
that adopt, stop and end runs, and by the remote ends of hosts.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from runslot.experiment.owner import other_owner
from runslot.experiment.processes import ProcessHandle, is_alive, keeper_of
from runslot.experiment.records import Attempt
from runslot.experiment.rundir import RunDir

Claim = Literal["held", "free", "unknown"]
"""`unknown`: nobody on this machine holds it, and locks of other hosts are not seen on this
disk.
"""

_OF_ONE_KERNEL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "ramfs", "overlay"}
)
"""File systems that one kernel has mounted: it knows all locks, those of other containers too."""
_LOCAL_LOCKS = {
    "nfs": {"nolock", "local_lock=all", "local_lock=flock"},
    "nfs4": {"nolock", "local_lock=all", "local_lock=flock"},
    "lustre": {"localflock", "noflock"},
    "ceph": set[str](),
}
"""Network file systems whose server keeps the locks, and the options that take them from it."""


def take_claim(run_dir: RunDir) -> int:
    """Return a descriptor that holds the claim; `BlockingIOError` where someone else does."""
    descriptor = os.open(run_dir.run_file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_claimed(run_dir: RunDir) -> bool:
    """Tell whether a keeper executes the run, on whatever host whose locks this disk shows.

    Looks with a shared lock through a descriptor that cannot write: lookers are not in each other's
    way.
    """
    return _looked_at(run_dir) is True


def is_free(run_dir: RunDir) -> bool:
    """Tell whether no keeper executes a run that is there: one whose directory was moved away may
    be executed.
    """
    return _looked_at(run_dir) is False


def _looked_at(run_dir: RunDir) -> bool | None:
    try:
        descriptor = os.open(
            run_dir.run_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        )
    except FileNotFoundError:  # the directory was deleted, or moved
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def keeper_lives(run_dir: RunDir, attempt: Attempt) -> bool | None:
    """Tell whether the keeper of an attempt executes the run; None where its process cannot be seen
    from here.

    A process that the file names rightly, and that has no claim, is none. Ask before the outcome is
    read: a keeper writes that, and gives the claim back then.
    """
    lives = is_alive(keeper_of(attempt))
    if not lives:
        return lives
    try:
        return is_claimed(run_dir)
    except OSError:  # not ours to open: it is shown, and nobody signals it
        return True


def claim_of(run_dir: RunDir) -> Claim:
    """Return whether the run is executed anywhere."""
    try:
        if is_claimed(run_dir):
            return "held"
    except OSError:  # not ours to open, or a disk without locks
        return "unknown"
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:  # macOS: a disk that others share is rare there, and a launcher elsewhere rarer
        return "free"
    return "free" if reaches_others(mounts, os.path.realpath(run_dir.path)) else "unknown"


def reaches_others(mounts: Iterable[str], path: str) -> bool:
    """Tell from the lines of `mountinfo` whether a lock on `path` is seen wherever else the path
    can be seen.
    """
    kind, options, longest = "", set[str](), -1
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = re.sub(
            r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), before.split()[4]
        )  # \040 is a space
        if len(point) >= longest and (path == point or path.startswith(point.rstrip("/") + "/")):
            words = after.split()
            kind, longest = words[0], len(point)
            options = {*before.split()[5].split(","), *words[-1].split(",")}
    if kind == "lustre" and not options & {"flock", "localflock", "noflock"}:
        return False
    return kind in _OF_ONE_KERNEL or (kind in _LOCAL_LOCKS and not options & _LOCAL_LOCKS[kind])


def last_sign(run_dir: RunDir) -> float | None:
    """Return when the run or its keeper last wrote into its directory; Unix time. None where
    nothing is there.
    """
    files = (run_dir.attempt_file, run_dir.console, run_dir.progress, run_dir.debug_log)
    moments = []
    for file in files:
        try:
            moments.append(os.stat(file).st_mtime)  # noqa: PTH116
        except OSError:
            continue
    return max(moments, default=None)


# ---- who holds it --------------------------------------------------------------------------------


_PROC = Path("/proc/self")


def find_keeper(run_dir: RunDir, hint: int | None = None) -> ProcessHandle | None:
    """Return the process of this user that has the claim; the caller closes it.

    None where nobody has it, or somebody who may not be signalled: another user's process, one of
    another machine or container. `hint` is the pid that is looked at first.
    """
    file = run_dir.run_file
    if other_owner(file) is not None or other_owner(run_dir.path) is not None:
        return None
    return find_holder(file, hint)


def find_holder(file: Path, hint: int | None = None) -> ProcessHandle | None:
    """Return the process of this user that holds the exclusive `flock` on a file; the caller closes
    it.
    """
    try:
        status = os.lstat(file)
    except OSError:
        return None
    # a link, perhaps to what others' processes lock
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        return None
    if not _PROC.is_dir():
        return _believed(file, hint)
    for pid in _candidates(hint):
        if not _holds(pid, file.name, status):
            continue
        handle = ProcessHandle.open(pid)
        # Once more: what has the lock now is what the handle means, whoever had the pid a moment
        # ago.
        if handle is not None and handle.is_ours and _holds(pid, file.name, status):
            return handle
        if handle is not None:
            handle.close()
    return None


def _candidates(hint: int | None) -> Iterator[int]:
    if hint is not None and hint > 1:
        yield hint
    for entry in _PROC.parent.glob("[0-9]*"):
        pid = int(entry.name)
        if pid not in {hint, os.getpid()}:
            yield pid


def _holds(pid: int, name: str, status: os.stat_result) -> bool:
    """Tell whether a process of this user has the file open and took the lock itself: a fork of it
    did not.
    """
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():  # noqa: PTH116
            return False
        descriptors = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            # The name first: to ask for the state of every file could wait for a network disk that
            # is gone.
            if name not in os.readlink(f"/proc/{pid}/fd/{descriptor}"):  # noqa: PTH115
                continue
            state = os.stat(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH116
            same = (state.st_dev, state.st_ino) == (status.st_dev, status.st_ino)
            if same and _has_lock(pid, Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text()):
                return True
        except OSError:  # closed meanwhile
            continue
    return False


def _has_lock(pid: int, description: str) -> bool:
    """Tell whether this is a descriptor with which the process took an exclusive lock. Source:
    proc_pid_fdinfo(5).
    """
    if not _shows_locks():
        flags = next(
            (line.split()[1] for line in description.splitlines() if line.startswith("flags:")), "0"
        )
        return int(flags, 8) & os.O_ACCMODE == os.O_RDWR  # who only looks opens it to read
    for line in description.splitlines():
        words = line.split()
        if words[:1] == ["lock:"] and words[2:6:2] == ["FLOCK", "WRITE"] and words[5] == str(pid):
            return True
    return False


@functools.cache
def _shows_locks() -> bool:
    """Tell whether this kernel lists the locks of a descriptor (some sandboxes do not)."""
    descriptor = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return "lock:" in Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _believed(file: Path, hint: int | None) -> ProcessHandle | None:
    """Return the process that is named, where no kernel tells (macOS): its file is this user's, and
    it is claimed.
    """
    if hint is None or hint <= 1 or not is_claimed(RunDir(file.parent)):
        return None
    handle = ProcessHandle.open(hint)
    return handle if handle is not None and handle.is_ours else None
