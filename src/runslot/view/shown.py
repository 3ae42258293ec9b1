"""What one page shows at one moment, and how to get it from there to the next moment without sending all again."""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from runslot.results.results import Results
from runslot.view.charts import charts
from runslot.view.choices import Choices
from runslot.view.choosing import UNKNOWN, Group, choose, default_series, default_y, group
from runslot.view.curves import draw
from runslot.view.figures import Figure, curves_figure
from runslot.view.palette import DISTINCT
from runslot.view.plots import figure_of
from runslot.view.table import Row, column_definitions, default_columns, paint, rows
from runslot.view.timeline import slots_figures
from runslot.view.watching import Moment

_QUICK, _SHARE = 0.7, 4
"""Seconds after which drawing is slow, and how many times as long as it took what was drawn stays: a page of slow
figures does not keep a core busy."""
_KEPT = 24
"""Pages, or earlier moments of one, that are remembered; one that is forgotten is sent whole."""


@dataclass(frozen=True)
class Shown:
    """All that the browser has of one page."""

    titles: tuple[tuple[str, str], ...]
    """Of each figure, its metric and the values that figures are split by."""
    figures: tuple[Figure, ...]
    legend: tuple[tuple[Group, int], ...]
    """Groups that have a curve, and how many runs each."""
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    """What can be chosen from; other ones need other controls."""
    definitions: list[dict[str, Any]]
    rows: list[Row]
    paint: list[int | None]
    """Of each row, the number of its run's curve."""
    states: Mapping[str, int]
    """Of all runs, also those that have no directory yet."""
    total: int

    @cached_property
    def painted(self) -> list[Row]:
        """The rows, each with the number of its curve as `s`."""
        return [{**row, "s": number} for row, number in zip(self.rows, self.paint, strict=True)]


def show(moment: Moment, choices: Choices) -> Shown:
    """Draw a page. Raises `InvalidInput` for choices that these runs do not have."""
    results = moment.results
    chosen = choose(results, choices)
    keys = default_series(results) if choices.series is None else choices.series
    series = group(chosen, keys, results)
    titles, figures, drawn, notes, marked = _figures(moment, chosen, choices)
    if marked is not None:
        chosen = chosen.where(pl.col("run").is_in(list(marked)))
    metrics = tuple(m for m in choices.y or default_y(results.metrics) if m in results.metrics)
    columns = default_columns(results, metrics) if choices.columns is None else choices.columns
    counts = Counter(series.of.values())
    legend = [(g, counts[i]) for i, g in enumerate(series.groups) if g.index in drawn and len(series.groups) > 1]
    coloured = {found.index for found, _ in legend} if len(series.groups) <= DISTINCT else set()
    return Shown(
        titles,
        figures,
        tuple(legend) if choices.kind != "bars" else (),  # there the labels stand on the axis
        notes,
        tuple(results.runs.columns),
        column_definitions(results, columns),
        rows(chosen, columns),
        paint(chosen, series, coloured),
        _states(results),
        results.runs.height,
    )


def _states(results: Results) -> Mapping[str, int]:
    states = Counter(state or UNKNOWN for state in results.runs["state"])
    waiting = sum(results.waiting.values())
    return states + Counter(queued=waiting) if waiting else states


def _figures(
    moment: Moment, chosen: Results, choices: Choices
) -> tuple[tuple[tuple[str, str], ...], tuple[Figure, ...], set[int], tuple[str, ...], frozenset[str] | None]:
    """Return titles, figures, the groups that have a colour in them, notes, and the runs that are marked."""
    results = moment.results
    if not chosen.runs.height:
        said = (
            "No run passes the filters." if results.runs.height else "There are no runs yet; this page waits for them."
        )
        return (), (), set(), (said,), None
    if choices.kind == "slots":
        titles, figures, notes = slots_figures(chosen)
        return titles, figures, set(), notes, None
    if not results.metrics:
        return (), (), set(), ("No run has logged a metric yet.",), None
    if choices.kind != "curves":
        drawn = charts(chosen, choices, results, quick=True)
        titles = tuple((chart.metric, chart.split) for chart in drawn.charts)
        return titles, tuple(map(figure_of, drawn.charts)), set(drawn.coloured), drawn.notes, drawn.marked
    drawing = draw(chosen, moment.rows, choices, results, quick=True)
    figures = tuple(curves_figure(panel, choices.hide) for panel in drawing.panels)
    titles = tuple((panel.y, panel.split) for panel in drawing.panels)
    return titles, figures, {found.index for found in drawing.groups}, drawing.notes, None


def seen_of(query: str, version: int) -> dict[str, Any]:
    """Return what tells one moment of one page from every other; `mark` stands in its figures, too."""
    return {"query": query, "version": version, "mark": f"{version}-{zlib.crc32(query.encode()):x}"}


class Memory:
    """What was sent lately, by the page's choices and the version of the runs; safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], Shown] = OrderedDict()
        self._lock = threading.Lock()
        self._rests_until: dict[str, float] = {}

    def rests(self, query: str) -> bool:
        """Tell whether these choices took so long to draw that they are not drawn again yet, though rows were added."""
        return time.monotonic() < self._rests_until.get(query, 0.0)

    def get(self, query: str, version: int) -> Shown | None:
        """Return what was shown then, where it is still known."""
        with self._lock:
            return self._kept.get((query, version))

    def show(self, query: str, moment: Moment) -> Shown:
        """Return what the page shows now, and remember it."""
        known = self.get(query, moment.version)
        if known is not None:
            return known
        began = time.monotonic()
        shown = show(moment, Choices.from_query(query))
        ended = time.monotonic()
        with self._lock:
            if ended - began > _QUICK:
                self._rests_until[query] = ended + _SHARE * (ended - began)
            self._rests_until = {q: until for q, until in self._rests_until.items() if until > ended}
            self._kept[query, moment.version] = shown
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return shown


def same_table(before: Shown | None, after: Shown) -> bool:
    """Tell whether the table holds the same, colours apart, so that it need not be sent again."""
    return before is not None and before.definitions == after.definitions and before.rows == after.rows


def same_frame(before: Shown, after: Shown) -> bool:
    """Tell whether only contents changed: the same figures, legend, columns of the table."""
    return (
        before.titles == after.titles
        and [g for g, _ in before.legend] == [g for g, _ in after.legend]
        and before.definitions == after.definitions
    )
