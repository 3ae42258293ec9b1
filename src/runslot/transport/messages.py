"""JSON lines between a launcher and the remote end on a host, marked, since a login shell may print
something too.

The launcher asks with a number and a verb (`open`, `reserve`, `release`, `start`, `stop`,
`changes`, `forget`); the remote end answers with that number, and says by itself what happened
(`ended`, `said`, `beat`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

BEAT = 3.0
"""Seconds between signs of life of the remote end, where it has nothing else to say."""
_MARK = b"\x01runslot "


def encode(message: Mapping[str, Any]) -> bytes:
    """Return one line; names that are not UTF-8 are kept as Python has them (lone surrogates)."""
    return _MARK + json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """Return the message of a line; None for anything else that was printed there."""
    at = line.find(_MARK)
    if at < 0:
        return None
    try:
        message = json.loads(line[at + len(_MARK) :])
    except ValueError:  # torn by the end of the connection
        return None
    return message if isinstance(message, dict) else None
