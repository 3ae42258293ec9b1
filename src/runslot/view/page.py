"""The page of plots and runs: its header, its controls, and where callbacks put what they draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from runslot.results.results import BEST, FINAL, Results
from runslot.view.attributes import attributes
from runslot.view.chart import axes, default_tasks
from runslot.view.choices import LEAST, MOST, ONLY, WITHOUT, Choices
from runslot.view.choosing import UNKNOWN, axes_of, default_series, default_x, default_y, text_of
from runslot.view.curves import SAID
from runslot.view.palette import STATES
from runslot.view.shown import Shown
from runslot.view.table import default_columns

_MOST_VALUES = 200
_MOST_FILTERS = 16
_FEW = 8
_PANELS: Any = {"panels": "children"}
_ORDER = (*STATES, UNKNOWN)
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
        grid(first.definitions, first.rows),
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
            dmc.SegmentedControl(id=_choice("kind"), value=choices.kind, data=kinds, className="rs-kinds"),
            dmc.Group([dmc.Text("Export", size="sm", c="dimmed"), *exports], gap=6, className="rs-exports"),
        ],
        justify="space-between",
    )


def _above_table(results: Results, choices: Choices, counted: str) -> Any:
    compare = html.A("Compare the two", id="compare", href="/compare", className="rs-export rs-off")
    return dmc.Group(
        [
            dmc.Text(counted, id="counted", fw=600),
            dmc.Group([compare, _columns(results, choices)], gap="sm"),
        ],
        justify="space-between",
        mt="md",
        mb="xs",
    )


def grid(definitions: Sequence[Any], rows: Sequence[Any]) -> Any:
    """Return the table of runs."""
    return dag.AgGrid(
        id="runs",
        columnDefs=list(definitions),
        rowData=list(rows),
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
            [html.Span(className="rs-dot", style={"background": STATES.get(state, "#868E96")}), f"{count} {state}"],
            className=f"rs-count rs-{state}",
        )
        for state, count in sorted(shown.states.items(), key=lambda item: order.index(item[0]))
    ]


def defaults(results: Results) -> dict[str, Any]:
    """Return what each control shows where the address does not say; such values stay out of the address."""
    y = default_y(results.metrics)
    across, down = axes(results, Choices())
    return {
        "kind": "curves",
        "y": list(y),
        "x": default_x(results.metrics),
        "series": list(default_series(results)),
        "split": [],
        "band": "mean-std",
        "smooth": 1,
        "log": [],
        "top": 0,
        "by": "final",
        "mode": "",
        "columns": list(default_columns(results, y)),
        "across": across,
        "down": down,
        "tasks": list(default_tasks(results)),
        "draw": "",
        "brush": [],
    }


def controls(results: Results, choices: Choices) -> Any:
    """Return everything that can be chosen, with the values of `choices`."""
    shown = defaults(results)
    value = {name: getattr(choices, name) for name in shown}
    value = {n: shown[n] if v is None or (v in ("", ()) and n in _OPEN) else v for n, v in value.items()}
    keys = ["variant", "experiment", "seed", "state", "host", *results.parameters]
    columns = [*keys, *(FINAL + m for m in results.metrics), *(BEST + m for m in results.metrics), "seconds", "rows"]
    drawn = [
        _several("y", "Metrics", results.metrics, value["y"]),
        _one("x", "Along", axes_of(results.metrics), value["x"], kinds="curves judged"),
        _one("across", "Across", columns, value["across"], kinds="scatter heat"),
        _one("down", "Down", columns, value["down"], kinds="heat"),
        _several("series", "Groups by", _first(keys, results.varying), value["series"], kinds=_GROUPED),
        _several(
            "split",
            "Figures by",
            _first(keys, results.varying),
            value["split"],
            kinds="curves bars profile improvement scatter",
        ),
        _several("tasks", "Tasks", _first(keys, results.varying), value["tasks"], kinds="bars profile improvement"),
        _pairs(
            "draw",
            "Draw scores as",
            {"": "What shows the difference", "bars": "Bars from zero", "points": "Points"},
            choices.draw,
            kinds="bars",
        ),
        _marks(choices),
        html.Div(
            _several(
                "hide", "Hidden curves", choices.hide, choices.hide, kinds="curves bars profile scatter", free=True
            ),
            className="rs-hidden-curves",
        ),
        _pairs(
            "band", "Over seeds", {k: v[0].upper() + v[1:] for k, v in SAID.items()}, value["band"], kinds="curves bars"
        ),
        _for(
            "curves", dmc.Group([_number("smooth", "Smooth, rows", choices.smooth, 1), _log_axes(choices)], grow=True)
        ),
        _for(
            "curves",
            dmc.Group([_number("low", "Clip from", choices.low), _number("high", "to", choices.high)], grow=True),
        ),
        dmc.Group(
            [
                _number("top", "Only the best", choices.top or "", 0, placeholder="all"),
                _pairs("by", "judged by", _JUDGED | {choices.by: _JUDGED.get(choices.by, choices.by)}, choices.by),
            ],
            grow=True,
        ),
        _pairs("mode", "Better is", {"": "By the metric's name", "max": "Higher", "min": "Lower"}, choices.mode),
    ]
    return dmc.Stack([*drawn, dmc.Divider(label="Runs", labelPosition="left"), *_filters(results, choices)], gap="sm")


_OPEN = {"y", "x", "across", "down"}
_GROUPED = "curves bars profile improvement scatter parallel"
_JUDGED = {
    "final": "final value",
    "best": "best value",
    "mean": "mean",
    "last-10": "mean of last 10",
    "auc": "area under curve",
}


def _marks(choices: Choices) -> Any:
    """Return the ranges that are marked on parallel coordinates: dragged along an axis, or written."""
    tags = dmc.TagsInput(
        id=_choice("brush"),
        label="Marked ranges",
        description="Drag along an axis, or write: lr from 0.01 to 0.1",
        value=list(choices.brush),
        clearable=True,
        splitChars=[],
    )
    return _for("parallel", tags)


def _log_axes(choices: Choices) -> Any:
    chips = [dmc.Chip(name, value=name, size="xs") for name in ("x", "y")]
    group = dmc.ChipGroup(dmc.Group(chips, gap=6, h=36), id=_choice("log"), multiple=True, value=list(choices.log))
    return html.Div([html.Div("Log axes", className="rs-label"), group])


def _filters(results: Results, choices: Choices) -> list[Any]:
    filters: list[Any] = [
        dmc.TextInput(
            id=_choice("text"), label="Search", value=choices.text, placeholder="words of a path or value", debounce=350
        ),
        _several("state", "States", _ORDER, choices.state, hint="all"),
        dmc.TextInput(
            id=_choice("where"),
            label="Where",
            value=choices.where,
            placeholder="lr > 0.01 AND env = 'pong'",
            debounce=600,
            description="A condition over any column: AND, OR, NOT, IN, LIKE, BETWEEN",
        ),
    ]
    keys = [*results.varying, *(k for k in (*choices.only, *choices.without) if k not in results.varying)]
    keys = list(dict.fromkeys(k for k in keys if k in results.runs.columns))
    if len(set(results.runs["experiment"])) > 1 and "experiment" not in keys:
        keys.insert(0, "experiment")
    ranged = [key for key in keys if _is_ranged(results, key)]
    limits = [_range(key, choices) for key in dict.fromkeys((*ranged[:_MOST_FILTERS], *choices.least, *choices.most))]
    filters += _folded("Between", limits, bool(choices.least or choices.most))
    plain = [key for key in keys if key not in ranged or key in choices.only or key in choices.without][:_MOST_FILTERS]
    only = [_several(ONLY + key, key, _values(results, key), choices.only.get(key, ())) for key in plain]
    without = [_several(WITHOUT + key, key, _values(results, key), choices.without.get(key, ())) for key in plain]
    filters += _folded("Only these values", only, bool(choices.only))
    return filters + _folded("Without these values", without, bool(choices.without))


def _is_ranged(results: Results, key: str) -> bool:
    """Tell whether limits choose better among a parameter's values than a list of them."""
    return results.runs[key].dtype.is_numeric() and results.runs[key].n_unique() > _FEW


