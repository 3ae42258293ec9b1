"""End what still runs on a host of runs that were given up while it was away: they may be running elsewhere by now."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from runslot.execute.leftovers import end_escaped
from runslot.experiment.claim import is_claimed
from runslot.experiment.current import RUN_VARIABLE
from runslot.experiment.processes import is_alive, keeper_of, processes_with, start_time
from runslot.experiment.records import Run
from runslot.experiment.rundir import RunDir
from runslot.launch.launcher import Handle, UnderWay
from runslot.launch.local import LocalLauncher
from runslot.launch.opened import OpenExperiment

_LOOK = 0.05
_PATIENCE = 10.0
"""Seconds that killed processes have to vanish."""


def end_given_up(experiment: OpenExperiment, runs: Iterable[Run], expected: Collection[tuple[str, int]]) -> int:
    """Kill all attempts that run here and are not expected; return how many that were."""
    launcher = LocalLauncher((), experiment.directory.launcher_log, lambda _: None)
    handles: list[Handle] = []
    orphaned: list[Path] = []
    keep: set[str] = set()
    base = Path(os.path.normpath(experiment.directory.path / experiment.file.runs_root))
    try:
        for run in runs:
            run_dir = experiment.run_dir(run)
            record = run_dir.read_attempt()
            if record is None:
                continue
            if (run.id, record.attempt) in expected:
                keep.add(str(run_dir.path))
            elif _runs_here(run_dir):
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
        alive = [pid for pid in processes_with(RUN_VARIABLE, str(run_dir)) if start_time(pid) is not None]
        if not alive:
            break
        ended += _kill(alive)
        time.sleep(_LOOK)
    return ended


def _without_outcome(run_dir: RunDir, attempt: int) -> bool:
    outcome = run_dir.read_outcome()
    return outcome is None or outcome.attempt < attempt


def _kill(pids: Iterable[int]) -> int:
    ended = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            ended += 1
        except ProcessLookupError:
            continue
    return ended


def _runs_here(run_dir: RunDir) -> bool:
    record = run_dir.read_attempt()
    alive = None if record is None else is_alive(keeper_of(record))
    return bool(alive) or (alive is None and is_claimed(run_dir))


def _wait(launcher: LocalLauncher, handles: Collection[Handle]) -> None:
    left = list(handles)
    while left:
        left = [handle for handle, outcome in launcher.poll(left).items() if outcome is None]
        launcher.wait(_LOOK)


def _end_processes(base: Path, keep: Collection[str]) -> int:
    """Kill every process that was started in a run below `base`, those to `keep` excepted, until none is left."""
    ended = 0
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        alive = [pid for pid in _processes_below(base, keep) if start_time(pid) is not None]
        if not alive:
            break
        ended += _kill(alive)
        time.sleep(_LOOK)
    return ended


def _processes_below(base: Path, keep: Collection[str]) -> list[int]:
    start = os.fsencode(f"{RUN_VARIABLE}={base}/")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        runs = [variable for variable in variables if variable.startswith(start)]
        if runs and os.fsdecode(runs[0]).partition("=")[2] not in keep:
            found.append(int(entry.name))
    return found
