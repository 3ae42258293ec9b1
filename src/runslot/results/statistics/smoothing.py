"""Smoothing that says so: what was done to a curve goes with it, in words for its legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from runslot.errors import InvalidInput


@dataclass(frozen=True)
class Smoothing:
    """How each run's curve is smoothed, before anything is averaged over runs."""

    kind: Literal["mean", "exponential"] = "mean"
    """`mean`: of the last `width` rows; `exponential`: weights that fall by 1 - 1/width a row, without a bias to the
    first one. Both look only back, so that a curve never knows its future."""
    width: int = 1

    def __post_init__(self) -> None:
        if self.kind not in {"mean", "exponential"}:
            raise InvalidInput(f"{self.kind!r} is not a smoothing; choose mean or exponential")
        if self.width < 1:
            raise InvalidInput(f"a smoothing over {self.width} rows; 1 leaves the curve as it is")

    def __str__(self) -> str:
        if self.width == 1:
            return "not smoothed"
        words = "running mean over" if self.kind == "mean" else "exponential moving average, weight falling over"
        return f"smoothed: {words} {self.width} rows"

    def apply(self, progress: pl.DataFrame, y: str, *, run: str = "run") -> pl.DataFrame:
        """Return the rows with `y` smoothed along each run; a gap stays a gap and has no weight."""
        if self.width == 1:
            return progress
        cell = pl.col(y).fill_nan(None)
        if self.kind == "mean":
            smooth = cell.rolling_mean(self.width, min_samples=1)
        else:
            smooth = cell.ewm_mean(alpha=1 / self.width, adjust=True, ignore_nulls=True)
        return progress.with_columns(pl.when(cell.is_not_null()).then(smooth.over(run)).alias(y))
