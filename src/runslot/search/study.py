"""The state of a search: which trials there are, what their runs have shown, and what comes next.
Pure.

A decision is an event, a JSON object: a method makes it, `apply` takes it in, and `searcher` writes
it into the experiment's journal before anything comes of it. So the events of a journal, applied to
a new study, make the state that the launcher had when it was killed; nothing is decided twice. What
runs have shown is no event: `note_rows` and `note_end` are told it by whoever read it in the runs'
own files.

A trial is one setting of the parameters. Its runs are its columns: one for each seed and each of
the settings that it is crossed with. Where trials are pruned, its first run is judged at the rungs,
and the others follow when that is whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runslot.errors import Damaged, InvalidInput
from runslot.search.asha import ENOUGH
from runslot.search.heats import as_json, drop_of, out_of_race, seed_values
from runslot.search.ladder import Ladder
from runslot.search.objective import Objective
from runslot.search.pruner import Pruner
from runslot.search.race import Dropped, Race, advance
from runslot.search.roster import Roster
from runslot.search.samplers import Asker, TrialState
from runslot.search.space import SearchSpace
from runslot.search.spec import SearchRecord
from runslot.search.trial import (
    STATES,
    Event,
    Move,
    Rows,
    Status,
    Trial,
    TrialRun,
    number_of,
    text_of,
)
from runslot.variants.encode import to_jsonable


@dataclass(eq=False)
class Study:
    """All trials of a search; `moves` says what comes next."""

    record: SearchRecord
    space: SearchSpace | None = None
    """None where the experiment's variants are the trials."""
    asker: Asker | None = None
    pruner: Pruner | None = None
    race: Race | None = None
    earlier: Sequence[TrialState] = ()
    """Trials of other experiments, under negative numbers."""
    trials: list[Trial] = field(default_factory=list)
    runs: dict[str, TrialRun] = field(default_factory=dict)
    drops: list[Dropped[int]] = field(default_factory=list)
    best: Trial | None = None
    """The winner, once it is decided."""
    snapshots: bool = True
    """Runs that were asked to pause have left something to continue from."""
    closed: bool = False
    """No further trial begins: the budget is used up, or all settings were tried."""
    _states: dict[int, TrialState] = field(default_factory=dict)
    """Of trials that have ended for good, as a sampler sees them."""

    def __post_init__(self) -> None:
        self.roster = Roster(self.record)
        self.objective: Objective = self.record.objective
        self.ladder = None if self.pruner is None else Ladder(self.pruner, self.objective)

    # ---- what happened ---------------------------------------------------------------------------

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in a decision, or a start or end that the journal has; others are passed over."""
        if (take := _EVENTS.get(event["event"])) is not None:
            take(self, event)

    def _take_further(self, event: Mapping[str, Any]) -> None:
        self._add_run(self.trials[event["trial"]], event["column"], event.get("test", False))

    def _take_race(self, event: Mapping[str, Any]) -> None:
        self.drops += [drop_of(drop) for drop in event["dropped"]]

    def _take_winner(self, event: Mapping[str, Any]) -> None:
        self.best = self.trials[event["trial"]]

    def _close(self, event: Mapping[str, Any]) -> None:
        self.closed = event["event"] == "search_closed"
        self.best = self.best if self.closed else None

    def _take_earlier(self, event: Mapping[str, Any]) -> None:
        self.earlier = [
            TrialState(trial["trial"], trial["params"], trial["status"], number_of(trial["value"]))
            for trial in event["trials"]
        ]

    def _note_missing_snapshot(self, event: Mapping[str, Any]) -> None:
        self.snapshots = False
        self.runs[event["run"]].halted = "prune"
        if self.ladder is not None:
            self.ladder.end(event["trial"])

    def _take_journal(self, event: Mapping[str, Any]) -> None:
        run = self.runs.get(event["run"])
        if run is None or event.get("retry"):
            return
        self._states.pop(run.trial, None)
        if event["event"] == "ended":
            self._take_end(run, event["outcome"]["kind"])
        else:
            run.state = "running" if event["event"] == "start" else "waiting"

    def note_start(self, run_id: str) -> None:
        """Note that a run is under way."""
        self.runs[run_id].state = "running"

    def note_rows(self, run_id: str, rows: Rows) -> None:
        """Note what a run has shown so far."""
        self.runs[run_id].rows = list(rows)  # a reader goes on with its own

    def note_end(self, run_id: str, kind: str, value: float | None) -> None:
        """Note how a run ended, and what it is worth."""
        run = self.runs[run_id]
        run.value = value
        self._take_end(run, kind)
        if run.state == "succeeded" and value is None:  # it never logged what it is judged by
            run.state = "failed"
        if run.state == "failed" and self.ladder is not None and not run.is_test:
            self.ladder.end(run.trial)

    def _take_end(self, run: TrialRun, kind: str) -> None:
        run.state = STATES.get(kind, "failed")
        was_to_pause = run.state == "succeeded" and run.halted == "pause"
        if run.state != "stopped" and not was_to_pause:  # for which `release` is the word
            run.halted = ""
        self._states.pop(run.trial, None)

    def _add_trial(self, event: Mapping[str, Any]) -> None:
        number, params = event["trial"], event.get("params", {})
        if number != len(self.trials):
            raise Damaged(
                f"the journal has trial {number} where trial {len(self.trials)} should follow"
            )
        if self.space is not None:
            proposed = self.space.replay(number, params)
            if proposed is None:
                raise InvalidInput(
                    f"trial {number} has {dict(params)}, which the space no longer has: a search"
                    " keeps its space; "
                    "start a new one, with --from for what this one has shown"
                )
            self.roster.enter(number, proposed.params, proposed.variant)
            params = proposed.params
        trial = Trial(number, params)
        self.trials.append(trial)
        # Where trials are pruned, the first run is judged, and the others follow.
        for column in range(self._columns if self.pruner is None else 1):
            self._add_run(trial, column, False)

    @property
    def _columns(self) -> int:
        """How many runs a trial has, in a race before it goes on."""
        seeds = len(self.record.seeds) if self.race is None else self.race.at_least
        return seeds * self.record.bases

    def _add_run(self, trial: Trial, column: int, is_test: bool) -> TrialRun:
        columns = trial.tests if is_test else trial.runs
        if column not in columns:
            run = self.roster.run(trial.number, column, is_test)
            columns[column] = self.runs[run.id] = TrialRun(
                run, trial.number, column, is_test=is_test
            )
            self._states.pop(trial.number, None)
        return columns[column]

    # ---- rungs -----------------------------------------------------------------------------------

    def judge(self, run_id: str, can_pause: bool) -> list[Event]:
        """Return what is decided of a run by the rows that it has shown, taken in already."""
        run = self.runs.get(run_id)
        if run is None or self.ladder is None:
            return []
        self._states.pop(run.trial, None)
        rungs = self.ladder.rungs_of(run)
        for event in rungs:
            self.apply(event)
        is_last = not self._may_ask() and not self._under_way(but=run)
        return [*rungs, *self._release(run), *self.ladder.judge(run, can_pause, is_last)]

    def _release(self, run: TrialRun) -> list[Event]:
        """Return what follows for a run that was to pause, and ended as a whole before it did."""
        if run.state != "succeeded" or not run.halted:
            return []
        event: Event = {"event": "promoted", "trial": run.trial, "run": run.id, "rung": run.rung}
        event["ended"] = True
        self.apply(event)
        return [event]

    def _take_rungs(self, event: Mapping[str, Any]) -> None:
        if self.ladder is not None:
            failed = {run.trial for run in self.runs.values() if run.state == "failed"}
            self.ladder.take_rungs(event, failed)

    def _take_verdict(self, event: Mapping[str, Any]) -> None:
        if self.ladder is not None:
            self.ladder.take_verdict(event, self.runs[event["run"]])
            self._states.pop(event["trial"], None)

    def _take_promotion(self, event: Mapping[str, Any]) -> None:
        if self.ladder is not None:
            self.ladder.take_promotion(event, self.runs[event["run"]])
            self._states.pop(event["trial"], None)

    # ---- what comes next -------------------------------------------------------------------------

    def moves(self, room: int, can_pause: bool) -> list[Move]:
        """Return the next decisions, each taken in already; up to `room` of them start a run."""
        moves: list[Move] = []
        while room > 0:
            batch = self._next(can_pause)
            if not batch:
                break
            moves += batch
            room -= sum(move.run is not None for move in batch)
        return moves

    def _next(self, can_pause: bool) -> list[Move]:
        """Return the next decision, with what follows of it; none where a run must end first."""
        if self.best is not None:
            return self._end()
        moves = self._next_column() or self._promotion(can_pause, last=False)
        if moves or self._may_ask():
            return moves or self._ask()
        if self._under_way():
            return []
        return self._promotion(can_pause, last=True) or self._race() or self._end()

    def _next_column(self) -> list[Move]:
        for trial in self.trials if self.pruner is not None else ():
            column = self._following_column(trial)
            if column is not None:
                return [self._further(trial, column, False)]
        return []

    def _following_column(self, trial: Trial) -> int | None:
        """Return the next run of a trial that came through its rungs; None: all have begun."""
        if self.pruner is None or len(trial.runs) >= self._columns:
            return None
        whole = all(run.state == "succeeded" for run in trial.runs.values())
        return len(trial.runs) if whole else None

    def _further(self, trial: Trial, column: int, is_test: bool) -> Move:
        event: Event = {"event": "further", "trial": trial.number, "column": column}
        if is_test:
            event["test"] = True
        self.apply(event)
        run = (trial.tests if is_test else trial.runs)[column]
        return Move({**event, "run": run.id}, run)

    def _promotion(self, can_pause: bool, last: bool) -> list[Move]:
        if self.ladder is None or not can_pause:
            return []
        states = {"waiting", "running", "stopped"}
        busy = {
            run.trial for run in self.runs.values() if run.state in states or run.halted == "prune"
        }
        promotion = self.ladder.promotion(frozenset(busy), last)
        if promotion is None:
            return []
        run = self.trials[promotion.trial].runs[0]
        event: Event = {"event": "promoted", "trial": run.trial, "run": run.id}
        event["rung"] = promotion.rung
        if run.state != "paused":  # it has ended as a whole
            event["ended"] = True
        self.apply(event)
        if run.state != "waiting":
            return [Move(event)]
        # Rows that came while it was to pause may reach further rungs: then it need not run to be
        # judged there.
        verdicts = [Move(verdict) for verdict in self.judge(run.id, can_pause=True)]
        return [Move(event, run if run.state == "waiting" else None), *verdicts]

    def _may_ask(self) -> bool:
        if self.closed or self.best is not None:
            return False
        limit = self.record.trials if self.record.has_space else len(self.record.variants)
        return limit is None or len(self.trials) < limit

    def _ask(self) -> list[Move]:
        number = len(self.trials)
        event: Event = {"event": "trial", "trial": number}
        if self.asker is not None:
            proposed = self.asker.ask(self.states(), number)
            if proposed is None:  # every variant of the space has been tried
                reason = "every variant of the space has been tried"
                closed: Event = {"event": "search_closed", "why": reason}
                self.apply(closed)
                return [Move(closed)]
            event["params"] = to_jsonable(dict(proposed.params))
        self.apply(event)
        first, *other_runs = self.trials[number].runs.values()
        event["runs"] = [first.id, *(run.id for run in other_runs)]
        return [Move(event, first), *(Move({}, run) for run in other_runs)]

    def _under_way(self, but: TrialRun | None = None) -> bool:
        runs = (run for run in self.runs.values() if run is not but)
        return any(run.state in {"waiting", "running"} or run.halted for run in runs)

    @property
    def _is_broken_off(self) -> bool:
        """Whether runs were lost or stopped, which a resume runs again: until then nobody wins."""
        return any(run.state == "stopped" and not run.is_test for run in self.runs.values())

    def _race(self) -> list[Move]:
        if self.race is None or self.best is not None or self._is_broken_off:
            return []
        scores = seed_values(self.trials, self.race.at_least, self.record.bases, self.objective)
        step = advance(self.race, scores, self.drops, self.objective.mode)
        moves: list[Move] = []
        if step.drops:
            drops = [as_json(drop) for drop in step.drops]
            event: Event = {"event": "raced", "leader": step.leader, "dropped": drops}
            self.apply(event)
            moves.append(Move(event))
        for number, place in step.next_runs:
            for column in range(place * self.record.bases, (place + 1) * self.record.bases):
                if column not in self.trials[number].runs:
                    moves.append(self._further(self.trials[number], column, False))
        return moves

    def _end(self) -> list[Move]:
        """Decide the winner, and have it run with the test seeds."""
        if self.best is None:
            trial = None if self._is_broken_off else self.best_now()
            if trial is None:
                return []
            event: Event = {"event": "winner", "trial": trial.number}
            event["value"] = text_of(self.value_of(trial))
            self.apply(event)
            return [Move(event)]
        for column in range(len(self.record.test_seeds) * self.record.bases):
            if column not in self.best.tests:
                return [self._further(self.best, column, True)]
        return []

    def best_now(self) -> Trial | None:
        """Return the best trial so far: of those that are whole, and where fewer than two are, of
        the highest rung that enough reached.
        """
        dropped = out_of_race(self.trials, self.race, self.record.bases, self.objective, self.drops)
        whole = [trial for trial in self.trials if self.status_of(trial) == "complete"]
        whole = [trial for trial in whole if trial.number not in dropped] or whole
        whole = [trial for trial in whole if self._merit(trial) > -math.inf]
        if self.ladder is not None and len(whole) < ENOUGH:
            alive = {trial.number for trial in self.trials if self.status_of(trial) != "failed"}
            by_rung = self.ladder.best(alive)
            if by_rung is not None:
                return self.trials[by_rung]
        return max(whole, key=self._merit, default=None)

    def _merit(self, trial: Trial) -> float:
        return self.objective.merit(self.value_of(trial))

    # ---- for whoever looks -----------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether nothing further is to be decided: the winner is, and has its tests."""
        tests = len(self.record.test_seeds) * self.record.bases
        return self.best is not None and len(self.best.tests) >= tests and not self._under_way()

    def status_of(self, trial: Trial) -> Status:
        """Return how a trial stands."""
        states = {run.state for run in trial.runs.values()}
        if states & {"failed", "stopped"}:
            return "failed"
        if states & {"paused", "pruned"}:
            return "pruned"
        if states & {"waiting", "running"} or self._following_column(trial) is not None:
            return "running"
        return "complete"

    def value_of(self, trial: Trial) -> float | None:
        """Return what a trial is worth: over its runs, or, where halted, by the rung it came to."""
        if self.status_of(trial) == "pruned":
            score = None if self.ladder is None else self.ladder.score_of(trial.number)
            return None if score is None else score.value
        return self._over(trial.runs.values())

    def _over(self, runs: Iterable[TrialRun]) -> float | None:
        return self.objective.of_seeds([run.value for run in runs if run.state == "succeeded"])

    def judged_runs(self) -> list[TrialRun]:
        """Return the runs under way that are judged at rungs."""
        return [
            run
            for run in self.runs.values()
            if run.state == "running" and not run.column and not run.is_test
        ]

    def test_value(self) -> float | None:
        """Return what the winner is worth with the test seeds."""
        return None if self.best is None else self._over(self.best.tests.values())

    def rung_of(self, trial: Trial) -> int | None:
        """Return the highest rung at which a trial was judged."""
        return None if self.ladder is None else self.ladder.rung_of(trial.number)

    def states(self) -> list[TrialState]:
        """Return all trials as a sampler sees them."""
        return [
            *self.earlier,
            *(self._states.get(trial.number) or self._state(trial) for trial in self.trials),
        ]

    def _state(self, trial: Trial) -> TrialState:
        status = self.status_of(trial)
        score = None if self.ladder is None else self.ladder.score_of(trial.number)
        if status in {"pruned", "running"} and score is not None:  # what a rung has shown counts
            state = TrialState(trial.number, trial.params, "pruned", score.value, score.step)
        else:
            state = TrialState(trial.number, trial.params, status, self.value_of(trial))
        if status != "running":
            self._states[trial.number] = state
        return state


_EVENTS: Mapping[str, Callable[[Study, Mapping[str, Any]], None]] = {
    "trial": Study._add_trial,
    "further": Study._take_further,
    "rungs": Study._take_rungs,
    "rung": Study._take_verdict,
    "promoted": Study._take_promotion,
    "no_snapshot": Study._note_missing_snapshot,
    "raced": Study._take_race,
    "winner": Study._take_winner,
    "search_closed": Study._close,
    "reopened": Study._close,
    "earlier": Study._take_earlier,
    "start": Study._take_journal,
    "again": Study._take_journal,
    "ended": Study._take_journal,
}
"""By name, how an event of the journal is taken in."""
