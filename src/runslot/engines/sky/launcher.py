"""Rented machines as an engine: they take the runs of a batch one after the other, and what these
write comes home.

`Fleet` looks after the machines; a thread here brings home what has changed.
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
from runslot.engines.sky.client import SkyPilot
from runslot.engines.sky.fleet import Fleet, Terms
from runslot.engines.sky.rental import Record, Rented, batch_of, bring, write_record
from runslot.engines.sky.tasks import Job, labels_of, name_of, stage, task_of
from runslot.errors import Busy, InvalidInput, RunslotError
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.states import UNFINISHED
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

    def __post_init__(self) -> None:
        self._fleet = Fleet(self.experiment, self.sky, self.store, self.terms, self)

    # ---- the protocol ----------------------------------------------------------------------------

    def slots(self) -> Sequence[Slot] | None:
        """Each machine has slots of its own, which are not known here."""
        return None

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Rent machines, which take the runs as they have room for them."""
        if not runs:
            return []
        name = self._rent([placed.run for placed in runs], [placed.attempt for placed in runs])
        return [
            self._handle(placed.run, Handle(placed.run_dir, placed.attempt, name))
            for placed in runs
        ]

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Look after the machines that an earlier launcher rented for a run."""
        name = under_way.name or self.record.handle_of(run.id)
        machines = self.record.batch(name or "")
        if name is None or not machines:
            return None
        for rented in machines:
            self._take_up(rented)
        return self._handle(run, Handle(run_dir, under_way.attempt, name))

    def _handle(self, run: Run, handle: Handle) -> Handle:
        self._handled[handle] = run
        return handle

    def take_up(self) -> None:
        """Look after every machine that may still be rented, so that none whose runs are home is
        left.
        """
        for rented in self.record.machines:
            if rented.alive:
                self._take_up(rented)

    def _take_up(self, rented: Rented) -> None:
        self._fleet.take_up(rented)
        self._begin_bringing()
        self._bring_now.set()

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
        for batch in {batch_of(handle.name) for handle in handles}:
            stopped = [self._handled[h] for h in handles if batch_of(h.name) == batch]
            everything = {run.id for run in stopped} >= self._unfinished(batch)
            if kill and everything:
                self._in_background(functools.partial(self._fleet.kill, batch))
            else:
                runs = None if everything else [run.directory for run in stopped]
                self._in_background(functools.partial(self._fleet.stop, batch, runs))
        self._bring_now.set()

    def wait(self, timeout: float | None) -> None:
        """Return when something came home, or after `timeout` seconds."""
        self._changed.wait(timeout)
        self._changed.clear()

    def wake(self) -> None:
        """Make `wait` return: something was asked of the launch, once there are machines by a
        signal.
        """
        self._woken = bool(len(self._fleet))
        self._changed.set()

    def close(self) -> None:
        """Give machines back whose runs have ended; others go on."""
        self._closed.set()
        self._bring_now.set()
        self._fleet.close()
        batches = {machine.share.batch for machine in self.record.machines}
        self._fleet.finish({batch for batch in batches if not self._unfinished(batch)}, _JOIN)
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

    def _rent(self, runs: Sequence[Run], attempts: Sequence[int]) -> str:
        """Write down what is to be rented, stage what travels, and begin; return the name of the
        runs' handles.
        """
        if not self.terms.machines:
            raise InvalidInput(
                "this launch only looks after machines that work already: `runslot resume` rents"
                " further ones"
            )
        count = min(self.terms.machines, len(runs))
        batch = f"b{len({machine.share.batch for machine in self.record.machines}) + 1}"
        shares = MachineShare(batch, 1, count).batch_shares
        turns = [(run.id, attempt) for run, attempt in zip(runs, attempts, strict=True)]
        machines = [self._rented(share, turns if share.number == 1 else ()) for share in shares]
        earlier = tuple(machine.share for machine in self.record.machines)
        jobs = [self._job(machine, earlier, runs) for machine in machines]
        place = stage(self.experiment, self.code, turns, jobs)
        for machine in machines:
            self.write(machine)
        self._begin_bringing()
        for machine, job in zip(machines, jobs, strict=True):
            task = task_of(self.terms.machine, job, str(place), labels_of(self.name))
            self._fleet.rent(machine, task)
        return machines[0].handle

    def _rented(self, share: MachineShare, runs: Sequence[tuple[str, int]]) -> Rented:
        return Rented(
            name=name_of(self.name, self.digest, len(self.record.machines) + share.number),
            share=share,
            task=share.number - 1,
            runs=tuple(runs),
            infra=self.terms.machine.infra,
            price=self.terms.price,
            what=self.terms.machine_text,
            seconds=self.terms.seconds,
            managed=self.terms.machine.managed,
        )

    def _job(self, machine: Rented, earlier: tuple[MachineShare, ...], runs: Sequence[Run]) -> Job:
        return Job(
            name=machine.name,
            experiment=self.experiment.path.name,
            task=machine.task,
            runs=tuple(run.directory for run in runs),
            store=self.store.url,
            share=machine.share,
            earlier=earlier,
            sync_interval=self.terms.sync_interval,
            seconds=self.terms.seconds,
            reserve=min(120.0, self.terms.seconds / 10),
            python=self.terms.python,
            cloud=self.terms.machine.cloud,
        )

    # ---- bringing home ---------------------------------------------------------------------------

    def _begin_bringing(self) -> None:
        if self._bringer is None:
            self._bringer = threading.Thread(target=self._bring_home, name="bring", daemon=True)
            self._bringer.start()

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
        batch = batch_of(handle.name)
        outcome = handle.run_dir.read_outcome()
        if outcome is not None and self._is_last(
            outcome, handle.attempt, batch, self._handled[handle].directory
        ):
            return outcome
        end = self._fleet.end_of(batch)
        if end is None:
            return None
        if outcome is not None and outcome.attempt >= handle.attempt:
            return outcome
        return Outcome(end[0], handle.attempt, ended=time.time(), message=end[1])

    def _is_last(self, outcome: Outcome, attempt: int, batch: str, directory: str) -> bool:
        """Tell whether an outcome is the end of a run of which attempt number `attempt` was asked
        for.

        A success is, of an attempt before too: a machine had done the run when it was believed to
        be lost. One that was stopped with its machine goes on elsewhere, unless home asked for it.
        """
        if outcome.kind == "succeeded":
            return True
        if outcome.kind in UNFINISHED:
            lists = [
                self._listings.get(machine.share.name, Inventory())
                for machine in self.record.machines
                if machine.share.batch == batch
            ]
            is_settled = any(directory in listing.settled for listing in lists)
            return is_settled and outcome.attempt >= attempt
        return outcome.attempt >= attempt + self.retries

    def _unfinished(self, batch: str) -> set[str]:
        """Return the ids of a batch's runs whose end has not come home."""
        file = self.experiment.read()
        attempts = self.record.runs_of(batch)
        unfinished = set(attempts)
        for run in self.experiment.read_runs():
            if run.id in unfinished:
                outcome = self.experiment.run_dir(run, file).read_outcome()
                if outcome is not None and self._is_last(
                    outcome, attempts[run.id], batch, run.directory
                ):
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
