"""Curves over seeds: runs of unequal length and spacing on one x axis, and the middle and spread of
each group.

Runs are never paired by the index of their rows, and never drawn longer than they are: where one
ends, n drops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import polars as pl

from runslot.errors import InvalidInput, nearest
from runslot.quantiles import t_quantile
from runslot.record import record
from runslot.results.statistics.resamples import interval, trimmed

Method = Literal["interpolate", "last"]
Band = Literal["mean-ci", "mean-std", "mean-sem", "median-quartiles", "iqm"]

_SQUARED_ABOVE, _SQUARED_BELOW = 1e-150, 1e150
"""Between them a square is a number that has all its digits."""
POINTS = 1000
"""More different x values than this are replaced by so many, evenly spaced."""


def align(
    progress: pl.DataFrame,
    x: str,
    y: str,
    *,
    run: str = "run",
    method: Method = "interpolate",
    points: int = POINTS,
    at: pl.Series | None = None,
) -> pl.DataFrame:
    """Return `run`, `x`, `y` with all runs at the same values of x, each only between its own first
    and last.

    A run is interpolated linearly, or holds its `last` value (for what changes in steps, as a best
    so far). Rows without a number in x or y are gaps and left out; of several rows with one x, the
    last counts. The x values are those of all runs together; where they are more than `points`, as
    many evenly spaced ones; or `at`, ascending.
    """
    if points < 2:
        raise InvalidInput(f"points={points}: a curve needs two or more")
    curves = _numbers(progress, x, y, run)
    grid = _grid(curves["x"], points) if at is None else at.cast(pl.Float64).alias("x")
    if at is None and len(grid) * curves["run"].n_unique() == curves.height:
        return curves.sort("run", "x", maintain_order=True)  # they stand so already
    return _on_grid(curves, grid, method)


def _numbers(progress: pl.DataFrame, x: str, y: str, run: str) -> pl.DataFrame:
    """Return `run`, `x`, `y` without gaps, one row a value of x."""
    for name in (run, x, y):
        if name not in progress.columns:
            raise InvalidInput(f"there is no column {name!r}{nearest(name, progress.columns)}")
    curves = (
        progress.select(
            pl.col(run).alias("run"), pl.col(x).cast(pl.Float64).alias("x"), pl.col(y).alias("y")
        )
        .drop_nulls()
        .filter(pl.col("x").is_finite() & pl.col("y").is_not_nan())
    )
    return (
        curves
        if _in_order(curves)
        else curves.unique(["run", "x"], keep="last", maintain_order=True)
    )


def _in_order(curves: pl.DataFrame) -> bool:
    """Tell whether each run's rows stand together and its x grows: then no row is there twice, nor
    out of place."""
    begins = curves["run"] != curves["run"].shift()
    grows = (begins | (curves["x"] > curves["x"].shift())).fill_null(value=True)
    return bool(grows.all()) and int(begins.fill_null(value=True).sum()) == curves["run"].n_unique()


def _grid(x: pl.Series, points: int) -> pl.Series:
    grid: pl.Series = x.unique().sort()
    if len(grid) <= points:
        return grid
    low, high = float(grid[0]), float(grid[-1])
    step = (high - low) / (points - 1)
    return pl.Series("x", [*(low + step * i for i in range(points - 1)), high], dtype=pl.Float64)


def _on_grid(curves: pl.DataFrame, grid: pl.Series, method: Method) -> pl.DataFrame:
    targets = curves.select(pl.col("run").unique(maintain_order=True)).join(
        pl.DataFrame({"x": grid}), how="cross"
    )
    targets = targets.with_columns(y=pl.lit(None, pl.Float64), wanted=pl.lit(value=True))
    points = curves.with_columns(wanted=pl.lit(value=False))
    # Of equal x the known row stands first, so that the wanted one can take its value.
    mixed = pl.concat([points, targets], how="vertical").sort(
        "run", "x", "wanted", maintain_order=True
    )
    y = pl.col("y")
    if method == "interpolate":
        same = (pl.col("x") == pl.col("x").shift()) & (pl.col("run") == pl.col("run").shift())
        at_known = pl.when(pl.col("wanted") & same).then(y.shift()).otherwise(y)
        filled = mixed.with_columns(y=at_known).with_columns(y=y.interpolate_by("x").over("run"))
    else:
        after_end = pl.col("x") > pl.col("x").filter(~pl.col("wanted")).max().over("run")
        filled = mixed.with_columns(
            y=pl.when(after_end).then(None).otherwise(y.forward_fill().over("run"))
        )
    return filled.filter(pl.col("wanted")).drop("wanted").drop_nulls("y")


def band(
    aligned: pl.DataFrame,
    statistic: Band = "mean-ci",
    *,
    by: Sequence[str] = (),
    level: float = 0.95,
    repetitions: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return `by`, `x`, `n`, `center`, `low`, `high`: the middle and the spread over the runs that
    reach each x.

    `mean-ci`: mean and Student's t interval of `level`, pointwise; `mean-std` and `mean-sem`: mean
    ± standard deviation of the sample, or standard error. `median-quartiles`: with linear
    interpolation. `iqm`: interquartile mean with a bootstrap interval of `level`, whole runs
    resampled within their group, which covers too little below ten runs. Where there is one run,
    `low` and `high` are null. `aligned` is what `align` gives, with the columns `by` added.
    """
    _check_level(level)
    keys = [*by, "x"]
    count = pl.len().alias("n")
    y = pl.col("y")
    grouped = aligned.group_by(keys)
    if statistic in {"mean-ci", "mean-std", "mean-sem"}:
        spread = deviation("y", aligned["y"])
        width = spread if statistic == "mean-std" else spread / pl.len().sqrt()
        table = grouped.agg(count, center=y.mean(), width=width)
        if statistic == "mean-ci":
            table = table.with_columns(width=pl.col("width") * _quantiles(table["n"], level))
        center, width = pl.col("center"), pl.col("width")
        table = table.with_columns(low=center - width, high=center + width).drop("width")
    elif statistic == "median-quartiles":
        low, high = (pl.when(pl.len() > 1).then(y.quantile(q, "linear")) for q in (0.25, 0.75))
        table = grouped.agg(count, center=y.median(), low=low, high=high)
    elif statistic == "iqm":
        centers = interquartile(aligned, by)
        return with_interval(centers, aligned, by, level=level, repetitions=repetitions, seed=seed)
    else:
        raise InvalidInput(
            f"{statistic!r} is not a statistic of curves; choose among {', '.join(get_args(Band))}"
        )
    return table.sort(keys)


