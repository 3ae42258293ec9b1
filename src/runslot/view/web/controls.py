"""The controls beside the plots: everything that can be chosen, and what each shows where the
address does not say.

`runslot.view.web.page` puts them on the page; the browser makes the address of their values
(`view.js`), so that every choice of `Choices` has a component here, also those that the table
changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import dash_mantine_components as dmc
from dash import dcc, html

from runslot.experiment.states import STATES, UNKNOWN
from runslot.results.accounts import tasks_of
from runslot.results.results import Results
from runslot.results.summary import BEST, FINAL
from runslot.view.data.brush import WAYS
from runslot.view.data.chart import axes
from runslot.view.data.choices import LEAST, MOST, OF_TABLE, ONLY, WITHOUT, Choices, Spread
from runslot.view.data.groups import axes_of, default_series, default_x, default_y, text_of
from runslot.view.data.spread import words_of
from runslot.view.web.grid import default_columns

_MOST_VALUES = 200
_MOST_FILTERS = 16
_FEW_VALUES = 8
_ORDER = (*STATES, UNKNOWN)


def defaults(results: Results) -> dict[str, Any]:
    """Return what each control shows where the address does not say; such values stay out of the
    address."""
    y = default_y(results.common_metrics)
    across, down = axes(results, Choices())
    return {
        "kind": "curves",
        "y": list(y),
        "x": default_x(results),
        "series": list(default_series(results)),
        "split": [],
        "band": "auto",
        "level": 0.95,
        "include": [],
        "diverged": "nan",
        "sort": [],
        "pin": [],
        "tick": [],
        "smooth": 1,
        "log": [],
        "top": 0,
        "by": "final",
        "mode": "",
        "columns": list(default_columns(results, y)),
        "across": across,
        "down": down,
        "tasks": list(tasks_of(results)),
        "draw": "",
        "brush": [],
        "axes": [],
    }


def controls(results: Results, choices: Choices) -> Any:
    """Return everything that can be chosen, with the values of `choices`."""
    default_values = defaults(results)
    value = {name: getattr(choices, name) for name in default_values}
    value = {
        n: default_values[n] if v is None or (v in ("", ()) and n in _OPEN) else v
        for n, v in value.items()
    }
    of_table = html.Div(
        [
            dcc.Checklist(id=choice_id(name), options=[], value=list(getattr(choices, name)))
            for name in OF_TABLE
        ],
        hidden=True,
    )
    return dmc.Stack(
        [
            *_axes(results, value),
            *_groups(results, choices, value),
            *_spreads(choices, value),
            *_judged(choices),
            of_table,
            dmc.Divider(label="Runs", labelPosition="left"),
            *_filters(results, choices),
        ],
        gap="sm",
    )


def _keys(results: Results) -> list[str]:
    return ["variant", "experiment", "seed", "state", "host", *results.parameters]


def _axes(results: Results, value: Mapping[str, Any]) -> list[Any]:
    """Return the choices of what is drawn along what."""
    finals = [prefix + metric for prefix in (FINAL, BEST) for metric in results.metrics]
    columns = [*_keys(results), *finals, "seconds", "rows"]
    along = axes_of(results.metrics, default_x(results))
    return [
        _several("y", "Metrics", results.metrics, value["y"]),
        _one("x", "Along", along, value["x"], kinds="curves judged"),
        _one("across", "Across", columns, value["across"], kinds="scatter heat"),
        _one("down", "Down", columns, value["down"], kinds="heat"),
    ]


def _groups(results: Results, choices: Choices, value: Mapping[str, Any]) -> list[Any]:
    """Return the choices of which runs make a curve, a figure, a task, and which are hidden."""
    keys = _first(_keys(results), results.varying)
    split = "curves bars profile improvement scatter"
    hidden = _several(
        "hide",
        "Hidden curves",
        choices.hide,
        choices.hide,
        kinds="curves bars profile scatter",
        free=True,
    )
    ways = {"": "What shows the difference", "bars": "Bars from zero", "points": "Points"}
    return [
        _several("series", "Groups by", keys, value["series"], kinds=_GROUPED),
        _several("split", "Figures by", keys, value["split"], kinds=split),
        _several("tasks", "Tasks", keys, value["tasks"], kinds="bars profile improvement"),
        _pairs("draw", "Draw scores as", ways, choices.draw, kinds="bars"),
        _marks(choices),
        _several(
            "axes", "Scales", _scales(results), choices.axes, hint="by the values", kinds="parallel"
        ),
        html.Div(hidden, className="rs-hidden-curves"),
    ]


def _spreads(choices: Choices, value: Mapping[str, Any]) -> list[Any]:
    """Return the choices of what a band shows, and how curves are smoothed and cut."""
    bands = {band: words_of(band, choices.level).capitalize() for band in get_args(Spread)}
    smooth = [_number("smooth", "Smooth, rows", choices.smooth, 1), _log_axes(choices)]
    limits = [_number("low", "Clip from", choices.low), _number("high", "to", choices.high)]
    level = _number("level", "Level of intervals", choices.level, step=0.01)
    return [
        _pairs("band", "Over seeds", bands, value["band"], kinds="curves bars"),
        _for("curves", dmc.Group(smooth, grow=True)),
        _for("curves bars profile improvement", level),
        _for("curves", dmc.Group(limits, grow=True)),
    ]


_OPEN = {"y", "x", "across", "down"}
_GROUPED = "curves bars profile improvement scatter parallel"
_JUDGED = {
    "final": "final value",
    "best": "best value",
    "mean": "mean",
    "last-10": "mean of last 10",
    "auc": "area under curve",
}


def _judged(choices: Choices) -> list[Any]:
    """Return the choices of how runs are judged, and which of them count."""
    return [
        dmc.Group(
            [
                _number("top", "Only the best", choices.top or "", 0, placeholder="all"),
                _pairs(
                    "by",
                    "judged by",
                    _JUDGED | {choices.by: _JUDGED.get(choices.by, choices.by)},
                    choices.by,
                ),
            ],
            grow=True,
        ),
        dmc.Group(
            [
                _several(
                    "include", "Also count", (*STATES, "all"), choices.include, hint="succeeded"
                ),
                _pairs("diverged", "Diverged runs", _DIVERGED, choices.diverged),
            ],
            grow=True,
            align="start",
        ),
        _pairs(
            "mode",
            "Better is",
            {"": "By the metric's name", "max": "Higher", "min": "Lower"},
            choices.mode,
        ),
    ]


_DIVERGED = {"nan": "No value", "worst": "Worst", "drop": "Left out"}


def _marks(choices: Choices) -> Any:
    """Return the ranges that are marked on parallel coordinates: dragged along an axis, or
    written."""
    tags = dmc.TagsInput(
        id=choice_id("brush"),
        label="Marked ranges",
        description="Drag along an axis, or write: lr from 0.01 to 0.1",
        value=list(choices.brush),
        clearable=True,
        splitChars=[],
    )
    return _for("parallel", tags)


def _scales(results: Results) -> list[str]:
    """Return which scales the axes of parallel coordinates can have."""
    numeric = [key for key in results.varying if results.runs[key].dtype.is_numeric()]
    return [f"{key} {way}" for key in (*numeric, "score") for way in WAYS]


def _log_axes(choices: Choices) -> Any:
    chips = [dmc.Chip(name, value=name, size="xs") for name in ("x", "y")]
    group = dmc.ChipGroup(
        dmc.Group(chips, gap=6, h=36), id=choice_id("log"), multiple=True, value=list(choices.log)
    )
    return html.Div([html.Div("Log axes", className="rs-label"), group])


def _filters(results: Results, choices: Choices) -> list[Any]:
    filters: list[Any] = [
        dmc.TextInput(
            id=choice_id("text"),
            label="Search",
            value=choices.text,
            placeholder="words of a path or value",
            debounce=350,
        ),
        _several("state", "States", _ORDER, choices.state, hint="all"),
        dmc.TextInput(
            id=choice_id("where"),
            label="Where",
            value=choices.where,
            placeholder="lr > 0.01 AND env = 'pong'",
            debounce=600,
            description="A condition over any column: AND, OR, NOT, IN, LIKE, BETWEEN",
        ),
    ]
    keys = [
        *results.varying,
        *(k for k in (*choices.only, *choices.without) if k not in results.varying),
    ]
    keys = list(dict.fromkeys(k for k in keys if k in results.runs.columns))
    if len(set(results.runs["experiment"])) > 1 and "experiment" not in keys:
        keys.insert(0, "experiment")
    ranged = [key for key in keys if _is_ranged(results, key)]
    limits = [
        _range(key, choices)
        for key in dict.fromkeys((*ranged[:_MOST_FILTERS], *choices.least, *choices.most))
    ]
    filters += _folded("Between", limits, bool(choices.least or choices.most))
    plain = [
        key for key in keys if key not in ranged or key in choices.only or key in choices.without
    ][:_MOST_FILTERS]
    only = [
        _several(ONLY + key, key, _values(results, key), choices.only.get(key, ())) for key in plain
    ]
    without = [
        _several(WITHOUT + key, key, _values(results, key), choices.without.get(key, ()))
        for key in plain
    ]
    filters += _folded("Only these values", only, bool(choices.only))
    return filters + _folded("Without these values", without, bool(choices.without))


def _is_ranged(results: Results, key: str) -> bool:
    """Tell whether limits choose better among a parameter's values than a list of them."""
    return results.runs[key].dtype.is_numeric() and results.runs[key].n_unique() > _FEW_VALUES


