"""The states of a run: their words, their order, what each counts as, how each looks.

Whoever shows or judges states reads them here: status, results, page, terminal. Pure; it imports
nothing of runslot. What must stay true: the words are those of `outcome.json` and the journal, so
none ever changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Kind = Literal["succeeded", "failed", "timed_out", "pruned", "paused", "stopped", "lost"]
"""How an attempt ended. `pruned`: a search ended it for good, as one of the worse; `paused`: it
kept a snapshot, and goes on when the search comes back to it; `lost`: nobody can account for it.
"""

State = Literal[
    "queued", "running", "succeeded", "failed", "timed_out", "pruned", "paused", "stopped", "lost"
]
"""What a reader sees of a run: its last outcome, or that it runs, or that it has not started."""

UNKNOWN = "unknown"
"""Stands for a state that a directory does not tell."""

STATES: tuple[State, ...] = get_args(State)
"""In the order of a run's life."""

ENDED: tuple[Kind, ...] = get_args(Kind)
"""States that last until somebody runs the run again."""

BUSIEST_FIRST: tuple[State, ...] = ("running", "queued", *ENDED)
"""The order in which the counts of an experiment stand in a line."""

UNDER_WAY: frozenset[State] = frozenset({"queued", "running"})
"""States that change by themselves."""

UNFINISHED: frozenset[State] = frozenset({"queued", "stopped", "lost"})
"""States that a resume runs again without being told to."""

FAILED: frozenset[Kind] = frozenset({"failed", "timed_out"})
"""States that a resume runs again with `--failed`."""

HALTED: frozenset[Kind] = frozenset({"pruned", "paused"})
"""States in which a search left a run: ends as well as success, and no resume runs them again by
itself.
"""

WELL: frozenset[str] = HALTED | {"succeeded"}
"""Ends that nobody has to look into."""

BAD: frozenset[str] = FAILED | {"lost"}
"""States that nobody asked for: they are marked where they are counted."""

COLOURS: Mapping[str, str] = {
    "queued": "#868E96",
    "running": "#0072B2",
    "succeeded": "#009E73",
    "failed": "#D55E00",
    "timed_out": "#E69F00",
    "pruned": "#56B4E9",
    "paused": "#8C7CC3",
    "stopped": "#CC79A7",
    "lost": "#B04A5A",
    UNKNOWN: "#868E96",
}
"""On the page and in figures; the state's word always stands beside its colour."""

TERMINAL_STYLES: Mapping[str, str] = {
    "running": "cyan",
    "queued": "dim",
    "succeeded": "green",
    "failed": "red",
    "timed_out": "red",
    "pruned": "blue",
    "paused": "blue",
    "stopped": "yellow",
    "lost": "magenta",
}
"""On a terminal, in rich's words."""


def colour_of(state: str | None) -> str:
    """Return the colour of a state, also of one that another program made up."""
    return COLOURS.get(state or UNKNOWN, COLOURS[UNKNOWN])
