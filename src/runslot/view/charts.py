"""All charts of a view, of every kind but curves and slots. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from runslot.results.results import Results
from runslot.results.summary import mode_of
from runslot.view import fields, intervals
from runslot.view.chart import Chart, View, scored_runs
from runslot.view.choices import Choices
from runslot.view.choosing import default_series, default_y, group


@dataclass(frozen=True)
class Charts:
    """All figures of a view, and what a caption has to say of them."""

    charts: tuple[Chart, ...]
    coloured: frozenset[int]
    """Indices of the groups that have a colour in them."""
    notes: tuple[str, ...]

    @property
    def marked(self) -> frozenset[str] | None:
        """Runs that pass the marked ranges of parallel coordinates; None where nothing is marked."""
        if not any(chart.settings.get("brush") for chart in self.charts):
            return None
        return frozenset(run for chart in self.charts for run in chart.data.filter(pl.col("brushed"))["run"])


def charts(chosen: Results, choices: Choices, everything: Results, *, quick: bool = False) -> Charts:
    """Compute the figures of every kind but curves and slots; with `quick`, with fewer resamplings, as the notes say.

    Raises `InvalidInput` for a metric or column that no run has, `NotInstalled` for what needs further packages.
    """
    metrics = [chosen.metric(name) for name in choices.y or default_y(chosen.metrics)]
    if not metrics:
        return Charts((), frozenset(), ("No run has logged a metric yet.",))
    keys = default_series(everything) if choices.series is None else choices.series
    series = group(chosen, keys, everything)
    notes: list[str] = []
    found: list[Chart] = []
    for metric in metrics:
        scored = scored_runs(chosen, metric, choices)
        view = View(chosen, everything, choices, metric, scored, series, quick, notes)
        found += _KINDS[choices.kind](view)
    judged = f"each run judged by {judged_by(metrics, choices)}"
    coloured = {g.index for g in series.groups} if choices.kind in {"bars", "scatter", "profile"} else set()
    return Charts(tuple(found), frozenset(coloured), tuple(dict.fromkeys([*notes, judged])))


def judged_by(metrics: Sequence[str], choices: Choices) -> str:
    """Return in words what a run's score is."""
    by = choices.by
    if by == "auc":
        return "the area under its curve, divided by its length"
    if by != "best":
        return {"final": "its final value", "mean": "the mean of its values"}.get(by, f"the mean of its {by} values")
    ways = {"lowest" if (choices.mode or mode_of(metric)) == "min" else "highest" for metric in metrics}
    return f"its {' or '.join(sorted(ways))} value"


_KINDS: Mapping[str, Any] = {
    "bars": intervals.bars,
    "improvement": intervals.improvement,
    "profile": intervals.profile,
    "importance": intervals.importances,
    "scatter": fields.scatter,
    "heat": fields.heat,
    "parallel": fields.parallel,
}
