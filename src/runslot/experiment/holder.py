"""Which process holds the claim on a run, or another exclusive lock: the only one that a stop may
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
import stat
from collections.abc import Iterator
from pathlib import Path

from runslot.experiment.claim import is_claimed
from runslot.experiment.owner import other_owner
from runslot.experiment.processes import ProcessHandle
from runslot.experiment.rundir import RunDir

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
            there = os.stat(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH116
            same = (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino)
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
