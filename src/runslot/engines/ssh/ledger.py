"""The books on one host: which attempts are there, as far as its launcher knows, and how each
stands.

Asked and changed by the launcher's thread and by the host's own; every method is one step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from runslot.engines.protocol import Handle
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir

Key = tuple[str, int]
"""Run id and attempt."""


@dataclass
class Entry:
    """An attempt on this host."""

    run: Run
    attempt: int
    handle: Handle
    slot: int | None = None
    """Of this host, by index there; None where an earlier launcher started it."""
    state: Literal["asked", "running", "ended", "done"] = "running"
    """`asked`: whether it was started is not known; `ended`: there, but not yet home; `done`:
    `outcome` can be told.
    """
    outcome: Outcome | None = None
    is_whole: bool = True
    """Whether all of its files came home, once it is."""

    @property
    def key(self) -> Key:
        """Run id and attempt."""
        return self.run.id, self.attempt


@dataclass
class Found:
    """What the host said when it was last connected."""

    running: set[Key] = field(default_factory=set)
    ended: dict[Key, Outcome] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Found:
        """Return what stands in the answer to `open`."""
        ended = {
            (run, attempt): Outcome.from_json(outcome) for run, attempt, outcome in answer["ended"]
        }
        return cls({(run, attempt) for run, attempt in answer["running"]}, ended)


class Books:
    """All entries of one host."""

    def __init__(self, host: str, expected: Iterable[Key]) -> None:
        """`expected` are attempts that an earlier launcher may have left there."""
        self._host = host
        self._lock = threading.RLock()
        self._entries: dict[Key, Entry] = {}
        self._expected = set(expected)
        self._stops: dict[Key, bool] = {}
        self._vacant: list[Key] = []
        self._early: dict[Key, Outcome] = {}
        """Ends that were heard between the answer to `open` and `adopt`: they are said once."""
        self.stock = Found()

    def expected(self) -> set[Key]:
        """Return the attempts that may run there; any other was given up."""
        with self._lock:
            return self._expected | {
                key for key, entry in self._entries.items() if entry.state != "done"
            }

    def watching(self) -> bool:
        """Whether there is any entry that has not ended."""
        with self._lock:
            return any(entry.state != "done" for entry in self._entries.values())

    def under_way(self) -> list[Entry]:
        """Return the entries of which something may have to come home."""
        with self._lock:
            return [entry for entry in self._entries.values() if entry.state != "done"]

    def ended(self) -> list[Entry]:
        """Return those that have ended there, and are not home."""
        with self._lock:
            return [entry for entry in self._entries.values() if entry.state == "ended"]

    def ask(self, run: Run, run_dir: RunDir, attempt: int, slot: int) -> Entry:
        """Note that a start is asked for."""
        entry = Entry(run, attempt, Handle(run_dir, attempt, f"@{self._host}"), slot, "asked")
        with self._lock:
            self._entries[entry.key] = entry
        return entry

    def started(self, entry: Entry, name: str = "") -> Handle:
        """Note that it was, under the host's own `name` for it, unless its handle is known
        already.
        """
        with self._lock:
            if name:
                entry.handle = replace(entry.handle, name=f"{name}@{self._host}")
            if entry.state == "asked":  # it may have ended already
                entry.state = "running"
            return entry.handle

    def drop(self, entry: Entry) -> None:
        """Note that it was not started."""
        with self._lock:
            self._entries.pop(entry.key, None)

    def adopt(self, run: Run, run_dir: RunDir, attempt: int, connected: bool) -> Handle | None:
        """Take over an attempt that an earlier launcher started; None where the host, `connected`,
        does not know it.
        """
        key = (run.id, attempt)
        with self._lock:
            ended = self._early.pop(key, None) or self.stock.ended.get(key)
            if connected and ended is None and key not in self.stock.running:
                return None
            handle = Handle(run_dir, attempt, f"@{self._host}")
            state: Literal["running", "ended"] = "running" if ended is None else "ended"
            self._entries[key] = Entry(run, attempt, handle, None, state, ended)
            return handle

    def end(self, key: Key, outcome: Outcome) -> None:
        """Note that an attempt ended there, also one that has yet to be adopted."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None and key in self._expected:
                self._early[key] = outcome
            elif entry is not None and entry.state in {"asked", "running"}:
                entry.state, entry.outcome = "ended", outcome
                if outcome.kind == "succeeded":
                    self._vacant.append(key)

    def take_vacant(self) -> list[Handle]:
        """Return which have ended well and left their slots, once."""
        with self._lock:
            vacant, self._vacant = self._vacant, []
            return [self._entries[key].handle for key in vacant if key in self._entries]

    def settle(self, stock: Found) -> tuple[bool, list[Entry]]:
        """Take in what a new connection found; return whether all is as the books say, and what was
        never started.

        It is not where something runs there that was given up while the connection was being made.
        """
        with self._lock:
            if not self.expected().issuperset(stock.running):
                return False, []
            self.stock = stock
            entries = [
                entry for entry in self._entries.values() if entry.state in {"asked", "running"}
            ]
            return True, [entry for entry in entries if not self._settle(entry, stock)]

    def _settle(self, entry: Entry, stock: Found) -> bool:
        if entry.key in stock.running:
            entry.state = "running"
        elif entry.key in stock.ended:
            entry.state, entry.outcome = "ended", stock.ended[entry.key]
        elif entry.slot is not None and entry.state == "asked":
            return False
        else:
            message = f"host {self._host} knows nothing of it any more"
            entry.state, entry.outcome = (
                "ended",
                Outcome("lost", entry.attempt, host=self._host, message=message),
            )
        return True

    def ask_stop(self, handles: Collection[Handle], kill: bool) -> None:
        """Note that these are to stop, or to be killed: it is said again after a new connection."""
        with self._lock:
            self._stops |= {
                entry.key: kill for entry in self._entries.values() if entry.handle in handles
            }

    def stops(self) -> dict[bool, list[Key]]:
        """Return what is to stop and still runs: asked to, and to be killed."""
        with self._lock:
            alive = [
                key for key, entry in self._entries.items() if entry.state in {"asked", "running"}
            ]
            return {
                kill: [key for key in alive if self._stops.get(key) is kill]
                for kill in (False, True)
            }

    def conclude(self, entry: Entry, note: str, write: Callable[[Entry], None]) -> bool:
        """Let an entry that is home be told of, once `write` has noted its outcome; False where it
        was given up.
        """
        with self._lock:
            if entry.state != "ended" or entry.outcome is None:
                return False
            if note:
                entry.outcome = replace(entry.outcome, notes=(*entry.outcome.notes, note))
                entry.is_whole = False
            write(entry)
            entry.state = "done"
            self._expected.discard(entry.key)
            return True

    def give_up(self, message: str) -> list[Entry]:
        """Account all as lost; return them."""
        with self._lock:
            given_up = [entry for entry in self._entries.values() if entry.state != "done"]
            for entry in given_up:
                entry.state = "done"
                entry.outcome = Outcome(
                    "lost", entry.attempt, ended=time.time(), host=self._host, message=message
                )
                self._expected.discard(entry.key)
            return given_up

    def take_done(self) -> dict[Handle, Outcome]:
        """Return what can be told, once."""
        with self._lock:
            done = [
                entry
                for entry in self._entries.values()
                if entry.state == "done" and entry.outcome is not None
            ]
            for entry in done:
                del self._entries[entry.key]
                self._stops.pop(entry.key, None)
            return {entry.handle: entry.outcome for entry in done if entry.outcome is not None}
