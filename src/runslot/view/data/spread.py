"""The middle and the spread of each series, and runs by themselves, as the points that are drawn.
Pure.

`runslot.view.data.curves` calls it for each metric. What must stay true: a group's curve ends where
the first of its runs diverged, unless the rule drops such runs or takes them for the worst; runs of
several tasks are never averaged unscaled; extremes are kept.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import polars as pl

from runslot.record import record
from runslot.results.statistics import band
from runslot.results.statistics.curves import Band, interquartile, with_interval
from runslot.view.data.alignment import Aligned, Rows, align_series, decimate
from runslot.view.data.choices import Choices

FEW_RUNS = 5
"""Runs of a group below which they are drawn themselves in place of an interval."""
ALL_RESAMPLINGS = 1000
"""Resamplings of a bootstrap that need not hurry."""
_QUICK_CELLS, _CELLS = 1_000_000, 8_000_000
"""Values at which runs are aligned: what a screen waits for, and what a paper does."""
_RESAMPLED_VALUES = 12_000_000
_FEWEST_RESAMPLINGS, _FEWEST_INTERVALS = 200, 24


def words_of(statistic: str, level: float = 0.95) -> str:
    """Return what a band shows, in words for captions."""
    percent = f"{100 * level:.4g} %"
    return {
        "auto": f"mean ± {percent} t (n < {FEW_RUNS}: runs)",
        "mean-ci": f"mean ± {percent} t interval",
        "mean-std": "mean ± standard deviation",
        "mean-sem": "mean ± standard error",
        "median-quartiles": "median, quartiles",
        "iqm": f"interquartile mean, {percent} bootstrap interval",
        "runs": "each run",
    }[statistic]


def words_at(statistic: str, level: float, sizes: Collection[int]) -> str:
    """Return what a band shows of groups of so many runs."""
    if statistic != "auto" or not sizes or min(sizes) >= FEW_RUNS:
        return words_of("mean-ci" if statistic == "auto" else statistic, level)
    if max(sizes) >= FEW_RUNS:
        return words_of(statistic, level)
    return "mean and each run" if max(sizes) > 1 else "each run"


@record
class SpreadRequest:
    """How the points of one metric are wanted."""

    choices: Choices
    quick: bool
    metrics: int
    """How many metrics the view has."""
    points: int
    """About how many points a curve has at most."""
    banded: bool


@record
class Numbers:
    """What is drawn of one metric: its points, and what was left out of them."""

    frame: pl.DataFrame
    coarse: int
    repetitions: int


_NULL = pl.lit(None, pl.Float64)


def lines_of(
    request: SpreadRequest, plain: pl.DataFrame, runs: pl.DataFrame, *, member: bool
) -> pl.DataFrame:
    """Return runs by themselves."""
    lines = plain.join(
        runs.select("run", "panel", "series"), on="run", how="inner", maintain_order="left"
    )
    lines = lines.select(
        "panel",
        "series",
        "run",
        "x",
        n=pl.lit(1, pl.UInt32),
        center="y",
        low=_NULL,
        high=_NULL,
        member=pl.lit(member),
    )
    return decimate(lines, "run", request.points, log="x" in request.choices.log)


def scaled(plain: pl.DataFrame, finals: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows and finals so that 0 and 1 are the lowest and highest final value of each task.

    `finals` has `run`, `task`, `final`, and `low` and `high` of its task. Where these are equal,
    all rows of the task lie between 0 and 1 instead.
    """
    rows = plain.join(finals.select("run", "task"), on="run", how="left")
    ranges = rows.group_by("task").agg(least=pl.col("y").min(), most=pl.col("y").max())
    tasks = finals.select("task", "low", "high").unique("task").join(ranges, on="task", how="left")
    apart, spread = pl.col("high") > pl.col("low"), pl.col("most") > pl.col("least")
    base = pl.when(apart).then("low").when(spread).then("least").otherwise(pl.col("least") - 0.5)
    span = (
        pl.when(apart)
        .then(pl.col("high") - pl.col("low"))
        .when(spread)
        .then(pl.col("most") - pl.col("least"))
    )
    scales = finals.select("run", "task", "final").join(
        tasks.select("task", base=base, span=span.otherwise(1.0)),
        on="task",
        how="left",
        maintain_order="left",
    )
    both = plain.join(
        scales.select("run", "base", "span"), on="run", how="left", maintain_order="left"
    )
    onto = (pl.col("base"), pl.col("span"))
    return (
        both.with_columns(y=(pl.col("y") - onto[0]) / onto[1]).select(plain.columns),
        scales.select("run", final=(pl.col("final") - onto[0]) / onto[1]),
    )


