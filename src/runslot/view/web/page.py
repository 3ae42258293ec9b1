"""The page of plots and runs: its header, its controls, and where callbacks put what they draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from runslot.experiment.states import STATES, colour_of
from runslot.results.results import Results
from runslot.view.data.choices import Choices
from runslot.view.web.attributes import attributes
from runslot.view.web.content import Shown
from runslot.view.web.controls import choice_id, columns_of, controls, defaults
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
    """Return the frame of every page: the header, the controls where there are some, and the content."""
    header = dmc.Group(
        [
            dmc.Burger(id="burger", opened=False, hiddenFrom="md", size="sm", **attributes(aria_label="Controls"))
            if navbar is not None
            else None,
            html.A("runslot", href="/", className="rs-name"),
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
        parts.append(dmc.AppShellNavbar(dmc.ScrollArea(navbar, h="100%", type="auto", p="md"), id="navbar"))
    parts.append(dmc.AppShellMain(children))
    return dmc.AppShell(
        parts,
        id="shell",
        header={"height": 52},
        padding="md",
        **({"navbar": {"width": 300, "breakpoint": "md", "collapsed": {"mobile": True}}} if navbar is not None else {}),
    )


@dataclass(frozen=True)
class First:
    """What a page shows at first: drawn with it, so that nobody waits for a second answer."""

    panels: Any = None
    count: str = ""
    legend: Any = None
    notes: str = ""
    counted: str = ""
    status: Any = None
    definitions: Sequence[Any] = ()
    rows: Sequence[Any] = ()
    seen: Any = None


def plots_page(results: Results, choices: Choices, first: First) -> Any:
    """Return the page of plots and runs."""
    content = [
        dcc.Store(id="defaults", data=defaults(results)),
        dcc.Store(id="query", data=None),
        dcc.Store(id="seen", data=first.seen),
        dcc.Store(id="redraw", data=0),
        dcc.Store(id="drawing", data=False),
        dcc.Store(id="grown"),
        dcc.Store(id="grown-done"),
        dcc.Store(id="outgrown", data=False),
        dcc.Store(id="reloaded"),
        dcc.Store(id="paint"),
        dcc.Store(id="painted"),
        dcc.Store(id="brushed"),
        dcc.Interval(id="tick", interval=1000),
        _kinds_and_export(choices),
        html.Div(id="message", role="alert"),
        html.Div(first.legend, id="legend", className="rs-legend"),
        dcc.Loading(
            html.Div(first.panels, id="panels", className="rs-panels", **attributes(data_count=first.count)),
            delay_show=400,
            overlay_style={"visibility": "visible", "opacity": 0.6},
            type="dot",
            color="var(--mantine-primary-color-filled)",
            target_components=_PANELS,
        ),
        html.Div(first.notes, id="notes", className="rs-notes"),
        _above_table(results, choices, first.counted),
        grid(standing(first.definitions, choices.sort, choices.pin), first.rows, choices.tick),
    ]
    return shell(content, base=results.base, navbar=controls(results, choices), status=first.status)


def _kinds_and_export(choices: Choices) -> Any:
    kinds = [{"value": kind, "label": label} for kind, label in KINDS.items()]
    title = "Figures for a paper, with their data and the script that draws them again"
    exports = [
        html.A(kind.upper(), id=f"export-{kind}", href="/export", className="rs-export", title=title)
        for kind in ("pdf", "svg", "png")
    ]
    return dmc.Group(
        [
            dmc.SegmentedControl(id=choice_id("kind"), value=choices.kind, data=kinds, className="rs-kinds"),
            dmc.Group([dmc.Text("Export", size="sm", c="dimmed"), *exports], gap=6, className="rs-exports"),
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


def grid(definitions: Sequence[Any], rows: Sequence[Any], ticked: Sequence[str]) -> Any:
    """Return the table of runs, some of them ticked."""
    return dag.AgGrid(
        id="runs",
        columnDefs=list(definitions),
        rowData=list(rows),
        selectedRows={"ids": list(ticked)},
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


def notes_text(shown: Shown) -> str:
    """Return what stands under the figures."""
    return " · ".join(shown.notes)


def counted_words(shown: Shown) -> str:
    """Return how many runs the table has, of how many."""
    count = len(shown.rows)
    runs = "1 run" if count == 1 else f"{count} runs"
    return runs if count == shown.total else f"{runs} of {shown.total}"


def status_counts(shown: Shown) -> list[Any]:
    """Return the states of all runs, with their dots."""
    order = [*STATES, *shown.states]
    return [
        html.Span(
            [html.Span(className="rs-dot", style={"background": colour_of(state)}), f"{count} {state}"],
            className=f"rs-count rs-{state}",
        )
        for state, count in sorted(shown.states.items(), key=lambda item: order.index(item[0]))
    ]
