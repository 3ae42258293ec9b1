"""Whether one variant is better than another: the difference of their means with its interval, its
p values, and the verdict in words. Pure.

Called by `runslot.results.verdicts` and `runslot.view`. What must stay true: where both sides have
the same distinct seeds they are compared seed by seed, else as independent samples; a difference
without any spread is never decided by a t test, which would be certain of it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Literal

from runslot.errors import InvalidInput
from runslot.quantiles import t_quantile, t_tail
from runslot.record import record
from runslot.results.statistics.magnitude import divided, exponent_of, mean_of, multiplied

Verdict = Literal["better", "worse", "not decided"]
Seed = int | str | None

_FLIPPED_AT_MOST = 12
"""Pairs of which all 2ⁿ signs are tried."""
_RANKED_AT_MOST = 60
"""Runs of both sides together of which all orders are counted."""
_ROUNDING = 1e-12
"""A spread that is this small a part of the values is what floats make of none."""


@record
class Sample:
    """The scores of the runs that count of one variant, and their seeds, in one order."""

    scores: tuple[float, ...]
    seeds: tuple[Seed, ...] = ()
    """Empty where they are not known."""

    @property
    def has_value(self) -> bool:
        """Tell whether there is a mean: some run counts, and none of them diverged."""
        return bool(self.scores) and all(map(math.isfinite, self.scores))

    @property
    def mean(self) -> float:
        """The mean; NaN where there is none."""
        if not self.has_value:
            return math.nan
        return mean_of(self.scores)

    def pairs_with(self, other: Sample) -> list[tuple[float, float]] | None:
        """Return the scores of both by seed; None where they have not the same distinct seeds."""
        seeds, other_seeds = set(self.seeds), set(other.seeds)
        if seeds != other_seeds or None in seeds or not seeds:
            return None
        if not len(seeds) == len(self.scores) == len(other.scores):
            return None
        by_seed = dict(zip(other.seeds, other.scores, strict=True))
        return [(score, by_seed[seed]) for seed, score in zip(self.seeds, self.scores, strict=True)]


@record
class Difference:
    """By how much the mean of one side is above that of the other."""

    estimate: float
    low: float | None
    """Ends of Student's (paired) or Welch's interval of `level`; None where one side has a single
    run, or nothing varies."""
    high: float | None
    level: float
    p: float | None
    """Two-sided, of the t test; the exact one where nothing varies; None for single runs."""
    exact_p: float | None
    """Of all signs (paired, up to 12 pairs), or of all orders of the runs (Mann and Whitney):
    without an assumption of a distribution."""
    t: float | None
    freedom: float | None
    effect: float | None
    """The difference in standard deviations: of the differences where paired, else pooled."""
    sizes: tuple[int, int]
    is_paired: bool
    evidence: float | None
    """The e-value of the anytime-valid t test: 20 decides at 5 %, however often one looks."""
    anytime_low: float | None
    """Ends of the interval that holds at all times together; None where it has no end yet."""
    anytime_high: float | None

    @property
    def test(self) -> str:
        """How it was tested, in words."""
        return "paired by seed" if self.is_paired else "Welch's t"

    def verdict(
        self, mode: Literal["max", "min"], alpha: float = 0.05, p: float | None = None
    ) -> Verdict:
        """Return in a word what the test says; `p` in place of its own, as `holm` adjusts it."""
        p = self.p if p is None else p
        if p is None or not p < alpha or self.estimate == 0:
            return "not decided"
        return "better" if (self.estimate > 0) == (mode == "max") else "worse"


def difference(first: Sample, second: Sample, *, level: float = 0.95) -> Difference | None:
    """Compare the means of two variants; None where one of them has no value.

    Seed by seed where both have the same distinct seeds: d̄ ± t·s/√n (Student 1908); else Welch's
    interval for two means (Welch 1947). `evidence` is the t test of Wang and Ramdas
    (arXiv 2310.03722).
    """
    if not 0 < level < 1:
        raise InvalidInput(f"level={level:g} is not between 0 and 1; 0.95 is usual")
    if not (first.has_value and second.has_value):
        return None
    most = max(map(abs, (*first.scores, *second.scores)))
    if exponent := exponent_of((*first.scores, *second.scores)):
        sides = (Sample(divided(s.scores, exponent), s.seeds) for s in (first, second))
        return _multiplied(difference(*sides, level=level), exponent)
    pairs = first.pairs_with(second)
    if pairs is not None:
        return _paired([a - b for a, b in pairs], most, level)
    return _independent(first.scores, second.scores, most, level)


def _multiplied(scaled: Difference | None, exponent: int) -> Difference | None:
    if scaled is None:
        return None
    estimate = multiplied(scaled.estimate, exponent)
    if not math.isfinite(estimate):
        return None

    def whole(end: float | None) -> float | None:
        return None if end is None else multiplied(end, exponent)

    return dataclasses.replace(
        scaled,
        estimate=estimate,
        low=whole(scaled.low),
        high=whole(scaled.high),
        anytime_low=whole(scaled.anytime_low),
        anytime_high=whole(scaled.anytime_high),
    )


def _paired(differences: Sequence[float], most: float, level: float) -> Difference:
    n = len(differences)
    mean = math.fsum(differences) / n
    deviation = _deviation(differences, most) if n > 1 else None
    exact = sign_flip_p(differences) if 1 < n <= _FLIPPED_AT_MOST else None
    error = deviation / math.sqrt(n) if deviation else None
    effect = mean / deviation if deviation else None
    if error is None and deviation == 0:
        exact = sign_flip_p(differences[:_FLIPPED_AT_MOST])
    return _with_test(mean, error, n - 1, n, (n, n), True, exact, effect, level)


def _independent(
    first: Sequence[float], second: Sequence[float], most: float, level: float
) -> Difference:
    n, m = len(first), len(second)
    mean = math.fsum(first) / n - math.fsum(second) / m
    exact = rank_sum_p(first, second) if min(n, m) > 1 else None
    error = freedom = effect = None
    if min(n, m) > 1:
        parts = [_deviation(first, most) ** 2 / n, _deviation(second, most) ** 2 / m]
        variance = sum(parts)
        if variance > 0:
            error = math.sqrt(variance)
            freedom = variance**2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
            pooled = (parts[0] * n * (n - 1) + parts[1] * m * (m - 1)) / (n + m - 2)
            effect = mean / math.sqrt(pooled)
    return _with_test(mean, error, freedom, n * m / (n + m), (n, m), False, exact, effect, level)


def _with_test(
    mean: float,
    error: float | None,
    freedom: float | None,
    weight: float,
    sizes: tuple[int, int],
    is_paired: bool,
    exact: float | None,
    effect: float | None,
    level: float,
) -> Difference:
    if error is None or freedom is None:
        return Difference(
            mean, None, None, level, exact, exact, None, None, None, sizes, is_paired, None, None,
            None,
        )  # fmt: skip
    t = mean / error
    width = t_quantile(level, freedom) * error
    # The martingale is of the t statistic with a pooled variance: its degrees of freedom.
    whole = freedom if is_paired else sizes[0] + sizes[1] - 2
    pooled_t = t if is_paired or effect is None else effect * math.sqrt(weight)
    evidence = t_evidence(pooled_t, weight, whole)
    reach = anytime_width(1 - level, weight, whole)
    spread = abs(mean / pooled_t) if pooled_t else error
    ends = (None, None) if math.isinf(reach) else (mean - reach * spread, mean + reach * spread)
    return Difference(
        mean,
        mean - width,
        mean + width,
        level,
        min(1.0, 2 * t_tail(abs(t), freedom)),
        exact,
        t,
        freedom,
        effect,
        sizes,
        is_paired,
        evidence,
        *ends,
    )


def _deviation(values: Sequence[float], most: float) -> float:
    """Return the standard deviation of the sample; 0 where it is what rounding leaves."""
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    deviation = math.sqrt(squares / (len(values) - 1))
    return 0.0 if deviation <= _ROUNDING * most else deviation


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of the mean of differences when each may as well have the other sign:
    exact (Fisher 1935), of all 2ⁿ signs."""
    if len(differences) > 2 * _FLIPPED_AT_MOST:
        raise InvalidInput(f"all signs of {len(differences)} differences are too many to try")
    total = abs(math.fsum(differences))
    least = total - 1e-9 * math.fsum(map(abs, differences))
    sums = [0.0]
    for value in differences[1:]:
        sums = [s + value for s in sums] + [s - value for s in sums]
    first = differences[0] if differences else 0.0
    return sum(abs(first + value) >= least for value in sums) / float(len(sums))


