"""What of a share's run directories is to go out, in which order: rows first, then what has ended, then the rest.

A run that has ended goes as one group, so that its outcome never arrives before the data it speaks of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runslot.experiment.rundir import RunDir
from runslot.transport.bucket.inventory import PART, File

_TEMPORARY = re.compile(r"^\..*\.\d+$")
"""Files that are about to be renamed, as `rundir.write_atomically` names them."""

Stat = tuple[int, int, int]
"""Size, time of change in nanoseconds, inode."""


@dataclass(frozen=True)
class Found:
    """One file of a run directory at the time of the scan."""

    path: str
    """Relative, `/` between parts."""
    at: Path
    stat: Stat
    mode: int


@dataclass(frozen=True)
class Group:
    """Files that become visible together."""

    run: str
    files: tuple[Found, ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(file.stat[0] for file in self.files)


def scan(root: Path, runs: Sequence[str], extra: Sequence[str] = ()) -> dict[str, list[Found]]:
    """Return the files of each run directory that exists, and of `extra` files as a run of their own.

    The outcome is looked for first: one that appears during the scan waits for the next, because the data that it
    speaks of may have been looked at before. What to execute (`run.json`) stays: its paths are this machine's.
    """
    found: dict[str, list[Found]] = {}
    for run in runs:
        directory = RunDir(root / run)
        ended = directory.outcome_file.exists()
        left = {directory.run_file} if ended else {directory.run_file, directory.outcome_file}
        files = [each for each in _walk(root, run) if each.at not in left]
        if files:
            found[run] = files
    rest = [each for name in extra if (each := _found(root, name)) is not None]
    return {**found, "": rest} if rest else found


def _walk(root: Path, below: str) -> Iterator[Found]:
    try:
        entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
    except OSError:  # gone meanwhile, no directory any more, or not for our eyes
        return
    for entry in entries:
        name = f"{below}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, name)
        elif not _TEMPORARY.match(entry.name):
            each = _found(root, name)
            if each is not None:
                yield each


def _found(root: Path, name: str) -> Found | None:
    path = root / name
    try:
        stat = path.stat()
    except OSError:  # gone meanwhile, or a link to nowhere
        return None
    if not path.is_file():
        return None
    return Found(name, path, (stat.st_size, stat.st_mtime_ns, stat.st_ino), stat.st_mode & 0o777)


def changed(found: Mapping[str, Sequence[Found]], known: Mapping[str, Stat]) -> dict[str, list[Found]]:
    """Return, run by run, the files that are not as they were when they were last sent."""
    result = {}
    for run, files in found.items():
        new = [each for each in files if known.get(each.path) != each.stat]
        if new:
            result[run] = new
    return result


def gone(found: Mapping[str, Sequence[Found]], listed: Iterable[str]) -> list[str]:
    """Return the listed paths that no longer exist."""
    there = {each.path for files in found.values() for each in files}
    return [path for path in listed if path not in there]


def ordered(new: Mapping[str, Sequence[Found]]) -> list[Group]:
    """Return what has changed as groups, in the order in which they go out."""
    rows: list[Group] = []
    ended: list[Group] = []
    rest: list[Group] = []
    for run, files in new.items():
        directory = RunDir(run)
        outcome = str(directory.outcome_file)
        progress = str(directory.progress)
        has_ended = any(each.path == outcome for each in files)
        first = [each for each in files if each.path == progress and not (has_ended and each.stat[0] > PART)]
        rows += [Group(run, (each,)) for each in first]
        others = [each for each in files if each not in first]
        if has_ended:
            ended.append(Group(run, tuple(sorted(others, key=lambda each: (each.path == outcome, each.stat[0])))))
        else:
            rest += [Group(run, (each,)) for each in others]
    return rows + sorted(ended, key=lambda each: each.size) + sorted(rest, key=lambda each: each.size)


def as_sent(found: Found, parts: Sequence[str]) -> File:
    """Return how the list names a file whose parts have arrived."""
    return File(found.stat[0], found.stat[1], tuple(parts), found.mode)