def _range(key: str, choices: Choices) -> Any:
    low = _number(LEAST + key, key, choices.least.get(key), placeholder="from")
    high = _number(MOST + key, "", choices.most.get(key), placeholder="to")
    return dmc.Group([low, high], grow=True, align="end")


def _folded(title: str, controls: list[Any], opened: bool) -> list[Any]:
    if not controls:
        return []
    panel = dmc.AccordionPanel(dmc.Stack(controls, gap="xs"))
    item = dmc.AccordionItem([dmc.AccordionControl(title), panel], value=title)
    return [dmc.Accordion(item, value=title if opened else None, variant="contained", chevronPosition="left")]


def _values(results: Results, key: str) -> list[str]:
    return list(dict.fromkeys(text_of(results.runs[key].unique().sort())))[:_MOST_VALUES]


def _columns(results: Results, choices: Choices) -> Any:
    every = [name for name in results.runs.columns if name != "run"]
    select = _several(
        "columns", "", every, choices.columns or default_columns(results, choices.y or default_y(results.metrics))
    )
    return dmc.Popover(
        [
            dmc.PopoverTarget(dmc.Button("Columns", variant="default", size="xs")),
            dmc.PopoverDropdown(select, p="sm"),
        ],
        width=340,
        position="bottom-end",
        withArrow=True,
        keepMounted=True,
        trapFocus=True,
    )


