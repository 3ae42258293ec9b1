"""Scalars that are logged one at a time, each with its step (TensorBoard, Sacred), as rows of
columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

_OWN = {"step", "seconds", "run", "row"}
"""Columns of the rows themselves; a scalar of such a name gets a number after it."""


class Point(NamedTuple):
    """One value of one scalar."""

    step: float | None
    when: float | None
    """Seconds since the epoch."""
    value: float


def rows_of_points(series: Mapping[str, Iterable[Point]]) -> pl.DataFrame | None:
    """Return a row a step, with `step`, `seconds` since the first point, and the scalars; None
    where there are none.

    A scalar that was logged several times at one step, as those without a step are at 0, has a row
    for each.
    """
    rows: dict[tuple[float, int], dict[str, float | None]] = {}
    for tag, points in series.items():
        column = f"{tag}_2" if tag in _OWN else tag
        times: Counter[float | None] = Counter()
        for step, when, value in points:
            key = (float("-inf") if step is None else step, times[step])
            times[step] += 1
            row = rows.setdefault(key, {"step": step, "seconds": when})
            row[column] = value
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    if not rows:
        return None
    frame = pl.DataFrame(
        [rows[key] for key in sorted(rows)], schema=dict.fromkeys(columns, pl.Float64)
    )
    if frame["seconds"].null_count() == frame.height:
        frame = frame.drop("seconds")
    else:
        frame = frame.with_columns(pl.col("seconds") - pl.col("seconds").min())
    return frame.drop("step") if frame["step"].null_count() == frame.height else frame
