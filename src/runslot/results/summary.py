"""The three numbers kept of each metric of each run: its final, lowest and highest value; and which
way is better."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import polars as pl

from runslot.results.read.steps import step_column

Mode = Literal["max", "min"]

FINAL, BEST = "final/", "best/"
"""Prefixes of the columns of `Results.runs` that hold a metric's last number and its highest or
lowest one."""

_WORD = re.compile(r"[A-Z]?[a-z]+\d*|[A-Z]+\d*(?![a-z])")
_HIGHER = re.compile(
    r"acc|accuracy|returns?|rewards?|rew|eprewmean|r|scores?|success|successes|auc|auroc|ap|map|f1|iou|precision|recall"
    r"|wins?|winrate|r2|psnr|ssim|bleu|rouge|fitness"
)
_LOSS = re.compile(r"loss|losses|err|errors?|mse|rmse|mae|nll|ppl|perplexity|bpb|fid|regret|costs?")
_LOWER = re.compile(_LOSS.pattern + "|kl|divergence|seconds|time")
_NOT_A_GOAL = re.compile(
    r"std|stdev|var|variance|sem|count|num|number|len|length|epochs?|iter|iteration|itr|steps?|time|seconds|lr|rate"
    r"|grad|norm|index"
)
_HELD_OUT = re.compile(r"test|val|valid|validation|eval|evaluation|evaluator|dev")
_AVERAGE = re.compile(r"mean|average|avg")


class Summary(NamedTuple):
    """Of one metric in one run; NaN where there is no number."""

    final: float
    """The last number; NaN where the run ended in NaN (see `summarise`)."""
    low: float
    high: float
    """Both of the finite numbers, where there are any."""


def _says(metric: str, meaning: re.Pattern[str]) -> bool:
    """Tell whether a word of the name (`evaluation/Average Returns` has three, `testLoss` two) has
    that meaning."""
    return any(meaning.fullmatch(word.lower()) for word in _WORD.findall(metric))


def mode_of(metric: str) -> Mode | None:
    """Tell from its name whether a metric is better high or low; None where the name does not
    say."""
    if _says(metric, _LOWER):
        return "min"
    return "max" if _says(metric, _HIGHER) else None


def says_which_way(metric: str) -> bool:
    """Tell whether a metric's name says that it is what runs are for: a score, or a loss."""
    return _says(metric, _HIGHER) or _says(metric, _LOSS)


def is_goal(metric: str) -> bool:
    """Tell whether a metric may be what runs are for, not what counts them or tells how they
    went."""
    return not _says(metric, _NOT_A_GOAL)


def default_metric(metrics: Sequence[str]) -> str | None:
    """Return the metric that looks most like the objective, None where there are none.

    First what its name says (accuracy, return, reward, success, …, before loss and error), then
    held-out before training data, then averages before other statistics, then the order of the
    columns. What counts steps is none.
    """

    def rank(metric: str) -> tuple[int, bool, bool, bool]:
        goal = 1 if _says(metric, _LOSS) else 0 if _says(metric, _HIGHER) else 2
        return goal, not is_goal(metric), not _says(metric, _HELD_OUT), not _says(metric, _AVERAGE)

    steps = step_column(metrics)
    return min((metric for metric in metrics if metric != steps), key=rank, default=steps)


def summarise(progress: pl.DataFrame, key: str) -> dict[int, dict[str, Summary]]:
    """Return the summaries by the value of the column `key`, whose equal values stand together.

    A gap in a column, a row in which the metric was not logged, is an empty cell or `nan`. A run
    that diverged writes `nan` too. A trailing stretch of `nan` is taken for a gap while it is no
    longer than a stretch of them between two numbers (a metric logged every tenth row); else the
    run ended in NaN, and that is its final value. Of one number alone, a shorter stretch after it
    than before it is a gap; else what a run began with says nothing.
    """
    metrics = [name for name, kind in progress.schema.items() if kind == pl.Float64 and name != key]
    if not metrics or not progress.height:
        return {}
    every = pl.col(metrics)
    table = progress.group_by(key, maintain_order=True).agg(
        every.last().name.prefix("final "),
        every.min().name.prefix("low "),
        every.max().name.prefix("high "),
    )
    unclear = [
        m
        for m in metrics
        if not table.get_column(f"final {m}").is_finite().fill_null(value=False).all()
    ]
    if unclear:
        ends = (
            progress.lazy()
            .group_by(key, maintain_order=True)
            .agg([_end(m).alias(f"final {m}") for m in unclear])
        )
        table = table.with_columns(ends.collect().drop(key))
    table = _without_infinite_extremes(progress, key, metrics, table)
    keys = table[key].to_list()
    summaries: dict[int, dict[str, Summary]] = {k: {} for k in keys}
    for metric in metrics:
        columns = [table[f"{part} {metric}"].to_list() for part in ("final", "low", "high")]
        for k, *values in zip(keys, *columns, strict=True):
            if values[1] is not None:  # the run has this column
                summaries[k][metric] = Summary(*(math.nan if v is None else v for v in values))
    return summaries


def _without_infinite_extremes(
    progress: pl.DataFrame, key: str, metrics: Sequence[str], table: pl.DataFrame
) -> pl.DataFrame:
    """Return the table with the extremes of the numbers that are finite, where there are any: a
    spike to infinity that a run recovered from is no score."""
    spiked = [
        m
        for m in metrics
        if table[f"low {m}"].is_infinite().any() or table[f"high {m}"].is_infinite().any()
    ]
    if not spiked:
        return table
    finite = pl.col(spiked).filter(pl.col(spiked).is_finite())
    ends = progress.group_by(key, maintain_order=True).agg(
        finite.min().name.prefix("low "), finite.max().name.prefix("high ")
    )
    names = [name for name in ends.columns if name != key]
    return table.with_columns(ends[name].fill_null(table[name]) for name in names)


def _end(metric: str) -> pl.Expr:
    """Return the last number, or NaN where the rows after it are a stretch of NaN longer than any
    gap."""
    cell = pl.col(metric)
    at = pl.int_range(pl.len()).filter(cell.is_not_nan() & cell.is_not_null())
    trailing = pl.len() - 1 - at.last()
    longest = (
        pl.when(at.len() == 1).then(at.first().cast(pl.Int64) - 1).otherwise(at.diff().max() - 1)
    )
    last = cell.filter(cell.is_not_nan() & cell.is_not_null()).last()
    ended = cell.last().is_nan().fill_null(value=False) & (trailing > longest)
    return pl.when(ended).then(pl.lit(math.nan)).otherwise(last)
