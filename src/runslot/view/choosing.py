"""From choices to runs: which are shown, what is drawn where the choice is left open, how they are grouped. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.layouts import natural
from runslot.results.results import Results
from runslot.results.steps import step_column
from runslot.results.summary import default_metric
from runslot.view.choices import ROW, Choices
from runslot.view.palette import DISTINCT

_TIMES = (
    r"(.*/)?(seconds|t|elapsed.*|(total[ _])?time([ _]elapsed)?|wall[ _]?(clock|time).*|cum_?time.*|time_total.*)"
    r"( ?\(s\))?"
)
"""Names of metrics that count seconds since the start."""
_FEW = 24
"""A parameter with more values than this is no good to name curves by, where the choice is left open."""
UNKNOWN = "unknown"
"""The state of runs whose directories do not tell it."""


def default_x(metrics: Sequence[str]) -> str:
    """Return the metric that counts steps by its name; `row` where none does."""
    return step_column(metrics) or ROW


def axes_of(metrics: Sequence[str]) -> list[str]:
    """Return all that can lie along the x axis: steps, rows, what tells the time, the other metrics."""
    times = [metric for metric in metrics if re.fullmatch(_TIMES, metric, re.IGNORECASE)]
    return list(dict.fromkeys([default_x(metrics), ROW, *times, *metrics]))


def default_y(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the metric that looks most like the objective; none where nothing was logged."""
    metric = default_metric([m for m in metrics if m != default_x(metrics)]) or default_metric(metrics)
    return (metric,) if metric else ()


def default_series(results: Results) -> tuple[str, ...]:
    """Return the columns that tell variants apart; where these make very many curves, those with few values only."""
    keys = list(results.identity)
    while len(keys) > 1 and results.runs.select(keys).n_unique() > DISTINCT:
        keys.remove(max(keys, key=lambda key: results.runs[key].n_unique()))
    if keys and results.runs[keys[0]].n_unique() > DISTINCT and len(keys) == 1:
        return ("experiment",) if results.runs["experiment"].n_unique() > 1 else ()
    return tuple(keys)


def choose(results: Results, choices: Choices) -> Results:
    """Return the runs that pass every filter. Raises `InvalidInput` for an unknown column or a faulty condition."""
    conditions: list[str | pl.Expr] = [choices.where] if choices.where.strip() else []
    if choices.state:
        conditions.append(pl.col("state").fill_null(UNKNOWN).is_in(list(choices.state)))
    for columns, wanted in ((choices.only, True), (choices.without, False)):
        for column, values in columns.items():
            _known(results, column)
            among = text_of(results.runs[column]).is_in(list(values))
            conditions.append(pl.lit(among if wanted else ~among))
    for limits, low in ((choices.least, True), (choices.most, False)):
        for column, limit in limits.items():
            _known(results, column)
            if not results.runs[column].dtype.is_numeric():
                raise InvalidInput(f"{column!r} does not hold numbers; remove its limits")
            number = pl.col(column).fill_nan(None)
            conditions.append(number >= limit if low else number <= limit)
    for word in choices.text.split():
        conditions.append(_holds(results, word))
    return results.where(*conditions)


def _holds(results: Results, word: str) -> pl.Expr:
    columns = ["run", "state", "host", *results.parameters]
    found = pl.Series([False] * results.runs.height)
    for column in columns:
        cells = text_of(results.runs[column]).fill_null("")
        named = pl.Series([f"{column}="] * len(cells)) + cells if column in results.parameters else cells
        found = found | named.str.to_lowercase().str.contains(word.lower(), literal=True)
    return pl.lit(found)


def _known(results: Results, column: str) -> None:
    if column not in results.runs.columns:
        raise InvalidInput(f"no run has a column {column!r}; remove the filter")


def text_of(values: pl.Series) -> pl.Series:
    """Return values as the page writes them: `0.001`, `3`, `true`, `–` for none."""
    return pl.Series(values.name, [said(value) for value in values], dtype=pl.String)


def in_order(values: Iterable[str]) -> list[str]:
    """Return different values once, numbers by size and then texts in natural order."""
    return sorted(set(values), key=_magnitude)


def said(value: Any) -> str:
    """Return one value as the page writes it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Group:
    """Runs of equal values in some columns."""

    values: tuple[str, ...]
    label: str
    """`lr=0.1, hidden=32`; a single column named by its value alone is `lr=0.1`, too."""
    index: int
    """Its place among all groups; it picks the colour."""


@dataclass(frozen=True)
class Groups:
    """How runs fall into groups by some columns."""

    groups: tuple[Group, ...]
    of: Mapping[str, int]
    """By run: the place of its group in `groups`."""


def group(results: Results, keys: Sequence[str], everything: Results | None = None) -> Groups:
    """Group runs by columns, in the natural order of their values.

    With `everything`, a group has the index it has among all runs, so that filters change no colours; unless these
    are more groups than can be told apart.
    """
    for key in keys:
        _known(results, key)
    values = (
        list(zip(*(text_of(results.runs[key]) for key in keys), strict=True)) if keys else [()] * results.runs.height
    )
    here = sorted(set(values), key=_order)
    all_groups = here
    if everything is not None and keys:
        all_groups = sorted(set(zip(*(text_of(everything.runs[key]) for key in keys), strict=True)), key=_order)
    if len(all_groups) > DISTINCT:
        all_groups = here
    index = {value: i for i, value in enumerate(all_groups)}
    groups = tuple(Group(value, _label(keys, value), index[value]) for value in here)
    place = {value: i for i, value in enumerate(here)}
    return Groups(groups, {run: place[value] for run, value in zip(results.runs["run"], values, strict=True)})


def _order(values: tuple[str, ...]) -> list[tuple[tuple[int, float, str], ...]]:
    return [_magnitude(value) for value in values]


def _magnitude(value: str) -> tuple[tuple[int, float, str], ...]:
    try:
        number = float(value)
    except ValueError:
        return natural(value)
    return natural(value) if math.isnan(number) else ((0, number, ""),)


def _label(keys: Sequence[str], values: Sequence[str]) -> str:
    shown = [
        v if key in {"variant", "experiment", "run"} else f"{key}={v}" for key, v in zip(keys, values, strict=True)
    ]
    return ", ".join(shown) or "all runs"
