"""Student's t and the normal distribution, without SciPy: intervals and races need no further
package. Pure.

Called by the statistics of `results` and by `search.race`; SciPy is what the tests compare with.
"""

from __future__ import annotations

import math
from functools import lru_cache

_HALVINGS = 200
"""More than a double has bits, also near zero: the bisection ends where it cannot go on."""
_TERMS = 400
_TINY = 1e-300


def normal_quantile(level: float) -> float:
    """Return z so that a standard normal value lies within ± z with probability `level`."""
    from statistics import NormalDist  # with fractions and decimals: slow to load, and seldom asked

    return NormalDist().inv_cdf((1 + level) / 2)


@lru_cache(maxsize=4096)
def t_quantile(level: float, freedom: float) -> float:
    """Return t so that a value of Student's t with `freedom` degrees lies within ± t with
    probability `level`.

    P(|T| > t) is the regularised incomplete beta function of freedom / (freedom + t²), with a =
    freedom / 2, b = 1/2.
    """
    outside = 1 - level
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        if incomplete_beta(middle, freedom / 2, 0.5) < outside:
            low = middle
        else:
            high = middle
    x = (low + high) / 2
    return math.sqrt(freedom * (1 - x) / x) if x > 0 else math.inf


def t_tail(t: float, freedom: float) -> float:
    """Return the probability that a value of Student's t with `freedom` degrees is above `t`."""
    square = t * t
    if square < freedom:  # what is left of the whole would lose its digits near 0
        return 0.5 - math.copysign(
            incomplete_beta(square / (freedom + square), 0.5, freedom / 2) / 2, t
        )
    both = incomplete_beta(freedom / (freedom + square), freedom / 2, 0.5)
    return both / 2 if t > 0 else 1 - both / 2


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return I_x(a, b), by the continued fraction on the side where it converges fast (DLMF
    8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = (
        math.exp(
            math.lgamma(a + b)
            - math.lgamma(a)
            - math.lgamma(b)
            + a * math.log(x)
            + b * math.log1p(-x)
        )
        / a
    )
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
