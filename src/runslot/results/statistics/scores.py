"""Aggregates of scores over tasks and runs, after Agarwal et al. 2021 ("Deep RL at the Edge of the Statistical
Precipice", NeurIPS), with stratified bootstrap intervals. Scores are given task by task: `[[run, run, …], …]`."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.statistics.resampling import counts, draws, has_numpy, trimmed

Scores = Sequence[Sequence[float]]
"""Outer: tasks (strata); inner: the scores of the runs on it, any number of them."""

Statistic = Literal["iqm", "mean", "median"]


class Interval(NamedTuple):
    """An estimate and its bootstrap confidence interval."""

    estimate: float
    low: float
    high: float


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half: the lowest and highest quarter, each rounded down to whole runs, left out.

    Equal to `scipy.stats.trim_mean(values, 0.25)`. NaN for no values, or where one is NaN.
    """
    if not values or any(math.isnan(value) for value in values):
        return math.nan
    cut = len(values) // 4
    middle = sorted(values)[cut : len(values) - cut]
    return math.fsum(middle) / len(middle)


_AGGREGATIONS = {"iqm": trimmed("score"), "mean": pl.col("score").mean(), "median": pl.col("score").median()}


def bootstrap(
    scores: Scores,
    statistic: Statistic = "iqm",
    *,
    level: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return a statistic of all scores and its interval: percentiles over resamples of the runs of each task.

    `statistic` is over all tasks and runs together; `level` the share of resamples inside. Deterministic for a
    `seed`. One run a task gives an interval of no width: nothing is known of its spread. NaN where a score is.
    """
    _check(scores, level, repetitions)
    values = [value for task in scores for value in task]
    estimate = _estimate(values, statistic)
    if math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan)
    resamples = _resamples(scores, repetitions, seed).group_by("repetition").agg(_AGGREGATIONS[statistic])["score"]
    return _interval(estimate, resamples, level)


def _estimate(values: Sequence[float], statistic: Statistic) -> float:
    if any(math.isnan(value) for value in values):
        return math.nan
    return float(pl.DataFrame({"score": values}, schema={"score": pl.Float64}).select(_AGGREGATIONS[statistic]).item())


def _interval(estimate: float, resamples: pl.Series, level: float) -> Interval:
    low = resamples.quantile((1 - level) / 2, interpolation="linear")
    high = resamples.quantile((1 + level) / 2, interpolation="linear")
    return Interval(estimate, math.nan if low is None else low, math.nan if high is None else high)


def _resamples(scores: Scores, repetitions: int, seed: int) -> pl.DataFrame:
    """Return `repetition`, `task`, `score`: for each repetition as many runs of each task as it has, drawn anew."""
    parts = []
    for number, task in enumerate(scores):
        drawn = pl.Series("score", task, dtype=pl.Float64).gather(draws(len(task), repetitions, _seed(seed, number)))
        parts.append(
            pl.DataFrame(drawn).with_columns(
                repetition=pl.int_range(pl.len()) // len(task),
                task=pl.lit(number),
            )
        )
    return pl.concat(parts)


def _seed(seed: int, task: int) -> int:
    return seed + 7919 * task


def probability_of_improvement(
    scores: Scores,
    other: Scores,
    *,
    level: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return how probable it is that a run of `scores` beats one of `other` on a task drawn at random.

    The mean over tasks of the Mann-Whitney U statistic divided by the number of pairs; a tie counts half. Both must
    have the same tasks, in the same order; `InvalidInput` otherwise.
    """
    if len(scores) != len(other):
        raise InvalidInput(f"the two sides have {len(scores)} and {len(other)} tasks; give both the same, in one order")
    _check(scores, level, repetitions)
    _check(other, level, repetitions)
    _check_numbers(scores, other)
    estimate = math.fsum(_wins(a, b) for a, b in zip(scores, other, strict=True)) / len(scores)
    if has_numpy():
        return _interval(estimate, _wins_counted(scores, other, repetitions, seed), level)
    left = _resamples(scores, repetitions, seed).group_by("repetition", "task").agg("score")
    right = _resamples(other, repetitions, seed + 1).group_by("repetition", "task").agg(pl.col("score").alias("other"))
    pairs = left.join(right, on=["repetition", "task"]).sort("repetition", "task")
    wins = [_wins(a, b) for a, b in pairs.select("score", "other").iter_rows()]
    each = pairs.select("repetition", score=pl.Series(wins)).group_by("repetition").agg(pl.col("score").mean())["score"]
    return _interval(estimate, each, level)


def _wins_counted(scores: Scores, other: Scores, repetitions: int, seed: int) -> pl.Series:
    """Return the mean over tasks of `_wins` in each resample: a pair counts as often as both its runs were drawn."""
    import numpy as np

    sums = np.zeros(repetitions)
    for number, (left, right) in enumerate(zip(scores, other, strict=True)):
        a, b = np.asarray(left)[:, None], np.asarray(right)[None, :]
        won = (a > b) + (a == b) * np.float32(0.5)
        mine = counts(len(left), repetitions, _seed(seed, number))
        theirs = counts(len(right), repetitions, _seed(seed + 1, number))
        sums += np.einsum("ar,ar->r", won.astype(np.float32) @ theirs, mine, dtype=np.float64) / won.size
    return pl.Series(sums / len(scores))


def _wins(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the share of pairs that the left side wins."""
    ordered = sorted(right)
    won = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in left) / 2
    return won / (len(left) * len(right))


def performance_profile(
    scores: Scores,
    thresholds: Sequence[float],
    *,
    level: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the run-score distribution: for each threshold the fraction of runs with a higher score, tasks weighing
    the same, as `threshold`, `fraction`, `low`, `high` (pointwise bootstrap interval)."""
    _check(scores, level, repetitions)
    _check_numbers(scores)
    if has_numpy():
        columns = _profile_counted(scores, thresholds, level, repetitions, seed)
    else:
        estimates = [
            math.fsum(sum(v > threshold for v in task) / len(task) for task in scores) / len(scores)
            for threshold in thresholds
        ]
        each = _above(scores, thresholds, repetitions, seed)
        intervals = (_interval(*pair, level) for pair in zip(estimates, each, strict=True))
        columns = list(zip(*intervals, strict=True)) or [(), (), ()]
    names = ("threshold", "fraction", "low", "high")
    return pl.DataFrame(dict(zip(names, (thresholds, *columns), strict=True)), schema=dict.fromkeys(names, pl.Float64))


def _above(scores: Scores, thresholds: Sequence[float], repetitions: int, seed: int) -> Iterator[pl.Series]:
    """Yield for each threshold the fraction of runs above it in each resample."""
    resamples = _resamples(scores, repetitions, seed)
    for threshold in thresholds:
        by_task = resamples.group_by("repetition", "task").agg((pl.col("score") > threshold).mean())
        yield by_task.group_by("repetition").agg(pl.col("score").mean())["score"]


def _profile_counted(
    scores: Scores, thresholds: Sequence[float], level: float, repetitions: int, seed: int
) -> list[Any]:
    """Return fractions, lows and highs by the same draws: the share of them that fell on runs above a threshold."""
    import numpy as np

    sums = np.zeros((len(thresholds), repetitions))
    fractions = np.zeros(len(thresholds))
    for number, task in enumerate(scores):
        above = np.asarray(task)[None, :] > np.asarray(thresholds)[:, None]
        fractions += above.mean(axis=1)
        sums += (above.astype(np.float32) @ counts(len(task), repetitions, _seed(seed, number))) / len(task)
    low, high = np.quantile(sums / len(scores), [(1 - level) / 2, (1 + level) / 2], axis=1)
    return [fractions / len(scores), low, high]


def _check(scores: Scores, level: float, repetitions: int) -> None:
    if not scores or not all(scores):
        raise InvalidInput("there is a task without a score, or no task at all; leave such tasks out on both sides")
    if not 0 < level < 1:
        raise InvalidInput(f"level={level} is not between 0 and 1; 0.95 is usual")
    if repetitions < 1:
        raise InvalidInput(f"repetitions={repetitions} is less than 1; 2000 is usual")


def _check_numbers(*sides: Scores) -> None:
    if any(math.isnan(value) for scores in sides for task in scores for value in task):
        raise InvalidInput("a score is NaN: a run that diverged has none; leave it out, or give it the lowest score")