def _range(key: str, choices: Choices) -> Any:
    low = _number(LEAST + key, key, choices.least.get(key), placeholder="from")
    high = _number(MOST + key, "", choices.most.get(key), placeholder="to")
    return dmc.Group([low, high], grow=True, align="end")


def _folded(title: str, controls: list[Any], opened: bool) -> list[Any]:
    if not controls:
        return []
    panel = dmc.AccordionPanel(dmc.Stack(controls, gap="xs"))
    item = dmc.AccordionItem([dmc.AccordionControl(title), panel], value=title)
    return [
        dmc.Accordion(
            item, value=title if opened else None, variant="contained", chevronPosition="left"
        )
    ]


def _values(results: Results, key: str) -> list[str]:
    return list(dict.fromkeys(text_of(results.runs[key].unique().sort())))[:_MOST_VALUES]


def columns_of(results: Results, choices: Choices) -> Any:
    """Return the choice of the table's columns."""
    every = [name for name in results.runs.columns if name != "run"]
    select = _several(
        "columns",
        "",
        every,
        choices.columns or default_columns(results, choices.y or default_y(results.common_metrics)),
    )
    return dmc.Popover(
        [
            dmc.PopoverTarget(
                dmc.Button("Columns", variant="default", size="xs", className="rs-columns")
            ),
            dmc.PopoverDropdown(select, p="sm"),
        ],
        width=340,
        position="bottom-end",
        withArrow=True,
        keepMounted=True,
        trapFocus=True,
    )


