"""The axes of parallel coordinates, and the ranges that are marked on them. Pure."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.view.data.groups import in_order, text_of


@record
class Scale:
    """How the values of one column lie on an axis from 0 to 1: by size, or one beside the other."""

    low: float = 0.0
    high: float = 1.0
    values: tuple[str, ...] = ()
    log: bool = False
    knots: tuple[tuple[float, float], ...] = ()
    """Of a scale by rank: values and where they lie, both rising; straight between them."""

    @classmethod
    def of(cls, column: str, values: pl.Series, way: str = "") -> Scale:
        """Return the scale of a column: few numbers, and everything else, stand one beside the
        other.

        Numbers are on a log scale where all are positive and span two decades; `way` says another
        one (of `WAYS`). Raises `InvalidInput` where the column does not have that.
        """
        if way:
            return cls._chosen(column, values, way)
        if values.dtype.is_numeric() and (values.n_unique() > 8 or column == "score"):
            low, high = (
                float(v) if isinstance(v, int | float) else 0.0
                for v in (values.min(), values.max())
            )
            return cls(low, high, log=column != "score" and low > 0 and high / low >= 100)
        return cls(values=tuple(in_order(text_of(values))))

    @classmethod
    def _chosen(cls, column: str, values: pl.Series, way: str) -> Scale:
        if not values.dtype.is_numeric():
            raise InvalidInput(f"axes={column} {way}: {column!r} does not hold numbers")
        finite = values.cast(pl.Float64).drop_nulls().drop_nans()
        finite = finite.filter(finite.is_finite())
        if not len(finite):
            return cls()
        low, high = (float(v) for v in (finite.min(), finite.max()))
        if way == "log" and low <= 0:
            raise InvalidInput(f"axes={column} log: {column!r} has values that are not above 0")
        if way == "quantile" and high > low:
            return cls(low, high, knots=_knots(finite))
        return cls(low, high, log=way == "log" and high > low)

    def place(self, value: float) -> float:
        """Return where a number lies."""
        if self.knots:
            at = bisect.bisect_left(self.knots, (value, -math.inf))
            at = min(max(at, 1), len(self.knots) - 1)
            (below, start), (above, end) = self.knots[at - 1], self.knots[at]
            return start + (end - start) * (value - below) / (above - below)
        if self.log:
            return math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        width = self.high - self.low
        return (value - self.low) / width if width else 0.5

    def places(self, values: pl.Series) -> list[float | None]:
        """Return where values lie."""
        if self.values:
            at = {value: (i + 0.5) / len(self.values) for i, value in enumerate(self.values)}
            return [at[value] for value in text_of(values)]
        return [None if v is None or not math.isfinite(v) else self.place(v) for v in values]

    def to_json(self) -> dict[str, Any]:
        """Return what the browser needs to tell values from places."""
        return (
            {"values": list(self.values)}
            if self.values
            else {"low": self.low, "high": self.high, "log": self.log}
            | ({"knots": [list(knot) for knot in self.knots]} if self.knots else {})
        )


WAYS = ("linear", "log", "quantile")
"""How an axis can be told to have its numbers: by size, by its logarithm, by rank."""
_MOST_KNOTS = 65
"""Of a scale by rank; between them it is straight."""


def _knots(values: pl.Series) -> tuple[tuple[float, float], ...]:
    """Return where values lie by their middle rank, from 0 for the lowest to 1 for the highest."""
    counts = values.value_counts().sort(values.name)
    ranks = counts["count"].cum_sum() - (counts["count"] + 1) / 2
    places = ((ranks - ranks[0]) / (ranks[-1] - ranks[0])).to_list()
    step = max(1, -(-counts.height // _MOST_KNOTS))
    knots = [*range(0, counts.height - 1, step), counts.height - 1]
    return tuple((float(counts[values.name][i]), places[i]) for i in knots)


def read_ways(items: Iterable[str]) -> dict[str, str]:
    """Read by column what an address says of the scales of axes: `lr log`, `lr quantile`."""
    ways = {}
    for item in items:
        column, _, way = item.rpartition(" ")
        if way not in WAYS or not column:
            raise InvalidInput(f"axes={item!r}: write it as 'lr log', one of {', '.join(WAYS)}")
        ways[column] = way
    return ways


@record
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
    if axis.get("knots"):
        return [(place, f"{value:.4g}") for value, place in _quarters(axis["knots"])]
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
    marks = (
        list(enumerate(values))
        if len(values) <= 24
        else [(0, values[0]), (len(values) - 1, values[-1])]
    )
    return [((i + 0.5) / len(values), value) for i, value in marks]


def _quarters(knots: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return about five of the knots, evenly by their places."""
    nearest = [min(knots, key=lambda knot: abs(knot[1] - i / 4)) for i in range(5)]
    return list(dict.fromkeys((value, place) for value, place in nearest))


def _place_on(axis: dict[str, Any], value: float) -> float:
    knots = tuple((knot[0], knot[1]) for knot in axis.get("knots", ()))
    return Scale(axis["low"], axis["high"], log=bool(axis.get("log")), knots=knots).place(value)


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
