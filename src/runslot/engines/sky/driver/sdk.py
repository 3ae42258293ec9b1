"""SkyPilot's module, and how it is said what it refuses. Loaded in the driver's process alone."""

from __future__ import annotations

import os
import re
import sys
from typing import Any


class Refused(Exception):
    """What was asked is not had; `kind` is `invalid`, `missing` (no SDK) or `later` (trying again
    can help).
    """

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind


def sdk() -> Any:
    """Return SkyPilot's module."""
    os.environ.setdefault("SKYPILOT_DISABLE_USAGE_COLLECTION", "1")
    try:
        import sky
    except ImportError as error:
        raise Refused("missing", f"{sys.executable} has no SkyPilot ({error})") from error
    return sky


def of(record: Any, key: str) -> Any:
    """Return a field of what SkyPilot answered, which is a mapping or an object by its version."""
    return record[key] if isinstance(record, dict) else getattr(record, key)


def first_line(error: BaseException) -> str:
    """Return what an error of SkyPilot's says, in a line, with the reasons of the places that it
    tried.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    reasons = {
        str(each).strip().splitlines()[0]
        for each in getattr(error, "failover_history", None) or ()
        if str(each).strip()
    }
    return f"{said} ({'; '.join(sorted(reasons))})" if reasons else said
