"""What runs on a host have written, on its way home: round by round, and the outcome at last."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.ssh.connection import Connection
from runslot.engines.ssh.ledger import Books, Entry
from runslot.errors import RunslotError
from runslot.experiment.files import write_json
from runslot.transport.contents import HostClone, home_options, incoming, remove_gone
from runslot.transport.parcel import Packed
from runslot.transport.patterns import comes_home
from runslot.transport.scan import Change, in_order, stays_inside
from runslot.transport.ssh import Host, HostError

_ANSWER = 60.0
"""Seconds that the host has to look at its runs' directories."""
_REST = 5.0
"""How many times as long as they took large files rest, while their runs go on: they change with
every round.
"""
_HEAD_START_S = 0.03
"""From the end of a run to the way home of its files, in which the next run starts."""
_TRIES = 3
"""How often a round may leave files behind before a run is told to have ended without them."""


class Homecoming:
    """The way home from one host."""

    def __init__(
        self, host: Host, experiment: OpenExperiment, books: Books, sync_every: float
    ) -> None:
        self._host = host
        self._sync_every = sync_every
        self._next = 0.0
        """On the monotonic clock: when to look for what changed, though nothing has ended."""
        self._last_end = 0.0
        self._experiment = experiment
        self._base = Path(experiment.directory.runs_base(experiment.file))
        self._books = books
        self._files = threading.Lock()
        """Held while files are written here: who gives the host up waits for it."""
        self._came = False
        """Whether all that was offered last came home."""
        self._large_from = 0.0
        """On the monotonic clock: when large files may come again, of runs that go on."""
        self._failures = 0
        """How many rounds in a row left files of ended runs behind."""

    @property
    def moment(self) -> float:
        """When the next round is due, on the monotonic clock."""
        if not self._books.ended():
            return self._next
        return min(self._next, self._last_end + _HEAD_START_S)

    def hurry(self, seconds: float) -> None:
        """Have the next round within so many seconds."""
        self._next = min(self._next, time.monotonic() + seconds)

    def note_end(self) -> None:
        """Note that a run was heard to have ended just now."""
        self._last_end = time.monotonic()

    def begin(self) -> None:
        """Begin anew with a new remote end, which offers everything again."""
        self._came = False

    def round(self, connection: Connection, clone: HostClone) -> tuple[list[Entry], str]:
        """Bring home what has changed; return what has ended and is home, and why some of its
        files are not.

        `RunslotError` or `OSError` where it did not come home; the next round tries again.
        """
        self._next = time.monotonic() + self._sync_every
        entries = self._books.under_way()
        if not entries:
            return [], ""
        ended = [entry for entry in entries if entry.state == "ended"]
        runs = [entry.run.id for entry in entries]
        large = bool(ended) or time.monotonic() >= self._large_from
        answer = connection.ask("changes", runs=runs, home=self._came, large=large).wait(_ANSWER)
        self._came = False
        changes = [*self._unpack(answer["parcel"])]
        changes += [Change(run, path, size) for run, path, size in answer["changed"]]
        file = self._experiment.file
        note = self._fetch_all(
            [change for change in changes if comes_home(file, change.path)], clone
        )
        self._came = not note  # what a run was writing just now comes with the next round
        with self._files:
            remove_gone(
                self._base, self._directories(), [(run, path) for run, path in answer["gone"]]
            )
        if note and ended:
            over = {entry.run.id for entry in ended}
            note = self._fetch([change for change in changes if change.run in over], clone)
            self._failures = self._failures + 1 if note else 0
            if note and self._failures < _TRIES:
                raise RunslotError(note)
        return ended, note

    def conclude(self, ended: Sequence[Entry], note: str) -> list[Entry]:
        """Let these be told of, with a note of what did not come; return those that were not given
        up meanwhile.
        """
        return [entry for entry in ended if self._conclude(entry, note)]

    def _unpack(self, parcel: Sequence[list[Any]]) -> Iterator[Change]:
        """Write the files that came in the answer; yield those that could not be."""
        with self._files:
            directories = self._directories()
            waiting = incoming(self._experiment.directory)
            for packed in map(Packed.from_json, parcel):
                is_ours = comes_home(self._experiment.file, packed.path)
                if is_ours and not packed.put(self._base, directories, waiting):
                    yield Change(packed.run, packed.path, len(packed.data))

    def _fetch_all(self, changes: Sequence[Change], clone: HostClone) -> str:
        first, later = in_order(changes)
        note = self._fetch(first, clone)
        if later:
            began = time.monotonic()
            note = self._fetch(later, clone) or note
            self._large_from = time.monotonic() + _REST * (time.monotonic() - began)
        return note

    def stop(self, given_up: Sequence[Entry]) -> None:
        """Stop what is on its way, wait until it has, and note how these ended."""
        self._host.abort()
        with self._files:
            for entry in given_up:
                _write(entry)

    def _fetch(self, changes: Sequence[Change], clone: HostClone) -> str:
        """Bring files home, of runs that have not been given up meanwhile; return why some did not
        come.
        """
        with self._files:
            directories = self._directories()
            acceptable = [
                change
                for change in changes
                if change.run in directories and stays_inside(change.path)
            ]
            names = [f"{directories[change.run]}/{change.path}" for change in acceptable]
            try:
                if names:
                    self._host.pull(
                        clone.base, self._base, names, home_options(self._experiment.directory)
                    )
            except HostError as error:
                if not error.partial:
                    raise
                return f"some files did not come home: {error.reason}"
        return ""

    def _directories(self) -> dict[str, str]:
        return {entry.run.id: entry.run.directory for entry in self._books.under_way()}

    def _conclude(self, entry: Entry, note: str) -> bool:
        """Write the outcome of a run whose files are home: who sees it sees all the others."""
        with self._files:
            return self._books.conclude(entry, note, _write)


def _write(entry: Entry) -> None:
    assert entry.outcome is not None
    try:
        write_json(entry.handle.run_dir.outcome_file, entry.outcome.to_json())
    except OSError:  # the directory was deleted, or the disk is full: the journal has it
        pass
