"""The Dash application: which page an address is, and what is drawn when choices or runs change.

What must stay true: an answer to a tick says which moment it starts from, and the browser
(`live.js`) puts it into figures of that moment alone; else it asks for all of it again. Answers
overtake each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from flask import Flask, after_this_request

from runslot.errors import RunslotError
from runslot.experiment.rundir import RunDir
from runslot.view.data.choices import Choices, without_table
from runslot.view.plotly.figure import Figure, growth
from runslot.view.web.annotation_routes import add_annotations
from runslot.view.web.answer_routes import add_answer
from runslot.view.web.comparison import comparison_page
from runslot.view.web.content import PageContent, same_frame, same_table, shown_page, stamp_of
from runslot.view.web.grid import by_name, changes
from runslot.view.web.guard import PageGuard, policy_for, protect
from runslot.view.web.library import EARLY, PageApplication, add_library, imports_ahead
from runslot.view.web.live_runs import LiveRuns, Memory, Moment
from runslot.view.web.page import (
    PageParts,
    alert,
    counted_words,
    grid,
    notes_text,
    parts_of,
    plots_page,
    shell,
    status_counts,
)
from runslot.view.web.routes import add_export, add_versions, compress
from runslot.view.web.run_page import (
    RunContent,
    console,
    parameter_of,
    run_page,
    run_panels,
    shown_run,
)
from runslot.view.web.search_routes import add_search
from runslot.view.web.texts import Texts

THEME = {
    "primaryColor": "blue",
    "defaultRadius": "sm",
    "fontFamily": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif",
}


def make_app(runs: LiveRuns, guard: PageGuard) -> Dash:
    """Return the application that shows these runs under these rules; `.server` is its WSGI
    application."""
    texts = Texts([*runs.roots, *(str(RunDir(root).about_code().path) for root in runs.roots)])
    server = Flask("runslot.view")
    add_answer(server, runs, texts, guard)
    add_search(server, runs)
    add_annotations(server, runs, guard)
    add_library(server)
    app = PageApplication(
        "runslot.view",
        server=server,  # type: ignore[arg-type]  # a server of flask, as its documentation says
        assets_folder=str(Path(__file__).parent / "assets"),
        use_pages=False,
        title="runslot",
        update_title="",
        suppress_callback_exceptions=True,
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.index_string = app.index_string.replace("{%css%}", EARLY + "{%css%}")
    app.layout = dmc.MantineProvider(
        [dcc.Location(id="at", refresh=False), dcc.Store(id="back"), html.Div(id="page")],
        theme=THEME,
        defaultColorScheme="auto",
    )
    memory: Memory[PageContent] = Memory()
    run_memory: Memory[RunContent] = Memory()
    _add_pages(app, runs, texts, memory, run_memory)
    _add_run(app, runs, texts, run_memory)
    _add_plots(app, runs, memory)
    _add_table(app, runs, memory)
    add_updates(app, runs, memory)
    _add_browser_callbacks(app)
    add_export(app.server, runs)
    add_versions(app.server, runs)
    protect(app.server, guard, policy_for(app.csp_hashes()))
    app.server.after_request(compress)
    return app


def _add_pages(
    app: Dash,
    runs: LiveRuns,
    texts: Texts,
    memory: Memory[PageContent],
    run_memory: Memory[RunContent],
) -> None:
    @app.callback(
        Output("page", "children"),
        Input("at", "pathname"),
        Input("at", "search"),
        Input("back", "data"),
    )
    def page(path: str | None, search: str | None, back: dict[str, Any] | None) -> Any:
        # `back` is the address that Back or Forward led to; `at` knows none of the choices.
        query = back["search"] if back is not None else search or ""
        moment = runs.now()
        try:
            choices = Choices.from_query(query)
            moment = runs.now(query)
            results = moment.results
            if path == "/run":
                run = parameter_of(query)
                content = shown_run(run_memory, texts, run, moment)
                panels = run_panels(content.figures, moment.version)
                parts = (content.heading, panels, content.cards)
                return shell(
                    run_page(results, run, texts, parts, moment.version), base=results.base
                )
            if path == "/compare":
                return shell(comparison_page(results, query, texts), base=results.base)
            after_this_request(imports_ahead)
            return plots_page(results, choices, _first_parts(memory, without_table(query), moment))
        except RunslotError as error:
            return shell(
                [alert(str(error)), html.A("To the plots", href="/")], base=moment.results.base
            )

    @app.callback(
        Output("console", "children"),
        Input("console-tick", "n_intervals"),
        State("run", "data"),
        State("console", "children"),
    )
    def tail(_: int | None, run: str | None, before: str | None) -> Any:
        now = console(runs.now().results, run or "", texts)
        return no_update if now is None or now == before else now


def _first_parts(memory: Memory[PageContent], query: str, moment: Moment) -> PageParts:
    """Return what the page shows at first; nothing where that cannot be drawn: then the next answer
    says why."""
    try:
        content = shown_page(memory, query, moment)
    except RunslotError:
        return PageParts()
    return parts_of(content, query, moment.version)


RUN_OUTPUTS = {
    "heading": Output("run-heading", "children"),
    "cards": Output("run-cards", "children"),
    "panels": Output("run-panels", "children"),
    "grown": Output("run-grown", "data"),
    "seen": Output("run-seen", "data"),
}
"""What a tick of a run's page may change."""


