"""Charts of one score a run as Plotly figures: bars, profiles, scatter, heat map, parallel
coordinates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runslot.view.data.alignment import shared_start
from runslot.view.data.brush import Brush, axis_marks, marked_parts
from runslot.view.data.chart import Chart
from runslot.view.data.marks import (
    LINES,
    MANY_LINES,
    SEQUENCE,
    SHARE_LIMITS,
    diverged_words,
    faint,
    shade_of,
)
from runslot.view.plotly.figure import GREY, GRID, LOG, Figure, base_layout, numbers, plain
from runslot.view.plotly.heat import heat_figure

_SHADES = len(SEQUENCE)
_MOST_DOTS, _MOST_POINTS, _MOST_LINES = 600, 2000, 1200
_SPOTS_OF_AXIS = 300
"""Places along an axis that a screen can tell apart: what lies on the same one is drawn once."""
_SYMBOLS = ("circle", "diamond", "square", "x")
BASE_MARK = "#0072B2"


def figure_of(chart: Chart) -> Figure:
    """Return the figure of a chart."""
    figure: Figure = _DRAWN[chart.mark](chart)
    return figure


def _intervals(chart: Chart) -> Figure:
    """Return a line a label: the runs as small dots, and a bar or a point with its interval."""
    data = chart.data
    groups = data.filter(part="group")
    layout = base_layout(chart.across, "")
    labels = [plain(label) for label in groups["label"]]
    layout["yaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": labels[::-1]}
    layout["yaxis"] |= {"title": {"text": ""}, "range": [-0.6, len(labels) - 0.4]}
    layout["height"] = max(180, 80 + 30 * len(labels))
    layout["hovermode"] = "closest"
    if side := _shared_side(groups["label"].to_list()):
        short_labels = [plain(label.removeprefix(side).strip()) for label in groups["label"]]
        layout["yaxis"] |= {"tickvals": labels, "ticktext": short_labels}
        layout["xaxis"]["title"] = {"text": f"{plain(chart.across)}: {plain(side)} …"}
    if "x" in chart.settings["log"]:
        layout["xaxis"] |= LOG
    _limit(layout["xaxis"], *chart.settings["limits"])
    if (mark := chart.settings.get("mark")) is not None:
        line = {"color": GREY, "width": 1, "dash": "dot"}
        layout["shapes"] = [
            {
                "type": "line",
                "x0": mark,
                "x1": mark,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": line,
            }
        ]
    traces = [
        _middle(chart.mark, row) for row in groups.iter_rows(named=True) if row["value"] is not None
    ]
    layout["annotations"] = [
        _nothing(row) for row in groups.iter_rows(named=True) if row["diverged"]
    ]
    runs = data.filter(part="run")
    if 0 < runs.height <= _MOST_DOTS:
        traces.append(_dots(runs, few=runs.height <= 12 * len(labels)))
    # Above the dots, so that these do not hide them.
    traces += [_interval(row) for row in groups.iter_rows(named=True) if row["high"] is not None]
    return {"data": traces, "layout": layout}


def _shared_side(labels: Sequence[str]) -> str:
    """Return what all labels of comparisons have before their `>`, which stands once at the axis;
    nothing where they differ."""
    sides = {label.partition(" > ")[0] for label in labels if " > " in label}
    is_shared = len(labels) > 1 and len(sides) == 1 and all(" > " in label for label in labels)
    return f"{sides.pop()} >" if is_shared else ""


def _limit(axis: dict[str, Any], low: float | None, high: float | None) -> None:
    """Limit an axis where there is something to limit; plotly takes the end that is left open from
    the data."""
    if low is not None or high is not None:
        axis |= {
            "range": [low, high],
            "autorange": "min" if low is None else "max" if high is None else False,
        }


def _middle(mark: str, row: Mapping[str, Any]) -> dict[str, Any]:
    label, colour, low, high, n = (row[name] for name in ("label", "colour", "low", "high", "n"))
    between = f"  [{low:.4g}, {high:.4g}]" if low is not None and high is not None else ""
    common = {
        "x": numbers(pl.Series([row["value"]], dtype=pl.Float64)),
        "y": [plain(label)],
        "name": plain(label),
        "hovertemplate": f"%{{x:.6~g}}{between}  n={n}<extra></extra>",
    }
    if mark == "points":
        return {
            **common,
            "type": "scatter",
            "mode": "markers",
            "marker": {"color": colour, "size": 11},
        }
    bar = {"color": faint(colour, 0.35), "line": {"color": colour, "width": 1.5}}
    return {**common, "type": "bar", "orientation": "h", "width": 0.66, "marker": bar}


def _nothing(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands at a group of which runs diverged."""
    return {
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "y": plain(row["label"]),
        "text": plain(diverged_words(row["diverged"], row["value"])),
        "showarrow": False,
        "font": {"size": 11, "color": row["colour"]},
        "bgcolor": GRID,
    }


