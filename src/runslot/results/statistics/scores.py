"""Aggregates of scores over tasks and runs, after Agarwal et al. 2021 ("Deep RL at the Edge of the
Statistical Precipice", NeurIPS), with their intervals. Scores are given task by task:
`[[run, run, …], …]`."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from statistics import median
from typing import Any, Literal, NamedTuple, get_args

import polars as pl

from runslot.errors import InvalidInput
from runslot.quantiles import normal_quantile, t_quantile
from runslot.results.statistics.magnitude import divided, exponent_of, mean_of, multiplied
from runslot.results.statistics.resamples import draws, has_numpy, portions, seed_of

Scores = Sequence[Sequence[float]]
"""Outer: tasks (strata); inner: the scores of the runs on it, any number of them."""

_NARROW = 1 << 16
"""Ranks that fit into two bytes."""
Statistic = Literal["iqm", "mean", "median", "optimality-gap"]


class Interval(NamedTuple):
    """An estimate and its confidence interval; the bounds are NaN where nothing is known of the
    spread."""

    estimate: float
    low: float
    high: float


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half: the lowest and highest quarter, each rounded down to
    whole runs, left out.

    Equal to `scipy.stats.trim_mean(values, 0.25)`. NaN for no values, or where one is NaN.
    """
    if not values or any(math.isnan(value) for value in values):
        return math.nan
    cut = len(values) // 4
    middle = sorted(values)[cut : len(values) - cut]
    return mean_of(middle)


def mean_interval(scores: Scores, *, level: float = 0.95) -> Interval:
    """Return the mean over tasks of their mean scores, and Student's t interval: what to give below
    ten runs.

    Over several tasks the degrees of freedom are Welch and Satterthwaite's. Bounds are NaN where a
    task has one run.
    """
    check_scores(scores, level, 1)
    if exponent := exponent_of(value for task in scores for value in task):
        scaled = mean_interval([divided(task, exponent) for task in scores], level=level)
        return Interval(*(multiplied(value, exponent) for value in scaled))
    means = [mean_of(task) for task in scores]
    estimate = mean_of(means)
    if min(map(len, scores)) < 2 or not math.isfinite(estimate):
        return Interval(estimate, math.nan, math.nan)
    parts = [
        math.fsum((value - mean) ** 2 for value in task) / (len(task) - 1) / len(task)
        for task, mean in zip(scores, means, strict=True)
    ]
    variance = math.fsum(parts)
    if variance == 0:
        return Interval(estimate, estimate, estimate)
    freedom = variance**2 / math.fsum(
        part**2 / (len(task) - 1) for part, task in zip(parts, scores, strict=True)
    )
    width = t_quantile(level, freedom) * math.sqrt(variance) / len(scores)
    return Interval(estimate, estimate - width, estimate + width)


def bootstrap(
    scores: Scores,
    statistic: Statistic = "iqm",
    *,
    level: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
    target: float = 1.0,
) -> Interval:
    """Return a statistic of scores and its interval: percentiles over resamples of the runs of each
    task.

    `iqm` is over all tasks and runs together; `mean` and `median` are over tasks, of their mean
    scores; `optimality-gap` is by how much scores stay below `target`, tasks weighing the same.
    `level` is the share of resamples inside; with few runs it covers less than it says
    (docs/results.md has the table). Deterministic for a `seed`. Bounds are NaN where no task has
    two runs. NaN where a score is.
    """
    check_scores(scores, level, repetitions)
    if statistic not in get_args(Statistic):
        raise InvalidInput(
            f"{statistic!r} is not an aggregate; choose among {', '.join(get_args(Statistic))}"
        )
    if any(math.isnan(value) for task in scores for value in task):
        return Interval(math.nan, math.nan, math.nan)
    if statistic == "optimality-gap":
        scores, statistic = (
            [[target - min(value, target) for value in task] for task in scores],
            "mean",
        )
    means = [mean_of(task) for task in scores]
    if statistic == "iqm":
        estimate = interquartile_mean([value for task in scores for value in task])
    else:
        estimate = _over_tasks(means, statistic)
    if max(map(len, scores)) < 2:
        return Interval(estimate, math.nan, math.nan)
    if statistic == "iqm":
        return percentile_interval(estimate, _resampled_middles(scores, repetitions, seed), level)
    return percentile_interval(
        estimate, _resampled_means(scores, statistic, repetitions, seed), level
    )


def _over_tasks(means: Sequence[float], statistic: str) -> float:
    if statistic == "mean":
        return mean_of(means)
    return median(means)


def _resampled_means(scores: Scores, statistic: str, repetitions: int, seed: int) -> pl.Series:
    """Return the mean or median over tasks of their means, in each resample."""
    tasks = [pl.Series(task, dtype=pl.Float64) for task in scores]
    parts = []
    for number, count in portions(sum(map(len, tasks)), repetitions, len(tasks)):
        means = [
            task.sample(len(task) * count, with_replacement=True, seed=seed_of(seed, place, number))
            .reshape((count, len(task)))
            .arr.mean()
            .alias(str(place))
            for place, task in enumerate(tasks)
        ]
        of_tasks = pl.concat_list(pl.all())
        middle = of_tasks.list.mean() if statistic == "mean" else of_tasks.list.median()
        parts.append(pl.DataFrame(means).select(middle))
    return pl.concat(parts).to_series()


