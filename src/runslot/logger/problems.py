"""What the logger could not do: said once, counted, and left for the run's outcome; the training
goes on.

Said on standard error and not with `warnings`, which a script may have turned into exceptions.

What a script may ask of its logger beyond the ancestors' settings.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runslot.errors import InvalidInput, RunslotError, nearest
from runslot.experiment.current import where_now
from runslot.experiment.files import read_json, write_json
from runslot.experiment.records import LoggerSettings
from runslot.experiment.rundir import RunDir
from runslot.logger.console import MODES as CONSOLE_MODES
from runslot.logger.snapshots import MODES as SNAPSHOT_MODES
from runslot.record import record

OnError = Literal["warn", "raise"]


@dataclass
class _Problem:
    first: str
    count: int = 1
    lost: int = 0
    solved: bool = False


class Problems:
    """Counts what went wrong, by the thing that it went wrong with."""

    def __init__(self) -> None:
        self.on_error: OnError = "warn"
        self._by_thing: dict[str, _Problem] = {}
        self._kinds_told: set[str] = set()
        self._directory: Path | None = None
        self._saved: list[str] = []
        self._lock = threading.RLock()  # a sink's thread and a signal's handler meet some, too

    def report_to(self, directory: Path | None) -> None:
        """Leave the problems in this run directory from now on."""
        self._directory = directory

    def met(self, thing: str, error: BaseException | str, *, lost: int = 0) -> None:
        """Count one failure with `thing`; say it the first time. `lost`: rows or lines that are
        gone for good.
        """
        with self._lock:
            problem = self._by_thing.get(thing)
            if problem is not None:
                problem.count += 1
                problem.lost += lost
                problem.solved = False
                return
            text = str(error) or type(error).__name__
            self._by_thing[thing] = _Problem(first=text, lost=lost)
            self.say(f"{thing}: {text}; the run goes on, and this is said once")
            self.save()

    def solved(self, thing: str) -> None:
        """Note that all that was held back for `thing` has been written since."""
        with self._lock:
            if thing in self._by_thing:
                self._by_thing[thing].solved = True

    def say_once(self, kind: str, text: str) -> None:
        """Warn of something that is no failure, the first time it is of this kind."""
        if kind not in self._kinds_told:
            self._kinds_told.add(kind)
            self.say(text)

    @staticmethod
    def say(text: str) -> None:
        """Write a line to standard error, if there is one."""
        try:
            print(f"runslot.logger: {text}", file=sys.stderr, flush=True)
        except (OSError, ValueError):
            pass  # closed: there is nobody to tell

    def sentences(self) -> list[str]:
        """Return one sentence for each thing that had problems."""
        return [_sentence(thing, problem) for thing, problem in self._by_thing.items()]

    def save(self) -> None:
        """Write the sentences into the run directory, beside those of other processes, if that can
        be done.
        """
        with self._lock:
            if self._directory is None or not self._by_thing:
                return
            run_dir = RunDir(where_now(self._directory))
            file, sentences = run_dir.logger_problems, self.sentences()
            try:
                earlier = (read_json(file) or {}).get("problems", [])
                others = [text for text in earlier if text not in self._saved]
                write_json(file, {"problems": others + sentences})
                self._saved = sentences
            except (OSError, RunslotError):
                pass  # the disk that is full: tried again at the next problem and at the end

    def after_fork(self) -> None:
        """In the child: what the parent met is the parent's to report."""
        self._lock = threading.RLock()
        self._by_thing.clear()
        self._saved.clear()


def _sentence(thing: str, problem: _Problem) -> str:
    times = "once" if problem.count == 1 else f"{problem.count} times"
    text = f"{thing}: failed {times} ({problem.first})"
    if problem.lost:
        return f"{text}; {problem.lost} lost"
    return f"{text}; written since" if problem.solved else text


# ---- options -------------------------------------------------------------------------------------


@record
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
