"""Tails and critical values of the distributions that comparisons need, by quadrature: no SciPy.
Pure.

Called by `differences`, `rankings` and `power`; SciPy and published tables are what the tests
compare with. Student's t and the normal stand in `runslot.quantiles`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from runslot.quantiles import incomplete_beta

_NODES = 400
"""Of a quadrature over the deviation alone; an even number, for Simpson's rule."""
_SMOOTH_FREEDOM, _NODES_WHERE_SMOOTH = 8, 60
"""Degrees of freedom from which the deviation's density is smooth at 0, and fewer nodes do."""
_NODES_OF_TWO = 60
"""Of a quadrature inside another one."""
_DEVIATIONS = 8.0
"""Standard deviations beyond which a density is nothing."""
_HALVINGS = 60
_TERMS = 1000


def normal_below(x: float) -> float:
    """Return the probability that a standard normal value lies below `x`."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def f_tail(value: float, first: float, second: float) -> float:
    """Return the probability that an F value with these degrees of freedom is above `value`."""
    if value <= 0:
        return 1.0
    if math.isinf(value):
        return 0.0
    return incomplete_beta(second / (second + first * value), second / 2, first / 2)


def chi_square_tail(value: float, freedom: float) -> float:
    """Return the probability that a χ² value is above `value`: Q(ν/2, x/2), by its series or its
    continued fraction (DLMF 8.11.4, 8.9.2)."""
    if value <= 0:
        return 1.0
    a, x = freedom / 2, value / 2
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for n in range(1, _TERMS):
            term *= x / (a + n)
            total += term
            if term < total * 1e-16:
                break
        return 1 - front * total
    b, c = x + 1 - a, 1e300
    d = 1 / b
    fraction = d
    for n in range(1, _TERMS):
        b += 2
        d = 1 / (b - n * (n - a) * d)
        c = b - n * (n - a) / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction


def noncentral_t_tail(t: float, freedom: float, noncentrality: float) -> float:
    """Return P(T > t) for T = (Z + noncentrality) / √(χ²/ν): the mean of Φ(noncentrality - t·s)
    over the distribution of s = √(χ²/ν)."""
    nodes = _NODES if freedom < _SMOOTH_FREEDOM else _NODES_WHERE_SMOOTH
    t, noncentrality = t / math.sqrt(2), noncentrality / math.sqrt(2)  # `normal_below`, inlined
    return 0.5 * math.fsum(
        weight * math.erfc(t * s - noncentrality) for s, weight in _deviations(freedom, nodes)
    )


def _over_deviations(value: Callable[[float], float], freedom: float, nodes: int) -> float:
    """Return the mean of `value(s)` over s = √(χ²/ν), by Simpson's rule."""
    return math.fsum(weight * value(s) for s, weight in _deviations(freedom, nodes))


@lru_cache(maxsize=128)
def _deviations(freedom: float, nodes: int) -> tuple[tuple[float, float], ...]:
    """Return the nodes of Simpson's rule over s = √(χ²/ν), each with its density's weight: the
    same for every shift, of which a power asks many."""
    spread = _DEVIATIONS / math.sqrt(2 * freedom)
    low, high = max(0.0, 1 - spread), 1 + spread
    step = (high - low) / nodes
    constant = math.log(2) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)
    pairs = []
    for i in range(nodes + 1):
        s = low + i * step
        if s == 0:
            density = math.exp(constant) if freedom == 1 else 0.0
        else:
            density = math.exp(constant + (freedom - 1) * math.log(s) - freedom * s * s / 2)
        weight = 1 if i in {0, nodes} else 4 if i % 2 else 2
        pairs.append((s, weight * density * step / 3))
    return tuple(pairs)


def _over_normal(value: Callable[[float], float], nodes: int) -> float:
    """Return the mean of `value(z)` over a standard normal z, by the trapezoid rule."""
    step = 2 * _DEVIATIONS / nodes
    points = (-_DEVIATIONS + i * step for i in range(nodes + 1))
    total = math.fsum(math.exp(-z * z / 2) * value(z) for z in points)
    return total * step / math.sqrt(2 * math.pi)


def _solved(probability: Callable[[float], float], level: float, high: float) -> float:
    """Return where a growing probability reaches `level`, by bisection."""
    low = 0.0
    while probability(high) < level:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if high - low < 1e-7 * high:
            break
        low, high = (middle, high) if probability(middle) < level else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=256)
def range_quantile(level: float, count: int) -> float:
    """Return q so that the range of `count` standard normal values is below q with probability
    `level`: the studentized range with infinitely many degrees of freedom."""

    def below(q: float) -> float:
        return count * _over_normal(
            lambda z: (normal_below(z) - normal_below(z - q)) ** (count - 1), 4 * _NODES_OF_TWO
        )

    return _solved(below, level, 4.0)


@lru_cache(maxsize=1024)
def dunnett_quantile(
    level: float, freedom: float, size: int, rivals: tuple[tuple[int, int], ...]
) -> float:
    """Return d so that all one-sided comparisons of several means with one stay below d together,
    with probability `level` (Dunnett 1955).

    `size` are the runs of the one; `rivals` are pairs of runs and how many others have as many.
    """
    pairs = [(n / (n + size), times) for n, times in rivals]
    shares = [(math.sqrt(rho), math.sqrt(1 - rho), times) for rho, times in pairs]

    def below(d: float) -> float:
        def at(s: float) -> float:
            def product(z: float) -> float:
                value = 1.0
                for slope, rest, times in shares:
                    value *= normal_below((d * s + slope * z) / rest) ** times
                return value

            return _over_normal(product, _NODES_OF_TWO)

        return _over_deviations(at, freedom, _NODES_OF_TWO)

    return _solved(below, level, 3.0)
