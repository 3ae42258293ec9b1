"""The sinks that have a name: `jsonl` (standard library), `tensorboard` and `wandb` (extras of
runslot).
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, nearest
from runslot.experiment.current import current_run
from runslot.experiment.files import open_unless_led, read_json
from runslot.experiment.rundir import RunDir
from runslot.logger.cells import Plain
from runslot.logger.sinks import Sink

VARIABLE = "RUNSLOT_SINKS"
"""Environment variable with names of sinks, separated by commas."""


class JsonLinesSink:
    """`progress.jsonl`: a line a row with `iteration`, `time` (Unix, seconds) and `row`; what is
    not finite is text.
    """

    def __init__(self, directory: Path) -> None:
        self._fd = open_unless_led(
            directory / "progress.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT
        )

    def write(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Append one line."""
        values = {key: value if _fits_json(value) else str(value) for key, value in row.items()}
        line = json.dumps({"iteration": iteration, "time": time.time(), "row": values}) + "\n"
        os.write(self._fd, line.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _fits_json(value: Plain) -> bool:
    return type(value) is not float or math.isfinite(value)


class TensorBoard:
    """Event files in the run directory, a scalar for each number of a row; text is left out."""

    def __init__(self, directory: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer = EventFileWriter(str(directory), flush_secs=10)

    def write(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Write one event with the row's numbers, at step `iteration`."""
        values = [
            self._summary.Value(tag=key, simple_value=float(value))
            for key, value in row.items()
            if type(value) is not str
        ]
        self._writer.add_event(
            self._event(wall_time=time.time(), step=iteration, summary=self._summary(value=values))
        )

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()


class WeightsAndBiases:
    """A run of W&B: the one that the script has open, else a new one with the run directory's name
    and variant.
    """

    def __init__(self, directory: Path) -> None:
        import wandb

        self._ours = wandb.run is None
        self._run: Any = wandb.run or wandb.init(
            dir=str(directory),
            name=directory.name,
            group=directory.parent.name,
            config=_variant(directory),
        )

    def write(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Log one row at step `iteration`."""
        self._run.log(dict(row), step=iteration if self._ours else None)

    def close(self) -> None:
        """Finish the run, if it is ours."""
        if self._ours:
            self._run.finish()


class SummaryWriter:
    """A writer with `add_scalar(tag, value, step)`, as rlpyt's `set_tf_summary_writer` takes; it
    stays the caller's.
    """

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Add a scalar for each number of the row."""
        for key, value in row.items():
            if type(value) is not str:
                self._writer.add_scalar(key, value, iteration)

    def close(self) -> None:
        """Flush it, if it can."""
        flush = getattr(self._writer, "flush", None)
        if callable(flush):
            flush()


def _variant(directory: Path) -> dict[str, Any]:
    variant = read_json(RunDir(directory).variant_file)
    run = current_run() if variant is None else None  # the file comes with the first row
    return dict(run.variant) if run is not None and run.directory == directory else variant or {}


NAMED: Mapping[str, Callable[[Path], Sink]] = {
    "jsonl": JsonLinesSink,
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


def named_sink(name: str, directory: Path) -> Callable[[], Sink]:
    """Return what makes the sink `name` for a run directory; `InvalidInput` where there is none of
    that name.
    """
    if name not in NAMED:
        raise InvalidInput(f"no sink {name!r}{nearest(name, NAMED)}; known: {', '.join(NAMED)}")
    return lambda: NAMED[name](directory)


def asked_by_environment() -> list[str]:
    """Return the names in `RUNSLOT_SINKS`."""
    return [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]


def is_installed(name: str) -> bool:
    """Tell whether the library of a named sink is there, without importing it."""
    return name == "jsonl" or importlib.util.find_spec(name) is not None
