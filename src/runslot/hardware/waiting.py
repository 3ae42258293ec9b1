"""Who waits for which cores and GPUs, so that launchers on one machine take turns.

Each waiting launcher keeps one file that the others read: the slots that it was refused and since when. Its time of
change shows that the launcher still asks; one that was stopped or killed is not waited for.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH105, PTH108, PTH116, PTH119, PTH123, PTH208

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

PATIENCE = 0.5
"""Seconds that a launcher waits before others yield to it; short runs go on back to back meanwhile."""
TURN = 0.5
"""Seconds for which others go on yielding to a launcher that had to wait, so that its short runs do so too."""
SILENCE = 2.0
"""Seconds after which a launcher that no longer asks is not waited for."""
FORGOTTEN = 60.0
"""Seconds after which the file of a launcher that was killed is removed."""
HOLD = 60.0
"""Seconds of every `CYCLE` for which free cores are kept for a launcher that waits for others beside them."""
CYCLE = 600.0
COARSE = 0.1
"""Seconds within which two changes of a directory may carry the same time."""
LARGEST = 1 << 20

Names = frozenset[str]
_Other = tuple[float, Names, float | None]
"""Since when another launcher waits, for what, and until when its turn lasts."""


@dataclass
class _Want:
    since: float
    asked: float
    until: float | None = None
    """End of the turn, once the slot was had; None while it is waited for."""

    def is_over(self, now: float) -> bool:
        return now - self.asked >= SILENCE if self.until is None else now >= self.until


@dataclass
class Waiting:
    """The waiting files of one directory, and the one that is ours."""

    directory: str
    prefix: str
    clock: Callable[[], float] = time.monotonic  # one clock for all processes of a machine
    _mine: dict[Names, _Want] = field(default_factory=dict)
    _known: dict[str, tuple[tuple[int, int, int], list[_Other]]] = field(default_factory=dict)
    _listed: tuple[float, list[str]] = field(default=(0.0, []))
    _path: str = ""

    def __post_init__(self) -> None:
        self._path = f"{self.directory}/{self.prefix}{os.getpid()}-{secrets.token_hex(4)}"

    def ahead(self, names: Names, are_free: Callable[[Names], bool]) -> bool:
        """Whether another launcher has waited longer for some of `names`, or has its turn, and should have them first.

        It should where all that it waits for is free now, and for `HOLD` seconds of every `CYCLE` also where only a
        part is: a run on many cores then gets them in the end, and free cores are not kept for hours.
        """
        now = self.clock()
        own = self._mine.get(names)
        mine = now if own is None or own.is_over(now) else own.since
        for since, wanted, until in self._others():
            age = now - since
            first = since < mine and age >= PATIENCE and (until is None or now < until)
            if first and not names.isdisjoint(wanted) and (age % CYCLE < HOLD or are_free(wanted)):
                return True
        return False

    def begin(self, names: Names) -> None:
        """Say that we were refused `names` and ask again; what we no longer ask for is forgotten."""
        now = self.clock()
        changed = self._forget(now)
        own = self._mine.get(names)
        if own is None:
            own = self._mine[names] = _Want(now, now)
            changed = True
        own.asked = now
        if changed:
            self._write()
        else:
            self._touch()

    def granted(self, names: Names) -> None:
        """Say that we have `names` now: our turn begins, if we had to wait, in which others go on yielding."""
        now = self.clock()
        changed = self._forget(now)
        own = self._mine.get(names)
        if own is not None and own.until is None:
            own.until = now + TURN
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
        except FileNotFoundError:
            self._write()

    def _write(self) -> None:
        if not self._mine:
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass
            return
        # A new file each time: readers see all of it or the one before, and know by the inode that it changed.
        new = f"{self.directory}/.{os.path.basename(self._path)}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump([[want.since, sorted(names), want.until] for names, want in self._mine.items()], file)
            os.fchmod(descriptor, 0o644)
        os.replace(new, self._path)

    def _others(self) -> list[_Other]:
        now, wanted = time.time(), []
        for path in self._files(now):
            try:
                status = os.stat(path, follow_symlinks=False)
                if now - status.st_mtime > FORGOTTEN:
                    os.unlink(path)  # a stopped launcher that goes on writes its file again
                if now - status.st_mtime > SILENCE:
                    continue
                known = self._known.get(path)
                # An inode number alone is not the file: replacing one by rename gives it back to the next.
                version = (status.st_ino, status.st_mtime_ns, status.st_size)
                if known is None or known[0] != version:
                    known = self._known[path] = (version, _read(path))
            except OSError:
                continue  # it has just gone, or belongs to another user
            wanted += known[1]
        return wanted

    def _files(self, now: float) -> list[str]:
        changed = os.stat(self.directory).st_mtime
        if changed != self._listed[0]:
            names = [n for n in os.listdir(self.directory) if n.startswith(self.prefix)]
            paths = [p for n in names if (p := f"{self.directory}/{n}") != self._path]
            self._known = {p: k for p, k in self._known.items() if p in paths}
            # A directory's time is coarse: a listing made in the instant of a change may have missed the next one.
            self._listed = (changed if now - changed > COARSE else 0.0, paths)
        return self._listed[1]


def _read(path: str) -> list[_Other]:
    """Return what one launcher waits for; nothing where the file is not as we write it (anyone may write there)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        text = file.read(LARGEST)
    try:
        return [
            (float(since), frozenset(map(str, names)), None if until is None else float(until))
            for since, names, until in json.loads(text)
        ]
    except (ValueError, TypeError):
        return []
