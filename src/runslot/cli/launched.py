"""What `run` and `resume` share: launch while someone looks on, then say how it ended; the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runslot.cli.asking import asking, saying
from runslot.cli.ending import tell_end
from runslot.cli.views import observing, on_terminal
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.events import Observer
from runslot.launch.experiment import Experiment
from runslot.launch.launching import launch, outcomes_of

SUCCEEDED, SOME_FAILED, INTERRUPTED = 0, 1, 130


def run_experiment(experiment: Experiment, json: bool, quiet: bool, notify: Sequence[str] = ()) -> int:
    """Launch a new experiment, or further runs of one, and return the exit status."""
    directory = experiment.prepare(saying(json, quiet), asking(json, quiet))
    with observing(json, quiet) as observer:
        interrupted = _launch(directory, observer, fresh=experiment.into is None, notify=notify)
    return end(directory, interrupted, json, quiet)


def resume_experiment(
    directory: ExperimentDir, failed: bool, take_over: bool, json: bool, quiet: bool, notify: Sequence[str] = ()
) -> int:
    """Launch what is missing of an experiment, and return the exit status."""
    with observing(json, quiet) as observer:
        interrupted = _launch(directory, observer, failed=failed, take_over=take_over, notify=notify)
    return end(directory, interrupted, json, quiet)


def _launch(directory: ExperimentDir, observer: Observer, **how: Any) -> bool:
    """Return whether Ctrl-C ended the launch."""
    try:
        launch(directory, observer, **how)
    except KeyboardInterrupt:
        return True
    return False


def end(directory: ExperimentDir, interrupted: bool, json: bool, quiet: bool) -> int:
    """Say how the runs stand at the end of a launch, and return the exit status."""
    outcomes = outcomes_of(directory)
    if not json:
        tell_end(outcomes, directory, quiet=quiet, consoles=not on_terminal())
    if interrupted:
        return INTERRUPTED
    return SUCCEEDED if outcomes.all_succeeded else SOME_FAILED
