"""The figures of curves as plain records, and which of their axes are logarithmic. Pure.

`runslot.view.data.curves` makes them; `runslot.view.plotly` and `runslot.view.paper` draw them.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from runslot.record import record


@record
class Curve:
    """One curve of one panel."""

    label: str
    index: int
    """Picks colour and dash; equal for equal groups in all panels."""
    runs: int
    """Runs of its group in this figure that count."""
    points: pl.DataFrame
    """`x`, `n`, `center`, `low`, `high`, ordered by `x`; `low` and `high` null where there is no
    width."""
    run: str | None = None
    """The run, where each one is drawn by itself."""
    member: bool = False
    """One of the runs of a group whose mean is drawn, too."""
    group: str = ""
    """The label of its series."""


@record
class Mark:
    """Where a run diverged: the last place at which it had a value."""

    x: float
    y: float
    label: str
    index: int
    run: str


@record
class Panel:
    """One figure of a view."""

    y: str
    x: str
    split: str
    """Values of the columns that figures are split by; empty where they are not."""
    curves: tuple[Curve, ...]
    bare: bool = False
    """Bands are not drawn, because there are too many curves."""
    log: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    marks: tuple[Mark, ...] = ()


_COLUMNS = {"x": "x", "y": "center"}


def log_axes(curves: Sequence[Curve], axes: Sequence[str]) -> tuple[str, ...]:
    """Return the axes that were chosen to be logarithmic and have a value above 0."""
    return tuple(
        axis for axis in axes if any((curve.points[_COLUMNS[axis]] > 0).any() for curve in curves)
    )


def beyond_logarithms(panels: Sequence[Panel], axes: Sequence[str]) -> list[str]:
    """Return what logarithmic axes do not show."""
    notes = []
    for axis in axes:
        full = [panel for panel in panels if panel.curves]
        plain = dict.fromkeys(
            panel.x if axis == "x" else panel.y for panel in full if axis not in panel.log
        )
        if plain:
            notes.append(
                f"the {axis} axis of {', '.join(plain)} is not logarithmic, since no value is"
                " above 0"
            )
        curves = [curve for panel in full if axis in panel.log for curve in panel.curves]
        if any((curve.points[_COLUMNS[axis]] <= 0).any() for curve in curves):
            notes.append(f"values of 0 and below are not on the logarithmic {axis} axis")
    return notes
