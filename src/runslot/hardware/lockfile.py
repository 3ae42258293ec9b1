"""Lock files in a directory that all users share: opened safely, locked without waiting, who the
kernel says has one, and substitutes for those that cannot be used. `Leases` calls all of it.

The directory is sticky and anyone may write there, so nothing found in it is trusted: symbolic
links, hard links and anything but plain files are refused, and a file that was replaced while it
was being locked is opened again.

What lies there under a lock's name may be a socket, a directory, a link, a file that only its owner
may open. So that who spoils one costs nobody the core or GPU, each launcher then takes a file of
its user's beside it, `runslot.core-0~UID~x~TOKEN` (`s`: shared), whose name nobody could guess,
locks it, and looks at those of others: a substitute counts where the user in its name owns it and
somebody has it locked. Each locks its own before it looks, so that of two at once at least one sees
the other. Who could lock the file itself looks at substitutes, too. Where all files are well,
nothing of this happens.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH108, PTH116

from __future__ import annotations

import errno
import fcntl
import functools
import itertools
import os
import pwd
import stat
import time
from pathlib import Path

from runslot.errors import InvalidInput

MOST_TRIES = 100
"""How often a file is locked that was replaced meanwhile."""


class NotALockFile(Exception):
    """What lies at the path is no lock file of ours; the message says what it is."""


DIRECTORY_VARIABLE = "RUNSLOT_LOCKS"
"""Environment variable with another directory for locks: launchers with different ones do not see
each other.
"""


def lock_directory() -> Path | None:
    """Return the directory for locks that every user of this machine would choose, or None where
    there is none.

    It must be writable by all and sticky, whoever asks: a root that chose a private one would not
    meet its users.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory:
        if not os.path.isdir(directory):  # noqa: PTH112
            raise InvalidInput(
                f"{DIRECTORY_VARIABLE}={directory} is not a directory: make it, or unset the"
                " variable"
            )
        return Path(directory)
    for path in (
        Path("/run/lock"),
        Path("/dev/shm"),  # noqa: S108
    ):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and mode & stat.S_IWOTH:
            return path
    return None


def lock(path: str, *, shared: bool = False) -> int | None:
    """Return a descriptor that holds the lock on `path`, or None where someone else does; never
    waits.

    Raises `NotALockFile` for a link or anything else that is no plain file of one name, `OSError`
    where it cannot be opened.
    """
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    for _ in range(MOST_TRIES):
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
    raise _not_a_lock_file(path, "is replaced again and again")


def open_lock(path: str) -> int:
    """Return a descriptor of the file at `path`, made where it is missing.

    `protected_regular` (Debian) forbids `O_CREAT` on another user's file in a sticky directory, so
    it is opened without first and created exclusively. A file that we may only read can be locked
    all the same.
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
        except OSError as error:
            descriptor = _open_otherwise(path, error)
        return descriptor


def _open_otherwise(path: str, error: OSError) -> int:
    """Open a file to read that may not be written to; say what lies there if it is no lock file."""
    if isinstance(error, PermissionError):
        try:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as again:
            error = again
    description = _ODD.get(error.errno or 0)
    if description is None:  # too many open files, a full disk: that is not the file's fault
        raise error
    raise _not_a_lock_file(path, description) from error


_ODD = {
    errno.ELOOP: "is a symbolic link",
    errno.EISDIR: "is a directory",
    errno.ENXIO: "is a socket",
    errno.EACCES: "cannot be opened (Permission denied)",
    errno.EPERM: "cannot be opened (Operation not permitted)",
}


def _not_a_lock_file(path: str, description: str) -> NotALockFile:
    """Return the error that names what lies at the path, and whose it is."""
    try:
        owner = f" of {user_name(os.lstat(path).st_uid)}"
    except OSError:
        owner = ""
    return NotALockFile(f"{path}{owner} {description}: remove it")


def _is_still(path: str, descriptor: int) -> bool:
    """Whether `path` names the file that was opened, and that is a plain file of one name."""
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    if not stat.S_ISREG(opened.st_mode) or opened.st_nlink > 1:
        raise _not_a_lock_file(path, "is not a plain file of one name")
    return (opened.st_ino, opened.st_dev) == (named.st_ino, named.st_dev)


COARSE_S = 0.1
"""Seconds within which two changes of a directory may carry the same time."""
MOST_NAMES = 20_000


class Listing:
    """The names in a directory, read again when it has changed."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._changed: float | None = None
        self._names: list[str] = []

    def names(self) -> list[str]:
        """Return the names; the same list as long as nothing was added or removed."""
        try:
            changed = os.stat(self._directory).st_mtime
            if changed == self._changed:
                return self._names
            with os.scandir(self._directory) as entries:
                self._names = [entry.name for entry in itertools.islice(entries, MOST_NAMES)]
        except OSError:  # who takes a lock there will say so
            self._names, self._changed = [], None
        else:
            # A directory's time is coarse: a listing made in the instant of a change may have
            # missed the next one.
            self._changed = changed if time.time() - changed > COARSE_S else None
        return self._names


