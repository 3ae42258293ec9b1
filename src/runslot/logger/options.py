"""What a script may ask of its logger beyond the ancestors' settings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runslot.errors import InvalidInput, nearest
from runslot.experiment.records import LoggerSettings
from runslot.logger.console import MODES as CONSOLE_MODES
from runslot.logger.problems import OnError
from runslot.logger.snapshots import MODES as SNAPSHOT_MODES


@dataclass(frozen=True)
class Options:
    """How the logger writes and prints; see `configure`."""

    on_error: OnError = "warn"
    """Whether a file that cannot be written is said and counted, or raised."""
    fsync: bool = False
    """Rows and snapshots survive a power cut, at the disk's speed; a kill of the process they
    survive anyway.
    """
    async_snapshots: bool = False
    """Write snapshots in a thread, at most one at a time."""
    keep_last: int = 0
    """How many numbered snapshots stay; 0: all."""
    console: str = "table"
    """`table`, `line`, `quiet` (no rows) or `silent` (nothing)."""

    def __post_init__(self) -> None:
        checked("on_error", self.on_error, ("warn", "raise"))
        checked("console", self.console, CONSOLE_MODES)
        at_least("keep_last", self.keep_last, 0)


def check_settings(settings: LoggerSettings) -> LoggerSettings:
    """Return a front door's settings, or refuse them."""
    checked("snapshot mode", settings.snapshot_mode, SNAPSHOT_MODES)
    at_least("snapshot_gap", settings.snapshot_gap, 1)
    return settings


def checked(name: str, value: str, words: Collection[str]) -> str:
    """Return a word that is one of `words`, or refuse it."""
    if value not in words:
        raise InvalidInput(
            f"logger: no {name} {value!r}{nearest(str(value), words)}; known: {', '.join(words)}"
        )
    return value


def at_least(name: str, value: int, least: int) -> int:
    """Return a whole number that is large enough, or refuse it."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < least:
        raise InvalidInput(f"logger: {name} is a whole number, {least} or more; got {value!r}")
    return value.__index__()