def choice_id(name: str) -> dict[str, str]:
    """Return the id of a control, by which the browser finds all of them."""
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
    options = list(dict.fromkeys([*data, *value]))
    select = dmc.MultiSelect(
        id=choice_id(name),
        label=label or None,
        data=options,
        value=list(value),
        searchable=not free,
        clearable=True,
        limit=100,
        placeholder=hint if not value else "",
        maxDropdownHeight=280,
        **({} if label else attributes(aria_label=name)),
    )
    return _for(kinds, select)


def _one(
    name: str, label: str, data: Sequence[str], value: str, *, kinds: str = "", search: bool = True
) -> Any:
    options = list(dict.fromkeys([*data, value]))
    select = dmc.Select(
        id=choice_id(name),
        label=label,
        data=options,
        value=value,
        searchable=search,
        allowDeselect=False,
        limit=100,
    )
    return _for(kinds, select)


def _pairs(name: str, label: str, data: dict[str, str], value: str, *, kinds: str = "") -> Any:
    options = [{"value": key, "label": words} for key, words in data.items()]
    return _for(
        kinds,
        dmc.Select(id=choice_id(name), label=label, data=options, value=value, allowDeselect=False),
    )


def _number(
    name: str,
    label: str,
    value: Any,
    low: float | None = None,
    placeholder: str = "",
    step: float = 1,
) -> Any:
    limits: dict[str, Any] = {"step": step} if low is None else {"min": low, "allowDecimal": False}
    content = "" if value is None else value
    named = {"label": label} if label else attributes(aria_label=name)
    return dmc.NumberInput(
        id=choice_id(name), **named, value=content, debounce=350, placeholder=placeholder, **limits
    )


def attributes(**named: str | bool) -> dict[str, Any]:
    """Return the attributes under HTML's names; True and False as the words."""
    return {
        name.replace("_", "-"): str(v).lower() if isinstance(v, bool) else v
        for name, v in named.items()
    }
