"""Further columns of the table of variants: what their runs ended with in other metrics, also in
those that are text; where they ran and with which seeds; and settings in which the runs of one row
differ, since nobody groups by them. Pure.

`runslot.view.web.answer` puts them into its document.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from runslot.results.results import Results
from runslot.results.statistics.scores import mean_interval
from runslot.results.summary import FINAL
from runslot.view.data.answer import Answer
from runslot.view.data.groups import in_order, text_of
from runslot.view.data.sentence import number_words

_WORDS_SAID = 3
"""Different words of one variant that a cell has."""
_VALUES_SAID = 40
"""Different values of one variant that a cell names where it is pointed at."""
AMOUNTS = {"seconds": 1.0, "rows": 1.0, "peak_memory": float(2**20)}
"""Attributes of a run that are amounts, of which a row has the mean, and the unit each is said
in."""
ATTRIBUTES = ("seed", "state", "host", "slot", "attempt", *AMOUNTS)
"""What a run has beside its settings and its metrics, of which a row can have a column."""


def further_cells(
    selection: Results, answer: Answer, metric: str, level: float
) -> dict[str, dict[str, Any]]:
    """Return by label of a variant `text` and `value` (by which the column sorts) of a metric, over
    the runs that count; nothing where no run has it."""
    counted = answer.accounting.counted()["run"]
    if metric in selection.metrics:
        finals = selection.runs.select("run", value=pl.col(FINAL + metric))
    elif metric in selection.text_metrics:
        finals = _last_words(selection, metric)
    elif metric in ATTRIBUTES and metric in selection.runs.columns:
        return _attribute_cells(selection, answer, metric, level)
    else:
        return {}
    by_label: dict[str, list[Any]] = {}
    for run, value in finals.filter(pl.col("run").is_in(counted.implode())).iter_rows():
        if value is not None:
            label = answer.groups.groups[answer.groups.of[run]].label
            by_label.setdefault(label, []).append(value)
    cells = {label: _cell(values, level) for label, values in by_label.items()}
    for variant in answer.variants:
        values = by_label.get(variant.label, [])
        if 0 < len(values) < variant.n and not isinstance(values[0], str):
            cells[variant.label]["text"] += f" (n = {len(values)})"
    return cells


def mixed_cells(selection: Results, answer: Answer, column: str) -> dict[str, dict[str, Any]]:
    """Return by label of a variant its value in a column: `mixed: 5 values`, and which, where its
    runs differ; of all its runs, whether they count or not."""
    texts = text_of(selection.runs[column])
    by_label: dict[str, dict[str, None]] = {}
    for run, text in zip(selection.runs["run"], texts, strict=True):
        label = answer.groups.groups[answer.groups.of[run]].label
        by_label.setdefault(label, {})[text] = None
    return {label: _mixed(in_order(values)) for label, values in by_label.items()}


def _mixed(values: Sequence[str]) -> dict[str, Any]:
    if len(values) == 1:
        return {"text": values[0], "value": values[0]}
    more = [f"and {len(values) - _VALUES_SAID} more"] if len(values) > _VALUES_SAID else []
    named = [*values[:_VALUES_SAID], *more]
    return {"text": f"mixed: {len(values)} values", "value": values[0], "values": named}


def _attribute_cells(
    selection: Results, answer: Answer, name: str, level: float
) -> dict[str, dict[str, Any]]:
    if name not in AMOUNTS:
        return mixed_cells(selection, answer, name)
    by_label: dict[str, list[float]] = {}
    for run, amount in selection.runs.select("run", name).drop_nulls().iter_rows():
        label = answer.groups.groups[answer.groups.of[run]].label
        by_label.setdefault(label, []).append(amount / AMOUNTS[name])
    return {label: _cell(amounts, level) for label, amounts in by_label.items()}


def _last_words(selection: Results, metric: str) -> pl.DataFrame:
    rows = selection.progress.select("run", value=pl.col(metric).cast(pl.String))
    return rows.drop_nulls().group_by("run", maintain_order=True).last()


def _cell(values: list[Any], level: float) -> dict[str, Any]:
    if isinstance(values[0], str):
        counts = Counter(values).most_common()
        more = f", {len(counts) - _WORDS_SAID} more" if len(counts) > _WORDS_SAID else ""
        words = ", ".join(f"{word} ×{n}" for word, n in counts[:_WORDS_SAID])
        return {"text": words + more, "value": counts[0][0]}
    numbers = [float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        return {"text": "diverged", "value": None}
    interval = mean_interval([numbers], level=level)
    ends = (interval.low, interval.high) if math.isfinite(interval.low) else (None, None)
    return {"text": number_words(interval.estimate, *ends), "value": interval.estimate}