def means_of(
    request: SpreadRequest,
    plain: pl.DataFrame,
    members: pl.DataFrame,
    rows: Rows,
    ends: pl.DataFrame | None = None,
) -> Numbers:
    """Return the middle and the spread of each series in each panel.

    `ends` has by `run` the `final` of those that diverged and count as the worst, and between which
    x it has rows.
    """
    drop = request.choices.diverged == "drop"
    used = members.filter(~pl.col("diverged")) if drop else members
    group_of = used.select(at=pl.struct("panel", "series").rank("dense").cast(pl.Int32))["at"]
    cells = _QUICK_CELLS if request.quick else _CELLS
    aligned = align_series(plain, rows.column_of(used["run"], group_of), cells)
    placed = aligned.frame.join(used, on="run", how="inner", maintain_order="left")
    if ends is not None:
        placed = _with_worst(placed, plain, members, ends)
    elif not drop:
        placed = _before_divergence(placed, plain, used)
    return _spread(request, placed, aligned, members)


def _with_worst(
    placed: pl.DataFrame, plain: pl.DataFrame, members: pl.DataFrame, ends: pl.DataFrame
) -> pl.DataFrame:
    """Return the runs of each group with those that diverged at the worst final value from there
    on."""
    by = ["panel", "series"]
    spans = (
        members.join(ends, on="run", how="left")
        .group_by(by)
        .agg(pl.col("start").min(), pl.col("stop").max())
    )
    limits = [spans.select(*by, x=name) for name in ("start", "stop")]
    grid = pl.concat([placed.select(*by, "x"), *limits]).drop_nulls("x").unique()
    last = plain.group_by("run").agg(end=pl.col("x").max())
    diverged = (
        members.filter("diverged").join(last, on="run", how="left").join(ends, on="run", how="left")
    )
    after = diverged.join(grid, on=by, how="left").filter(
        pl.col("end").is_null() | (pl.col("x") > pl.col("end"))
    )
    further = after.with_columns(y="final").drop_nulls(["x", "y"]).filter(pl.col("y").is_finite())
    return pl.concat([placed, further.select(placed.columns)])


def _before_divergence(
    placed: pl.DataFrame, plain: pl.DataFrame, members: pl.DataFrame
) -> pl.DataFrame:
    """Return the part of each group at which all of its runs had a value: a mean over the others
    would flatter it. A group of which a run never had one has no such part."""
    diverged = members.filter("diverged")
    if not diverged.height:
        return placed
    ends = plain.group_by("run").agg(end=pl.col("x").max())
    first = (
        diverged.join(ends, on="run", how="left")
        .group_by("panel", "series")
        .agg(end=pl.col("end").fill_null(-math.inf).min())
    )
    both = placed.join(first, on=["panel", "series"], how="left", maintain_order="left")
    return both.filter(pl.col("end").is_null() | (pl.col("x") <= pl.col("end"))).drop("end")


