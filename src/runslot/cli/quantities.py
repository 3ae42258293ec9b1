"""Lengths of time and amounts of memory as people write them: `90`, `10m`, `1h30m`; `8GB`, `512MiB`."""

from __future__ import annotations

import re
from typing import Any

from runslot.errors import InvalidInput
from runslot.launch.experiment import LONGEST_S

_TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"\d+(?:\.\d+)?"
TIME = rf"(?:{_NUMBER}|(?:{_NUMBER}\s*[smhd]\s*)+)"
"""What a length of time matches, as text."""

_PREFIXES = ("", "k", "m", "g", "t", "p")
MEMORY = rf"{_NUMBER}\s*(?:[kKMGTP]i?)?B"
"""What an amount of memory matches, as text."""


def parse_seconds(value: Any) -> float:
    """Return a length of time in seconds: a number is seconds, text has units (`45s`, `10m`, `1h30m`, `2d`)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= LONGEST_S else float("inf")
    elif isinstance(value, str) and re.fullmatch(TIME, value.strip()):
        parts = re.findall(rf"({_NUMBER})\s*([smhd]?)", value)
        seconds = sum(float(number) * _TIME_UNITS[unit or "s"] for number, unit in parts)
    else:
        raise InvalidInput(f"must be a length of time, such as 90 (seconds), 10m or 1h30m, not {value!r}")
    if not 0 < seconds <= LONGEST_S:
        raise InvalidInput(f"must be a length of time above 0 and below a hundred years, not {value!r:.40}")
    return seconds


def parse_memory(value: Any) -> int:
    """Return an amount of memory in bytes: a whole number is bytes, text has units (`8GB` = 8e9, `8GiB` = 8·2³⁰)."""
    if isinstance(value, int) and not isinstance(value, bool):
        amount = float(value) if abs(value) < 2**63 else float("inf")
    elif isinstance(value, str) and (match := re.fullmatch(rf"({_NUMBER})\s*([kKMGTP]?)(i?)B", value.strip())):
        number, prefix, binary = match.groups()
        amount = float(number) * (1024 if binary else 1000) ** _PREFIXES.index(prefix.lower())
    else:
        raise InvalidInput(f"must be an amount of memory, such as 8GB or 512MiB, not {value!r}")
    if not 1 <= amount < 2**63:
        raise InvalidInput(f"must be an amount of memory of at least 1B, not {value!r}")
    return int(amount)
