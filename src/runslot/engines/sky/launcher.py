"""Rented machines as an engine: runs are divided among them, each is cared for to its end, results
come home.

Each machine has a `Care`; one thread more brings home what has changed.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from runslot.engines.events import Asks, Observer
from runslot.engines.protocol import Handle, Launcher, LeftRunning, Placed, Taken, UnderWay
from runslot.engines.sky.care import Care, Terms
from runslot.engines.sky.client import SkyPilot
from runslot.engines.sky.rental import Record, Rented, bring, shares_of, write_record
from runslot.engines.sky.tasks import Job, divide, labels_of, name_of, share_of, stage, task_of
from runslot.errors import Busy, InvalidInput, RunslotError
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.states import Kind
from runslot.hardware.slots import Slot
from runslot.transport.bucket import Inventory, MachineShare
from runslot.transport.bucket.store import Store

_JOIN = 300.0
"""Seconds that the end waits for machines to be given back."""
_EAGER = 180.0
"""Seconds after a stop in which what has arrived is looked for often."""


@dataclass
class SkyLauncher(Launcher):
    """Machines of one experiment."""

    experiment: ExperimentDir
    name: str
    code: str
    """Name of the copy of the code in the experiment's directory."""
    digest: str
    retries: int
    terms: Terms
    sky: SkyPilot
    store: Store
    record: Record
    say: Callable[[str], None]
    ask: Callable[[str], str] | None = None
    """Asks at Ctrl-C; None: nobody is there."""
    _cared: dict[str, Care] = field(default_factory=dict)
    _handled: dict[Handle, Run] = field(default_factory=dict)
    _listings: dict[str, Inventory] = field(default_factory=dict)
    _changed: threading.Event = field(default_factory=threading.Event)
    _woken: bool = False
    _news: bool = True
    _closed: threading.Event = field(default_factory=threading.Event)
    _bring_now: threading.Event = field(default_factory=threading.Event)
    _eager_until: float = 0.0
    _bringer: threading.Thread | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _bringing: threading.Lock = field(default_factory=threading.Lock)

    # ---- the protocol ----------------------------------------------------------------------------

    def slots(self) -> Sequence[Slot] | None:
        """Each machine has slots of its own, which are not known here."""
        return None

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Rent machines and divide the runs among them."""
        if not runs:
            return []
        machines = self._plan(
            [(placed.run.id, placed.attempt) for placed in runs],
            {placed.run.id: placed.run for placed in runs},
        )
        of_run = {run: machine.handle for machine in machines for run, _ in machine.runs}
        return [
            self._handle(placed.run, Handle(placed.run_dir, placed.attempt, of_run[placed.run.id]))
            for placed in runs
        ]

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Take up the care of a machine that an earlier launcher rented."""
        rented = self.record.machine(under_way.name or "")
        if rented is None:
            return None
        if rented.handle not in self._cared:
            self._care_for(rented).take_up()
        return self._handle(run, Handle(run_dir, under_way.attempt, rented.handle))

    def _handle(self, run: Run, handle: Handle) -> Handle:
        self._handled[handle] = run
        return handle

    def take_up(self) -> None:
        """Take up the care of every machine that may still be rented, so that none whose runs are
        home is left.
        """
        for rented in self.record.machines:
            if rented.alive and rented.handle not in self._cared:
                self._care_for(rented).take_up()

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | None]:
        """Return how runs ended whose outcome has come home, or whose machine is given up."""
        if not self._news:
            return dict.fromkeys(handles)
        self._news = False
        return {handle: self._outcome(handle) for handle in handles}

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Ask the user after Ctrl-C; then ask the machines to end these runs, or give them back at
        once.
        """
        interrupted, self._woken = self._woken, False
        if interrupted and not kill and not self._take_down():
            raise LeftRunning
        self._eager_until = time.monotonic() + _EAGER
        for name in {handle.name for handle in handles}:
            care = self._cared[name]
            stopped = {
                self._handled[handle].id: self._handled[handle]
                for handle in handles
                if handle.name == name
            }
            everything = stopped.keys() >= self._unfinished(care.rented)
            if kill and everything:
                self._in_background(care.kill)
            else:
                runs = None if everything else [run.directory for run in stopped.values()]
                self._in_background(functools.partial(care.stop, runs))
        self._bring_now.set()

    def wait(self, timeout: float | None) -> None:
        """Return when something came home, or after `timeout` seconds."""
        self._changed.wait(timeout)
        self._changed.clear()

    def wake(self) -> None:
        """Make `wait` return: something was asked of the launch, once there are machines by a
        signal.
        """
        self._woken = bool(self._cared)
        self._changed.set()

    def close(self) -> None:
        """Give machines back whose runs have ended; others go on."""
        self._closed.set()
        self._bring_now.set()
        for care in self._cared.values():
            care.close()
        ended = [
            care for care in self._cared.values() if care.over or not self._unfinished(care.rented)
        ]
        threads = [
            threading.Thread(target=care.finish, args=(_JOIN,), daemon=True) for care in ended
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + _JOIN
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        for machine in self.record.machines:
            if machine.alive:
                ends = time.strftime(
                    "%Y-%m-%d %H:%M", time.localtime(machine.launched[-1] + machine.seconds)
                )
                self.say(
                    f"{machine.name} is still rented, ${machine.price:.3f} an hour, until {ends} at"
                    f" the latest: `runslot cloud down {self.experiment.path}` gives it back"
                )

    # ---- renting ---------------------------------------------------------------------------------

    def _plan(self, runs: Sequence[tuple[str, int]], run_of: Mapping[str, Run]) -> list[Rented]:
        """Write down what is to be rented, stage what travels, and begin."""
        if not self.terms.machines:
            raise InvalidInput(
                "this launch only looks after machines that work already: `runslot resume` rents"
                " further ones"
            )
        shares = divide(runs, min(self.terms.machines, len(runs)))
        batch = f"b{len({machine.share.batch for machine in self.record.machines}) + 1}"
        machines = [
            self._rented(share, share_of(batch, number, len(shares)))
            for number, share in enumerate(shares, 1)
        ]
        earlier = shares_of(self.record.machines)
        jobs = [self._job(machine, earlier, run_of) for machine in machines]
        place = stage(self.experiment, self.code, shares, jobs)
        for machine, job in zip(machines, jobs, strict=True):
            task = task_of(self.terms.machine, job, str(place), labels_of(self.name))
            self.write(machine)
            self._care_for(machine).rent(task)
        return machines

    def _rented(self, runs: Sequence[tuple[str, int]], share: MachineShare) -> Rented:
        return Rented(
            name=name_of(self.name, self.digest, len(self.record.machines) + share.number),
            share=share,
            task=share.number - 1,
            runs=tuple(runs),
            infra=self.terms.machine.infra,
            price=self.terms.price,
            what=self.terms.what,
            seconds=self.terms.seconds,
            managed=self.terms.managed,
        )

    def _job(
        self, machine: Rented, earlier: tuple[MachineShare, ...], run_of: Mapping[str, Run]
    ) -> Job:
        return Job(
            name=machine.name,
            experiment=self.experiment.path.name,
            task=machine.task,
            runs=tuple(run_of[run].directory for run, _ in machine.runs),
            store=self.store.url,
            share=machine.share,
            earlier=earlier,
            sync_interval=self.terms.sync_interval,
            seconds=self.terms.seconds,
            reserve=min(120.0, self.terms.seconds / 10),
            python=self.terms.python,
            cloud=self.terms.machine.cloud,
        )

    def _care_for(self, rented: Rented) -> Care:
        care = Care(rented, self.experiment, self.sky, self.store, self.terms, self)
        self._cared[rented.handle] = care
        if self._bringer is None:
            self._bringer = threading.Thread(target=self._bring_home, name="bring", daemon=True)
            self._bringer.start()
        return care

    # ---- bringing home ---------------------------------------------------------------------------

    def _bring_home(self) -> None:
        pause = max(2.0, min(self.terms.sync_interval / 2, 60.0))
        while not self._closed.is_set():
            self._bring_now.wait(min(pause, 5.0) if time.monotonic() < self._eager_until else pause)
            self._bring_now.clear()
            if not self._closed.is_set():
                self.bring()

    def bring(self) -> bool:
        """Bring home what has arrived; False where it is not known what has."""
        with self._bringing:
            try:
                brought = bring(self.experiment, self.record, self.store)
            except Busy:
                return False  # whoever pulls brings it as well
            except (OSError, RunslotError) as error:
                self.say(f"{error}; pulling again later")
                return False
            self._listings = brought.listings
            if brought.files:
                self.tell()
            return True

    def listing(self, share: MachineShare) -> Inventory:
        """Return the list of a share as it came home last."""
        return self._listings.get(share.name, Inventory())

    def _outcome(self, handle: Handle) -> Outcome | None:
        care = self._cared[handle.name]
        outcome = handle.run_dir.read_outcome()
        if outcome is not None and self._is_last(outcome, handle.attempt):
            return outcome
        settled = (
            self._handled[handle].directory in self.listing(care.rented.share).settled
        )  # it was asked to end
        if outcome is not None and outcome.attempt >= handle.attempt and (care.over or settled):
            return outcome
        if not care.over:
            return None
        kind: Kind = "stopped" if care.over == "stopped" else "lost"
        return Outcome(
            kind, handle.attempt, ended=time.time(), host=care.rented.name, message=care.why
        )

    def _is_last(self, outcome: Outcome, attempt: int) -> bool:
        """Tell whether an outcome is the end of a run of which attempt number `attempt` was asked
        for.

        A success is, of an attempt before too: a machine had done the run when it was believed to
        be lost.
        """
        return outcome.kind == "succeeded" or outcome.attempt >= attempt + self.retries

    def _unfinished(self, rented: Rented) -> set[str]:
        """Return the ids of a machine's runs whose end has not come home."""
        file = self.experiment.read()
        attempts = dict(rented.runs)
        unfinished = set(attempts)
        for run in self.experiment.read_runs():
            if run.id in unfinished:
                outcome = self.experiment.run_dir(run, file).read_outcome()
                if outcome is not None and self._is_last(outcome, attempts[run.id]):
                    unfinished.discard(run.id)
        return unfinished

    # ---- small things ----------------------------------------------------------------------------

    def _in_background(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def _take_down(self) -> bool:
        """Return whether the machines are to be given back, after Ctrl-C."""
        if self.ask is None:
            return False
        answer = self.ask(
            "the machines go on working: [l]eave them, or [s]top the runs and give them back? "
        )
        while answer[:1] not in {"l", "s"}:
            answer = self.ask("l, to leave them, or s, to stop: ")
        return answer[:1] == "s"

    def tell(self) -> None:
        """Wake the launch: there is news."""
        self._news = True
        self._changed.set()

    def write(self, rented: Rented) -> None:
        """Keep what is known of a machine."""
        with self._lock:
            self.record = self.record.with_machine(rented)
            write_record(self.experiment, self.record)


def terminal(observer: Observer) -> Callable[[str], str] | None:
    """Return how to ask whoever sits at the terminal; None where nobody does. Who leaves the
    question says `l`.
    """
    if not (sys.stdin and sys.stdin.isatty()) or os.environ.get("RUNSLOT_YES") == "1":
        return None

    def ask(question: str) -> str:
        observer(Asks(question))
        try:
            return _ask(question)
        finally:
            observer(Asks(question, over=True))

    return ask


def _ask(question: str) -> str:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input(question).strip().lower()
    except (EOFError, KeyboardInterrupt):
        print()
        return "l"
    finally:
        signal.signal(signal.SIGINT, before)
