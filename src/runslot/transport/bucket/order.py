"""What of a share's run directories is to go out, in which order: rows first, then what has ended,
then the rest.

A run that has ended goes as one group, so that its outcome never arrives before the data it speaks
of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from runslot.experiment.rundir import RunDir
from runslot.record import record
from runslot.transport.bucket.inventory import PART
from runslot.transport.contents import OUTCOME, outcome_last
from runslot.transport.scan import Seen, look, stamp_of


@record
class FileGroup:
    """Files that become visible together."""

    run: str
    files: Seen
    """By path below the directory of the runs, as the scan saw them."""

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(size for size, _, _ in self.files.values())


def scan(root: Path, runs: Sequence[str], extra: Sequence[str] = ()) -> dict[str, Seen]:
    """Return the files of each run directory that exists, and `extra` files as a run of their own.

    The outcome is looked for first: one that appears during the scan waits for the next, because
    the data that it speaks of may have been looked at before. What to execute (`run.json`) stays:
    its paths are this machine's.
    """
    by_run: dict[str, Seen] = {}
    for run in runs:
        directory = RunDir(root / run)
        has_ended = directory.outcome_file.exists()
        stays = {directory.run_file.name} if has_ended else {directory.run_file.name, OUTCOME}
        files = look(directory.path, stays, follows=True)
        if files:
            by_run[run] = {f"{run}/{path}": stamp for path, stamp in files.items()}
    rest = {}
    for name in extra:
        with suppress(OSError):  # not there yet
            rest[name] = stamp_of((root / name).stat())
    return {**by_run, "": rest} if rest else by_run


def ordered(new: Mapping[str, Seen]) -> list[FileGroup]:
    """Return what has changed as groups, in the order in which they go out."""
    rows: list[FileGroup] = []
    ended: list[FileGroup] = []
    rest: list[FileGroup] = []
    for run, files in new.items():
        directory = RunDir(run)
        has_ended = str(directory.outcome_file) in files
        progress = str(directory.progress)
        remaining = dict(files)
        if progress in files and not (has_ended and files[progress][0] > PART):
            rows.append(FileGroup(run, {progress: remaining.pop(progress)}))
        if has_ended:
            data, outcomes = outcome_last(sorted(remaining, key=lambda path: files[path][0]))
            ended.append(FileGroup(run, {path: files[path] for path in (*data, *outcomes)}))
        else:
            rest += [FileGroup(run, {path: stamp}) for path, stamp in remaining.items()]
    by_size = [sorted(groups, key=lambda group: group.size) for groups in (ended, rest)]
    return [*rows, *by_size[0], *by_size[1]]
