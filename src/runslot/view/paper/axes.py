"""How a figure for papers is drawn on matplotlib's axes, from plain lists and settings.

`runslot.view.paper.figure` calls `draw`. What must stay true: each function needs matplotlib's
objects, plain values, and functions and constants of this module and of `data.marks` alone, since
their source is what an exported script is made of (`runslot.view.paper.script`).
"""

from __future__ import annotations

import textwrap
import unicodedata
from typing import Any

from runslot.view.data.marks import (
    MANY_LINES,
    MOST_CELLS_WRITTEN,
    SHARE_LIMITS,
    band_edge,
    cell_words,
    diverged_words,
    drops,
    shade_of,
)

STYLE = {
    "pdf.fonttype": 42,  # TrueType: can be searched and edited, and publishers take it
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text: it can be searched and edited
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
POINTS_PER_INCH = 72


def draw(figure_class: Any, rows: dict[str, list[Any]], settings: dict[str, Any]) -> Any:
    """Return the figure: a panel a value of `panel`, drawn as its settings' `mark` says."""
    panels, columns = settings["panels"], settings["columns"]
    rows = rows | {name: drawable(rows[name]) for name in DRAWN_COLUMNS if name in rows}
    figure = figure_class(figsize=settings["size"], layout="constrained")
    axes = figure.subplots(-(-len(panels) // columns), columns, squeeze=False).flatten()
    handles: dict[str, Any] = {}
    scales: dict[str, Any] = {}
    parts = split_by(rows, "panel")
    for number, axis in enumerate(axes):
        if number not in parts:
            axis.set_visible(False)
            continue
        panel = {**settings, **panels[number], "handles": handles, "figure": figure}
        MARKS[panel["mark"]](axis, parts[number], panel)
        if panel["mark"] == "curves":  # panels of one metric have one scale
            first = scales.setdefault(panel["down"], axis)
            if first is not axis:
                axis.sharey(first)
                first.autoscale(enable=panel["limits"] == (None, None), axis="y")
        axis.set_title(panel["split"], fontsize=settings["font"])
        axis.tick_params(labelsize=settings["font"] - 1)
        axis.set_xlabel(panel["across"], fontsize=settings["font"])
        axis.set_ylabel(panel["down"], fontsize=settings["font"])
    finish(figure, handles, settings)
    return figure


def split_by(rows: dict[str, list[Any]], column: str) -> dict[Any, dict[str, list[Any]]]:
    """Return the rows with each value of a column, in the order in which the values come."""
    places: dict[Any, list[int]] = {}
    for place, value in enumerate(rows[column]):
        places.setdefault(value, []).append(place)
    return {
        value: {name: [values[place] for place in numbers] for name, values in rows.items()}
        for value, numbers in places.items()
    }


def drawable(values: list[Any]) -> list[Any]:
    """Return values between which an axis can be divided: floats end at 1.8e308."""
    return [
        max(-1e280, min(value, 1e280)) if isinstance(value, float) else value for value in values
    ]


def letters_of(text: str) -> int:
    """Return how many letters of Europe a text is as wide as."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def shorter(labels: list[str], most: int) -> list[str]:
    """Return labels of so many letters, the middle of longer ones left out; numbered where that
    makes two alike."""
    cut = []
    for label in labels:
        wide = letters_of(label)
        kept = most * len(label) // max(1, wide)
        is_long = wide > most
        cut.append(
            f"{label[: kept // 2]}…{label[len(label) - (kept - 1) // 2 :]}" if is_long else label
        )
    return [
        f"{label} ({number})" if cut.count(label) > 1 else label
        for number, label in enumerate(cut, 1)
    ]


def finish(figure: Any, handles: dict[str, Any], settings: dict[str, Any]) -> None:
    """Put the legend below the figure, in two fifths of its height at most, under the line that
    says who counts."""
    size, (width, height) = settings["font"], settings["size"]
    letters = int(width * POINTS_PER_INCH / (0.45 * (size - 2)))
    line = textwrap.fill(settings["line"], max(20, letters)) if settings["line"] else ""
    if len(handles) < 2:
        figure.supxlabel(line, fontsize=size - 2, color="0.35")
        return
    labels = shorter(list(handles), max(12, int(width * POINTS_PER_INCH / (0.55 * size))) - 8)
    widest = max(map(letters_of, labels))
    columns = max(1, min(len(handles), int(width * POINTS_PER_INCH / (size * (0.55 * widest + 4)))))
    rows = max(1, int(0.4 * height * POINTS_PER_INCH / (1.5 * size)))
    lines = list(handles.values())
    if len(labels) > rows * columns:
        room = rows * columns - 1
        blank = type(lines[0])([], [], linestyle="none")
        lines, labels = [*lines[:room], blank], [*labels[:room], f"… and {len(labels) - room} more"]
    below = {"loc": "outside lower center", "frameon": False, "fontsize": size, "handlelength": 2.2}
    legend = figure.legend(
        lines, labels, ncols=columns, title=line or None, title_fontsize=size - 2, **below
    )
    legend.get_title().set_color("0.35")


def letters_across(panel: dict[str, Any]) -> int:
    """Return how many letters take about half of a panel's width."""
    return int(panel["size"][0] * POINTS_PER_INCH / panel["columns"] / panel["font"])


def log_scale(axis: Any, name: str) -> None:
    """Make one axis logarithmic, with numbers at it as they are written elsewhere."""
    (axis.set_xscale if name == "x" else axis.set_yscale)("log")
    along = axis.xaxis if name == "x" else axis.yaxis
    along.set_major_formatter(lambda value, _: f"{value:g}")  # its own ones are written as formulas
    along.set_minor_formatter(lambda *_: "")


def draw_curves(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a line and a band a series, thin lines of its runs where these are few, and a cross
    where one diverged."""
    for series, points in split_by(data, "series").items():
        parts = split_by(points, "part")
        for run in split_by(parts["run"], "run").values() if "run" in parts else []:
            draw_line(axis, run, thin=True)
        if "mean" in parts:
            draw_band(axis, parts["mean"])
            panel["handles"].setdefault(series, draw_line(axis, parts["mean"], thin=False))
            draw_drops(axis, parts["mean"], panel["font"])
        elif "run" in parts:
            panel["handles"].setdefault(series, axis.get_lines()[-1])
        crosses = parts.get("diverged", {"x": [], "center": []})
        look = {"color": points["colour"][0], "markersize": 5, "markeredgewidth": 1.2}
        axis.plot(crosses["x"], crosses["center"], "x", **look)
    for name in panel["log"]:
        if any(value is not None and value > 0 for value in data["x" if name == "x" else "center"]):
            log_scale(axis, name)
    axis.set_ylim(*panel["limits"])


def draw_line(axis: Any, points: dict[str, list[Any]], *, thin: bool) -> Any:
    """Draw one curve; a dot where it has one point."""
    look = {"linewidth": 0.5, "alpha": 0.55} if thin else {"linewidth": 1.2}
    look |= {"color": points["colour"][0], "linestyle": points["dash"][0]}
    (line,) = axis.plot(
        points["x"], points["center"], marker="o" if len(points["x"]) == 1 else None, **look
    )
    return line


def draw_band(axis: Any, points: dict[str, list[Any]]) -> None:
    """Draw the band of a curve, where it has one."""
    if any(value is not None for value in points["low"]):
        low, high = (band_edge(points[edge], points["center"]) for edge in ("low", "high"))
        axis.fill_between(
            points["x"], low, high, color=points["colour"][0], alpha=0.18, linewidth=0
        )


def draw_drops(axis: Any, points: dict[str, list[Any]], size: float) -> None:
    """Draw a ring where fewer runs go on, and how many these are."""
    x, center, n, colour = points["x"], points["center"], points["n"], points["colour"][0]
    rings = drops(n)
    look = {"color": colour, "markersize": 3.5, "fillstyle": "none"}
    axis.plot([x[at] for at in rings], [center[at] for at in rings], "o", **look)
    for at in rings if len(rings) <= 8 else []:
        place = {
            "xytext": (2, 3),
            "textcoords": "offset points",
            "fontsize": size - 3,
            "color": colour,
        }
        axis.annotate(f"n={n[at + 1]}", (x[at], center[at]), **place)


def draw_intervals(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a bar or a point a label, with its interval, and the runs as dots."""
    groups = [i for i, part in enumerate(data["part"]) if part == "group"]
    labels = [data["label"][i] for i in groups]
    place = {label: at for at, label in enumerate(reversed(labels))}
    for i in groups:
        value, low, high = (data[name][i] for name in ("value", "low", "high"))
        at, colour = place[data["label"][i]], data["colour"][i]
        if data["diverged"][i]:
            words = diverged_words(data["diverged"][i], value)
            look = {"fontsize": panel["font"] - 2, "color": colour, "va": "center", "ha": "right"}
            axis.text(0.99, at + 0.3, words, transform=axis.get_yaxis_transform(), **look)
        if value is None:
            continue
        if panel["mark"] == "bars":
            axis.barh(
                at, value, height=0.66, color=colour, alpha=0.45, edgecolor=colour, linewidth=0.8
            )
        else:
            axis.plot([value], [at], "o", color=colour, markersize=5)
        if low is not None and high is not None:
            error = [[value - low], [high - value]]
            axis.errorbar([value], [at], xerr=error, color=colour, capsize=2.5, linewidth=1.2)
    runs = [i for i, part in enumerate(data["part"]) if part == "run"]
    for i in runs if len(runs) <= 240 else []:
        look = {"color": data["colour"][i], "markersize": 3, "alpha": 0.7}
        axis.plot([data["value"][i]], [place[data["label"][i]]], ".", **look)
    axis.set_yticks(list(place.values()), shorter(list(place), max(12, letters_across(panel))))
    axis.set_ylim(-0.6, len(labels) - 0.4)
    axis.grid(visible=False, axis="y")
    if panel.get("line_at") is not None:
        axis.axvline(panel["line_at"], color="0.5", linewidth=0.8, linestyle=":")
    if "x" in panel["log"]:
        log_scale(axis, "x")
    axis.set_xlim(*panel["limits"])


def draw_profile(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw the fraction of runs above each score, a curve and its band a label."""
    for label, curve in split_by(data, "label").items():
        colour = curve["colour"][0]
        (line,) = axis.plot(
            curve["x"], curve["value"], color=colour, linestyle=curve["dash"][0], linewidth=1.2
        )
        if curve["low"][0] is not None:
            axis.fill_between(
                curve["x"], curve["low"], curve["high"], color=colour, alpha=0.18, linewidth=0
            )
        panel["handles"].setdefault(label, line)
    axis.set_ylim(*SHARE_LIMITS)


def draw_scatter(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a point a run; values that are no numbers stand one beside the other."""
    place = {value: at for at, value in enumerate(panel["order"])}
    for label, points in split_by(data, "label").items():
        x = [place[value] for value in points["x"]] if place else points["x"]
        y = [float("nan") if value is None else value for value in points["value"]]
        colour = points["colour"][0]
        (dots,) = axis.plot(x, y, ".", color=colour, markersize=5)
        # Runs that diverged stand at the edge.
        crosses = [at for at, value in zip(x, points["value"], strict=True) if value is None]
        look = {"color": colour, "transform": axis.get_xaxis_transform(), "clip_on": False}
        axis.plot(crosses, [1.0 if panel["worst"] else 0.0] * len(crosses), "x", **look)
        dots.set_alpha(0.8)
        panel["handles"].setdefault(label, dots)
    if place:
        axis.set_xticks(list(place.values()), list(place))
        axis.margins(x=0.1)
    if "x" in panel["log"]:
        log_scale(axis, "x")


def draw_heat(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a cell for each pair of values, with its mean and how many runs it is the mean of."""
    xs, ys = panel["order"], panel["order_down"]
    columns = (data[name] for name in ("across", "down", "value", "n"))
    cells = {(x, y): (mean, n) for x, y, mean, n in zip(*columns, strict=True)}
    nan = float("nan")
    z = [
        [nan if (mean := cells.get((x, y), (nan, 0))[0]) is None else mean for x in xs] for y in ys
    ]
    image = axis.imshow(z, aspect="auto", origin="lower", cmap="viridis")
    for (x, y), (mean, n) in cells.items() if len(cells) <= MOST_CELLS_WRITTEN else ():
        is_dark = mean is not None and abs(mean) < float("inf") and image.norm(mean) < 0.6
        look = {"ha": "center", "va": "center", "color": "white" if is_dark else "black"}
        axis.text(xs.index(x), ys.index(y), cell_words(mean, n), fontsize=panel["font"] - 2, **look)
    axis.set_xticks(range(len(xs)), shorter(xs, max(12, letters_across(panel) // len(xs))))
    axis.set_yticks(range(len(ys)), shorter(ys, max(12, letters_across(panel))))
    axis.grid(visible=False)
    bar = panel["figure"].colorbar(image, ax=axis)
    bar.set_label(panel["y"], fontsize=panel["font"])
    bar.ax.tick_params(labelsize=panel["font"] - 1)


def draw_parallel(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a line a run across an axis a parameter, coloured by its score; grey where it is outside
    a marked range."""
    names = list(dict.fromkeys(data["axis"]))
    lines: dict[Any, list[int]] = {}
    for row, line in enumerate(data["line"]):
        lines.setdefault(line, []).append(row)
    low, high = min(data["value"]), max(data["value"])
    shades = panel["shades"]
    for rows in sorted(lines.values(), key=lambda rows: data["value"][rows[0]]):
        shade = shade_of(data["value"][rows[0]], low, high, len(shades))
        colour = shades[shade] if data["brushed"][rows[0]] else "0.8"
        width = 0.9 if len(lines) <= MANY_LINES else 0.4
        axis.plot(
            range(len(rows)),
            [data["place"][row] for row in rows],
            color=colour,
            linewidth=width,
            alpha=0.8,
        )
    most = max(12, 2 * letters_across(panel) // len(names))
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
    for at, marks in enumerate(panel["axis_marks"]):
        axis.axvline(at, color="0.4", linewidth=0.6)
        for place, text in marks:
            look = {"fontsize": panel["font"] - 2, "va": "center", "bbox": box}
            axis.text(at + 0.03, place, shorter([text], most)[0], **look)
    axis.set_xticks(range(len(names)), shorter(names, most))
    axis.set_yticks([])
    axis.set_xlim(-0.1, len(names) - 0.75)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)


DRAWN_COLUMNS = ("x", "value", "center", "low", "high")
"""Columns of numbers, which an axis must be able to hold."""

MARKS: dict[str, Any] = {
    "curves": draw_curves,
    "bars": draw_intervals,
    "points": draw_intervals,
    "profile": draw_profile,
    "scatter": draw_scatter,
    "heat": draw_heat,
    "parallel": draw_parallel,
}
"""By the mark of a panel: who draws it."""
