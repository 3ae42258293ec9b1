"""How many seeds would decide: the power of t tests, and its inverse. Pure.

Called by `runslot.results.verdicts`, which prints the command that runs them, and by
`runslot.view`. The power is of the noncentral t distribution (Cohen 1988); the effect that is put
in is an estimate from few runs, so that the number is a guide, not a promise.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from runslot.errors import InvalidInput
from runslot.quantiles import normal_quantile, t_quantile
from runslot.results.statistics.distributions import noncentral_t_tail

POWER = 0.8
"""How probable it should be that a difference that is there is decided."""
SEEDS_AT_MOST = 1000
"""Beyond so many a side nothing is advised."""


@lru_cache(maxsize=4096)
def power_of(effect: float, n: float, *, paired: bool = False, alpha: float = 0.05) -> float:
    """Return the power of a two-sided t test with `n` runs a side, or `n` pairs, for a difference
    of `effect` standard deviations (of the differences, where paired)."""
    freedom = n - 1 if paired else 2 * n - 2
    if freedom <= 0:
        return 0.0
    shift = abs(effect) * math.sqrt(n if paired else n / 2)
    critical = t_quantile(1 - alpha, freedom)
    above = noncentral_t_tail(critical, freedom, shift)
    # On the other side of 0 almost nothing is left once the shift is a few errors.
    return above if shift > _FAR else above + noncentral_t_tail(critical, freedom, -shift)


WHOLE_AT_MOST = 200
"""Runs beyond which a whole number says no more than that it is far."""
_FAR = 6.0
"""A shift, in standard errors, at which the wrong side has a chance below 1e-9."""


@lru_cache(maxsize=4096)
def whole_runs_needed(
    effect: float, *, paired: bool = False, alpha: float = 0.05, power: float = POWER
) -> float:
    """Return `runs_needed` as a whole number, up from where the normal distribution would have it;
    quick enough for a thousand variants."""
    if not effect or math.isnan(effect):
        return math.inf
    critical = normal_quantile(1 - alpha)
    reach = (critical + NormalDist().inv_cdf(power)) / abs(effect)
    start = reach**2 * (1 if paired else 2)
    if start > WHOLE_AT_MOST:
        return math.inf

    def is_enough(n: int) -> bool:
        return power_of(effect, n, paired=paired, alpha=alpha) >= power

    # What the t distribution asks beyond the normal one (Guenther 1981): nearly always the answer.
    first = max(2, math.ceil(start + critical**2 / (2 if paired else 4)))
    if is_enough(first):
        while first > 2 and is_enough(first - 1):
            first -= 1
        return first
    low, step = first, 1
    while not is_enough(low + step):
        low, step = low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


@lru_cache(maxsize=4096)
def runs_needed(
    effect: float, *, paired: bool = False, alpha: float = 0.05, power: float = POWER
) -> float:
    """Return how many runs a side (or pairs) have this power; infinite beyond `SEEDS_AT_MOST`.

    A fraction: d = 0.5 takes 63.8 a side, d = 1 takes 16.7, pairs with d_z = 1 take 9.94.
    """
    if not 0 < alpha < 1 or not alpha < power < 1:
        raise InvalidInput(f"alpha={alpha:g} and power={power:g} are not 0 < alpha < power < 1")
    if not effect or math.isnan(effect):
        return math.inf
    low, high = 1.0 + 1e-9, 2.0
    while power_of(effect, high, paired=paired, alpha=alpha) < power:
        low, high = high, 2 * high
        if low > SEEDS_AT_MOST:
            return math.inf
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        enough = power_of(effect, middle, paired=paired, alpha=alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high