def signed_rank_p(differences: Sequence[float]) -> float:
    """Return the exact two-sided p of Wilcoxon's signed ranks (1945); differences of 0 are left
    out, ties share their ranks."""
    used = [value for value in differences if value]
    ranks = [round(2 * rank) for rank in midranks([abs(value) for value in used])]
    counts = {0: 1}
    for rank in ranks:
        grown = dict(counts)
        for total, count in counts.items():
            grown[total + rank] = grown.get(total + rank, 0) + count
        counts = grown
    above = sum(rank for rank, value in zip(ranks, used, strict=True) if value > 0)
    extreme = max(above, sum(ranks) - above)
    beyond = sum(count for total, count in counts.items() if total >= extreme)
    return min(1.0, 2 * beyond / float(2 ** len(used)))


def rank_sum_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p of Mann and Whitney's U (1947): exact up to 60 runs, also with ties;
    beyond that the normal's, corrected for ties and continuity."""
    n, m = len(first), len(second)
    ranks = [round(2 * rank) for rank in midranks([*first, *second])]
    total = sum(ranks[:n])
    distance = abs(total - n * (n + m + 1))
    if n + m > _RANKED_AT_MOST:
        ties = sum(ranks.count(rank) ** 2 - 1 for rank in ranks)
        variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
        if variance <= 0:
            return 1.0
        return min(1.0, math.erfc(max(0.0, distance / 2 - 0.5) / math.sqrt(2 * variance)))
    # By how many runs are taken: how often their ranks have a sum.
    counts: list[dict[int, int]] = [{0: 1}, *({} for _ in range(n))]
    for rank in ranks:
        for size in range(n, 0, -1):
            for value, count in counts[size - 1].items():
                counts[size][value + rank] = counts[size].get(value + rank, 0) + count
    beyond = sum(c for value, c in counts[n].items() if abs(value - n * (n + m + 1)) >= distance)
    return beyond / math.comb(n + m, n)


def midranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 1 for the lowest; equal ones share the mean of theirs."""
    ranks = dict[float, float]()
    place = 0
    for value, group in itertools.groupby(sorted(values)):
        count = sum(1 for _ in group)
        ranks[value] = place + (count + 1) / 2
        place += count
    return [ranks[value] for value in values]


def holm(ps: Sequence[float | None], of: int = 0) -> list[float | None]:
    """Return p values adjusted for being several (Holm 1979): a rejection of any of them that is
    wrong has the chance α. None stays None and is not counted."""
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for step, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, (max(of, len(order)) - step) * p))
        adjusted[i] = highest
    return adjusted


PRIOR_VARIANCE = 1.0
"""g: effects of about one standard deviation are what it is quickest to see."""


def t_evidence(
    t: float, weight: float, freedom: float, *, prior_variance: float = PRIOR_VARIANCE
) -> float:
    """Return E for a t statistic: decide where it reaches 1 / α, however often it is looked at.

    `weight` is n for n pairs, n·m / (n + m) for two sides of n and m runs; `freedom` is n - 1, or
    n + m - 2.
    """
    if weight <= 0 or freedom <= 0 or prior_variance <= 0:
        raise InvalidInput("evidence needs two runs or more, and a prior variance above 0")
    growth = 1 + weight * prior_variance
    square = t * t / freedom
    ratio = math.log1p(square) - math.log1p(square / growth)
    exponent = (freedom + 1) / 2 * ratio - math.log(growth) / 2
    return math.exp(min(exponent, 700.0))


def anytime_width(
    alpha: float, weight: float, freedom: float, *, prior_variance: float = PRIOR_VARIANCE
) -> float:
    """Return the t beyond which E is 1 / alpha: so many standard errors on either side make an
    interval that holds at all times together; infinite while no t is enough."""
    growth = 1 + weight * prior_variance
    root = math.exp((math.log(growth) / 2 - math.log(alpha)) * 2 / (freedom + 1))
    if root >= growth:
        return math.inf
    return math.sqrt(freedom * (root - 1) / (1 - root / growth))


def sign_flip_least(pairs: int) -> float:
    """Return the lowest p that the signs of so many pairs can give: 0.25 for three."""
    return 2.0 ** (1 - pairs)
