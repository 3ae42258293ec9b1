"""The functions that a condition of `where` may call: none opens anything, none makes a text
longer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import polars as pl

from runslot.record import record

Kind = Literal["number", "text", "truth", "time", "null"]
Apply = Callable[[Sequence[pl.Expr], Sequence[Any]], pl.Expr]


@record
class SqlFunction:
    """A function of some values."""

    kinds: tuple[Kind, ...]
    """Of its values; the last one of all further ones where there may be `more`. Empty: any,
    alike."""
    result: Kind | None
    """None: that of its values."""
    compute: Apply
    """Takes the expressions, and the constants among them (else None)."""
    fewest: int
    most: int = 0
    """0: as many as the fewest."""

    @property
    def arguments_words(self) -> str:
        """What it takes, in words."""
        kind = {"number": "numbers", "text": "text", "truth": "conditions"}.get(
            self.kinds[0] if self.kinds else "", "values"
        )
        most = self.most or self.fewest
        return f"{self.fewest} {kind}" if most == self.fewest else f"{self.fewest} to {most} {kind}"

    def takes(self, kinds: Sequence[Kind]) -> bool:
        """Tell whether it can be applied to values of these kinds."""
        if not self.fewest <= len(kinds) <= (self.most or self.fewest):
            return False
        if not self.kinds:
            return len(set(kinds) - {"null"}) <= 1
        parameters = [*self.kinds, *[self.kinds[-1]] * len(kinds)]
        return all(kind in {want, "null"} for kind, want in zip(kinds, parameters, strict=False))

    def apply(
        self, exprs: Sequence[pl.Expr], argument_kinds: Sequence[Kind], constants: Sequence[Any]
    ) -> tuple[pl.Expr, Kind]:
        """Return the value and its kind."""
        kinds = [kind for kind in argument_kinds if kind != "null"]
        return self.compute(exprs, constants), self.result or (kinds[0] if kinds else "null")


def kind_of(dtype: pl.DataType) -> Kind:
    """Return what a column holds, as a condition sees it."""
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "truth"
    return "time" if dtype.is_temporal() else "null" if dtype == pl.Null else "text"


def without_nan(expr: pl.Expr, kind: Kind) -> pl.Expr:
    """Return numbers with nan as nothing, so that no comparison with it holds."""
    return expr.fill_nan(None) if kind == "number" else expr


def _one(compute: Callable[[pl.Expr], pl.Expr]) -> Apply:
    return lambda values, _: compute(values[0])


def _two(compute: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Apply:
    return lambda values, _: compute(values[0], values[1])


def _log(values: Sequence[pl.Expr], constants: Sequence[Any]) -> pl.Expr:
    """Return the logarithm to base 10, or to one that is written out before or after, as SQL's
    dialects differ."""
    del constants
    return values[0].log10() if len(values) == 1 else values[0].log() / values[1].log()


def _round(values: Sequence[pl.Expr], constants: Sequence[Any]) -> pl.Expr:
    digits = constants[1] if len(constants) > 1 and isinstance(constants[1], int) else 0
    return values[0].round(min(digits, 20))


def _part(values: Sequence[pl.Expr], _: Sequence[Any]) -> pl.Expr:
    """Return a text from a character (the first is 1), and so many of them."""
    start = values[1].cast(pl.Int64) - 1
    return (
        values[0].str.slice(start)
        if len(values) == 2
        else values[0].str.slice(start, values[2].cast(pl.UInt32))
    )


def _over_runs(compute: Callable[[pl.Expr], pl.Expr]) -> Apply:
    return lambda values, _: compute(values[0].fill_nan(None))


_NUMBER: tuple[Kind, ...] = ("number",)
_TEXT: tuple[Kind, ...] = ("text",)
_MOST_ARGUMENTS = 50

FUNCTIONS: Mapping[str, SqlFunction] = {
    "ABS": SqlFunction(_NUMBER, "number", _one(pl.Expr.abs), 1),
    "SIGN": SqlFunction(_NUMBER, "number", _one(pl.Expr.sign), 1),
    "FLOOR": SqlFunction(_NUMBER, "number", _one(pl.Expr.floor), 1),
    "CEIL": SqlFunction(_NUMBER, "number", _one(pl.Expr.ceil), 1),
    "CEILING": SqlFunction(_NUMBER, "number", _one(pl.Expr.ceil), 1),
    "ROUND": SqlFunction(_NUMBER, "number", _round, 1, 2),
    "SQRT": SqlFunction(_NUMBER, "number", _one(pl.Expr.sqrt), 1),
    "EXP": SqlFunction(_NUMBER, "number", _one(pl.Expr.exp), 1),
    "LN": SqlFunction(_NUMBER, "number", _one(pl.Expr.log), 1),
    "LOG": SqlFunction(_NUMBER, "number", _log, 1, 2),
    "LOG2": SqlFunction(_NUMBER, "number", _one(lambda x: x.log(2)), 1),
    "LOG10": SqlFunction(_NUMBER, "number", _one(pl.Expr.log10), 1),
    "POW": SqlFunction(_NUMBER, "number", _two(lambda x, y: x.cast(pl.Float64).pow(y)), 2),
    "POWER": SqlFunction(_NUMBER, "number", _two(lambda x, y: x.cast(pl.Float64).pow(y)), 2),
    "MOD": SqlFunction(_NUMBER, "number", _two(pl.Expr.mod), 2),
    "GREATEST": SqlFunction(
        _NUMBER, "number", lambda values, _: pl.max_horizontal(values), 1, _MOST_ARGUMENTS
    ),
    "LEAST": SqlFunction(
        _NUMBER, "number", lambda values, _: pl.min_horizontal(values), 1, _MOST_ARGUMENTS
    ),
    "ISNAN": SqlFunction(
        _NUMBER, "truth", _one(lambda x: x.cast(pl.Float64).is_nan().fill_null(value=False)), 1
    ),
    "MIN": SqlFunction(_NUMBER, "number", _over_runs(pl.Expr.min), 1),
    "MAX": SqlFunction(_NUMBER, "number", _over_runs(pl.Expr.max), 1),
    "AVG": SqlFunction(_NUMBER, "number", _over_runs(pl.Expr.mean), 1),
    "MEDIAN": SqlFunction(_NUMBER, "number", _over_runs(pl.Expr.median), 1),
    "COALESCE": SqlFunction((), None, lambda values, _: pl.coalesce(values), 1, _MOST_ARGUMENTS),
    "IFNULL": SqlFunction((), None, lambda values, _: pl.coalesce(values), 2),
    "NULLIF": SqlFunction((), None, _two(lambda x, y: pl.when(x.ne_missing(y)).then(x)), 2),
    "LOWER": SqlFunction(_TEXT, "text", _one(lambda x: x.str.to_lowercase()), 1),
    "UPPER": SqlFunction(_TEXT, "text", _one(lambda x: x.str.to_uppercase()), 1),
    "TRIM": SqlFunction(_TEXT, "text", _one(lambda x: x.str.strip_chars()), 1),
    "LTRIM": SqlFunction(_TEXT, "text", _one(lambda x: x.str.strip_chars_start()), 1),
    "RTRIM": SqlFunction(_TEXT, "text", _one(lambda x: x.str.strip_chars_end()), 1),
    "LENGTH": SqlFunction(_TEXT, "number", _one(lambda x: x.str.len_chars().cast(pl.Int64)), 1),
    "CHAR_LENGTH": SqlFunction(
        _TEXT, "number", _one(lambda x: x.str.len_chars().cast(pl.Int64)), 1
    ),
    "STARTS_WITH": SqlFunction(_TEXT, "truth", _two(lambda x, y: x.str.starts_with(y)), 2),
    "ENDS_WITH": SqlFunction(_TEXT, "truth", _two(lambda x, y: x.str.ends_with(y)), 2),
    "CONTAINS": SqlFunction(_TEXT, "truth", _two(lambda x, y: x.str.contains(y, literal=True)), 2),
    "STRPOS": SqlFunction(
        _TEXT,
        "number",
        _two(lambda x, y: x.str.find(y, literal=True).cast(pl.Int64).fill_null(-1) + 1),
        2,
    ),
    "LEFT": SqlFunction(("text", "number"), "text", _two(lambda x, n: x.str.head(n)), 2),
    "RIGHT": SqlFunction(("text", "number"), "text", _two(lambda x, n: x.str.tail(n)), 2),
    "SUBSTR": SqlFunction(("text", "number"), "text", _part, 2, 3),
    "SUBSTRING": SqlFunction(("text", "number"), "text", _part, 2, 3),
}
