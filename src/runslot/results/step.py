"""Runs at one step: what each had reached there, in place of what it ended with.

Called by `runslot results --at` and from Python. What must stay true: a run that does not reach the
step has no value there, and one that diverged before it is still one that diverged.
"""

from __future__ import annotations

import dataclasses
import math

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import Results
from runslot.results.statistics.curves import align
from runslot.results.summary import FINAL


def results_at(results: Results, at: str, metric: str) -> Results:
    """Return the runs with the value of `metric` at a step (`step=1e6`, any metric that grows) in
    place of their final one.

    Between two rows it is interpolated linearly. Raises `InvalidInput` for text that is not
    `METRIC=NUMBER`, for a metric that no run has, and for a step that no run reaches.
    """
    name, equals, number = at.partition("=")
    try:
        step = float(number)
    except ValueError:
        step = math.nan
    if not equals or not math.isfinite(step):
        raise InvalidInput(f"--at {at}: say a metric that counts and its value, as --at step=1e6")
    name = name.strip()
    along = "row" if name == "row" else results.metric(name)
    metric = results.metric(metric)
    ends = results.runs[FINAL + metric]
    curves = align(results.progress, along, metric, at=pl.Series([step], dtype=pl.Float64)).select(
        "run", _at="y"
    )
    if not curves.height:
        last = results.progress[along].fill_nan(None).max()
        reach = f"; the furthest is at {last:g}" if isinstance(last, int | float) else ""
        raise InvalidInput(f"--at {at}: no run reaches it{reach}")
    joined = results.runs.select("run").join(curves, on="run", how="left", maintain_order="left")
    diverged = ends.is_not_null() & ~ends.is_finite()
    values = pl.select(
        pl.when(joined["_at"].is_null() & diverged).then(math.nan).otherwise(joined["_at"])
    ).to_series()
    runs = results.runs.with_columns(values.alias(FINAL + metric))
    return dataclasses.replace(results, runs=runs, at=f"{along} = {number.strip()}")
