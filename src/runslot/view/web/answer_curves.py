"""The curves of the page that opens first: those of the answer, of all metrics of some variants,
and of runs by themselves.

`runslot.view.web.answer` puts them into its document, `answer_routes` sends those that are asked
for later. What must stay true: they are `runslot.view.data.curves`', as on the page of plots.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from runslot.results.results import Results
from runslot.view.data.alignment import decimate, plain_rows
from runslot.view.data.answer import Answer
from runslot.view.data.choices import ROW, Choices
from runslot.view.data.curves import MOST_PANELS, Drawing, draw
from runslot.view.data.groups import default_series, group
from runslot.view.data.panel import Curve
from runslot.view.data.spread import words_at
from runslot.view.plotly.curves import xs_of
from runslot.view.plotly.figure import numbers
from runslot.view.web.live_runs import Moment

_BANDED, _LINED = 6, 60
"""Curves of each task that come with a band, and those that come as a line."""
_MOST_LABELS, _LABELS_OF_FILE = 60, 10
"""Variants, or runs, whose further curves are sent at a time, and that a file holds."""
_POINTS_OF_RUN, _POINTS_OF_FILE = 240, 120_000
"""Points of the curve of a run by itself in a file, and of all of them together, about."""


def metric_curves(
    moment: Moment,
    choices: Choices,
    metric: Sequence[str],
    label: Sequence[str] = (),
    run: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Return by metric and label the mean curves of some variants, or by metric and run those of
    some runs. Raises `InvalidInput` for a metric that no run has."""
    results, selection, choices = moment.question(choices)
    choices = dataclasses.replace(
        choices, y=tuple(metric[:MOST_PANELS]), kind="curves", x="", hide=(), band="mean-ci", top=0
    )
    if run:
        selection = moment.results.where(pl.col("run").is_in(list(run[:_MOST_LABELS])))
        choices = dataclasses.replace(choices, series=("run",), include=("all",))
        results = moment.results
    elif label:
        keys = default_series(results) if choices.series is None else choices.series
        groups = group(selection, keys, results)
        places = {p for p, g in enumerate(groups.groups) if g.label in label[:_MOST_LABELS]}
        runs = [name for name, place in groups.of.items() if place in places]
        selection = selection.where(pl.col("run").is_in(runs))
        choices = dataclasses.replace(choices, series=keys)
    if not selection.runs.height or not choices.y:
        return {}
    curves: dict[str, dict[str, Any]] = {name: {} for name in choices.y}
    for panel in draw(selection, moment.rows, choices, results, quick=True).panels:
        for curve in panel.curves:
            if not curve.member:
                name = curve.run or curve.group
                name = name.removeprefix("run=") if run else name
                curves[panel.y][name] = _line(curve)
    return curves


def curves_for_file(
    moment: Moment, choices: Choices, answer: Answer
) -> dict[str, dict[str, Any]] | None:
    """Return the curves of all metrics of the best variants; None where these are many."""
    metrics = moment.results.metrics
    if not 1 < len(metrics) <= MOST_PANELS:
        return None
    labels = [variant.label for variant in answer.variants[:_LABELS_OF_FILE]]
    return metric_curves(moment, choices, metrics, labels)


def run_curves_for_file(
    moment: Moment, selection: Results, answer: Answer
) -> dict[str, dict[str, Any]]:
    """Return by run its curve of the answer's metric, with fewer points the more runs there are: so
    that a file of a thousand runs stays one that is sent by mail."""
    rows, names = moment.rows, selection.runs["run"].to_list()
    if answer.metric not in rows.frame.columns:
        return {}
    by_number = {rows.numbers[name]: name for name in names}
    numbers_of = pl.Series(list(by_number), dtype=pl.UInt32)
    plain, _ = plain_rows(rows, selection.counter or ROW, answer.metric, numbers_of, 1)
    nothing = pl.lit(None, pl.Float64)
    frame = plain.sort("run", "x", maintain_order=True).select(
        "run", "x", center="y", low=nothing, high=nothing
    )
    most = min(_POINTS_OF_RUN, _POINTS_OF_FILE // max(1, len(names)))
    thinned = decimate(frame, "run", most).partition_by("run", as_dict=True)
    return {
        by_number[number]: {**xs_of(part["x"]), "y": numbers(part["center"])}
        for (number,), part in thinned.items()
    }


def answer_curves(
    moment: Moment, selection: Results, answer: Answer, choices: Choices
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return by label of a variant its curve: the best of each task with bands, others as lines."""
    choices = dataclasses.replace(choices, y=(answer.metric,), kind="curves", x="", hide=())
    split = (
        answer.tasks if len(dict.fromkeys(v.task for v in answer.variants)) <= MOST_PANELS else ()
    )
    choices = dataclasses.replace(choices, split=split)

    def drawn(top: int, *, runs: bool) -> Drawing:
        band = choices.band if runs else "mean-ci"
        part = dataclasses.replace(choices, top=top, band=band)
        return draw(selection, moment.rows, part, moment.results, quick=True)

    curves: dict[str, Any] = {}
    most = max(Counter(v.task for v in answer.variants).values())
    drawing = drawn(min(_BANDED, most), runs=True)
    if most > _BANDED:
        for panel in drawn(min(_LINED, most), runs=False).panels:
            for curve in panel.curves:
                curves[curve.group] = _line(curve)
    for panel in drawing.panels:
        for curve in panel.curves:
            if not curve.member:
                curves[curve.group] = _line(curve) | {"members": []}
        for curve in panel.curves:
            if curve.member:
                member = {**xs_of(curve.points["x"]), "y": numbers(curve.points["center"])}
                whole = curves.setdefault(curve.group, {"y": []})
                whole.setdefault("members", []).append(member)
        for mark in panel.marks:
            crosses = curves.setdefault(mark.label, {"y": []}).setdefault("crosses", [])
            crosses.append([mark.x, mark.y, mark.run])
    words = words_at(choices.band, choices.level, drawing.sizes)
    accounting_notes = {*answer.accounting.notes()}
    notes = (n for n in drawing.notes[1:] if n not in accounting_notes and " best by " not in n)
    return curves, (words, *notes)


def _line(curve: Curve) -> dict[str, Any]:
    points = curve.points
    line: dict[str, Any] = {**xs_of(points["x"]), "y": numbers(points["center"]), "n": curve.runs}
    if points["low"].null_count() < points.height:
        line["low"] = numbers(points["low"].fill_null(points["center"]))
        line["high"] = numbers(points["high"].fill_null(points["center"]))
    return line
