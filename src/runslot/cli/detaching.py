"""`--detach`: what is said when a launch goes on without its terminal."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from typing import Any

from runslot.cli.asking import asking, saying
from runslot.cli.render.summary import shown
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.detach import launch_detached
from runslot.launch.experiment import Experiment


def run_detached(experiment: Experiment, json: bool, quiet: bool, notify: Sequence[str]) -> int:
    """Launch a new experiment, or further runs of one; return the exit status, of the start alone."""
    directory = experiment.prepare(saying(json, quiet), asking(json, quiet))
    _detach(directory, json, quiet, fresh=experiment.into is None, notify=tuple(notify))
    return 0


def resume_detached(
    directory: ExperimentDir, failed: bool, take_over: bool, json: bool, quiet: bool, notify: Sequence[str]
) -> None:
    """Launch what is missing of an experiment."""
    _detach(directory, json, quiet, failed=failed, take_over=take_over, notify=tuple(notify))


def _detach(directory: ExperimentDir, json: bool, quiet: bool, **how: Any) -> None:
    pid = launch_detached(directory, _discard if json or quiet else print, **how)
    if json:
        print(dumps({"event": "detached", "directory": str(directory.path), "pid": pid}))
    elif not quiet and pid is not None:
        where = shown(directory.path)
        print(f"process {pid} goes on without this terminal: `runslot attach {where}` looks on", end="")
        print(f", `runslot stop {where}` ends it")
    if not json:
        print(directory.path)


def _discard(text: str) -> None:
    del text
