"""Stop runs from any terminal: through the launcher at work, or, where none is, by acting in its
place.

Pause an experiment, and end the pause, through the launcher at work on it.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from runslot.engines.events import LaunchEvent
from runslot.engines.local.config import end_lost
from runslot.engines.local.launcher import LocalLauncher
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Launcher, LauncherConfig, UnderWay
from runslot.engines.registry import of_experiment, refreshed
from runslot.errors import Busy, InvalidInput, NotFound, shortage_of
from runslot.experiment.claim import find_keeper
from runslot.experiment.lock import leave_bare_request, leave_request, living_launcher
from runslot.experiment.processes import ProcessHandle, children_of, is_alive
from runslot.experiment.records import ExperimentFile, Outcome, Run
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import ExperimentStatus, RunStatus, read_status
from runslot.launch.foreign_host import lost_outcome, refuse_held, refuse_unknown
from runslot.launch.launch import Outcomes, outcomes_of

_LOOK = 0.1
_PATIENCE = 15.0
"""Seconds beyond the grace that a launcher has to take note."""
_PATIENCE_AFAR = 180.0
"""The same where its runs are on other machines, which have to be asked, and to send what they
have.
"""


def stop(
    directory: ExperimentDir,
    run_ids: Sequence[str] = (),
    kill: bool = False,
    take_over: bool = False,
    say: Callable[[str], None] = print,
) -> Outcomes:
    """Stop an experiment, or some of its runs, and return how its runs stand when that is done.

    Runs that have not started are not started. `Busy` where a launcher on another host does not
    answer.
    """
    end_runs(directory, run_ids, kill, take_over, say)
    return outcomes_of(directory)


def end_runs(
    directory: ExperimentDir,
    run_ids: Sequence[str],
    kill: bool,
    take_over: bool,
    say: Callable[[str], None],
) -> None:
    """Stop an experiment, or some of its runs, for who looks by himself how its runs stand then."""
    directory.require_own()
    ids = {run.id for run in directory.read_runs()} if run_ids else set()
    for run_id in run_ids:
        if run_id not in ids:
            raise NotFound(f"{directory.path} has no run {run_id!r}")
    launcher = living_launcher(directory)
    if launcher is not None and not take_over:
        subject = f"{len(run_ids)} of its runs" if run_ids else "all its runs"
        say(f"asking the launcher ({launcher.pid} on {launcher.host}) to stop {subject}")
        stopping = functools.partial(_ask, directory, run_ids, kill)
    else:
        stopping = functools.partial(_act, directory, run_ids, kill, take_over, say)
    try:
        stopping()
    except OSError as error:
        if not (shortage := shortage_of(error)):
            raise
        say(f"{shortage}: no request can be left")
        _signal(directory, run_ids, kill, say)


def _signal(
    directory: ExperimentDir, run_ids: Sequence[str], kill: bool, say: Callable[[str], None]
) -> None:
    """Stop on a full disk, where nothing can be written: a file without content is the request to
    the launcher, and where that is no way either, the keepers are signalled that hold the claims of
    the runs.
    """
    file = directory.read()
    deadline = time.monotonic() + file.policy.grace + _PATIENCE
    request: Path | None = None
    if not run_ids and living_launcher(directory) is not None:
        with contextlib.suppress(OSError):
            request = leave_bare_request(directory, "kill" if kill else "stop")
    keepers = {} if request is not None else _keepers(directory, file, run_ids)
    for keeper in keepers.values():
        for number in (signal.SIGTERM, *((signal.SIGINT,) if kill else ()), signal.SIGCONT):
            keeper.send(number)
    while (
        living_launcher(directory) is not None
        if request
        else any(children_of(k.pid) for k in keepers.values())
    ):
        if time.monotonic() > deadline:
            raise Busy(
                f"the runs of {directory.path} have not ended; look at {directory.launcher_log}"
            )
        time.sleep(_LOOK)
    for keeper in keepers.values():
        keeper.close()
    say("what ran has ended; how it ended is written as soon as the disk has room")
    if request is None and living_launcher(directory) is not None:
        say("its launcher could not be told: what has not started may start when there is room")


def _keepers(
    directory: ExperimentDir, file: ExperimentFile, run_ids: Sequence[str]
) -> dict[str, ProcessHandle]:
    """Return the keepers, of this user and on this machine, of those runs that are under way, by
    run id.
    """
    keepers = {}
    for run in _running(directory, run_ids):
        keeper = find_keeper(
            directory.run_dir(run.run, file), None if run.attempt is None else run.attempt.pid
        )
        if keeper is not None:
            keepers[run.run.id] = keeper
    return keepers


def _ask(directory: ExperimentDir, run_ids: Sequence[str], kill: bool) -> None:
    """Leave a request and wait until no asked run is under way; act in the launcher's place if it
    dies meanwhile.
    """
    request = leave_request(directory, "kill" if kill else "stop", run_ids)
    file = directory.read()
    patience = _PATIENCE if file.launcher is None else _PATIENCE_AFAR
    deadline = time.monotonic() + file.policy.grace + patience
    while request.exists() or _running(directory, run_ids):
        launcher = living_launcher(directory)
        if launcher is None:
            request.unlink(missing_ok=True)
            if _running(directory, run_ids):
                _act(directory, run_ids, kill, False, lambda _: None)
            return
        if time.monotonic() > deadline:
            hint = (
                "; if it is certain that its machine is gone, add --take-over"
                if is_alive(launcher) is None
                else ""
            )
            raise Busy(
                f"the launcher of {directory.path} has not answered; look at"
                f" {directory.launcher_log}{hint}"
            )
        time.sleep(_LOOK)


def _running(directory: ExperimentDir, run_ids: Sequence[str]) -> list[RunStatus]:
    runs = read_status(directory).runs
    return [
        run for run in runs if run.state == "running" and (not run_ids or run.run.id in run_ids)
    ]


def _under_way(status: ExperimentStatus, run_ids: Sequence[str]) -> list[RunStatus]:
    """Return those that run, and those that wait in a queue of their engine's own."""
    statuses = refreshed(status).runs
    active = [
        run for run in statuses if run.state == "running" or (run.state == "queued" and run.name)
    ]
    return [run for run in active if not run_ids or run.run.id in run_ids]


