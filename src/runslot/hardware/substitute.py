"""Substitutes for lock files that cannot be used, so that who spoils one costs nobody the core or
GPU.

What lies in the shared directory under a lock's name may be a socket, a directory, a link, a file
that only its owner may open. Then each launcher takes a file of its user's beside it,
`runslot.core-0~UID~x~TOKEN` (`s`: shared), whose name nobody could guess, locks it, and looks at
those of others: a substitute counts where the user in its name owns it and somebody has it locked.
Each locks its own before it looks, so that of two at once at least one sees the other. Who could
lock the file itself looks at substitutes, too. `Leases` calls this; where all files are well,
nothing happens.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH108

from __future__ import annotations

import fcntl
import os
import stat
import time

from runslot.hardware.lockfile import Listing, NotALockFile, lock

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
