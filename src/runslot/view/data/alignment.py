"""Rows of runs as curves: along one x, over the runs of a series, as exactly as they can be had.
Pure.

Here too: runs by number (`Rows`), and how many points a screen shows (`decimate`).
`runslot.view.data.curves` calls it. What must stay true: the values of x are all those that some
run of the series has, unless that is more than a machine should compute, and then it is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.results import Results
from runslot.results.statistics import Smoothing, align
from runslot.view.data.choices import ROW

_FEWEST_POINTS = 100


@record
class Aligned:
    """Runs of several series, each series at values of x of its own."""

    frame: pl.DataFrame
    """`run` (its number), `x`, `y`."""
    coarse: int
    """At how many values of x the series with the most was averaged, where that is not all;
    else 0."""


def plain_rows(
    rows: Rows, x: str, y: str, numbers: pl.Series, smooth: int
) -> tuple[pl.DataFrame, str]:
    """Return `run`, `x`, `y` of some runs without gaps, and how they were smoothed; `InvalidInput`
    for text."""
    if y not in rows.frame.columns or rows.frame[y].dtype == pl.String:
        raise InvalidInput(f"{y!r} holds text, which cannot be drawn")
    if rows.frame[x].dtype == pl.String:
        raise InvalidInput(f"{x!r} holds text, which cannot be an axis")
    frame = rows.frame.select(
        "run", pl.col(x).cast(pl.Float64).alias("x"), pl.col(y).cast(pl.Float64).alias("y")
    )
    if len(numbers) < len(rows.numbers):
        mask = rows.column_of(numbers, 1).is_not_null()
        frame = frame.filter(mask.gather(frame["run"]))
    frame = frame.filter(pl.col("x").is_finite())
    smoothing = _smoothing(frame, x, smooth)
    if smoothing is not None:
        frame = smoothing.apply(frame, "y")
    words = "" if smoothing is None else str(smoothing).replace("of x", f"of {x}")
    return frame.filter(pl.col("y").is_finite()), words


def _smoothing(frame: pl.DataFrame, x: str, smooth: int) -> Smoothing | None:
    """Return a smoothing over so many rows as the runs have in the middle, measured along x where
    that is no row."""
    if smooth <= 1:
        return None
    if x == ROW:
        return Smoothing("mean", smooth)
    steps = frame.select(step=pl.col("x").diff().over("run"))["step"].drop_nulls()
    step = steps.filter(steps > 0).median()
    if not isinstance(step, int | float):
        return Smoothing("mean", smooth)
    return Smoothing("mean", float(f"{smooth * step:.6g}"), x="x")


def align_series(plain: pl.DataFrame, series_of: pl.Series, cells: int) -> Aligned:
    """Return the runs with each series at the union of its x, or at fewer values where that makes
    too many cells.

    `series_of` has by number of a run the number of its series, null for runs that are in none.
    """
    placed = plain.with_columns(_series=series_of.gather(plain["run"])).drop_nulls("_series")
    groups = placed.partition_by("_series", include_key=False)
    parts: list[pl.DataFrame] = []
    coarse = 0
    share = cells // max(1, len(groups))
    for group in groups:
        if is_aligned(group):
            parts.append(group)
            continue
        union = group["x"].unique().sort()
        most = max(_FEWEST_POINTS, share // max(1, group["run"].n_unique()))
        grid = union if len(union) <= most else even_grid(union, most)
        coarse = max(coarse, len(grid) if len(grid) < len(union) else 0)
        parts.append(align(group, "x", "y", at=grid))
    return Aligned(pl.concat(parts) if parts else placed.drop("_series"), coarse)


def is_aligned(plain: pl.DataFrame) -> bool:
    """Tell whether all runs were logged at the very same x, in order: then there is nothing to
    align."""
    lengths = plain["run"].rle().struct.field("len")
    if not len(lengths) or lengths.n_unique() != 1 or len(lengths) != plain["run"].n_unique():
        return False
    first = plain["x"].head(lengths[0])
    grows = bool((first.diff().drop_nulls() > 0).all())
    return grows and bool(
        (plain["x"].reshape((-1, lengths[0])) == first.reshape((1, lengths[0]))).all()
    )


def even_grid(values: pl.Series, points: int) -> pl.Series:
    """Return between a half and all of `points` values of x in place of more, which are sorted.

    These are multiples of a power of two (and both ends), so that runs that grow keep the values
    they had, and a page needs only the new ones.
    """
    low, high = float(values[0]), float(values[-1])
    step = 2.0 ** math.ceil(math.log2((high - low) / (points - 2)))
    first = math.ceil(low / step)
    inner = pl.Series([i * step for i in range(first, math.ceil(high / step))], dtype=pl.Float64)
    grid: pl.Series = pl.concat([pl.Series([low]), inner, pl.Series([high])]).unique().sort()
    return grid


def last_values(plain: pl.DataFrame, numbers: pl.Series) -> Mapping[int, tuple[float, float]]:
    """Return for some runs, by number, the last x at which they have a value, and that value."""
    ends = (
        plain.filter(pl.col("run").is_in(numbers.implode()))
        .group_by("run")
        .agg(x=pl.col("x").get(pl.col("x").arg_max()), y=pl.col("y").get(pl.col("x").arg_max()))
    )
    return {run: (x, y) for run, x, y in ends.iter_rows()}


@record
class Rows:
    """`Results.progress`, with `run` a number."""

    frame: pl.DataFrame
    """`run` (UInt32), `row`, and a column a metric."""
    numbers: Mapping[str, int]
    """By the path of a run."""

    @classmethod
    def of(cls, results: Results) -> Rows:
        """Number the runs in the order of `results.runs`, in which their rows stand."""
        number = pl.int_range(results.runs.height, dtype=pl.UInt32)
        counts = results.runs.select(run=number, rows="rows").filter(pl.col("rows") > 0)
        column = counts.select(pl.col("run").repeat_by("rows").explode())["run"]
        frame = (
            results.progress.with_columns(column) if results.progress.height else results.progress
        )
        return cls(frame, {run: i for i, run in enumerate(results.runs["run"])})

    def column(self, values: Mapping[str, int]) -> pl.Series:
        """Return by number a value for each run, null for runs without one."""
        column: list[int | None] = [None] * len(self.numbers)
        for run, value in values.items():
            column[self.numbers[run]] = value
        return pl.Series(column, dtype=pl.Int32)

    def column_of(self, runs: pl.Series, values: pl.Series | int) -> pl.Series:
        """Return by number the values of some runs, which are given by number; null for the
        others."""
        column = (
            values
            if isinstance(values, pl.Series)
            else pl.Series([values]).new_from_index(0, len(runs))
        )
        return pl.Series([None] * len(self.numbers), dtype=pl.Int32).scatter(
            runs, column.cast(pl.Int32)
        )


def shared_start(paths: Sequence[str]) -> int:
    """Return how many characters of whole directories all paths start with; they say nothing in a
    table."""
    if len(paths) < 2:
        return 0
    first, last = min(paths), max(paths)  # what these two share, all share
    same = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[:same].rfind("/") + 1


_POINTS_OF_STRETCH, _POINTS_OF_STRETCH_WITH_BAND = 3, 5
"""Points kept of a stretch at most: its first, its lowest and highest, and the far edges of its
band."""
_FEWEST_PIXELS = 8


def decimate(curves: pl.DataFrame, by: str, points: int, *, log: bool = False) -> pl.DataFrame:
    """Return about `points` rows (or fewer, at least eight) of each value of `by`, in their order.

    `curves` has the columns `by`, `x`, `center`, `low`, `high`, ordered by `by` and `x`. Of each
    stretch the first row stays, the lowest and highest of `center`, the lowest `low` and the
    highest `high`; and the last row of all.
    """
    longest = curves.group_by(by).len()["len"].max()
    if not isinstance(longest, int) or longest <= max(points, _FEWEST_PIXELS):
        return curves
    most = (
        _POINTS_OF_STRETCH
        if curves["low"].null_count() == curves.height
        else _POINTS_OF_STRETCH_WITH_BAND
    )
    x = pl.when(pl.col("x") > 0).then(pl.col("x").log(2)) if log else pl.col("x")
    places = curves.select(x.alias("x"))["x"]
    stretches = max(points, _FEWEST_PIXELS) / most
    low, high = places.min(), places.max()
    width = 1.0
    if isinstance(low, int | float) and isinstance(high, int | float) and high > low:
        width = 2.0 ** math.ceil(math.log2((high - low) / stretches))
    index = pl.int_range(pl.len(), dtype=pl.UInt32)
    numbered = curves.with_columns(_row=index, _last=index.over(by) == pl.len().over(by) - 1)
    numbered = numbered.with_columns(_stretch=(places / width).floor())
    row, center = pl.col("_row"), pl.col("center")
    extremes = numbered.group_by(by, "_stretch").agg(
        first=row.first(),
        lowest=row.get(center.arg_min()),
        highest=row.get(center.arg_max()),
        below=row.get(pl.col("low").fill_null(center).arg_min()),
        above=row.get(pl.col("high").fill_null(center).arg_max()),
    )
    rows = pl.concat(
        [extremes[name] for name in ("first", "lowest", "highest", "below", "above")]
    ).unique()
    return numbered.filter(row.is_in(rows.implode()) | pl.col("_last")).select(curves.columns)
