"""The care of one rented machine, in a thread of its own: rent, look, rent anew where it was lost,
give back.

With managed jobs SkyPilot's controller rents anew, and the care is to look how its job fares.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol

from runslot.engines.sky.client import Seen, SkyPilot
from runslot.engines.sky.rental import Rented
from runslot.engines.sky.tasks import Machine, settings_of
from runslot.errors import RunslotError
from runslot.experiment.files import open_to_append, write_atomically
from runslot.experiment.rundir import ExperimentDir
from runslot.transport.bucket import Inventory, MachineShare
from runslot.transport.bucket.inventory import DamagedObject, read_stop_request, request_stop
from runslot.transport.bucket.store import Missing, Store

_LEAST_SECONDS = 300.0
"""What must be left of a machine's time to rent it anew."""


@dataclass(frozen=True)
class Terms:
    """How machines of one launch are rented."""

    machine: Machine
    machines: int
    price: float
    """Dollars an hour, of one; with managed jobs its part of the controller's included."""
    what: str
    seconds: float
    sync_interval: float
    recoveries: int
    python: str
    look: float = 30.0
    """Seconds between looks at a machine."""
    managed: bool = False
    """SkyPilot's managed jobs rent lost machines anew."""


class Home(Protocol):
    """What a machine's care asks of the launch."""

    def say(self, text: str) -> None:
        """Tell the user."""

    def write(self, rented: Rented) -> None:
        """Keep what is known of the machine."""

    def listing(self, share: MachineShare) -> Inventory:
        """Return the list of a share as it came home last."""

    def bring(self) -> bool:
        """Bring home what has changed; False where it is not known what has arrived."""

    def tell(self) -> None:
        """Wake the launch: there is news."""


