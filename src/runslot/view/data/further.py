"""Further columns of the table of variants: what their runs ended with in other metrics, also in
those that are text. Pure.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import polars as pl

from runslot.results.results import Results
from runslot.results.statistics.scores import mean_interval
from runslot.results.summary import FINAL
from runslot.view.data.answer import Answer, number_words

_WORDS_SAID = 3
"""Different words of one variant that a cell has."""


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
    else:
        return {}
    by_label: dict[str, list[Any]] = {}
    for run, value in finals.filter(pl.col("run").is_in(counted.implode())).iter_rows():
        if value is not None:
            label = answer.groups.groups[answer.groups.of[run]].label
            by_label.setdefault(label, []).append(value)
    return {label: _cell(values, level) for label, values in by_label.items()}


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
