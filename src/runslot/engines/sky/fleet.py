"""The machines of one experiment, looked after to their end: rented, looked at, given back, and
what they write brought home.

One thread does it all, one question asks for all machines; what takes minutes, renting and giving
back, has a thread a machine. A machine that is lost is not rented anew from here: SkyPilot's
managed jobs do that, where they are asked for; otherwise the machines that are left take its runs,
as soon as home has said in the bucket that it is gone. Used by `launcher`.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runslot.engines.sky.client import Sight, SkyPilot
from runslot.engines.sky.rental import (
    NO_OUTCOME,
    Record,
    Rented,
    await_renting,
    bring,
    end_of,
    renting_file,
    write_record,
)
from runslot.engines.sky.tasks import settings_of
from runslot.errors import Busy, RunslotError
from runslot.experiment.files import open_to_append, write_atomically
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.states import Kind
from runslot.transport.bucket import Inventory, MachineShare
from runslot.transport.bucket.inventory import read_listing, read_stop_request, request_stop
from runslot.transport.bucket.store import Store

if TYPE_CHECKING:
    from runslot.engines.sky.config import Sky

_EAGER_S = 180.0
"""Seconds after a stop in which what has arrived is looked for often."""


@dataclass
class Rental:
    """One machine, and with managed jobs all that take its place."""

    rented: Rented
    is_renting: bool = True
    """Whether somebody rents it at this moment, or may."""
    is_ending: bool = False
    """Whether it is just given back."""
    is_stopping: bool = False
    """Whether it was asked to end all its runs."""
    over: str = ""
    """Kind of the outcome of runs that have none, once the machine is given up."""
    reason: str = ""
    recoveries: int = 0
    thread: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by who gives it back: the watcher and the launch's end may both come to it."""

    def given_up(self) -> bool:
        """Whether it has nothing further to do; another thread may say so at any moment."""
        return bool(self.over)

    @property
    def name(self) -> str:
        """SkyPilot's name for it, or its managed job's."""
        return self.rented.name


