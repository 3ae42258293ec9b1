"""W&B's own files (`run-ID.wandb`): the history that a script logged with `WANDB_MODE=offline`, or
online, without W&B.

The format is LevelDB's log (blocks of 32 KiB with records that may span them) after a header of 7
bytes; every record is a protobuf message `Record` of W&B's `wandb_internal.proto`, of which
`history` alone is read here. A file that is being written ends in half a record, which is left out.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b":W&B"
_HEADER_BYTES = 7
_BLOCK_BYTES = 1 << 15
_RECORD_HEAD = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# Numbers of fields in wandb_internal.proto.
_HISTORY, _ITEM, _STEP = 2, 1, 2
_KEY, _NESTED_KEY, _BOOLEAN, _INTEGER, _NUMBER, _VALUE_JSON = 1, 2, 4, 5, 6, 16
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5

Field = tuple[int, bytes | int]
"""Number and content of one field of a message."""


def read_history(path: str) -> list[dict[str, float]]:
    """Return the rows that were logged, with `step`; `ValueError` where the file is none of
    W&B's."""
    data = Path(path).read_bytes()
    if not data.startswith(_MAGIC):
        raise ValueError("is no file of W&B's")
    rows = []
    for record in _records(data):
        try:
            rows += [_row(content) for number, content in _fields(record) if number == _HISTORY]
        except (ValueError, OverflowError, IndexError, struct.error):
            continue  # half a record, or one of a later version
    return [row for row in rows if len(row) > 1]


def _records(data: bytes) -> Iterator[bytes]:
    position, parts = _HEADER_BYTES, b""
    while position + _RECORD_HEAD.size <= len(data):
        room = _BLOCK_BYTES - position % _BLOCK_BYTES
        if room < _RECORD_HEAD.size:  # too little for a head: padding
            position += room
            continue
        _, length, kind = _RECORD_HEAD.unpack_from(data, position)
        position += _RECORD_HEAD.size
        part = data[position : position + length]
        position += length
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or len(part) < length:
            return
        parts = part if kind in (_FULL, _FIRST) else parts + part
        if kind in (_FULL, _LAST):
            yield parts


def _row(history: bytes | int) -> dict[str, float]:
    if not isinstance(history, bytes):
        raise ValueError("a history is no number")  # noqa: TRY004  (of a later version of the format)
    row: dict[str, float] = {}
    for number, content in _fields(history):
        if number == _STEP and isinstance(content, bytes):
            row["step"] = float(
                next((value for _, value in _fields(content) if isinstance(value, int)), 0)
            )
        elif number == _ITEM and isinstance(content, bytes):
            _add_item(row, content)
    return row


def _add_item(row: dict[str, float], item: bytes) -> None:
    names: list[str] = []
    value: float | None = None
    for number, content in _fields(item):
        if number in (_KEY, _NESTED_KEY) and isinstance(content, bytes):
            names.append(content.decode("utf-8", "replace"))
        elif number in (_BOOLEAN, _INTEGER) and isinstance(content, int):
            value = float(content - (1 << 64) if content >> 63 else content)
        elif number == _NUMBER and isinstance(content, bytes):
            value = float(struct.unpack("<d", content)[0])
        elif number == _VALUE_JSON and isinstance(content, bytes):
            _add_json(row, "/".join(names), json.loads(content))
    name = "/".join(names)
    if value is not None and not name.startswith("_"):  # _runtime, _timestamp, _step are W&B's
        row[name] = value


def _add_json(row: dict[str, float], name: str, value: object) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _add_json(row, f"{name}/{key}", inner)
    elif isinstance(value, (int, float)) and not name.startswith("_"):
        row[name] = float(value)
    elif value in ("NaN", "Infinity", "-Infinity") and not name.startswith("_"):
        row[name] = float(str(value))


def _fields(message: bytes) -> Iterator[Field]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        content: bytes | int
        if kind == _VARINT:
            content, position = _varint(message, position)
        else:
            if kind == _BYTES:
                length, position = _varint(message, position)
            elif kind in (_DOUBLE, _FLOAT):
                length = 8 if kind == _DOUBLE else 4
            else:
                raise ValueError(f"kind {kind} of a field is not known")
            content, position = message[position : position + length], position + length
        yield tag >> 3, content


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
