"""What home asks of this machine, passed on to its worker as `runslot stop DIR RUN` would ask it;
then how it went.

A run that was never started gets its outcome here, as its worker writes none for what it has not
begun.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError
from runslot.experiment.files import write_json
from runslot.experiment.journal import read_events
from runslot.experiment.lock import leave_request
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.remote.sky.lifetime import Looking
from runslot.transport.bucket.inventory import MachineShare, StopRequest, read_stop_request
from runslot.transport.bucket.store import Store

LOOK = 5.0
"""Seconds between looks into the bucket."""
_AGAIN_S = 10.0


@dataclass
class Mailbox:
    """Of one machine, whose worker has a name."""

    store: Store
    share: MachineShare
    home: ExperimentDir
    root: Path
    """Where the runs lie."""
    worker: str
    runs: Mapping[str, tuple[str, int]]
    """By directory: the id of a run of the batch, and the attempt that was asked for."""
    request: StopRequest
    """All that is asked by now."""
    settled: frozenset[str] = frozenset()
    """Runs that were asked to stop, and of which nothing further comes."""
    worker_directories: set[str] = field(default_factory=set)
    """Directories of the runs that the worker was given."""
    _refused: frozenset[str] = frozenset()
    _open: set[str] = field(default_factory=set)
    """Runs that the worker was asked to stop, and has not."""
    _passed_on: float = 0.0

    def watch(self) -> None:
        """Look into the bucket from now on, until there is nothing further that could be asked."""
        Looking("mailbox", LOOK, self._look)

    def _look(self) -> bool:
        try:
            self.request = read_stop_request(self.store, self.share)
        except RunslotError:  # the bucket does not answer now: the pushes say so
            return False
        return self.request.everything

    def pass_on(self, given_up: Collection[str] = ()) -> None:
        """Leave the worker a request for what was asked since, and for runs that are another
        machine's by now (`given_up`, ids); again after a while, as it may not have had them yet.
        """
        new = (self.request.runs & self.worker_directories) - self._open - self.settled
        self._open |= new
        runs = {self.runs[run][0] for run in self._open} | set(given_up)
        if runs and (new or time.monotonic() - self._passed_on > _AGAIN_S):
            self._passed_on = time.monotonic()
            leave_request(self.home, "stop", sorted(runs), worker=self.worker)

    def refuse(self, runs: Collection[str]) -> None:
        """Say of runs that the worker never had that they are stopped."""
        for run in runs:
            _leave_outcome(RunDir(self.root / run), self.runs[run][1])
        self._refused |= set(runs)

    def settle(self) -> bool:
        """Tell whether runs have stopped since, as they were asked to; each has an outcome."""
        self.settled |= self._refused
        if not self._open:
            return False
        last = _last_events(self.home.worker_journal(self.worker))
        stopped = {run for run in self._open if _is_over(last.get(self.runs[run][0]))}
        for run in stopped:
            if last[self.runs[run][0]]["event"] == "dropped":
                _leave_outcome(RunDir(self.root / run), self.runs[run][1])
        self._open -= stopped
        self.settled |= stopped
        return bool(stopped)


def _last_events(journal: Path) -> dict[str, Mapping[str, Any]]:
    """Return, by run id, the last that became of each run."""
    kinds = {"start", "slot_taken", "ended", "dropped"}
    return {event["run"]: event for event in read_events(journal) if event["event"] in kinds}


def _is_over(event: Mapping[str, Any] | None) -> bool:
    return event is not None and (
        event["event"] == "dropped" or (event["event"] == "ended" and not event["retry"])
    )


def _leave_outcome(run_dir: RunDir, attempt_number: int) -> None:
    """Say that a run was stopped before it, or a further attempt of it, began; nobody else writes
    there by now.
    """
    outcome, attempt = run_dir.read_outcome(), run_dir.read_attempt()
    number = attempt_number if attempt is None else max(attempt_number, attempt.attempt)
    # it waited to be tried again: how it ended stays
    if outcome is not None and outcome.attempt >= number:
        return
    lost = (
        "" if attempt is None or attempt.attempt < number else "its machine was lost, and it was "
    )
    run_dir.path.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(
        "stopped",
        number,
        ended=time.time(),
        host=host_name(),
        message=f"{lost}stopped before it started",
    )
    write_json(run_dir.outcome_file, outcome.to_json())
