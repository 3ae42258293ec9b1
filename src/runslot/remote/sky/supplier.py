"""The thread that takes runs for this machine from what nobody has, and gives them to its worker.

What waits for the bucket waits here: a worker whose slots are full knows nothing of it. A run that
another machine had comes with what that had sent; one that another machine has taken since, as this
one was believed to be lost, is stopped, and nothing further of it is sent.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from runslot.engines.sky.tasks import Job
from runslot.errors import RunslotError
from runslot.record import record
from runslot.remote.sky.lifetime import say
from runslot.remote.sky.mailbox import Mailbox
from runslot.remote.supply import lines_of, send
from runslot.transport.bucket import Inventory, MachineShare, Pusher, pull
from runslot.transport.bucket.inventory import read_listing
from runslot.transport.bucket.pool import Pool
from runslot.transport.bucket.store import Store

_AGAIN_S = 20.0
"""Seconds after which a machine with room looks again for what others have left."""
_LOOK_S = 60.0
"""Seconds between looks whether another machine has taken runs of this one."""
_PAUSE_S = 1.0


@record
class Holdings:
    """Where this machine's runs come from, and what knows of them."""

    job: Job
    store: Store
    root: Path
    pool: Pool
    pusher: Pusher
    mailbox: Mailbox
    directories: Mapping[str, str]
    """By id, of all runs of the batch."""
    attempts: Mapping[str, int]
    """By id: the attempt that was asked for."""
    earlier: dict[str, Inventory] = field(default_factory=dict)
    """Lists of shares of earlier batches, by name, once they were read: they do not change."""
    refused: set[str] = field(default_factory=set)
    """Ids of runs that were asked to stop, and were tried to be taken for that."""

    def open_runs(self) -> list[str]:
        """Return the runs that this machine has and is not done with."""
        return [run for run in self.pool.held if run not in self.pusher.over]

    def take(self, most: int) -> list[str]:
        """Take up to so many runs, with what is known of them; nothing where nothing is left."""
        stopped = self.mailbox.request.runs
        besides = {run for run, path in self.directories.items() if path in stopped}
        runs = self.pool.take(most, besides)
        if runs:
            self.bring([self.directories[run] for run in runs])
            self._list(runs)
        return runs

    def bring(self, runs: Sequence[str]) -> None:
        """Bring what machines before have sent of these runs, by their directories."""
        prefixes = tuple(f"{run}/" for run in runs)
        shares = [share for share in self.job.share.batch_shares if share != self.job.share]
        for share in (*self.job.earlier, *shares):
            listing = self._listing(share)
            if any(path.startswith(prefixes) for path in listing.files):
                brought = pull(
                    self.store,
                    share,
                    self.root,
                    None,
                    lambda path: path.startswith(prefixes),
                    listing,
                )
                say(f"restored {brought.files} files, {brought.size} bytes, of {share.name}")

    def _listing(self, share: MachineShare) -> Inventory:
        if share.batch == self.job.share.batch:
            return read_listing(self.store, share)
        if share.name not in self.earlier:
            self.earlier[share.name] = read_listing(self.store, share)
        return self.earlier[share.name]

    def settle_untaken(self) -> bool:
        """Take the runs that were asked to stop and that nobody has, and say that they are stopped;
        tell whether there were any.
        """
        stopped = self.mailbox.request.runs
        stops = [run for run, path in self.directories.items() if path in stopped]
        runs = []
        for run in stops:
            if run not in self.refused and self.pool.take_untaken(run):
                runs.append(run)
            self.refused.add(run)
        if runs:
            self.bring([self.directories[run] for run in runs])
            self.refuse(runs)
        return bool(runs)

    def refuse(self, runs: Sequence[str]) -> None:
        """Say of runs that this machine has, and has not begun, that they are stopped."""
        self.mailbox.refuse([self.directories[run] for run in runs])
        self._list(runs)
        self.end(runs)

    def end(self, runs: Iterable[str]) -> None:
        """Note runs of which nothing further comes."""
        self.pusher.over.update({run: self.directories[run] for run in runs})

    def give_up(self) -> list[str]:
        """Return the runs that others have taken since; nothing further of them is sent."""
        lost = self.pool.lost()
        for run in lost:
            say(f"{self.directories[run]} was taken by another machine")
            self.pusher.leave(self.directories[run])
        self.pusher.turns = dict(self.pool.held)
        return lost

    def _list(self, runs: Sequence[str]) -> None:
        self.pusher.turns = dict(self.pool.held)
        self.pusher.add([self.directories[run] for run in runs])


class Supplier:
    """Serves one worker, until nothing is left or `close` is called."""

    def __init__(
        self, link: socket.socket, holdings: Holdings, changed: Callable[[], None]
    ) -> None:
        """Begin; `changed` is called where something should be sent soon."""
        self.given_up: set[str] = set()
        """Ids of runs that the worker is to stop, since another machine has them."""
        self._link = link
        self._holdings = holdings
        self._changed = changed
        self._room = 0
        self._busy = True
        self._wish = threading.Event()
        self._closed = False
        self.has_ended = False
        """Whether the worker was told that nothing is left."""
        threading.Thread(target=self._hear, name="worker's wishes", daemon=True).start()
        self._thread = threading.Thread(target=self._loop, name="supplier", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take nothing further; returns at once."""
        self._closed = True
        self._wish.set()

    def join(self, timeout: float) -> None:
        """After `close`: wait until the thread has ended, so long at most."""
        self._thread.join(timeout)

    def _hear(self) -> None:
        for line in lines_of(self._link):
            if "over" in line:
                self._holdings.end([line["over"]])
            if "room" in line:
                self._room, self._busy = line["room"], line["busy"] > 0
                self._wish.set()
        self.close()

    def _loop(self) -> None:
        pause, last_look = _PAUSE_S, time.monotonic()
        passed = last_look
        while not self._closed:
            self._wish.wait(pause)
            self._wish.clear()
            try:
                if self._holdings.settle_untaken():
                    self._changed()
                # At once where it was away for long, or the bucket was: it may count as lost.
                now, silence = time.monotonic(), self._holdings.job.silence
                if now - last_look >= _LOOK_S or now - passed >= silence / 3:
                    last_look = now
                    self.given_up |= set(self._holdings.give_up())
                pause, passed = self._supply(), time.monotonic()
            except RunslotError as error:
                say(f"{error}; taking runs again later")
                pause = 10.0
            except Exception as error:  # noqa: BLE001  a thread has no caller: it says so, and tries again
                say(f"taking runs failed: {type(error).__name__}: {error}")
                pause = 10.0

    def _supply(self) -> float:
        """Give the worker what it has room for; return how many seconds to wait."""
        room, is_idle = self._room, not self._busy
        if not room or self._closed:
            return _PAUSE_S
        runs = self._holdings.take(room)
        if runs:
            self._room, self._busy = room - len(runs), True
            attempts = self._holdings.attempts
            send(self._link, {"runs": [[run, attempts[run]] for run in runs]})
            self._holdings.mailbox.worker_directories |= {
                self._holdings.directories[run] for run in runs
            }
        elif is_idle:
            say("nothing is left to do")
            self.has_ended = send(self._link, {"end": True})
            self.close()
        return _PAUSE_S if runs else _AGAIN_S
