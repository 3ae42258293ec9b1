"""What one page shows at one moment, and how to get it from there to the next moment without
sending all again."""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from typing import Any

import polars as pl

from runslot.experiment.states import UNKNOWN
from runslot.record import record
from runslot.results.results import Results
from runslot.results.text.sources import reading_lines
from runslot.view.data.choices import Choices
from runslot.view.data.curves import draw
from runslot.view.data.groups import Group, Groups, aimed, choose, default_y
from runslot.view.data.kinds import charts
from runslot.view.data.ranks import Tally
from runslot.view.plotly.charts import figure_of
from runslot.view.plotly.curves import curves_figure
from runslot.view.plotly.figure import Figure
from runslot.view.plotly.timeline import slots_figures
from runslot.view.web.grid import Row, column_definitions, default_columns, paint, rows
from runslot.view.web.live_runs import Memory, Moment

_NO_RUNS = "There are no runs yet; this page waits for them."


@record
class PageContent:
    """All that the browser has of one page."""

    titles: tuple[tuple[str, str], ...]
    """Of each figure, its metric and the values that figures are split by."""
    figures: tuple[Figure, ...]
    legend: tuple[tuple[Group, str], ...]
    """Groups that have a curve, and how many runs each has, in words."""
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    """What can be chosen from; other ones need other controls."""
    selection: Results
    """The runs of the table."""
    visible_columns: tuple[str, ...]
    """Columns of the table."""
    of: Mapping[str, int]
    """By run: the place of its series."""
    colours: Mapping[int, int]
    """By place of a series that is drawn: the number of its colour."""
    states: Mapping[str, int]
    """Of all runs, also those that have no directory yet."""
    total: int

    @cached_property
    def definitions(self) -> list[dict[str, Any]]:
        """The table's columns."""
        return column_definitions(self.selection, self.visible_columns)

    @cached_property
    def rows(self) -> list[Row]:
        """The table's rows, made when somebody looks at it."""
        return rows(self.selection, self.visible_columns)

    @cached_property
    def paint(self) -> list[int | None]:
        """Of each row, the number of its run's curve."""
        return paint(self.selection, self.of, self.colours)

    @cached_property
    def painted(self) -> list[Row]:
        """The rows, each with the number of its curve as `s`."""
        return [{**row, "s": number} for row, number in zip(self.rows, self.paint, strict=True)]


def show(moment: Moment, choices: Choices) -> PageContent:
    """Draw a page. Raises `InvalidInput` for choices that these runs do not have."""
    # Where runs were is no statistic: no run is left out of that.
    results = moment.results if choices.kind == "slots" else moment.shown(choices)
    choices = aimed(choices, moment.goal, results)
    selection = choose(results, choices)
    drawing = _drawn(moment, results, selection, choices)
    if drawing.marked is not None:
        selection = selection.where(pl.col("run").is_in(list(drawing.marked)))
    metrics = tuple(
        m for m in choices.y or default_y(results.common_metrics) if m in results.metrics
    )
    columns = default_columns(results, metrics) if choices.columns is None else choices.columns
    groups = drawing.series.groups if drawing.series is not None else ()
    legend = [
        (dataclasses.replace(groups[place], index=index), str(drawing.tallies[place]))
        for place, index in drawing.colours.items()
    ]
    of = (
        drawing.series.of
        if drawing.series is not None and len(groups) > 1
        else dict.fromkeys(selection.runs["run"], -1)
    )
    # there the labels stand on the axis
    return PageContent(
        drawing.titles,
        drawing.figures,
        (tuple(legend) if choices.kind != "bars" and len(groups) > 1 else ()),
        (*drawing.notes, *filter(None, [results.confirmation]), *reading_lines(results)),
        tuple(results.runs.columns),
        selection,
        tuple(columns),
        of,
        drawing.colours,
        _states(moment.results),
        moment.results.runs.height,
    )


@record
class _Drawn:
    """The figures of a page, whatever their kind."""

    notes: tuple[str, ...]
    titles: tuple[tuple[str, str], ...] = ()
    figures: tuple[Figure, ...] = ()
    series: Groups | None = None
    colours: Mapping[int, int] = field(default_factory=dict)
    """By place of a series that has a colour: its number."""
    tallies: Mapping[int, Tally] = field(default_factory=dict)
    marked: frozenset[str] | None = None
    """Runs that pass the marked ranges of parallel coordinates."""


def _states(results: Results) -> Mapping[str, int]:
    states = Counter(state or UNKNOWN for state in results.runs["state"])
    waiting = sum(results.waiting.values())
    return states + Counter(queued=waiting) if waiting else states


def _drawn(moment: Moment, results: Results, selection: Results, choices: Choices) -> _Drawn:
    if not selection.runs.height:
        words = "No run passes the filters." if results.runs.height else _NO_RUNS
        return _Drawn((words,))
    if choices.kind == "slots":
        titles, figures, notes = slots_figures(selection)
        return _Drawn(notes, titles, figures)
    if not results.metrics:
        return _Drawn(("No run has logged a metric yet.",))
    if choices.kind != "curves":
        view = charts(selection, choices, results, quick=True)
        titles = tuple((chart.metric, chart.split) for chart in view.charts)
        figures = tuple(map(figure_of, view.charts))
        return _Drawn(
            view.notes, titles, figures, view.series, view.colours, view.tallies, view.marked
        )
    drawing = draw(selection, moment.rows, choices, results, quick=True)
    figures = tuple(curves_figure(panel, choices.hide) for panel in drawing.panels)
    titles = tuple((panel.y, panel.split) for panel in drawing.panels)
    return _Drawn(drawing.notes, titles, figures, drawing.series, drawing.colours, drawing.tallies)


def stamp_of(query: str, version: int) -> dict[str, Any]:
    """Return what tells one moment of one page from every other; `mark` stands in its figures,
    too."""
    return {"query": query, "version": version, "mark": f"{version}-{zlib.crc32(query.encode()):x}"}


def shown_page(memory: Memory[PageContent], query: str, moment: Moment) -> PageContent:
    """Return what a page shows now, and remember it."""
    return memory.show(query, moment.version, lambda: show(moment, Choices.from_query(query)))


def same_table(before: PageContent | None, after: PageContent) -> bool:
    """Tell whether the table holds the same, colours apart, so that it need not be sent again."""
    return (
        before is not None and before.definitions == after.definitions and before.rows == after.rows
    )


def same_frame(before: PageContent, after: PageContent) -> bool:
    """Tell whether only contents changed: the same figures, legend, columns of the table."""
    return (
        before.titles == after.titles
        and [g for g, _ in before.legend] == [g for g, _ in after.legend]
        and before.definitions == after.definitions
    )
