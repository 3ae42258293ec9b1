"""What runs used of their machines: cores, memory, GPUs; a row a run, from `outcome.json`, or from
`system.csv` where a run goes on or was killed with its keeper. `results --system` prints it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runslot.errors import RunslotError
from runslot.experiment.records import Usage
from runslot.experiment.rundir import RunDir
from runslot.results.accounts import account
from runslot.results.document import ACCOUNTING, accounting_of, finite_json
from runslot.results.formats.files import read_bytes
from runslot.results.results import Results
from runslot.results.text.table import show
from runslot.terminal_text import one_line

_GIB = 1 << 30
_SCHEMA: Mapping[str, Any] = {
    "run": pl.String,
    "state": pl.String,
    "seconds": pl.Float64,
    "cpus": pl.Float64,
    "memory": pl.Int64,
    "gpu_percent": pl.Float64,
    "gpu_memory": pl.Int64,
    "gpu_total": pl.Int64,
}
_NOTE = (
    "cores in the mean, memory at its peak over all processes of a run; GPU: of the device, with"
    " other runs on it"
)


def system_frame(results: Results) -> pl.DataFrame:
    """Return what each run used, in bytes; empty cells where nobody looked."""
    rows = []
    for row in results.runs.select("run", "state", "seconds", "kind", "path").iter_rows(named=True):
        use = _usage_of(RunDir(row["path"])) if row["kind"] == "runslot" else None
        values = {} if use is None else {name: getattr(use, name, None) for name in _SCHEMA}
        rows.append({**values, **{name: row[name] for name in ("run", "state", "seconds")}})
    return pl.DataFrame(rows, schema=_SCHEMA)


SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "What `runslot results --system --json` prints",
    "description": "Version 1. Keys may be added; none changes its meaning within a version.",
    "type": "object",
    "properties": {
        "schema": {"const": "runslot.system"},
        "version": {"const": 1},
        "base": {"type": "string", "description": "The directory that was read."},
        "accounting": ACCOUNTING,
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "description": "What a run used; null where nobody looked.",
                "properties": {
                    "run": {"type": "string", "description": "Its directory, relative to `base`."},
                    "state": {"type": ["string", "null"]},
                    "seconds": {"type": ["number", "null"]},
                    "cpus": {"type": ["number", "null"], "description": "Cores, in the mean."},
                    "memory": {"type": ["integer", "null"], "description": "Bytes, at its peak."},
                    "gpu_percent": {"type": ["number", "null"]},
                    "gpu_memory": {"type": ["integer", "null"], "description": "Bytes, at most."},
                    "gpu_total": {"type": ["integer", "null"]},
                },
                "required": list(_SCHEMA),
            },
        },
    },
    "required": ["schema", "version", "base", "accounting", "runs"],
}


def system_document(results: Results) -> dict[str, Any]:
    """Return the object that `SCHEMA` describes."""
    document: dict[str, Any] = finite_json(
        {
            "schema": "runslot.system",
            "version": 1,
            "base": results.base,
            "accounting": accounting_of(account(results, None), results.confirmation),
            "runs": system_frame(results).to_dicts(),
        }
    )
    return document


def print_system(results: Results, console: Console) -> None:
    """Print the table, without the GPU where no run had one."""
    frame = system_frame(results)
    usages = frame.filter(pl.col("memory").is_not_null())
    if usages.is_empty():
        show(
            console,
            Text("no run was looked at: what runs use is written from their third second on"),
        )
        return
    has_gpus = not usages["gpu_memory"].is_null().all()
    names = ["run", "state", "time", "cores", "memory", *(["GPU", "GPU memory"] * has_gpus)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name in {"run", "state"} else "right")
    for row in usages.iter_rows(named=True):
        table.add_row(*_cells(row)[: len(names)])
    show(console, table)
    unseen = frame.height - usages.height
    more = f"; {unseen} shorter run{'s' * (unseen > 1)} left out" if unseen else ""
    show(console, Text(_NOTE + more, style="dim"))


def _cells(row: Mapping[str, Any]) -> list[str]:
    seconds, percent, gpu_memory = row["seconds"], row["gpu_percent"], row["gpu_memory"]
    whole = row["gpu_total"]
    return [
        one_line(row["run"]),
        row["state"] or "",
        "" if seconds is None else f"{seconds:.0f} s",
        "" if row["cpus"] is None else f"{row['cpus']:.2f}",
        _gib(row["memory"]),
        "" if percent is None else f"{percent:.0f} %",
        _gib(gpu_memory) + (f" of {_gib(whole)}" if gpu_memory is not None and whole else ""),
    ]


def _gib(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / 2**20:.0f} MiB"


def _usage_of(run: RunDir) -> Usage | None:
    try:
        outcome = run.read_outcome()
        if outcome is not None and outcome.used is not None:
            return outcome.used
        text = (read_bytes(run.system) or b"").decode(errors="replace")
        return usage_of_rows(list(csv.DictReader(text.splitlines())))
    except (RunslotError, OSError, ValueError):  # damaged files are what `results` itself names
        return None


def usage_of_rows(rows: list[dict[str, str]]) -> Usage | None:
    """Return the summary of the rows of a `system.csv`; `ValueError` where they are none."""
    if not rows:
        return None
    try:
        seconds = [float(row["seconds"]) for row in rows]
        spans = [after - before for before, after in zip([0.0, *seconds], seconds, strict=False)]
        cpus = sum(float(row["cpus"]) * span for row, span in zip(rows, spans, strict=True))
        gpu_memories = [int(row["gpu_memory"]) for row in rows if row.get("gpu_memory")]
        percents = [float(row["gpu_percent"]) for row in rows if row.get("gpu_percent")]
        return Usage(
            looks=len(rows),
            cpus=cpus / max(seconds[-1], 1e-3),
            memory=max(int(row["memory"]) for row in rows),
            gpu_memory=max(gpu_memories, default=None),
            gpu_percent=sum(percents) / len(percents) if percents else None,
        )
    except (KeyError, TypeError) as error:  # a row that is not whole yet
        raise ValueError(str(error)) from error
