"""What an open page is sent when rows were added: changes of its figures, table and counts.

Called by `runslot.view.web.app`. What must stay true: an answer says which moment it starts from, and the browser
(`live.js`) puts it into figures of that moment alone; else it asks for all of it again. Answers overtake each other.
"""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, no_update

from runslot.errors import RunslotError
from runslot.view.plotly.curves import Figure, growth
from runslot.view.web.content import Memory, same_frame, seen_of
from runslot.view.web.grid import changes
from runslot.view.web.live_runs import Watched
from runslot.view.web.page import counted_words, notes_text, status_counts


def add_growth(app: Dash, watched: Watched, memory: Memory) -> None:
    """Answer each tick of a page of plots with what has changed since the moment that it shows."""

    @app.callback(
        Output("grown", "data"),
        Output("redraw", "data"),
        Output("outgrown", "data"),
        Input("tick", "n_intervals"),
        State("seen", "data"),
        State("query", "data"),
        State("redraw", "data"),
        State("drawing", "data"),
        prevent_initial_call=True,
        running=[(Output("tick", "disabled"), True, False)],
    )
    def grow(_: int | None, seen: dict[str, Any] | None, query: str | None, redraw: int, drawing: bool) -> Any:
        nothing = (no_update,) * 3
        moment = watched.now(query or "")
        if drawing or seen is None or (seen["version"] == moment.version and seen["query"] == query):
            return nothing
        if seen["query"] == query and memory.rests(query or ""):
            return nothing
        before = memory.get(seen["query"], seen["version"])
        try:
            after = memory.show(seen["query"], moment)
        except RunslotError:
            before = None
        # The query differs where an answer to an earlier one came last; so all is drawn again.
        if before is None or seen["query"] != query:
            return no_update, redraw + 1, no_update
        if before.columns != after.columns:
            return no_update, no_update, True
        if not same_frame(before, after):
            return no_update, redraw + 1, no_update
        now = seen_of(seen["query"], moment.version)
        grown = {
            "from": seen["mark"],
            "to": now["mark"],
            "figures": [change_of(a, b) for a, b in zip(before.figures, after.figures, strict=True)],
            "seen": {**now, "table": now},
            "table": changes(before.painted, after.painted),
            "notes": notes_text(after),
            "counted": counted_words(after),
            "status": status_counts(after),
        }
        return grown, no_update, no_update


def change_of(before: Figure, after: Figure) -> Any:
    """Return what the browser has to do with a figure: changes of it, or another one in its place."""
    found = growth(before, after)
    return {"figure": after} if found is None else {"changes": found}
