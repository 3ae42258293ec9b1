"""Which rule ends trials early: `asha`, `hyperband` (brackets of it) or `median`, by the words that
name it. Pure.

All three judge trials at rungs and keep one kind of table, so that `study` needs no more than a
`Pruner`. Where the steps of whole runs are not known, the rungs are settled by the first run that
ends as a whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Literal

from runslot.errors import InvalidInput, nearest
from runslot.record import record
from runslot.search import asha
from runslot.search.asha import Promotion, Rungs, RungTable, Score, Verdict
from runslot.search.objective import Mode, merit

Rule = Literal["asha", "hyperband", "median"]
RULES: tuple[Rule, ...] = ("asha", "hyperband", "median")
LEVELS = 4
"""Rungs below the whole run, at most, where only its length is given: with eta = 3 the first is at
1/81 of it.
"""
MEDIAN_TRIALS = 5
"""Trials that a rung must have been reached by before a median says anything (as in Vizier and
Optuna).
"""
_OPTIONS: Mapping[Rule, tuple[str, ...]] = {
    "asha": ("first", "eta", "last"),
    "hyperband": ("first", "eta", "last", "brackets"),
    "median": ("first", "eta", "last", "trials"),
}
_EXAMPLE = "asha:first=1,eta=3,last=81"


@record
class Pruner:
    """A rule with its rungs, or with what they will be made of."""

    rule: Rule
    eta: int = 3
    first: float | None = None
    """The step of the first rung; None until it is settled."""
    last: float | None = None
    """The step at which a run is whole."""
    trials: int = MEDIAN_TRIALS
    """Of `median`: that many must have come to a rung before one is pruned there."""
    brackets: int = 3
    """Of `hyperband`."""
    levels: int = LEVELS
    """Rungs below the whole run where the first is not given."""

    def __post_init__(self) -> None:
        if self.first is not None:
            Rungs(self.first, self.eta, self.last)
        elif self.last is not None:
            Rungs(self.last, self.eta)
        else:
            Rungs(1, self.eta)
        for name, most in (("trials", 10_000), ("brackets", 10)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise InvalidInput(f"{name} is a whole number from 1 to {most:,}, not {value!r}")

    @property
    def is_settled(self) -> bool:
        """Whether the rungs are known."""
        return self.first is not None or self.last is not None

    @property
    def rungs(self) -> Rungs:
        """The rungs, once they are settled."""
        first = self.first
        if first is None:
            assert self.last is not None
            first = self.last / self.eta**self.levels
        return Rungs(first, self.eta, self.last)

    def settled(self, steps: Sequence[float]) -> Pruner:
        """Return the pruner with its rungs settled by the steps of the rows of a whole run."""
        if self.is_settled or not steps or not 0 < steps[-1] < math.inf:
            return self
        return replace(self, last=steps[-1])

    def table(self, mode: Mode) -> RungTable | None:
        """Return a table without trials; None until the rungs are settled."""
        if not self.is_settled:
            return None
        brackets = min(self.brackets, self.rungs.highest + 1) if self.rule == "hyperband" else 1
        return RungTable(self.rungs, mode, brackets)

    def judge(
        self,
        table: RungTable,
        trial: int,
        rung: int,
        score: Score,
        *,
        can_pause: bool,
        is_last: bool = False,
    ) -> tuple[RungTable, Verdict]:
        """Return the table with the trial at a rung, and what becomes of it."""
        if self.rule == "median":
            return _judge_by_median(table, trial, rung, score, self.trials)
        return asha.judge(table, trial, rung, score, can_pause=can_pause, is_last=is_last)

    def promote(
        self, table: RungTable, *, is_last: bool = False, busy: frozenset[int] = frozenset()
    ) -> Promotion | None:
        """Return which paused trial a free slot goes on with; None: start a new trial."""
        if self.rule == "median":
            return None  # it pauses nobody
        return asha.promote(table, is_last=is_last, busy=busy)


def _judge_by_median(
    table: RungTable, trial: int, rung: int, score: Score, trials: int
) -> tuple[RungTable, Verdict]:
    """Let a trial go on unless it is worse than the median of those that came to the rung before
    it.
    """
    merits = [
        merit(other.value, table.mode)
        for other in (table.scores[rung].values() if rung < len(table.scores) else ())
        if not math.isnan(other.value)
    ]
    table = table.with_score(trial, rung, score)
    level = f"at step {table.rungs.level(rung):g}"
    if rung >= table.rungs.highest:
        return table, Verdict("continue", trial, rung, score.step, score.value, f"whole, {level}")
    if math.isnan(score.value):
        verdict = Verdict("prune", trial, rung, score.step, score.value, f"diverged {level}")
    elif len(merits) >= trials and merit(score.value, table.mode) < median(merits):
        reason = f"worse than the median of {len(merits)} {level}"
        verdict = Verdict("prune", trial, rung, score.step, score.value, reason)
    else:
        reason = (
            f"no worse than the median of {len(merits)} {level}" if merits else f"the first {level}"
        )
        verdict = Verdict("continue", trial, rung, score.step, score.value, reason)
        return table.with_promotion(Promotion(trial, rung)), verdict
    return table.with_end(trial), verdict


def levels_for(text: str, trials: int | None) -> int:
    """Return how many rungs below the whole run so many trials can fill, of which each lets one in
    eta go on: the first of more would choose by the least of a run, and leave the others nothing.
    """
    pruner = make_pruner(text)
    if pruner is None or trials is None:
        return LEVELS
    levels = (level for level in range(1, LEVELS) if pruner.eta**level >= trials)
    return next(levels, LEVELS)


def make_pruner(text: str, levels: int = LEVELS) -> Pruner | None:
    """Read `asha`, `asha:first=1,eta=3,last=81`, `median:trials=5`, `hyperband:brackets=3`; None
    for `none`. `levels`: see `Pruner`.
    """
    if text == "none":
        return None
    name, _, inside = text.partition(":")
    if name not in RULES:
        names = (*RULES, "none")
        raise InvalidInput(
            f"{text!r} is no rule for pruning{nearest(name, names)}; there are {', '.join(names)}"
        )
    rule: Rule = name
    options: dict[str, float] = {}
    for part in filter(None, inside.split(",")):
        key, _, value = part.partition("=")
        if key not in _OPTIONS[rule]:
            raise InvalidInput(
                f"{text!r}: {rule} has no {key!r}{nearest(key, _OPTIONS[rule])}; it has"
                f" {', '.join(_OPTIONS[rule])}, as {_EXAMPLE}"
            )
        if key in options:
            raise InvalidInput(f"{text!r}: {key} stands in it twice")
        options[key] = _number(value, text, key)
    try:
        return Pruner(rule, levels=levels, **options)  # type: ignore[arg-type]  # refused there
    except InvalidInput as error:
        raise InvalidInput(f"{text!r}: {error}") from None


def _number(value: str, text: str, key: str) -> float:
    if re.fullmatch(r"[0-9]{1,15}", value):
        return int(value)
    if re.fullmatch(r"(?:[0-9]{1,15}\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?", value):
        return float(value)
    raise InvalidInput(f"{text!r}: {key} is a number, not {value!r}; write {_EXAMPLE}")
