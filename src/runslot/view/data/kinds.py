"""All charts of a view, of every kind but curves and slots; here scatter, heat map and parallel
coordinates, whose points are runs. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.results import Results
from runslot.results.summary import mode_of
from runslot.view.data import importances, intervals
from runslot.view.data.brush import Scale, read_brushes, read_ways, within
from runslot.view.data.chart import (
    Chart,
    View,
    axes,
    heading,
    scaled_scores,
    scaling_words,
    view_of,
)
from runslot.view.data.choices import Choices
from runslot.view.data.groups import Groups, default_series, default_y, group, in_order, text_of
from runslot.view.data.intervals import MOST_GROUPS
from runslot.view.data.marks import DISTINCT, stroke
from runslot.view.data.ranks import Tally


@record
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
    if choices.kind == "heat":  # its cells are the groups
        keys, choices = axes(selection, choices), dataclasses.replace(choices, split=())
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


MOST_CELLS = 2500
_PLACE_OF_DIVERGED = -0.04
"""Where on the axis of scores runs end that have none."""


def scatter(view: View) -> list[Chart]:
    """Return a point a run: its score over any column."""
    across = axes(view.selection, view.choices)[0]
    charts = []
    for split, scored in view.splits():
        parts = []
        numeric = scored[across].dtype.is_numeric()
        for member, scores in view.grouped(scored):
            x = scores[across].cast(pl.Float64) if numeric else text_of(scores[across])
            parts.append(
                pl.DataFrame(
                    {"run": scores["run"], "x": x, "value": scores["score"].fill_nan(None)}
                ).select(
                    pl.lit(member.label).alias("label"),
                    pl.lit(stroke(member.index).colour).alias("colour"),
                    pl.lit(member.index).alias("index"),
                    "run",
                    "x",
                    "value",
                )
            )
        data = pl.concat(parts) if parts else pl.DataFrame(schema={"label": pl.String})
        order = () if numeric else tuple(in_order(text_of(scored[across])))
        log = ("x",) if numeric and _spans_decades(scored[across]) else ()
        settings = {"log": log, "order": order, "worst": view.mode == "min"}
        charts.append(
            Chart("scatter", view.metric, split, heading(across), view.metric, data, settings)
        )
    return charts


def _spans_decades(values: pl.Series) -> bool:
    positive = values.drop_nulls()
    low, high = positive.min(), positive.max()
    return (
        isinstance(low, int | float)
        and isinstance(high, int | float)
        and low > 0
        and high / low >= 50
    )


def heat(view: View) -> list[Chart]:
    """Return a cell for each pair of values: the mean score over its runs, and how many they
    are."""
    across, down = axes(view.selection, view.choices)
    tasks = view.pooled_tasks
    scored = scaled_scores(view.scored, tasks) if tasks else view.scored
    view.notes[0] = view.accounting.line("mean")
    if tasks:
        view.notes.append(scaling_words(tasks))
    cells = pl.DataFrame(
        {"across": text_of(scored[across]), "down": text_of(scored[down]), "value": scored["score"]}
    )
    xs, ys = in_order(cells["across"]), in_order(cells["down"])
    if len(xs) * len(ys) > MOST_CELLS:
        raise InvalidInput(
            f"{len(xs)} × {len(ys)} cells are too many for a heat map; choose columns with fewer"
            " values"
        )
    means = cells.group_by("across", "down", maintain_order=True).agg(
        pl.col("value").mean(), n=pl.col("value").count()
    )
    settings = {"order": tuple(xs), "order_down": tuple(ys), "scaled": bool(tasks)}
    return [Chart("heat", view.metric, "", heading(across), heading(down), means, settings)]


def parallel(view: View) -> list[Chart]:
    """Return a line a run across an axis a parameter, to its score."""
    choices = view.choices
    keys = (
        default_series(view.everything) if choices.series is None else choices.series
    ) or view.selection.varying
    scored = view.scored
    finite = scored["score"].is_finite().fill_null(value=False)
    columns = [*dict.fromkeys(key for key in keys if key in scored.columns), "score"]
    scales = _scales(scored, columns, finite, choices)
    names = [
        heading(column) if column != "score" else f"{view.metric} ({choices.by})"
        for column in columns
    ]
    headed = scored.with_columns(pl.col("score").alias(names[-1]))
    passing = within(headed, choices.brush)
    if not finite.all():
        view.notes.append("runs that diverged are grey, and end below the last axis")
    finite_scores = scored["score"].filter(finite)
    worst = finite_scores.max() if view.mode == "min" else finite_scores.min()
    at_worst = pl.when(finite).then("score").otherwise(pl.lit(worst, pl.Float64))
    values = scored.select(at_worst)["score"]
    shared = {
        "line": pl.int_range(scored.height, eager=True),
        "run": scored["run"],
        "value": values,
        "brushed": passing & finite,
    }
    parts = [
        pl.DataFrame(
            {
                **shared,
                "axis": [name] * scored.height,
                "place": pl.Series(
                    _places(scale, scored[column], finite, column), dtype=pl.Float64
                ),
                "text": text_of(scored[column]),
            }
        )
        for column, scale, name in zip(columns, scales, names, strict=True)
    ]
    described = [
        {"column": column, "name": name, **scale.to_json()}
        for column, scale, name in zip(columns, scales, names, strict=True)
    ]
    settings = {"axes": described, "brush": read_brushes(choices.brush)}
    if choices.brush:
        view.notes.append(
            f"{int(passing.sum())} of {scored.height} runs pass the marked ranges; the others are"
            " grey"
        )
    return [Chart("parallel", view.metric, "", "", "", pl.concat(parts), settings)]


def _scales(
    scored: pl.DataFrame, columns: Sequence[str], finite: pl.Series, choices: Choices
) -> list[Scale]:
    """Return the scale of each axis, which that of scores has from the runs that have one."""
    ways = read_ways(choices.axes)
    return [
        Scale.of(name, scored[name].filter(finite) if name == "score" else scored[name], way)
        for name in columns
        for way in (ways.get(name, ""),)
    ]


def _places(scale: Scale, values: pl.Series, finite: pl.Series, column: str) -> list[float | None]:
    """Return where a run's line crosses an axis; below that of scores where it diverged."""
    if column != "score":
        return scale.places(values)
    places = scale.places(values.fill_nan(None))
    return [
        place if is_finite else _PLACE_OF_DIVERGED
        for place, is_finite in zip(places, finite, strict=True)
    ]


_KINDS: Mapping[str, Any] = {
    "bars": intervals.bars,
    "improvement": intervals.improvement,
    "profile": intervals.profile,
    "importance": importances.importances,
    "scatter": scatter,
    "heat": heat,
    "parallel": parallel,
}
