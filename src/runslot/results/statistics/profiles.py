"""Performance profiles: the fraction of runs above each score, with a band. Pure.

Agarwal et al. 2021 ("Deep RL at the Edge of the Statistical Precipice", NeurIPS). Scores are given
task by task, as in `scores`, whose resamples these are.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from runslot.results.statistics.resamples import counts, draws, has_numpy, portions, seed_of
from runslot.results.statistics.scores import (
    Interval,
    Scores,
    check_numbers,
    check_scores,
    percentile_interval,
)


def performance_profile(
    scores: Scores,
    thresholds: Sequence[float],
    *,
    level: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
    simultaneous: bool = False,
    band: bool = True,
) -> pl.DataFrame:
    """Return the run-score distribution: for each threshold the fraction of runs with a higher
    score, tasks weighing the same, as `threshold`, `fraction`, `low`, `high`.

    The band is a bootstrap interval of each threshold by itself (pointwise), which a whole profile
    leaves more often than `level` says; with `simultaneous` it holds the profile at all these
    thresholds together: as many standard errors on either side as `level` of the resamples stay
    within everywhere (the sup-t band; Montiel Olea and Plagborg-Møller 2019). Null where no task
    has two runs.
    """
    check_scores(scores, level, repetitions)
    check_numbers(scores)
    ordered = [sorted(task) for task in scores]
    # Between two scores nothing changes: so many scores, so many thresholds tell all of a profile.
    above_of = [
        tuple(len(task) - bisect.bisect_right(task, threshold) for task in ordered)
        for threshold in thresholds
    ]
    distinct = dict(zip(above_of, thresholds, strict=True))
    estimates = [
        math.fsum(n / len(task) for n, task in zip(counts_above, scores, strict=True)) / len(scores)
        for counts_above in distinct
    ]
    intervals: list[Interval | tuple[float, None, None]]
    if not band or max(map(len, scores)) < 2:
        intervals = [(estimate, None, None) for estimate in estimates]
    else:
        resampled = _resampled(scores, list(distinct.values()), repetitions, seed)
        pairs = zip(estimates, resampled, strict=True)
        intervals = (
            [*_sup_t(estimates, resampled, level)]
            if simultaneous
            else [percentile_interval(*pair, level) for pair in pairs]
        )
    by_counts = dict(zip(distinct, intervals, strict=True))
    columns: list[Any] = list(zip(*(by_counts[key] for key in above_of), strict=True))
    names = ("threshold", "fraction", "low", "high")
    return pl.DataFrame(
        dict(zip(names, (thresholds, *(columns or [(), (), ()])), strict=True)),
        schema=dict.fromkeys(names, pl.Float64),
    )


def _resampled(
    scores: Scores, thresholds: Sequence[float], repetitions: int, seed: int
) -> list[pl.Series]:
    """Return for each threshold the fraction of runs above it in each resample."""
    above = _above_counted if has_numpy() else _above_sorted
    parts = [
        above(scores, thresholds, count, seed, number)
        for number, count in portions(sum(map(len, scores)), repetitions)
    ]
    return [pl.concat([part[place] for part in parts]) for place in range(len(thresholds))]


def _sup_t(
    estimates: Sequence[float], resampled: Sequence[pl.Series], level: float
) -> list[Interval]:
    errors = [float(series.std(ddof=0) or 0.0) for series in resampled]  # type: ignore[arg-type]  # of floats
    distances = [
        ((series - estimate) / error).abs()
        for series, estimate, error in zip(resampled, estimates, errors, strict=True)
        if error > 0
    ]
    if not distances:
        return [Interval(estimate, estimate, estimate) for estimate in estimates]
    largest = pl.select(pl.max_horizontal(distances)).to_series()
    reach = largest.quantile(level, interpolation="linear") or 0.0
    return [
        Interval(estimate, max(0.0, estimate - reach * error), min(1.0, estimate + reach * error))
        for estimate, error in zip(estimates, errors, strict=True)
    ]


def _above_sorted(
    scores: Scores, thresholds: Sequence[float], repetitions: int, seed: int, portion: int
) -> list[pl.Series]:
    """Return for each threshold the fraction of runs above it in each resample of a portion."""
    fractions = [pl.zeros(repetitions, pl.Float64, eager=True) for _ in thresholds]
    for place, task in enumerate(scores):
        resamples = pl.Series(task, dtype=pl.Float64).gather(
            draws(len(task), repetitions, seed_of(seed, place, portion))
        )
        for i, threshold in enumerate(thresholds):
            shares = (
                (resamples > threshold)
                .cast(pl.Float64)
                .reshape((repetitions, len(task)))
                .arr.mean()
            )
            fractions[i] = fractions[i] + shares / len(scores)
    return fractions


def _above_counted(
    scores: Scores, thresholds: Sequence[float], repetitions: int, seed: int, portion: int
) -> list[pl.Series]:
    """Return the same by the same draws: the share of them that fell on runs above a threshold,
    which are the first ones of those that were ordered once."""
    import numpy as np

    sums = np.zeros((len(thresholds), repetitions))
    for place, task in enumerate(scores):
        values = np.asarray(task)
        order = np.argsort(-values, kind="stable")
        table = counts(len(task), repetitions, seed_of(seed, place, portion))[order]
        totals = np.vstack([np.zeros((1, repetitions), np.float32), np.cumsum(table, axis=0)])
        above = np.searchsorted(-values[order], -np.asarray(thresholds), side="left")
        sums += totals[above] / len(task)
    return [pl.Series(row) for row in sums / len(scores)]
