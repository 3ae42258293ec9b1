"""What `run` and `resume` share: what it may cost, launching while someone looks on, how it ended,
the exit status.
"""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runslot.cli.render.observer import asking, observing, on_terminal, saying
from runslot.cli.render.summary import FirstRun, tell_end, tell_left
from runslot.cli.render.terminal import shown
from runslot.engines.events import Observer
from runslot.errors import Busy, InvalidInput
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.experiment import Experiment
from runslot.launch.launch import Outcomes, launch, outcomes_of

if TYPE_CHECKING:
    from runslot.engines.protocol import LauncherConfig

SUCCEEDED, SOME_FAILED, INTERRUPTED = 0, 1, 130


def run_experiment(
    experiment: Experiment, json: bool, quiet: bool, notify: Sequence[str] = (), wait: bool = False
) -> int:
    """Launch a new experiment, or further runs of one, and return the exit status."""
    directory = experiment.prepare(saying(json, quiet), asking(json, quiet))
    with observing(json, quiet) as observer:
        fresh = experiment.into is None
        outcomes = _outcomes(
            lambda first: launch(directory, first, fresh=fresh, notify=notify, wait=wait), observer
        )
    return end(directory, outcomes, json, quiet)


def resume_experiment(
    directory: ExperimentDir,
    failed: bool,
    take_over: bool,
    json: bool,
    quiet: bool,
    notify: Sequence[str] = (),
    wait: bool = False,
) -> int:
    """Launch what is missing of an experiment, and return the exit status."""
    with observing(json, quiet) as observer:
        outcomes = _outcomes(
            lambda first: launch(
                directory, first, failed=failed, take_over=take_over, notify=notify, wait=wait
            ),
            observer,
        )
    return end(directory, outcomes, json, quiet)


def _outcomes(start: Callable[[Observer], Outcomes], observer: Observer) -> Outcomes | None:
    """Return how the runs stand; None where Ctrl-C ended the launch."""
    first = FirstRun(observer)
    try:
        return start(first)
    except KeyboardInterrupt:
        return None
    finally:
        first.close()


def end(directory: ExperimentDir, ended: Outcomes | None, json: bool, quiet: bool) -> int:
    """Say how the runs stand at the end of a launch, and return the exit status; `ended` is None
    after Ctrl-C.
    """
    if ended is not None and ended.left:
        if not json:
            tell_left(ended, quiet)
        return SUCCEEDED
    outcomes = ended or outcomes_of(directory)
    interrupted = ended is None
    if not json:
        tell_end(outcomes, directory, quiet=quiet, consoles=not on_terminal())
    if interrupted:
        return INTERRUPTED
    return SUCCEEDED if outcomes.all_succeeded else SOME_FAILED


def run_detached(experiment: Experiment, json: bool, quiet: bool, notify: Sequence[str]) -> int:
    """Launch a new experiment, or further runs of one; return the exit status, of the start
    alone.
    """
    directory = experiment.prepare(saying(json, quiet), asking(json, quiet))
    _detach(directory, json, quiet, fresh=experiment.into is None, notify=tuple(notify))
    return 0


def resume_detached(
    directory: ExperimentDir,
    failed: bool,
    take_over: bool,
    json: bool,
    quiet: bool,
    notify: Sequence[str],
) -> None:
    """Launch what is missing of an experiment."""
    _detach(directory, json, quiet, failed=failed, take_over=take_over, notify=tuple(notify))


def _detach(directory: ExperimentDir, json: bool, quiet: bool, **arguments: Any) -> None:
    from runslot.launch.attach import launch_detached

    pid = launch_detached(directory, _discard if json or quiet else print, **arguments)
    if json:
        print(jsonlib.dumps({"event": "detached", "directory": str(directory.path), "pid": pid}))
    elif not quiet and pid is not None:
        where = shown(directory.path)
        print(f"process {pid} goes on without this terminal:")
        print(f"`runslot attach {where}` looks on")
        print(f"`runslot stop {where}` ends it")
    if not json:
        print(directory.path)


def _discard(text: str) -> None:
    del text


def agree(yes: bool) -> None:
    """Answer the question whether to rent, for this process and for a launch that goes on by
    itself.
    """
    if yes:
        os.environ["RUNSLOT_YES"] = "1"


def limited(
    launcher: LauncherConfig | None, max_cost: float | None, max_hours: float | None
) -> LauncherConfig | None:
    """Return a launcher of rented machines with these limits; None where there are none, so that it
    stays as it is.
    """
    limits = {
        key: value
        for key, value in {"max_cost": max_cost, "max_hours": max_hours}.items()
        if value is not None
    }
    if not limits:
        return None
    if launcher is None or not set(limits) <= set(launcher.limits):
        options = " and ".join(f"--{key.replace('_', '-')}" for key in limits)
        raise InvalidInput(f"{options} is for rented machines: name them with --on, as --on ec2")
    return launcher.with_values(**limits)


def limit(directory: ExperimentDir, max_cost: float | None, max_hours: float | None) -> None:
    """Give an experiment other limits from here on; `Busy` while a launch works by the ones that it
    has.
    """
    from runslot.engines.registry import entry_of, of_experiment
    from runslot.experiment.files import write_json
    from runslot.experiment.status import read_status

    file = directory.read()
    launcher = limited(of_experiment(file), max_cost, max_hours)
    if launcher is None:
        return
    if read_status(directory).launcher is not None:
        raise Busy(
            f"a launch of {directory.path} is at work, by the limits that it has: `runslot stop`"
            " ends it"
        )
    write_json(directory.experiment_file, replace(file, launcher=entry_of(launcher)).to_json())