def _spread(
    request: SpreadRequest, placed: pl.DataFrame, aligned: Aligned, members: pl.DataFrame
) -> Numbers:
    choices, by = request.choices, ("panel", "series")
    log = "x" in choices.log
    statistic: Band = "mean-ci" if choices.band in {"auto", "runs"} else choices.band  # type: ignore[assignment]

    def thin(frame: pl.DataFrame) -> pl.DataFrame:
        shape = frame.with_columns(run=pl.lit(None, pl.UInt32), member=pl.lit(value=False))
        numbered = shape.with_columns(curve=pl.struct(by).rank("dense"))
        return decimate(numbered, "curve", request.points, log=log)

    if statistic != "iqm":
        bands = band(placed, statistic, by=by, level=choices.level)
        if choices.band == "auto":
            wide = pl.col("size") >= FEW_RUNS
            counted = members.filter(~pl.col("diverged")) if choices.diverged == "drop" else members
            sizes = counted.group_by(by).agg(size=pl.len())
            bands = bands.join(sizes, on=by, how="left", maintain_order="left")
            bands = bands.with_columns(
                low=pl.when(wide).then("low"), high=pl.when(wide).then("high")
            )
        bands = bands if request.banded else bands.with_columns(low=_NULL, high=_NULL)
        return Numbers(_columns(thin(bands)), aligned.coarse, ALL_RESAMPLINGS)
    centers = interquartile(placed, by).with_columns(low=_NULL, high=_NULL)
    if not request.banded:
        return Numbers(_columns(thin(centers)), aligned.coarse, ALL_RESAMPLINGS)
    if not request.quick:
        points = thin(centers)
        bands = with_interval(
            points.drop("low", "high"), placed, by, level=choices.level, repetitions=ALL_RESAMPLINGS
        )
        return Numbers(_columns(bands), aligned.coarse, ALL_RESAMPLINGS)
    points = thin(centers)
    runs = max(1, members.height * request.metrics)
    places = max(
        _FEWEST_INTERVALS, min(request.points, _RESAMPLED_VALUES // _FEWEST_RESAMPLINGS // runs)
    )
    longest = max(points["curve"].rle().struct.field("len"), default=1)
    repetitions = max(
        _FEWEST_RESAMPLINGS // 2,
        min(ALL_RESAMPLINGS, _RESAMPLED_VALUES // places // runs // 10 * 10),
    )
    bands = _with_some_intervals(
        points, placed, by, -(-longest // places), repetitions, choices.level
    )
    return Numbers(_columns(bands), aligned.coarse, repetitions)


def _columns(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "panel",
        "series",
        "run",
        "x",
        pl.col("n").cast(pl.UInt32),
        "center",
        "low",
        "high",
        "member",
    )


def _with_some_intervals(
    centers: pl.DataFrame,
    aligned: pl.DataFrame,
    by: Sequence[str],
    step: int,
    repetitions: int,
    level: float,
) -> pl.DataFrame:
    """Return `centers` with intervals that are computed at each `step`-th point of a curve, at its
    last one, and where n changes, and are drawn straight between."""
    at = pl.int_range(pl.len()).over("curve")
    n = pl.col("n")
    changes = (n != n.shift(1).over("curve")) | (n != n.shift(-1).over("curve"))
    is_computed = (
        (at % step == 0) | (at == pl.len().over("curve") - 1) | changes.fill_null(value=True)
    )
    points = centers.filter(is_computed) if step > 1 else centers
    intervals = with_interval(
        points.drop("low", "high"), aligned, by, repetitions=repetitions, level=level
    )
    if step <= 1:
        return intervals
    ends = intervals.select(
        "curve",
        "x",
        below=pl.col("center") - pl.col("low"),
        above=pl.col("high") - pl.col("center"),
    )
    both = centers.drop("low", "high").join(
        ends, on=["curve", "x"], how="left", maintain_order="left"
    )
    between = both.with_columns(pl.col("below", "above").interpolate_by("x").over("curve"))
    low, high = pl.col("center") - pl.col("below"), pl.col("center") + pl.col("above")
    return between.with_columns(low=low, high=high).drop("below", "above")


def few_of(members: pl.DataFrame) -> pl.DataFrame:
    """Return the runs of groups so small that they are drawn themselves; a single one is its own
    mean."""
    size = pl.len().over("panel", "series")
    return members.filter((size < FEW_RUNS) & (size > 1))
