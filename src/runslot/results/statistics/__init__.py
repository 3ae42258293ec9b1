"""Statistics one may publish: over seeds along a curve, and over tasks and seeds of final scores.

Only polars and the standard library compute here; scipy and rliable are what the tests compare
with.
"""

from runslot.results.statistics.curves import Smoothing, align, area_under_curve, band, common_range
from runslot.results.statistics.differences import (
    Difference,
    Sample,
    anytime_width,
    difference,
    holm,
    rank_sum_p,
    sign_flip_p,
    signed_rank_p,
    t_evidence,
)
from runslot.results.statistics.importance import (
    VarianceComponents,
    VarianceShares,
    divergence,
    importance,
    variance_components,
    variance_shares,
)
from runslot.results.statistics.power import power_of, runs_needed
from runslot.results.statistics.profiles import performance_profile
from runslot.results.statistics.rankings import (
    BestInterval,
    RankTest,
    best_intervals,
    friedman,
    rank_test,
)
from runslot.results.statistics.scores import (
    Interval,
    bootstrap,
    interquartile_mean,
    mean_interval,
    probability_of_improvement,
)
from runslot.results.statistics.selection import expected_best, optimism, shrunken_means

__all__ = [
    "BestInterval",
    "Difference",
    "Interval",
    "RankTest",
    "Sample",
    "Smoothing",
    "VarianceComponents",
    "VarianceShares",
    "align",
    "anytime_width",
    "area_under_curve",
    "band",
    "best_intervals",
    "bootstrap",
    "common_range",
    "difference",
    "divergence",
    "expected_best",
    "friedman",
    "holm",
    "importance",
    "interquartile_mean",
    "mean_interval",
    "optimism",
    "performance_profile",
    "power_of",
    "probability_of_improvement",
    "rank_sum_p",
    "rank_test",
    "runs_needed",
    "shrunken_means",
    "sign_flip_p",
    "signed_rank_p",
    "t_evidence",
    "variance_components",
    "variance_shares",
]