class Care:
    """One machine, and all that take its place."""

    def __init__(
        self,
        rented: Rented,
        experiment: ExperimentDir,
        sky: SkyPilot,
        store: Store,
        terms: Terms,
        home: Home,
    ) -> None:
        self.rented = rented
        self.over = ""
        """Kind of the outcome of runs that have none, once the machine is given up."""
        self.why = ""
        self.stopping = False
        self._experiment = experiment
        self._sky = sky
        self._store = store
        self._terms = terms
        self._home = home
        self._lost = ""
        """Name of the machine that was lost last, as its list has it."""
        self._ending = ""
        """Why it was lost, in SkyPilot's words."""
        self._renting = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- what the launch asks --------------------------------------------------------------------

    def rent(self, task: Mapping[str, object]) -> None:
        """Begin: rent the machine for its task, and care for it."""
        self._begin(lambda: self._care(task))

    def take_up(self) -> None:
        """Begin with a machine that an earlier launch rented."""
        self._renting = True  # until the contrary is known
        self._begin(self._adopted)

    def stop(self, runs: Collection[str] | None) -> None:
        """Ask for these runs to end, or for all (None); returns when that is asked, or the machine
        is given up.

        A machine that has not begun has nothing to send: it is given back at once.
        """
        self.stopping = self.stopping or runs is None
        while not self.given_up():
            try:
                if runs is None and self._newest().machine in {"", self._lost}:
                    self.kill()
                else:
                    request_stop(self._store, self.rented.share, runs)
            except RunslotError as error:
                self._home.say(f"{error}; asking {self.rented.name} again to stop")
                if self._closed.wait(5.0):
                    return
            else:
                return

    def _newest(self) -> Inventory:
        """Return the share's list as it is in the bucket now."""
        try:
            return Inventory.from_bytes(self._store.get(self.rented.share.listing))
        except (Missing, DamagedObject):
            return Inventory()

    def kill(self) -> None:
        """Give the machine back at once, with what it has not sent."""
        self.stopping = True
        self._give_up("stopped", "its machine was given back at once")
        # this breaks the renting off; whatever comes of it is given back by who rents
        if self._renting:
            self._try_to_give_back()
        else:
            self._give_back()

    def close(self) -> None:
        """Look no longer; the machine goes on."""
        self._closed.set()

    def finish(self, patience: float) -> None:
        """After `close`: give the machine back if it may still be rented."""
        if self._thread is not None:
            self._thread.join(patience)
        if self.rented.alive and not self._renting:
            self._give_back()

    def given_up(self) -> bool:
        """Whether the machine has nothing further to do."""
        return bool(self.over)

    # ---- renting ---------------------------------------------------------------------------------

    def _begin(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(
            target=self._guarded, args=(work,), name=self.rented.name, daemon=True
        )
        self._thread.start()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  a thread has no caller: the runs' outcomes say it
            self._renting = False
            self._give_up("lost", f"{type(error).__name__}: {error}")

    def _care(self, task: Mapping[str, object]) -> None:
        while self._rent(task):
            self._watch()
            if self.given_up() or self._closed.is_set():
                return
            self._give_back()
            lost = len(self.rented.launched)
            if self.stopping or not self._again(lost):
                reason = (
                    f"{self.rented.name} was lost"
                    f" {'once' if lost == 1 else f'{lost} times'}{self._ending}"
                )
                self._give_up("stopped" if self.stopping else "lost", reason)
                return
            self._home.say(f"{self.rented.name} was lost; another takes its place")

    def _again(self, lost: int) -> bool:
        seconds = self.rented.seconds - self.rented.lived(time.time())
        return (
            not self._terms.managed and lost <= self._terms.recoveries and seconds >= _LEAST_SECONDS
        )

    def _rent(self, task: Mapping[str, object]) -> bool:
        """Rent the machine; False where it cannot be had, or is not wanted any more."""
        rented = self.rented
        if self.given_up():
            return False
        self._renting = True
        self._set(launched=(*rented.launched, time.time()))
        self._home.say(
            f"renting {rented.name}: {rented.what or rented.infra}, ${rented.price:.3f} an hour"
        )
        try:
            with os.fdopen(open_to_append(self._renting_file()), "a") as file:
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
            self._renting = False
            self._give_back()
            self._give_up(
                "lost", f"{error}; more in {self._experiment.path / 'cloud' / 'skypilot.log'}"
            )
            return False
        self._renting = False
        if self.given_up():  # stopped meanwhile, when there was nothing to give back yet
            self._give_back()
            return False
        self._home.say(
            f"{rented.name} {'is in the hands of SkyPilot' if rented.managed else 'works'}"
        )
        return True

    def _adopted(self) -> None:
        """Care for a machine that was rented before; one that is lost is not rented anew, a resume
        does that.
        """
        self._await_renting()
        if self._renting:  # the launch is closed
            return
        if self.given_up():
            self._give_back()
            return
        self._home.bring()
        self.stopping = self.stopping or self._was_asked_to_stop()
        if not self._has_ended():
            self._watch()
        if not self.given_up() and not self._closed.is_set():
            self._give_back()
            kind = "stopped" if self.stopping else "lost"
            self._give_up(
                kind, f"{self.rented.name} was lost while nobody looked after it{self._ending}"
            )

    def _was_asked_to_stop(self) -> bool:
        try:
            return read_stop_request(self._store, self.rented.share).everything
        except RunslotError:  # who cannot reach the bucket will hear of it in plenty
            return False

    def _renting_file(self) -> Path:
        """Return the file that is locked by whoever rents the machine at this moment."""
        place = self._experiment.path / "cloud"
        place.mkdir(exist_ok=True)
        return place / f"{self.rented.name}.renting"

    def _await_renting(self) -> None:
        """Wait where who rents for a launch that has died is still at it: a machine that comes is
        not to be missed.
        """
        self._renting = True
        is_announced = False
        with os.fdopen(open_to_append(self._renting_file()), "a") as file:
            while True:
                self._renting = not _is_free(
                    file
                )  # at least once: a launch may be closed before its thread is here
                if not self._renting or (self._closed.is_set() and not self.given_up()):
                    return  # what is given up is to be given back when it comes
                if not is_announced:
                    self._home.say(f"{self.rented.name} is still being rented")
                    is_announced = True
                time.sleep(0.5)

    # ---- watching --------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Return when the machine's work has ended (`over` is set), when it is lost, or when the
        launch is closed.
        """
        looked = time.monotonic()
        recoveries = 0
        while not self._closed.wait(1.0):
            if self.given_up() or self._has_ended():
                return
            if time.monotonic() - looked < self._terms.look:
                continue
            looked = time.monotonic()
            sight = self._look()
            if sight is None:
                continue
            if sight.recoveries > recoveries:
                recoveries = sight.recoveries
                self._home.say(f"{self.rented.name} was lost; SkyPilot lets another take its place")
            # it may have ended well since: not lost before that is known
            if not sight.working and self._home.bring():
                self._ended_or_lost(sight)
                return

    def _look(self) -> Seen | None:
        name = self.rented.name
        try:
            return self._sky.look(name, managed=self.rented.managed)
        except RunslotError as error:
            self._home.say(f"{error}; looking again")
            return None

    def _ended_or_lost(self, sight: Seen) -> None:
        if self.given_up() or self._has_ended():
            return
        name = self.rented.name
        self._lost = self._home.listing(self.rented.share).machine
        self._ending = f": {sight.said}" if sight.said else ""
        state = f"{sight.state} {sight.job}".rstrip()
        self._home.say(f"{name} has ended without its work: SkyPilot says {state}{self._ending}")
        if sight.state != "gone":
            self._keep_log(sight)

    def _keep_log(self, sight: Seen) -> None:
        """Keep what the job printed; a setup that failed would fail again, and is given up."""
        name = self.rented.name
        file = self._experiment.path / "cloud" / f"{name}.log"
        try:
            write_atomically(file, self._sky.log(name, managed=self.rented.managed))
        except (OSError, RunslotError) as error:
            self._home.say(f"what {name} printed could not be had: {error}")
        if sight.job == "FAILED_SETUP":
            self._give_back()
            self._give_up("lost", f"the setup of {name} failed: {file} has what it printed")

    def _has_ended(self) -> bool:
        """Give the machine back where its list says that it has nothing further to do."""
        listing = self._home.listing(self.rented.share)
        if not listing.machine or listing.machine == self._lost or listing.state == "working":
            return False
        if listing.state == "stopped" and not self.stopping:  # the cloud takes it back
            self._lost = listing.machine
            return False
        kinds = {"failed": "lost", "deadline": "stopped", "stopped": "stopped", "done": "lost"}
        reasons = {
            "deadline": "the machine's deadline was reached",
            "stopped": "it was asked to stop",
        }
        self._give_back()
        self._give_up(
            kinds[listing.state],
            listing.said or reasons.get(listing.state, "the machine left no outcome"),
        )
        return True

    # ---- giving back -----------------------------------------------------------------------------

    def _give_back(self) -> None:
        for _ in range(3):
            if self._try_to_give_back():
                self._set(ended=(*self.rented.ended, time.time())[: len(self.rented.launched)])
                return
            time.sleep(2)

    def _try_to_give_back(self) -> bool:
        try:
            self._sky.give_back(self.rented.name, managed=self.rented.managed)
        except RunslotError as error:
            self._home.say(str(error))
            return False
        return True

    def _give_up(self, kind: str, reason: str) -> None:
        if not self.given_up():
            self.over, self.why = kind, reason
            self._home.tell()

    def _set(self, **changes: object) -> None:
        self.rented = replace(self.rented, **changes)  # type: ignore[arg-type]
        self._home.write(self.rented)


def _is_free(file: IO[str]) -> bool:
    """Tell whether nobody holds the lock of a file; it is ours then, until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
