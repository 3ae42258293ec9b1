"""Which hyperparameters matter: shares of the variance of the scores, and what each does to the
probability to diverge.

Called by `runslot.view` and from Python. What must stay true: shares are of the variance of all
counted runs and are not scaled to add up to anything, so that pure noise shows as noise.

What hyperparameters explain together is measured first: where variants have several seeds, by the
variance within them (which is what seeds explain); else by how well a random forest predicts runs
that it was not grown from. Its parts are then told apart by a forest's dependence on one or two
parameters at a time, the others as in the runs that were made (a functional analysis of variance:
Hutter et al. 2014; for a whole grid, the classical one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.quantiles import normal_quantile
from runslot.record import record
from runslot.results.accounts import DIVERGED, Rule, account
from runslot.results.results import Results
from runslot.results.standings import standing_of
from runslot.results.statistics.distributions import f_tail
from runslot.results.statistics.forests import (
    DistinctSettings,
    numeric_library,
    share_predicted,
    shares_of_forests,
    unchecked,
)
from runslot.results.statistics.magnitude import divided, exponent_of, multiplied
from runslot.results.statistics.scores import Interval
from runslot.results.summary import Mode, mode_of
from runslot.results.text.labels import text_of_value, texts_of

_FEWEST = 4
_REPLICATES = 3
"""Runs beyond the first of their variant from which the variance within variants is estimated."""
_SCORE, _GROUP, _STANDING = "_score", "_group", "_standing"
_RANGES = 6
"""Values of a parameter that are told apart; of more numbers, so many ranges of equal frequency."""


@record
class VarianceShares:
    """Of the variance of the scores of all counted runs, what explains how much; nothing is scaled
    to a sum."""

    main: Mapping[str, Interval]
    """By parameter, largest first, with the range over forests of resampled runs."""
    pairs: Mapping[tuple[str, str], Interval]
    """What two parameters do together beyond what each does, largest first: of those that do most
    by themselves (`runslot.results.statistics.forests.PAIRED`)."""
    seeds: float | None
    """The variance within variants; None where there are too few runs of one variant to tell."""
    unexplained: float
    """What is none of these: more than two parameters together, pairs that are not looked at, and,
    where `seeds` is None, chance."""
    runs: int
    """Counted runs that have a score."""


@record
class VarianceComponents:
    """Where the variance of single runs is: between variants, or within them, between seeds."""

    between: float
    """The variance of the variants' true means; 0 where the means are no further apart than seeds
    set them."""
    within: float
    """The variance between the seeds of one variant."""
    p: float
    """Of the F test that variants do not differ."""
    variants: int
    runs: int

    @property
    def seed_share(self) -> float:
        """The part of a single run's variance that its seed makes; NaN where nothing varies."""
        whole = self.between + self.within
        return self.within / whole if whole > 0 else math.nan


def variance_components(groups: Sequence[Sequence[float]]) -> VarianceComponents | None:
    """Return the components of variance of the runs of several variants, whose numbers of seeds may
    differ; None where no variant has two runs, or there is one variant.

    By the analysis of variance of one random factor (Searle, Casella and McCulloch 1992, chapter
    3): mean squares within, and (between - within) / n₀ with n₀ = (N - Σn²/N) / (k - 1).
    """
    used = [group for group in groups if group]
    if exponent := exponent_of(value for group in used for value in group):
        scaled = variance_components([divided(group, exponent) for group in used])
        if scaled is None:
            return None
        between = multiplied(scaled.between, 2 * exponent)
        within = multiplied(scaled.within, 2 * exponent)
        return VarianceComponents(between, within, scaled.p, scaled.variants, scaled.runs)
    k, total = len(used), sum(map(len, used))
    if k < 2 or total <= k:
        return None
    means = [math.fsum(group) / len(group) for group in used]
    middle = math.fsum(value for group in used for value in group) / total
    within = math.fsum(
        (value - mean) ** 2 for group, mean in zip(used, means, strict=True) for value in group
    ) / (total - k)
    between = math.fsum(
        len(group) * (mean - middle) ** 2 for group, mean in zip(used, means, strict=True)
    ) / (k - 1)
    size = (total - sum(len(group) ** 2 for group in used) / total) / (k - 1)
    p = f_tail(between / within, k - 1, total - k) if within > 0 else float(between == 0)
    return VarianceComponents(max(0.0, (between - within) / size), within, p, k, total)


def importance(
    results: Results,
    metric: str,
    mode: Mode | None = None,
    by: str = "final",
    *,
    seed: int = 0,
    x: str | None = None,
    rule: Rule | None = None,
) -> dict[str, float]:
    """Return the share of the variance of `metric` that each varying parameter explains by itself,
    largest first.

    The estimates of `variance_shares(...).main`; they add up to less than 1 where seeds or pairs
    explain the rest.
    """
    shares = variance_shares(results, metric, mode, by, seed=seed, x=x, rule=rule)
    return {name: share.estimate for name, share in shares.main.items()}


