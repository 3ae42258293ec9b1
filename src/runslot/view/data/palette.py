"""Colours and dashes of curves: Okabe and Ito's palette, which colour-blind readers can tell apart,
then its dashes.

Their black and yellow are left out: one cannot be seen on a dark page, the other on a white one.
Source: Okabe and Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot")
DISTINCT = len(COLOURS) * len(DASHES)
"""Curves that can be told apart; further ones repeat."""

SEQUENCE = ("#440154", "#414487", "#2A788E", "#22A884", "#7AD151", "#FDE725")
"""Six steps of matplotlib's viridis, dark (low) to light (high), for areas."""

LINES = ("#3B76C4", "#4FA3C7", "#6BB39A", "#B5A93C", "#E0883A", "#D4472A")
"""Six steps from blue (low) to red (high), for lines: each can be seen on white and on black."""


@dataclass(frozen=True)
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
