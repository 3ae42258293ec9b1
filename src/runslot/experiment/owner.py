"""Whose files an experiment's are: what another user wrote is read, and never written through nor a
reason to signal.

Who asks: everything that acts (resume, stop, pause, requests, ends of lost runs), before it does.
Root is no exception: a directory that anyone may fill would else steer root's hand. `RUNSLOT_TRUST`
names users whose files are taken for one's own, for the machine on which they are the same person
(a container, a disk that was moved).
"""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path

from runslot.errors import InvalidInput, RunslotError
from runslot.hardware.lockfile import user_name

TRUST_VARIABLE = "RUNSLOT_TRUST"
"""Environment variable: names or numbers of users, separated by commas, whose files are taken for
this user's own.
"""


class LeadsOut(RunslotError):
    """A file of an experiment names a place outside of it; the message says which."""


class OthersFiles(InvalidInput):
    """What was asked would write or signal on the word of another user's files."""


def other_owner(path: str | os.PathLike[str]) -> int | None:
    """Return the user whose file this is, where it is another one; None where it is this user's, or
    not there.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  a hot path's
    except OSError:
        return None
    if status.st_uid == os.geteuid() or _is_trusted(status.st_uid):
        return None
    directory = path if stat.S_ISDIR(status.st_mode) else os.path.dirname(path)  # noqa: PTH120
    return None if status.st_uid == _self_on(os.fspath(directory)) else status.st_uid


def require_own(*paths: Path) -> None:
    """Raise `OthersFiles` where one of the paths is another user's."""
    for path in paths:
        owner = other_owner(path)
        if owner is not None:
            raise OthersFiles(_refusal(path, owner))


def other_link(base: str, directory: str, every: bool) -> str | None:
    """Return the first part of `directory`, below `base`, that is a link of another user's; with
    `every` any link.

    A link of root's is nobody's trap.
    """
    path = base
    for part in directory.split("/"):
        path = f"{path}/{part}"
        try:
            status = os.lstat(path)
        except OSError:  # not there, nor what would be below it
            return None
        if stat.S_ISLNK(status.st_mode) and (every or _is_others(status.st_uid, path)):
            return path
    return None


def is_others_link(path: str | os.PathLike[str]) -> bool:
    """Tell whether a link lies there that another user made: it may lead to any file of this one's.

    Root's are no such: `/dev/stdout` is one, and who is root need not lay links.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) and _is_others(status.st_uid, path)


def _is_others(uid: int, path: str | os.PathLike[str]) -> bool:
    return (
        uid not in {os.geteuid(), 0}
        and not _is_trusted(uid)
        and uid != _self_on(os.path.dirname(path))  # noqa: PTH120
    )


def _is_trusted(uid: int) -> bool:
    trusted = os.environ.get(TRUST_VARIABLE)
    if not trusted:
        return False
    return not {str(uid), user_name(uid)}.isdisjoint(name.strip() for name in trusted.split(","))


@functools.lru_cache(maxsize=64)
def _self_on(directory: str) -> int | None:
    """Return as whom this user writes there: a disk may have other numbers (root squashed over NFS,
    shared folders).

    Asked with a file that has no name, where the disk can have such; elsewhere with one that is
    removed at once.
    """
    flags = os.O_RDWR | os.O_CLOEXEC
    if hasattr(os, "O_TMPFILE"):
        try:
            return _owner_and_close(os.open(directory, flags | os.O_TMPFILE, 0o600))
        except OSError:
            pass
    probe = f"{directory}/.runslot-owner-{os.urandom(8).hex()}"
    try:
        descriptor = os.open(probe, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    os.unlink(probe)  # noqa: PTH108
    return _owner_and_close(descriptor)


def _owner_and_close(descriptor: int) -> int:
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)


def _refusal(path: Path, owner: int) -> str:
    name = user_name(owner)
    word, login = (str(owner), f"'#{owner}'") if name == f"user {owner}" else (name, name)
    way = f"act as {name} (sudo -u {login} runslot …)" if os.geteuid() == 0 else f"ask {name}"
    return (
        f"{path} belongs to {name}, and you are {user_name(os.geteuid())}: nothing is signalled or"
        f" written there; {way}, or set {TRUST_VARIABLE}={word} if those files are yours"
    )


def refuse_links_of_others(base: str, directory: str) -> None:
    """Raise `LeadsOut` where a link that another user made leads what is written below `base`
    elsewhere.
    """
    if link := other_link(base, directory, every=False):
        raise LeadsOut(
            f"{link} is a link that another user made: nothing is written through it; remove it"
        )
