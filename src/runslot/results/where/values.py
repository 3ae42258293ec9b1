"""The values of a condition of `where`: what is written out, casts, and how two are compared. Pure.

Called by the parser in `grammar`. What must stay true: nan is no number, so no comparison with it
is true (nor false).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.where.functions import Kind, without_nan
from runslot.results.where.tokens import short

CASTS: Mapping[str, tuple[Kind, Any]] = {
    **dict.fromkeys(("INT", "INTEGER", "BIGINT", "INT64"), ("number", pl.Int64)),
    **dict.fromkeys(
        ("FLOAT", "DOUBLE", "REAL", "FLOAT64", "NUMERIC", "DECIMAL"), ("number", pl.Float64)
    ),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "STRING"), ("text", pl.String)),
    **dict.fromkeys(("BOOL", "BOOLEAN"), ("truth", pl.Boolean)),
}


@record
class Value:
    """A part of a condition as polars computes it."""

    expr: pl.Expr
    kind: Kind
    source: str
    """As it was written, for messages."""
    constant: Any = None
    """The value of a number or text that was written out."""


def number_of(text: str) -> Value:
    """Return a number that was written out, a whole one exactly."""
    number: float | int = (
        int(text) if text.isdigit() and len(text) < 20 and int(text) < 2**63 else float(text)
    )
    if not math.isfinite(number):
        raise InvalidInput(f"{text} is larger than a number can be")
    return Value(pl.lit(number), "number", text, number)


def compared(first: Value, sign: str, second: Value) -> pl.Expr:
    """Compare values of like kinds; nan with nothing."""
    if "time" in {first.kind, second.kind}:
        first, second = _as_time(first), _as_time(second)
    kinds = {first.kind, second.kind} - {"null"}
    if kinds == {"truth", "number"}:
        first, second = (
            replace(v, expr=v.expr.cast(pl.Int64)) if v.kind == "truth" else v
            for v in (first, second)
        )
    elif len(kinds) > 1:
        words = " and ".join(f"{short(value.source)} ({value.kind})" for value in (first, second))
        hint = "; text stands in single quotes, numbers in none" if "text" in kinds else ""
        raise InvalidInput(f"the runs cannot be chosen so: {words} cannot be compared{hint}")
    a, b = without_nan(first.expr, first.kind), without_nan(second.expr, second.kind)
    if sign == "<=>":
        return a.eq_missing(b)
    return _COMPARISONS[sign](a, b)


def _as_time(value: Value) -> Value:
    if not isinstance(value.constant, str):
        return value
    try:
        moment = datetime.fromisoformat(value.constant.strip().removesuffix("Z"))
    except ValueError as error:
        raise InvalidInput(
            f"{value.source} is no time; write it as '2025-01-31 12:00' (UTC)"
        ) from error
    moment = (
        moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    )
    return replace(value, expr=pl.lit(moment), kind="time")


CONSTANTS: Mapping[str, tuple[pl.Expr, Kind]] = {
    "TRUE": (pl.lit(value=True), "truth"),
    "FALSE": (pl.lit(value=False), "truth"),
    "NULL": (pl.lit(None), "null"),
}
_COMPARISONS: Mapping[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "=": pl.Expr.eq,
    "==": pl.Expr.eq,
    "<>": pl.Expr.ne,
    "!=": pl.Expr.ne,
    "<": pl.Expr.lt,
    "<=": pl.Expr.le,
    ">": pl.Expr.gt,
    ">=": pl.Expr.ge,
}
ARITHMETIC: Mapping[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "+": pl.Expr.add,
    "-": pl.Expr.sub,
    "*": pl.Expr.mul,
    "/": pl.Expr.truediv,
    "//": pl.Expr.floordiv,
    "%": pl.Expr.mod,
}
