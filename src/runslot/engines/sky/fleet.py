"""The machines of one experiment, looked after to their end: rented, looked at, given back.

One look asks for all of them. A machine that is lost is not rented anew from here: SkyPilot's
managed jobs do that, where they are asked for; otherwise the machines that are left take its runs,
as soon as home has said in the bucket that it is gone. Used by `launcher`, from its threads.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Protocol

from runslot.engines.sky.client import Seen, SkyPilot
from runslot.engines.sky.rental import Rented
from runslot.engines.sky.tasks import Machine, settings_of
from runslot.errors import RunslotError
from runslot.experiment.files import open_to_append, write_atomically
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.states import Kind
from runslot.transport.bucket import Inventory, MachineShare
from runslot.transport.bucket.inventory import read_listing, read_stop_request, request_stop
from runslot.transport.bucket.store import Store


@dataclass(frozen=True)
class Terms:
    """How machines of one launch are rented."""

    machine: Machine
    machines: int
    price: float
    """Dollars an hour, of one; with managed jobs its part of the controller's included."""
    machine_text: str
    seconds: float
    sync_interval: float
    python: str
    look: float = 30.0
    """Seconds between looks at the machines."""


class Home(Protocol):
    """What the machines' care asks of the launch."""

    def say(self, text: str) -> None:
        """Tell the user."""

    def write(self, rented: Rented) -> None:
        """Keep what is known of a machine."""

    def listing(self, share: MachineShare) -> Inventory:
        """Return the list of a share as it came home last."""

    def bring(self) -> bool:
        """Bring home what has changed; False where it is not known what has arrived."""

    def tell(self) -> None:
        """Wake the launch: there is news."""


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
        self, experiment: ExperimentDir, sky: SkyPilot, store: Store, terms: Terms, home: Home
    ) -> None:
        self._experiment = experiment
        self._sky = sky
        self._store = store
        self._terms = terms
        self._home = home
        self._members: dict[str, Rental] = {}
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

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
        if rented.alive:
            self._begin(member, lambda: self._adopt(member))
        else:
            member.is_renting = False
            member.over, member.reason = "lost", f"{member.name} is not rented"

    def __len__(self) -> int:
        return len(self._members)

    def stop(self, batch: str, runs: Collection[str] | None) -> None:
        """Ask the machines of a batch to end these runs, or all (None); returns when all are asked,
        or given up.

        A machine that has not begun has nothing to send: it is given back at once.
        """
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
            self._home.say(f"{error}; asking {member.name} again to stop")
            return False
        return True

    def kill(self, batch: str) -> None:
        """Give the machines of a batch back at once, with what they have not sent."""
        threads = [
            threading.Thread(target=self._kill, args=(member,)) for member in self._of(batch)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

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
        members = list(self._of(batch))
        if not all(member.over for member in members):
            return None
        kinds = {member.over for member in members}
        reasons = dict.fromkeys(member.reason for member in members)
        if len(reasons) > 1:
            reasons.pop(_NO_OUTCOME, None)
        is_stopped = kinds == {"stopped"} or any(member.is_stopping for member in members)
        return "stopped" if is_stopped else "lost", "; ".join(reasons)

    def close(self) -> None:
        """Look no longer; the machines go on."""
        self._closed.set()

    def finish(self, batches: Collection[str], patience: float) -> None:
        """After `close`: give back what may still be rented of these batches, and what is given up;
        returns when it is, or after `patience` seconds.
        """
        ended = [m for m in self._members.values() if m.over or m.rented.share.batch in batches]
        threads = [
            threading.Thread(target=self._finish, args=(member, patience), daemon=True)
            for member in ended
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + patience
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _finish(self, member: Rental, patience: float) -> None:
        if member.is_renting:  # nothing is left for it to do: it need not come
            self._give_up(member, "lost", "its runs had ended before it came")
            self._try_to_give_back(member)
        if member.thread is not None:
            member.thread.join(patience)
        if member.rented.alive and not member.is_renting:
            self._give_back(member)

    def _of(self, batch: str) -> Iterator[Rental]:
        return (m for m in list(self._members.values()) if m.rented.share.batch == batch)

    # ---- renting ---------------------------------------------------------------------------------

    def _add(self, rented: Rented) -> Rental:
        member = self._members[rented.handle] = Rental(rented)
        if self._watcher is None:
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
        self._home.say(
            f"renting {rented.name}: {rented.what or rented.infra}, ${rented.price:.3f} an hour"
        )
        try:
            with os.fdopen(open_to_append(self._renting_file(member)), "a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                settings = settings_of(self._terms.machine, self._store.url, rented.seconds)
                self._sky.rent(
                    task,
                    rented.name,
                    managed=rented.managed,
                    hold=file.fileno(),
                    settings=settings,
                )
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
        self._home.say(
            f"{rented.name} {'is in the hands of SkyPilot' if rented.managed else 'works'}"
        )

    def _adopt(self, member: Rental) -> None:
        if not self._await_renting(member):  # the launch is closed
            return
        if member.over:
            self._give_back(member)
            return
        try:
            is_stop = read_stop_request(self._store, member.rented.share).everything
        except RunslotError:  # who cannot reach the bucket will hear of it in plenty
            is_stop = False
        member.is_stopping = member.is_stopping or is_stop

    def _renting_file(self, member: Rental) -> Path:
        """Return the file that is locked by whoever rents the machine at this moment."""
        place = self._experiment.path / "cloud"
        place.mkdir(exist_ok=True)
        return place / f"{member.name}.renting"

    def _await_renting(self, member: Rental) -> bool:
        """Wait where who rents for a launch that has died is still at it: a machine that comes is
        not to be missed. Tell whether nobody rents it any more.
        """
        is_announced = False
        with os.fdopen(open_to_append(self._renting_file(member)), "a") as file:
            while True:
                # at least once: a launch may be closed before its thread is here
                member.is_renting = not _is_free(file)
                if not member.is_renting or (self._closed.is_set() and not member.over):
                    return not member.is_renting  # what is given up is given back when it comes
                if not is_announced:
                    self._home.say(f"{member.name} is still being rented")
                    is_announced = True
                time.sleep(0.5)

    # ---- watching --------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Look after all machines that work, until the launch is closed."""
        last_look = time.monotonic()
        while not self._closed.wait(1.0):
            try:
                for member in self._working():
                    self._look_at_list(member)
                if time.monotonic() - last_look >= self._terms.look:
                    last_look = time.monotonic()
                    self._look()
            except Exception as error:  # noqa: BLE001  a thread has no caller: it says so, and looks again
                self._home.say(f"{type(error).__name__}: {error}; looking again")

    def _working(self) -> list[Rental]:
        members = list(self._members.values())
        return [m for m in members if not (m.over or m.is_renting or m.is_ending)]

    def _look(self) -> None:
        """Ask SkyPilot how all machines are, with one question for each way of renting."""
        members = self._working()
        sights: dict[str, Seen] = {}
        for managed in (False, True):
            names = [member.name for member in members if member.rented.managed is managed]
            try:
                sights |= self._sky.look(names, managed) if names else {}
            except RunslotError as error:
                self._home.say(f"{error}; looking again")
        lost: list[Rental] = []
        for member in members:
            sight = sights.get(member.name)
            if sight is not None and sight.recoveries > member.recoveries:
                member.recoveries = sight.recoveries
                self._home.say(f"{member.name} was lost; SkyPilot lets another take its place")
            if sight is not None and not sight.working:
                lost.append(member)
        # they may have ended well since: not lost before that is known
        if lost and self._home.bring():
            for member in lost:
                self._ended_or_lost(member, sights[member.name])

    def _look_at_list(self, member: Rental) -> None:
        """Give the machine back where its list says that it has nothing further to do."""
        listing = self._home.listing(member.rented.share)
        if not listing.machine or listing.state == "working" or member.is_ending:
            return
        if listing.state == "stopped" and not member.is_stopping and member.rented.managed:
            return  # the cloud takes it back, and SkyPilot lets another take its place
        kind = "stopped" if listing.state == "deadline" or member.is_stopping else "lost"
        reasons = {
            "deadline": "the machine's deadline was reached",
            "stopped": "it was asked to stop",
        }
        reason = listing.said or reasons.get(listing.state, _NO_OUTCOME)
        self._end(member, kind, reason)

    def _ended_or_lost(self, member: Rental, sight: Seen) -> None:
        self._look_at_list(member)
        if member.over or member.is_ending:
            return
        ending = f": {sight.said}" if sight.said else ""
        state = f"{sight.state} {sight.job}".rstrip()
        name = member.name
        self._home.say(f"{name} has ended without its work: SkyPilot says {state}{ending}")
        share = member.rented.share
        try:
            self._store.put(share.gone, self._home.listing(share).machine.encode())
        except RunslotError as error:
            self._home.say(f"{error}; the other machines take what {name} left when it is silent")
        kind = "stopped" if member.is_stopping else "lost"
        self._end(member, kind, f"{name} was lost{ending}", sight)

    # ---- giving back -----------------------------------------------------------------------------

    def _end(self, member: Rental, kind: str, reason: str, sight: Seen | None = None) -> None:
        """Give a machine back, in its thread, and then up."""
        member.is_ending = True

        def end() -> None:
            log = "" if sight is None or sight.state == "gone" else self._keep_log(member, sight)
            self._give_back(member)
            self._give_up(member, kind, log or reason)

        self._begin(member, end)

    def _keep_log(self, member: Rental, sight: Seen) -> str:
        """Keep what the job printed; return why it ended, where its setup failed."""
        name = member.name
        file = self._experiment.path / "cloud" / f"{name}.log"
        try:
            write_atomically(file, self._sky.log(name, managed=member.rented.managed))
        except (OSError, RunslotError) as error:
            self._home.say(f"what {name} printed could not be had: {error}")
        is_setup = sight.job == "FAILED_SETUP"
        return f"the setup of {name} failed: {file} has what it printed" if is_setup else ""

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
            self._home.say(str(error))
            return False
        return True

    def _give_up(self, member: Rental, kind: str, reason: str) -> None:
        if not member.over:
            member.over, member.reason = kind, reason
            self._home.tell()

    def _set(self, member: Rental, **changes: Any) -> None:
        member.rented = replace(member.rented, **changes)
        self._home.write(member.rented)


_NO_OUTCOME = "the machine left no outcome"


def _is_free(file: IO[str]) -> bool:
    """Tell whether nobody holds the lock of a file; it is ours then, until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
