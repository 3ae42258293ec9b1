"""Several variants at once: which may be the best (Hsu), and whether they rank alike over tasks
(Friedman, Nemenyi). Pure.

Called by `runslot.results.verdicts`; published numbers and SciPy are what the tests compare with.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.statistics.differences import Sample, midranks
from runslot.results.statistics.distributions import (
    chi_square_tail,
    dunnett_quantile,
    f_tail,
    range_quantile,
)
from runslot.results.statistics.magnitude import divided, exponent_of, multiplied


@record
class BestInterval:
    """By how much a variant is better than the best of the others: all of these hold together."""

    low: float
    """Not above 0 unless it is shown to be the best, then 0."""
    high: float
    """Not below 0; 0 says that it is shown not to be the best."""

    @property
    def may_be_best(self) -> bool:
        """Tell whether it is not shown that another one is better."""
        return self.high > 0


def best_intervals(
    samples: Sequence[Sample], mode: Literal["max", "min"] = "max", *, level: float = 0.95
) -> list[BestInterval | None]:
    """Return the constrained intervals of multiple comparisons with the best (Hsu 1984).

    All variants share one variance: within variants, or, where all have the same distinct seeds,
    what is left when also the seeds' means are taken out (a design in blocks). Positive is better
    in either mode. None for a variant without a value, and for all where fewer than two have one or
    nothing varies.
    """
    used = [i for i, sample in enumerate(samples) if sample.has_value]
    if exponent := exponent_of(score for i in used for score in samples[i].scores):
        parts = [
            Sample(divided(s.scores, exponent), s.seeds) if s.has_value else Sample(())
            for s in samples
        ]
        return [
            None
            if part is None
            else BestInterval(multiplied(part.low, exponent), multiplied(part.high, exponent))
            for part in best_intervals(parts, mode, level=level)
        ]
    intervals: list[BestInterval | None] = [None] * len(samples)
    valued_samples = [samples[i] for i in used]
    error, freedom = _common_error(valued_samples)
    if len(used) < 2 or not error or not math.isfinite(error):
        return intervals
    sign = 1 if mode == "max" else -1
    means = [sign * sample.mean for sample in valued_samples]
    sizes = [len(sample.scores) for sample in valued_samples]
    counts = Counter(sizes)

    def quantile(i: int) -> float:
        rival_sizes = counts - Counter([sizes[i]])
        return dunnett_quantile(level, freedom, sizes[i], tuple(sorted(rival_sizes.items())))

    quantiles = [quantile(i) for i in range(len(valued_samples))]

    def width(i: int, j: int, place: int) -> float:
        return quantiles[place] * error * math.sqrt(1 / sizes[i] + 1 / sizes[j])

    pairs = range(len(valued_samples))
    if len(counts) == 1:  # one width for all: the best of the others is all that matters
        first, second = sorted(means, reverse=True)[:2]
        reach = width(0, 0, 0)
        for i in pairs:
            ahead = means[i] - (second if means[i] == first else first)
            intervals[used[i]] = BestInterval(min(0.0, ahead - reach), max(0.0, ahead + reach))
        return intervals
    highs = [
        max(0.0, min(means[i] - means[j] + width(i, j, i) for j in pairs if j != i)) for i in pairs
    ]
    candidates = [i for i in pairs if highs[i] > 0]
    for i in pairs:
        rivals = [j for j in candidates if j != i]
        low = min((means[i] - means[j] - width(i, j, j) for j in rivals), default=0.0)
        intervals[used[i]] = BestInterval(min(0.0, low), highs[i])
    return intervals


def _common_error(samples: Sequence[Sample]) -> tuple[float, int]:
    """Return the standard deviation of one run, and its degrees of freedom; NaN without any."""
    if not samples:
        return math.nan, 0
    k = len(samples)
    pairs = [sample.pairs_with(samples[0]) for sample in samples]
    rows = [[score for score, _ in pair] for pair in pairs if pair is not None]
    if len(rows) == k and k > 1 and len(rows[0]) > 1:
        by_seed = [dict(zip(sample.seeds, sample.scores, strict=True)) for sample in samples]
        seeds = list(by_seed[0])
        n = len(seeds)
        means = [sample.mean for sample in samples]
        whole = math.fsum(means) / k
        blocks = {seed: math.fsum(row[seed] for row in by_seed) / k for seed in seeds}
        squares = math.fsum(
            (row[seed] - mean - blocks[seed] + whole) ** 2
            for row, mean in zip(by_seed, means, strict=True)
            for seed in seeds
        )
        freedom = (k - 1) * (n - 1)
        return math.sqrt(squares / freedom), freedom
    freedom = sum(len(sample.scores) - 1 for sample in samples)
    if not freedom:
        return math.nan, 0
    squares = math.fsum(
        (score - mean) ** 2
        for sample in samples
        for mean in (sample.mean,)
        for score in sample.scores
    )
    return math.sqrt(squares / freedom), freedom


@record
class RankTest:
    """Whether variants rank alike on all tasks."""

    ranks: tuple[float, ...]
    """The mean rank of each variant over the tasks; 1 is best."""
    tasks: int
    chi_square: float
    """Friedman's statistic."""
    f: float
    """Iman and Davenport's, which `p` is of; infinite where all tasks rank alike."""
    p: float
    chi_square_p: float
    critical_difference: float
    """Nemenyi's: mean ranks further apart than this differ, all pairs taken together."""

    def differ(self, first: int, second: int) -> bool:
        """Tell whether two variants' ranks differ by more than chance explains."""
        return abs(self.ranks[first] - self.ranks[second]) > self.critical_difference


