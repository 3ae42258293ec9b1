"""A search at work: carries out what the study decides, and tells it what the runs have shown.

The supervisor asks it, through `launch.growth`, in its own thread. What must stay true: a decision
is in the journal, and a run in the list of runs, before anything comes of it; so a search that was
killed at any instant goes on from its files.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Thread
from typing import TypeVar

from runslot.engines.events import Observer, RunsAdded, Said
from runslot.engines.open_experiment import OpenExperiment
from runslot.errors import Damaged, InvalidInput, NotFound, RunslotError, shortage_of
from runslot.experiment.files import write_atomically
from runslot.experiment.journal import read_events
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.states import Kind
from runslot.experiment.status import ExperimentStatus, read_status
from runslot.search.objective import refuse_fallen_step
from runslot.search.optuna_log import optuna_log
from runslot.search.recovery import explain, replay, time_of
from runslot.search.report import SearchReport, best_yaml
from runslot.search.roster import HYDRA_LAYOUT
from runslot.search.rows import LoggedCurve, RunRows, has_snapshot, missing_said, step_name
from runslot.search.start import make_study, most_runs, record_of, space_of, trials_limit
from runslot.search.trial import Event, Rows, TrialRun
from runslot.variants.variant import flatten

NO_SNAPSHOT = "left no snapshot"
"""Why a run cannot continue that should have kept one."""
COPY_PERIOD_S = 10.0
"""Between copies of the study for optuna-dashboard."""
_MOVE_PAUSES_S = (0.01, 0.1, 0.3)
"""Before a run is looked at again, which may have been looked for where it no longer was."""
LOOK_PERIOD_S = 0.5
"""Between looks at what the runs under way have logged."""
Seen = TypeVar("Seen")
STANDING_PERIOD_S, STANDING_SHARE = 0.5, 0.01
"""Between words of how it stands, at least; and the share of the time that they may take."""


class Searcher:
    """The growing list of runs of one experiment."""

    def __init__(self, experiment: OpenExperiment, observer: Observer) -> None:
        """Rebuild the study from the experiment's files, and make good what a kill left half
        done.
        """
        self.problem = ""
        self._experiment = experiment
        self._directory: ExperimentDir = experiment.directory
        self._observer = observer
        self._record = record_of(experiment.file)
        space = space_of(self._record, self._directory.path)
        self._study = make_study(self._record, experiment.file.name, space)
        self._rows: dict[str, RunRows] = {}
        self._gap: int | None = None
        """The longest that a run has logged no number of the metric, between two of them."""
        self._attempts: dict[str, int] = {}
        self._unlisted: list[Run] = []
        """Runs that were decided on, and wait for room on the disk."""
        self._unstarted: list[tuple[Run, int]] = []
        self._last_look = 0.0
        self._copied = time.monotonic()
        self._began = time.monotonic()
        self._said_next = 0.0
        self._has_changed = True
        self._used = 0.0
        """Seconds that earlier launches took."""
        self._loading = Thread(target=step_name, args=[()], daemon=True)
        """Loads what reads logs, a third of a second in which no slot should wait."""
        self._replay()
        self._list_missing()
        self._reopen()
        self._settle_halted()

    @property
    def most(self) -> int:
        """How many runs there may be at one time."""
        return most_runs(self._record)

    @property
    def is_over(self) -> bool:
        """Whether nothing further is to be decided: the winner is, and has been tested."""
        return self._study.is_over

    @property
    def expects(self) -> bool:
        """Whether others' runs may add some: this launch has all of them."""
        return False

    @property
    def _can_pause(self) -> bool:
        return self._experiment.policy.resumable and self._study.snapshots

    # ---- from the files --------------------------------------------------------------------------

    def _replay(self) -> None:
        began = last = None
        for event in read_events(self._directory.journal_file):
            moment = time_of(event)
            if event["event"] in {"search_opened", "launcher_started"}:
                self._used += last - began if began is not None and last is not None else 0.0
                began = moment
            last = moment
            replay(self._study, event)
        self._used += last - began if began is not None and last is not None else 0.0
        # What is between two launches is not of the budget, also where this one writes before its
        # runs begin.
        self._write({"event": "search_opened"})

    def _reopen(self) -> None:
        """Let a search go on that had come to its end, and was given more trials, or more time."""
        study, limit = self._study, trials_limit(self._record)
        if limit is not None and len(study.trials) >= limit:
            return
        budget = self._record.budget
        if (study.best is not None or study.closed) and (budget is None or self._used < budget):
            self._write({"event": "reopened"})

    def _list_missing(self) -> None:
        """Have the list of runs and the study agree: a kill may have come between a decision and
        its runs.
        """
        listed_ids = {run.id for run in self._directory.read_runs()}
        missing = [entry.run for entry in self._study.runs.values() if entry.id not in listed_ids]
        if missing:
            self._directory.append_runs(missing)
        for run in self._directory.read_runs():
            if run.id not in self._study.runs:
                self._write_all(explain(self._study, run))
            if run.id not in self._study.runs:
                raise Damaged(
                    f"{self._directory.runs_file} has {run.directory}, which no trial of "
                    f"{self._directory.journal_file} explains; put the journal back from a copy"
                )

    def _settle_halted(self) -> None:
        """Say of runs that were to end at a rung, and did while no launcher was there to say why,
        that this was it.
        """
        halted = {run.id for run in self._study.runs.values() if run.halted}
        if not halted:
            return
        for entry in read_status(self._directory).runs:
            if entry.run.id in halted and entry.state in {"stopped", "lost"}:
                attempt = max(entry.attempts, 1)
                outcome = entry.outcome or Outcome(
                    "stopped", attempt, started=entry.started, ended=time.time()
                )
                settled = self.settle(entry.run, replace(outcome, kind="stopped"))
                self._experiment.ended(entry.run, settled, time.time())
                self._study.apply(
                    {"event": "ended", "run": entry.run.id, "outcome": {"kind": settled.kind}}
                )

    def begin(self, status: ExperimentStatus) -> Sequence[tuple[Run, int]]:
        """Take in how the runs stand; return those that were to go on, and had not begun to."""
        again: list[tuple[Run, int]] = []
        for entry in status.runs:
            run = self._study.runs[entry.run.id]
            self._attempts[run.id] = entry.attempts
            if entry.state == "running":
                self._study.note_start(run.id)
            elif entry.retry or entry.state in {"queued", "stopped", "lost"}:
                run.state = "waiting"
            elif entry.state == "paused" and run.state == "waiting":
                self._study.note_rows(run.id, self._curve(entry.run).rows)
                again.append((entry.run, entry.attempts + 1))
            else:
                self._take_end(entry.run, entry.state)
                if run.halted or run.state == "succeeded":  # also where it ended unseen
                    self._write_all(self._study.judge(run.id, self._can_pause))
        if self.is_over:  # nothing is left to do but copies that were torn, or removed
            self._copy()
            self._leave_best()
        return again

    def _take_end(self, run: Run, kind: str) -> LoggedCurve:
        curve = self._steady(
            lambda: self._curve(run), lambda curve: bool(curve.columns) or kind != "succeeded"
        )
        self._study.note_rows(run.id, curve.whole)
        value = self._study.objective.of_run([value for _, value in curve.whole])
        self._study.note_end(run.id, kind, value)
        return curve

    def _steady(self, look: Callable[[], Seen], is_whole: Callable[[Seen], bool]) -> Seen:
        """Return what a look at a run that has ended shows, also where the directory is moved this
        very moment: a run that logged nothing ends the search, one without a snapshot its pauses.
        """
        for pause in _MOVE_PAUSES_S:
            place = self._experiment.place()
            with contextlib.suppress(FileNotFoundError, NotFound):
                finding = look()
                if is_whole(finding) and place == self._experiment.place():
                    return finding
            time.sleep(pause)
        return look()

    def _run_dir(self, run: Run) -> RunDir:
        """Return where a run lies, also while its experiment's directory is moved elsewhere."""
        place = self._experiment.place() or self._directory.path
        return ExperimentDir(place).run_dir(run, self._experiment.file)

    def _curve(self, run: Run) -> LoggedCurve:
        rows, run_dir = self._rows.get(run.id), self._run_dir(run)
        if rows is None or rows.run_dir.path != run_dir.path:
            rows = RunRows(run_dir, self._record.metric, self._record.step)
            self._rows[run.id] = rows
        curve = rows.read(
            resumed=self._experiment.policy.resumable and self._attempts.get(run.id, 1) > 1
        )
        if curve.gap is not None:
            self._gap = max(self._gap or 0, curve.gap)
        curve.usual_gap = self._gap
        return curve

    # ---- what happens ----------------------------------------------------------------------------

    def started(self, run: Run, attempt: int) -> None:
        """Note that an attempt of a run is under way."""
        self._attempts[run.id] = attempt
        if self._study.best is not None and not self._study.runs[run.id].is_test:
            self._write({"event": "reopened"})  # a trial runs again: it may win
        self._study.note_start(run.id)
        if self._loading.ident is None:
            self._loading.start()

    def settle(self, run: Run, outcome: Outcome) -> Outcome:
        """Return how a run ended: one that stopped because of a rung was pruned, or paused, and its
        files say so.
        """
        entry = self._study.runs[run.id]
        if not entry.halted or outcome.kind not in {"stopped", "lost"}:
            return outcome
        if entry.halted == "pause" and not self._steady(
            lambda: has_snapshot(self._run_dir(run)), bool
        ):
            self._note_missing_snapshot(run, "was asked to pause")
        kind: Kind = "paused" if entry.halted == "pause" else "pruned"
        score = None if self._study.ladder is None else self._study.ladder.score_of(entry.trial)
        step, value = (0.0, math.nan) if score is None else (score.step, score.value)
        message = f"at rung {entry.rung} (step {step:g}), {self._record.metric} {value:g}"
        settled = replace(
            outcome,
            kind=kind,
            rung=entry.rung,
            step=step,
            value=None if math.isnan(value) else value,
            message=message,
        )
        with contextlib.suppress(FileNotFoundError):  # removed
            self._steady(lambda: self._write_end(run, settled), bool)
        return settled

    def _write_end(self, run: Run, outcome: Outcome) -> bool:
        try:
            self._run_dir(run).write_end(outcome, None)
        except OSError as error:  # the journal says it, and the next launch writes it again
            if not shortage_of(error):
                raise
        return True

    def _note_missing_snapshot(self, run: Run, reason: str) -> None:
        """From here on end trials as if runs could not continue; say so once."""
        is_news = self._study.snapshots
        self._write(
            {"event": "no_snapshot", "trial": self._study.runs[run.id].trial, "run": run.id}
        )
        if is_news:
            self._observer(
                Said(
                    f"note: {run.directory} {reason} and {NO_SNAPSHOT}: from here on trials that"
                    " lag behind end for good, as without --resumable"
                )
            )

    def ended(self, run: Run, outcome: Outcome) -> None:
        """Note how a run ended that is not tried again."""
        self._attempts[run.id] = outcome.attempt
        self._has_changed = True
        curve = self._take_end(run, outcome.kind)
        if time.monotonic() - self._copied > COPY_PERIOD_S:
            self._copy()
        if outcome.kind != "succeeded" or self.problem:
            return
        self._check(run, curve)
        if not self.problem:
            self._write_all(self._study.judge(run.id, self._can_pause))

    def _check(self, run: Run, curve: LoggedCurve) -> None:
        """Say what a run which ended well has not shown; where none has, the search cannot go
        on.
        """
        entry, runs = self._study.runs[run.id], self._study.runs.values()
        missing = missing_said(self._record.metric, self._record.step, curve, run.directory)
        if missing and all(other.value is None for other in runs):
            self.problem = missing
        elif missing:
            self._observer(Said(f"note: {missing}; its trial counts as failed"))
        elif self._study.ladder is not None and not entry.column and not entry.is_test:
            if len(curve.whole) == 1 and all(len(other.rows) < 2 for other in runs):
                self.problem = (
                    f"{run.directory} has ended, and logged one row: --prune {self._record.prune}"
                    " judges runs by their rows on the way; log one an epoch, or leave --prune out"
                )
                return
            try:
                rising(curve, entry, self._attempts.get(run.id, 1))
            except InvalidInput as error:
                self.problem = str(error)

    def look(self, now: float) -> Sequence[str]:
        """Look at what the runs under way have shown; return the ids of those that are to end
        here.
        """
        self._say_standing(now)
        if self._study.ladder is None or self._study.ladder.table is None:
            return ()
        if now - self._last_look < LOOK_PERIOD_S or self.problem:
            return ()
        self._last_look = now
        halted: list[str] = []
        for entry in self._study.judged_runs():
            if not entry.halted:
                try:
                    curve = self._curve(entry.run)
                except (FileNotFoundError, NotFound):  # moved this moment: the next look sees it
                    continue
                if len(curve.rows) == len(entry.rows):
                    continue
                try:
                    self._study.note_rows(
                        entry.id, rising(curve, entry, self._attempts.get(entry.id, 1))
                    )
                except InvalidInput as error:
                    self.problem = str(error)
                    return ()
                self._write_all(self._study.judge(entry.id, self._can_pause))
            if entry.halted:
                halted.append(entry.id)
        return halted

    def _say_standing(self, now: float) -> None:
        """Say how the search stands, where that has changed."""
        if not self._has_changed or now < self._said_next:
            return
        self._has_changed = False
        began = time.monotonic()
        self._observer(SearchReport(self._study, trials_limit(self._record)).stands())
        took = time.monotonic() - began
        self._said_next = now + max(STANDING_PERIOD_S, took / STANDING_SHARE)

    def grow(self, room: int) -> Sequence[tuple[Run, int]]:
        """Return the runs that come next, up to about so many, with the number of their next
        attempt.
        """
        if self.problem:
            return ()
        if self._close_late(self._used + time.monotonic() - self._began):
            self._observer(Said("the search's budget is used up: no further trial begins"))
        known_ids = set(self._study.runs)
        try:
            # what is paused goes on, also where further runs can no longer pause
            moves = self._study.moves(room, self._experiment.policy.resumable)
        except RunslotError as error:  # the user's space, or a sampler
            self.problem = str(error)
            return ()
        self._write_all([move.event for move in moves if move.event])
        for move in moves:
            if move.event.get("event") == "search_closed":
                self._observer(Said(f"{move.event['why']}: no further trial begins"))
        starts = [move.run for move in moves if move.run is not None]
        self._unlisted += [entry.run for entry in starts if entry.id not in known_ids]
        self._unstarted += [(entry.run, self._attempts.get(entry.id, 0) + 1) for entry in starts]
        if self._unlisted:
            self._directory.append_runs(self._unlisted)
            self._observer(RunsAdded(tuple(self._unlisted)))
            self._unlisted = []
        starting, self._unstarted = self._unstarted, []
        return starting

    def _close_late(self, used: float) -> bool:
        """Let no further trial begin where so many seconds are beyond the budget; whether that is
        news.
        """
        budget = self._record.budget
        if budget is None or used <= budget or self._study.closed:
            return False
        self._write({"event": "search_closed", "why": f"its budget of {budget:g} s is used up"})
        return True

    def finish(self) -> None:
        """Say what came out so far."""
        # An interpreter that ends while a library loads its threads is aborted.
        if self._loading.ident is not None:
            self._loading.join()
        self._copy()
        report = SearchReport(self._study, trials_limit(self._record))
        self._observer(report.stands())
        for line in report.lines():
            self._observer(Said(line))
        self._leave_best()

    def _leave_best(self) -> None:
        """Write the winner as sweepers of Hydra leave it; a full disk is said."""
        best, file = self._study.best, self._directory.best_file
        if self._record.layout != HYDRA_LAYOUT or not self._study.is_over or best is None:
            return
        settings = best.params or flatten(next(iter(best.runs.values())).run.variant)
        try:
            write_atomically(file, best_yaml(settings, self._study.value_of(best)))
        except OSError as error:
            reason = f"{file} cannot be written ({error.strerror})"
            self._observer(Said(f"note: {reason}: `runslot resume` of its search writes it"))

    def _copy(self) -> None:
        """Write the copy for optuna-dashboard anew; a full disk keeps the one before."""
        self._copied = time.monotonic()
        text = optuna_log(self._study, self._experiment.file.name)
        with contextlib.suppress(OSError):
            write_atomically(self._directory.study_log, text)

    def _write(self, event: Event) -> None:
        self._study.apply(event)
        self._write_all([event])

    def _write_all(self, events: Sequence[Event]) -> None:
        self._has_changed = self._has_changed or bool(events)
        for event in events:
            details = {key: value for key, value in event.items() if key != "event"}
            self._experiment.journal.write(event["event"], time.time(), **details)


def rising(curve: LoggedCurve, entry: TrialRun, attempt: int) -> Rows:
    """Return the rows of a run that is judged at rungs; `InvalidInput` where its step falls, or
    stands still.
    """
    if attempt == 1:
        refuse_fallen_step(curve.rows, curve.step or "the row", entry.run.directory)
    return list(curve.rows)
