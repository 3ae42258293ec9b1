"""A search about which several processes decide: each pilot of a cluster asks for its next run.

The supervisor of a pilot asks it as it would ask `Searcher`. What differs: before anything is
decided the pilot takes its turn (`experiment.turn`) and reads what the others have written since;
what it decides, and that a run is its own from now on, is written before the turn ends. A run
whose pilot is gone is told as lost by whoever notices, once, and taken up again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from runslot.engines.events import Observer, RunsAdded, Said
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Crew
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.claim import is_claimed
from runslot.experiment.journal import JournalReader
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome, Run
from runslot.experiment.states import Kind
from runslot.experiment.turn import SharedJournal, TurnLost, stop_file
from runslot.record import record
from runslot.search.asha import arrivals
from runslot.search.recovery import replay, time_of
from runslot.search.rows import has_snapshot
from runslot.search.searcher import LOOK_PERIOD_S, NO_SNAPSHOT, Searcher, rising
from runslot.search.start import make_study, most_runs, record_of, trials_limit
from runslot.search.trial import Event, RunState, TrialRun

LOST_TRIES = 3
"""How often a run is taken up again by itself, of which a pilot was lost; then a resume does. A
pilot whose time was up is not lost: a run may take many of them.
"""
_IDLE_PERIOD_S = 5.0
"""Between questions of a pilot that has nothing to do, where nothing is written either."""
_CLAIM_S = 120.0
"""For which a file system may keep the claim of a node that is gone."""

Answer = TypeVar("Answer")


@record
class Hold:
    """A run under way, and who has it."""

    pilot: str
    writer: str
    attempt: int
    started: float


class PilotSearcher(Searcher):
    """The growing list of runs of one experiment, as one of its pilots sees and changes it."""

    def __init__(self, experiment: OpenExperiment, observer: Observer, crew: Crew) -> None:
        """Rebuild the study from the experiment's files."""
        directory = experiment.directory
        self.is_leaving = False
        """Whether this pilot begins no further run, since its time is nearly up."""
        self._crew = crew
        self._stop_file = stop_file(directory)
        self._shared = SharedJournal(directory.turns, directory.journal_file)
        self._reader = JournalReader(directory.journal_file)
        self._holds: dict[str, Hold] = {}
        self._own_runs: set[str] = set()
        self._late: set[str] = set()
        """Own runs that ended as the time of this pilot was up."""
        self._has_begun = False
        self._noticed: dict[str, float] = {}
        """When a run was first seen to have no pilot, by the monotonic clock."""
        self._lost: Counter[str] = Counter()
        self._longest = 0.0
        self._first: float | None = None
        """When the first run of this launch began; Unix time."""
        self._latest = 0.0
        self._is_stopped = False
        self._is_stale = False
        self._next_look = 0.0
        self._next_question = 0.0
        with self._shared.taken():
            super().__init__(replace(experiment, journal=self._shared), observer)

    @property
    def is_over(self) -> bool:
        """Whether nothing further is to be decided."""
        return self._study.is_over

    @property
    def has_more(self) -> bool:
        """Whether there is anything left for a pilot, now or later."""
        if self.problem or self._is_stopped or self._stop_file.exists() or self._study.is_over:
            return False
        states = {run.state for run in self._study.runs.values()}
        return self._may_ask() or "waiting" in states or self._may_come(states)

    @property
    def expects(self) -> bool:
        """Whether what the other pilots' runs show may yet make work for this one."""
        return not self.is_leaving and self.has_more

    @property
    def _is_settled(self) -> bool:
        """Whether all trials are there, and nothing runs: the winner, tests, and what is promoted
        in the end are decided by the one that sees it.
        """
        states = {run.state for run in self._study.runs.values()}
        return not self._may_ask() and not states & {"waiting", "running"}

    def _may_ask(self) -> bool:
        limit, study = trials_limit(self._record), self._study
        is_full = limit is not None and len(study.trials) >= limit
        return study.best is None and not study.closed and not is_full

    def _may_come(self, states: Set[RunState]) -> bool:
        record = self._record
        several = record.prune != "none" or record.race or record.test_seeds
        return bool(several and states & {"waiting", "running"})

    # ---- from the files --------------------------------------------------------------------------

    def _replay(self) -> None:
        self._catch_up()
        self._is_stale = False

    def _reopen(self) -> None:
        """Do nothing: a launcher decides it (`wake`)."""

    def _settle_halted(self) -> None:
        """Do nothing: a run has ended when its pilot has, or is gone."""

    def _catch_up(self) -> bool:
        """Take in what the others have written since; whether they have written anything."""
        is_news = False
        for event in self._reader.read():
            if event.get("by") != self._shared.writer:
                self._take_in(event)
                is_news = True
        return is_news

    def _take_in(self, event: Mapping[str, Any]) -> None:
        replay(self._study, event)
        before, self._latest = self._latest, time_of(event)
        match event["event"]:
            case "launcher_started":
                self._used += self._flown(before)
                self._first, self.problem, self._is_stale = None, "", True
                self._lost.clear()
            case "search_problem":
                self.problem = event["why"]
            case "start":
                self._first = self._latest if self._first is None else self._first
                pilot, writer = event.get("pilot", ""), event.get("by", "")
                hold = Hold(pilot, writer, event["attempt"], self._latest)
                self._holds[event["run"]] = hold
                self._attempts[event["run"]] = hold.attempt
            case "ended" if not event.get("retry"):
                outcome = Outcome.from_json(event["outcome"])
                self._take_ended(event["run"], outcome, event.get("late", False))

    def _take_ended(self, run_id: str, outcome: Outcome, is_late: bool) -> None:
        hold = self._holds.pop(run_id, None)
        if hold is not None:
            self._longest = max(self._longest, self._latest - hold.started)
        self._attempts[run_id] = outcome.attempt
        self._lost[run_id] += outcome.kind == "lost" and not is_late
        if (entry := self._study.runs.get(run_id)) is not None:
            self._take_end(entry.run, outcome.kind)

    def _flown(self, now: float) -> float:
        return 0.0 if self._first is None else max(0.0, now - self._first)

    # ---- taking turns ----------------------------------------------------------------------------

    def _decide(self, decision: Callable[[], Answer]) -> Answer:
        """Return what is decided in a turn; it is decided anew where the turn was taken away."""
        while True:
            try:
                with self._shared.taken():
                    self._catch_up()
                    if self._is_stale:
                        self._begin_anew()
                    return decision()
            except OSError:  # a full disk: what was decided is void
                self._is_stale = True
                raise
            except TurnLost as error:
                self._observer(Said(f"{error}: deciding anew"))
                self._is_stale = True

    def _begin_anew(self) -> None:
        """Rebuild the study: more was asked of it, or what was decided last is void."""
        self._record = record_of(self._directory.read())
        name, space = self._experiment.file.name, self._study.space
        self._study = make_study(self._record, name, space)
        self._reader = JournalReader(self._directory.journal_file)
        self._shared.renew()
        self._holds.clear()
        self._used, self._first = 0.0, None
        self._replay()

    def _note(self, event: Event) -> None:
        """Write an event of this pilot's, and take it in."""
        self._write_all([event])
        self._take_in({"time": time.time(), "by": self._shared.writer, **event})

    def _fail(self, reason: str) -> None:
        """Have the search end, here and for the others."""
        self._note({"event": "search_problem", "why": reason, "host": host_name()})

    # ---- what comes next -------------------------------------------------------------------------

    def grow(self, room: int) -> Sequence[tuple[Run, int]]:
        """Return the runs that this pilot does next, at most so many."""
        if self.problem or time.monotonic() < self._next_question:
            return ()
        self._crew.look()
        starts = self._decide(lambda: self._next(room))
        if not starts and not self.expects and self._holds:  # before it leaves: who else has?
            self._crew.look(is_due=True)
            starts = self._decide(lambda: self._next(room))
        self._next_question = 0.0 if starts else time.monotonic() + _IDLE_PERIOD_S
        return starts

    def _next(self, room: int) -> Sequence[tuple[Run, int]]:
        if self._unstarted:  # the disk had no room for them
            return self._list(())
        self._is_stopped = self._stop_file.exists()
        if self.problem or self._is_stopped:
            return ()
        self._conclude_gone()
        self.is_leaving = self._has_begun and not self._crew.may_begin(self._longest)
        if self.is_leaving and not self._is_settled:  # what comes next, others decide
            return ()
        self._close_late(self._used + self._flown(time.time()))
        before = set(self._study.runs)
        if (further := room - len(self._waiting())) > 0:
            try:
                moves = self._study.moves(further, self._experiment.policy.resumable)
            except RunslotError as error:  # the user's space, or a sampler
                self._fail(str(error))
                return ()
            self._write_all([move.event for move in moves if move.event])
        starts = [] if self.is_leaving else self._waiting()[:room]
        for entry in starts:
            self._begin(entry)
        self._shared.commit()
        self._unlisted += [e.run for e in self._study.runs.values() if e.id not in before]
        self._unstarted += [(entry.run, self._attempts[entry.id]) for entry in starts]
        return self._list(tuple(entry.run for entry in starts if entry.id in before))

    def _list(self, other_runs: tuple[Run, ...]) -> Sequence[tuple[Run, int]]:
        """Put what was decided into the list of runs, and return what is to start; some of it may
        have been decided by others, who may have been killed before they listed it.
        """
        if self._unlisted:
            self._directory.append_runs(self._unlisted)
            self._observer(RunsAdded(tuple(self._unlisted)))
            self._unlisted = []
        if other_runs:
            self._list_missing()
            self._observer(RunsAdded(other_runs))
        starting, self._unstarted = self._unstarted, []
        return starting

    def _waiting(self) -> list[TrialRun]:
        return [entry for entry in self._study.runs.values() if entry.state == "waiting"]

    def _begin(self, entry: TrialRun) -> None:
        attempt = self._attempts.get(entry.id, 0) + 1
        if self._study.best is not None and not entry.is_test:
            self._write({"event": "reopened"})  # a trial runs again: it may win
        about = {"run": entry.id, "attempt": attempt}
        where = {"slot": None, "directory": entry.run.directory, "pilot": self._crew.name}
        self._note({"event": "start", **about, **where})
        self._write_all([{"event": "handed", **about, "name": self._crew.job}])
        self._own_runs.add(entry.id)
        self._has_begun = True

    # ---- what happens ----------------------------------------------------------------------------

    def started(self, run: Run, attempt: int) -> None:
        """Note that an attempt of a run is under way, a retry perhaps."""
        self._attempts[run.id] = attempt

    def look(self, now: float) -> Sequence[str]:
        """Look at what the others have written, and this pilot's runs have shown; return the ids
        of those that are to end here.
        """
        if now < self._next_look or self.problem:
            return ()
        self._next_look = now + 2 * LOOK_PERIOD_S
        if self._catch_up():
            self._next_question = 0.0
        own_runs = [run for run in self._study.judged_runs() if run.id in self._own_runs]
        try:
            due = [entry for entry in own_runs if not entry.halted and self._is_at_rung(entry)]
        except InvalidInput as error:
            self._decide(partial(self._fail, str(error)))
            return ()
        for entry in due:
            self._decide(partial(self._judge, entry.id))
        return [entry.id for entry in own_runs if self._study.runs[entry.id].halted]

    def _is_at_rung(self, entry: TrialRun) -> bool:
        table = None if self._study.ladder is None else self._study.ladder.table
        if table is None:
            return False
        curve = self._curve(entry.run)
        if len(curve.rows) == len(entry.rows):
            return False
        self._study.note_rows(entry.id, rising(curve, entry, self._attempts.get(entry.id, 1)))
        return bool([*arrivals(table, entry.trial, {0: entry.rows}, self._study.objective)])

    def _judge(self, run_id: str) -> None:
        entry = self._study.runs[run_id]
        self._study.note_rows(run_id, self._curve(entry.run).rows)
        self._write_all(self._study.judge(run_id, self._can_pause))

    def settle(self, run: Run, outcome: Outcome) -> Outcome:
        """Return how a run ended: also one that ended with its pilot, which is lost."""
        if self._study.runs[run.id].halted:
            return self._decide(lambda: super(PilotSearcher, self).settle(run, outcome))
        if self._is_stop_asked(run, self._crew.name) or outcome.kind != "stopped":
            return outcome
        if self._crew.is_time_up:
            self._late.add(run.id)
        settled = self._crew.why_ended(outcome, obstacle := self._obstacle(run))
        if settled.kind == "timed_out" and obstacle == NO_SNAPSHOT:
            self._decide(lambda: self._note_missing_snapshot(run, "ran out of time"))
        self._run_dir(run).write_end(settled, None)
        return settled

    def _obstacle(self, run: Run) -> str:
        """Return why a run would begin anew with another pilot; empty where it can continue."""
        if not self._experiment.policy.resumable:
            return "is not resumable"
        return "" if has_snapshot(self._run_dir(run)) else NO_SNAPSHOT

    def _is_stop_asked(self, run: Run, pilot: str) -> bool:
        """Tell whether somebody asked for a run to stop; else another pilot goes on with it."""
        stopping = self.problem or self._stop_file.exists()
        return bool(stopping) or self._crew.is_stop_asked(run.id, pilot)

    def ended(self, run: Run, outcome: Outcome) -> None:
        """Note how a run of this pilot's ended, unless it was given up for lost by the others."""
        self._decide(lambda: self._end(run, outcome))

    def _end(self, run: Run, outcome: Outcome) -> None:
        self._own_runs.discard(run.id)
        self._next_question = 0.0  # it may be the last, and the winner this pilot's to decide
        hold = self._holds.get(run.id)
        if hold is not None and hold.pilot == self._crew.name:
            self._tell_end(run, outcome)

    def _tell_end(self, run: Run, outcome: Outcome) -> None:
        """Write how a run ended, and what follows of it."""
        late = {"late": True} if run.id in self._late else {}
        self._note({"event": "ended", "run": run.id, "outcome": outcome.to_json(), **late})
        self._late.discard(run.id)
        super().ended(run, outcome)
        if self.problem:
            self._fail(self.problem)
        if outcome.kind == "lost" and self._lost[run.id] <= LOST_TRIES:
            self._note({"event": "again", "run": run.id})

    # ---- pilots that are gone --------------------------------------------------------------------

    def _conclude_gone(self) -> None:
        """Tell the ends of runs whose pilots are gone."""
        for run_id, hold in [*self._holds.items()]:
            if run_id in self._own_runs or run_id not in self._study.runs:
                continue
            is_own = hold.pilot == self._crew.name
            reason = (
                "its pilot was started again"
                if is_own
                else self._crew.gone(hold.pilot, hold.started)
            )
            if reason and not self._is_executed(run_id):
                self._conclude(self._study.runs[run_id].run, hold, reason)

    def _is_executed(self, run_id: str) -> bool:
        """Tell whether a run is executed still, though its pilot is gone."""
        try:
            is_held = is_claimed(self._run_dir(self._study.runs[run_id].run))
        except OSError:  # a disk without locks
            is_held = False
        began = self._noticed.setdefault(run_id, time.monotonic())
        return is_held and time.monotonic() - began < _CLAIM_S

    def _conclude(self, run: Run, hold: Hold, reason: str) -> None:
        self._noticed.pop(run.id, None)
        run_dir = self._run_dir(run)
        outcome = run_dir.read_outcome()
        is_stop_asked = self._is_stop_asked(run, hold.pilot)
        if outcome is None or outcome.attempt < hold.attempt:
            kind: Kind = "stopped" if is_stop_asked else "lost"
            outcome = Outcome(kind, hold.attempt, ended=time.time(), message=reason)
        elif outcome.kind == "stopped" and not is_stop_asked:
            outcome = replace(outcome, kind="lost", message=reason)
        if self._study.runs[run.id].halted:
            outcome = super().settle(run, outcome)
        elif run_dir.path.is_dir():
            run_dir.write_end(outcome, None)
        self._tell_end(run, outcome)

    # ---- for a launcher --------------------------------------------------------------------------

    def wake(self, failed: bool, only: Sequence[str]) -> int:
        """Begin a launch: have run again what was stopped, or lost, or (on request) failed; return
        how many runs there may be yet.
        """
        return self._decide(lambda: self._wake(failed, only))

    def waiting(self) -> int:
        """Return how many runs wait for a pilot."""
        return self._decide(lambda: len(self._waiting()))

    def _wake(self, failed: bool, only: Sequence[str]) -> int:
        self._stop_file.unlink(missing_ok=True)
        self._is_stopped = False
        about = {"host": host_name(), "slots": None, "runs": 0}
        self._note({"event": "launcher_started", **about})
        self._is_stale = False
        self._conclude_gone()
        states = {"stopped", "failed"} if failed else {"stopped"}
        for entry in [*self._study.runs.values()]:
            if entry.state in states and (not only or entry.id in only):
                self._note({"event": "again", "run": entry.id})
        super()._reopen()
        if self._study.is_over:
            self._copy()
            return 0
        limit, record = trials_limit(self._record), self._record
        tests = len(record.test_seeds) * record.bases
        over = sum(entry.state == "succeeded" for entry in self._study.runs.values())
        return most_runs(record) + tests - over if limit is not None else most_runs(record)
