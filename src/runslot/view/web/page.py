"""The page of plots and runs: its header, its controls, and where callbacks put what they draw."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from runslot.experiment.states import STATES, colour_of
from runslot.record import record
from runslot.results.results import Results
from runslot.view.data.choices import Choices
from runslot.view.data.marks import stroke
from runslot.view.plotly.figure import CONFIG, with_mark
from runslot.view.web.content import PageContent, stamp_of
from runslot.view.web.controls import attributes, choice_id, columns_of, controls, defaults
from runslot.view.web.grid import standing

_PANELS: Any = {"panels": "children"}
KINDS = {
    "curves": "Curves",
    "bars": "Scores",
    "profile": "Profiles",
    "improvement": "Improvement",
    "importance": "Importance",
    "scatter": "Scatter",
    "parallel": "Parallel",
    "heat": "Heat map",
    "slots": "Slots",
}


def shell(children: Any, *, base: str, navbar: Any = None, status: Any = None) -> Any:
    """Return the frame of every page: the header, the controls where there are some, and the
    content."""
    header = dmc.Group(
        [
            (
                dmc.Burger(
                    id="burger",
                    opened=False,
                    hiddenFrom="md",
                    size="sm",
                    **attributes(aria_label="Controls"),
                )
                if navbar is not None
                else None
            ),
            html.A("runslot", href="/", className="rs-name"),
            html.A("Answer", href="/", className="rs-export"),
            dmc.Text(base, className="rs-base", size="sm", c="dimmed", truncate="end"),
            html.Div(status, id="status", className="rs-status", role="status"),
            dmc.ColorSchemeToggle(
                lightIcon=html.Span("☀", **attributes(aria_hidden="true")),
                darkIcon=html.Span("☾", **attributes(aria_hidden="true")),
                variant="subtle",
                color="gray",
                size="lg",
                **attributes(aria_label="Light or dark"),
            ),
        ],
        h="100%",
        px="md",
        gap="sm",
        wrap="nowrap",
    )
    parts = [dmc.AppShellHeader(header)]
    if navbar is not None:
        parts.append(
            dmc.AppShellNavbar(dmc.ScrollArea(navbar, h="100%", type="auto", p="md"), id="navbar")
        )
    parts.append(dmc.AppShellMain(children))
    return dmc.AppShell(
        parts,
        id="shell",
        header={"height": 52},
        padding="md",
        **(
            {"navbar": {"width": 300, "breakpoint": "md", "collapsed": {"mobile": True}}}
            if navbar is not None
            else {}
        ),
    )


@record
class PageParts:
    """What choices and runs decide on the page of plots, by the output's name; at first it comes
    with the page."""

    panels: Any = None
    count: str = ""
    legend: Any = None
    notes: str = ""
    counted: str = ""
    status: Any = None
    stamp: Any = None


def parts_of(content: PageContent, query: str, version: int) -> PageParts:
    """Return the parts of the page that shows this content, drawn for this query and version of the
    runs."""
    now = stamp_of(query, version)
    return PageParts(
        panels=_panels(content, now["mark"]),
        count=str(len(content.figures)),
        legend=_legend(content, Choices.from_query(query).hide),
        notes=notes_text(content),
        counted=counted_words(content),
        status=status_counts(content),
        stamp={**now, "table": None},
    )


def plots_page(results: Results, choices: Choices, first: PageParts) -> Any:
    """Return the page of plots and runs."""
    content = [
        dcc.Store(id="defaults", data=defaults(results)),
        dcc.Store(id="query", data=None),
        dcc.Store(id="seen", data=first.stamp),
        dcc.Store(id="redraw", data=0),
        dcc.Store(id="drawing", data=False),
        dcc.Store(id="grown"),
        dcc.Store(id="grown-done"),
        dcc.Store(id="outgrown", data=False),
        dcc.Store(id="reloaded"),
        dcc.Store(id="paint"),
        dcc.Store(id="painted"),
        dcc.Store(id="brushed"),
        dcc.Store(id="tick", data=0),
        dcc.Store(id="table-open", data=False),
        dcc.Store(id="table-content"),
        dcc.Store(id="table-filled"),
        dcc.Store(id="noted"),
        _kinds_and_export(choices),
        html.Div(id="message", role="alert"),
        html.Div(first.legend, id="legend", className="rs-legend"),
        dcc.Loading(
            html.Div(
                first.panels,
                id="panels",
                className="rs-panels",
                **attributes(data_count=first.count),
            ),
            delay_show=400,
            overlay_style={"visibility": "visible", "opacity": 0.6},
            type="dot",
            color="var(--mantine-primary-color-filled)",
            target_components=_PANELS,
        ),
        html.Div(first.notes, id="notes", className="rs-notes"),
        _above_table(results, choices, first.counted),
        html.Div(
            html.Button("Show the table of runs", id="open-table", className="rs-export rs-open"),
            id="table",
            **attributes(data_open=bool(choices.names_table)),
        ),
    ]
    return shell(content, base=results.base, navbar=controls(results, choices), status=first.status)


def _kinds_and_export(choices: Choices) -> Any:
    kinds = [{"value": kind, "label": label} for kind, label in KINDS.items()]
    title = "Figures for a paper, with their data and the script that draws them again"
    exports = [
        html.A(
            kind.upper(), id=f"export-{kind}", href="/export", className="rs-export", title=title
        )
        for kind in ("pdf", "svg", "png")
    ]
    return dmc.Group(
        [
            dmc.SegmentedControl(
                id=choice_id("kind"), value=choices.kind, data=kinds, className="rs-kinds"
            ),
            dmc.Group(
                [dmc.Text("Export", size="sm", c="dimmed"), *exports], gap=6, className="rs-exports"
            ),
        ],
        justify="space-between",
    )


def _above_table(results: Results, choices: Choices, counted: str) -> Any:
    compare = html.A("Compare the two", id="compare", href="/compare", className="rs-export rs-off")
    return dmc.Group(
        [
            dmc.Text(counted, id="counted", fw=600),
            dmc.Group([compare, columns_of(results, choices)], gap="sm"),
        ],
        justify="space-between",
        mt="md",
        mb="xs",
    )


def grid(content: PageContent, choices: Choices) -> Any:
    """Return the table of runs, sorted, pinned and ticked as the address says."""
    return dag.AgGrid(
        id="runs",
        columnDefs=standing(content.definitions, choices.sort, choices.pin),
        rowData=content.painted,
        selectedRows={"ids": list(choices.tick)},
        getRowId="params.data.run",
        defaultColDef={"sortable": True, "resizable": True, "minWidth": 60},
        suppressDragLeaveHidesColumns=False,
        dashGridOptions={
            "rowSelection": {"mode": "multiRow", "checkboxes": True, "headerCheckbox": False},
            "selectionColumnDef": {"pinned": "left", "width": 44},
            "suppressFieldDotNotation": True,
            "rowHeight": 34,
            "headerHeight": 38,
            "animateRows": False,
            "enableCellTextSelection": True,
            "tooltipShowDelay": 400,
        },
        className="rs-grid",
        style={"height": "min(560px, 70vh)", "width": "100%"},
    )


def notes_text(content: PageContent) -> str:
    """Return what stands under the figures."""
    return " · ".join(content.notes)


def counted_words(content: PageContent) -> str:
    """Return how many runs the table has, of how many."""
    count = content.selection.runs.height
    runs = "1 run" if count == 1 else f"{count} runs"
    return runs if count == content.total else f"{runs} of {content.total}"


def status_counts(content: PageContent) -> list[Any]:
    """Return the states of all runs, with their dots."""
    order = [*STATES, *content.states]
    return [
        html.Span(
            [
                html.Span(className="rs-dot", style={"background": colour_of(state)}),
                f"{count} {state}",
            ],
            className=f"rs-count rs-{state}",
        )
        for state, count in sorted(content.states.items(), key=lambda item: order.index(item[0]))
    ]


def _panels(content: PageContent, mark: str) -> list[Any]:
    panels = []
    for i, ((y, split), figure) in enumerate(zip(content.titles, content.figures, strict=True)):
        heading: Any = [y, html.Small(f"  {split}")] if split else y
        height = figure["layout"].get("height")
        graph = dcc.Graph(
            id={"type": "panel", "at": i}, figure=with_mark(figure, mark), config=CONFIG
        )
        plot = html.Div(graph, className="rs-plot", style={"height": height} if height else {})
        panels.append(html.Section([html.H2(heading), plot], className="rs-panel"))
    return panels or [
        html.Div(content.notes[0] if content.notes else "", className="rs-empty rs-wide")
    ]


def _legend(content: PageContent, hidden: tuple[str, ...]) -> list[Any]:
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
        for group, tally in content.legend
    ]


def alert(text: str) -> Any:
    """Return a message in the place of what could not be shown."""
    return dmc.Alert(text, color="orange", variant="light", mt="sm")
