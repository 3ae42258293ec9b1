"""The columns of `Results.runs`, from what a reader knows of each run: their names, types, and
values. Pure.

`Results.of` puts them together.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from runslot.results.read.parameters import Value
from runslot.results.read.store import RunEntry
from runslot.results.summary import BEST, FINAL, mode_of

TIME = pl.Datetime("us", "UTC")

_ColumnType = type[pl.DataType] | pl.DataType
COLUMNS_BEFORE: dict[str, _ColumnType] = {
    "run": pl.String,
    "experiment": pl.String,
    "variant": pl.String,
    "seed": pl.Int64,
    "state": pl.String,
}
"""Columns of `Results.runs` before the parameters: which run it is, and how it stands."""
COLUMNS_BEHIND: dict[str, _ColumnType] = {
    "rows": pl.Int64,
    "started": TIME,
    "ended": TIME,
    "seconds": pl.Float64,
    "host": pl.String,
    "slot": pl.Int64,
    "attempt": pl.Int64,
    "peak_memory": pl.Int64,
    "kind": pl.String,
    "id": pl.String,
    "path": pl.String,
}
"""Columns behind the parameters: how the run went, and where it is."""
_COLUMNS = COLUMNS_BEFORE | COLUMNS_BEHIND
ANNOTATION_COLUMNS = ("tags", "note")
"""What people said of runs (`runslot tag`, `note`)."""


def relative_to(path: str, base: str) -> str:
    """Return `path` as seen from `base`; its last part where it is the base itself, or above it."""
    below = path.removeprefix(base).lstrip("/") if path.startswith(f"{base.rstrip('/')}/") else ""
    return below or Path(path).name


def description_columns(named: Mapping[str, RunEntry], base: str) -> dict[str, pl.Series]:
    """Return by name what the runs' directories say of them; `named` has the runs by what the
    column `run` holds."""
    rows = []
    for name, entry in named.items():
        description = entry.description.now()
        seconds = (
            None
            if description.started is None or description.ended is None
            else description.ended - description.started
        )
        values: dict[str, Any] = {
            "run": name,
            "experiment": relative_to(description.experiment or base, base),
            "variant": description.variant or None,
            "seed": description.seed,
            "state": description.state,
            "rows": entry.rows,
            "started": None if description.started is None else round(description.started * 1e6),
            "ended": None if description.ended is None else round(description.ended * 1e6),
            "seconds": seconds,
            "host": description.host,
            "slot": description.slot,
            "attempt": description.attempt,
            "peak_memory": description.peak_memory,
            "kind": entry.files.kind,
            "id": description.id,
            "path": entry.files.directory,
        }
        rows.append(values)
    columns: dict[str, pl.Series] = {}
    for name, kind in _COLUMNS.items():
        cells = [row[name] for row in rows]
        if name == "seed":
            columns[name] = _column(name, cells, pl.Int64)
        elif kind == TIME:
            since_epoch = pl.Series(name, cells, dtype=pl.Int64)
            columns[name] = since_epoch.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        else:
            columns[name] = pl.Series(name, cells, dtype=kind)
    return columns


def annotation_columns(
    entries: Sequence[RunEntry],
    annotations: Mapping[str, tuple[str, str]],
    parameter_names: Collection[str],
) -> list[pl.Series]:
    """Return `tags` and `note`, where any run has some; under `annotation.tags` where a parameter
    has the name."""
    if not annotations:
        return []
    columns = []
    for at, name in enumerate(ANNOTATION_COLUMNS):
        cells = [annotations.get(entry.files.path, ("", ""))[at] or None for entry in entries]
        free = f"annotation.{name}" if name in parameter_names else name
        columns.append(pl.Series(free, cells, dtype=pl.String))
    return [column for column in columns if column.null_count() < len(column)]


def parameter_columns(entries: Sequence[RunEntry]) -> list[pl.Series]:
    """Return a column a parameter of any run; one named like another column gets `variant.` before
    its name."""
    keys = dict.fromkeys(key for entry in entries for key in entry.description.parameters)
    columns = []
    for key in keys:
        name = f"variant.{key}" if key in _COLUMNS or key.startswith((FINAL, BEST)) else key
        columns.append(_column(name, [entry.description.parameters.get(key) for entry in entries]))
    return columns


def _column(name: str, values: Sequence[Value], empty: Any = pl.String) -> pl.Series:
    """Return values as booleans, integers or numbers where all are, else as text; also integers of
    which a number would make others, and two into one."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pl.Series(name, values, dtype=empty)
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):  # type: ignore[operator]  # ints, as just seen
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float} and all(map(_is_float, values)):
        return pl.Series(name, [None if v is None else float(v) for v in values], dtype=pl.Float64)
    others = {json.dumps(v) for v in values if v is not None and not isinstance(v, str)}
    # A text that reads as a value of another kind stands in quotation marks: 1 is not "1".
    text = [
        v if v is None or (isinstance(v, str) and v not in others) else json.dumps(v)
        for v in values
    ]
    return pl.Series(name, text, dtype=pl.String)


def _is_float(value: Value) -> bool:
    """Tell whether a float is the very number; nothing is, too."""
    try:
        return not isinstance(value, int) or float(value) == value
    except OverflowError:
        return False


def metric_columns(metrics: Sequence[str], entries: Sequence[RunEntry]) -> list[pl.Series]:
    """Return the final and the best value of each metric of each run."""
    columns = []
    for metric in metrics:
        summaries = [entry.summary.get(metric) for entry in entries]
        low = mode_of(metric) == "min"
        final = [None if s is None else s.final for s in summaries]
        best = [None if s is None else s.low if low else s.high for s in summaries]
        columns.append(pl.Series(FINAL + metric, final, dtype=pl.Float64))
        columns.append(pl.Series(BEST + metric, best, dtype=pl.Float64))
    return columns
