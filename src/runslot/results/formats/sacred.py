"""Sacred's FileStorageObserver: `metrics.json`, and the `run.json` that is not runslot's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import polars as pl

from runslot.errors import RunslotError
from runslot.results.formats.files import read_object
from runslot.results.formats.json_lines import number_in
from runslot.results.formats.points import Point, rows_of_points
from runslot.results.problems import Problem
from runslot.results.read.directories import RunFiles
from runslot.results.read.layouts import RUN_FILE

_STATES = {
    "COMPLETED": "succeeded",
    "RUNNING": "running",
    "FAILED": "failed",
    "INTERRUPTED": "stopped",
}
_TIMED_OUT = "TIMEOUT"
_FRACTION = re.compile(r"\.(\d+)")


def read_metrics(file: str, problems: list[Problem]) -> pl.DataFrame | None:
    """Return the rows of a `metrics.json`, which is replaced as a whole when it grows."""
    try:
        metrics = read_object(Path(file)) or {}
        series = {str(name): _points(metric) for name, metric in metrics.items()}
    except (RunslotError, OSError) as error:
        problems.append(Problem(file, str(error)))
        return None
    except (KeyError, TypeError, ValueError, AttributeError):
        problems.append(
            Problem(
                file, "is not as Sacred writes it (steps, timestamps and values of each metric)"
            )
        )
        return None
    return rows_of_points(series)


def _points(metric: Mapping[str, Any]) -> list[Point]:
    values, steps = metric["values"], metric["steps"]
    if len(values) != len(steps):
        raise ValueError
    times = metric.get("timestamps") or [None] * len(values)
    return [
        Point(float(step), _seconds(when), _number(value))
        for step, when, value in zip(steps, times, values, strict=True)
    ]


def _number(value: Any) -> float:
    """Return a value; jsonpickle writes NumPy's numbers as objects that hold them."""
    return number_in(value["value"] if isinstance(value, Mapping) else value)


def sacred_run(run: RunFiles, problems: list[Problem]) -> dict[str, Any]:
    """Return what `run.json` says: state, times, host, and as parameters the experiment's name and
    its command."""
    file = Path(run.file(RUN_FILE))
    try:
        content = read_object(file) or {}
    except (RunslotError, OSError) as error:
        problems.append(Problem(str(file), str(error)))
        return {}
    status, host, experiment = (content.get(key) for key in ("status", "host", "experiment"))
    parameters = {
        "experiment.name": experiment.get("name") if isinstance(experiment, Mapping) else None,
        "command": content.get("command"),
    }
    return {
        "state": "timed_out" if str(status).startswith(_TIMED_OUT) else _STATES.get(str(status)),
        "started": _seconds(content.get("start_time")),
        "ended": _seconds(content.get("stop_time")),
        "host": host.get("hostname") if isinstance(host, Mapping) else None,
        "parameters": {key: str(value) for key, value in parameters.items() if value is not None},
    }


def _seconds(text: Any) -> float | None:
    """Return a time of Sacred's, which is UTC without saying so."""
    try:
        # Python 3.10 reads fractions of three digits or six alone.
        padded = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", text.removesuffix("Z"))
        moment = datetime.fromisoformat(padded)
    except (AttributeError, TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
