"""Fewer points of a curve, so that the browser gets what its pixels can show; extremes are always
kept. Pure.

Points are taken by stretches of x, on a logarithmic axis of its logarithm, whose width is a power
of two: a curve that grows keeps the points that were sent, and only its end is new.
"""

from __future__ import annotations

import math

import polars as pl

_POINTS_OF_STRETCH, _POINTS_OF_STRETCH_WITH_BAND = 3, 5
"""Points kept of a stretch at most: its first, its lowest and highest, and the far edges of its
band."""
_FEWEST_POINTS = 8


def decimate(curves: pl.DataFrame, by: str, points: int, *, log: bool = False) -> pl.DataFrame:
    """Return about `points` rows (or fewer, at least eight) of each value of `by`, in their order.

    `curves` has the columns `by`, `x`, `center`, `low`, `high`, ordered by `by` and `x`. Of each
    stretch the first row stays, the lowest and highest of `center`, the lowest `low` and the
    highest `high`; and the last row of all.
    """
    longest = curves.group_by(by).len()["len"].max()
    if not isinstance(longest, int) or longest <= max(points, _FEWEST_POINTS):
        return curves
    most = (
        _POINTS_OF_STRETCH
        if curves["low"].null_count() == curves.height
        else _POINTS_OF_STRETCH_WITH_BAND
    )
    x = pl.when(pl.col("x") > 0).then(pl.col("x").log(2)) if log else pl.col("x")
    places = curves.select(x.alias("x"))["x"]
    stretches = max(points, _FEWEST_POINTS) / most
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
