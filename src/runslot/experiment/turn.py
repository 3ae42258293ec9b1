"""Whose turn it is to decide, where several processes decide about one experiment.

The pilots of a search, and the launcher beside them, take turns: who has one reads the journal to
its end, decides, and writes. A turn is a number, and a file of that name in `turns/`, made by
`link`, which holds on NFS too; it is given back by `rename`. Of a holder that is dead, or has had
it for too long, nothing is removed: whoever takes the next number has the turn, and only one can.
What must stay true: the highest number is never removed, and who finds a higher one than its own
writes nothing any more; what it wrote at that very moment is passed over by readers (`in_turn`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runslot.errors import Busy, Damaged, RunslotError
from runslot.experiment.files import is_asked, open_to_append, read_json, sync_data
from runslot.experiment.journal import Journal, cut_torn_line, journal_line, last_turn
from runslot.experiment.processes import ProcessIdentity, identify, is_alive
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.shape import Shape

TURN_LIMIT_S = 60.0
"""Age from which a turn may be taken from its holder; a decision takes a second at most."""
_PATIENCE_S = 300.0
_LONGEST_PAUSE_S = 0.3
_LEFTOVER_S = 600.0
"""Age from which a file that became no turn is nobody's any more."""
_NAME = re.compile(r"(\d{8,18})(\.free)?")
_HOLDER = Shape({"host": "str", "boot_id": "str", "pid": "int", "start_time": "int"})


class TurnLost(RunslotError):
    """Another process has the turn by now: what was decided in it is void."""


class Turn:
    """The turns of one experiment, as this process takes them; one thread at a time."""

    def __init__(self, place: Path, journal: Path) -> None:
        self._place = place
        self._journal = journal
        self._process = identify()
        self._depth = 0
        self.number = 0
        """Of the turn that this process has, or had last."""

    @property
    def is_taken(self) -> bool:
        """Whether this process has the turn, as far as it knows."""
        return self._depth > 0

    @contextlib.contextmanager
    def taken(self, patience: float = _PATIENCE_S) -> Iterator[None]:
        """Have the turn inside; `Busy` where it cannot be had for so many seconds."""
        if not self._depth:
            self._take(patience)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._give_back()

    def require(self) -> None:
        """Raise `TurnLost` where another process has taken the turn."""
        if self._highest() != (self.number, False):
            raise TurnLost(f"turn {self.number} of {self._place} was taken by another process")

    # ---- taking and giving back ------------------------------------------------------------------

    def _take(self, patience: float) -> None:
        self._place.mkdir(exist_ok=True)
        end = time.monotonic() + patience
        pause = 0.01
        while not self._try():
            if time.monotonic() > end:
                raise Busy(
                    f"another process decides about {self._place.parent} for {patience:g} s "
                    f"already ({self._holder_said()})"
                )
            time.sleep(pause * (0.5 + random.random()))  # noqa: S311  so that two do not keep step
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _try(self) -> bool:
        # Made before the directory is listed: an NFS client that changes a directory sees what
        # others changed in it.
        note = self._place / f".{self._process.host}.{self._process.pid}.{secrets.token_hex(4)}"
        note.write_text(json.dumps(dataclasses.asdict(self._process)))
        try:
            before, is_free = self._highest()
            if before and not is_free and not self._is_stale(before, note.stat().st_mtime):
                return False
            # Where `turns/` was removed, readers know of higher ones than it does.
            number = 1 + (before or last_turn(self._journal))
            if not _link(note, self._file(number)):
                return False
        finally:
            note.unlink(missing_ok=True)
        if self._highest() != (number, False):  # others came and went since it was listed
            self._file(number).unlink(missing_ok=True)
            return False
        self.number = number
        self._remove_older()
        return True

    def _give_back(self) -> None:
        file = self._file(self.number)
        with contextlib.suppress(FileNotFoundError):  # it was taken away
            file.rename(file.with_name(f"{file.name}.free"))

    def _file(self, number: int) -> Path:
        return self._place / f"{number:08}"

    def _highest(self) -> tuple[int, bool]:
        """Return the highest turn, and whether it was given back."""
        names = os.listdir(self._place)  # noqa: PTH208
        turns = [match for name in names if (match := _NAME.fullmatch(name))]
        return max(((int(match[1]), match[2] is not None) for match in turns), default=(0, True))

    def _is_stale(self, number: int, now: float) -> bool:
        """Tell whether the holder is dead, or has had its turn for too long, by the clock of the
        file system (`now`).
        """
        file = self._file(number)
        try:
            age = now - file.stat().st_mtime
            holder = _holder_of(file)
        except FileNotFoundError:  # given back at this moment
            return False
        return age > TURN_LIMIT_S or (holder is not None and is_alive(holder) is False)

    def _holder_said(self) -> str:
        holder = _holder_of(self._file(self._highest()[0]))
        return "it does not say which" if holder is None else f"{holder.pid} on {holder.host}"

    def _remove_older(self) -> None:
        """Remove what earlier turns left, and files of processes that were killed as they asked."""
        now = self._file(self.number).stat().st_mtime
        with os.scandir(self._place) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                with contextlib.suppress(FileNotFoundError):
                    is_older = match is not None and int(match[1]) < self.number
                    if is_older or (
                        entry.name.startswith(".") and now - entry.stat().st_mtime > _LEFTOVER_S
                    ):
                        os.unlink(entry.path)  # noqa: PTH108


