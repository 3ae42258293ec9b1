"""A heat map as rows of bars of equal height, so that the page needs no further kind of trace."""

from __future__ import annotations

import math
from typing import Any

from runslot.view.data.chart import Chart
from runslot.view.data.marks import MOST_CELLS_WRITTEN, SEQUENCE, cell_words
from runslot.view.plotly.figure import GREY, Figure, base_layout, plain

_CELL = 0.96
"""How much of its place a cell takes."""
_LIGHT_FROM = 0.55
"""Part of the scale from which on it is light."""
_NOTHING = "rgba(0,0,0,0)"
Cell = tuple[float, int]
"""A mean, nan where there is none, and of how many runs."""


def heat_figure(chart: Chart) -> Figure:
    """Return a cell for each pair of values, with the mean and n written in it."""
    xs, ys = chart.settings["order"], chart.settings["order_down"]
    cells: dict[str, dict[str, Cell]] = {}
    for a, d, mean, n in chart.data.select("across", "down", "value", "n").iter_rows():
        cells.setdefault(d, {})[a] = (math.nan if mean is None else mean, n)
    is_written = len(xs) * len(ys) <= MOST_CELLS_WRITTEN
    means = [mean for line in cells.values() for mean, _ in line.values() if math.isfinite(mean)]
    ends = (min(means, default=0.0), max(means, default=0.0))
    traces = []
    for row, d in enumerate(ys):
        line = {a: cells[d][a] for a in xs if a in cells.get(d, {})}
        valued = {a: cell for a, cell in line.items() if math.isfinite(cell[0])}
        bare = {a: cell for a, cell in line.items() if a not in valued}
        traces += [
            _bars(d, row, part, ends, is_written=is_written, is_valued=part is valued)
            for part in (valued, bare)
            if part
        ]
    return {"data": traces, "layout": _layout(chart, xs, ys)}


def _bars(
    name: str,
    row: int,
    cells: dict[str, Cell],
    ends: tuple[float, float],
    *,
    is_written: bool,
    is_valued: bool,
) -> dict[str, Any]:
    texts = [cell_words(*cell).replace("\n", "<br>") for cell in cells.values()]
    colours = [float(f"{mean:.6g}") for mean, _ in cells.values()]
    marker = {"color": colours, "coloraxis": "coloraxis"} if is_valued else {"color": _NOTHING}
    return {
        "type": "bar",
        "name": plain(name),
        "x": [plain(a) for a in cells],
        "y": [_CELL] * len(cells),
        "base": [row - _CELL / 2] * len(cells),
        "width": _CELL,
        "marker": marker,
        "text": texts if is_written else "",
        "customdata": texts,
        "insidetextfont": {"color": [_ink(mean, *ends) for mean, _ in cells.values()]},
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "hovertemplate": "%{x}, %{fullData.name}: %{customdata}<extra></extra>",
    }


def _ink(mean: float, low: float, high: float) -> str:
    """Return what can be read on the colour of a mean: the scale goes from dark to light."""
    share = (mean - low) / (high - low) if high > low and math.isfinite(high - low) else 0.0
    return "#111111" if share > _LIGHT_FROM else "#ffffff"


def _layout(chart: Chart, xs: list[str], ys: list[str]) -> dict[str, Any]:
    layout = base_layout(chart.across, chart.down)
    layout["xaxis"] |= {
        "type": "category",
        "showgrid": False,
        "categoryorder": "array",
        "categoryarray": [*map(plain, xs)],
        "range": [-0.5, len(xs) - 0.5],
    }
    layout["yaxis"] |= {
        "type": "linear",
        "showgrid": False,
        "zeroline": False,
        "tickvals": list(range(len(ys))),
        "ticktext": [*map(plain, ys)],
        "range": [-0.5, len(ys) - 0.5],
    }
    layout["height"] = max(240, min(900, 110 + 46 * len(ys)))
    layout["barmode"] = "overlay"
    layout["uniformtext"] = {"mode": "show", "minsize": 9}
    layout["coloraxis"] = {
        "colorscale": [[i / (len(SEQUENCE) - 1), colour] for i, colour in enumerate(SEQUENCE)],
        "colorbar": {
            "thickness": 10,
            "outlinewidth": 0,
            "tickfont": {"color": GREY},
            "title": {"text": "scaled" if chart.settings["scaled"] else ""},
        },
    }
    return layout
