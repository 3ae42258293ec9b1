"""Rented machines as an engine: runs are divided among them, each is cared for to its end, results come home.

A thread a machine: rent, look, rent anew where it was lost, give back. One more brings home what has changed.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runslot.errors import Busy, InvalidInput, RunslotError
from runslot.experiment.records import Kind, Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.hardware.slots import Slot
from runslot.launch.bucket import Listing
from runslot.launch.bucket.store import Store
from runslot.launch.launcher import Handle, Placed, Taken, UnderWay
from runslot.launch.sky.asking import Seen, SkyPilot
from runslot.launch.sky.bringing import bring
from runslot.launch.sky.job import Job
from runslot.launch.sky.rented import Record, Rented, shares_of, write_record
from runslot.launch.sky.staging import stage
from runslot.launch.sky.tasks import Machine, divide, name_of, share_of, task_of

_JOIN = 300.0
"""Seconds that the end waits for machines to be given back."""


class LeftRunning(KeyboardInterrupt):
    """The user leaves the machines to themselves."""


@dataclass(frozen=True)
class Terms:
    """How machines of one launch are rented."""

    machine: Machine
    machines: int
    price: float
    what: str
    seconds: float
    sync_interval: float
    recoveries: int
    python: str
    look: float = 30.0
    """Seconds between looks at a machine."""


@dataclass
class _Cared:
    """A machine while its thread lives."""

    rented: Rented
    lost: str = ""
    """Name of the machine that was lost last, as its list has it."""
    over: str = ""
    """Kind of the outcome of runs that have none, once the machine is given up."""
    why: str = ""
    stopping: bool = False
    left: set[Path] = field(default_factory=set)
    """Directories of its runs that have not ended."""
    thread: threading.Thread | None = None


@dataclass
class SkyLauncher:
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
    _cared: dict[str, _Cared] = field(default_factory=dict)
    _listings: dict[str, Listing] = field(default_factory=dict)
    _changed: threading.Event = field(default_factory=threading.Event)
    _woken: bool = False
    _news: bool = True
    _closed: threading.Event = field(default_factory=threading.Event)
    _bring_now: threading.Event = field(default_factory=threading.Event)
    _bringer: threading.Thread | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _bringing: threading.Lock = field(default_factory=threading.Lock)

    # ---- the protocol --------------------------------------------------------------------------------------------

    def slots(self) -> Sequence[Slot] | None:
        """Each machine has slots of its own, which are not known here."""
        return None

    def reserve(self, slot: Slot, experiment: str, run: str) -> Taken | None:
        """Refuse nothing: there is nothing to take."""
        del slot, experiment, run
        return None

    def release(self, slot: Slot) -> None:
        """There is nothing to give back."""
        del slot

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Rent machines and divide the runs among them."""
        if not runs:
            return []
        machines = self._plan([(each.run.id, each.attempt) for each in runs], {each.run.id: each.run for each in runs})
        of_run = {run: machine.handle for machine in machines for run, _ in machine.runs}
        for each in runs:
            self._cared[of_run[each.run.id]].left.add(each.run_dir.path)
        return [Handle(each.run_dir, each.attempt, of_run[each.run.id]) for each in runs]

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Take up the care of a machine that an earlier launcher rented."""
        del run
        rented = self.record.machine(under_way.name or "")
        if rented is None:
            return None
        if rented.handle not in self._cared:
            cared = _Cared(rented)
            self._care_for(cared, self._adopted)
        self._cared[rented.handle].left.add(run_dir.path)
        return Handle(run_dir, under_way.attempt, rented.handle)

    def take_up(self) -> None:
        """Take up the care of every machine that may still be rented, so that none whose runs are home is left."""
        for rented in self.record.machines:
            if rented.alive and rented.handle not in self._cared:
                self._care_for(_Cared(rented), self._adopted)

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | None]:
        """Return how runs ended whose outcome has come home, or whose machine is given up."""
        if not self._news:
            return dict.fromkeys(handles)
        self._news = False
        outcomes = {handle: self._outcome(handle) for handle in handles}
        for handle, outcome in outcomes.items():
            if outcome is None:
                continue
            self._cared[handle.name].left.discard(handle.run_dir.path)
        return outcomes

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Ask the user after Ctrl-C; then ask the machines to end their runs, or give them back at once."""
        interrupted, self._woken = self._woken, False
        if interrupted and not kill and not self._take_down():
            raise LeftRunning
        for name in {handle.name for handle in handles}:
            cared = self._cared.get(name)
            if cared is not None and not cared.over:
                cared.stopping = True
                threading.Thread(target=self._end, args=(cared, kill), daemon=True).start()

    def wait(self, timeout: float | None) -> None:
        """Return when something came home, or after `timeout` seconds."""
        self._changed.wait(timeout)
        self._changed.clear()

    def wake(self) -> None:
        """Make `wait` return: something was asked of the launch, once there are machines by a signal."""
        self._woken = bool(self._cared)
        self._changed.set()

    def close(self) -> None:
        """Give machines back whose runs have ended; others go on."""
        self._closed.set()
        self._bring_now.set()
        ended = [cared for cared in self._cared.values() if cared.over or not cared.left]
        threads = [threading.Thread(target=self._finish, args=(cared,), daemon=True) for cared in ended]
        for thread in threads:
            thread.start()
        until = time.monotonic() + _JOIN
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        alive = [machine.name for machine in self.record.machines if machine.alive]
        if alive:
            self.say(
                f"{', '.join(alive)} may still be rented: `runslot resume` looks after them again, "
                "`runslot cloud down` gives them back; each ends itself at its deadline"
            )

    # ---- renting -------------------------------------------------------------------------------------------------

    def _plan(self, runs: Sequence[tuple[str, int]], known: Mapping[str, Run]) -> list[Rented]:
        """Write down what is to be rented, stage what travels, and begin."""
        if not self.terms.machines:
            raise InvalidInput(
                "this launch only looks after machines that work already: `runslot resume` rents further ones"
            )
        shares = divide(runs, min(self.terms.machines, len(runs)))
        batch = f"b{len({machine.share.batch for machine in self.record.machines}) + 1}"
        earlier = shares_of(self.record.machines)
        machines: list[Rented] = []
        jobs: list[Job] = []
        for number, share in enumerate(shares, 1):
            own = share_of(batch, number, len(shares))
            name = name_of(self.name, self.digest, len(self.record.machines) + number)
            price, what = self.terms.price, self.terms.what
            machines.append(
                Rented(
                    name,
                    own,
                    number - 1,
                    tuple(share),
                    self.terms.machine.infra,
                    price,
                    what,
                    seconds=self.terms.seconds,
                )
            )
            jobs.append(
                Job(
                    name=name,
                    experiment=self.experiment.path.name,
                    task=number - 1,
                    runs=tuple(known[run].directory for run, _ in share),
                    store=self.store.url,
                    share=own,
                    earlier=earlier,
                    sync_interval=self.terms.sync_interval,
                    seconds=self.terms.seconds,
                    reserve=min(120.0, self.terms.seconds / 10),
                    python=self.terms.python,
                    cloud=self.terms.machine.cloud,
                )
            )
        place = stage(self.experiment, self.code, shares, jobs)
        for machine, job in zip(machines, jobs, strict=True):
            task = task_of(self.terms.machine, job, str(place), {"runslot": self.name})
            self._write(machine)
            self._care_for(_Cared(machine), functools.partial(self._care, task=task, job=job))
        return machines

    def _care_for(self, cared: _Cared, what: Callable[[_Cared], None]) -> None:
        self._cared[cared.rented.handle] = cared
        cared.thread = threading.Thread(target=self._guarded, args=(what, cared), name=cared.rented.name, daemon=True)
        cared.thread.start()
        if self._bringer is None:
            self._bringer = threading.Thread(target=self._bring_home, name="bring", daemon=True)
            self._bringer.start()

    def _guarded(self, what: Callable[[_Cared], None], cared: _Cared) -> None:
        try:
            what(cared)
        except Exception as error:  # noqa: BLE001  a thread has no caller: the runs' outcomes say it
            self._give_up(cared, "lost", f"{type(error).__name__}: {error}")

    def _rent(self, cared: _Cared, task: Mapping[str, object]) -> bool:
        """Rent the machine; False where it cannot be had."""
        rented = cared.rented
        self._set(cared, launched=(*rented.launched, time.time()))
        self.say(f"renting {rented.name}: {rented.what or rented.infra}, ${rented.price:.3f} an hour")
        try:
            self.sky.rent(task, rented.name)
        except RunslotError as error:
            self._give_back(cared)
            self._give_up(cared, "lost", f"{error}; more in {self.experiment.path / 'cloud' / 'skypilot.log'}")
            return False
        self.say(f"{rented.name} works")
        return True

    def _care(self, cared: _Cared, task: Mapping[str, object], job: Job) -> None:
        while self._rent(cared, task):
            self._watch(cared)
            if cared.over or self._closed.is_set():
                return
            left = cared.rented.seconds - cared.rented.lived(time.time())
            lost = len(cared.rented.launched)
            if cared.stopping or lost > self.terms.recoveries or left < 300:
                self._give_back(cared)
                self._give_up(
                    cared, "stopped" if cared.stopping else "lost", f"{cared.rented.name} was lost {lost} times"
                )
                return
            self.say(f"{cared.rented.name} was lost; another takes its place")
            self._give_back(cared)
            shorter = dataclasses.replace(job, seconds=left)
            self._restage(shorter)
            task = {
                **task,
                **{
                    key: task_of(self.terms.machine, shorter, str(task["workdir"]), {})[key] for key in ("setup", "run")
                },
            }

    def _restage(self, job: Job) -> None:
        import json

        from runslot.launch.sky.job import job_file

        place = self.experiment.path / "cloud" / job.share.batch
        (place / job_file(job.task)).write_text(json.dumps(job.to_json(), indent=1))

    def _adopted(self, cared: _Cared) -> None:
        """Care for a machine that was rented before; one that is lost is not rented anew, a resume does that."""
        self._bring()
        if not self._has_ended(cared):
            self._watch(cared)
        if not cared.over and not self._closed.is_set():
            self._give_back(cared)
            self._give_up(cared, "lost", f"{cared.rented.name} was lost while nobody looked after it")

    # ---- watching ------------------------------------------------------------------------------------------------

    def _watch(self, cared: _Cared) -> None:
        """Return when the machine's work has ended (`over` is set), when it is lost, or when the launch is closed."""
        name = cared.rented.name
        looked = time.monotonic()
        while not self._closed.wait(1.0):
            if self._has_ended(cared):
                return
            if time.monotonic() - looked < self.terms.look:
                continue
            looked = time.monotonic()
            try:
                seen = self.sky.look([name])[name]
            except RunslotError as error:
                self.say(f"{error}; looking again")
                continue
            if not seen.working:
                self._bring()  # it may have ended well since
                if not self._has_ended(cared):
                    cared.lost = self._listing(cared).machine
                    self.say(f"{name} has ended without its work: SkyPilot says {seen.state} {seen.job}".rstrip())
                    self._keep_log(cared, seen)
                return

    def _keep_log(self, cared: _Cared, seen: Seen) -> None:
        """Keep what the job printed; a setup that failed would fail again, and is given up."""
        if seen.state == "gone":
            return
        file = self.experiment.path / "cloud" / f"{cared.rented.name}.log"
        try:
            file.write_text(self.sky.log(cared.rented.name))
        except (OSError, RunslotError) as error:
            self.say(f"what {cared.rented.name} printed could not be had: {error}")
        if seen.job == "FAILED_SETUP":
            self._give_back(cared)
            self._give_up(cared, "lost", f"the setup of {cared.rented.name} failed: {file} has what it printed")

    def _listing(self, cared: _Cared) -> Listing:
        return self._listings.get(cared.rented.share.name, Listing())

    def _has_ended(self, cared: _Cared) -> bool:
        """Give the machine back where its list says that it has nothing further to do."""
        listing = self._listing(cared)
        if not listing.machine or listing.machine == cared.lost or listing.state == "working":
            return False
        if listing.state == "stopped" and not cared.stopping:  # the cloud takes it back
            cared.lost = listing.machine
            return False
        kinds = {"failed": "lost", "deadline": "stopped", "stopped": "stopped", "done": "lost"}
        said = {"deadline": "the machine's deadline was reached", "stopped": "it was asked to stop"}
        self._give_back(cared)
        self._give_up(
            cared, kinds[listing.state], listing.said or said.get(listing.state, "the machine left no outcome")
        )
        return True

    def _give_back(self, cared: _Cared) -> None:
        name = cared.rented.name
        for _ in range(3):
            try:
                self.sky.give_back(name)
            except RunslotError as error:
                self.say(str(error))
                time.sleep(2)
            else:
                self._set(cared, ended=(*cared.rented.ended, time.time())[: len(cared.rented.launched)])
                return

    def _finish(self, cared: _Cared) -> None:
        if cared.thread is not None:
            cared.thread.join(_JOIN)
        if cared.rented.alive:
            self._give_back(cared)

    def _give_up(self, cared: _Cared, kind: str, why: str) -> None:
        if not cared.over:
            cared.over, cared.why = kind, why
            self._tell()

    def _end(self, cared: _Cared, kill: bool) -> None:
        if kill:
            self._give_back(cared)
            self._give_up(cared, "stopped", "its machine was given back at once")
            return
        self.sky.end(cared.rented.name)
        self._bring_now.set()

    # ---- bringing home -------------------------------------------------------------------------------------------

    def _bring_home(self) -> None:
        pause = max(2.0, min(self.terms.sync_interval / 2, 60.0))
        while not self._closed.is_set():
            self._bring_now.wait(pause)
            self._bring_now.clear()
            if not self._closed.is_set():
                self._bring()

    def _bring(self) -> None:
        with self._bringing:
            try:
                brought = bring(self.experiment, self.record, self.store)
            except Busy:
                return  # whoever pulls brings it as well
            except RunslotError as error:
                self.say(f"{error}; pulling again later")
                return
            self._listings = brought.listings
            if brought.files:
                self._tell()

    def _outcome(self, handle: Handle) -> Outcome | None:
        cared = self._cared[handle.name]
        found = handle.run_dir.read_outcome()
        if found is not None and found.attempt >= handle.attempt:
            last = found.kind == "succeeded" or found.attempt >= handle.attempt + self.retries
            if last or cared.over:
                return found
        if not cared.over:
            return None
        kind: Kind = "stopped" if cared.over == "stopped" else "lost"
        return Outcome(kind, handle.attempt, ended=time.time(), host=cared.rented.name, message=cared.why)

    # ---- small things --------------------------------------------------------------------------------------------

    def _take_down(self) -> bool:
        """Return whether the machines are to be given back, after Ctrl-C."""
        if self.ask is None:
            return False
        answer = self.ask("the machines go on working: [l]eave them, or [s]top the runs and give them back? ")
        return answer.strip().lower()[:1] in {"s", "t", "y"}

    def _tell(self) -> None:
        self._news = True
        self._changed.set()

    def _set(self, cared: _Cared, **changes: object) -> None:
        cared.rented = dataclasses.replace(cared.rented, **changes)  # type: ignore[arg-type]
        self._write(cared.rented)

    def _write(self, rented: Rented) -> None:
        with self._lock:
            self.record = self.record.with_machine(rented)
            write_record(self.experiment, self.record)


def terminal() -> Callable[[str], str] | None:
    """Return how to ask whoever sits at the terminal; None where nobody does."""
    if not (sys.stdin and sys.stdin.isatty()) or os.environ.get("RUNSLOT_YES") == "1":
        return None
    return input
