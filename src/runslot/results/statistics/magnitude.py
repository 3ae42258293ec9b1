"""Scores whose squares are no floats, as of a run that explodes at 1e200, or of one near 1e-300:
they are divided by a power of two, which is exact, and what came of them multiplied again. Pure.

Called by the statistics of this package and by what computes a variance of scores elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_USUAL_EXPONENT = 200
"""Powers of two between which the squares of variances are floats."""


def exponent_of(values: Iterable[float]) -> int:
    """Return the power of two by which to divide these values before they are squared; 0 where they
    need none, and where one is no number."""
    most = 0.0
    for value in values:
        if not math.isfinite(value):
            return 0
        most = max(most, abs(value))
    exponent = math.frexp(most)[1]
    return exponent if abs(exponent) > _USUAL_EXPONENT else 0


def divided(values: Sequence[float], exponent: int) -> tuple[float, ...]:
    """Return the values, each divided by that power of two."""
    return tuple(math.ldexp(value, -exponent) for value in values) if exponent else tuple(values)


def multiplied(value: float, exponent: int) -> float:
    """Return a value times that power of two; infinite beyond all floats."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def mean_of(values: Sequence[float]) -> float:
    """Return the mean to the last digit, so that equal values have theirs for a mean; also of
    values whose sum is beyond all floats."""
    try:
        mean = math.fsum(values) / len(values)
    except OverflowError:
        exponent = exponent_of(values)
        return multiplied(mean_of(divided(values, exponent)), exponent)
    if not math.isfinite(mean):
        return mean
    # The sum was rounded before it was divided.
    return mean + math.fsum([*values, *[-mean] * len(values)]) / len(values)


def deviation_of(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample (n - 1), of any magnitude; NaN for one value."""
    if len(values) < 2:
        return math.nan
    exponent = exponent_of(values)
    parts = divided(values, exponent)
    mean = mean_of(parts)
    squares = math.fsum((part - mean) ** 2 for part in parts)
    return multiplied(math.sqrt(squares / (len(parts) - 1)), exponent)
