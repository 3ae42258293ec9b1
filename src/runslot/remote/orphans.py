"""End what still runs on a host of runs that were given up while it was away: they may be running elsewhere by now."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from pathlib import Path

from runslot.engines.local.launcher import LocalLauncher
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Handle, UnderWay
from runslot.execute.leftovers import end_escaped
from runslot.experiment.claim import is_claimed
from runslot.experiment.current import RUN_VARIABLE
from runslot.experiment.processes import kill_marked, values_of_processes
from runslot.experiment.records import Run
from runslot.experiment.rundir import RunDir

_LOOK = 0.05
_PATIENCE = 10.0
"""Seconds that killed processes have to vanish."""


def end_given_up(experiment: OpenExperiment, runs: Iterable[Run], expected: Collection[tuple[str, int]]) -> int:
    """Kill all attempts that run here and are not expected; return how many that were."""
    launcher = LocalLauncher((), experiment.directory.launcher_log, lambda _: None)
    handles: list[Handle] = []
    orphaned: list[Path] = []
    keep: set[str] = set()
    base = Path(experiment.directory.runs_base(experiment.file))
    try:
        for run in runs:
            run_dir = experiment.run_dir(run)
            record = run_dir.read_attempt()
            if record is None:
                continue
            if (run.id, record.attempt) in expected:
                keep.add(str(run_dir.path))
            elif is_claimed(run_dir):
                handle = launcher.adopt(run_dir, run, UnderWay(record.attempt, record))
                handles += [] if handle is None else [handle]
            elif _without_outcome(run_dir, record.attempt):
                orphaned.append(run_dir.path)
        launcher.stop(handles, kill=True)
        _wait(launcher, handles)
    finally:
        launcher.close()
    escaped = end_escaped(*orphaned) + _end_processes(base, keep)
    return len(handles) or min(escaped, 1)


def end_what_is_left(run_dir: Path) -> int:
    """Make certain that nothing of a run is alive that was stopped; returns how many processes that took."""
    ended = 0
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        killed = kill_marked(RUN_VARIABLE, str(run_dir))
        if not killed:
            break
        ended += killed
        time.sleep(_LOOK)
    return ended


def _without_outcome(run_dir: RunDir, attempt: int) -> bool:
    outcome = run_dir.read_outcome()
    return outcome is None or outcome.attempt < attempt


def _wait(launcher: LocalLauncher, handles: Collection[Handle]) -> None:
    remaining = list(handles)
    while remaining:
        remaining = [handle for handle, outcome in launcher.poll(remaining).items() if outcome is None]
        launcher.wait(_LOOK)


def _end_processes(base: Path, keep: Collection[str]) -> int:
    """Kill every process that was started in a run below `base`, those to `keep` excepted, until none is left."""
    ended = 0
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        below = {run for run in values_of_processes(RUN_VARIABLE).values() if run.startswith(f"{base}/")}
        killed = kill_marked(RUN_VARIABLE, *(below - set(keep)))
        if not killed:
            break
        ended += killed
        time.sleep(_LOOK)
    return ended
