"""Which files of the runs on a host have changed since they were last brought home."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runslot.experiment.rundir import RunDir
from runslot.record import record

Stamp = tuple[int, int, int]
"""Size, time of change (ns), inode."""
Seen = Mapping[str, Stamp]
"""By path relative to a run's directory."""

_STAYS = frozenset({"run.json", "variant.json", "variant.pkl", "outcome.json"})
"""What a run's directory here has already, and what says that all the others are there: that comes
last, by itself.
"""
TEMPORARY = re.compile(r"\..*\.\d+")
"""What is about to be renamed (`files.write_atomically`)."""

SMALL = 1_000_000
"""Bytes up to which a file comes home before larger ones."""


@record
class Change:
    """A file that is new, or another than before."""

    run: str
    """Run id."""
    path: str
    """Relative to the run's directory."""
    size: int

    @property
    def first(self) -> bool:
        """Whether it comes home before others: `progress.csv`, and whatever is small."""
        return self.size <= SMALL or self.path == RunDir("").progress.name


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what of a file is another once it has changed."""
    return status.st_size, status.st_mtime_ns, status.st_ino


def look(
    directory: Path, stays: Collection[str] = _STAYS, follows: bool = False
) -> dict[str, Stamp]:
    """Return what lies in a run's directory, files and links; what vanishes meanwhile is left out,
    and so is what `stays` names of the directory itself. With `follows` a link is the file that it
    leads to.
    """
    return dict(_walk(str(directory), "", stays, follows))


def _walk(
    directory: str, below: str, stays: Collection[str], follows: bool
) -> Iterator[tuple[str, Stamp]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:  # removed meanwhile, or not ours to read
        return
    for entry in entries:
        if not below and entry.name in stays:
            continue
        try:
            is_directory = entry.is_dir(follow_symlinks=False)
            status = entry.stat(follow_symlinks=follows)
        except OSError:
            continue
        if is_directory:
            yield from _walk(entry.path, f"{below}{entry.name}/", stays, follows)
        elif (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)) and (
            not TEMPORARY.fullmatch(entry.name)
        ):
            yield below + entry.name, stamp_of(status)


@dataclass
class Ledger:
    """What of each run has come home, and what was offered since and may have."""

    home: dict[str, dict[str, Stamp]] = field(default_factory=dict)
    offered: dict[str, dict[str, Stamp]] = field(default_factory=dict)

    def offer(
        self, run: str, files: Seen, until: int | None = None
    ) -> tuple[list[Change], list[str]]:
        """Return what has to come home of a run, and which paths are gone that came before.

        What is not small, or is empty, and has changed after `until` (Unix time, ns) is left for
        another time: it is being written.
        """
        before = self.home.get(run, {})
        changed = [
            Change(run, path, stamp[0])
            for path, stamp in files.items()
            if before.get(path) != stamp
        ]
        withheld = set()
        if until is not None:
            unsure = [change.path for change in changed if not (change.first and change.size)]
            withheld = {path for path in unsure if files[path][1] > until}
        stands = {path: before[path] for path in withheld if path in before}
        self.offered[run] = {
            path: stamp for path, stamp in files.items() if path not in withheld
        } | stands
        return [change for change in changed if change.path not in withheld], [
            path for path in before if path not in files
        ]

    def came_home(self) -> None:
        """Note that all that was offered last is home."""
        self.home |= self.offered
        self.offered = {}

    def forget(self, run: str) -> None:
        """Know nothing of a run any more."""
        self.home.pop(run, None)
        self.offered.pop(run, None)


def in_order(changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
    """Return what comes home first, `progress.csv` and whatever is small, and what follows."""
    change_list = list(changes)
    return [change for change in change_list if change.first], [
        change for change in change_list if not change.first
    ]


def stays_inside(path: str) -> bool:
    """Whether a path that a host named is one below a run's directory."""
    return not path.startswith("/") and ".." not in path.split("/")
