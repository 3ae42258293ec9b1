"""Pause an experiment, and end the pause, through the launcher at work on it."""

from __future__ import annotations

import time

from runslot.errors import Busy, InvalidInput
from runslot.experiment.lock import leave_request, living_launcher
from runslot.experiment.rundir import ExperimentDir

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


def pause_said(paused: bool, experiment: str) -> str:
    """Return what is said where a pause begins or ends."""
    if paused:
        return (
            f"{experiment} is paused: what runs goes on, nothing further starts; `runslot continue`"
            " ends the pause"
        )
    return f"{experiment} continues"
