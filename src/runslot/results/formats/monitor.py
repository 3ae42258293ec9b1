"""Monitors of OpenAI Baselines and Stable-Baselines3: a line of JSON above the header says task and
start."""

from __future__ import annotations

import json
from typing import Any

from runslot.results.formats.files import first_line

_HEAD_BYTES = 1 << 14


def monitor_head(line: str) -> dict[str, Any]:
    """Return what the first line of a monitor says; nothing where it does not."""
    try:
        head = json.loads(line.removeprefix("\ufeff").lstrip("# "))
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}


def monitor_task(file: str) -> dict[str, str]:
    """Return the environment of a monitor as a parameter."""
    task = monitor_head(first_line(file, _HEAD_BYTES)).get("env_id")
    return {"env_id": task} if isinstance(task, str) and task not in {"", "None"} else {}


def monitor_start(head: bytes) -> float | None:
    """Return when a monitor was started, from the bytes before its rows: `t` counts from there."""
    start = monitor_head(head.lstrip().partition(b"\n")[0].decode("utf-8", "replace")).get(
        "t_start"
    )
    return float(start) if isinstance(start, int | float) and not isinstance(start, bool) else None
