"""The sinks of one logger: those that the script adds, and those that `RUNSLOT_SINKS` asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, NotInstalled, RunslotError, extra_said
from runslot.logger.cells import Plain
from runslot.logger.named_sinks import SummaryWriter, asked_by_environment, is_installed, named_sink
from runslot.logger.problems import Problems
from runslot.logger.sinks import Sink, SinkThread


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
