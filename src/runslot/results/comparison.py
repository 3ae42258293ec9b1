"""Variants side by side: one row each, mean and spread over its runs, best first; what was left out is counted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import Results
from runslot.results.summary import Mode, default_metric, mode_of

COUNTED = frozenset({"succeeded", None})
"""States of the runs that count by default; None: a kind of directory that does not tell."""
_ORDER = ("succeeded", "running", "queued", "failed", "timed_out", "stopped", "lost")


@dataclass(frozen=True)
class Comparison:
    """Variants × the final and best values of one metric."""

    results: Results
    metric: str | None
    """None where no run has a metric."""
    mode: Mode
    chosen: str
    """How metric and mode were chosen, in words; empty where both were given."""
    keys: tuple[str, ...]
    """The columns of `table` that tell the variants apart."""
    table: pl.DataFrame
    """Best first: `keys`, `n` (runs that count and have the metric), `runs` (all of the variant), `final_mean`,
    `final_std`, `best_mean`, `best_std`, and a column a state of runs that do not count. Standard deviations are of
    the sample (n - 1), null for one run. A run that ended in NaN makes its variant's final NaN, and that comes last."""
    states: dict[str, int]
    """How many runs are in each state (`unknown`: the directory does not tell), of all runs; those that have no
    directory yet are not among them but in `results.waiting`."""
    left_out: int
    """Runs that do not count, because of their state."""


def compare(
    results: Results,
    metric: str | None = None,
    mode: Mode | None = None,
    include: Collection[str] = (),
) -> Comparison:
    """Compare the variants of `results` by one metric.

    Without `metric` the one that looks most like the objective is taken; without `mode` its name decides, else higher
    is better. Runs that did not succeed count only if their state is in `include` (`all`: every run counts).
    """
    name = results.metric(metric) if metric is not None else default_metric(results.metrics)
    way = mode or (mode_of(name) if name else None)
    chosen = _how_chosen(name, metric, mode, way)
    counted = _counted(include)
    runs = results.runs.with_columns(
        _counts=pl.col("state").is_in([s for s in counted if s]) | (pl.col("state").is_null() & (None in counted)),
        _final=pl.col(f"final/{name}") if name else pl.lit(None, pl.Float64),
        _best=results.scores(name, way or "max", "best")["score"] if name else pl.lit(None, pl.Float64),
    ).with_columns(pl.col("_counts").fill_null(None in counted))
    table = _by_variant(runs, results.identity, way or "max", {s for s in counted if s})
    states = {state or "unknown": count for state, count in runs["state"].value_counts().iter_rows()}
    ordered = dict(sorted(states.items(), key=lambda item: (*_ORDER, "unknown").index(item[0])))
    left_out = runs.height - int(runs["_counts"].sum())
    return Comparison(results, name, way or "max", chosen, results.identity, table, ordered, left_out)


def _counted(include: Collection[str]) -> set[str | None]:
    known = {*_ORDER, "all"}
    for state in include:
        if state not in known:
            raise InvalidInput(f"{state!r} is not a state of runs; choose among {', '.join((*_ORDER, 'all'))}")
    return {None, *(_ORDER if "all" in include else {"succeeded", *include})}


def _how_chosen(name: str | None, metric: str | None, mode: Mode | None, way: Mode | None) -> str:
    if name is None:
        return ""
    parts = []
    if metric is None:
        parts.append(f"{name} was chosen by its name (--metric for another)")
    if mode is None:
        parts.append(
            f"{'higher' if way == 'max' else 'lower'} is taken for better (--mode)"
            if way
            else "the name does not say which way is better, so higher is taken (--mode)"
        )
    return "; ".join(parts)


def _by_variant(runs: pl.DataFrame, keys: tuple[str, ...], mode: Mode, counted: set[str]) -> pl.DataFrame:
    counts = pl.col("_counts")
    final, best = pl.col("_final").filter(counts), pl.col("_best").filter(counts)
    states = [s for s in _ORDER if s not in counted and s in set(runs["state"])]
    table = (
        runs.with_columns(_all=pl.lit(0))
        .group_by([*keys] or ["_all"], maintain_order=True)
        .agg(
            n=final.count(),
            runs=pl.len(),
            final_mean=final.mean(),
            final_std=final.std(),
            best_mean=best.filter(best.is_not_nan()).mean(),
            best_std=best.filter(best.is_not_nan()).std(),
            **{state: (pl.col("state") == state).sum() for state in states},
        )
    )
    order = pl.col("final_mean").fill_nan(None)
    return table.sort(order, descending=mode == "max", nulls_last=True, maintain_order=True).drop("_all", strict=False)
