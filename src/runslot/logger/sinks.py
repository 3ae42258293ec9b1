"""Where rows go beside the CSV: the protocol of a sink, and the thread that keeps one from ever
touching the run.

A sink that fails, or has not taken a row for a while, is detached. Named sinks are in
`named_sinks`.

The sinks of one logger: those that the script adds, and those that `RUNSLOT_SINKS` asks for.

The sinks that have a name: `jsonl` (standard library), `tensorboard` and `wandb` (extras of
runslot).
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from runslot.errors import InvalidInput, NotInstalled, RunslotError, extra_said, nearest
from runslot.experiment.current import current_run, where_now
from runslot.experiment.files import open_unless_led, read_json
from runslot.experiment.rundir import RunDir
from runslot.logger.cells import Plain
from runslot.logger.problems import Problems

STUCK = 60.0
"""Seconds in which a sink with rows waiting must take one, or it is detached."""

STARTING = 120.0
"""Seconds that the making of a sink may take, or it is detached: W&B starts a process and logs in,
for which its own limit is 90, and the rows of a short run would be missing there.
"""

PATIENCE = 30.0
"""Seconds without progress after which the closing of a sink is given up."""

MOST_WAITING = 100_000
"""Rows that may wait for a slow sink."""


class Sink(Protocol):
    """Takes rows, in a thread of its own; whatever it raises detaches it."""

    def write(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Take one row: numbers, and texts for what is none. `iteration`: of `set_iteration`, else
        the row's number.
        """
        ...

    def close(self) -> None:
        """Write out what is left."""
        ...


class SinkThread:
    """One sink behind a queue. `make` is called in the thread, at the first row, since it may take
    long or fail.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Sink],
        failed: Callable[[str, BaseException | str], None],
    ) -> None:
        self.name = name
        self._make = make
        self._failed = failed
        self._waiting: deque[tuple[Mapping[str, Plain], int]] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._progress = time.monotonic()
        self._made = False
        self._closing = False
        self.detached = False
        self._thread: threading.Thread | None = None

    def put(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Hand over a row, which nobody changes any more; never waits for the sink."""
        if self.detached:
            return
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"runslot sink {self.name}", daemon=True
            )
            self._thread.start()
        if not self._waiting:
            self._progress = time.monotonic()
        elif self._is_stuck(STUCK) or len(self._waiting) >= MOST_WAITING:
            self._detach(
                f"took no row for {self._limit(STUCK):g} s, or fell {len(self._waiting)} rows"
                " behind; detached"
            )
            return
        with self._wake:
            self._waiting.append((row, iteration))
            self._wake.notify()

    def close(self) -> None:
        """Let the sink take what waits and close; give up where it makes no progress for `PATIENCE`
        seconds.
        """
        if self._thread is None:
            return
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._progress = time.monotonic()
        while self._thread.is_alive() and not self.detached:
            self._thread.join(0.05)
            if self._is_stuck(PATIENCE):
                self._detach(
                    f"did not close within {self._limit(PATIENCE):g} s; {len(self._waiting)} rows"
                    " are missing there"
                )

    def _limit(self, seconds: float) -> float:
        return seconds if self._made else max(seconds, STARTING)

    def _is_stuck(self, seconds: float) -> bool:
        return time.monotonic() - self._progress > self._limit(seconds)

    def _detach(self, reason: BaseException | str) -> None:
        self.detached = True
        self._waiting.clear()
        self._failed(self.name, reason)

    def _run(self) -> None:
        try:
            sink = self._make()
            self._progress, self._made = time.monotonic(), True
            while (item := self._next()) is not None:
                sink.write(*item)
                self._progress = time.monotonic()
                self._waiting.popleft()
            if not self.detached:
                sink.close()
        except Exception as error:  # noqa: BLE001 - another library's code: its failure must not be the run's
            if not self.detached:
                self._detach(error)
        except SystemExit as error:  # how some libraries refuse a login
            self._detach(f"exited ({error})")

    def _next(self) -> tuple[Mapping[str, Plain], int] | None:
        with self._wake:
            while not self._waiting and not self._closing and not self.detached:
                self._wake.wait()
            return self._waiting[0] if self._waiting else None


# ---- the sinks of a run --------------------------------------------------------------------------


class AttachedSinks:
    """The sinks of one logger."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._threads: list[SinkThread] = []
        self._writer_thread: SinkThread | None = None
        self.summary_writer: Any = None
        """What `set_tf_summary_writer` was given."""

    def attach(self, sink: str | Sink, directory: Path | None) -> None:
        """Send rows to one more sink; `InvalidInput`, `NotInstalled` where a named one cannot be
        had.
        """
        if not isinstance(sink, str):
            self._start(type(sink).__name__, lambda: sink)
            return
        if directory is None:
            raise InvalidInput(
                f"sink {sink!r} writes into a run directory, and there is none; call setup_logger"
                " first"
            )
        make = named_sink(sink, directory)
        if not is_installed(sink):
            raise NotInstalled(f"the sink {sink!r} needs {sink}: {extra_said(sink)}")
        if all(thread.name != sink for thread in self._threads):
            self._start(sink, make)

    def attach_asked(self, directory: Path) -> None:
        """Attach the sinks that the environment names; one that cannot be had is counted as a
        problem.
        """
        for name in asked_by_environment():
            try:
                self.attach(name, directory)
            except RunslotError as error:
                self._problems.met(f"sink {name}", error)

    def set_summary_writer(self, writer: Any) -> None:
        """Send rows to the caller's writer, instead of the one before."""
        if self._writer_thread is not None:
            self._writer_thread.close()
            self._threads.remove(self._writer_thread)
            self._writer_thread = None
        self.summary_writer = writer
        if writer is not None:
            self._writer_thread = self._start("summary writer", lambda: SummaryWriter(writer))

    def put(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Hand a row to every sink."""
        for thread in self._threads:
            thread.put(row, iteration)

    def close(self) -> None:
        """Let the sinks take what waits, and close them."""
        for thread in self._threads:
            thread.close()
        self._threads.clear()
        self._writer_thread = None

    def _start(self, name: str, make: Callable[[], Sink]) -> SinkThread:
        thread = SinkThread(
            name, make, lambda failed, error: self._problems.met(f"sink {failed}", error)
        )
        self._threads.append(thread)
        return thread


# ---- sinks by name -------------------------------------------------------------------------------


VARIABLE = "RUNSLOT_SINKS"
"""Environment variable with names of sinks, separated by commas."""


class JsonLinesSink:
    """`progress.jsonl`: a line a row with `iteration`, `time` (Unix, seconds) and `row`; what is
    not finite is text.
    """

    def __init__(self, directory: Path) -> None:
        file = where_now(directory / "progress.jsonl")
        self._fd = open_unless_led(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

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
        place = where_now(directory)
        place.stat()  # which the writer would make anew where it is moved away
        self._writer = EventFileWriter(str(place), flush_secs=10)

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

        self._is_ours = wandb.run is None
        self._run: Any = wandb.run or wandb.init(
            dir=str(directory),
            name=directory.name,
            group=directory.parent.name,
            config=_variant(directory),
        )

    def write(self, row: Mapping[str, Plain], iteration: int) -> None:
        """Log one row at step `iteration`."""
        self._run.log(dict(row), step=iteration if self._is_ours else None)

    def close(self) -> None:
        """Finish the run, if it is ours."""
        if self._is_ours:
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
