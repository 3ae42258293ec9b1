"""What a run used of its machine, for its page: in words, and over the time that it took.

From `outcome.json`, and from `system.csv`, in which the keeper writes a row now and then.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from runslot.errors import RunslotError
from runslot.experiment.outcome import Usage
from runslot.experiment.rundir import RunDir
from runslot.results.text.system import usage_of_rows
from runslot.view.data.alignment import decimate
from runslot.view.data.panel import Curve, Panel
from runslot.view.plotly.curves import curves_figure
from runslot.view.plotly.figure import Figure
from runslot.view.web.texts import Texts

_GIB = 2**30
_MOST_BYTES = 1 << 22
_POINTS = 300
_COLUMNS: Mapping[str, tuple[str, float]] = {
    "cpus": ("cores used", 1),
    "memory": ("memory, GiB", _GIB),
    "gpu_percent": ("GPU busy, %", 1),
    "gpu_memory": ("GPU memory, GiB", _GIB),
}
"""By column of `system.csv`: the heading of its figure, and the unit."""


def usage_words(directory: Path, texts: Texts) -> dict[str, str]:
    """Return what a run used, in words; nothing where nobody looked."""
    usage = _usage(directory, texts)
    if usage is None:
        return {}
    parts: dict[str, str | None] = {
        "cores": _with(usage.cpus, lambda cpus: f"{cpus:.2f} in the mean"),
        "memory": _with(usage.memory, lambda size: f"{_size(size)} at its peak, all processes"),
        "GPU busy": _with(usage.gpu_percent, lambda share: f"{share:.0f} % of the time"),
        "GPU memory": _with(usage.gpu_memory, lambda size: _size(size) + _of(usage.gpu_total)),
    }
    return {name: words for name, words in parts.items() if words is not None}


def _with(value: float | None, words: Callable[[float], str]) -> str | None:
    return None if value is None else words(value)


def _of(total: int | None) -> str:
    return f" of {_size(total)}" if total else ""


def _size(size: float) -> str:
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / 2**20:.0f} MiB"


def _usage(directory: Path, texts: Texts) -> Usage | None:
    try:
        outcome = json.loads(texts.read(RunDir(directory).outcome_file) or "{}")
        if isinstance(outcome, dict) and isinstance(outcome.get("used"), dict):
            return Usage.from_json(outcome["used"])
        return usage_of_rows(_rows(directory, texts))
    except (RunslotError, ValueError):  # a row that is not whole yet, a file that is damaged
        return None


def _rows(directory: Path, texts: Texts) -> list[dict[str, str]]:
    text = texts.read(RunDir(directory).system, _MOST_BYTES) or ""
    return list(csv.DictReader(text.splitlines()))


def usage_figures(directory: Path, texts: Texts) -> dict[str, Figure]:
    """Return by heading the curves of what the run used, over the seconds since its start."""
    rows = _rows(directory, texts)
    figures = {}
    for column, (heading, unit) in _COLUMNS.items():
        points = _points(rows, column, unit)
        if len(points) > 1:
            figures[heading] = curves_figure(
                Panel(heading, "seconds", "", (_curve(points, heading),))
            )
    return figures


def _points(
    rows: Sequence[Mapping[str, str]], column: str, unit: float
) -> list[tuple[float, float]]:
    points = []
    for row in rows:
        try:
            points.append((float(row["seconds"]), float(row[column]) / unit))
        except (KeyError, TypeError, ValueError):  # no GPU, or half a line
            continue
    return points


def _curve(points: Sequence[tuple[float, float]], heading: str) -> Curve:
    frame = pl.DataFrame(points, schema={"x": pl.Float64, "center": pl.Float64}, orient="row")
    null = pl.lit(None, pl.Float64)
    frame = frame.with_columns(curve=pl.lit(0), n=pl.lit(1, pl.UInt32), low=null, high=null)
    return Curve(heading, 0, 1, decimate(frame, "curve", _POINTS), heading)
