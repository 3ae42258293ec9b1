"""One lock file in a directory that all users share: opened safely, locked without waiting, and who the kernel says
has it.

The directory is sticky and anyone may write there, so nothing found in it is trusted: symbolic links, hard links and
anything but plain files are refused, and a file that was replaced while it was being locked is opened again.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH116

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path


class NotALockFile(Exception):
    """What lies at the path is no lock file of ours; the message says what it is."""


DIRECTORY_VARIABLE = "RUNSLOT_LOCKS"
"""Environment variable with another directory for locks: launchers with different ones do not see each other."""


def lock_directory() -> Path | None:
    """Return the directory for locks that every user of this machine would choose, or None where there is none.

    It must be writable by all and sticky, whoever asks: a root that chose a private one would not meet its users.
    """
    told = os.environ.get(DIRECTORY_VARIABLE)
    if told:
        return Path(told)
    for path in (Path("/run/lock"), Path("/dev/shm")):  # noqa: S108 (shared on purpose, opened with care)
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and mode & stat.S_IWOTH:
            return path
    return None


def lock(path: str, *, shared: bool = False) -> int | None:
    """Return a descriptor that holds the lock on `path`, or None where someone else does; never waits.

    Raises `NotALockFile` for a link or anything else that is no plain file of one name, `OSError` where it cannot be
    opened.
    """
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    while True:
        descriptor = open_lock(path)
        try:
            fcntl.flock(descriptor, kind)
            if _is_still(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def open_lock(path: str) -> int:
    """Return a descriptor of the file at `path`, made where it is missing.

    `protected_regular` (Debian) forbids `O_CREAT` on another user's file in a sticky directory, so it is opened without
    first and created exclusively. A file that we may only read can be locked all the same.
    """
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | flags)
        except FileNotFoundError:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o666)
            except FileExistsError:
                continue
            os.fchmod(descriptor, 0o666)  # past the umask: other users write their names here
        except PermissionError:
            descriptor = os.open(path, os.O_RDONLY | flags)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EISDIR}:
                what = "a symbolic link" if error.errno == errno.ELOOP else "a directory"
                raise NotALockFile(f"{path} is {what}, not a lock file: remove it") from error
            raise
        return descriptor


def _is_still(path: str, descriptor: int) -> bool:
    """Whether `path` names the file that was opened, and that is a plain file of one name."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    if not stat.S_ISREG(mine.st_mode) or mine.st_nlink > 1:
        raise NotALockFile(f"{path} is not a plain file of one name: remove it")
    return (mine.st_ino, mine.st_dev) == (there.st_ino, there.st_dev)


def locked_by() -> dict[tuple[int, int], list[int]]:
    """Return the pids that took each `flock` which is held now, by device and inode, as the kernel lists them.

    A pid is that of the process that took the lock: it may have ended while its children keep the lock, and it is 0
    where it lives in a container that this process does not see. Source: proc_locks(5).
    """
    holders: dict[tuple[int, int], list[int]] = {}
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return holders
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK":
            major, minor, inode = words[5].split(":")
            device = os.makedev(int(major, 16), int(minor, 16))
            holders.setdefault((device, int(inode)), []).append(max(0, int(words[4])))
    return holders
