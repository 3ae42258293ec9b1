"""What all Plotly figures share: their layout, their numbers, and what must be sent when a figure
has grown. Pure.

A figure is a plain dict of JSON values. Colours of text and grid are neutral, so that one figure
suits the light and the dark page; the page's style sheet sharpens them. Every text from a file is
escaped, since Plotly takes some HTML.
"""

from __future__ import annotations

import math
from typing import Any

import polars as pl

Figure = dict[str, Any]
# the button that uploads a figure to Plotly has nowhere to send it, and is not shown
CONFIG: Any = {
    "displaylogo": False,
    "responsive": True,
    "plotlyServerURL": (""),
    "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"filename": "runslot"},
}
"""Of every figure in the browser."""
GREY = "#868e96"
GRID = "rgba(134,142,150,0.22)"
LOG = {"type": "log", "exponentformat": "power"}
"""Of a logarithmic axis: 10⁻⁵, not 10µ."""
_DIGITS = 5
_MOST_DECIMALS = 15
_MOST_CUT = 8
_FEW_VALUES = 300
"""Numbers that are rounded one by one."""


def plain(text: str) -> str:
    """Escape a text for Plotly, which reads some tags and character entities in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def base_layout(x: str, y: str) -> dict[str, Any]:
    """Return the layout that all figures share."""
    axis = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zerolinecolor": GRID,
        "automargin": True,
        "ticks": "outside",
    }
    axis |= {"tickcolor": GRID}
    return {
        "xaxis": {**axis, "title": {"text": plain(x), "standoff": 8}},
        "yaxis": {**axis, "title": {"text": plain(y), "standoff": 8}},
        "font": {
            "family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif",
            "size": 12,
            "color": GREY,
        },
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "showlegend": False,
        "hoverlabel": {"namelength": -1},
        "dragmode": "zoom",
        "uirevision": plain(f"{x}/{y}"),
    }


def numbers(values: pl.Series) -> list[float | None]:
    """Return numbers with as few digits as a screen needs; None for NaN and infinity.

    These are five significant digits, and further ones where all values lie close together far from
    zero.
    """
    if len(values) <= _FEW_VALUES:  # what polars needs for a call is more than these take
        return _few_numbers(values.to_list())
    finite = (
        values.cast(pl.Float64).replace([float("inf"), float("-inf")], [None, None]).fill_nan(None)
    )
    low, high = finite.min(), finite.max()
    decimals = _decimals(low, high) if isinstance(low, float) and isinstance(high, float) else None
    rounded = finite.round_sig_figs(_DIGITS) if decimals is None else finite.round(decimals)
    digits: list[float | None] = rounded.to_list()
    return digits


def _few_numbers(values: list[float | None]) -> list[float | None]:
    finite = [v for v in values if v is not None and math.isfinite(v)]
    decimals = _decimals(min(finite), max(finite)) if finite else None
    rounded: list[float | None] = []
    for value in values:
        if value is None or not math.isfinite(value):
            rounded.append(None)
        elif decimals is None:
            rounded.append(float(f"{value:.{_DIGITS}g}"))
        else:
            rounded.append(round(float(value), decimals))
    return rounded


def _decimals(low: float, high: float) -> int | None:
    """Return to how many places numbers are rounded that lie close together far from zero; None
    where significant digits do."""
    if not 0 < high - low < math.inf or max(abs(low), abs(high)) <= 10 * (high - low):
        return None
    decimals = _DIGITS - 1 - math.floor(math.log10(high - low))
    return min(max(decimals, 0), _MOST_DECIMALS)


def with_mark(figure: Figure, mark: str | int) -> Figure:
    """Return the figure with the mark of its moment: a change for another one is refused in the
    browser."""
    layout = figure["layout"]
    return {**figure, "layout": {**layout, "meta": {**layout.get("meta", {}), "mark": mark}}}


Change = tuple[str, tuple[str | int, ...], Any]
"""`set` (a value), `cut` (indices to remove, the last one first) or `extend` (further items), and
where that is."""


def growth(before: Figure, after: Figure) -> list[Change] | None:
    """Return what changes `before` into `after`; None where that is hardly less than sending all of
    it."""
    if len(before["data"]) != len(after["data"]) or before["layout"] != after["layout"]:
        return None
    changes: list[Change] = []
    for i, (old, new) in enumerate(zip(before["data"], after["data"], strict=True)):
        if old.keys() != new.keys():
            changes.append(("set", ("data", i), new))
            continue
        for key in new:
            if old[key] != new[key]:
                changes += _change(("data", i, key), old[key], new[key])
    return changes


def _change(where: tuple[str | int, ...], old: Any, new: Any) -> list[Change]:
    if not isinstance(old, list) or not isinstance(new, list) or len(new) < len(old) - _MOST_CUT:
        return [("set", where, new)]
    surplus = list(range(len(old) - 1, len(new) - 1, -1))
    differ = [i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    if len(differ) * 4 > len(old):
        return [("set", where, new)]
    changes: list[Change] = [("cut", where, surplus)] if surplus else []
    changes += [("set", (*where, i), new[i]) for i in differ]
    return [*changes, ("extend", where, new[len(old) :])] if len(new) > len(old) else changes
