"""The claim on a run: an `flock` on its `run.json`, held by the keeper that executes it, on
whatever host.

It is what tells whether a run is executed; hosts and pids that files name are only words. The
kernel gives it back when the keeper ends, however that ends; what follows from a claim that is free
depends on the disk (`reaches_others`). Called by keepers, which take it, and by whoever has to know
of a run of another host, boot or container.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from runslot.experiment.processes import is_alive, keeper_of
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
    try:
        descriptor = os.open(
            run_dir.run_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        )
    except FileNotFoundError:  # the directory was deleted
        return False
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
