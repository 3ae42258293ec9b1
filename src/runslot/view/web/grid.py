"""The table of runs: its columns, and a row a run with the colour of its curve. Pure.

Columns go by number (`c3`), never by name: a grid would read `a.b` or `x[0]` in a name as an
expression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runslot.experiment import states
from runslot.results.results import Results
from runslot.results.summary import BEST, FINAL, mode_of
from runslot.view.data.alignment import shared_start
from runslot.view.data.marks import COLOURS, DASHES

Row = dict[str, Any]
_DIGITS = 7
_FALLING = " desc"
_INEXACT_FROM = 2**53
"""JavaScript's numbers hold every integer below it; larger ones are sent as texts."""
_ALWAYS = ("state", "seed")
_AFTER = ("seconds",)
_WIDTHS_PX = {"run": 250, "state": 118, "seed": 76, "host": 110}


def default_columns(results: Results, metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the columns shown at first: what varies, then final and best values of the metrics
    drawn."""
    metric_columns = [prefix + metric for metric in metrics for prefix in (FINAL, BEST)]
    varying = [name for name in results.identity if name != "variant"][:12]
    names = dict.fromkeys((*_ALWAYS, *varying, *metric_columns, "rows", *_AFTER))
    return tuple(
        name for name in names if name in results.runs.columns and _has_values(results.runs[name])
    )


def _has_values(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def column_definitions(results: Results, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the grid's columns: the run, then those that are shown."""
    run = {
        "field": "run",
        "headerName": "run",
        "cellRenderer": "RunLink",
        "cellRendererParams": {"colours": COLOURS, "dashes": DASHES},
        "pinned": "left",
        "width": _WIDTHS_PX["run"],
        "tooltipField": "run",
    }
    return [
        run,
        *(
            _definition(results, name, i)
            for i, name in enumerate(names)
            if name in results.runs.columns
        ),
    ]


def _definition(results: Results, name: str, number: int) -> dict[str, Any]:
    numeric = results.runs[name].dtype.is_numeric()
    definition: dict[str, Any] = {
        "field": f"c{number}",
        "colId": name,
        "headerName": _heading(name),
        "headerTooltip": name,
    }
    definition["width"] = _WIDTHS_PX.get(name, max(96, min(240, 46 + 8 * len(_heading(name)))))
    if name == "state":
        definition |= {
            "cellRenderer": "RunState",
            "cellRendererParams": {"colours": states.COLOURS},
        }
    elif numeric:
        definition |= {"type": "rightAligned", "comparator": {"function": "compareCells"}}
        if name == "peak_memory":
            definition["valueFormatter"] = {"function": "memorySaid(params.value)"}
        elif name == "seconds":
            definition["valueFormatter"] = {"function": "durationSaid(params.value)"}
        else:
            definition["valueFormatter"] = {"function": "numberSaid(params.value)"}
    return definition


def _heading(name: str) -> str:
    if name.startswith(FINAL):
        return f"{name.removeprefix(FINAL)} (final)"
    if name.startswith(BEST):
        metric = name.removeprefix(BEST)
        return f"{metric} ({'lowest' if mode_of(metric) == 'min' else 'highest'})"
    return {"seconds": "time", "peak_memory": "peak memory"}.get(name, name)


def standing(
    definitions: Sequence[Mapping[str, Any]], sort: Sequence[str], pin: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the columns with those sorted and pinned that an address says."""
    order = {
        name.removesuffix(_FALLING): (i, name.endswith(_FALLING)) for i, name in enumerate(sort)
    }
    placed = []
    for definition in definitions:
        name = definition.get("colId", definition["field"])
        place, falling = order.get(name, (None, False))
        sorting: dict[str, Any] = (
            {} if place is None else {"sort": "desc" if falling else "asc", "sortIndex": place}
        )
        placed.append({**definition, **sorting, **({"pinned": "left"} if name in pin else {})})
    return placed


def rows(results: Results, names: Sequence[str]) -> list[Row]:
    """Return a row a run."""
    columns = [name for name in names if name in results.runs.columns]
    cells = [_cells(results.runs[name]) for name in columns]
    common = shared_start(results.runs["run"].to_list())
    fields = [f"c{number}" for number in range(len(cells))]
    return [
        {"run": run, "name": run[common:], **dict(zip(fields, values, strict=True))}
        for run, *values in zip(results.runs["run"], *cells, strict=True)
    ]


def paint(results: Results, of: Mapping[str, int], colours: Mapping[int, int]) -> list[int | None]:
    """Return the number of each run's curve, which picks its colour; None for a run whose series is
    not drawn.

    `of` has the place of each run's series, `colours` the numbers of those that are drawn.
    """
    return [colours.get(of[run]) for run in results.runs["run"]]


def by_name(rows: Sequence[Row], paint: Sequence[int | None]) -> list[int | None]:
    """Return the paint in the order of the runs' names as JavaScript sorts them, which need not be
    sent then."""
    order = sorted(
        zip(rows, paint, strict=True),
        key=lambda pair: pair[0]["run"].encode("utf-16-be", "surrogatepass"),
    )
    return [number for _, number in order]


def _cells(values: pl.Series) -> list[Any]:
    if values.dtype == pl.Float64:
        whole = values == values.round(0)
        rounded = values.to_frame("v").select(
            pl.when(whole).then("v").otherwise(pl.col("v").round_sig_figs(_DIGITS))
        )
        return [_number(value) for value in rounded.to_series()]
    if values.dtype.is_integer():
        return [
            value if value is None or abs(value) < _INEXACT_FROM else str(value) for value in values
        ]
    if values.dtype.is_temporal():
        return [
            None if value is None else value.isoformat(sep=" ", timespec="seconds")
            for value in values
        ]
    return values.to_list()


def _number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def changes(before: Sequence[Row], after: Sequence[Row]) -> dict[str, list[Row]] | None:
    """Return the grid's transaction from one table to the next; None where nothing changed."""
    old = {row["run"]: row for row in before}
    new = {row["run"] for row in after}
    transaction = {
        "add": [row for row in after if row["run"] not in old],
        "update": [row for row in after if row["run"] in old and row != old[row["run"]]],
        "remove": [row for row in before if row["run"] not in new],
    }
    return {
        verb: changed_rows for verb, changed_rows in transaction.items() if changed_rows
    } or None
