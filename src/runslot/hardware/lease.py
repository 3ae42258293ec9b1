"""Leases: the kernel's locks by which a run holds its cores and GPUs against every launcher of the
machine.

One `flock` file for each physical core and GPU, in a directory that all users share. The locks
belong to open descriptors, which the run's processes inherit: what a run leaves behind keeps the
slot, and a crash frees it.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH116, PTH123

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from runslot.hardware.lockfile import (
    NotALockFile,
    Substitutes,
    lock,
    lock_directory,
    locked_by,
    user_name,
)
from runslot.hardware.slots import Slot
from runslot.hardware.topology import Core, Gpu
from runslot.hardware.wait_list import Names, WaitList
from runslot.record import record

PREFIX = "runslot."
MOST_PLACES = 16
"""Places on a shared GPU that are looked at to say who has it."""
KNOWN_FOR = 2.0
"""Seconds for which a holder is not looked up again: the kernel takes milliseconds to list its
locks.
"""
LATEST = 1 << 33
"""A Unix time that no run begins after, and that every clock can show."""
RECORD = 1024
"""Bytes of a lock file: one line of JSON about its holder, padded, so that one write replaces
it.
"""


@record
class Holder:
    """For whom a slot is taken, for other people's messages."""

    user: str
    experiment: str
    run: str
    since: float
    """Unix time, seconds."""

    @classmethod
    def of(cls, experiment: str, run: str) -> Holder:
        """Return this user's `run` of `experiment`, from now on."""
        return cls(user_name(os.getuid()), experiment, run, time.time())

    def __str__(self) -> str:
        """`alice, experiment dqn, run 7, since 12:04`."""
        clock = time.strftime("%H:%M", time.localtime(self.since))
        return f"{self.user}, experiment {self.experiment}, run {self.run}, since {clock}"


@record(frozen=False)
class Lease:
    """The locks of one slot, held as long as a copy of any of its descriptors is open in any
    process.
    """

    slot: Slot
    descriptors: tuple[int, ...]
    """For the run to inherit: `pass_fds` of subprocess, `os.set_inheritable`, or SCM_RIGHTS (253 a
    message). They are close-on-exec here, so that nothing else that this process starts inherits
    them.
    """

    def close(self) -> None:
        """Close this process's copies; the slot is free when the run's processes have closed theirs
        too.
        """
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@record
class LeaseRefusal:
    """Why a slot cannot be had now; asking again later can help."""

    resource: str
    """What someone else has: `core 3`, `GPU 2`."""
    holder: str
    """Who has it, as far as the kernel and the lock file tell."""

    def __str__(self) -> str:
        """`waits for GPU 2: held by alice, experiment dqn, run 7, since 12:04`."""
        return f"waits for {self.resource}: {self.holder}"


