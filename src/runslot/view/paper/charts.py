"""How paper figures of one score a run are drawn from plain lists; beside `drawing`, of which it takes the legend.

What follows the mark is copied into an exported script, after that of `drawing`.
"""

from __future__ import annotations

# --- shared ---
from typing import Any

from runslot.view.paper.curves import drawable, finish, shorter


def draw_charts(figure_class: Any, rows: dict[str, list[Any]], settings: dict[str, Any]) -> Any:
    """Return the figure: a panel a value of `panel`, drawn as `settings["mark"]` says."""
    panels = settings["panels"]
    rows = rows | {name: drawable(rows[name]) for name in ("x", "value", "low", "high") if name in rows}
    columns = settings["columns"]
    figure = figure_class(figsize=settings["size"], layout="constrained")
    axes = figure.subplots(-(-len(panels) // columns), columns, squeeze=False).flatten()
    handles: dict[str, Any] = {}
    for number, axis in enumerate(axes):
        if number >= len(panels):
            axis.set_visible(False)
            continue
        panel = {**settings, **panels[number], "handles": handles, "figure": figure}
        own = [i for i, at in enumerate(rows["panel"]) if at == number]
        data = {name: [values[i] for i in own] for name, values in rows.items()}
        MARKS[panel["mark"]](axis, data, panel)
        axis.set_title(panel["split"], fontsize=settings["font"])
        axis.tick_params(labelsize=settings["font"] - 1)
        axis.set_xlabel(panel["across"], fontsize=settings["font"])
        axis.set_ylabel(panel["down"], fontsize=settings["font"])
    finish(figure, handles, settings)
    return figure


def fitting(panel: dict[str, Any]) -> int:
    """Return how many letters take about half of a panel's width."""
    return int(panel["size"][0] * 72 / panel["columns"] / panel["font"])


def draw_intervals(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a bar or a point a label, with its interval, and the runs as dots."""
    groups = [i for i, part in enumerate(data["part"]) if part == "group"]
    labels = [data["label"][i] for i in groups]
    place = {label: at for at, label in enumerate(reversed(labels))}
    for i in groups:
        value, low, high = (data[name][i] for name in ("value", "low", "high"))
        at, colour = place[data["label"][i]], data["colour"][i]
        if data["diverged"][i]:
            words = f"× {data['diverged'][i]} diverged" + (": no value" if value is None else "")
            look = {"fontsize": panel["font"] - 2, "color": colour, "va": "center", "ha": "right"}
            axis.text(0.99, at + 0.3, words, transform=axis.get_yaxis_transform(), **look)
        if value is None:
            continue
        if panel["mark"] == "bars":
            axis.barh(at, value, height=0.66, color=colour, alpha=0.45, edgecolor=colour, linewidth=0.8)
        else:
            axis.plot([value], [at], "o", color=colour, markersize=5)
        if low is not None and high is not None:
            axis.errorbar([value], [at], xerr=[[value - low], [high - value]], color=colour, capsize=2.5, linewidth=1.2)
    runs = [i for i, part in enumerate(data["part"]) if part == "run"]
    for i in runs if len(runs) <= 240 else []:
        axis.plot([data["value"][i]], [place[data["label"][i]]], ".", color=data["colour"][i], markersize=3, alpha=0.7)
    axis.set_yticks(list(place.values()), shorter(list(place), max(12, fitting(panel))))
    axis.set_ylim(-0.6, len(labels) - 0.4)
    axis.grid(visible=False, axis="y")
    if panel.get("line") is not None:
        axis.axvline(panel["line"], color="0.5", linewidth=0.8, linestyle=":")
    if "x" in panel["log"]:
        _log_scale(axis)
    axis.set_xlim(*panel["limits"])


def draw_profile(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw the fraction of runs above each score, a curve and its band a label."""
    for label in dict.fromkeys(data["label"]):
        own = [i for i, name in enumerate(data["label"]) if name == label]
        x, value, low, high = ([data[name][i] for i in own] for name in ("x", "value", "low", "high"))
        colour, dash = data["colour"][own[0]], data["dash"][own[0]]
        (line,) = axis.plot(x, value, color=colour, linestyle=dash, linewidth=1.2)
        if low[0] is not None:
            axis.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        panel["handles"].setdefault(label, line)
    axis.set_ylim(-0.02, 1.02)


def draw_scatter(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a point a run; values that are no numbers stand one beside the other."""
    place = {value: at for at, value in enumerate(panel["order"])}
    for label in dict.fromkeys(data["label"]):
        own = [i for i, name in enumerate(data["label"]) if name == label]
        x = [place[data["x"][i]] if place else data["x"][i] for i in own]
        y = [data["value"][i] for i in own]
        colour = data["colour"][own[0]]
        (points,) = axis.plot(x, [float("nan") if v is None else v for v in y], ".", color=colour, markersize=5)
        gone = [at for at, value in zip(x, y, strict=True) if value is None]  # runs that diverged stand at the edge
        edge = 1.0 if panel["worst"] else 0.0
        axis.plot(gone, [edge] * len(gone), "x", color=colour, transform=axis.get_xaxis_transform(), clip_on=False)
        points.set_alpha(0.8)
        panel["handles"].setdefault(label, points)
    if place:
        axis.set_xticks(list(place.values()), list(place))
        axis.margins(x=0.1)
    if "x" in panel["log"]:
        _log_scale(axis)


def _log_scale(axis: Any) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # its own ones are written as formulas
    axis.xaxis.set_minor_formatter(lambda *_: "")


def draw_heat(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a cell for each pair of values, with its mean and how many runs it is the mean of."""
    xs, ys = panel["order"], panel["order_down"]
    cells = dict(
        zip(zip(data["across"], data["down"], strict=True), zip(data["value"], data["n"], strict=True), strict=True)
    )
    nan = float("nan")
    z = [[nan if (mean := cells.get((x, y), (nan, 0))[0]) is None else mean for x in xs] for y in ys]
    image = axis.imshow(z, aspect="auto", origin="lower", cmap="viridis")
    for (x, y), (mean, n) in cells.items() if len(cells) <= 120 else ():
        known = mean is not None and abs(mean) < float("inf")
        dark = known and image.norm(mean) < 0.6
        axis.text(
            xs.index(x),
            ys.index(y),
            f"{mean:.4g}\nn={n}" if known else "diverged",
            ha="center",
            va="center",
            color="white" if dark else "black",
            fontsize=panel["font"] - 2,
        )
    axis.set_xticks(range(len(xs)), shorter(xs, max(12, fitting(panel) // len(xs))))
    axis.set_yticks(range(len(ys)), shorter(ys, max(12, fitting(panel))))
    axis.grid(visible=False)
    bar = panel["figure"].colorbar(image, ax=axis)
    bar.set_label(panel["y"], fontsize=panel["font"])
    bar.ax.tick_params(labelsize=panel["font"] - 1)


def draw_parallel(axis: Any, data: dict[str, list[Any]], panel: dict[str, Any]) -> None:
    """Draw a line a run across an axis a parameter, coloured by its score; grey where it is outside a marked range."""
    names = list(dict.fromkeys(data["axis"]))
    lines: dict[Any, list[int]] = {}
    for i, line in enumerate(data["line"]):
        lines.setdefault(line, []).append(i)
    low, high = min(data["value"]), max(data["value"])
    shades = panel["shades"]
    for own in sorted(lines.values(), key=lambda rows: data["value"][rows[0]]):
        first = own[0]
        share = (data["value"][first] - low) / ((high - low) or 1.0)
        colour = shades[min(int(share * len(shades)), len(shades) - 1)] if data["brushed"][first] else "0.8"
        width = 0.9 if len(lines) <= 150 else 0.4
        axis.plot(range(len(own)), [data["place"][i] for i in own], color=colour, linewidth=width, alpha=0.8)
    most = max(12, 2 * fitting(panel) // len(names))
    for at, marks in enumerate(panel["axis_marks"]):
        axis.axvline(at, color="0.4", linewidth=0.6)
        for place, text in marks:
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
            axis.text(
                at + 0.03,
                place,
                shorter([text], max(12, 2 * fitting(panel) // len(names)))[0],
                fontsize=panel["font"] - 2,
                va="center",
                bbox=box,
            )
    axis.set_xticks(range(len(names)), shorter(names, most))
    axis.set_yticks([])
    axis.set_xlim(-0.1, len(names) - 0.75)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)


MARKS = {
    "bars": draw_intervals,
    "points": draw_intervals,
    "profile": draw_profile,
    "scatter": draw_scatter,
    "heat": draw_heat,
    "parallel": draw_parallel,
}
