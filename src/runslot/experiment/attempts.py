"""What an earlier attempt of a run left: which it was, and its files, moved aside.

Called before a run is started again, by who holds its experiment's lock. What must stay true: a
kill at any instant is made good by calling the same again, and no reader takes a directory of kept
files for a run.
"""

from __future__ import annotations

import os
from pathlib import Path

from runslot.errors import Damaged
from runslot.experiment.owner import refuse_links_of_others
from runslot.experiment.rundir import KEPT_PROGRESS, RunDir


def keep_attempt(run_dir: RunDir) -> None:
    """Move the ended attempt's files aside, so that the next one starts in a clean directory.

    What says what to run stays; the outcome is moved last, so that a kill in between is made
    good by calling this again. `progress.csv` is kept under another name, because viskit takes
    every directory that has one, and parameters beside it, for a run.
    """
    directory = _make_kept(run_dir, last_attempt(run_dir) or 1)
    stay = {
        run_dir.run_file,
        run_dir.variant_file,
        run_dir.variant_pickle,
        run_dir.outcome_file,
        run_dir.attempt_file,
    }
    stay |= {run_dir.git_infos, run_dir.script_name, run_dir.environment, run_dir.experiment_pickle}
    for entry in sorted(run_dir.path.iterdir()):
        if entry in stay or entry.suffix == ".patch" or _is_kept_attempt(entry):
            continue
        entry.rename(directory / (KEPT_PROGRESS if entry == run_dir.progress else entry.name))
    for last in (run_dir.outcome_file, run_dir.attempt_file):
        if os.path.lexists(last):
            last.rename(directory / last.name)


def last_attempt(run_dir: RunDir, damaged: int = 1) -> int | None:
    """Return the number of the attempt that the directory is of; None before the first.

    `damaged` where files say that there was one, and cannot be read.
    """
    numbers: list[int] = []
    for read in (run_dir.read_outcome, run_dir.read_attempt):
        try:
            record = read()
        except Damaged:
            numbers.append(0)
        else:
            numbers += [] if record is None else [record.attempt]
    return (max(numbers) or damaged) if numbers else None


def keep_damaged(run_dir: RunDir, attempt: int) -> None:
    """Move files that cannot be read to those of an earlier attempt, which `attempt` was."""
    for file, read in (
        (run_dir.outcome_file, run_dir.read_outcome),
        (run_dir.attempt_file, run_dir.read_attempt),
    ):
        try:
            read()
        except Damaged:
            file.rename(_make_kept(run_dir, attempt) / file.name)


def _make_kept(run_dir: RunDir, attempt: int) -> Path:
    directory = run_dir.kept_attempt(attempt)
    directory.mkdir(exist_ok=True)
    refuse_links_of_others(str(run_dir.path), directory.name)
    return directory


def _is_kept_attempt(path: Path) -> bool:
    return path.is_dir() and path.name.startswith("attempt_") and path.name[8:].isdigit()