def friedman(
    scores: Sequence[Sequence[float]],
    mode: Literal["max", "min"] = "max",
    *,
    level: float = 0.95,
) -> RankTest:
    """Rank the variants on each task (`scores[task][variant]`), and test whether the ranks differ.

    Friedman 1937, with Iman and Davenport's F (1980); pairs by Nemenyi's critical difference, as in
    Demšar 2006. Raises `InvalidInput` for fewer than two tasks or variants, or unequal rows.
    """
    k = len(scores[0]) if scores else 0
    if len(scores) < 2 or k < 2 or any(len(row) != k for row in scores):
        raise InvalidInput(
            "ranks need two tasks or more, on each of which the same two variants or more have a"
            " score"
        )
    if any(math.isnan(value) for row in scores for value in row):
        raise InvalidInput("a score is NaN: leave that variant out on all tasks")
    sign = -1 if mode == "max" else 1
    ranked = [midranks([sign * value for value in row]) for row in scores]
    squares = math.fsum(rank * rank for row in ranked for rank in row)
    ranks = [math.fsum(row[i] for row in ranked) / len(scores) for i in range(k)]
    return rank_test(ranks, len(scores), level=level, squares=squares)


def rank_test(
    ranks: Sequence[float], tasks: int, *, level: float = 0.95, squares: float | None = None
) -> RankTest:
    """Return the tests for mean ranks over `tasks`; `squares`, of all ranks, accounts for ties."""
    k, n = len(ranks), tasks
    middle = (k + 1) / 2
    if squares is None:
        squares = n * k * (k + 1) * (2 * k + 1) / 6
    spread = squares - n * k * middle * middle
    between = n * n * math.fsum((rank - middle) ** 2 for rank in ranks)
    chi_square = (k - 1) * between / spread if spread > 1e-9 else 0.0
    rest = n * (k - 1) - chi_square
    if rest > 1e-9:
        f = (n - 1) * chi_square / rest
        p = f_tail(f, k - 1, (k - 1) * (n - 1))
    else:  # all tasks agree, which has this chance among equals, of which ties have fewer orders
        ties = Counter(round(2 * rank) for rank in ranks).values()
        orders = math.factorial(k) / math.prod(map(math.factorial, ties))
        f, p = math.inf, orders ** -(n - 1.0)
    distance = range_quantile(level, k) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))
    return RankTest(tuple(ranks), n, chi_square, f, p, chi_square_tail(chi_square, k - 1), distance)