def _interval(row: Mapping[str, Any]) -> dict[str, Any]:
    value, low, high, colour = (row[name] for name in ("value", "low", "high", "colour"))
    error = {"type": "data", "symmetric": False, "color": colour, "thickness": 2.5, "width": 6}
    error |= {
        "array": numbers(pl.Series([high - value])),
        "arrayminus": numbers(pl.Series([value - low])),
    }
    return {
        "x": numbers(pl.Series([value])),
        "y": [plain(row["label"])],
        "type": "scatter",
        "mode": "markers",
        "marker": {"color": colour, "size": 1},
        "error_x": error,
        "hoverinfo": "skip",
        "name": "",
    }


def _dots(runs: pl.DataFrame, *, few: bool) -> dict[str, Any]:
    return {
        "x": numbers(runs["value"]),
        "y": [plain(label) for label in runs["label"]],
        "type": "scatter",
        "mode": "markers",
        "marker": {
            "color": [faint(colour, 0.55 if few else 0.25) for colour in runs["colour"]],
            "size": 6,
        },
        "name": "runs",
        "hovertemplate": "%{x:.5g}<extra>one run</extra>",
    }


def _profile(chart: Chart) -> Figure:
    layout = base_layout(chart.across, chart.down)
    layout["yaxis"] |= {"range": [*SHARE_LIMITS], "autorange": False}
    layout["hovermode"] = "closest"
    curves = chart.data.partition_by("label", maintain_order=True) if chart.data.height else []
    traces: list[dict[str, Any]] = []
    for curve in curves:
        label, colour, dash, n = curve.select("label", "colour", "dash", "n").row(0)
        common: dict[str, Any] = {
            "x": numbers(curve["x"]),
            "type": "scatter",
            "mode": "lines",
            "name": plain(label),
        }
        edge = {"line": {"width": 0, "color": colour}, "hoverinfo": "skip"}
        filled = {"fill": "tonexty", "fillcolor": faint(colour, 0.16)}
        if curve["low"].null_count() < curve.height:
            traces.append({**common, **edge, "y": numbers(curve["low"])})
            traces.append({**common, **edge, **filled, "y": numbers(curve["high"])})
        line = {"color": colour, "dash": dash, "width": 2}
        template = f"%{{y:.3g}} of n={n}"
        traces.append(
            {**common, "y": numbers(curve["value"]), "line": line, "hovertemplate": template}
        )
    return {"data": traces, "layout": layout}


