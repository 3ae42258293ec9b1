"""The machines of one experiment, looked after to their end: rented, looked at, given back, and
what they write brought home.

One thread looks, and one question asks for all machines. What takes minutes, renting and giving
back, is done by a thread a machine: it rents, waits until the machine has nothing further to do,
and gives it back, so that nobody else does. A machine that is lost is not rented anew from here:
SkyPilot's managed jobs do that, where they are asked for; otherwise the machines that are left take
its runs, as soon as home has said in the bucket that it is gone. Used by `launcher`.
"""

from __future__ import annotations

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
    bring,
    end_of,
    is_being_rented,
    renting,
    write_record,
)
from runslot.engines.sky.tasks import settings_of
from runslot.errors import Busy, RunslotError
from runslot.experiment.files import write_atomically
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
    thread: threading.Thread = field(init=False)
    """Rents it, and gives it back."""
    is_renting: bool = True
    """Whether somebody rents it at this moment, or may."""
    is_stopping: bool = False
    """Whether it was asked to end all its runs."""
    has_ended: threading.Event = field(default_factory=threading.Event)
    """Set when it has nothing further to do, and is given back."""
    kind: str = ""
    """Of the outcome of runs that have none, once it has ended."""
    reason: str = ""
    is_over: bool = False
    """Whether it is given up: it has ended, and all is known of why."""
    recoveries: int = 0
    sight: Sight | None = None
    """How SkyPilot saw it when it was lost."""

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
        self._add(rented, lambda member: self._rent(member, task))

    def take_up(self, rented: Rented) -> None:
        """Look after a machine that an earlier launch rented, unless that is done already."""
        if rented.handle not in self._members:
            self._add(rented, self._adopt)
            self._pull_due = 0.0

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
            has_heard = False
            while not (has_heard or member.has_ended.is_set()):
                has_heard = self._ask(member, runs) or self._closed.wait(5.0)

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
        """Have the machines of a batch given back at once, with what they have not sent."""
        self._hurry()
        for member in self._of(batch):
            self._kill(member)

    def _kill(self, member: Rental) -> None:
        member.is_stopping = True
        self._end(member, "stopped", "its machine was given back at once")
        self._give_up(member)
        self._break_off(member)

    def end_of(self, batch: str) -> tuple[Kind, str] | None:
        """Return the kind of outcome of a batch's runs that have none, and why: None while one of
        its machines may do them.
        """
        members = self._of(batch)
        if not all(member.is_over for member in members):
            return None
        kinds = {member.kind for member in members}
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
        members = list(self._members.values())
        ended = [m for m in members if m.has_ended.is_set() or m.rented.share.batch in batches]
        for member in ended:
            self._end(member, "lost", "its runs had ended before it came")
            self._break_off(member)
        until = time.monotonic() + patience
        for member in ended:
            member.thread.join(max(0.0, until - time.monotonic()))

    def _of(self, batch: str) -> list[Rental]:
        return [m for m in list(self._members.values()) if m.rented.share.batch == batch]

    # ---- a machine's thread ----------------------------------------------------------------------

    def _add(self, rented: Rented, begin: Callable[[Rental], None]) -> None:
        member = self._members[rented.handle] = Rental(rented)
        if self._watcher is None:
            self._pull_due = time.monotonic() + self._pull_interval
            self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
            self._watcher.start()
        member.thread = threading.Thread(
            target=self._look_after, args=(member, begin), name=member.name, daemon=True
        )
        member.thread.start()

    def _look_after(self, member: Rental, begin: Callable[[Rental], None]) -> None:
        """Rent a machine, or wait for who does, and give it back when it has ended."""
        try:
            begin(member)
        except Exception as error:  # noqa: BLE001  a thread has no caller: the runs' outcomes say it
            self._end(member, "lost", f"{type(error).__name__}: {error}")
        member.is_renting = False
        member.has_ended.wait()
        try:
            self._keep_log(member)
            self._give_back(member)
            self._give_up(member)
            if member.rented.alive:  # it could not be: once more, when the launch ends
                self._closed.wait()
                self._give_back(member)
        except Exception as error:  # noqa: BLE001
            self._say(f"{member.name}: {type(error).__name__}: {error}")
            self._give_up(member)

    def _rent(self, member: Rental, task: Mapping[str, Any]) -> None:
        rented = member.rented
        if member.has_ended.is_set():
            return
        self._set(member, replace(rented, launched=(time.time(),)))
        self._say(
            f"renting {rented.name}: {rented.what or rented.infra}, ${rented.price:.3f} an hour"
        )
        settings = settings_of(self._config, self._store.url, rented.seconds)
        try:
            with renting(self._experiment, rented.name) as hold:
                self._sky.rent(task, rented.name, settings, rented.managed, hold)
        except RunslotError as error:
            log = self._experiment.path / "cloud" / "skypilot.log"
            self._end(member, "lost", f"{error}; more in {log}")
            return
        if not member.has_ended.is_set():
            self._say(
                f"{rented.name} {'is in the hands of SkyPilot' if rented.managed else 'works'}"
            )

    def _adopt(self, member: Rental) -> None:
        if not member.rented.alive:
            self._end(member, "lost", f"{member.name} is not rented")
            return
        # Where who rents for a launch that has died is still at it: a machine that comes is not to
        # be missed.
        if is_being_rented(self._experiment, member.name):
            self._say(f"{member.name} is still being rented")
        with renting(self._experiment, member.name):
            pass
        try:
            is_stop = read_stop_request(self._store, member.rented.share).everything
        except RunslotError:  # who cannot reach the bucket will hear of it in plenty
            is_stop = False
        member.is_stopping = member.is_stopping or is_stop

    def _end(self, member: Rental, kind: str, reason: str) -> None:
        """Have a machine given back, and then up, unless that is under way."""
        if not member.has_ended.is_set():
            member.kind, member.reason = kind, reason
            member.has_ended.set()

    def _give_up(self, member: Rental) -> None:
        if not member.is_over:
            member.is_over = True
            self._tell()

    def _break_off(self, member: Rental) -> None:
        """Break the renting of a machine off; whatever comes of it is given back by its thread."""
        if member.is_renting:
            threading.Thread(target=self._try_to_give_back, args=(member,), daemon=True).start()

    def _keep_log(self, member: Rental) -> None:
        """Keep what the job of a lost machine printed, and why it ended, where it failed."""
        name, sight = member.name, member.sight
        if sight is None or sight.state == "gone":
            return
        file = self._experiment.path / "cloud" / f"{name}.log"
        try:
            text = self._sky.log(name, managed=member.rented.managed)
            write_atomically(file, text)
        except (OSError, RunslotError) as error:
            self._say(f"what {name} printed could not be had: {error}")
            return
        if sight.job.startswith("FAILED"):
            refusals = [line.partition("runslot: ")[2] for line in text.splitlines()]
            cause = next((f": {refusal}" for refusal in reversed(refusals) if refusal), "")
            subject = "the setup of " if sight.job == "FAILED_SETUP" else ""
            member.reason = f"{subject}{name} failed{cause}: {file} has what it printed"

    def _give_back(self, member: Rental) -> None:
        for _ in range(3 if member.rented.alive else 0):
            if self._try_to_give_back(member):
                self._set(member, member.rented.given_back(time.time()))
                return
            time.sleep(2)

    def _try_to_give_back(self, member: Rental) -> bool:
        try:
            self._sky.give_back(member.name, managed=member.rented.managed)
        except RunslotError as error:
            self._say(str(error))
            return False
        return True

    def _set(self, member: Rental, rented: Rented) -> None:
        member.rented = rented
        self.write(rented)

    def write(self, rented: Rented) -> None:
        """Keep what is known of a machine."""
        with self._books:
            self.record = self.record.with_machine(rented)
            write_record(self._experiment, self.record)

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
        return [m for m in members if not (m.is_renting or m.has_ended.is_set())]

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
        if end is not None:
            self._end(member, *end)

    def _ended_or_lost(self, member: Rental, sight: Sight) -> None:
        self._look_at_list(member)
        if member.has_ended.is_set():
            return
        ending = f": {sight.said}" if sight.said else ""
        state = f"{sight.state} {sight.job}".rstrip()
        name, share = member.name, member.rented.share
        others = [m for m in self._of(share.batch) if m is not member and not m.is_over]
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
        member.sight = sight
        self._end(member, "stopped" if member.is_stopping else "lost", f"{name} was lost{ending}")
