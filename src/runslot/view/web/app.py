"""The Dash application: which page an address is, and what is drawn when choices or runs change."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from flask import Response, request

from runslot.errors import RunslotError
from runslot.experiment.rundir import RunDir
from runslot.view.data.choices import Choices, without_table
from runslot.view.data.palette import stroke
from runslot.view.plotly.curves import CONFIG, with_mark
from runslot.view.web.attributes import attributes
from runslot.view.web.comparison_page import compare_page
from runslot.view.web.content import Memory, Shown, same_table, seen_of
from runslot.view.web.export import add_export
from runslot.view.web.grid import by_name
from runslot.view.web.guard import Guard, policy_for, protect
from runslot.view.web.live_runs import Moment, Watched
from runslot.view.web.page import First, counted_words, notes_text, plots_page, shell, status_counts
from runslot.view.web.page_updates import add_growth, change_of
from runslot.view.web.run_page import console, named, run_page, run_panels
from runslot.view.web.run_updates import RunMemory
from runslot.view.web.texts import Texts

_GZIPPED = ("application/json", "application/javascript", "text/javascript", "text/css", "text/html")
# What Dash would ask for only once there is a plot and a table is asked for at once, while the server reads and draws.
_SUITES = "/_dash-component-suites"
_EARLY = f"""
        <link rel="preload" as="script" href="{_SUITES}/plotly/package_data/plotly.min.js">
        <link rel="preload" as="script" href="{_SUITES}/dash/dcc/async-graph.js">
        <link rel="preload" as="script" href="{_SUITES}/dash_ag_grid/async-community.js">
        """
THEME = {
    "primaryColor": "blue",
    "defaultRadius": "sm",
    "fontFamily": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif",
}


def make_app(watched: Watched, guard: Guard) -> Dash:
    """Return the application that shows these runs under these rules; `.server` is its WSGI application."""
    app = Dash(
        "runslot.view",
        assets_folder=str(Path(__file__).parent / "assets"),
        use_pages=False,
        title="runslot",
        update_title="",
        suppress_callback_exceptions=True,
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.index_string = app.index_string.replace("{%css%}", _EARLY + "{%css%}")
    app.layout = dmc.MantineProvider(
        [dcc.Location(id="at", refresh=False), dcc.Store(id="back"), html.Div(id="page")],
        theme=THEME,
        defaultColorScheme="auto",
    )
    texts = Texts([*watched.roots, *(str(RunDir(root).about_code().path) for root in watched.roots)])
    memory, run_memory = Memory(), RunMemory(texts)
    _add_pages(app, watched, texts, memory, run_memory)
    _add_run(app, watched, run_memory)
    _add_plots(app, watched, memory)
    add_growth(app, watched, memory)
    _add_browser_callbacks(app)
    add_export(app.server, watched)
    protect(app.server, guard, policy_for(app.csp_hashes()))
    app.server.after_request(_compressed)
    return app


def _add_pages(app: Dash, watched: Watched, texts: Texts, memory: Memory, run_memory: RunMemory) -> None:
    @app.callback(Output("page", "children"), Input("at", "pathname"), Input("at", "search"), Input("back", "data"))
    def page(path: str | None, search: str | None, back: dict[str, Any] | None) -> Any:
        if back is not None:  # the address that Back or Forward led to; `at` knows none of the choices
            search = back["search"]
        moment = watched.now()
        results = moment.results
        try:
            choices = Choices.from_query(search or "")
            moment = watched.now(search or "")
            results = moment.results
            if path == "/run":
                run = named(search or "")
                shown = run_memory.show(run, moment)
                panels = run_panels(shown.figures, moment.version)
                content = run_page(results, run, texts, (shown.heading, panels, shown.cards), moment.version)
                return shell(content, base=results.base)
            if path == "/compare":
                return shell(compare_page(results, search or "", texts), base=results.base)
            return plots_page(results, choices, _first(memory, without_table(search or ""), moment))
        except RunslotError as error:
            return shell([_alert(str(error)), html.A("To the plots", href="/")], base=results.base)

    @app.callback(
        Output("console", "children"),
        Input("console-tick", "n_intervals"),
        State("run", "data"),
        State("console", "children"),
    )
    def tail(_: int | None, run: str | None, before: str | None) -> Any:
        now = console(watched.now().results, run or "", texts)
        return no_update if now is None or now == before else now


def _first(memory: Memory, query: str, moment: Moment) -> First:
    """Return what the page shows at first; nothing where that cannot be drawn: then the next answer says why."""
    try:
        shown = memory.show(query, moment)
    except RunslotError:
        return First()
    now = seen_of(query, moment.version)
    return First(
        _panels(shown, now["mark"]),
        str(len(shown.figures)),
        _legend(shown, Choices.from_query(query).hide),
        notes_text(shown),
        counted_words(shown),
        status_counts(shown),
        shown.definitions,
        shown.painted,
        {**now, "table": now},
    )


def _add_run(app: Dash, watched: Watched, memory: RunMemory) -> None:
    @app.callback(
        Output("run-heading", "children"),
        Output("run-cards", "children"),
        Output("run-panels", "children"),
        Output("run-grown", "data"),
        Output("run-seen", "data"),
        Input("run-tick", "n_intervals"),
        State("run", "data"),
        State("run-seen", "data"),
        prevent_initial_call=True,
        running=[(Output("run-tick", "disabled"), True, False)],
    )
    def follow(_: int | None, run: str, seen: int) -> Any:
        moment = watched.now()
        if seen == moment.version:
            return (no_update,) * 5
        before = memory.get(run, seen)
        try:
            after = memory.show(run, moment)
        except RunslotError:
            return (*(no_update,) * 4, moment.version)
        heading = no_update if after.same("heading", before) else after.heading
        cards = no_update if after.same("cards", before) else after.cards
        if before is None or list(before.figures) != list(after.figures):
            return heading, cards, run_panels(after.figures, moment.version), no_update, moment.version
        changes = [change_of(before.figures[metric], figure) for metric, figure in after.figures.items()]
        grown = {"from": seen, "to": moment.version, "figures": changes}
        return heading, cards, no_update, grown, no_update


def _add_plots(app: Dash, watched: Watched, memory: Memory) -> None:
    @app.callback(
        Output("panels", "children"),
        Output("panels", "data-count"),
        Output("legend", "children"),
        Output("notes", "children"),
        Output("message", "children"),
        Output("runs", "columnDefs"),
        Output("runs", "rowData"),
        Output("counted", "children"),
        Output("status", "children"),
        Output("seen", "data"),
        Output("paint", "data"),
        Output({"type": "choice", "name": "where"}, "error"),
        Input("query", "data"),
        Input("redraw", "data"),
        State("seen", "data"),
        prevent_initial_call=True,
        running=[(Output("drawing", "data"), True, False)],
    )
    def draw(query: str | None, _: int, seen: dict[str, Any] | None) -> Any:
        if query is None:
            return (no_update,) * 12
        table = seen.get("table") if seen else None
        moment = watched.now(query)
        now = seen_of(query, moment.version)
        if seen == {**now, "table": now}:
            return (no_update,) * 12  # the page came with it
        try:
            shown = memory.show(query, moment)
        except RunslotError as error:
            fault = _fault_of_where(moment, query)
            said = None if fault else _alert(str(error))
            return (*(no_update,) * 4, said, *(no_update,) * 4, {**now, "table": table}, no_update, fault)
        kept = table is not None and same_table(memory.get(table["query"], table["version"]), shown)
        return (
            _panels(shown, now["mark"]),
            str(len(shown.figures)),
            _legend(shown, Choices.from_query(query).hide),
            notes_text(shown),
            None,
            no_update if kept else shown.definitions,
            no_update if kept else shown.painted,
            counted_words(shown),
            status_counts(shown),
            {**now, "table": now},
            by_name(shown.rows, shown.paint) if kept else None,
            None,
        )


def _fault_of_where(moment: Moment, query: str) -> str | None:
    """Return what is wrong with the condition of an address, which is said at its box; None where that is none."""
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
    register(ClientsideFunction("runslot", "paint"), Output("painted", "data"), Input("paint", "data"))
    for kind, store in (("panel", "grown"), ("run-panel", "run-grown")):
        register(
            ClientsideFunction("runslot", "grow"),
            Output(f"{store}-done", "data"),
            Input(store, "data"),
            State({"type": kind, "at": ALL}, "figure"),
            State({"type": kind, "at": ALL}, "id"),
            State("seen" if kind == "panel" else "run-seen", "data"),
        )
    register(ClientsideFunction("runslot", "reload"), Output("reloaded", "data"), Input("outgrown", "data"))
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


def _panels(shown: Shown, mark: str) -> list[Any]:
    panels = []
    for i, ((y, split), figure) in enumerate(zip(shown.titles, shown.figures, strict=True)):
        heading: Any = [y, html.Small(f"  {split}")] if split else y
        height = figure["layout"].get("height")
        graph = dcc.Graph(id={"type": "panel", "at": i}, figure=with_mark(figure, mark), config=CONFIG)
        plot = html.Div(graph, className="rs-plot", style={"height": height} if height else {})
        panels.append(html.Section([html.H2(heading), plot], className="rs-panel"))
    return panels or [html.Div(shown.notes[0] if shown.notes else "", className="rs-empty rs-wide")]


def _legend(shown: Shown, hidden: tuple[str, ...]) -> list[Any]:
    return [
        html.Button(
            [
                html.Span(
                    className="rs-stroke",
                    style={"borderTopColor": stroke(group.index).colour},
                    **attributes(data_dash=stroke(group.index).dash),
                ),
                group.label,
                html.Span(tally, className="rs-n"),
            ],
            className="rs-series",
            **attributes(data_series=group.label, aria_pressed=group.label not in hidden),
        )
        for group, tally in shown.legend
    ]


def _alert(text: str) -> Any:
    return dmc.Alert(text, color="orange", variant="light", mt="sm")


def _compressed(response: Response) -> Response:
    """Compress an answer, for pages that are looked at through a slow tunnel."""
    wanted = "gzip" in request.headers.get("Accept-Encoding", "") and response.status_code == 200
    if not wanted or response.mimetype not in _GZIPPED or "Content-Encoding" in response.headers:
        return response
    response.direct_passthrough = False
    data = response.get_data()
    if len(data) > 1024:
        shipped = request.method == "GET" and request.path.startswith(_SUITES)
        response.set_data(_compressed_once(data) if shipped else gzip.compress(data, 4))
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    return response


@functools.lru_cache(maxsize=64)
def _compressed_once(data: bytes) -> bytes:
    """Compress a script that was installed; there are a few, asked for by every browser."""
    return gzip.compress(data, 6)
