"""All charts of a view, of every kind but curves and slots. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import Results
from runslot.results.summary import mode_of
from runslot.view.data import fields, intervals
from runslot.view.data.chart import Chart, view_of
from runslot.view.data.choices import Choices
from runslot.view.data.groups import Groups, default_series, default_y, group
from runslot.view.data.intervals import MOST_GROUPS
from runslot.view.data.palette import DISTINCT
from runslot.view.data.ranking import Tally


@dataclass(frozen=True)
class Charts:
    """All figures of a view, and what a caption has to say of them."""

    charts: tuple[Chart, ...]
    series: Groups
    colours: Mapping[int, int]
    """By place of a series that has a colour in them: its number."""
    tallies: Mapping[int, Tally]
    notes: tuple[str, ...]

    @property
    def marked(self) -> frozenset[str] | None:
        """Runs that pass the marked ranges of parallel coordinates; None where nothing is
        marked."""
        if not any(chart.settings.get("brush") for chart in self.charts):
            return None
        return frozenset(
            run for chart in self.charts for run in chart.data.filter(pl.col("brushed"))["run"]
        )


def charts(
    selection: Results, choices: Choices, everything: Results, *, quick: bool = False
) -> Charts:
    """Compute the figures of every kind but curves and slots; with `quick`, with fewer resamplings,
    as the notes say.

    Raises `InvalidInput` for a metric or column that no run has, `NotInstalled` for what needs
    further packages.
    """
    metrics = [selection.metric(name) for name in choices.y or default_y(selection.common_metrics)]
    if not metrics:
        raise InvalidInput("there is nothing to draw: no run has logged a number")
    keys = default_series(everything) if choices.series is None else choices.series
    series = group(selection, keys, everything)
    most = {"profile": DISTINCT, "bars": MOST_GROUPS, "improvement": MOST_GROUPS}.get(
        choices.kind, len(series.groups)
    )
    all_charts: list[Chart] = []
    notes: list[str] = []
    views = [
        view_of(selection, everything, choices, y, series, quick=quick, most=most) for y in metrics
    ]
    for view in views:
        all_charts += _KINDS[choices.kind](view)
        notes += view.notes
    notes.append(f"each run judged by {judged_by(metrics, choices)}")
    first = views[0]
    named = choices.kind in {"bars", "scatter", "profile"} and len(first.colours) <= MOST_GROUPS
    return Charts(
        tuple(all_charts),
        series,
        first.colours if named else {},
        first.tallies,
        tuple(dict.fromkeys(notes)),
    )


def judged_by(metrics: Sequence[str], choices: Choices) -> str:
    """Return in words what a run's score is."""
    by = choices.by
    if by == "auc":
        return "the area under its curve, divided by its length"
    if by != "best":
        return {"final": "its final value", "mean": "the mean of its values"}.get(
            by, f"the mean of its {by} values"
        )
    ways = {
        "lowest" if (choices.mode or mode_of(metric)) == "min" else "highest" for metric in metrics
    }
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
