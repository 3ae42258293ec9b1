"""From choices to runs: which are shown, what is drawn where the choice is left open, how they are
grouped. Pure."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput, nearest
from runslot.experiment.states import UNKNOWN
from runslot.record import record
from runslot.results.columns import ANNOTATION_COLUMNS
from runslot.results.read.layouts import natural
from runslot.results.results import Results
from runslot.results.summary import default_metric
from runslot.results.text.labels import label_of, text_of_value, texts_of
from runslot.view.data.choices import ROW, Choices
from runslot.view.data.marks import DISTINCT

_TIMES = (
    r"(.*/)?(seconds|t|elapsed.*|(total[ _])?time([ _]elapsed)?|wall["
    r" _]?(clock|time).*|cum_?time.*|time_total.*)"
    r"( ?\(s\))?"
)
"""Names of metrics that count seconds since the start."""


def default_x(results: Results) -> str:
    """Return the metric that counts steps; `row` where none does."""
    return results.counter or ROW


def axes_of(metrics: Sequence[str], x: str) -> list[str]:
    """Return all that can lie along the x axis: its default, rows, what tells the time, the other
    metrics."""
    times = [metric for metric in metrics if re.fullmatch(_TIMES, metric, re.IGNORECASE)]
    return list(dict.fromkeys([x, ROW, *times, *metrics]))


def default_y(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the metric that looks most like the objective; none where nothing was logged."""
    metric = default_metric(metrics)
    return (metric,) if metric else ()


def aimed(choices: Choices, goal: tuple[str, str] | None, results: Results) -> Choices:
    """Return the choices with the way that a search says is better, where its metric alone is drawn
    and nobody chose another way; `goal` is its metric and that way."""
    names = choices.y or default_y(results.common_metrics)
    if goal is None or choices.mode or names != (goal[0],):
        return choices
    return dataclasses.replace(choices, mode=goal[1])


def default_series(results: Results) -> tuple[str, ...]:
    """Return the columns that tell variants apart: a curve a variant, so that nothing is pooled
    that nobody named."""
    return results.identity


def choose(results: Results, choices: Choices) -> Results:
    """Return the runs that pass every filter. Raises `InvalidInput` for an unknown column or a
    faulty condition."""
    conditions: list[str | pl.Expr] = [choices.where] if choices.where.strip() else []
    if choices.state:
        conditions.append(pl.col("state").fill_null(UNKNOWN).is_in(list(choices.state)))
    for columns, is_only in ((choices.only, True), (choices.without, False)):
        for column, values in columns.items():
            _known(results, column)
            among = text_of(results.runs[column]).is_in(list(values))
            conditions.append(pl.lit(among if is_only else ~among))
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
    annotated = [name for name in ANNOTATION_COLUMNS if name in results.runs.columns]
    columns = ["run", "state", "host", *annotated, *results.parameters]
    matches = pl.Series([False] * results.runs.height)
    for column in columns:
        cells = text_of(results.runs[column]).fill_null("")
        named = (
            pl.Series([f"{column}="] * len(cells)) + cells
            if column in results.parameters
            else cells
        )
        matches = matches | named.str.to_lowercase().str.contains(word.lower(), literal=True)
    return pl.lit(matches)


def _known(results: Results, column: str) -> None:
    if column not in results.runs.columns:
        hint = nearest(column, results.runs.columns) or "; remove the filter"
        raise InvalidInput(f"no run has a column {column!r}{hint}")


def text_of(values: pl.Series) -> pl.Series:
    """Return values as the page writes them: `0.001`, `3`, `true`, `–` for none; different ones
    never alike."""
    texts = texts_of(values.unique())
    return pl.Series(
        values.name, [texts.get(value) or text_of_value(value) for value in values], dtype=pl.String
    )


def in_order(values: Iterable[str]) -> list[str]:
    """Return different values once, numbers by size and then texts in natural order."""
    return sorted(set(values), key=_magnitude)


@record
class Group:
    """Runs of equal values in some columns."""

    values: tuple[Any, ...]
    label: str
    """`lr=0.1, hidden=32`; a single column named by its value alone is `lr=0.1`, too."""
    index: int
    """Its place among all groups; it picks the colour."""


@record
class Groups:
    """How runs fall into groups by some columns."""

    keys: tuple[str, ...]
    groups: tuple[Group, ...]
    of: Mapping[str, int]
    """By run: the place of its group in `groups`."""


def group(results: Results, keys: Sequence[str], everything: Results | None = None) -> Groups:
    """Group runs by the values of columns, in the natural order of their texts.

    With `everything`, a group has the index it has among all runs, so that filters change no
    colours; unless these are more groups than can be told apart.
    """
    for key in keys:
        _known(results, key)
    whole = everything or results
    texts = {key: texts_of(whole.runs[key].unique()) for key in keys}
    values = _values(results, keys)
    here = sorted(set(values), key=lambda value: _order(value, keys, texts))
    all_groups = here
    if everything is not None and keys:
        all_groups = sorted(
            set(_values(everything, keys)), key=lambda value: _order(value, keys, texts)
        )
    if len(all_groups) > DISTINCT:
        all_groups = here
    index = {value: i for i, value in enumerate(all_groups)}
    groups = tuple(Group(value, label_of(keys, value, texts), index[value]) for value in here)
    place = {value: i for i, value in enumerate(here)}
    of = {run: place[value] for run, value in zip(results.runs["run"], values, strict=True)}
    return Groups(tuple(keys), groups, of)


def _values(results: Results, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return each run's values; all nan are one."""
    if not keys:
        return [()] * results.runs.height
    columns = [[_NAN if v != v else v for v in results.runs[key]] for key in keys]  # noqa: PLR0124  # nan alone differs
    return list(zip(*columns, strict=True))


_NAN = math.nan
"""One object, so that a tuple that holds it equals itself."""


def _order(
    values: Sequence[Any], keys: Sequence[str], texts: Mapping[str, Mapping[Any, str]]
) -> list[Any]:
    pairs = zip(keys, values, strict=True)
    return [_magnitude(texts[key].get(value) or text_of_value(value)) for key, value in pairs]


def _magnitude(value: str) -> tuple[tuple[int, float, str], ...]:
    try:
        number = float(value)
    except ValueError:
        return natural(value)
    return natural(value) if math.isnan(number) else ((0, number, ""),)