class Leases:
    """What one launcher uses to take slots on this machine.

    `directory` is the one that all users share (`lockfile.lock_directory`) unless given. Where the
    machine has none (macOS), leases hold nothing and `directory` is None. Not for use by several
    threads at once.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or lock_directory()
        self._prefix = f"{self.directory}/{PREFIX}"
        self._waiting = WaitList(str(self.directory), f"{PREFIX}waiting-")
        self._substitutes = Substitutes(str(self.directory), self._waiting.listing)
        self.spoilt: dict[str, str] = {}
        """By lock: what lies in its place, in a sentence for whoever may remove it."""
        self._names_of_slots: dict[int, tuple[Slot, Names, tuple[_Part, ...]]] = {}
        self._holders: dict[str, tuple[tuple[int, ...], float, str]] = {}

    def try_acquire(self, slot: Slot, holder: Holder) -> Lease | LeaseRefusal:
        """Return a lease of all of `slot`, or why it cannot be had now; never waits.

        A refusal is remembered where other launchers see it, and they yield after a while: call
        again at least every second while the slot is wanted, and `stop_waiting` when nothing is.
        Raises `OSError` where the directory of locks cannot be used.
        """
        if self.directory is None:
            return Lease(slot, ())
        names, parts = self._what(slot)
        if self._waiting.ahead(names, self._are_free):
            self._waiting.begin(names)
            user = user_name(
                os.geteuid() if self._waiting.user_ahead is None else self._waiting.user_ahead
            )
            return LeaseRefusal(
                parts[0].label, f"another launcher ({user}'s) has waited for it longer"
            )
        descriptors: list[int] = []
        record = _record(holder)
        try:
            for part in parts:
                descriptor = self._take(part)
                if descriptor is None:
                    _close(descriptors)
                    self._waiting.begin(names)
                    return LeaseRefusal(part.label, self._holder(part))
                descriptors.append(descriptor)
                if not part.shared:
                    _sign(descriptor, record)
        # the directory is gone, or not ours
        except (
            FileNotFoundError,
            NotADirectoryError,
            PermissionError,
        ) as error:
            _close(descriptors)
            return LeaseRefusal(
                part.label, f"its lock cannot be taken in {self.directory}: {error.strerror}"
            )
        except BaseException:
            _close(descriptors)
            raise
        self._waiting.granted(names)
        return Lease(slot, tuple(descriptors))

    def stop_waiting(self) -> None:
        """Say that this launcher wants no slot now, so that others do not wait for it."""
        self._waiting.end()

    def is_held(self, thing: Core | Gpu) -> bool:
        """Whether a run of any launcher holds the core or GPU, or a part of it."""
        name = _gpu_file(thing) if isinstance(thing, Gpu) else _core_file(thing)
        return self.directory is not None and not self._are_free(frozenset({name}))

    def _what(self, slot: Slot) -> tuple[Names, tuple[_Part, ...]]:
        """Return the names and parts of a slot; a launcher asks for the same few slots again and
        again.
        """
        entry = self._names_of_slots.get(id(slot))
        if entry is None or entry[0] is not slot:
            entry = self._names_of_slots[id(slot)] = (slot, _names(slot), _parts(slot))
        return entry[1:]

    def _take(self, part: _Part) -> int | None:
        for file in part.files:
            descriptor = self._take_file(file, part)
            if descriptor is not None:
                return descriptor
        return None

    def _take_file(self, file: str, part: _Part) -> int | None:
        try:
            descriptor = lock(self._prefix + file, shared=part.shared)
        except NotALockFile as error:
            self.spoilt.setdefault(
                file, f"{part.label}: {error}; a file beside it is used until then"
            )
            return self._substitutes.take(PREFIX + file, part.shared)
        if descriptor is not None and self._substitutes.block(PREFIX + file, part.shared):
            os.close(descriptor)
            return None
        return descriptor

    def _are_free(self, names: Names) -> bool:
        pids_by_inode = locked_by()
        return not any(_inode(self._prefix + name) in pids_by_inode for name in names)

    def _holder(self, part: _Part) -> str:
        """Return who has it; the same words as a moment ago while no lock file was written to."""
        written = tuple(_written(self._prefix + file) for file in (*part.files, *part.inside))
        entry = self._holders.get(part.label)
        if entry is None or entry[0] != written or time.monotonic() - entry[1] > KNOWN_FOR:
            entry = self._holders[part.label] = (written, time.monotonic(), self._find_holder(part))
        return entry[2]

    def _find_holder(self, part: _Part) -> str:
        pids_by_inode = locked_by()
        for file in (*part.files, *part.inside):
            path = self._prefix + file
            pids = pids_by_inode.get(_inode(path), [])
            if pids and (holder := _signed(path)) is not None and holder[0] in pids:
                return f"held by {holder[1]}"
        if any(self._substitutes.block(PREFIX + file, part.shared) for file in part.files):
            return "held by a run whose launcher had to use a file beside its lock file"
        pids = [
            pid
            for file in part.files
            for pid in pids_by_inode.get(_inode(self._prefix + file), [])
            if pid
        ]
        for pid in pids:
            user = _user_of(pid)
            if user is not None:
                return f"held by {user}, process {pid}"
        return "held by a process that cannot be seen from here"


@record
class _Part:
    """One thing to lock: a file alone, a file shared, or the first free one of several places."""

    label: str
    files: tuple[str, ...]
    shared: bool = False
    inside: tuple[str, ...] = ()
    """Files whose holders share the first one, to name who is in the way of having it alone."""


def _parts(slot: Slot) -> tuple[_Part, ...]:
    """Return what to lock for `slot`, in the order that every launcher keeps."""
    parts = []
    for core in sorted(slot.cores, key=lambda core: core.pus):
        threads = tuple(f"pu-{pu}" for pu in core.pus)
        label = f"core {core.pus[0]}"
        parts.append(_Part(label, (_core_file(core),), shared=slot.shares_cores, inside=threads))
        if slot.shares_cores:
            parts += [_Part(f"CPU {pu}", (f"pu-{pu}",)) for pu in core.pus if pu in slot.pus]
    for gpu in sorted(slot.gpus, key=_gpu_file):
        file = _gpu_file(gpu)
        shared = slot.runs_per_gpu > 1
        places = tuple(
            f"{file}.{place}" for place in range(slot.runs_per_gpu if shared else MOST_PLACES)
        )
        parts.append(_Part(gpu.label, (file,), shared=shared, inside=places))
        if shared:
            parts.append(_Part(f"a place on {gpu.label}", places))
    return tuple(parts)


def _names(slot: Slot) -> Names:
    """Return what `slot` would keep others from: equal names of two slots are what they cannot both
    have.
    """
    names = {f"pu-{pu}" for pu in slot.pus}
    if not slot.shares_cores:
        names |= {_core_file(core) for core in slot.cores} | {
            f"pu-{pu}" for core in slot.cores for pu in core.pus
        }
    for gpu in slot.gpus:
        names |= {f"{_gpu_file(gpu)}.shared"} | (
            {_gpu_file(gpu)} if slot.runs_per_gpu == 1 else set()
        )
    return frozenset(names)


def _core_file(core: Core) -> str:
    return f"core-{core.pus[0]}"


def _gpu_file(gpu: Gpu) -> str:
    return "gpu-" + re.sub(r"[^A-Za-z0-9-]", "_", gpu.uuid or gpu.pci or str(gpu.index))


def _record(holder: Holder) -> bytes:
    record = {"pid": os.getpid(), **holder.__dict__}
    for key in ("user", "experiment", "run"):
        record[key] = str(record[key])[:48]
    return json.dumps(record).encode().ljust(RECORD - 1) + b"\n"


def _sign(descriptor: int, record: bytes) -> None:
    """Write for whom the lock is held; only the lock counts, so a file that we may only read goes
    unsigned.
    """
    try:
        os.pwrite(descriptor, record, 0)
    except OSError as error:
        if error.errno not in {errno.EBADF, errno.ENOSPC}:
            raise


def _signed(path: str) -> tuple[int, Holder] | None:
    """Return who took the lock and for whom, as the file says; anyone may have written it, so it
    must agree with the kernel's pid, and the user is that process's owner as long as it lives.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            record = json.loads(file.read(RECORD))
        pid, since = int(record["pid"]), float(record["since"])
        texts = [
            re.sub(r"[^\w .,:=+/@()-]", "?", str(record[key]))[:48]
            for key in ("user", "experiment", "run")
        ]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if not 0 <= since <= LATEST:
        return None
    return pid, Holder(_user_of(pid) or texts[0], texts[1], texts[2], since)


def _inode(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)


def _written(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _user_of(pid: int) -> str | None:
    try:
        return user_name(os.stat(f"/proc/{pid}").st_uid)
    except OSError:
        return None
