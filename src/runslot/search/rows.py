"""What runs have shown: step and metric of every row, from files that grow.

A run's own `progress.csv` is read from where it was left; a run that logs otherwise is read as
`results` reads it. The searcher looks twice a second, so that a file is opened only when it has
changed.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runslot.experiment.files import open_regular
from runslot.experiment.rundir import RunDir
from runslot.search.objective import REPORTED

if TYPE_CHECKING:
    from runslot.results import Reader

Row = tuple[float, float]
"""Step and value."""


@dataclass
class LoggedCurve:
    """The metric of one run against its steps.

    A metric that is taken every few rows is nan in the others, as loggers have it: such a gap is no
    row. A stretch of nan that is longer than any gap is, and says that the run has diverged.
    """

    numbers: list[Row] = field(default_factory=list)
    """Rows with a number."""
    columns: tuple[str, ...] = ()
    """All that the run logs, for whoever names a metric that it does not."""
    step: str = ""
    """The column that counts the steps; empty where rows are counted."""
    usual_gap: int | None = None
    """The longest gap of the search's other runs; None where none of them has shown any."""
    _blanks: list[Row] = field(default_factory=list)
    """Rows of nan after the last number."""
    _gap: int = 0

    @property
    def gap(self) -> int | None:
        """How many rows in a row had no number before there was one again; None before that."""
        return self._gap if len(self.numbers) > 1 else None

    @property
    def rows(self) -> list[Row]:
        """What is known of a run that goes on: a stretch of nan counts once it is too long for a
        gap.
        """
        gaps = [gap for gap in (self.gap, self.usual_gap) if gap is not None]
        return self._with_blanks(bool(gaps) and len(self._blanks) > max(*gaps, self._gap))

    @property
    def whole(self) -> list[Row]:
        """What is known of a run that has ended."""
        return self._with_blanks(not self.numbers or len(self._blanks) > self._gap)

    def _with_blanks(self, has_diverged: bool) -> list[Row]:
        return self.numbers + self._blanks if has_diverged and self._blanks else self.numbers

    def add(self, step: float, value: float, resumed: bool) -> None:
        """Add a row; of a run that continued from its snapshot, what it had logged beyond that is
        void.
        """
        for rows in (self._blanks, self.numbers) if resumed else ():
            while rows and rows[-1][0] >= step:
                rows.pop()
        if math.isnan(value):
            self._blanks.append((step, value))
            return
        self._gap = max(self._gap, len(self._blanks))
        self._blanks.clear()
        self.numbers.append((step, value))


class RunRows:
    """Reads the rows of one run again and again."""

    def __init__(self, run_dir: RunDir, metric: str, step: str) -> None:
        self.run_dir = run_dir
        self._metric = metric
        self._step = step
        file = run_dir.objective if metric == REPORTED else run_dir.progress
        self._file = _RowFile(file, metric, step)
        self._reader: Reader | None = None

    def read(self, resumed: bool) -> LoggedCurve:
        """Return what the run has shown so far; `resumed` where it continued from a snapshot."""
        if self._file.read(resumed):  # the first time, too, though it was not there before
            return self._file.curve
        return self._read_otherwise(resumed)

    def _read_otherwise(self, resumed: bool) -> LoggedCurve:
        """Read a run that has no `progress.csv`: its program may log in a way of its own, or
        print.
        """
        from runslot.results import Reader

        if not self.run_dir.path.is_dir():
            return LoggedCurve()
        if self._reader is None:
            self._reader = Reader([self.run_dir.path], cache=False)
        results = self._reader.read()
        step = step_of(self._step, results.metrics)
        curve = LoggedCurve(columns=results.metrics, step=step or "")
        if not results.runs.height or step is None:
            return curve
        frame = results.progress
        if metric := column_named(self._metric, results.metrics):
            values = frame[metric].to_list()
            steps = frame[step].to_list() if step else range(1, len(values) + 1)
            for place, value in zip(steps, values, strict=True):
                if isinstance(place, (int, float)) and isinstance(value, (int, float)):
                    curve.add(float(place), float(value), resumed)
        return curve


