"""Rows of runs as curves: along one x, over the runs of a series, as exactly as they can be had.
Pure.

`runslot.view.data.curves` calls it. What must stay true: the values of x are all those that some
run of the series has, unless that is more than a machine should compute, and then it is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.statistics import Smoothing, align
from runslot.view.data.choices import ROW
from runslot.view.data.rows import Rows

_FEWEST_POINTS = 100


@dataclass(frozen=True)
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
        shown = rows.column_of(numbers, 1).is_not_null()
        frame = frame.filter(shown.gather(frame["run"]))
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
