"""What `run` and `resume` share: launch while someone looks on, then say how it ended; the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runslot.cli.asking import asking, saying
from runslot.cli.render.first_run import FirstRun
from runslot.cli.render.observer import observing, on_terminal
from runslot.cli.render.summary import tell_end, tell_left
from runslot.engines.events import Observer
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.experiment import Experiment
from runslot.launch.launch import Outcomes, launch, outcomes_of

SUCCEEDED, SOME_FAILED, INTERRUPTED = 0, 1, 130


def run_experiment(
    experiment: Experiment, json: bool, quiet: bool, notify: Sequence[str] = (), wait: bool = False
) -> int:
    """Launch a new experiment, or further runs of one, and return the exit status."""
    directory = experiment.prepare(saying(json, quiet), asking(json, quiet))
    with observing(json, quiet) as observer:
        how = {"fresh": experiment.into is None, "notify": notify, "wait": wait}
        outcomes = _launch(directory, observer, **how)
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
        outcomes = _launch(directory, observer, failed=failed, take_over=take_over, notify=notify, wait=wait)
    return end(directory, outcomes, json, quiet)


def _launch(directory: ExperimentDir, observer: Observer, **how: Any) -> Outcomes | None:
    """Return how the runs stand; None where Ctrl-C ended the launch."""
    first = FirstRun(observer)
    try:
        return launch(directory, first, **how)
    except KeyboardInterrupt:
        return None
    finally:
        first.close()


def end(directory: ExperimentDir, ended: Outcomes | None, json: bool, quiet: bool) -> int:
    """Say how the runs stand at the end of a launch, and return the exit status; `ended` is None after Ctrl-C."""
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