def variance_shares(
    results: Results,
    metric: str,
    mode: Mode | None = None,
    by: str = "final",
    *,
    seed: int = 0,
    x: str | None = None,
    rule: Rule | None = None,
) -> VarianceShares:
    """Return what explains the variance of the scores of the runs that count (`rule`).

    A run that lacks a parameter takes part with a value of its own. Raises `NotInstalled` without
    scikit-learn, `InvalidInput` for fewer than four runs, or scores that are all the same.
    """
    np = numeric_library()
    metric = results.metric(metric)
    accounting = account(results, metric, rule=rule)
    scores = accounting.scores(
        results.scores(metric, mode, by, x=x), mode or mode_of(metric) or "max"
    )
    marked = results.runs.with_columns(scores.alias(_SCORE), accounting.runs["group"].alias(_GROUP))
    runs = marked.filter(pl.col(_SCORE).is_finite())
    names = [name for name in results.parameters if runs[name].n_unique() > 1]
    if runs.height < _FEWEST or not names:
        raise InvalidInput(
            f"{runs.height} runs with a number and {len(names)} varying parameters are too few to"
            " tell what matters"
        )
    if runs[_SCORE].n_unique() == 1:
        raise InvalidInput(
            f"all {runs.height} runs have the same score, so that no hyperparameter explains a"
            " difference"
        )
    codes = [_codes(runs[name]) for name in names]
    scores_used = runs[_SCORE].to_list()
    numbers = divided(scores_used, exponent_of(scores_used))  # shares of a variance have no unit
    return _shares(np, names, codes, numbers, runs[_GROUP], seed)


def _codes(values: pl.Series) -> list[float]:
    """Return a number for each value, in order: trees need no more, and take any size."""
    if values.dtype.is_numeric() and not values.is_null().any() and values.is_finite().all():
        return list(map(float, values.rank("dense")))
    texts = list(map(repr, values))  # nan is not equal to itself
    order = {text: float(i) for i, text in enumerate(sorted(set(texts)))}
    return [order[text] for text in texts]


def _shares(
    np: Any,
    names: Sequence[str],
    codes: Sequence[Sequence[float]],
    scores: Sequence[float],
    groups: pl.Series,
    seed: int,
) -> VarianceShares:
    settings = DistinctSettings.of(np, codes, scores)
    seeds = _within(settings.scores, groups)
    with unchecked():
        explained = 1 - seeds if seeds is not None else share_predicted(settings, seed)
        first, *parts = shares_of_forests(settings, seed)
    shares = {}
    for key, estimate in first.items():
        low, high = np.quantile([part[key] for part in parts], [0.05, 0.95])
        bounds = (estimate, min(low, estimate), max(high, estimate))
        shares[key] = Interval(*(float(explained * value) for value in bounds))
    ordered = sorted(shares.items(), key=lambda item: -item[1].estimate)
    rest = 1 - (seeds or 0.0) - math.fsum(share.estimate for share in shares.values())
    return VarianceShares(
        main={names[key[0]]: share for key, share in ordered if len(key) == 1},
        pairs={(names[key[0]], names[key[1]]): share for key, share in ordered if len(key) == 2},
        seeds=seeds,
        unexplained=max(rest, 0.0),
        runs=len(scores),
    )


def _within(y: Any, groups: pl.Series) -> float | None:
    """Return the variance within variants as a share of all, both without bias; None where too few
    runs tell it."""
    frame = pl.DataFrame({"y": y, "group": groups})
    freedom = frame.height - frame["group"].n_unique()
    if freedom < _REPLICATES:
        return None
    y_, mean = pl.col("y"), pl.col("y").mean().over("group")
    within = frame.select(((y_ - mean) ** 2).sum()).item() / freedom
    total = frame["y"].var()
    return min(within / total, 1.0) if isinstance(total, float) and total > 0 else None


def divergence(
    results: Results, metric: str, *, rule: Rule | None = None, level: float = 0.95
) -> pl.DataFrame:
    """Return, for the values of each varying parameter, how many runs diverged, and how probable
    that makes it.

    `parameter`, `value` (text; of many numbers, ranges of equal frequency), `runs`, `diverged`,
    `share`, `low`, `high`: Wilson's interval of `level`. Of the runs whose state counts and that
    have the metric.
    """
    metric = results.metric(metric)
    runs = results.runs.with_columns(standing_of(results, metric, rule or Rule()).alias(_STANDING))
    runs = runs.filter(pl.col(_STANDING).is_in(["counted", DIVERGED]))
    runs = runs.with_columns(_diverged=pl.col(_STANDING) == DIVERGED)
    z = normal_quantile(level)
    rows: list[tuple[Any, ...]] = []
    for name in results.parameters:
        if runs[name].n_unique() < 2:
            continue
        labels = runs.select(value=pl.Series(_ranges(runs[name])), diverged="_diverged")
        counts = labels.group_by("value", maintain_order=True).agg(
            pl.len(), pl.col("diverged").sum()
        )
        for value, n, diverged in counts.iter_rows():
            rows.append((name, value, n, diverged, diverged / n, *_wilson(diverged, n, z)))
    numbers = dict.fromkeys(("share", "low", "high"), pl.Float64)
    schema = {
        "parameter": pl.String,
        "value": pl.String,
        "runs": pl.Int64,
        "diverged": pl.Int64,
        **numbers,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _ranges(values: pl.Series) -> list[str]:
    """Return each value as text; of more numbers than `_RANGES`, the range of equal frequency that
    it lies in."""
    texts = texts_of(values.unique())

    def text(value: Any) -> str:
        return texts.get(value) or text_of_value(value)

    if values.n_unique() <= _RANGES or not values.dtype.is_numeric():
        return [text(value) for value in values]
    numbers = values.fill_nan(None) if values.dtype.is_float() else values
    place = (numbers.rank("min") - 1) * _RANGES // len(numbers)
    ends = {
        number: (part.min(), part.max())
        for number in place.unique().drop_nulls()
        for part in [numbers.filter(place == number)]
    }
    return [
        text(value) if number is None else f"{text(ends[number][0])} to {text(ends[number][1])}"
        for number, value in zip(place, values, strict=True)
    ]


def _wilson(successes: int, n: int, z: float) -> tuple[float, float]:
    share, square = successes / n, z * z / n
    center = (share + square / 2) / (1 + square)
    width = z * math.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return max(0.0, center - width), min(1.0, center + width)
