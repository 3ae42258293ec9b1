"""The journal: what happened to an experiment, one JSON object a line, only ever appended to.

Its one writer is the launcher that holds the experiment's lock; a torn last line (a kill in mid-write) is cut off
when the journal is next opened for writing, and ignored by readers.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError

_TOGETHER = 500
"""Lines that are parsed in one call."""


def append_lines(path: Path, records: list[Mapping[str, Any]]) -> None:
    """Append one line a record in a single write, after cutting off a torn last line."""
    with path.open("ab+") as file:
        _cut_torn_line(file.fileno())
        file.write(b"".join(_line(record) for record in records))


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; a torn last line is left out, a broken one elsewhere is an error."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    lines = data.split(b"\n")[:-1]  # what follows the last newline is empty, or torn
    for first in range(0, len(lines), _TOGETHER):
        block = lines[first : first + _TOGETHER]
        try:
            yield from json.loads(b"[" + b",".join(block) + b"]")  # half the time of a call for each line
        except ValueError:
            yield from _one_by_one(path, block, first + 1)


def _one_by_one(path: Path, lines: list[bytes], first: int) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, first):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise RunslotError(
                f"{path}, line {number}, is not JSON ({error}); remove that line and try again"
            ) from error


class JournalReader:
    """Reads a journal that another process writes: each call yields what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the objects of the lines that were completed since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data.rfind(b"\n") + 1  # what follows is being written, or torn
        self._offset += whole
        for line in data[:whole].splitlines():
            yield json.loads(line)


class Journal:
    """The open journal of the launcher that holds the experiment's lock."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._unwritten = b""
        self.path = path
        _cut_torn_line(self._descriptor)

    def write(self, event: str, time: float, **details: Any) -> OSError | None:
        """Append one event, in one write.

        On a full disk it is kept and written with the next one; the error is returned, since the runs go on.
        """
        self._unwritten += _line({"time": round(time, 3), "event": event, **details})
        return self._flush()

    def close(self) -> None:
        """Close the file; writing again is an error."""
        if self._unwritten:
            self._flush()
        os.close(self._descriptor)

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
        return None


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _cut_torn_line(descriptor: int) -> None:
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
