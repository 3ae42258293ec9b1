"""What a remote end ends and removes on its host: the end before it, runs given up, files that do
not come home.

`ssh_agent` is the one remote end of an experiment there: one before it may not have noticed that
its connection is dead. Runs that were given up while the host was away may be running elsewhere by
now, so they are ended. Files that were not to come home (`--fetch`, `--no-fetch`) stay in
directories without `run.json`: these are no runs any more, and a further attempt begins without
them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from runslot.engines.local.launcher import LocalLauncher
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Handle, UnderWay
from runslot.errors import Busy
from runslot.execute.leftovers import end_escaped
from runslot.experiment.claim import find_holder, is_claimed
from runslot.experiment.current import RUN_VARIABLE
from runslot.experiment.processes import identify, kill_marked, values_of_processes
from runslot.experiment.records import ExperimentFile, Run
from runslot.experiment.rundir import RunDir
from runslot.transport.patterns import comes_home
from runslot.transport.scan import look

_POLL_S = 0.05
_ORPHAN_TIMEOUT_S = 10.0
"""Seconds that killed processes have to vanish."""


def end_given_up(
    experiment: OpenExperiment, runs: Iterable[Run], expected: Collection[tuple[str, int]]
) -> int:
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
    """Make certain that nothing of a run is alive that was stopped; returns how many processes that
    took.
    """
    ended = 0
    deadline = time.monotonic() + _ORPHAN_TIMEOUT_S
    while time.monotonic() < deadline:
        killed = kill_marked(RUN_VARIABLE, str(run_dir))
        if not killed:
            break
        ended += killed
        time.sleep(_POLL_S)
    return ended


def _without_outcome(run_dir: RunDir, attempt: int) -> bool:
    outcome = run_dir.read_outcome()
    return outcome is None or outcome.attempt < attempt


def _wait(launcher: LocalLauncher, handles: Collection[Handle]) -> None:
    remaining = list(handles)
    while remaining:
        remaining = [
            handle for handle, outcome in launcher.poll(remaining).items() if outcome is None
        ]
        launcher.wait(_POLL_S)


def _end_processes(base: Path, keep: Collection[str]) -> int:
    """Kill every process that was started in a run below `base`, those to `keep` excepted, until
    none is left.
    """
    ended = 0
    deadline = time.monotonic() + _ORPHAN_TIMEOUT_S
    while time.monotonic() < deadline:
        below = {
            run for run in values_of_processes(RUN_VARIABLE).values() if run.startswith(f"{base}/")
        }
        killed = kill_marked(RUN_VARIABLE, *(below - set(keep)))
        if not killed:
            break
        ended += killed
        time.sleep(_POLL_S)
    return ended


_TAKEOVER_TIMEOUT_S = 10.0


@contextmanager
def be_the_only_one(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, ending the process that has it; `Busy` where that does not end."""
    file = directory / "agent.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _take(descriptor, file)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(identify())).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, file: Path) -> None:
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            if waited > _TAKEOVER_TIMEOUT_S:
                raise Busy(f"another remote end in {file.parent} does not leave") from None
            _end(
                file,
                descriptor,
                signal.SIGTERM if waited < _TAKEOVER_TIMEOUT_S / 5 else signal.SIGKILL,
            )
            time.sleep(0.05)
        else:
            return


def _end(file: Path, descriptor: int, number: signal.Signals) -> None:
    """Signal who has the lock: what the file says of it is where to look first."""
    try:
        hint = int(json.loads(os.pread(descriptor, 4096, 0))["pid"])
    # it has not said yet who it is
    except (
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        RecursionError,
    ):
        hint = None
    process = find_holder(file, hint)
    if process is not None:
        process.send(number)
        process.close()


def leave(run_dir: RunDir, file: ExperimentFile, is_home: bool = True) -> None:
    """Remove of a run's directory what is home; all of it, unless something was not to come home,
    or could not.
    """
    if not is_home:
        run_dir.run_file.unlink()
        return
    if all(comes_home(file, path) for path in look(run_dir.path)):
        shutil.rmtree(run_dir.path)
        return
    for directory, _, names in os.walk(run_dir.path, topdown=False):
        for name in names:
            path = Path(directory, name)
            if comes_home(file, path.relative_to(run_dir.path).as_posix()):
                path.unlink()
        if not os.listdir(directory):  # noqa: PTH208
            Path(directory).rmdir()


def remove_all_but(base: Path, survivors: Collection[RunDir]) -> None:
    """Remove what was brought to `base` and what runs wrote there, but for what is `survivors`."""
    paths = {run_dir.path for run_dir in survivors}
    if paths:
        _remove_around(base, paths | {above for path in paths for above in path.parents}, paths)
    else:
        shutil.rmtree(base, ignore_errors=True)


def _remove_around(
    directory: Path, on_the_way: Collection[Path], survivors: Collection[Path]
) -> None:
    for entry in list(os.scandir(directory)):
        path = Path(entry.path)
        if path in survivors:
            continue
        if path in on_the_way:
            _remove_around(path, on_the_way, survivors)
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