class Fleet:
    """All machines of one experiment that may still be rented."""

    def __init__(
        self,
        experiment: ExperimentDir,
        config: Sky,
        sky: SkyPilot,
        store: Store,
        record: Record,
        say: Callable[[str], None],
        tell: Callable[[], None],
    ) -> None:
        """`say` tells the user, `tell` wakes the launch: there is news."""
        self.record = record
        self._experiment = experiment
        self._config = config
        self._sky = sky
        self._store = store
        self._say = say
        self._tell = tell
        self._members: dict[str, Rental] = {}
        self._listings: dict[str, Inventory] = {}
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None
        self._books = threading.Lock()
        self._pull_due = 0.0
        self._eager_until = 0.0

    # ---- what the launch asks --------------------------------------------------------------------

    def rent(self, rented: Rented, task: Mapping[str, Any]) -> None:
        """Rent a machine for its task, and look after it."""
        member = self._add(rented)
        self._begin(member, lambda: self._rent(member, task))

    def take_up(self, rented: Rented) -> None:
        """Look after a machine that an earlier launch rented, unless that is done already."""
        if rented.handle in self._members:
            return
        member = self._add(rented)
        self._pull_due = 0.0
        if rented.alive:
            self._begin(member, lambda: self._adopt(member))
        else:
            member.is_renting = False
            member.over, member.reason = "lost", f"{member.name} is not rented"

    def __len__(self) -> int:
        return len(self._members)

    def listings(self, batch: str) -> list[Inventory]:
        """Return the lists of a batch's shares as they came home last."""
        return [self._listing(machine.share) for machine in self.record.batch(batch)]

    def stop(self, batch: str, runs: Collection[str] | None) -> None:
        """Ask the machines of a batch to end these runs, or all (None); returns when all are asked,
        or given up.

        A machine that has not begun has nothing to send: it is given back at once.
        """
        self._hurry()
        for member in self._of(batch):
            member.is_stopping = member.is_stopping or runs is None
            while not member.over and not self._ask(member, runs) and not self._closed.wait(5.0):
                pass

    def _ask(self, member: Rental, runs: Collection[str] | None) -> bool:
        share = member.rented.share
        try:
            if runs is None and not read_listing(self._store, share).machine:
                self._kill(member)
            else:
                request_stop(self._store, share, runs)
        except RunslotError as error:
            self._say(f"{error}; asking {member.name} again to stop")
            return False
        return True

    def kill(self, batch: str) -> None:
        """Give the machines of a batch back at once, with what they have not sent."""
        self._hurry()
        _side_by_side(self._kill, self._of(batch))

    def _kill(self, member: Rental) -> None:
        member.is_stopping = True
        self._give_up(member, "stopped", "its machine was given back at once")
        # this breaks the renting off; whatever comes of it is given back by who rents
        if member.is_renting:
            self._try_to_give_back(member)
        else:
            self._give_back(member)

    def end_of(self, batch: str) -> tuple[Kind, str] | None:
        """Return the kind of outcome of a batch's runs that have none, and why: None while one of
        its machines may do them.
        """
        members = self._of(batch)
        if not all(member.over for member in members):
            return None
        kinds = {member.over for member in members}
        reasons = dict.fromkeys(member.reason for member in members)
        if len(reasons) > 1:
            reasons.pop(NO_OUTCOME, None)
        is_stopped = kinds == {"stopped"} or any(member.is_stopping for member in members)
        return "stopped" if is_stopped else "lost", "; ".join(reasons)

    def close(self, batches: Collection[str], patience: float) -> None:
        """Look no longer. Give back what may still be rented of these batches, and what is given
        up; the other machines go on. Returns when it is, or after `patience` seconds.
        """
        self._closed.set()
        ended = [m for m in self._members.values() if m.over or m.rented.share.batch in batches]
        _side_by_side(lambda member: self._finish(member, patience), ended, patience)

    def _finish(self, member: Rental, patience: float) -> None:
        if member.is_renting:  # nothing is left for it to do: it need not come
            self._give_up(member, "lost", "its runs had ended before it came")
            self._try_to_give_back(member)
        if member.thread is not None:
            member.thread.join(patience)
        if member.rented.alive and not member.is_renting:
            self._give_back(member)

    def _of(self, batch: str) -> list[Rental]:
        return [m for m in list(self._members.values()) if m.rented.share.batch == batch]

    # ---- renting ---------------------------------------------------------------------------------

    def _add(self, rented: Rented) -> Rental:
        member = self._members[rented.handle] = Rental(rented)
        if self._watcher is None:
            self._pull_due = time.monotonic() + self._pull_interval
            self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
            self._watcher.start()
        return member

    def _begin(self, member: Rental, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  a thread has no caller: the runs' outcomes say it
                member.is_renting = False
                self._give_up(member, "lost", f"{type(error).__name__}: {error}")

        member.thread = threading.Thread(target=guarded, name=member.name, daemon=True)
        member.thread.start()

    def _rent(self, member: Rental, task: Mapping[str, Any]) -> None:
        rented = member.rented
        if member.given_up():
            return
        self._set(member, launched=(time.time(),))
        self._say(
            f"renting {rented.name}: {rented.what or rented.infra}, ${rented.price:.3f} an hour"
        )
        settings = settings_of(self._config, self._store.url, rented.seconds)
        try:
            with os.fdopen(
                open_to_append(renting_file(self._experiment, member.name)), "a"
            ) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._sky.rent(task, rented.name, settings, rented.managed, file.fileno())
        except RunslotError as error:
            member.is_renting = False
            self._give_back(member)
            log = self._experiment.path / "cloud" / "skypilot.log"
            self._give_up(member, "lost", f"{error}; more in {log}")
            return
        member.is_renting = False
        if member.given_up():  # stopped meanwhile, when there was nothing to give back yet
            self._give_back(member)
            return
        self._say(f"{rented.name} {'is in the hands of SkyPilot' if rented.managed else 'works'}")

    def _adopt(self, member: Rental) -> None:
        # Where who rents for a launch that has died is still at it: a machine that comes is not to
        # be missed.
        await_renting(
            self._experiment, member.name, lambda: self._say(f"{member.name} is still being rented")
        )
        member.is_renting = False
        if member.over:
            self._give_back(member)
            return
        try:
            is_stop = read_stop_request(self._store, member.rented.share).everything
        except RunslotError:  # who cannot reach the bucket will hear of it in plenty
            is_stop = False
        member.is_stopping = member.is_stopping or is_stop

    # ---- watching --------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Bring home what has arrived and look after all machines that work, until the launch is
        closed.
        """
        last_look = time.monotonic()
        while not self._closed.wait(1.0):
            try:
                if time.monotonic() >= self._pull_due:
                    self._pull_due = time.monotonic() + self._pull_interval
                    self._bring()
                for member in self._working():
                    self._look_at_list(member)
                if time.monotonic() - last_look >= self._config.look_interval:
                    last_look = time.monotonic()
                    self._look()
            except Exception as error:  # noqa: BLE001  a thread has no caller: it says so, and looks again
                self._say(f"{type(error).__name__}: {error}; looking again")

    @property
    def _pull_interval(self) -> float:
        pause = max(2.0, min(self._config.sync_interval / 2, 60.0))
        return min(pause, 5.0) if time.monotonic() < self._eager_until else pause

    def _hurry(self) -> None:
        self._eager_until, self._pull_due = time.monotonic() + _EAGER_S, 0.0

    def _bring(self) -> bool:
        """Bring home what has changed; False where it is not known what has arrived."""
        try:
            brought = bring(self._experiment, self.record, self._store)
        except Busy:
            return False  # whoever pulls brings it as well
        except (OSError, RunslotError) as error:
            self._say(f"{error}; pulling again later")
            return False
        self._listings = brought.listings
        if brought.files:
            self._tell()
        return True

    def _listing(self, share: MachineShare) -> Inventory:
        return self._listings.get(share.name, Inventory())

    def _working(self) -> list[Rental]:
        members = list(self._members.values())
        return [m for m in members if not (m.over or m.is_renting or m.is_ending)]

    def _look(self) -> None:
        """Ask SkyPilot how all machines are, and see which are lost."""
        members = {member.name: member for member in self._working()}
        if not members:
            return
        try:
            sights = self._sky.look({m.name: m.rented.managed for m in members.values()})
        except RunslotError as error:
            self._say(f"{error}; looking again")
            return
        lost = [(members[name], sight) for name, sight in sights.items() if not sight.working]
        for name, sight in sights.items():
            if sight.recoveries > members[name].recoveries:
                members[name].recoveries = sight.recoveries
                self._say(f"{name} was lost; SkyPilot lets another take its place")
        # they may have ended well since: not lost before that is known
        if lost and self._bring():
            for member, sight in lost:
                self._ended_or_lost(member, sight)

    def _look_at_list(self, member: Rental) -> None:
        """Give the machine back where its list says that it has nothing further to do."""
        listing = self._listing(member.rented.share)
        end = end_of(listing, member.is_stopping, member.rented.managed)
        if end is not None and not member.is_ending:
            self._end(member, *end)

    def _ended_or_lost(self, member: Rental, sight: Sight) -> None:
        self._look_at_list(member)
        if member.over or member.is_ending:
            return
        ending = f": {sight.said}" if sight.said else ""
        state = f"{sight.state} {sight.job}".rstrip()
        name, share = member.name, member.rented.share
        others = [m for m in self._of(share.batch) if m is not member and not m.over]
        rest = (
            "the other machines of its launch take its runs"
            if others
            else f"nothing replaces it, `runslot resume {self._experiment.path}` rents for its runs"
        )
        self._say(f"{name} has ended without its work: SkyPilot says {state}{ending}; {rest}")
        try:
            self._store.put(share.gone, self._listing(share).machine.encode())
        except RunslotError as error:
            self._say(f"{error}; the other machines take what {name} left when it is silent")
        kind = "stopped" if member.is_stopping else "lost"
        self._end(member, kind, f"{name} was lost{ending}", sight)

    # ---- giving back -----------------------------------------------------------------------------

    def _end(self, member: Rental, kind: str, reason: str, sight: Sight | None = None) -> None:
        """Give a machine back, in its thread, and then up."""
        member.is_ending = True

        def end() -> None:
            log = "" if sight is None or sight.state == "gone" else self._keep_log(member, sight)
            self._give_back(member)
            self._give_up(member, kind, log or reason)

        self._begin(member, end)

    def _keep_log(self, member: Rental, sight: Sight) -> str:
        """Keep what the job printed; return why it ended, where it failed."""
        name = member.name
        file = self._experiment.path / "cloud" / f"{name}.log"
        try:
            text = self._sky.log(name, managed=member.rented.managed)
            write_atomically(file, text)
        except (OSError, RunslotError) as error:
            self._say(f"what {name} printed could not be had: {error}")
            return ""
        if not sight.job.startswith("FAILED"):
            return ""
        refusals = [line.partition("runslot: ")[2] for line in text.splitlines()]
        cause = next((f": {refusal}" for refusal in reversed(refusals) if refusal), "")
        subject = "the setup of " if sight.job == "FAILED_SETUP" else ""
        return f"{subject}{name} failed{cause}: {file} has what it printed"

    def _give_back(self, member: Rental) -> None:
        with member.lock:
            for _ in range(3):
                if not member.rented.alive:
                    return
                if self._try_to_give_back(member):
                    ended = (*member.rented.ended, time.time())
                    self._set(member, ended=ended[: len(member.rented.launched)])
                    return
                time.sleep(2)

    def _try_to_give_back(self, member: Rental) -> bool:
        try:
            self._sky.give_back(member.name, managed=member.rented.managed)
        except RunslotError as error:
            self._say(str(error))
            return False
        return True

    def _give_up(self, member: Rental, kind: str, reason: str) -> None:
        if not member.over:
            member.over, member.reason = kind, reason
            self._tell()

    def _set(self, member: Rental, **changes: Any) -> None:
        member.rented = replace(member.rented, **changes)
        self.write(member.rented)

    def write(self, rented: Rented) -> None:
        """Keep what is known of a machine."""
        with self._books:
            self.record = self.record.with_machine(rented)
            write_record(self._experiment, self.record)


def _side_by_side(
    work: Callable[[Rental], None], members: Collection[Rental], patience: float | None = None
) -> None:
    """Do this for all of them; return when it is done, or after `patience` seconds."""
    threads = [threading.Thread(target=work, args=(member,), daemon=True) for member in members]
    for thread in threads:
        thread.start()
    until = None if patience is None else time.monotonic() + patience
    for thread in threads:
        thread.join(None if until is None else max(0.0, until - time.monotonic()))