def _resampled_middles(scores: Scores, repetitions: int, seed: int) -> pl.Series:
    """Return the interquartile mean over all tasks and runs, in each resample."""
    values = pl.DataFrame({"y": [v for task in scores for v in task]}, schema={"y": pl.Float64})
    # As narrow as they fit: moving the draws is what takes the longest.
    ranks = (
        values["y"].arg_sort().arg_sort().cast(pl.UInt16 if values.height <= _NARROW else pl.UInt32)
    )
    ordered = values["y"].sort()
    starts = list(accumulate(map(len, scores), initial=0))
    size, parts = len(ordered), []
    middles = _middles_counted if size > _STRIDE and has_numpy() else _middles_sorted
    for number, count in portions(size, repetitions, len(scores)):
        rank_draws = [
            ranks.slice(start, len(task))
            .sample(len(task) * count, with_replacement=True, seed=seed_of(seed, place, number))
            .reshape((count, len(task)))
            for place, (task, start) in enumerate(zip(scores, starts, strict=False))
        ]
        parts.append(middles(rank_draws, ordered))
    return pl.concat(parts)


def _middles_sorted(rank_draws: Sequence[pl.Series], ordered: pl.Series) -> pl.Series:
    size, cut = len(ordered), len(ordered) // 4
    frame = pl.DataFrame([part.arr.to_list().alias(str(i)) for i, part in enumerate(rank_draws)])
    ranks = frame.select(
        pl.concat_list(pl.all()).list.sort().list.slice(cut, size - 2 * cut)
    ).to_series()
    middle = ranks.explode()
    return ordered.gather(middle).reshape((len(ranks), size - 2 * cut)).arr.mean()


def _middles_counted(rank_draws: Sequence[pl.Series], ordered: pl.Series) -> pl.Series:
    """Return the same by counting how often each rank was drawn, which no sorting of a resample can
    match."""
    import numpy as np

    ranks = (
        np.concatenate([part.to_numpy() for part in rank_draws], axis=1)
        if len(rank_draws) > 1
        else rank_draws[0].to_numpy()
    )
    values = ordered.to_numpy()
    size = len(values)
    cut = size // 4
    rest = size - cut
    starts = np.arange(0, size, _STRIDE)
    means = np.empty(len(ranks))
    for i, row in enumerate(ranks):
        count = np.bincount(row, minlength=size)
        coarse = np.add.reduceat(count, starts).cumsum()
        low, before = _rank_at(count, coarse, cut, "right")
        high, through = _rank_at(count, coarse, rest, "left")
        # What of the first and the last rank of the middle half lies outside it.
        first, last = cut - before, through + count[high] - rest
        middle = count[low : high + 1] @ values[low : high + 1]
        means[i] = (middle - first * values[low] - last * values[high]) / (rest - cut)
    return pl.Series(means)


_STRIDE = 128
"""Ranks that are summed at once: a running sum over all of them would be what takes the longest."""


def _rank_at(count: Any, coarse: Any, rank: int, side: Any) -> tuple[int, int]:
    """Return the rank at which the running sum of `count` passes (`right`) or reaches `wanted`, and
    the sum before."""
    block = int(coarse.searchsorted(rank, side))
    start = block * _STRIDE
    before = int(coarse[block - 1]) if block else 0
    fine = before + count[start : start + _STRIDE].cumsum()
    place = int(fine.searchsorted(rank, side))
    return start + place, int(fine[place] - count[start + place])


def percentile_interval(estimate: float, resamples: pl.Series, level: float) -> Interval:
    """Return the interval of the percentiles of resamples."""
    low = resamples.quantile((1 - level) / 2, interpolation="linear")
    high = resamples.quantile((1 + level) / 2, interpolation="linear")
    return Interval(estimate, math.nan if low is None else low, math.nan if high is None else high)


