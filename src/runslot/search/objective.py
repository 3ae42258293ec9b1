"""What a trial is worth: rows of runs into one value a trial, at its end or at a rung. Pure.

`study` gives the rows of every run of a trial; pruners, races and samplers get what comes out. A
value is NaN where a run diverged: it is kept as it is (a result), and `merit` puts it below all
numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Literal

from runslot.errors import InvalidInput
from runslot.record import record

Mode = Literal["max", "min"]
Summary = Literal["mean", "iqm", "worst"]
MODES: tuple[Mode, ...] = ("max", "min")
SUMMARIES: tuple[Summary, ...] = ("mean", "iqm", "worst")
REPORTED = "objective"
"""The metric of a run that reports it by itself, or returns it: the column of `objective.csv`."""
LAST_LIMIT = 1_000_000
"""Rows that `last-K` may ask for; more is a slip of the hand."""


@record
class Observation:
    """One row of one run: the metric at a step."""

    trial: int
    seed: int
    step: float
    value: float


@record
class Objective:
    """How rows become the value of a trial: which of a run's rows count, and what is taken over its
    seeds.
    """

    metric: str
    mode: Mode = "max"
    judged: str = "final"
    """`final`, `best`, or `last-K`: the mean of the last K rows."""
    over_seeds: Summary = "mean"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InvalidInput(f"mode is max or min, not {self.mode!r}")
        if self.over_seeds not in SUMMARIES:
            raise InvalidInput(
                f"over seeds a trial's value is {', '.join(SUMMARIES)}, not {self.over_seeds!r}"
            )
        _rows_judged(self.judged)

    def of_run(self, values: Sequence[float]) -> float | None:
        """Return what one run is worth by its values in the order of their steps; None without a
        row.

        An infinite value is one that diverged, as NaN is, and as results count it: none of them
        may win. `best` passes over these, since a snapshot of the best is what remains; in `final`
        and `last-K` the run has diverged.
        """
        if not values:
            return None
        if self.judged == "best":
            numbers = [value for value in values if math.isfinite(value)]
            return math.nan if not numbers else max(numbers) if self.mode == "max" else min(numbers)
        value = _mean(values[-_rows_judged(self.judged) :])
        return value if math.isfinite(value) else math.nan

    def of_seeds(self, values: Iterable[float | None]) -> float | None:
        """Return what a trial is worth by its seeds, of which those without a value are left out;
        None without any.

        A diverged seed takes the trial's value away: leaving it out would reward instability.
        """
        present = sorted(value for value in values if value is not None)
        if not present:
            return None
        if any(math.isnan(value) for value in present):
            return math.nan
        if self.over_seeds == "worst":
            return present[0] if self.mode == "max" else present[-1]
        cut = len(present) // 4 if self.over_seeds == "iqm" else 0
        return _mean(present[cut : len(present) - cut])

    def of_trial(
        self, observations: Iterable[Observation], *, until: float = math.inf
    ) -> float | None:
        """Return what the rows of one trial are worth, without steps beyond `until`."""
        runs: dict[int, list[tuple[float, float]]] = {}
        for row in observations:
            if row.step <= until:
                runs.setdefault(row.seed, []).append((row.step, row.value))
        by_seed = (
            [value for _, value in sorted(rows, key=lambda row: row[0])] for rows in runs.values()
        )
        return self.of_seeds(self.of_run(values) for values in by_seed)

    def merit(self, value: float | None) -> float:
        """Return `value` so that more is better; NaN and no value are below everything."""
        return merit(value, self.mode)


def merit(value: float | None, mode: Mode) -> float:
    """Return `value` so that more is better in either mode; NaN and None are below everything."""
    if value is None or math.isnan(value):
        return -math.inf
    return value if mode == "max" else -value


def refuse_fallen_step(rows: Sequence[tuple[float, float]], column: str, run: str) -> None:
    """Refuse rows (step, value) of one run whose step does not rise: no rung could be told from
    them.
    """
    for (before, _), (after, _) in pairwise(rows):
        if not after > before:
            raise InvalidInput(
                f"{run}: {column} goes from {before:g} to {after:g}, and a step must rise from row"
                f" to row; "
                "name the column that does with --step"
            )


def value_at(
    runs: Mapping[int, Sequence[tuple[float, float]]], level: float, objective: Objective
) -> tuple[float, float] | None:
    """Return step and value of a trial at the first row of each of its runs (rows by seed) at or
    beyond `level`.

    None until every run has such a row: a trial is judged once, by all of its seeds.
    """
    values, steps = [], []
    for rows in runs.values():
        place = bisect_left(rows, level, key=itemgetter(0))
        if place == len(rows):
            return None
        steps.append(rows[place][0])
        values.append(objective.of_run([value for _, value in rows[: place + 1]]))
    value = objective.of_seeds(values)
    return None if value is None else (max(steps), value)


def _rows_judged(judged: str) -> int:
    """Return how many of the last rows count."""
    if judged in {"final", "best"}:
        return 1
    word, _, count = judged.partition("-")
    if (
        word != "last"
        or not count.isascii()
        or not count.isdigit()
        or not 1 <= int(count[:12]) <= LAST_LIMIT
    ):
        raise InvalidInput(
            f"a run is judged by final, best or last-K, such as last-5, not by {judged!r}"
        )
    return int(count)


def _mean(values: Sequence[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # beyond a double, or both infinities
        return sum(values) / len(values)
