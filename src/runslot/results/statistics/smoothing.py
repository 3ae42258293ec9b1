"""Smoothing that says so: what was done to a curve goes with it, in words for its legend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import polars as pl

from runslot.errors import InvalidInput

_GRID = 2**50


@dataclass(frozen=True)
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