def _link(note: Path, file: Path) -> bool:
    try:
        os.link(note, file)
    except FileExistsError:
        # An NFS server that is asked twice, since its first answer was lost, says so of our own.
        return note.stat().st_nlink == 2
    return True


def _holder_of(file: Path) -> ProcessIdentity | None:
    """Return who made a turn; None where the file does not say, as after a power cut."""
    try:
        value = read_json(file)
        if value is None:
            return None
        _HOLDER.check(value)
    except Damaged:
        return None
    return ProcessIdentity(value["host"], value["boot_id"], value["pid"], value["start_time"])


class SharedJournal(Journal):
    """The journal of an experiment about which several processes decide: each writes in its turn.

    What is written in one turn is written at its end, at once: all of it or nothing.
    """

    def __init__(self, place: Path, path: Path) -> None:
        self.turn = turn = Turn(place, path)
        self.writer = secrets.token_hex(4)
        """Stands in all events that this process writes (`by`)."""
        self._lines: list[bytes] = []
        with turn.taken():  # what opens it cuts off a torn line, which must be nobody's at work
            super().__init__(path)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn inside; what was decided is on the disk afterwards, or `TurnLost`."""
        with self.turn.taken():
            try:
                yield
                self.commit()
            finally:
                self._lines.clear()

    def write(self, event: str, time: float, **details: Any) -> OSError | None:
        """Note an event for the end of the turn; outside of one, write it in a turn of its own."""
        if not self.turn.is_taken:
            with self.taken():
                return self.write(event, time, **details)
        record = {"time": round(time, 3), "event": event, **details}
        record |= {"turn": self.turn.number, "by": self.writer}
        self._lines.append(journal_line(record))
        return None

    def commit(self) -> None:
        """Write what was decided so far; `TurnLost` where the turn is another process's by then."""
        if not self._lines:
            return
        self.turn.require()
        # Opened for each turn: a network disk shows what others wrote to whoever opens a file.
        descriptor = open_to_append(self.path, os.O_RDWR)
        try:
            cut_torn_line(descriptor)
            size = os.fstat(descriptor).st_size
            data = memoryview(b"".join(self._lines))
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            if is_asked():
                sync_data(descriptor)
        finally:
            os.close(descriptor)
        self._lines.clear()
        self.turn.require()

    def sync_when_due(self, now: float) -> None:
        """Do nothing: what was written is on the disk."""

    def sync(self) -> None:
        """Do nothing: what was written is on the disk."""

    def renew(self) -> None:
        """Write under another name from here on, as if this were another process."""
        self.writer = secrets.token_hex(4)


def stop_file(experiment: ExperimentDir) -> Path:
    """Return the file that says that the pilots are to ask for nothing further."""
    return experiment.turns / "stop"
