"""Plots of one score a run: intervals by group, scatter, parallel coordinates, heat map. Pure.

`bars` draws points with intervals, not bars from zero: what differs between 0.96 and 0.97 can be seen, and no length
misleads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import BEST, FINAL, Results
from runslot.results.statistics import band
from runslot.results.summary import mode_of
from runslot.view.choices import Choices
from runslot.view.choosing import Groups, default_series, default_y, group, in_order, text_of
from runslot.view.curves import SAID
from runslot.view.figures import GREY, GRID, LOG, Figure, base_layout, numbers, plain
from runslot.view.palette import LINES, SEQUENCE, Stroke, stroke

Drawn = tuple[tuple[tuple[str, str], ...], tuple[Figure, ...], set[int], tuple[str, ...]]
_MOST_CELLS = 2500
_MOST_LINES = 1000
_SHADES = len(SEQUENCE)


def plots(chosen: Results, choices: Choices, everything: Results) -> Drawn:
    """Return titles, figures, the groups that have a colour, and notes, for every kind but curves and slots."""
    metrics = [chosen.metric(name) for name in choices.y or default_y(chosen.metrics)]
    if not metrics:
        return (), (), set(), ("No run has logged a metric yet.",)
    keys = default_series(everything) if choices.series is None else choices.series
    series = group(chosen, keys, everything)
    judged = f"each run judged by {_judged(choices.by, metrics, choices)}"
    titles: list[tuple[str, str]] = []
    figures: list[Figure] = []
    for metric in metrics:
        scored = _scored(chosen, metric, choices)
        if choices.kind == "parallel":
            titles.append((metric, ""))
            figures.append(_parallel(scored, metric, keys or chosen.varying, choices))
        elif choices.kind == "heat":
            titles.append((metric, ""))
            figures.append(_heat(scored, *axes(chosen, choices)))
        else:
            for split, some in _split(scored, chosen, choices):
                titles.append((metric, split))
                figures.append(
                    _scatter(some, metric, series, axes(chosen, choices)[0], choices.hide)
                    if choices.kind == "scatter"
                    else _intervals(some, metric, series, choices)
                )
    coloured = {g.index for g in series.groups} if choices.kind in {"bars", "scatter"} else set()
    said = [SAID["mean-std" if choices.band == "runs" else choices.band]] if choices.kind == "bars" else []
    return tuple(titles), tuple(figures), coloured, (*said, judged)


def axes(results: Results, choices: Choices) -> tuple[str, str]:
    """Return the columns across and down of a scatter or heat map; by default the parameters with the most values."""
    keys = sorted(results.varying, key=lambda key: -results.runs[key].n_unique())
    across = choices.across or (keys[0] if keys else "seed")
    down = choices.down or next((key for key in keys if key != across), "seed")
    for column in (across, down):
        if column not in results.runs.columns:
            raise InvalidInput(f"no run has a column {column!r}")
    return across, down


def _judged(by: str, metrics: Sequence[str], choices: Choices) -> str:
    if by != "best":
        return {"final": "its final value", "mean": "the mean of its values"}.get(by, f"the mean of its {by} values")
    ways = {"lowest" if (choices.mode or mode_of(metric)) == "min" else "highest" for metric in metrics}
    return f"its {' or '.join(sorted(ways))} value"


def _scored(chosen: Results, metric: str, choices: Choices) -> pl.DataFrame:
    mode = choices.mode or mode_of(metric) or "max"
    scored = chosen.scores(metric, "min" if mode == "min" else "max", choices.by)
    scored = scored.filter(pl.col("score").is_finite())
    if choices.top:
        scored = scored.sort("score", descending=mode == "max").head(choices.top)
    return scored


def _split(scored: pl.DataFrame, chosen: Results, choices: Choices) -> list[tuple[str, pl.DataFrame]]:
    splits = group(chosen, choices.split)
    place = pl.Series([splits.of[run] for run in scored["run"]], dtype=pl.Int64)
    return [(g.label if g.values else "", scored.filter(place == i)) for i, g in enumerate(splits.groups)]


def _intervals(scored: pl.DataFrame, metric: str, series: Groups, choices: Choices) -> Figure:
    """Return a line a group: its runs as small dots, the center and the spread over them."""
    runs = scored.select("run", x=pl.lit(0.0), y="score").with_columns(
        series=pl.Series([series.of[run] for run in scored["run"]], dtype=pl.Int64)
    )
    table = band(runs, "mean-std" if choices.band == "runs" else choices.band, by=("series",))
    layout = base_layout(metric, "")
    labels = [plain(series.groups[i].label) for i in table["series"]]
    traces: list[dict[str, Any]] = []
    for i, n, center, low, high in table.select("series", "n", "center", "low", "high").iter_rows():
        found = series.groups[i]
        drawn = stroke(found.index)
        label = plain(found.label)
        own = runs.filter(pl.col("series") == i)["y"]
        traces.append(_dots(own, label, drawn))
        wide = (
            None
            if low is None
            else {
                "type": "data",
                "symmetric": False,
                "array": [high - center],
                "arrayminus": [center - low],
                "color": drawn.colour,
                "thickness": 2,
                "width": 5,
            }
        )
        traces.append(
            {
                "x": numbers(pl.Series([center])),
                "y": [label],
                "type": "scatter",
                "mode": "markers",
                "marker": {"color": drawn.colour, "size": 11},
                "error_x": wide or {},
                "name": label,
                "hovertemplate": f"%{{x:.5g}}  n={n}",
            }
        )
    layout["yaxis"] |= {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": labels[::-1],
        "title": {"text": ""},
    }
    layout["height"] = max(180, 70 + 30 * len(labels))
    if "x" in choices.log or "y" in choices.log:
        layout["xaxis"] |= LOG
    return {"data": traces, "layout": layout}


def _dots(values: pl.Series, label: str, drawn: Stroke) -> dict[str, Any]:
    return {
        "x": numbers(values),
        "y": [label] * len(values),
        "type": "scatter",
        "mode": "markers",
        "marker": {"color": drawn.faint(0.45), "size": 6},
        "name": label,
        "hovertemplate": "%{x:.5g}<extra>one run</extra>",
    }


def _scatter(scored: pl.DataFrame, metric: str, series: Groups, across: str, hidden: Sequence[str]) -> Figure:
    layout = base_layout(_heading(across), metric)
    layout["hovermode"] = "closest"
    values = scored[across]
    numeric = values.dtype.is_numeric()
    if numeric and _spans_decades(values):
        layout["xaxis"] |= LOG
    if not numeric:
        layout["xaxis"] |= {"type": "category", "categoryorder": "array"}
        layout["xaxis"]["categoryarray"] = [plain(v) for v in in_order(text_of(values))]
    place = pl.Series([series.of[run] for run in scored["run"]], dtype=pl.Int64)
    traces = []
    for i, found in enumerate(series.groups):
        own = scored.filter(place == i)
        if own.height and found.label not in hidden:
            traces.append(
                {
                    "x": numbers(own[across]) if numeric else [plain(v) for v in text_of(own[across])],
                    "y": numbers(own["score"]),
                    "text": [plain(run) for run in own["run"]],
                    "type": "scatter",
                    "mode": "markers",
                    "marker": {
                        "color": stroke(found.index).colour,
                        "size": 9,
                        "opacity": 0.8,
                        "symbol": _SYMBOLS[found.index // 6 % len(_SYMBOLS)],
                    },
                    "name": plain(found.label),
                    "hovertemplate": "%{text}<br>%{x}: %{y:.5g}<extra></extra>",
                }
            )
    return {"data": traces, "layout": layout}


_SYMBOLS = ("circle", "diamond", "square", "x")


def _heading(column: str) -> str:
    for prefix, said in ((FINAL, "final"), (BEST, "best")):
        if column.startswith(prefix):
            return f"{column.removeprefix(prefix)} ({said})"
    return column


def _spans_decades(values: pl.Series) -> bool:
    positive = values.drop_nulls()
    low, high = positive.min(), positive.max()
    return isinstance(low, int | float) and isinstance(high, int | float) and low > 0 and high / low >= 50


def _heat(scored: pl.DataFrame, across: str, down: str) -> Figure:
    """Return a cell for each pair of values: the mean score over its runs, written in it with their number."""
    cells = pl.DataFrame({"across": text_of(scored[across]), "down": text_of(scored[down]), "score": scored["score"]})
    xs, ys = in_order(cells["across"]), in_order(cells["down"])
    if len(xs) * len(ys) > _MOST_CELLS:
        raise InvalidInput(f"{len(xs)} × {len(ys)} cells are too many for a heat map; choose columns with fewer values")
    means = {
        (a, d): (mean, n)
        for a, d, mean, n in cells.group_by("across", "down").agg(pl.col("score").mean(), n=pl.len()).iter_rows()
    }
    z = [[_rounded(means.get((a, d))) for a in xs] for d in ys]
    text = [[_said(means.get((a, d))) for a in xs] for d in ys]
    layout = base_layout(_heading(across), _heading(down))
    layout["xaxis"] |= {"type": "category", "showgrid": False}
    layout["yaxis"] |= {"type": "category", "showgrid": False}
    layout["height"] = max(240, min(900, 110 + 46 * len(ys)))
    scale = [[i / (_SHADES - 1), colour] for i, colour in enumerate(SEQUENCE)]
    trace = {
        "x": [plain(a) for a in xs],
        "y": [plain(d) for d in ys],
        "z": z,
        "type": "heatmap",
        "colorscale": scale,
        "xgap": 2,
        "ygap": 2,
        "text": text,
        "texttemplate": "%{text}" if len(xs) * len(ys) <= 120 else "",
        "hovertemplate": "%{x}, %{y}: %{text}<extra></extra>",
        "colorbar": {"thickness": 10, "outlinewidth": 0, "tickfont": {"color": GREY}},
    }
    return {"data": [trace], "layout": layout}


def _rounded(cell: tuple[float, int] | None) -> float | None:
    return None if cell is None else float(f"{cell[0]:.6g}")


def _said(cell: tuple[float, int] | None) -> str:
    return "" if cell is None else f"{cell[0]:.4g}<br>n={cell[1]}"


def _parallel(scored: pl.DataFrame, metric: str, keys: Sequence[str], choices: Choices) -> Figure:
    """Return a line a run across an axis a parameter, coloured by its score.

    Drawn from plain lines: Plotly's own parallel coordinates need WebGL and code made at run time, which the page's
    security policy refuses.
    """
    if scored.height > _MOST_LINES:
        raise InvalidInput(f"{scored.height} lines are too many for parallel coordinates; filter to {_MOST_LINES} runs")
    columns = [*dict.fromkeys(key for key in keys if key in scored.columns), "score"]
    places = [_places(scored[column]) for column in columns]
    layout = base_layout("", "")
    layout["hovermode"] = "closest"
    ticks = [_heading(column) if column != "score" else f"{metric} ({choices.by})" for column in columns]
    layout["xaxis"] |= {
        "tickvals": list(range(len(columns))),
        "ticktext": [plain(t) for t in ticks],
        "gridcolor": GREY,
        "range": [-0.15, len(columns) - 0.7],
        "title": {"text": ""},
        "side": "top",
    }
    layout["yaxis"] |= {"visible": False, "range": [-0.06, 1.06]}
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
        for i, (_, marks) in enumerate(places)
        for at, text in marks
    ]
    layout["height"] = 460
    shade = [min(int(at * _SHADES), _SHADES - 1) if at is not None else 0 for at in places[-1][0]]
    traces = []
    for step in range(_SHADES):
        xs: list[int | None] = []
        ys: list[float | None] = []
        text: list[str] = []
        for row in (i for i, s in enumerate(shade) if s == step):
            xs += [*range(len(columns)), None]
            ys += [*(None if at[row] is None else round(at[row] or 0.0, 4) for at, _ in places), None]
            text += [plain(f"{scored['run'][row]}: {scored['score'][row]:.5g}")] * (len(columns) + 1)
        if xs:
            line = {"color": LINES[step], "width": 1.6}
            traces.append(
                {
                    "x": xs,
                    "y": ys,
                    "text": text,
                    "type": "scatter",
                    "mode": "lines+markers",
                    "line": line,
                    "marker": {"size": 4},
                    "opacity": 0.8,
                    "hovertemplate": "%{text}<extra></extra>",
                    "name": "",
                }
            )
    return {"data": traces, "layout": layout}


def _places(values: pl.Series) -> tuple[list[float | None], list[tuple[float, str]]]:
    """Return where each value lies on an axis from 0 to 1, and the axis's marks."""
    if values.dtype.is_numeric() and values.n_unique() > 8:
        low, high = float(values.min() or 0.0), float(values.max() or 0.0)  # type: ignore[arg-type]  # numbers, as seen
        width = high - low or 1.0
        marks = [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]
        return [None if v is None else (v - low) / width for v in values], marks
    text = text_of(values)
    order = in_order(text)
    at = {value: 0.5 if len(order) == 1 else i / (len(order) - 1) for i, value in enumerate(order)}
    marks = [(at[value], value) for value in order] if len(order) <= 24 else [(0.0, order[0]), (1.0, order[-1])]
    return [at[value] for value in text], marks
