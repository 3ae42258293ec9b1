"""What an open page is sent when rows were added: changes of its figures, table and counts.

Called by `runslot.view.web.app`. What must stay true: an answer says which moment it starts from,
and the browser (`live.js`) puts it into figures of that moment alone; else it asks for all of it
again. Answers overtake each other.
"""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, no_update

from runslot.errors import RunslotError
from runslot.view.plotly.figure import Figure, growth
from runslot.view.web.content import PageContent, same_frame, shown_page, stamp_of
from runslot.view.web.grid import changes
from runslot.view.web.live_runs import LiveRuns
from runslot.view.web.memory import Memory
from runslot.view.web.page import counted_words, notes_text, status_counts

OUTPUTS = {
    "grown": Output("grown", "data"),
    "redraw": Output("redraw", "data"),
    "outgrown": Output("outgrown", "data"),
}
"""What a tick changes: figures and table of the page, or that it asks for all of them, or for other
controls."""


def add_updates(app: Dash, runs: LiveRuns, memory: Memory[PageContent]) -> None:
    """Answer each tick of a page of plots with what has changed since the moment that it shows."""

    @app.callback(
        output=OUTPUTS,
        inputs={
            "_": Input("tick", "n_intervals"),
            "stamp": State("seen", "data"),
            "query": State("query", "data"),
            "redraw": State("redraw", "data"),
            "is_drawing": State("drawing", "data"),
        },
        prevent_initial_call=True,
        running=[(Output("tick", "disabled"), True, False)],
    )
    def grow(
        _: int | None,
        stamp: dict[str, Any] | None,
        query: str | None,
        redraw: int,
        is_drawing: bool,
    ) -> dict[str, Any]:
        unchanged = dict.fromkeys(OUTPUTS, no_update)
        moment = runs.now(query or "")
        if (
            is_drawing
            or stamp is None
            or (stamp["version"] == moment.version and stamp["query"] == query)
        ):
            return unchanged
        if stamp["query"] == query and memory.rests(query or ""):
            return unchanged
        before = memory.get(stamp["query"], stamp["version"])
        try:
            after = shown_page(memory, stamp["query"], moment)
        except RunslotError:
            before = None
        # The query differs where an answer to an earlier one came last; so all is drawn again.
        if before is None or stamp["query"] != query:
            return unchanged | {"redraw": redraw + 1}
        if before.columns != after.columns:
            return unchanged | {"outgrown": True}
        if not same_frame(before, after):
            return unchanged | {"redraw": redraw + 1}
        now = stamp_of(stamp["query"], moment.version)
        figures = zip(before.figures, after.figures, strict=True)
        grown = {
            "from": stamp["mark"],
            "to": now["mark"],
            "figures": [change_of(*pair) for pair in figures],
            "seen": {**now, "table": now},
            "table": changes(before.painted, after.painted),
            "notes": notes_text(after),
            "counted": counted_words(after),
            "status": status_counts(after),
        }
        return unchanged | {"grown": grown}


def change_of(before: Figure, after: Figure) -> Any:
    """Return what the browser has to do with a figure: changes of it, or another one in its
    place."""
    changes_of_figure = growth(before, after)
    return {"figure": after} if changes_of_figure is None else {"changes": changes_of_figure}