def _choice(name: str) -> dict[str, str]:
    return {"type": "choice", "name": name}


def _for(kinds: str, control: Any) -> Any:
    """Return a control that the style sheet shows for some kinds of plots only."""
    names = [f"rs-for-{kind}" for kind in kinds.split()]
    return html.Div(control, className=" ".join(["rs-for", *names])) if kinds else control


def _first(names: Sequence[str], preferred: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*preferred, *names]))


def _several(
    name: str,
    label: str,
    data: Sequence[str],
    value: Sequence[str],
    *,
    kinds: str = "",
    hint: str = "",
    free: bool = False,
) -> Any:
    known = list(dict.fromkeys([*data, *value]))
    select = dmc.MultiSelect(
        id=_choice(name),
        label=label or None,
        data=known,
        value=list(value),
        searchable=not free,
        clearable=True,
        limit=100,
        placeholder=hint if not value else "",
        maxDropdownHeight=280,
        **({} if label else attributes(aria_label=name)),
    )
    return _for(kinds, select)


def _one(name: str, label: str, data: Sequence[str], value: str, *, kinds: str = "", search: bool = True) -> Any:
    known = list(dict.fromkeys([*data, value]))
    select = dmc.Select(
        id=_choice(name), label=label, data=known, value=value, searchable=search, allowDeselect=False, limit=100
    )
    return _for(kinds, select)


def _pairs(name: str, label: str, data: dict[str, str], value: str, *, kinds: str = "") -> Any:
    options = [{"value": key, "label": said} for key, said in data.items()]
    return _for(kinds, dmc.Select(id=_choice(name), label=label, data=options, value=value, allowDeselect=False))


def _number(name: str, label: str, value: Any, low: float | None = None, placeholder: str = "") -> Any:
    limits = {} if low is None else {"min": low, "allowDecimal": False}
    shown = "" if value is None else value
    named = {"label": label} if label else attributes(aria_label=name)
    return dmc.NumberInput(id=_choice(name), **named, value=shown, debounce=350, placeholder=placeholder, **limits)
