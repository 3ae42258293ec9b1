"""TensorBoard event files, an extra: one row a step, one column a scalar, purged as TensorBoard
does it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from runslot.errors import extra_said
from runslot.results.formats.points import Point, rows_of_points
from runslot.results.problems import Problem, Unread

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

_PURGES_BY_START = 2
"""From this version of the file format on, a writer that starts anew says so; before, steps that go
back do."""

_AROUND_RECORD = 8 + 4 + 4
"""Bytes of a record's length and two checksums."""
_LONGEST_RECORD = 1 << 31
"""A longer one is a broken length: protobuf writes none."""


def read(
    files: Sequence[str], problems: list[Problem], unread: list[Unread]
) -> pl.DataFrame | None:
    """Return `step`, `seconds` (since the first event) and the scalars of one directory's event
    files.

    The files are read in the order of their names, as parts of one log. None, and a problem,
    without tensorboard. What a later process wrote anew is named in `unread`, with the file in
    which it lies.
    """
    try:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event as ParsedEvent
    except ImportError:
        problems.append(
            Problem(
                files[0], f"is read with tensorboard, {extra_said('tensorboard')}; it is left out"
            )
        )
        return None
    log = _Log()
    for file in files:
        part, position = _EventFile(file), 0
        try:
            size = os.path.getsize(file)  # noqa: PTH202
            for record in RawEventFileLoader(file).Load():
                position += len(record) + _AROUND_RECORD
                log.take(ParsedEvent.FromString(record), part)
            if _is_broken(file, position, size):
                problems.append(
                    Problem(file, f"has a broken record at byte {position}; the rest is left out")
                )
        except Exception as error:  # noqa: BLE001  # its readers raise what protobuf and its file systems raise
            problems.append(Problem(file, f"cannot be read ({error})"))
        log.close(part, unread)
    return rows_of_points(log.series)


def _is_broken(file: str, position: int, size: int) -> bool:
    """Tell whether what could not be read at `position` is a whole record: else its writer is not
    done with it."""
    if size - position < _AROUND_RECORD:
        return False
    with open(file, "rb") as events:  # noqa: PTH123
        events.seek(position)
        length = int.from_bytes(events.read(8), "little")
    return length + _AROUND_RECORD <= size - position or length > _LONGEST_RECORD


@dataclass
class _EventFile:
    """What one file holds."""

    file: str
    series: dict[str, list[Point]] = field(default_factory=dict)
    has_start: bool = False
    """Its writer said from which step on it replaces what was there."""


@dataclass
class _Log:
    """The scalars of a directory, as far as its files were read."""

    series: dict[str, list[Point]] = field(default_factory=dict)
    version: float | None = None
    most_recent: int = -1
    """The step of the newest event, by which old formats tell that a writer started anew."""

    def take(self, event: Event, part: _EventFile) -> None:
        """Take one event, after `EventAccumulator._ProcessEvent`."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        if event.HasField("file_version"):
            self.version = _version(event.file_version)
        if self.version is not None and self.version >= _PURGES_BY_START:
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                part.has_start = True
                self._purge(part, event.step, None)
        elif event.HasField("summary") and event.step < self.most_recent:
            self._purge(part, event.step, {value.tag for value in event.summary.value})
        else:
            self.most_recent = event.step
        if event.HasField("summary"):
            for value in event.summary.value:
                number = _number(value)
                if number is not None:
                    tag = value.tag or value.node_name
                    part.series.setdefault(tag, []).append(
                        Point(float(event.step), event.wall_time, number)
                    )

    def _purge(self, part: _EventFile, step: float, tags: set[str] | None) -> None:
        for series in (self.series, part.series):
            for tag in series if tags is None else tags & series.keys():
                series[tag] = [point for point in series[tag] if (point.step or 0.0) < step]

    def close(self, part: _EventFile, unread: list[Unread]) -> None:
        """Add a file that was read to its end."""
        shared = {
            tag
            for tag in part.series.keys() & self.series.keys()
            if self.series[tag] and part.series[tag]
        }
        if shared and not part.has_start:
            self._overtake(part, shared, unread)
        for tag, points in part.series.items():
            self.series.setdefault(tag, []).extend(points)

    def _overtake(self, part: _EventFile, shared: set[str], unread: list[Unread]) -> None:
        """Let a later process that goes back to an earlier step, and does not say so, replace what
        it overtakes.

        Each scalar from the step on from which it was written anew; all of them where every curve
        was begun anew.
        """
        first = {
            tag: (self.series[tag][0].step or 0.0, part.series[tag][0].step or 0.0)
            for tag in shared
        }
        goes_back = {
            tag: new
            for tag, (_, new) in first.items()
            if new <= (last := self.series[tag][-1].step or 0.0) and (new, last) != (0.0, 0.0)
        }
        if not goes_back:  # it goes on, or nothing has steps
            return
        if _first_time(part.series) <= max(
            points[-1].when or 0.0 for points in self.series.values() if points
        ):
            reason = (
                "an older file was written at the same time with the same scalars; both are shown,"
                " and overlap"
            )
            unread.append(Unread(part.file, reason))
            return
        curves = [tag for tag in shared if len(self.series[tag]) > 1]
        is_again = bool(curves) and all(
            tag in goes_back and first[tag][1] <= first[tag][0] for tag in curves
        )
        begin = min(goes_back[tag] for tag in curves) if is_again else max(goes_back.values())
        if is_again:
            self._purge(_EventFile(part.file), begin, None)
        else:
            for tag, step in goes_back.items():
                self._purge(_EventFile(part.file), step, {tag})
        event = "was run again" if is_again else "was resumed"
        reason = (
            f"the run {event} from step {begin:g} on; what older event files hold from there on is"
            " left out"
        )
        unread.append(Unread(part.file, reason))


def _first_time(series: dict[str, list[Point]]) -> float:
    return min(points[0].when or 0.0 for points in series.values() if points)


def _version(text: str) -> float:
    """Return the number in `brain.Event:2`, -1 where there is none, as TensorBoard's
    `ParseFileVersion`."""
    try:
        return float(text.rpartition("brain.Event:")[2])
    except ValueError:
        return -1.0


def _number(value: Any) -> float | None:
    """Return a scalar's value: a number, or, as TensorFlow 2 writes it, a tensor of one."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor"):
        return None
    from tensorboard.util.tensor_util import make_ndarray

    array = make_ndarray(value.tensor)
    return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else None