def _add_run(app: Dash, runs: LiveRuns, texts: Texts, memory: Memory[RunContent]) -> None:
    @app.callback(
        output=RUN_OUTPUTS,
        inputs={
            "_": Input("run-tick", "data"),
            "run": State("run", "data"),
            "seen_version": State("run-seen", "data"),
        },
        prevent_initial_call=True,
        running=[(Output("run-panels", "data-busy"), "true", "false")],
    )
    def follow(_: int | None, run: str, seen_version: int) -> dict[str, Any]:
        unchanged = dict.fromkeys(RUN_OUTPUTS, no_update)
        moment = runs.now()
        if seen_version == moment.version:
            return unchanged
        before = memory.get(run, seen_version)
        try:
            after = shown_run(memory, texts, run, moment)
        except RunslotError:
            return unchanged | {"seen": moment.version}
        changes = unchanged | {
            part: getattr(after, part)
            for part in ("heading", "cards")
            if not after.same(part, before)
        }
        if before is None or list(before.figures) != list(after.figures):
            return changes | {
                "panels": run_panels(after.figures, moment.version),
                "seen": moment.version,
            }
        figures = [
            change_of(before.figures[metric], figure) for metric, figure in after.figures.items()
        ]
        return changes | {"grown": {"from": seen_version, "to": moment.version, "figures": figures}}


PLOT_OUTPUTS = {
    "panels": Output("panels", "children"),
    "count": Output("panels", "data-count"),
    "legend": Output("legend", "children"),
    "notes": Output("notes", "children"),
    "message": Output("message", "children"),
    "table": Output("table-content", "data"),
    "counted": Output("counted", "children"),
    "status": Output("status", "children"),
    "stamp": Output("seen", "data"),
    "paint": Output("paint", "data"),
    "fault_of_where": Output({"type": "choice", "name": "where"}, "error"),
}
"""What a change of the choices may change on the page of plots."""


def _add_plots(app: Dash, runs: LiveRuns, memory: Memory[PageContent]) -> None:
    @app.callback(
        output=PLOT_OUTPUTS,
        inputs={
            "query": Input("query", "data"),
            "_": Input("redraw", "data"),
            "stamp": State("seen", "data"),
            "is_open": State("table-open", "data"),
        },
        prevent_initial_call=True,
        running=[(Output("drawing", "data"), True, False)],
    )
    def draw(
        query: str | None, _: int, stamp: dict[str, Any] | None, is_open: bool
    ) -> dict[str, Any]:
        unchanged = dict.fromkeys(PLOT_OUTPUTS, no_update)
        if query is None:
            return unchanged
        table = stamp.get("table") if stamp else None
        moment = runs.now(query)
        now = stamp_of(query, moment.version)
        if stamp == {**now, "table": now if is_open else None}:
            return unchanged  # the page came with it
        try:
            content = shown_page(memory, query, moment)
        except RunslotError as error:
            fault = _fault_of_where(moment, query)
            message = None if fault else alert(str(error))
            return unchanged | {
                "message": message,
                "stamp": {**now, "table": table},
                "fault_of_where": fault,
            }
        parts = vars(parts_of(content, query, moment.version))
        changes = parts | {
            "message": None,
            "paint": None,
            "fault_of_where": None,
            "table": no_update,
        }
        if not is_open:
            return changes
        changes["stamp"] = {**now, "table": now}
        if table is not None and same_table(memory.get(table["query"], table["version"]), content):
            return changes | {"paint": by_name(content.rows, content.paint)}
        return changes | {"table": {"columnDefs": content.definitions, "rowData": content.painted}}