def probability_of_improvement(
    scores: Scores,
    other: Scores,
    *,
    level: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return how probable it is that a run of `scores` beats one of `other` on a task drawn at
    random.

    The mean over tasks of the Mann-Whitney U statistic divided by the number of pairs; a tie counts
    half. The interval holds the percentile bootstrap's and the Wilson-type one of Newcombe (2006,
    method 5; over tasks by adding squares), which has a width also where one side wins every pair.
    Bounds are NaN where a side has one run in all. Both must have the same tasks, in the same
    order; `InvalidInput` otherwise.
    """
    if len(scores) != len(other):
        raise InvalidInput(
            f"the two sides have {len(scores)} and {len(other)} tasks; give both the same, in one"
            " order"
        )
    check_scores(scores, level, repetitions)
    check_scores(other, level, repetitions)
    check_numbers(scores, other)
    shares = [_wins(a, b) for a, b in zip(scores, other, strict=True)]
    estimate = math.fsum(shares) / len(shares)
    if min(sum(map(len, scores)), sum(map(len, other))) < 2:
        return Interval(estimate, math.nan, math.nan)
    resampled = percentile_interval(
        estimate, _resampled_wins(scores, other, repetitions, seed), level
    )
    z = normal_quantile(level)
    bounds = [
        _wilson_type(t, len(a), len(b), z) for t, a, b in zip(shares, scores, other, strict=True)
    ]
    below = math.sqrt(
        math.fsum((share - low) ** 2 for share, (low, _) in zip(shares, bounds, strict=True))
    )
    above = math.sqrt(
        math.fsum((high - share) ** 2 for share, (_, high) in zip(shares, bounds, strict=True))
    )
    low = min(resampled.low, estimate - below / len(shares))
    high = max(resampled.high, estimate + above / len(shares))
    return Interval(estimate, max(low, 0.0), min(high, 1.0))


def _wilson_type(share: float, n: int, m: int, z: float) -> tuple[float, float]:
    """Return where (share - t)² = z² V(t), V the variance of U / nm at the probability t (Hanley
    and McNeil)."""
    spread = (n + m) / 2 - 1

    def excess(t: float) -> float:
        variance = t * (1 - t) * (1 + spread * ((1 - t) / (2 - t) + t / (1 + t))) / (n * m)
        return (t - share) ** 2 - z * z * variance

    def between(outer: float) -> float:
        inner = share
        for _ in range(60):
            middle = (outer + inner) / 2
            outer, inner = (middle, inner) if excess(middle) > 0 else (outer, middle)
        return inner

    return (between(0.0) if share > 0 else 0.0, between(1.0) if share < 1 else 1.0)


def _resampled_wins(scores: Scores, other: Scores, repetitions: int, seed: int) -> pl.Series:
    """Return the mean over tasks of `_wins` in each resample, in memory that grows with the runs,
    not their pairs."""
    sums = pl.zeros(repetitions, pl.Float64, eager=True)
    for place, (first, second) in enumerate(zip(scores, other, strict=True)):
        parts = []
        for number, count in portions(len(first) + len(second), repetitions):
            first_draws = draws(len(first), count, seed_of(seed, place, number))
            second_draws = draws(len(second), count, seed_of(seed + 1, place, number))
            resampled = _wins_counted if has_numpy() else _wins_sorted
            parts.append(resampled(first, second, first_draws, second_draws))
        sums += pl.concat(parts)
    return sums / len(scores)


def _wins_sorted(
    first: Sequence[float], second: Sequence[float], first_draws: pl.Series, second_draws: pl.Series
) -> pl.Series:
    a = pl.Series(first, dtype=pl.Float64).gather(first_draws).to_list()
    b = pl.Series(second, dtype=pl.Float64).gather(second_draws).to_list()
    n, m = len(first), len(second)
    wins = [_wins(a[i * n : (i + 1) * n], b[i * m : (i + 1) * m]) for i in range(len(a) // n)]
    return pl.Series(wins, dtype=pl.Float64)


def _wins_counted(
    first: Sequence[float], second: Sequence[float], first_draws: pl.Series, second_draws: pl.Series
) -> pl.Series:
    """Return the same by counts: a run of the first wins as often as runs of the second were drawn
    that are below."""
    import numpy as np

    n, m = len(first), len(second)
    order = np.argsort(second, kind="stable")
    ordered = np.asarray(second, dtype=np.float64)[order]
    rank = np.empty(m, dtype=np.int64)
    rank[order] = np.arange(m)
    below, through = (
        ordered.searchsorted(np.asarray(first, dtype=np.float64), side)
        for side in ("left", "right")
    )
    a, b = first_draws.to_numpy().reshape(-1, n), rank[second_draws.to_numpy()].reshape(-1, m)
    rows = np.arange(len(a))[:, None]
    total = np.zeros((len(a), m + 1), dtype=np.int64)
    counts_of = np.bincount((b + rows * m).ravel(), minlength=len(a) * m).reshape(-1, m)
    np.cumsum(counts_of, axis=1, out=total[:, 1:])
    wins = np.take_along_axis(total, below[a], axis=1).sum(axis=1) + np.take_along_axis(
        total, through[a], axis=1
    ).sum(axis=1)
    return pl.Series(wins / (2 * n * m))


def _wins(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the share of pairs that the left side wins."""
    ordered = sorted(second)
    won = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in first) / 2
    return won / (len(first) * len(second))


def check_scores(scores: Scores, level: float, repetitions: int) -> None:
    """Refuse tasks without a score, and impossible levels and numbers of resamples."""
    if not scores or not all(scores):
        raise InvalidInput(
            "there is a task without a score, or no task at all; leave such tasks out on both sides"
        )
    if not 0 < level < 1:
        raise InvalidInput(f"level={level} is not between 0 and 1; 0.95 is usual")
    if repetitions < 1:
        raise InvalidInput(f"repetitions={repetitions} is less than 1; 2000 is usual")


def check_numbers(*sides: Scores) -> None:
    """Refuse a score that is NaN."""
    if any(math.isnan(value) for scores in sides for task in scores for value in task):
        raise InvalidInput(
            "a score is NaN: a run that diverged has none; leave it out, or give it the lowest"
            " score"
        )