def _no_observer(event: LaunchEvent) -> None:
    del event


def _act(
    directory: ExperimentDir,
    run_ids: Sequence[str],
    kill: bool,
    take_over: bool,
    say: Callable[[str], None],
) -> None:
    experiment = OpenExperiment.open(directory, {}, take_over)
    configured = of_experiment(experiment.file)
    try:
        if configured is None:
            launcher: Launcher = LocalLauncher((), directory.launcher_log, say)
        else:
            launcher = configured.open(experiment, 0, _no_observer).launcher
    except BaseException:
        experiment.close()
        raise
    try:
        _stop_pilots(experiment, configured, run_ids, kill)
        status = read_status(directory)
        if end_lost(status):
            status = read_status(directory)
        handles = {}
        under_way = _under_way(status, run_ids)
        refuse_held(status, under_way)
        if not take_over:
            refuse_unknown(status)
        for run in under_way:
            if run.claim == "unknown":
                experiment.ended(run.run, lost_outcome(run, time.time()), time.time())
                continue
            handle = launcher.adopt(experiment.run_dir(run.run), run.run, UnderWay.of(run))
            if handle is not None:
                handles[handle] = run.run
        say(f"no launcher is at work; stopping {len(handles)} run{'s' * (len(handles) != 1)}")
        launcher.stop(list(handles), kill)
        while handles:
            for handle, outcome in launcher.poll(list(handles)).items():
                if isinstance(outcome, Outcome):
                    _note(experiment, handles.pop(handle), outcome)
            launcher.wait(_LOOK if handles else 0)
    finally:
        launcher.close()
        experiment.close()


def _stop_pilots(
    experiment: OpenExperiment,
    configured: LauncherConfig | None,
    run_ids: Sequence[str],
    kill: bool,
) -> None:
    """End what asks for runs by itself, so that nothing further starts; unless some runs alone are
    to stop.
    """
    if run_ids or configured is None or experiment.file.search is None:
        return
    pilots = configured.pilots(experiment, _no_observer)
    if pilots is not None:
        try:
            pilots.stop(kill)
        finally:
            pilots.close()


def _note(experiment: OpenExperiment, run: Run, outcome: Outcome) -> None:
    experiment.ended(run, outcome, time.time())


# ---- pause ---------------------------------------------------------------------------------------


_POLL_S = 0.05
_ANSWER_TIMEOUT_S = 15.0
"""What a launcher has to take note; it looks twice a second."""


def pause(directory: ExperimentDir, paused: bool) -> None:
    """Have the launcher start nothing further of the experiment, or, with `paused` false, go on.

    Runs under way go on. A pause lasts as long as its launcher: a resume is the wish to go on.
    Returns when the launcher has taken note; `InvalidInput` where none is at work, `Busy` where it
    does not answer.
    """
    directory.require_own()
    if living_launcher(directory) is None:
        file = directory.read()
        if file.search is not None and file.launcher is not None:
            raise InvalidInput(
                f"{directory.path} is a search whose pilots ask for their runs by themselves, and"
                f" take no pause: `runslot stop {directory.path}` ends them, and `runslot resume`"
                " goes on"
            )
        raise InvalidInput(
            f"no launcher is at work on {directory.path}, so nothing starts there; "
            f"`runslot resume {directory.path}` runs what is missing"
        )
    request = leave_request(directory, "pause" if paused else "continue")
    deadline = time.monotonic() + _ANSWER_TIMEOUT_S
    while request.exists():
        if living_launcher(directory) is None:
            request.unlink(missing_ok=True)
            raise InvalidInput(f"the launcher of {directory.path} ended at this moment")
        if time.monotonic() > deadline:
            request.unlink(missing_ok=True)
            raise Busy(
                f"the launcher of {directory.path} has not answered; look at"
                f" {directory.launcher_log}"
            )
        time.sleep(_POLL_S)
