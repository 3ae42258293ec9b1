"""How a paper figure is drawn from plain lists: what `runslot plot` calls, and what its exported script is made of.

What follows the mark is copied into that script; so it needs matplotlib alone, and says everything itself.
"""

from __future__ import annotations

# --- shared ---
from typing import Any

STYLE = {
    "pdf.fonttype": 42,  # TrueType: can be searched and edited, and publishers take it
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "runslot",
    "font.family": "serif",
    "font.serif": ["STIX Two Text", "STIXGeneral", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "text.parse_math": False,  # names of metrics may hold dollar signs
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.35,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


def draw(figure_class: Any, points: dict[str, list[Any]], settings: dict[str, Any]) -> Any:
    """Return the figure: a panel a value of `panel`, in it a line and a band a value of `series`."""
    count = max(points["panel"]) + 1
    columns = settings["columns"]
    size = settings["font"]
    figure = figure_class(figsize=settings["size"], layout="constrained")
    axes = figure.subplots(-(-count // columns), columns, squeeze=False).flatten()
    handles: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for number, axis in enumerate(axes):
        rows = [i for i, panel in enumerate(points["panel"]) if panel == number]
        if not rows:
            axis.set_visible(False)
            continue
        _panel(axis, points, rows, settings, handles)
        same = first.setdefault(points["y"][rows[0]], axis)
        if same is not axis:  # panels of one metric have one scale
            axis.sharey(same)
            same.autoscale(enable=settings["limits"] == (None, None), axis="y")
    if len(handles) > 1:
        below = {"loc": "outside lower center", "frameon": False, "fontsize": size, "handlelength": 2.2}
        widest = max(len(label) for label in handles)
        fitting = int(settings["size"][0] * 72 / (size * (0.55 * widest + 4)))
        figure.legend(handles.values(), handles.keys(), ncols=max(1, min(len(handles), fitting)), **below)
    return figure


def _panel(
    axis: Any, points: dict[str, list[Any]], rows: list[int], settings: dict[str, Any], handles: dict[str, Any]
) -> None:
    size = settings["font"]
    for series in dict.fromkeys(points["series"][i] for i in rows):
        own = [i for i in rows if points["series"][i] == series]
        x, center, low, high = ([points[key][i] for i in own] for key in ("x", "center", "low", "high"))
        colour, dash = points["colour"][own[0]], points["dash"][own[0]]
        (line,) = axis.plot(
            x, center, color=colour, linestyle=dash, linewidth=1.2, marker="o" if len(own) == 1 else None
        )
        handles.setdefault(series, line)
        if any(value is not None for value in low):
            bottom = [c if v is None else v for v, c in zip(low, center, strict=True)]
            top = [c if v is None else v for v, c in zip(high, center, strict=True)]
            axis.fill_between(x, bottom, top, color=colour, alpha=0.18, linewidth=0)
        # A ring where fewer runs go on.
        ends = [k for k in range(len(own) - 1) if points["n"][own[k + 1]] < points["n"][own[k]]]
        axis.plot([x[k] for k in ends], [center[k] for k in ends], "o", color=colour, markersize=3.5, fillstyle="none")
    for name in settings["log"]:
        (axis.set_xscale if name == "x" else axis.set_yscale)("log")
        along = axis.xaxis if name == "x" else axis.yaxis
        along.set_major_formatter(lambda value, _: f"{value:g}")  # its own ones are written as formulas
        along.set_minor_formatter(lambda *_: "")
    low_limit, high_limit = settings["limits"]
    axis.set_ylim(low_limit, high_limit)
    axis.set_xlabel(settings["x"], fontsize=size)
    axis.set_ylabel(points["y"][rows[0]], fontsize=size)
    if points["split"][rows[0]]:
        axis.set_title(points["split"][rows[0]], fontsize=size)
    axis.tick_params(labelsize=size - 1)
