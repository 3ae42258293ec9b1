"""What of a share's run directories is to go out, in which order: rows first, then what has ended,
then the rest.

A run that has ended goes as one group, so that its outcome never arrives before the data it speaks
of.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from runslot.experiment.rundir import RunDir
from runslot.record import record
from runslot.transport.bucket.inventory import PART
from runslot.transport.contents import outcome_last
from runslot.transport.scan import TEMPORARY

Stat = tuple[int, int, int]
"""Size, time of change in nanoseconds, inode."""


@record
class LocalFile:
    """One file of a run directory at the time of the scan."""

    path: str
    """Relative, `/` between parts."""
    at: Path
    stat: Stat
    mode: int


@record
class FileGroup:
    """Files that become visible together."""

    run: str
    files: tuple[LocalFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(file.stat[0] for file in self.files)


def scan(root: Path, runs: Sequence[str], extra: Sequence[str] = ()) -> dict[str, list[LocalFile]]:
    """Return the files of each run directory that exists, and of `extra` files as a run of their
    own.

    The outcome is looked for first: one that appears during the scan waits for the next, because
    the data that it speaks of may have been looked at before. What to execute (`run.json`) stays:
    its paths are this machine's.
    """
    by_run: dict[str, list[LocalFile]] = {}
    for run in runs:
        directory = RunDir(root / run)
        ended = directory.outcome_file.exists()
        excluded = {directory.run_file} if ended else {directory.run_file, directory.outcome_file}
        files = [file for file in _walk(root, run) if file.at not in excluded]
        if files:
            by_run[run] = files
    rest = [file for name in extra if (file := _found(root, name)) is not None]
    return {**by_run, "": rest} if rest else by_run


def _walk(root: Path, below: str) -> Iterator[LocalFile]:
    try:
        entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
    except OSError:  # gone meanwhile, no directory any more, or not for our eyes
        return
    for entry in entries:
        name = f"{below}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, name)
        elif not TEMPORARY.fullmatch(entry.name):
            file = _found(root, name)
            if file is not None:
                yield file


def _found(root: Path, name: str) -> LocalFile | None:
    path = root / name
    try:
        stat = path.stat()
    except OSError:  # gone meanwhile, or a link to nowhere
        return None
    if not path.is_file():
        return None
    return LocalFile(
        name, path, (stat.st_size, stat.st_mtime_ns, stat.st_ino), stat.st_mode & 0o777
    )


def ordered(new: Mapping[str, Sequence[LocalFile]]) -> list[FileGroup]:
    """Return what has changed as groups, in the order in which they go out."""
    rows: list[FileGroup] = []
    ended: list[FileGroup] = []
    rest: list[FileGroup] = []
    for run, files in new.items():
        directory = RunDir(run)
        outcome = str(directory.outcome_file)
        progress = str(directory.progress)
        has_ended = any(file.path == outcome for file in files)
        first = [
            file
            for file in files
            if file.path == progress and not (has_ended and file.stat[0] > PART)
        ]
        rows += [FileGroup(run, (file,)) for file in first]
        remaining = [file for file in files if file not in first]
        if has_ended:
            by_path = {file.path: file for file in sorted(remaining, key=lambda file: file.stat[0])}
            data, outcomes = outcome_last(by_path)
            ended.append(FileGroup(run, tuple(by_path[path] for path in (*data, *outcomes))))
        else:
            rest += [FileGroup(run, (file,)) for file in remaining]
    by_size = [sorted(groups, key=lambda group: group.size) for groups in (ended, rest)]
    return [*rows, *by_size[0], *by_size[1]]
