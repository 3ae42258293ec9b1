"""Statistics one may publish: over seeds along a curve, and over tasks and seeds of final scores.

Only polars and the standard library compute here; scipy and rliable are what the tests compare
with.
"""

from runslot.results.statistics.curves import align, area_under_curve, band, common_range
from runslot.results.statistics.importance import (
    VarianceShares,
    divergence,
    importance,
    variance_shares,
)
from runslot.results.statistics.scores import (
    Interval,
    bootstrap,
    interquartile_mean,
    mean_interval,
    performance_profile,
    probability_of_improvement,
)
from runslot.results.statistics.smoothing import Smoothing

__all__ = [
    "Interval",
    "Smoothing",
    "VarianceShares",
    "align",
    "area_under_curve",
    "band",
    "bootstrap",
    "common_range",
    "divergence",
    "importance",
    "interquartile_mean",
    "mean_interval",
    "performance_profile",
    "probability_of_improvement",
    "variance_shares",
]
