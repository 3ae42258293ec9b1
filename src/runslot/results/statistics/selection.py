"""What choosing the best does to its score, and what a further search may bring. Pure.

Called by `runslot.results.comparison`, `runslot.results.verdicts` and `runslot.view`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

from runslot.errors import InvalidInput

_SELECTIONS = 500
_MOST_CANDIDATES = 30
"""Of more variants only the best so many can be chosen at all."""
_FEWEST_TO_SHRINK = 4
"""Means below which nothing is known of how far true means are apart."""
_HALVINGS = 200


def optimism(
    means: Sequence[float],
    errors: Sequence[float],
    mode: Literal["max", "min"] = "max",
    *,
    seed: int = 0,
) -> float:
    """Return by how much the best of these means is expected to exceed what it would give on new
    seeds.

    A parametric bootstrap: each mean is drawn anew with its standard error, the best is chosen, and
    the excess of what was drawn over what it was drawn from is averaged (the winner's curse). Not
    negative, whichever way is better.
    """
    sign = 1 if mode == "max" else -1
    pairs = sorted(zip((sign * mean for mean in means), errors, strict=True), reverse=True)
    pairs = pairs[:_MOST_CANDIDATES]
    generator = random.Random(seed)  # noqa: S311  # statistics, not secrets
    total = 0.0
    for _ in range(_SELECTIONS):
        noises = [error * generator.gauss(0, 1) for _, error in pairs]
        total += max((mean + noise, noise) for (mean, _), noise in zip(pairs, noises, strict=True))[
            1
        ]
    return max(total / _SELECTIONS, 0.0)


def shrunken_means(means: Sequence[float], errors: Sequence[float]) -> list[float] | None:
    """Return the means, each drawn towards the middle of all as far as its error is a part of their
    spread: what to expect of each on new seeds.

    Efron and Morris 1975 ("Data analysis using Stein's estimator and its generalizations"): where
    all errors are the same, the estimator of James and Stein towards the mean, with k - 3; else the
    spread of the true means is found so that what is seen is as far apart as it should be. None for
    fewer than four means.
    """
    k = len(means)
    if k < _FEWEST_TO_SHRINK or not all(map(math.isfinite, (*means, *errors))):
        return None
    scale = max(map(abs, (*means, *errors))) or 1.0
    values = [mean / scale for mean in means]
    variances = [(error / scale) ** 2 for error in errors]
    spread = _spread_of_truth(values, variances)
    middle = _middle(values, variances, spread)
    if spread > 0:
        shares = [(k - 3) / (k - 1) * variance / (variance + spread) for variance in variances]
    else:  # the means are no further apart than their errors alone would set them
        squares = (
            (value - middle) ** 2 / variance
            for value, variance in zip(values, variances, strict=True)
        )
        shares = [min(1.0, (k - 3) / max(math.fsum(squares), 1e-300))] * k
    return [
        scale * (value + share * (middle - value))
        for value, share in zip(values, shares, strict=True)
    ]


def _middle(values: Sequence[float], variances: Sequence[float], spread: float) -> float:
    if any(variance + spread == 0 for variance in variances):
        return math.fsum(values) / len(values)
    weights = [1 / (variance + spread) for variance in variances]
    products = (value * weight for value, weight in zip(values, weights, strict=True))
    return math.fsum(products) / math.fsum(weights)


def _spread_of_truth(values: Sequence[float], variances: Sequence[float]) -> float:
    """Return the variance of the true means, at which the weighted squares are k - 1."""

    def excess(spread: float) -> float:
        if any(variance + spread == 0 for variance in variances):
            return math.inf
        middle = _middle(values, variances, spread)
        squares = (
            (value - middle) ** 2 / (variance + spread)
            for value, variance in zip(values, variances, strict=True)
        )
        return math.fsum(squares) - (len(values) - 1)

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, 8.0  # values lie between -1 and 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2


def expected_best(scores: Sequence[float], mode: Literal["max", "min"] = "max") -> list[float]:
    """Return the expected best of n of these trials, for n from 1 to all of them.

    The unbiased form (Tang et al. 2020, "Showing your work doesn't always work", ACL): the mean
    over all choices of n without replacement, so that nothing is said beyond what was tried.
    """
    if not scores or any(math.isnan(score) for score in scores):
        raise InvalidInput("the expected best needs a score, and none of them NaN")
    ordered = sorted(scores, reverse=mode == "min")
    total = len(ordered)
    best = []
    for n in range(1, total + 1):
        # C(i, n - 1) / C(N, n): the chance that trial i + 1 in order is the best of n.
        share, parts = n / total, []
        for i in range(total - 1, n - 2, -1):
            parts.append(share * ordered[i])
            share *= (i - n + 1) / i if i else 0.0
        best.append(math.fsum(parts))
    return best
