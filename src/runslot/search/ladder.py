"""The rungs of a search: at which of them its trials were judged, and who may go on. Pure.

`study` has one where trials are pruned. Verdicts are events, which it makes here and takes in here,
when they are made as when a journal is replayed: so the table of who came where is the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runslot.record import record
from runslot.search.asha import ENOUGH, Promotion, RungTable, Score, arrivals, winner
from runslot.search.objective import Objective
from runslot.search.pruner import Pruner
from runslot.search.trial import Event, TrialRun, number_of, text_of


@record
class Stage:
    """A rung, and who came to it."""

    rung: int
    step: float
    trials: tuple[int, ...]
    """The best first, by what they were worth at this rung."""
    went_on: frozenset[int]
    """Those that were let through; at the last rung a run is whole, and nobody is."""


@dataclass(eq=False)
class Ladder:
    """The rungs, and the trials on them."""

    pruner: Pruner
    objective: Objective
    table: RungTable | None = None
    """None until it is known how long a run is."""
    late: set[int] = field(default_factory=set)
    """Trials that lagged behind at a rung, and had ended by the time they were judged there."""
    halts: int = 0
    """How often a trial ended at a rung, for good or for a while."""

    def __post_init__(self) -> None:
        self.table = self.pruner.table(self.objective.mode)

    def rungs_of(self, run: TrialRun) -> list[Event]:
        """Return the rungs, where a run that ended as a whole is the first to say how long one
        is.
        """
        if self.pruner.is_settled or run.state != "succeeded" or not run.rows:
            return []
        return [{"event": "rungs", "steps": [run.rows[-1][0]]}]

    def take_rungs(self, event: Mapping[str, Any], failed: Collection[int]) -> None:
        """Settle the rungs; of the trials some have failed already."""
        if self.pruner.is_settled:
            return
        self.pruner = self.pruner.settled(event["steps"])
        self.table = self.pruner.table(self.objective.mode)
        for trial in failed:
            self.end(trial)

    def judge(self, run: TrialRun, can_pause: bool, is_last: bool) -> list[Event]:
        """Return what is decided of a run by the rows that it has shown, each verdict taken in
        already. `is_last`: no new trial can come, and no other run is under way.

        A run that has ended as a whole is judged at every rung that it passed, and goes on from all
        of them.
        """
        events: list[Event] = []
        if self.table is None or run.column or run.is_test or run.halted:
            return events
        whole = run.state == "succeeded"
        for rung, score in arrivals(self.table, run.trial, {0: run.rows}, self.objective):
            _, verdict = self.pruner.judge(
                self.table,
                run.trial,
                rung,
                score,
                can_pause=can_pause and not whole,
                is_last=is_last,
            )
            kind = "continue" if whole else verdict.kind
            event: Event = {"event": "rung", "trial": run.trial, "run": run.id, "rung": rung}
            event |= {"step": score.step, "value": text_of(score.value), "verdict": kind}
            event["why"] = "its run had ended by then" if whole else verdict.why
            if kind != verdict.kind:
                event["late"] = True
            self.take_verdict(event, run)
            events.append(event)
            if kind != "continue":
                break
        return events

    def take_verdict(self, event: Mapping[str, Any], run: TrialRun) -> None:
        """Take in what was decided of a run at a rung."""
        assert self.table is not None
        rung, value = event["rung"], number_of(event["value"])
        score = Score(event["step"], math.nan if value is None else value)
        self.table = self.table.with_score(run.trial, rung, score)
        run.rung = rung
        if event.get("late"):
            self.late.add(run.trial)
        if event["verdict"] == "continue":
            if rung < self.table.rungs.highest:
                self.table = self.table.with_promotion(Promotion(run.trial, rung))
            return
        run.halted = event["verdict"]
        self.halts += 1
        if run.halted == "prune":
            self.end(run.trial)
        elif run.state == "waiting":  # it was about to go on, and has rows of this rung already
            run.state, run.halted = "paused", ""

    def take_promotion(self, event: Mapping[str, Any], run: TrialRun) -> None:
        """Take in that a run goes on from a rung, or has ended as a whole beyond it."""
        assert self.table is not None
        self.table = self.table.with_promotion(Promotion(run.trial, event["rung"]))
        run.halted = ""
        if not event.get("ended"):
            run.state = "waiting"

    def promotion(self, busy: frozenset[int], is_last: bool) -> Promotion | None:
        """Return which paused trial goes on; None: start a new one."""
        if self.table is None:
            return None
        return self.pruner.promote(self.table, is_last=is_last, busy=busy)

    def end(self, trial: int) -> None:
        """Note that a trial cannot go on."""
        if self.table is not None:
            self.table = self.table.with_end(trial)

    def rung_of(self, trial: int) -> int | None:
        """Return the highest rung at which a trial was judged."""
        scores = () if self.table is None else self.table.scores
        rungs = (rung for rung in reversed(range(len(scores))) if trial in scores[rung])
        return next(rungs, None)

    def score_of(self, trial: int) -> Score | None:
        """Return by what a trial was judged last."""
        rung = self.rung_of(trial)
        return None if rung is None or self.table is None else self.table.scores[rung][trial]

    def best(self, trials: Collection[int]) -> int | None:
        """Return the best of these trials at the highest rung that enough of them reached."""
        if self.table is None:
            return None
        scores = tuple(
            {trial: score for trial, score in rung.items() if trial in trials}
            for rung in self.table.scores
        )
        best = winner(replace(self.table, scores=scores), ENOUGH)
        return None if best is None else best.trial

    def scores_of(self, trial: int) -> list[tuple[int, Score]]:
        """Return what a trial was worth at each rung that it was judged at, the lowest first."""
        scores = () if self.table is None else self.table.scores
        return [(rung, scores[rung][trial]) for rung in range(len(scores)) if trial in scores[rung]]

    def stages(self) -> list[Stage]:
        """Return the rungs that trials came to, the lowest first."""
        if self.table is None:
            return []
        table = self.table
        ranked = [table.ranking(rung) for rung in range(len(table.scores))]
        gone_on = [*table.promoted, *[frozenset[int]()] * (len(ranked) - len(table.promoted))]
        return [
            Stage(rung, table.rungs.level(rung), tuple(ranking), gone_on[rung])
            for rung, ranking in enumerate(ranked)
            if ranking
        ]
