"""Who waits for which cores and GPUs, so that launchers on one machine take turns.

Each waiting launcher keeps one file that the others read: the slots that it was refused and since
when. Its time of change shows that the launcher still asks; one that was stopped or killed is not
waited for.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH105, PTH108, PTH110, PTH116, PTH119

from __future__ import annotations

import json
import math
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import field

from runslot.hardware.lockfile import COARSE_S, Listing
from runslot.record import record

PATIENCE = 0.5
"""Seconds that a launcher waits before others yield to it; short runs go on back to back
meanwhile.
"""
TURN = 0.5
"""Seconds for which others go on yielding to a launcher that had to wait, so that its short runs do
so too.
"""
SILENCE = 2.0
"""Seconds after which a launcher that no longer asks is not waited for."""
FORGOTTEN = 60.0
"""Seconds after which the file of a launcher that was killed is removed."""
HOLD = 60.0
"""Seconds of every `CYCLE` for which free cores are kept for a launcher that waits for others
beside them.
"""
CYCLE = 600.0
LARGEST = 1 << 20
"""Bytes of a waiting file that is read; ours are smaller on any machine."""
MOST_OF_ONE_USER = 64
"""Waiting files of one user that are looked at."""
EARNEST_S = 3.0
"""Seconds in which an earnest launcher takes what it waits for once it is free."""

Names = frozenset[str]
_Other = tuple[int, float, Names, float | None]
"""Whose launcher waits, since when, for what, and until when its turn lasts."""


@record(frozen=False)
class _Want:
    since: float
    asked_at: float
    until: float | None = None
    """End of the turn, once the slot was had; None while it is waited for."""

    def is_over(self, now: float) -> bool:
        return now - self.asked_at >= SILENCE if self.until is None else now >= self.until


@record(frozen=False)
class _Deference:
    """For how long this launcher has let another user's go first, without a break, and whether
    anything came of it.
    """

    start: float
    last: float
    free_since: float | None = None
    """Since when all that the other waits for was free whenever it was looked at."""
    ignored_until: float = 0.0

    def is_over(self, now: float) -> bool:
        """Tell whether there was a break since, or the other has been ignored for long enough."""
        return now >= self.ignored_until if self.ignored_until else now - self.last > SILENCE

    def lasts(self, now: float, names: Names, are_free: Callable[[Names], bool]) -> bool:
        """Tell whether to go on: an earnest launcher takes within a second what is free, or gives
        up after `HOLD`.
        """
        if now < self.ignored_until:
            return False
        self.last = now
        if now - self.start < EARNEST_S:
            return True
        if not are_free(names):
            self.free_since = None
            earnest = now - self.start < 1.5 * HOLD
        else:
            self.free_since = now if self.free_since is None else self.free_since
            earnest = now - self.free_since < EARNEST_S
        if not earnest:
            self.ignored_until = now + CYCLE
        return earnest


@record(frozen=False)
class WaitList:
    """The waiting files of one directory, and the one that is ours."""

    directory: str
    prefix: str
    clock: Callable[[], float] = time.monotonic  # one clock for all processes of a machine
    _mine: dict[Names, _Want] = field(default_factory=dict)
    _read_files: dict[str, tuple[tuple[int, int, int], list[_Other]]] = field(default_factory=dict)
    _names_and_paths: tuple[Sequence[str], list[str]] = field(default=((), []))
    _deferences: dict[int, _Deference] = field(default_factory=dict)
    _path: str = ""
    user_ahead: int | None = None
    """Whose launcher was found to be ahead last."""

    def __post_init__(self) -> None:
        self.listing = Listing(self.directory)
        self._path = self._new_path()

    def _new_path(self) -> str:
        """Return a name that nobody can have taken before."""
        return f"{self.directory}/{self.prefix}{os.getpid()}-{os.urandom(8).hex()}"

    def ahead(self, names: Names, are_free: Callable[[Names], bool]) -> bool:
        """Whether another launcher has waited longer for some of `names`, or has its turn, and
        should have them first.

        It should where all that it waits for is free now, and for `HOLD` seconds of every `CYCLE`
        also where only a part is: a run on many cores then gets them in the end, and free cores are
        not kept for hours.
        """
        now = self.clock()
        want = self._mine.get(names)
        mine = now if want is None or want.is_over(now) else want.since
        for user, since, their_names, until in self._others():
            age = now - since
            first = since < mine and age >= PATIENCE and (until is None or now < until)
            if (
                not first
                or names.isdisjoint(their_names)
                or not (age % CYCLE < HOLD or are_free(their_names))
            ):
                continue
            if self._deference(user).lasts(now, their_names, are_free):
                self.user_ahead = user
                return True
        self._deferences = {
            user: deference
            for user, deference in self._deferences.items()
            if now < deference.ignored_until
        }
        return False

    def _deference(self, user: int) -> _Deference:
        deference = self._deferences.get(user)
        if deference is None or deference.is_over(self.clock()):
            deference = self._deferences[user] = _Deference(self.clock(), self.clock())
        return deference

    def begin(self, names: Names) -> None:
        """Say that we were refused `names` and ask again; what we no longer ask for is
        forgotten.
        """
        now = self.clock()
        changed = self._forget(now)
        want = self._mine.get(names)
        if want is None:
            if not self._mine:
                self._sweep_halves()
            want = self._mine[names] = _Want(now, now)
            changed = True
        want.asked_at = now
        if changed:
            self._write()
        else:
            self._touch()

    def granted(self, names: Names) -> None:
        """Say that we have `names` now: our turn begins, if we had to wait, in which others go on
        yielding.
        """
        now = self.clock()
        changed = self._forget(now)
        want = self._mine.get(names)
        if want is not None and want.until is None:
            want.until = now + TURN
            changed = True
        if changed:
            self._write()

    def end(self) -> None:
        """Say that we wait for nothing."""
        if self._mine:
            self._mine.clear()
            self._write()

    def _forget(self, now: float) -> bool:
        over = [names for names, want in self._mine.items() if want.is_over(now)]
        for names in over:
            del self._mine[names]
        return bool(over)

    def _touch(self) -> None:
        try:
            os.utime(self._path)
        except OSError:  # it was swept, or could not be written
            self._write()

    def _write(self) -> None:
        if not self._mine:
            _remove(self._path)
            self._path = self._new_path()
            return
        # A new file each time: readers see all of it or the one before, and know by the inode that
        # it changed.
        new = f"{self.directory}/.{os.path.basename(self._new_path())}"
        waits = [[want.since, sorted(names), want.until] for names, want in self._mine.items()]
        try:
            descriptor = os.open(
                new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
            )
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(waits, file)
                os.fchmod(descriptor, 0o644)
            os.replace(new, self._path)
        except OSError:  # the disk of locks is full: we wait all the same, and others do not know
            _remove(new)

    def _others(self) -> list[_Other]:
        now, wants = time.time(), []
        count: Counter[int] = Counter()
        for path in self._files():
            try:
                status = os.stat(path, follow_symlinks=False)
                if self._is_over(path, status, now):
                    continue
                count[status.st_uid] += 1
                if count[status.st_uid] > MOST_OF_ONE_USER:
                    continue
                entry = self._read_files.get(path)
                # An inode number alone is not the file: replacing one by rename gives it back to
                # the next.
                version = (status.st_ino, status.st_mtime_ns, status.st_size)
                if entry is None or entry[0] != version:
                    entry = self._read_files[path] = (version, _read(path))
            except OSError:
                continue  # it has just gone, or may not be read
            wants += entry[1]
        return wants

    def _is_over(self, path: str, status: os.stat_result, now: float) -> bool:
        """Tell whether a file is no launcher's that asks: sweep it where its process is gone, or it
        is long silent.
        """
        age = now - status.st_mtime
        # no launcher writes into the future: nobody could tell when it falls silent
        if age < -COARSE_S:
            return True
        if age > FORGOTTEN or (age > SILENCE and _is_gone(path)):
            os.unlink(path)  # a stopped launcher that goes on writes its file again
        return age > SILENCE or _owner_of_process(path) not in {None, status.st_uid}

    def _files(self) -> list[str]:
        names = self.listing.names()
        if names is not self._names_and_paths[0]:
            paths = [
                p
                for n in names
                if n.startswith(self.prefix) and (p := f"{self.directory}/{n}") != self._path
            ]
            self._read_files = {
                path: entry for path, entry in self._read_files.items() if path in paths
            }
            self._names_and_paths = (names, paths)
        return self._names_and_paths[1]

    def _sweep_halves(self) -> None:
        """Remove what launchers of this user were writing when they were killed, long ago."""
        for name in self.listing.names():
            if name.startswith(f".{self.prefix}"):
                try:
                    if (
                        time.time()
                        - os.stat(f"{self.directory}/{name}", follow_symlinks=False).st_mtime
                        > FORGOTTEN
                    ):
                        os.unlink(f"{self.directory}/{name}")
                except OSError:  # another user's, or another process was faster
                    continue


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # it was swept
        pass


def _process_of(path: str) -> int | None:
    """Return the process that a file's name says is its writer."""
    digits = os.path.basename(path).partition("waiting-")[2].partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _is_gone(path: str) -> bool:
    pid = _process_of(path)
    return pid is not None and not os.path.exists(f"/proc/{pid}") and os.path.exists("/proc/self")


def _owner_of_process(path: str) -> int | None:
    """Return the user of the process; None where it cannot be seen from here: it may be another
    container's.
    """
    try:
        return os.stat(f"/proc/{_process_of(path)}").st_uid
    except OSError:
        return None


def _read(path: str) -> list[_Other]:
    """Return what one launcher waits for; nothing where the file is not as we write it (anyone may
    write there).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return []
        text = os.read(descriptor, LARGEST)
    finally:
        os.close(descriptor)
    try:
        waits = [
            (
                status.st_uid,
                float(since),
                frozenset(map(str, names)),
                None if until is None else float(until),
            )
            for since, names, until in json.loads(text)
        ]
    except (ValueError, TypeError, OverflowError, RecursionError):
        return []
    return [wait for wait in waits if math.isfinite(wait[1]) and wait[1] >= 0]