def _add_table(app: Dash, runs: LiveRuns, memory: Memory[PageContent]) -> None:
    @app.callback(
        Output("table", "children"),
        Output("seen", "data", allow_duplicate=True),
        Input("table-open", "data"),
        State("seen", "data"),
        State("at", "search"),
        State("back", "data"),
        prevent_initial_call=True,
    )
    def open_table(
        is_open: bool, stamp: dict[str, Any] | None, search: str | None, back: dict[str, Any] | None
    ) -> Any:
        """Answer with the table of what the page shows: of the very moment that its figures are
        of, so that what is appended later is for both."""
        if not is_open or stamp is None:
            return no_update, no_update
        query = stamp["query"]
        content = memory.get(query, stamp["version"])
        try:
            content = content or shown_page(memory, query, runs.now(query))
        except RunslotError as error:
            return alert(str(error)), no_update
        address = back["search"] if back is not None else search or ""
        mark = {"query": query, "version": stamp["version"], "mark": stamp["mark"]}
        return grid(content, Choices.from_query(address)), {**mark, "table": mark}


def _fault_of_where(moment: Moment, query: str) -> str | None:
    """Return what is wrong with the condition of an address, which is said at its box; None where
    that is none."""
    try:
        where = Choices.from_query(query).where
    except RunslotError:
        return None
    try:
        moment.results.where(*([where] if where.strip() else []))
    except RunslotError as error:
        return str(error)
    return None


def _add_browser_callbacks(app: Dash) -> None:
    register: Any = app.clientside_callback  # has no types
    register(
        ClientsideFunction("runslot", "remember"),
        Output("query", "data"),
        Output("export-pdf", "href"),
        Output("export-svg", "href"),
        Output("export-png", "href"),
        Input({"type": "choice", "name": ALL}, "value"),
        State({"type": "choice", "name": ALL}, "id"),
        State("defaults", "data"),
        State("query", "data"),
    )
    register(
        ClientsideFunction("runslot", "paint"), Output("painted", "data"), Input("paint", "data")
    )
    register(
        ClientsideFunction("runslot", "fill"),
        Output("table-filled", "data"),
        Input("table-content", "data"),
    )
    for source, target in (("seen", "noted"), ("run-seen", "run-noted")):
        register(
            ClientsideFunction("runslot", "note"), Output(target, "data"), Input(source, "data")
        )
    for kind, store in (("panel", "grown"), ("run-panel", "run-grown")):
        register(
            ClientsideFunction("runslot", "grow"),
            Output(f"{store}-done", "data"),
            Input(store, "data"),
            State({"type": kind, "at": ALL}, "figure"),
            State({"type": kind, "at": ALL}, "id"),
            State("seen" if kind == "panel" else "run-seen", "data"),
        )
    register(
        ClientsideFunction("runslot", "reload"),
        Output("reloaded", "data"),
        Input("outgrown", "data"),
    )
    register(
        ClientsideFunction("runslot", "navbar"),
        Output("shell", "navbar"),
        Input("burger", "opened"),
        State("shell", "navbar"),
    )
    register(
        ClientsideFunction("runslot", "brush"),
        Output("brushed", "data"),
        Input({"type": "panel", "at": ALL}, "selectedData"),
        State({"type": "panel", "at": ALL}, "figure"),
        State({"type": "choice", "name": "brush"}, "value"),
        prevent_initial_call=True,
    )
    register(
        ClientsideFunction("runslot", "compare"),
        Output("compare", "href"),
        Output("compare", "className"),
        Input("runs", "selectedRows"),
    )


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
            "_": Input("tick", "data"),
            "stamp": State("seen", "data"),
            "query": State("query", "data"),
            "redraw": State("redraw", "data"),
            "is_drawing": State("drawing", "data"),
        },
        prevent_initial_call=True,
        running=[(Output("panels", "data-busy"), "true", "false")],
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
        is_open = stamp.get("table") is not None
        grown = {
            "from": stamp["mark"],
            "to": now["mark"],
            "figures": [change_of(*pair) for pair in figures],
            "seen": {**now, "table": now if is_open else None},
            "table": changes(before.painted, after.painted) if is_open else None,
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
