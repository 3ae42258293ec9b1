"""The runs that this machine has, what home asks of them, and what of both its list is to say.

Runs are named by their ids here, by their directories in the bucket. What home asks is passed on to
the worker as `runslot stop DIR RUN` would ask it; a run that was never started gets its outcome
here, as its worker writes none for what it has not begun. What must stay true: a run is given to
the worker once what machines before have sent of it is here.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from runslot.engines.sky.tasks import Job
from runslot.errors import RunslotError
from runslot.experiment.files import write_json
from runslot.experiment.journal import read_events
from runslot.experiment.lock import leave_request
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.remote.sky.lifetime import say
from runslot.transport.bucket import Inventory, MachineShare, Pusher, Store, pull
from runslot.transport.bucket.inventory import StopRequest, read_listing, read_stop_request
from runslot.transport.bucket.pool import MOST_TURNS, Pool

_AGAIN_S = 10.0
"""Seconds after which the worker is asked again: it may not have had the runs yet."""


@dataclass
class Holdings:
    """Of one machine, whose worker has a name."""

    job: Job
    store: Store
    home: ExperimentDir
    root: Path
    """Where the runs lie."""
    worker: str
    pool: Pool
    pusher: Pusher
    directories: Mapping[str, str]
    """By id, of all runs of the batch."""
    attempts: Mapping[str, int]
    """By id: the attempt that was asked for."""
    request: StopRequest = field(default_factory=StopRequest)
    """All that home asks by now."""
    ready: set[str] = field(default_factory=set)
    """Runs that the worker may have, or had: what was sent of them before is here."""
    given_up: set[str] = field(default_factory=set)
    """Runs that the worker is to stop, since another machine has them."""
    _refused: set[str] = field(default_factory=set)
    """Runs that were asked to stop, and were tried to be taken for that."""
    _stopping: set[str] = field(default_factory=set)
    """Runs that the worker was asked to stop, and has not."""
    _passed_on: float = 0.0
    _earlier: dict[str, Inventory] = field(default_factory=dict)
    """Lists of shares of earlier batches, by name, once they were read: they do not change."""

    # ---- what it has -----------------------------------------------------------------------------

    def open_runs(self) -> list[str]:
        """Return the runs that this machine has and is not done with."""
        return [run for run in self.pool.held if run not in self.pusher.over]

    def ready_runs(self) -> list[str]:
        """Return those of them that the worker may have."""
        return [run for run in self.open_runs() if run in self.ready]

    def restore(self) -> None:
        """Claim the share, bring what machines before had of it, and read what was asked of
        them.
        """
        before = self.pusher.claim()
        if before.sequence:
            self.pool.restore()
            self.end(before.over)
            held = list(self.pool.held)
            self.bring(self.open_runs())
            self._pull(self.job.share, before, held)
            self.pusher.trust_restored()
            self._list(held)
        self.request = read_stop_request(self.store, self.job.share)
        self.ready.update(set(self.open_runs()) - self._stops())
        say(f"{len(before.files)} files of this share were in the bucket")

    def take(self, most: int) -> list[str]:
        """Take up to so many runs, with what is known of them; nothing where nothing is left."""
        stops = self._stops()
        # What was taken before, and could not be brought as the bucket was away.
        waiting = [run for run in self.open_runs() if run not in self.ready | stops]
        runs = waiting[:most] or self.pool.take(most, stops)
        if runs:
            self.bring(runs)
            self._list(runs)
            self.ready.update(runs)
        return runs

    def bring(self, runs: Collection[str]) -> None:
        """Bring what machines before have sent of these runs: who had one last comes last."""
        others = [share for share in self.job.share.batch_shares if share != self.job.share]
        for _, shares in groupby((*self.job.earlier, *others), key=lambda share: share.batch):
            lists = {share: self._listing(share) for share in shares}
            for turn in range(MOST_TURNS + 1):
                for share, listing in lists.items():
                    turns = listing.runs
                    self._pull(share, listing, [run for run in runs if turns.get(run, 0) == turn])

    def _listing(self, share: MachineShare) -> Inventory:
        if share.batch == self.job.share.batch:
            return read_listing(self.store, share)
        if share.name not in self._earlier:
            self._earlier[share.name] = read_listing(self.store, share)
        return self._earlier[share.name]

    def _pull(self, share: MachineShare, listing: Inventory, runs: Iterable[str]) -> None:
        prefixes = tuple(f"{self.directories[run]}/" for run in runs)
        if any(path.startswith(prefixes) for path in listing.files):
            brought = pull(
                self.store, share, self.root, None, lambda path: path.startswith(prefixes), listing
            )
            say(f"restored {brought.files} files, {brought.size} bytes, of {share.name}")

    def _list(self, runs: Iterable[str]) -> None:
        self.given_up.difference_update(runs)
        self.pusher.add([self.directories[run] for run in runs])

    def end(self, runs: Iterable[str]) -> None:
        """Note runs of which nothing further comes."""
        self.pusher.over.update({run: self.directories[run] for run in runs})

    def give_up(self) -> None:
        """Send nothing further of the runs that others have taken since."""
        for run in self.pool.lost():
            say(f"{self.directories[run]} was taken by another machine")
            self.pusher.leave(self.directories[run])
            self.ready.discard(run)
            self.given_up.add(run)

    # ---- what home asks --------------------------------------------------------------------------

    def _stops(self) -> set[str]:
        return {run for run, path in self.directories.items() if path in self.request.runs}

    def look(self) -> bool:
        """Read what home asks by now; tell whether it can ask nothing further."""
        try:
            self.request = read_stop_request(self.store, self.job.share)
        except RunslotError:  # the bucket does not answer now: the pushes say so
            return False
        return self.request.everything

    def refuse(self) -> bool:
        """Say of the runs that were asked to stop, and that were not begun, that they are stopped,
        also of those that nobody has; tell whether there were any.
        """
        stops = self._stops()
        for run in stops - self._refused:
            self.pool.take_untaken(run)
            self._refused.add(run)
        runs = [run for run in self.open_runs() if run in stops and run not in self.ready]
        if runs:
            self.bring(runs)
            for run in runs:
                self._leave_outcome(run)
            self._list(runs)
            self.end(runs)
            self._settle(runs)
        return bool(runs)

    def pass_on(self) -> None:
        """Leave the worker a request for what was asked since, and for what was given up; again
        after a while.
        """
        new = {run for run in self._stops() & self.ready if not self._is_settled(run)}
        new -= self._stopping
        self._stopping |= new
        runs = self._stopping | self.given_up
        if runs and (new or time.monotonic() - self._passed_on > _AGAIN_S):
            self._passed_on = time.monotonic()
            leave_request(self.home, "stop", sorted(runs), worker=self.worker)

    def settle(self) -> bool:
        """Tell whether runs have stopped since, as they were asked to; each has an outcome."""
        if not self._stopping:
            return False
        last = _last_events(self.home.worker_journal(self.worker))
        stopped = {run for run in self._stopping if _is_over(last.get(run))}
        for run in stopped:
            if last[run]["event"] == "dropped":
                self._leave_outcome(run)
        self._stopping -= stopped
        self._settle(stopped)
        return bool(stopped)

    def _settle(self, runs: Iterable[str]) -> None:
        self.pusher.settled.update(self.directories[run] for run in runs)

    def _is_settled(self, run: str) -> bool:
        return self.directories[run] in self.pusher.settled

    def _leave_outcome(self, run: str) -> None:
        """Say that a run was stopped before it, or a further attempt of it, began; nobody else
        writes there by now.
        """
        run_dir = RunDir(self.root / self.directories[run])
        outcome, attempt = run_dir.read_outcome(), run_dir.read_attempt()
        number = self.attempts[run] if attempt is None else max(self.attempts[run], attempt.attempt)
        # it waited to be tried again: how it ended stays
        if outcome is not None and outcome.attempt >= number:
            return
        is_lost = attempt is not None and attempt.attempt >= number
        lost = "its machine was lost, and it was " if is_lost else ""
        run_dir.path.mkdir(parents=True, exist_ok=True)
        outcome = Outcome(
            "stopped",
            number,
            ended=time.time(),
            host=host_name(),
            message=f"{lost}stopped before it started",
        )
        write_json(run_dir.outcome_file, outcome.to_json())


def _last_events(journal: Path) -> dict[str, Mapping[str, Any]]:
    """Return, by run id, the last that became of each run."""
    kinds = {"start", "slot_taken", "ended", "dropped"}
    return {event["run"]: event for event in read_events(journal) if event["event"] in kinds}


def _is_over(event: Mapping[str, Any] | None) -> bool:
    return event is not None and (
        event["event"] == "dropped" or (event["event"] == "ended" and not event["retry"])
    )
