"""The axes of parallel coordinates, and the ranges that are marked on them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.view.data.groups import in_order, text_of


@dataclass(frozen=True)
class Scale:
    """How the values of one column lie on an axis from 0 to 1: by size, or one beside the other."""

    low: float = 0.0
    high: float = 1.0
    values: tuple[str, ...] = ()
    log: bool = False

    @classmethod
    def of(cls, column: str, values: pl.Series) -> Scale:
        """Return the scale of a column: few numbers, and everything else, stand one beside the
        other.

        Numbers are on a log scale where all are positive and span two decades.
        """
        if values.dtype.is_numeric() and (values.n_unique() > 8 or column == "score"):
            low, high = (
                float(v) if isinstance(v, int | float) else 0.0
                for v in (values.min(), values.max())
            )
            return cls(low, high, log=column != "score" and low > 0 and high / low >= 100)
        return cls(values=tuple(in_order(text_of(values))))

    def place(self, value: float) -> float:
        """Return where a number lies."""
        if self.log:
            return math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        width = self.high - self.low
        return (value - self.low) / width if width else 0.5

    def places(self, values: pl.Series) -> list[float | None]:
        """Return where values lie."""
        if self.values:
            at = {value: (i + 0.5) / len(self.values) for i, value in enumerate(self.values)}
            return [at[value] for value in text_of(values)]
        return [None if v is None else self.place(v) for v in values]

    def to_json(self) -> dict[str, Any]:
        """Return what the browser needs to tell values from places."""
        return (
            {"values": list(self.values)}
            if self.values
            else {"low": self.low, "high": self.high, "log": self.log}
        )


@dataclass(frozen=True)
class Brush:
    """Which part of an axis is marked: between two numbers, or some values."""

    column: str
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()

    def passes(self, cells: pl.Series) -> pl.Series:
        """Tell of each cell whether it lies in the marked part."""
        if self.values:
            return text_of(cells).is_in(list(self.values))
        if not cells.dtype.is_numeric():
            return pl.Series([True] * len(cells))
        return cells.is_between(self.low, self.high).fill_null(value=False)


def read_brushes(items: Iterable[str]) -> tuple[Brush, ...]:
    """Read what an address says of marked ranges: `lr from 0.01 to 0.1`, `act in relu | tanh`;
    faults are refused."""
    brushes = []
    for item in items:
        numbers = re.fullmatch(r"(.+) from (\S+) to (\S+)", item, re.DOTALL)
        values = re.fullmatch(r"(.+?) in (.*)", item, re.DOTALL)
        try:
            if numbers:
                brushes.append(Brush(numbers[1], float(numbers[2]), float(numbers[3])))
                continue
        except ValueError as error:
            raise InvalidInput(f"brush={item!r}: write it as 'lr from 0.01 to 0.1'") from error
        if values is None:
            raise InvalidInput(
                f"brush={item!r}: write it as 'lr from 0.01 to 0.1' or 'act in relu | tanh'"
            )
        brushes.append(Brush(values[1], values=tuple(values[2].split(" | "))))
    return tuple(brushes)


def within(scored: pl.DataFrame, items: Sequence[str]) -> pl.Series:
    """Tell of each run whether it passes all marked ranges; a column that it does not have marks
    nothing."""
    passing = pl.Series([True] * scored.height, dtype=pl.Boolean)
    for brush in read_brushes(items):
        if brush.column in scored.columns:
            passing = passing & brush.passes(scored[brush.column])
    return passing


def axis_marks(axis: dict[str, Any]) -> list[tuple[float, str]]:
    """Return where values are written along an axis of parallel coordinates."""
    if "values" not in axis:
        low, high = axis["low"], axis["high"]
        decades = (
            range(math.floor(math.log10(low)) + 1, math.ceil(math.log10(high)))
            if axis.get("log")
            else ()
        )
        between = [10.0**power for power in decades if 1.3 * low < 10.0**power < high / 1.3]
        return [(_place_on(axis, value), f"{value:.4g}") for value in (low, *between, high)]
    values = axis["values"]
    shown = (
        list(enumerate(values))
        if len(values) <= 24
        else [(0, values[0]), (len(values) - 1, values[-1])]
    )
    return [((i + 0.5) / len(values), value) for i, value in shown]


def _place_on(axis: dict[str, Any], value: float) -> float:
    return Scale(axis["low"], axis["high"], log=bool(axis.get("log"))).place(value)


def marked_parts(axis: dict[str, Any], brush: Brush) -> list[tuple[float, float]]:
    """Return from where to where an axis is marked."""
    if brush.values:
        values = axis.get("values", [])
        return [
            (i / len(values), (i + 1) / len(values))
            for i, value in enumerate(values)
            if value in brush.values
        ]
    if "values" in axis or brush.low is None or brush.high is None:
        return []
    low, high = (_place_on(axis, limit) for limit in (brush.low, brush.high))
    return [(max(low, -0.03), min(high, 1.03))]
