"""How a paper figure is drawn from plain lists: what `runslot plot` calls, and what its exported script is made of.

What follows the mark is copied into that script; so it needs matplotlib alone, and says everything itself.
"""

from __future__ import annotations

# --- shared ---
import textwrap
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
    points = points | {name: drawable(points[name]) for name in ("center", "low", "high")}
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
    finish(figure, handles, settings)
    return figure


def drawable(values: list[Any]) -> list[Any]:
    """Return values between which an axis can be divided: floats end at 1.8e308."""
    return [max(-1e280, min(value, 1e280)) if isinstance(value, float) else value for value in values]


def shorter(labels: list[str], most: int) -> list[str]:
    """Return labels of so many letters, the middle of longer ones left out; numbered where that makes two alike."""
    kept = [
        label if len(label) <= most else f"{label[: most // 2]}…{label[len(label) - (most - 1) // 2 :]}"
        for label in labels
    ]
    return [f"{label} ({at})" if kept.count(label) > 1 else label for at, label in enumerate(kept, 1)]


def finish(figure: Any, handles: dict[str, Any], settings: dict[str, Any]) -> None:
    """Put the legend below the figure, in two fifths of its height at most, under the line that says who counts."""
    size, (width, height) = settings["font"], settings["size"]
    line = textwrap.fill(settings["line"], max(20, int(width * 72 / (0.45 * (size - 2))))) if settings["line"] else ""
    if len(handles) < 2:
        figure.supxlabel(line, fontsize=size - 2, color="0.35")
        return
    labels = shorter(list(handles), max(12, int(width * 72 / (0.55 * size))) - 8)
    widest = max(map(len, labels))
    columns = max(1, min(len(handles), int(width * 72 / (size * (0.55 * widest + 4)))))
    rows = max(1, int(0.4 * height * 72 / (1.5 * size)))
    drawn = list(handles.values())
    if len(labels) > rows * columns:
        kept = rows * columns - 1
        blank = type(drawn[0])([], [], linestyle="none")
        drawn, labels = [*drawn[:kept], blank], [*labels[:kept], f"… and {len(labels) - kept} more"]
    below = {"loc": "outside lower center", "frameon": False, "fontsize": size, "handlelength": 2.2}
    legend = figure.legend(drawn, labels, ncols=columns, title=line or None, title_fontsize=size - 2, **below)
    legend.get_title().set_color("0.35")


def _panel(
    axis: Any, points: dict[str, list[Any]], rows: list[int], settings: dict[str, Any], handles: dict[str, Any]
) -> None:
    for series in dict.fromkeys(points["series"][i] for i in rows):
        own = [i for i in rows if points["series"][i] == series]
        runs = dict.fromkeys(points["run"][i] for i in own if points["part"][i] == "run")
        for run in runs:  # the runs of a small group, thin; or each run, where there is no mean
            _line(axis, points, [i for i in own if points["part"][i] == "run" and points["run"][i] == run], True)
        mean = [i for i in own if points["part"][i] == "mean"]
        if mean:
            _band(axis, points, mean)
            handles.setdefault(series, _line(axis, points, mean, False))
            _ends(axis, points, mean, settings["font"])
        elif runs:
            handles.setdefault(series, axis.get_lines()[-1])
        gone = [i for i in own if points["part"][i] == "diverged"]
        x, y = ([points[key][i] for i in gone] for key in ("x", "center"))
        axis.plot(x, y, "x", color=points["colour"][own[0]], markersize=5, markeredgewidth=1.2)
    _dress(axis, points, rows, settings)


def _line(axis: Any, points: dict[str, list[Any]], own: list[int], thin: bool) -> Any:
    x, center = ([points[key][i] for i in own] for key in ("x", "center"))
    look = {"linewidth": 0.5, "alpha": 0.55} if thin else {"linewidth": 1.2}
    look |= {"color": points["colour"][own[0]], "linestyle": points["dash"][own[0]]}
    (line,) = axis.plot(x, center, marker="o" if len(own) == 1 else None, **look)
    return line


def _band(axis: Any, points: dict[str, list[Any]], own: list[int]) -> None:
    x, center, low, high = ([points[key][i] for i in own] for key in ("x", "center", "low", "high"))
    if any(value is not None for value in low):
        bottom = [c if v is None else v for v, c in zip(low, center, strict=True)]
        top = [c if v is None else v for v, c in zip(high, center, strict=True)]
        axis.fill_between(x, bottom, top, color=points["colour"][own[0]], alpha=0.18, linewidth=0)


def _ends(axis: Any, points: dict[str, list[Any]], own: list[int], size: float) -> None:
    """Draw a ring where fewer runs go on, and how many these are."""
    x, center, n = ([points[key][i] for i in own] for key in ("x", "center", "n"))
    colour = points["colour"][own[0]]
    ends = [k for k in range(len(own) - 1) if n[k + 1] < n[k]]
    axis.plot([x[k] for k in ends], [center[k] for k in ends], "o", color=colour, markersize=3.5, fillstyle="none")
    for k in ends if len(ends) <= 8 else []:
        place = {"xytext": (2, 3), "textcoords": "offset points", "fontsize": size - 3, "color": colour}
        axis.annotate(f"n={n[k + 1]}", (x[k], center[k]), **place)


def _dress(axis: Any, points: dict[str, list[Any]], rows: list[int], settings: dict[str, Any]) -> None:
    size = settings["font"]
    for name in settings["log"]:
        along = points["x" if name == "x" else "center"]
        if not any(along[i] is not None and along[i] > 0 for i in rows):
            continue  # nothing could be drawn
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