class _RowFile:
    """A `progress.csv` that grows; a file that was replaced, as by one with further columns, is
    read anew.
    """

    def __init__(self, path: Path, metric: str, step: str) -> None:
        self._path = path
        self._metric = metric
        self._step = step
        self._version: tuple[int, int, int] = (0, 0, 0)
        self._offset = 0
        self._lines = 0
        self._places: tuple[int | None, int | None] = (None, None)
        self.curve = LoggedCurve()

    def read(self, resumed: bool) -> bool:
        """Take in what was appended; False where there is no such file."""
        try:
            with os.fdopen(open_regular(self._path), "rb") as file:
                status = os.fstat(file.fileno())
                version = (status.st_ino, status.st_size, status.st_mtime_ns)
                if version == self._version:
                    return True
                if status.st_ino != self._version[0] or status.st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return False
        self._version = version
        self._take(data, resumed)
        return True

    def _take(self, data: bytes, resumed: bool) -> None:
        end = data.rfind(b"\n") + 1
        while end and data[:end].count(b'"') % 2:  # a line break inside quotes ends no line
            end = data.rfind(b"\n", 0, end - 1) + 1
        rows = csv.reader(data[:end].decode(errors="replace").splitlines(keepends=True))
        if not self._offset:
            header = next(rows, None)
            if header is None:
                return
            metric, step = column_named(self._metric, header), step_of(self._step, header)
            is_whole = metric is not None and step is not None
            self._places = (
                header.index(metric) if is_whole and metric else None,
                header.index(step) if step else None,
            )
            self.curve = LoggedCurve(columns=tuple(header), step=step or "")
            self._lines = 0
        self._offset += end
        metric_at, step_at = self._places
        if metric_at is None:
            return
        for number, cells in enumerate(rows, self._lines + 1):
            self._lines = number
            value = _number(cells, metric_at)
            step_value = float(number) if step_at is None else _number(cells, step_at)
            if value is not None and step_value is not None:
                self.curve.add(step_value, value, resumed)


def _number(cells: Sequence[str], place: int) -> float | None:
    try:
        return float(cells[place])
    except (ValueError, IndexError):  # a gap, or text
        return None


def column_named(name: str, columns: Sequence[str]) -> str | None:
    """Return the column of that name, also where only its case differs."""
    if name in columns:
        return name
    alike = [column for column in columns if column.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def step_of(step: str, columns: Sequence[str]) -> str | None:
    """Return the column that counts the steps, empty where rows are counted; None where one was
    named that is not there.
    """
    return column_named(step, columns) if step else step_name(columns)


def step_name(columns: Sequence[str]) -> str:
    """Return the column that counts the steps by its name, as results have it; empty where rows are
    to be counted.
    """
    from runslot.results.read.steps import step_column

    return step_column(columns) or ""


def missing_said(metric: str, step: str, curve: LoggedCurve, run: str) -> str:
    """Return what a run which ended well did not log, with the nearest name; empty where it logged
    what a search needs.
    """
    from runslot.errors import nearest

    if metric == REPORTED and column_named(metric, curve.columns) is None:
        return (
            f"job {run} has ended, and neither returned a number nor reported one: return it,"
            " report it, or name what it logs (docs: hydra)"
        )
    if not curve.columns:
        return (
            f"{run} has ended, and logged nothing: a search needs {metric} of every run; log it,"
            " or print it (docs: logger)"
        )
    names = (metric, step) if step else (metric,)
    missing = next((name for name in names if column_named(name, curve.columns) is None), None)
    if missing is None:
        return (
            ""
            if curve.whole
            else f"{run} has ended, and no row of it has a number as {' and as '.join(names)}"
        )
    columns = ", ".join(curve.columns[:12])
    return (
        f"{run} has ended, and logged no {missing!r}{nearest(missing, curve.columns)}; it logged"
        f" {columns}"
    )


def has_snapshot(run_dir: RunDir) -> bool:
    """Tell whether a run has kept anything that it could continue from, beside its logs."""
    record_names = {
        path.name for path in (run_dir.run_file, run_dir.attempt_file, run_dir.outcome_file)
    }
    for _, names, files in os.walk(run_dir.path):
        names[:] = [name for name in names if not name.startswith((".", "attempt_", "wandb"))]
        for name in files:
            if (
                name not in record_names
                and not name.startswith((".", "events.out."))
                and not name.endswith(_LOGS)
            ):
                return True
    return False


_LOGS = (
    ".csv",
    ".log",
    ".json",
    ".jsonl",
    ".txt",
    ".patch",
    ".yaml",
    ".yml",
    ".py",
    ".out",
    ".err",
)
"""Endings of what is no snapshot."""
