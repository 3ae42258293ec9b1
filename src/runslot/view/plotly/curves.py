"""Panels of curves as Plotly figures: bands, lines, runs by themselves, rings where runs end,
crosses. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from runslot.view.data.marks import drops, stroke
from runslot.view.data.panel import Curve, Mark, Panel
from runslot.view.plotly.figure import LOG, Figure, base_layout, numbers, plain

_MOST_CURVES_HOVERED = 10
"""Up to so many curves, hovering names all values at one x."""


def curves_figure(panel: Panel, hidden: Sequence[str] = ()) -> Figure:
    """Return the figure of one panel: for each curve its band and its line, and a ring where runs
    end."""
    layout = base_layout(panel.x, panel.y)
    visible_curves = [curve for curve in panel.curves if curve.group not in hidden]
    for name in panel.log:
        layout[f"{name}axis"] |= LOG
    layout["hovermode"] = (
        "x unified"
        if sum(not curve.member for curve in visible_curves) <= _MOST_CURVES_HOVERED
        else "closest"
    )
    if panel.low is not None or panel.high is not None:
        layout["yaxis"] |= _range(panel)
    traces: list[dict[str, Any]] = []
    for curve in visible_curves:
        traces += _band(curve)
    traces += [_member(curve) for curve in visible_curves if curve.member]
    traces += [_line(curve) for curve in visible_curves if not curve.member]
    traces.append(
        _ends(visible_curves)
    )  # also where there are none yet: a figure that grows keeps its traces
    traces.append(_diverged([mark for mark in panel.marks if mark.label not in hidden]))
    return {"data": traces, "layout": layout}


def _range(panel: Panel) -> dict[str, Any]:
    limits = [panel.low, panel.high]
    if "y" in panel.log:
        limits = [math.log10(v) if v is not None and v > 0 else None for v in limits]
    if None in limits:
        return {
            "autorangeoptions": dict(
                zip(("minallowed", "maxallowed"), (panel.low, panel.high), strict=True)
            )
        }
    return {"range": limits, "autorange": False}


def _band(curve: Curve) -> list[dict[str, Any]]:
    points = curve.points
    if points["low"].null_count() == points.height:
        return []
    style = stroke(curve.index)
    common = {
        **xs_of(points["x"]),
        "type": "scatter",
        "mode": "lines",
        "line": {"width": 0, "color": style.colour},
        "hoverinfo": "skip",
        "showlegend": False,
        "name": plain(curve.label),
    }
    low = points.select(pl.col("low").fill_null(pl.col("center"))).to_series()
    high = points.select(pl.col("high").fill_null(pl.col("center"))).to_series()
    return [
        {**common, "y": numbers(low)},
        {**common, "y": numbers(high), "fill": "tonexty", "fillcolor": style.faint(0.16)},
    ]


def _member(curve: Curve) -> dict[str, Any]:
    """Return the thin line of one run beside the mean of its group."""
    return {
        **xs_of(curve.points["x"]),
        "y": numbers(curve.points["center"]),
        "type": "scatter",
        "mode": "lines" if curve.points.height > 1 else "markers",
        "name": plain(curve.label),
        "line": {"color": stroke(curve.index).colour, "width": 0.9},
        "opacity": 0.4,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _diverged(marks: Sequence[Mark]) -> dict[str, Any]:
    """Return crosses where runs diverged."""
    marker = {"symbol": "x-thin", "size": 9, "color": [stroke(mark.index).colour for mark in marks]}
    return {
        "x": [mark.x for mark in marks],
        "y": numbers(pl.Series([mark.y for mark in marks], dtype=pl.Float64)),
        "type": "scatter",
        "mode": "markers",
        "marker": marker | {"line": {"width": 2, "color": marker["color"]}},
        "text": [plain(f"{mark.run} diverged here") for mark in marks],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "name": "diverged",
    }


def _line(curve: Curve) -> dict[str, Any]:
    style = stroke(curve.index)
    single = curve.run is not None
    trace = {
        **xs_of(curve.points["x"]),
        "y": numbers(curve.points["center"]),
        "type": "scatter",
        "mode": "lines" if curve.points.height > 1 else "markers",
        "name": plain(curve.label),
        "line": {"color": style.colour, "dash": style.dash, "width": 1.2 if single else 2},
        "opacity": 0.75 if single else 1,
        "hovertemplate": "%{y:.6~g}",
    }
    if single:
        return trace
    counts = curve.points["n"]
    if counts.n_unique() == 1:
        return trace | {"hovertemplate": f"%{{y:.6~g}}  n={counts[0]}"}
    return trace | {"hovertemplate": "%{y:.6~g}  n=%{text}", "text": [str(n) for n in counts]}


def _ends(curves: Sequence[Curve]) -> dict[str, Any]:
    """Return rings at the points after which fewer runs go on."""
    xs: list[float] = []
    ys: list[float] = []
    colours: list[str] = []
    texts: list[str] = []
    for curve in curves:
        if curve.member:
            continue
        counts = curve.points["n"].to_list()
        for at in drops(counts):
            xs.append(curve.points["x"][at])
            ys.append(curve.points["center"][at])
            colours.append(stroke(curve.index).colour)
            texts.append(f"n = {counts[at]} → {counts[at + 1]}")
    marker = {"symbol": "circle-open", "size": 8, "color": colours, "line": {"width": 1.5}}
    return {
        "x": xs,
        "y": numbers(pl.Series(ys, dtype=pl.Float64)),
        "type": "scatter",
        "mode": "markers",
        "marker": marker,
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "name": "runs end",
    }


def xs_of(x: pl.Series) -> dict[str, Any]:
    """Return x as start and step where it is even, else as a list; whole numbers are written
    without a point."""
    if len(x) > 2:
        steps = x.diff().drop_nulls()
        step = float(steps[0])
        if step > 0 and bool(((steps - step).abs() <= abs(step) * 1e-9).all()):
            return {"x0": _whole(float(x[0])), "dx": _whole(step)}
    return {"x": [_whole(float(value)) for value in x]}


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.9g}")