def deviation(column: str, values: pl.Series) -> pl.Expr:
    """Return the standard deviation of a column of these `values`, as an aggregation.

    Squares of what a run that explodes ends in are beyond all floats, and those of what vanishes
    are 0: such groups are scaled by their largest value.
    """
    y = pl.col(column)
    largest = values.abs().fill_nan(None).max()
    if not isinstance(largest, float) or _SQUARED_ABOVE < largest < _SQUARED_BELOW:
        return y.std()
    scale = y.abs().max()
    is_far = (scale > _SQUARED_BELOW) | (scale < _SQUARED_ABOVE) & (scale > 0)
    return pl.when(is_far).then((y / scale).std() * scale).otherwise(y.std())


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InvalidInput(f"level={level} is not between 0 and 1; 0.95 is usual")


def _quantiles(n: pl.Series, level: float) -> pl.Series:
    """Return Student's t for each number of runs; null for one."""
    quantiles = {count: t_quantile(level, count - 1) if count > 1 else None for count in n.unique()}
    return pl.Series([quantiles[count] for count in n], dtype=pl.Float64)


def interquartile(aligned: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return `by`, `x`, `n`, `center`: the interquartile mean over the runs that reach each x."""
    keys = [*by, "x"]
    return aligned.group_by(keys).agg(pl.len().alias("n"), center=trimmed("y")).sort(keys)


def with_interval(
    centers: pl.DataFrame,
    aligned: pl.DataFrame,
    by: Sequence[str] = (),
    *,
    level: float = 0.95,
    repetitions: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return `centers` with `low` and `high`: the bootstrap interval at its values of x, which may
    be some of all.

    The runs of each group of equal `by` are resampled as wholes.
    """
    _check_level(level)
    keys = [*by, "x"]
    points = aligned.join(centers.select(keys), on=keys, how="semi", nulls_equal=True)
    groups = points.partition_by(by, maintain_order=True) if by else [points]
    parts = [
        interval(group, level, repetitions, seed).with_columns(
            [pl.lit(group[key][0]).alias(key) for key in by]
        )
        for group in groups
        if group.height
    ]
    if not parts:
        return centers.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    bounds = pl.concat(parts).cast({key: centers.schema[key] for key in keys})
    joined = centers.join(bounds, on=keys, how="left", nulls_equal=True, maintain_order="left")
    # Of one run nothing is known but itself.
    return joined.with_columns(pl.when(pl.col("n") > 1).then(pl.col("low", "high")))


def common_range(
    progress: pl.DataFrame, x: str, y: str, *, run: str = "run"
) -> tuple[float, float] | None:
    """Return the range of x that every run with two points or more has; None where there is
    none."""
    ends = (
        _numbers(progress, x, y, run)
        .group_by("run")
        .agg(low=pl.col("x").min(), high=pl.col("x").max())
    )
    low, high = (
        ends.filter(pl.col("high") > pl.col("low"))
        .select(pl.col("low").max(), pl.col("high").min())
        .row(0)
    )
    return (low, high) if low is not None and low < high else None


def area_under_curve(
    progress: pl.DataFrame,
    x: str,
    y: str,
    *,
    run: str = "run",
    normalise: bool = True,
    between: tuple[float, float] | None = None,
) -> pl.DataFrame:
    """Return `run`, `area`, `from`, `to`: the area under each run's curve by the trapezoid rule.

    With `normalise` it is divided by its length along x, so that it is the curve's mean height.
    Areas can be compared only over the same range of x: that is `between`, as `common_range`
    returns it; a run that does not reach both its ends has no area. Without it each area is over
    the run's own `from` and `to`.
    """
    curves = _numbers(progress, x, y, run)
    if not _in_order(curves):
        curves = curves.sort("run", "x", maintain_order=True)
    if between is not None:
        curves = _cut(curves, *between)
    width, height = pl.col("x").diff(), (pl.col("y") + pl.col("y").shift()) / 2
    start, end = pl.col("x").first(), pl.col("x").last()
    area = (width * height).sum()
    length = pl.when(end > start).then(end - start)
    return curves.group_by("run", maintain_order=True).agg(
        area=area / length if normalise else area, **{"from": start, "to": end}
    )


def _cut(curves: pl.DataFrame, low: float, high: float) -> pl.DataFrame:
    """Return the part of each curve between two values of x, whose ends are interpolated."""
    ends = _on_grid(curves, pl.Series("x", [low, high], dtype=pl.Float64), "interpolate")
    whole = ends.group_by("run").len().filter(pl.col("len") == 2)
    inner = curves.filter((pl.col("x") > low) & (pl.col("x") < high))
    return (
        pl.concat([ends, inner])
        .join(whole, on="run", how="semi")
        .sort("run", "x", maintain_order=True)
    )


_GRID = 2**50


@record
class Smoothing:
    """How each run's curve is smoothed, before anything is averaged over runs."""

    kind: Literal["mean", "exponential"] = "mean"
    """`mean`: of the last `width` rows; `exponential`: weights that fall by 1 - 1/width a row,
    without a bias to the first one. Both look only back, so that a curve never knows its future."""
    width: float = 1
    x: str | None = None
    """The column along which `width` is measured, so that runs that log in other steps are smoothed
    alike: the mean of what lies less than `width` back. None: rows."""

    def __post_init__(self) -> None:
        if self.kind not in {"mean", "exponential"}:
            raise InvalidInput(f"{self.kind!r} is not a smoothing; choose mean or exponential")
        if self.x is None and (self.width < 1 or self.width != int(self.width)):
            raise InvalidInput(f"a smoothing over {self.width:g} rows; 1 leaves the curve as it is")
        if self.x is not None and (self.kind == "exponential" or not 0 < self.width < math.inf):
            raise InvalidInput(
                f"a smoothing along {self.x} is a mean over a width above 0, not {self}"
            )

    def __str__(self) -> str:
        words = (
            "running mean over"
            if self.kind == "mean"
            else "exponential moving average, weight falling over"
        )
        if self.x is not None:
            return f"smoothed: {words} the last {self.width:g} of {self.x}"
        return "not smoothed" if self.width == 1 else f"smoothed: {words} {self.width:g} rows"

    def apply(self, progress: pl.DataFrame, y: str, *, run: str = "run") -> pl.DataFrame:
        """Return the rows with `y` smoothed along each run; a gap stays a gap and has no weight."""
        cell = pl.col(y).fill_nan(None)
        if self.x is not None:
            return self._along(progress, self.x, y, run)
        if self.width == 1:
            return progress
        if self.kind == "mean":
            smooth = cell.rolling_mean(int(self.width), min_samples=1)
        else:
            smooth = cell.ewm_mean(alpha=1 / self.width, adjust=True, ignore_nulls=True)
        return progress.with_columns(pl.when(cell.is_not_null()).then(smooth.over(run)).alias(y))

    def _along(self, progress: pl.DataFrame, x: str, y: str, run: str) -> pl.DataFrame:
        # Polars rolls along integers alone: x is put on a grid that is finer than anything that can
        # be drawn.
        at = progress[x].cast(pl.Float64).fill_nan(None)
        low, high = (
            v if isinstance(v, float) and math.isfinite(v) else 0.0 for v in (at.min(), at.max())
        )
        scale = _GRID / max(high - low, self.width)
        window = max(1, round(self.width * scale))
        cell = pl.col(y).fill_nan(None)
        place = ((pl.col(x).cast(pl.Float64) - low) * scale).round().cast(pl.Int64, strict=False)
        gap = cell.is_null() | place.is_null()
        rows = progress.with_row_index("_row").with_columns(_x=place, _y=cell)
        smooth = (
            rows.filter(~gap)
            .sort(run, "_x", maintain_order=True)
            .select("_row", _smooth=pl.col("_y").rolling_mean_by("_x", f"{window}i").over(run))
        )
        joined = rows.join(smooth, on="_row", how="left", maintain_order="left")
        return joined.with_columns(pl.col("_smooth").alias(y)).select(progress.columns)
