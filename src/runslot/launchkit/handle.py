"""What `run_experiment` returns: the runs of one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runslot.engines.registry import refreshed
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.launch.launch import Outcomes, launch, outcomes_of
from runslot.launch.printer import Printer
from runslot.launch.session import Submitted


class Launched:
    """The runs of one call: where they are, and how they ended."""

    def __init__(
        self, experiment: ExperimentDir, log_dirs: Sequence[Path], submitted: Submitted | None, is_left: bool = False
    ) -> None:
        self.directory = experiment.path
        """The record of the call, below the prefix's `.runslot`: what `runslot status` and `runslot resume` take."""
        self.log_dirs = tuple(log_dirs)
        """The directory of each run, in order."""
        self._experiment = experiment
        self._submitted = submitted
        self._left = is_left
        """Its runs were left to an engine's own queue."""

    @property
    def done(self) -> bool:
        """Whether all its runs have ended."""
        if self._left:
            return refreshed(read_status(self._experiment)).finished
        return self._submitted is None or self._submitted.done

    @property
    def outcomes(self) -> Outcomes:
        """How the runs stand now: all of them, unless the call was made with `skip_wait=True`."""
        return outcomes_of(self._experiment)

    def wait(self) -> Outcomes:
        """Wait until its runs have ended and return their outcomes; Ctrl-C stops all runs of the script."""
        if self._left:
            return launch(self._experiment, Printer(), wait=True)
        return self.outcomes if self._submitted is None else self._submitted.wait()

    def __repr__(self) -> str:
        return f"Launched({len(self.log_dirs)} runs, {'ended' if self.done else 'under way'}; {self.directory})"
