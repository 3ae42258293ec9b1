"""The t test that one may look at after every run: an e-value that reaches 1 / α with a chance of α
at most, ever. Pure.

Called by `differences`, and so by whatever shows verdicts while a sweep runs. A t test that is
looked at after each seed from 3 to 30 calls equal variants different in one sweep of four
(`benchmarks/peeking.py`); this one errs less often than α.

Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance", arXiv 2310.03722: the likelihood ratio of the t statistic when the standardised effect is
drawn from N(0, g), against none.
"""

from __future__ import annotations

import math

from runslot.errors import InvalidInput

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
