"""What figures mark and write besides their lines, and in which colours: decided once, for the
page and for papers. Pure.

`runslot.view.plotly` and `runslot.view.paper` call it. What must stay true: it takes plain values
and needs nothing but Python, since its source goes into the scripts that draw a paper's figure
again (`runslot.view.paper.script`).
"""

from __future__ import annotations

from typing import Any

from runslot.record import record

SHARE_LIMITS = (-0.02, 1.02)
"""Ends of an axis of shares, a little beyond 0 and 1, so that curves at the ends are seen."""
MOST_CELLS_WRITTEN = 120
"""Cells of a heat map in which the mean is written."""
MANY_LINES = 150
"""Lines of parallel coordinates from which on they are drawn thinner."""


def diverged_words(count: int, value: float | None) -> str:
    """Return what is said at a group of which some runs diverged."""
    return f"× {count} diverged" + (": no value" if value is None else "")


def cell_words(mean: float | None, n: int) -> str:
    """Return what is written in a cell of a heat map, on two lines; a mean that is no number is a
    divergence."""
    is_number = mean is not None and abs(mean) < float("inf")
    return f"{mean:.4g}\nn={n}" if is_number else "diverged"


def shade_of(value: float, low: float, high: float, count: int) -> int:
    """Return which of so many shades a value between the lowest and the highest has."""
    return min(int((value - low) / ((high - low) or 1.0) * count), count - 1)


def drops(counts: list[int]) -> list[int]:
    """Return the places after which fewer runs go on, by how many runs there are at each."""
    return [at for at in range(len(counts) - 1) if counts[at + 1] < counts[at]]


def band_edge(edge: list[Any], centers: list[Any]) -> list[Any]:
    """Return one edge of a band: on the curve itself where it has no width."""
    return [center if value is None else value for value, center in zip(edge, centers, strict=True)]


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot")
DISTINCT = len(COLOURS) * len(DASHES)
"""Curves that can be told apart; further ones repeat."""

SEQUENCE = ("#440154", "#414487", "#2A788E", "#22A884", "#7AD151", "#FDE725")
"""Six steps of matplotlib's viridis, dark (low) to light (high), for areas."""

LINES = ("#3B76C4", "#4FA3C7", "#6BB39A", "#B5A93C", "#E0883A", "#D4472A")
"""Six steps from blue (low) to red (high), for lines: each can be seen on white and on black."""


@record
class Stroke:
    """How one curve is drawn."""

    colour: str
    """`#RRGGBB`."""
    dash: str
    """Plotly's word: `solid`, `dash`, `dot`, `dashdot`."""

    def faint(self, opacity: float) -> str:
        """Return the colour with that opacity, as CSS writes it."""
        return faint(self.colour, opacity)


def faint(colour: str, opacity: float) -> str:
    """Return a colour `#RRGGBB` with an opacity, as CSS writes it."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def stroke(index: int) -> Stroke:
    """Return how the curve of that number is drawn."""
    return Stroke(COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)])