@functools.cache
def user_name(uid: int) -> str:
    """Return the user's name, or `user 1000` where the machine has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def locked_by() -> dict[tuple[int, int], list[int]]:
    """Return the pids that took each `flock` which is held now, by device and inode, as the kernel
    lists them.

    A pid is that of the process that took the lock: it may have ended while its children keep the
    lock, and it is 0 where it lives in a container that this process does not see. Source:
    proc_locks(5).
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


STALE_S = 60.0
"""Seconds after which a substitute of this user that nobody has locked is removed."""


class Substitutes:
    """The substitutes in one directory."""

    def __init__(self, directory: str, listing: Listing) -> None:
        self._directory = directory
        self._listing = listing
        self._names: list[str] = []
        self._of: dict[str, list[str]] = {}
        """By the name of the lock: the names of its substitutes."""

    def block(self, name: str, shared: bool) -> bool:
        """Tell whether a substitute of the lock `name` is held so that it cannot be had."""
        return any(self._blocks(other, shared) for other in self._others(name))

    def take(self, name: str, shared: bool) -> int | None:
        """Return a descriptor that holds a substitute of the lock `name`; None where another one is
        held.
        """
        start = f"{name}~{os.geteuid()}~{'s' if shared else 'x'}~"
        descriptor, own_name = self._lock_any(start, shared)
        if descriptor is None:
            return None
        # Looked at anew, after the own one is locked: what the listing remembers may be a moment
        # old.
        rivals = [other for other in os.listdir(self._directory) if other.startswith(f"{name}~")]  # noqa: PTH208
        if any(other != own_name and self._blocks(other, shared) for other in rivals):
            os.close(descriptor)
            return None
        return descriptor

    def _lock_any(self, start: str, shared: bool) -> tuple[int | None, str]:
        """Lock a substitute of this user that nobody has, or a new one."""
        for name in os.listdir(self._directory):  # noqa: PTH208
            if name.startswith(start):
                try:
                    descriptor = lock(f"{self._directory}/{name}", shared=shared)
                except NotALockFile:  # spoilt, too
                    continue
                if descriptor is not None:
                    return descriptor, name
        name = start + os.urandom(8).hex()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(f"{self._directory}/{name}", flags, 0o644)
        os.fchmod(descriptor, 0o644)  # past the umask: others open it to look whether it is locked
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody locks whatever is new
            os.close(descriptor)
            return None, name
        return descriptor, name

    def _others(self, name: str) -> list[str]:
        names = self._listing.names()
        if names is not self._names:
            self._names, self._of = names, {}
            for other in names:
                lock, tilde, _ = other.partition("~")
                if tilde:
                    self._of.setdefault(lock, []).append(other)
        return self._of.get(name, [])

    def _blocks(self, other: str, shared: bool) -> bool:
        """Tell whether a substitute is what its name says, and held."""
        _, uid, kind, _ = (*other.split("~"), "", "", "")[:4]
        if kind == "s" and shared:
            return False
        path = f"{self._directory}/{other}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # removed meanwhile, or no substitute
            return False
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or str(status.st_uid) != uid:
                return False
            fcntl.flock(
                descriptor, (fcntl.LOCK_EX if kind == "s" else fcntl.LOCK_SH) | fcntl.LOCK_NB
            )
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        if status.st_uid == os.geteuid() and time.time() - status.st_mtime > STALE_S:
            _remove(path)
        return False


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # another process was faster
        pass