def _scatter(chart: Chart) -> Figure:
    layout = base_layout(chart.across, chart.down)
    layout["hovermode"] = "closest"
    data = _thinned(chart.data)
    numeric = data.height > 0 and data["x"].dtype.is_numeric()
    if "x" in chart.settings["log"]:
        layout["xaxis"] |= LOG
    if not numeric:
        order = [plain(value) for value in chart.settings["order"]]
        layout["xaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": order}
    traces = []
    common = shared_start(data["run"].to_list()) if data.height else 0
    data = with_edge(data, high=chart.settings.get("worst", False)) if data.height else data
    for points in data.partition_by("label", maintain_order=True) if data.height else []:
        label, colour, index = points.select("label", "colour", "index").row(0)
        usual = _SYMBOLS[index // 6 % len(_SYMBOLS)]
        symbol = (
            ["x-thin-open" if is_diverged else usual for is_diverged in points["diverged"]]
            if points["diverged"].any()
            else usual
        )
        traces.append(
            {
                "x": numbers(points["x"]) if numeric else [plain(x) for x in points["x"]],
                "y": numbers(points["value"]),
                "text": [
                    plain(run[common:] + (" diverged" if is_diverged else ""))
                    for run, is_diverged in points.select("run", "diverged").iter_rows()
                ],
                "type": "scatter",
                "mode": "markers",
                "marker": {"color": colour, "size": 9, "opacity": 0.8, "symbol": symbol},
                "name": plain(label),
                "hovertemplate": "%{text}<br>%{x}: %{y:.5g}<extra></extra>",
            }
        )
    return {"data": traces, "layout": layout}


def with_edge(data: pl.DataFrame, *, high: bool) -> pl.DataFrame:
    """Return the points of a scatter with those of runs that diverged beyond the worst one of the
    others."""
    ends = (data["value"].min(), data["value"].max())
    lowest, highest = (float(v) if isinstance(v, int | float) else 0.0 for v in ends)
    beyond = 0.06 * ((highest - lowest) or abs(highest) or 1.0)
    edge = highest + beyond if high else lowest - beyond
    return data.with_columns(
        diverged=pl.col("value").is_null(), value=pl.col("value").fill_null(edge)
    )


def _thinned(data: pl.DataFrame) -> pl.DataFrame:
    """Return one point of those that lie on one spot of the screen, and of very many some, the
    extremes among them."""
    if data.height <= _MOST_POINTS:
        return data
    x = _spots(pl.col("x")) if data["x"].dtype.is_numeric() else pl.col("x")
    placed = data.with_columns(_x=x, _y=_spots(pl.col("value")))
    one_a_spot = placed.unique(["label", "_x", "_y"], keep="first", maintain_order=True).drop(
        "_x", "_y"
    )
    if one_a_spot.height <= _MOST_POINTS:
        return one_a_spot
    order = one_a_spot.with_row_index("_row").sort("value")
    step = -(-one_a_spot.height // _MOST_POINTS)
    evenly = pl.concat([order.gather_every(step), order.tail(1)]).unique("_row")
    return evenly.sort("_row").drop("_row")


def _spots(column: pl.Expr) -> pl.Expr:
    low, high = column.min(), column.max()
    return ((column - low) / (high - low) * _SPOTS_OF_AXIS).round()


def _parallel(chart: Chart) -> Figure:
    """Return a line a run across an axis a parameter, coloured by its score; grey where it is
    outside a marked range.

    Drawn from plain lines: Plotly's own parallel coordinates need WebGL and code made at run time,
    which the page's security policy refuses. Dragging along an axis marks a range of it (`view.js`,
    which reads `meta`).
    """
    axes: Sequence[dict[str, Any]] = chart.settings["axes"]
    count = len(axes)
    places = chart.data["place"].to_list()
    lines = len(places) // count if count else 0
    wide = chart.data.head(lines).select("run", "value", "brushed")
    lows, highs = wide["value"].min(), wide["value"].max()
    low, high = (float(v) if isinstance(v, int | float) else 0.0 for v in (lows, highs))
    groups: dict[int, dict[tuple[float | None, ...], int]] = {}
    for line, (value, inside) in enumerate(wide.select("value", "brushed").iter_rows()):
        shade = shade_of(value, low, high, _SHADES) if inside else -1
        spots = (places[line + axis * lines] for axis in range(count))
        spot = tuple(
            None if at is None else round(at * _SPOTS_OF_AXIS) / _SPOTS_OF_AXIS for at in spots
        )
        groups.setdefault(shade, {}).setdefault(spot, line)
    lines_drawn = _some_lines(groups)
    traces = [_lines(lines_drawn[shade], count, shade) for shade in sorted(lines_drawn)]
    traces.append(_ends(wide, places[(count - 1) * lines :], lines_drawn, count - 1))
    return {"data": traces, "layout": _parallel_layout(axes, chart.settings["brush"])}


Lines = dict[int, dict[tuple[float | None, ...], int]]
"""By shade, -1 for grey: places along the axes, and one of the lines that go there."""


def _some_lines(groups: Lines) -> Lines:
    """Return of very many lines every so many, evenly over all shades."""
    total = sum(map(len, groups.values()))
    step = max(1, -(-total // _MOST_LINES))
    return {shade: dict(list(lines.items())[::step]) for shade, lines in groups.items()}


def _lines(lines: dict[tuple[float | None, ...], int], count: int, shade: int) -> dict[str, Any]:
    ys: list[float | None] = []
    for spot in lines:
        ys += [None if at is None else round(at, 4) for at in spot]
        ys.append(None)
    colour = LINES[shade] if shade >= 0 else GREY
    thin = len(lines) > MANY_LINES
    return {
        "x": [*range(count), None] * len(lines),
        "y": ys,
        "type": "scatter",
        "mode": "lines",
        "line": {"color": colour, "width": 1.0 if thin else 1.6},
        "opacity": 0.12 if shade < 0 else 0.5 if thin else 0.8,
        "hoverinfo": "skip",
        "name": "",
    }


def _ends(
    wide: pl.DataFrame, places: list[float | None], lines_drawn: Lines, at: int
) -> dict[str, Any]:
    """Return a mark at the end of each line, which names its run."""
    shades = {
        line: shade for shade, lines in lines_drawn.items() for line in lines.values() if shade >= 0
    }
    runs, values = wide["run"].to_list(), wide["value"].to_list()
    common = shared_start(runs)
    ending = [line for line in sorted(shades) if places[line] is not None]
    return {
        "x": [at] * len(ending),
        "y": [round(places[line] or 0.0, 4) for line in ending],
        "text": [plain(f"{runs[line][common:]}: {values[line]:.5g}") for line in ending],
        "type": "scatter",
        "mode": "markers",
        "marker": {"color": [LINES[shades[line]] for line in ending], "size": 6},
        "unselected": {"marker": {"opacity": 1}},
        "hovertemplate": "%{text}<extra></extra>",
        "name": "",
    }


def _parallel_layout(axes: Sequence[dict[str, Any]], brushes: Sequence[Brush]) -> dict[str, Any]:
    layout = base_layout("", "")
    layout |= {
        "hovermode": "closest",
        "dragmode": "select",
        "height": 480,
        "meta": {"axes": [_escaped(axis) for axis in axes]},
    }
    marked = [[brush.column, brush.low, brush.high, *brush.values] for brush in brushes]
    layout["uirevision"] = layout["selectionrevision"] = repr(marked)
    layout["newselection"] = {"line": {"color": BASE_MARK, "width": 1}}
    layout["xaxis"] |= {
        "tickvals": list(range(len(axes))),
        "ticktext": [plain(axis["name"]) for axis in axes],
        "gridcolor": GREY,
        "range": [-0.15, len(axes) - 0.7],
        "title": {"text": ""},
        "side": "top",
        "fixedrange": True,
    }
    layout["yaxis"] |= {"visible": False, "range": [-0.06, 1.06], "fixedrange": True}
    layout["annotations"] = [
        {
            "x": i,
            "y": at,
            "text": plain(text),
            "showarrow": False,
            "xanchor": "left",
            "xshift": 5,
            "font": {"size": 11},
            "bgcolor": GRID,
        }
        for i, axis in enumerate(axes)
        for at, text in axis_marks(axis)
    ]
    layout["shapes"] = [
        {
            "type": "rect",
            "x0": i - 0.03,
            "x1": i + 0.03,
            "y0": low,
            "y1": high,
            "fillcolor": faint(BASE_MARK, 0.35),
            "line": {"color": BASE_MARK, "width": 1},
        }
        for brush in brushes
        for i, axis in enumerate(axes)
        if axis["column"] == brush.column
        for low, high in marked_parts(axis, brush)
    ]
    return layout


def _escaped(axis: dict[str, Any]) -> dict[str, Any]:
    """Return an axis with its texts as Plotly may have them; `view.js` takes that back."""
    texts = {"column": plain(axis["column"]), "name": plain(axis["name"])}
    return (
        axis
        | texts
        | ({"values": [plain(value) for value in axis["values"]]} if "values" in axis else {})
    )


_DRAWN: dict[str, Any] = {
    "bars": _intervals,
    "points": _intervals,
    "profile": _profile,
    "scatter": _scatter,
    "heat": heat_figure,
    "parallel": _parallel,
}
