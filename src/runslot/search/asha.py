"""Successive halving without waiting (ASHA): who goes on at a rung, by what the trials there are
worth. Pure.

A trial is judged at the first row at or beyond a rung (`first`·eta^k steps). Two rules, one table:

* **Promotion** (Li et al. 2020), for runs that can pause: a trial ends its rung with a snapshot,
  and a free slot goes to the best trial that is among the best 1/eta of its rung, from the highest
  rung down; if there is none, to a new trial. Nothing is decided for good while more may come.
* **Stopping**, for runs that cannot: at its rung a trial goes on if it is among the best 1/eta that
  came so far, else it is pruned. A rung's first eta trials go on, since there is nothing to compare
  them with.

`study` keeps one `RungTable`, gives every row of a rung to `judge`, and asks `promotion` when a
slot is free. Every verdict is an event of the journal: replaying the events makes the same table
again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Literal

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.search.objective import Mode, Objective, merit, value_at

RUNGS_LIMIT = 64
"""Rungs that a search may have: eta = 2 from one step on is beyond any run there."""
ENOUGH = 2
"""Trials that a rung must have for its best to be the winner: one alone was compared with nobody
there.
"""
_GOLDEN_RATIO = 0.6180339887498949


@record
class Rungs:
    """The steps at which trials are judged: `first`, first·eta, first·eta², … up to `last`, where a
    run is whole.
    """

    first: float
    eta: int = 3
    last: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.first < math.inf:
            raise InvalidInput(f"the first rung is a step above 0, not {self.first!r}")
        if type(self.eta) is not int or self.eta < 2:
            raise InvalidInput(
                f"eta is a whole number of at least 2 (of that many trials one goes on), not"
                f" {self.eta!r}"
            )
        if self.last is not None and not self.first <= self.last < math.inf:
            raise InvalidInput(
                f"the last step, {self.last:g}, lies before the first rung, {self.first:g}"
            )

    def level(self, rung: int) -> float:
        """Return the step of a rung; the highest may be less than eta times the one below."""
        step = self.first * float(self.eta) ** rung
        return step if self.last is None else min(step, self.last)

    @property
    def highest(self) -> int:
        """The rung at which a run is whole."""
        rung = 0
        while rung < RUNGS_LIMIT and (self.last is None or self.level(rung) < self.last):
            rung += 1
        return rung


@record
class Score:
    """What a trial was worth at a rung, and by a row of which step."""

    step: float
    value: float


@record
class Verdict:
    """What becomes of a trial at a rung, and why, in words for the journal."""

    kind: Literal["continue", "pause", "prune"]
    trial: int
    rung: int
    step: float
    value: float
    why: str


@record
class Promotion:
    """A paused trial goes on to the rung above `rung`."""

    trial: int
    rung: int


@record
class RungTable:
    """Who reached which rung with which score, and who went on from it."""

    rungs: Rungs
    mode: Mode
    brackets: int = 1
    """Trials of bracket b are first judged at rung b, and compared with trials of it alone
    (Hyperband).
    """
    scores: tuple[Mapping[int, Score], ...] = ()
    """By rung, by trial, in the order in which they came."""
    promoted: tuple[frozenset[int], ...] = ()
    """By rung, the trials that went on."""
    ended: frozenset[int] = field(default_factory=frozenset)
    """Trials that cannot go on: failed, stopped, pruned."""

    def judged(self, trial: int) -> int:
        """Return the rung that a trial is on its way to: above the last that it was judged at."""
        for rung in reversed(range(len(self.scores))):
            if trial in self.scores[rung]:
                return rung + 1
        return self.bracket_of(trial)

    def bracket_of(self, trial: int) -> int:
        """Return the bracket of a trial; bracket b has eta^-b as many as the first, times its share
        of the steps.

        Spread evenly over the numbers: the golden ratio's multiples never crowd.
        """
        if self.brackets == 1:
            return 0
        weights = [
            self.rungs.eta ** -float(bracket) * self.brackets / (self.brackets - bracket)
            for bracket in range(self.brackets)
        ]
        place = (trial + 1) * _GOLDEN_RATIO % 1 * sum(weights)
        for bracket, weight in enumerate(weights):
            if place < weight:
                return bracket
            place -= weight
        return self.brackets - 1

    def with_score(self, trial: int, rung: int, score: Score) -> RungTable:
        """Return the table after the trial came to a rung."""
        scores = [*self.scores, *({} for _ in range(rung + 1 - len(self.scores)))]
        scores[rung] = {**scores[rung], trial: score}
        return replace(self, scores=tuple(scores))

    def with_promotion(self, promotion: Promotion) -> RungTable:
        """Return the table after the trial went on from a rung."""
        promoted = [
            *self.promoted,
            *(frozenset[int]() for _ in range(promotion.rung + 1 - len(self.promoted))),
        ]
        promoted[promotion.rung] |= {promotion.trial}
        return replace(self, promoted=tuple(promoted))

    def with_end(self, trial: int) -> RungTable:
        """Return the table after the trial ended otherwise than by a whole run; its scores still
        count.
        """
        return replace(self, ended=self.ended | {trial})

    def ranking(self, rung: int, bracket: int | None = None) -> list[int]:
        """Return the trials of a rung (or a bracket of it), the best first, of equals the older."""
        scores = self.scores[rung] if rung < len(self.scores) else {}
        trials = [trial for trial in scores if bracket in (None, self.bracket_of(trial))]
        return sorted(trials, key=lambda trial: -merit(scores[trial].value, self.mode))

    def best_of(self, rung: int) -> list[int]:
        """Return the best 1/eta of a rung, of each bracket by itself, rounded down; never a
        diverged trial.
        """
        best = []
        for bracket in range(min(self.brackets, rung + 1)):
            ranking = self.ranking(rung, bracket)
            best += ranking[: len(ranking) // self.rungs.eta]
        return [trial for trial in best if self.is_number(rung, trial)]

    def is_waiting(self, rung: int, trial: int) -> bool:
        """Tell whether the trial has come to a rung and may still go on from it."""
        has_gone_on = rung < len(self.promoted) and trial in self.promoted[rung]
        return not has_gone_on and trial not in self.ended

    def is_number(self, rung: int, trial: int) -> bool:
        """Tell whether the trial has not diverged by a rung."""
        return merit(self.scores[rung][trial].value, self.mode) > -math.inf


def arrivals(
    table: RungTable,
    trial: int,
    runs: Mapping[int, Sequence[tuple[float, float]]],
    objective: Objective,
) -> list[tuple[int, Score]]:
    """Return the rungs that a trial has come to since it was last judged, with its score at each,
    the lowest first.

    Rows that come late are judged each at its own rung, one after the other. One row that leaps
    over rungs is judged at the highest of them alone: the same news would prune at each of them.
    """
    scores: list[tuple[int, Score]] = []
    for rung in range(table.judged(trial), table.rungs.highest + 1):
        at = value_at(runs, table.rungs.level(rung), objective)
        if at is None:
            break
        if scores and scores[-1][1].step == at[0]:
            scores.pop()
        scores.append((rung, Score(*at)))
    return scores


def judge(
    table: RungTable,
    trial: int,
    rung: int,
    score: Score,
    *,
    can_pause: bool,
    is_last: bool = False,
) -> tuple[RungTable, Verdict]:
    """Return the table with the trial at a rung, and what becomes of it.

    A run that can pause goes on at once where the next free slot would be its own anyway: no
    snapshot, no new start. `is_last`: as `promote` has it, of all runs but this.
    """
    table = table.with_score(trial, rung, score)
    ranking = table.ranking(rung, table.bracket_of(trial))
    place = f"{ranking.index(trial) + 1} of {len(ranking)} at step {table.rungs.level(rung):g}"
    promotion = Promotion(trial, rung)
    kind: Literal["continue", "pause", "prune"] = "continue"
    if rung >= table.rungs.highest:
        place = f"whole: {place}"
    elif math.isnan(score.value):  # it would wait for ever
        kind, place = "prune", f"diverged by step {score.step:g}"
    elif can_pause:
        kind = "continue" if promote(table, is_last=is_last) == promotion else "pause"
    elif len(ranking) <= table.rungs.eta:
        place = f"one of the first {table.rungs.eta}: {place}"
    elif trial not in table.best_of(rung):
        kind = "prune"
    if kind == "continue" and rung < table.rungs.highest:
        table = table.with_promotion(promotion)
    return (
        table.with_end(trial) if kind == "prune" else table,
        Verdict(kind, trial, rung, score.step, score.value, place),
    )


def promote(
    table: RungTable, *, is_last: bool = False, busy: frozenset[int] = frozenset()
) -> Promotion | None:
    """Return which paused trial a free slot goes on with, from the highest rung down; None: start a
    new trial.

    `is_last`: no new trial can come and no run is under way. Then the best of the highest rung goes
    on even though it is one of fewer than eta, so that the search ends with a whole run. `busy` has
    trials that cannot go on now.
    """
    for rung in reversed(range(min(len(table.scores), table.rungs.highest))):
        for trial in table.best_of(rung):
            if table.is_waiting(rung, trial) and trial not in busy:
                return Promotion(trial, rung)
    return _last_promotion(table) if is_last else None


def _last_promotion(table: RungTable) -> Promotion | None:
    """Return the best of the highest rung, if it waits there: a winner is a whole run, also where
    one that is worse has come further, as one does that ended before it could pause.
    """
    for rung in reversed(range(min(len(table.scores), table.rungs.highest))):
        ranking = [
            trial
            for trial in table.ranking(rung)
            if table.is_number(rung, trial) and trial not in table.ended
        ]
        if ranking and table.judged(ranking[0]) == rung + 1 and table.is_waiting(rung, ranking[0]):
            return Promotion(ranking[0], rung)
        if len(ranking) >= ENOUGH:  # the best of them has gone on
            return None
    return None


@record
class Winner:
    """The trial that a search ends with: where it was judged, and against how many."""

    trial: int
    rung: int
    score: Score
    reached: int
    """Trials that this rung was reached by."""


def winner(table: RungTable, enough: int = ENOUGH) -> Winner | None:
    """Return the best trial at the highest rung that `enough` trials reached, never a lucky one of
    a low rung.

    Where fewer reached every rung but the first, the first decides. The highest rung reached by one
    alone does not: that trial was compared with nobody there, but it is the winner where it is the
    best of the rung below.
    """
    for least in (enough, 1):
        for rung in reversed(range(len(table.scores))):
            ranking = [trial for trial in table.ranking(rung) if table.is_number(rung, trial)]
            if len(ranking) >= least:
                return Winner(ranking[0], rung, table.scores[rung][ranking[0]], len(ranking))
    return None
