"""The journal: what happened to an experiment, one JSON object a line, only ever appended to.

Its one writer is the launcher that holds the experiment's lock, or whoever has the turn where
several processes decide (`experiment.turn`); a torn last line (a kill in
mid-write) is cut off when the journal is next opened for writing, and ignored by readers.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runslot.errors import Damaged
from runslot.experiment.files import (
    is_asked,
    open_regular,
    open_to_append,
    parsed_line,
    read_lines,
    sync_data,
)
from runslot.experiment.records import Outcome
from runslot.experiment.shape import Shape, shape_of

_SYNC_PERIOD_S = 1.0
_ENDS = frozenset({"launcher_ended", "launcher_left"})
"""Events after which the user is told that all is done: the journal is on the disk by then."""

_OF_RUN: Mapping[str, str] = {"run": "str", "time": "float"}
_NAMED: Mapping[str, str] = {**_OF_RUN, "slot": "int | None", "by": "str"}
_SHAPES: Mapping[str, Shape] = {
    "start": Shape(
        {
            **_OF_RUN,
            "attempt": "int",
            "slot": "int | None",
            "host": "str | None",
            "directory": "str",
        },
        frozenset({"slot", "host", "directory"}),
    ),
    "handed": Shape({**_OF_RUN, "name": "str | None"}),
    "ended": Shape(
        {**_OF_RUN, "outcome": "Mapping[str, Any]", "retry": "bool"}, frozenset({"retry"})
    ),
    "slot_taken": Shape(_NAMED, frozenset({"by"})),
    "waits": Shape(_NAMED),
    "dropped": Shape({**_OF_RUN, "why": "str"}),
    "launcher_started": Shape(
        {
            "host": "str",
            "pid": "int",
            "slots": "int | None",
            "slots_said": "str | None",
            "runs": "int",
        },
        frozenset({"host", "pid", "slots", "slots_said", "runs"}),
    ),
    "recarved": Shape({"slots": "int"}),
    "launcher_ended": Shape({"counts": "Mapping[str, Any]"}),
    "launcher_left": Shape({"runs": "int"}),
    "request": Shape({"verb": "str", "arguments": "tuple[str, ...]"}),
    "search_problem": Shape({"why": "str"}),
    "host_trouble": Shape({"host": "str", "why": "str"}),
    "again": Shape(_OF_RUN),
    "rung": Shape(_OF_RUN),
}
"""By event: what its readers rely on. Events of other names are passed over: newer versions may
have some.
"""


_TURNS = (int, type(None))


def check_event(event: Mapping[str, Any]) -> None:
    """Raise `Damaged` where a line of the journal does not have what its event needs."""
    name = event.get("event")
    if name.__class__ is not str:
        raise Damaged("it names no event")
    shape = _SHAPES.get(name)
    if shape is not None:
        shape.check(event)
        if name == "ended":
            shape_of(Outcome).check(event["outcome"])
    if event.get("turn").__class__ not in _TURNS:
        raise Damaged("its turn is no number")


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what happened, oldest first; a line that is no event of runslot's is `Damaged`, and
    named.
    """
    latest = 0
    for number, event in enumerate(read_lines(path), 1):
        try:
            check_event(event)
        except Damaged as error:
            raise Damaged(f"{path}, line {number}: {error}") from error
        if (turn := event.get("turn")) is not None:  # several processes write it (`turn`)
            if turn < latest:
                continue
            latest = turn
        yield event


def last_turn(path: Path) -> int:
    """Return the highest turn in which anything was written; 0 where there is none."""
    return max((event.get("turn") or 0 for event in read_events(path)), default=0)


def append_lines(path: Path, records: list[Mapping[str, Any]]) -> None:
    """Append one line a record, all or none (a full disk), after cutting off a torn last line."""
    with os.fdopen(open_to_append(path, os.O_RDWR), "ab+", buffering=0) as file:
        cut_torn_line(file.fileno())
        size = os.fstat(file.fileno()).st_size
        data = memoryview(b"".join(journal_line(record) for record in records))
        try:
            while data:
                data = data[os.write(file.fileno(), data) :]
        except OSError:
            os.ftruncate(file.fileno(), size)
            raise


class JournalReader:
    """Reads a journal that another process writes: each call yields what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines = 0
        self._turn = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the objects of the lines that were completed since the last call."""
        try:
            with os.fdopen(open_regular(self._path), "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data.rfind(b"\n") + 1  # what follows is being written, or torn
        self._offset += whole
        for number, line in enumerate(data[:whole].splitlines(), self._lines + 1):
            event = parsed_line(self._path, number, line)
            check_event(event)
            self._lines = number
            if (turn := event.get("turn")) is not None:
                if turn < self._turn:  # of a process that had lost its turn by then
                    continue
                self._turn = turn
            yield event


class Journal:
    """The open journal of the launcher that holds the experiment's lock."""

    def __init__(self, path: Path) -> None:
        self._descriptor = open_to_append(path, os.O_RDWR)
        self._unwritten = b""
        self._unsynced = False
        self._synced = 0.0
        self.path = path
        cut_torn_line(self._descriptor)

    def write(self, event: str, time: float, **details: Any) -> OSError | None:
        """Append one event, in one write.

        On a full disk it is kept and written with the next one; the error is returned, since the
        runs go on.
        """
        self._unwritten += journal_line({"time": round(time, 3), "event": event, **details})
        error = self._flush()
        if event in _ENDS:
            self.sync()
        return error

    def sync_when_due(self, now: float) -> None:
        """Bring what was written to the disk, about once a second; `now` is a monotonic clock's."""
        if self._unwritten:  # there may be room by now
            self._flush()
        if self._unsynced and now - self._synced > _SYNC_PERIOD_S:
            self._synced = now
            self.sync()

    def sync(self) -> None:
        """Bring what was written to the disk, unless the user leaves that to the file system."""
        if self._unsynced and is_asked():
            sync_data(self._descriptor)
        self._unsynced = False

    def place(self) -> Path | None:
        """Return where the open file is by now; None where it was removed, or the system does not
        say.
        """
        try:
            return Path(f"/proc/self/fd/{self._descriptor}").readlink()
        except OSError:
            return None

    def close(self) -> None:
        """Close the file; writing again is an error."""
        if self._unwritten:
            self._flush()
        self.sync()
        os.close(self._descriptor)
        self._descriptor = -1  # the number is another file's by now

    def _flush(self) -> OSError | None:
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, self._unwritten)
        except OSError as error:
            return error
        if written < len(self._unwritten):
            os.ftruncate(self._descriptor, size)  # no torn line in the middle
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._unwritten = b""
        self._unsynced = True
        return None


def journal_line(record: Mapping[str, Any]) -> bytes:
    """Return an event as a line of the journal."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def cut_torn_line(descriptor: int) -> None:
    """Cut off what a process that was killed as it wrote has left of its last line."""
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        start = max(0, end - 65536)
        chunk = os.pread(descriptor, end - start, start)
        newline = chunk.rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        os.ftruncate(descriptor, end)
