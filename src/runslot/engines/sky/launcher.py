"""Rented machines as an engine: they take the runs of a batch one after the other, and what these
write comes home.

`Fleet` looks after the machines and brings home what has changed; here is what a launch asks, and
when a run has ended.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from runslot.engines.bell import Bell
from runslot.engines.events import Asks, Observer, Said
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Handle, Launcher, LeftRunning, Placed, Taken, UnderWay
from runslot.engines.sky.client import SkyPilot
from runslot.engines.sky.cost import YES, Budget, ask, is_anybody_there
from runslot.engines.sky.fleet import Fleet
from runslot.engines.sky.rental import Record, Rented, batch_of
from runslot.engines.sky.tasks import Job, digest_of, labels_of, name_of, stage, task_of
from runslot.errors import InvalidInput
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir
from runslot.experiment.states import UNFINISHED
from runslot.hardware.slots import Slot
from runslot.transport.bucket import MachineShare
from runslot.transport.bucket.store import Store

if TYPE_CHECKING:
    from runslot.engines.sky.config import Sky

_JOIN_S = 300.0
"""Seconds that the end waits for machines to be given back."""


class SkyLauncher(Launcher):
    """Machines of one experiment."""

    def __init__(
        self,
        experiment: OpenExperiment,
        config: Sky,
        budget: Budget | None,
        sky: SkyPilot,
        store: Store,
        record: Record,
        observer: Observer,
    ) -> None:
        """Look after all machines that may still be rented; without a budget none are rented
        besides.
        """
        self._file = experiment.file
        self._experiment = experiment.directory
        self._digest = digest_of(experiment.directory, experiment.file)
        self._retries = experiment.policy.retries
        self._config = config
        self._budget = budget
        self._store = store
        self._observer = observer
        self._last_text = ""
        self._handled: dict[Handle, Run] = {}
        self._bell = Bell()
        self._is_interrupted = False
        self._has_news = True
        directory = experiment.directory
        self._fleet = Fleet(directory, config, sky, store, record, self._say, self._tell)
        for rented in record.alive:  # none whose runs are home is left
            self._fleet.take_up(rented)

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
        record = self._fleet.record
        name = under_way.name or record.handle_of(run.id)
        machines = record.batch(name or "")
        if name is None or not machines:
            return None
        for rented in machines:
            self._fleet.take_up(rented)
        return self._handle(run, Handle(run_dir, under_way.attempt, name))

    def _handle(self, run: Run, handle: Handle) -> Handle:
        self._handled[handle] = run
        return handle

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | None]:
        """Return how runs ended whose outcome has come home, or whose machine is given up."""
        if not self._has_news:
            return dict.fromkeys(handles)
        self._has_news = False
        return {handle: self._outcome(handle) for handle in handles}

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Ask the user after Ctrl-C; then ask the machines to end these runs, or give them back at
        once.
        """
        is_interrupted, self._is_interrupted = self._is_interrupted, False
        if is_interrupted and not kill and not self._take_down():
            raise LeftRunning
        for batch in {batch_of(handle.name) for handle in handles}:
            stopped = [self._handled[h] for h in handles if batch_of(h.name) == batch]
            is_all = {run.id for run in stopped} >= self._unfinished(batch)
            if kill and is_all:
                self._fleet.kill(batch)
            else:
                runs = None if is_all else [run.directory for run in stopped]
                work = threading.Thread(target=self._fleet.stop, args=(batch, runs), daemon=True)
                work.start()

    def wait(self, timeout: float | None) -> None:
        """Return when something came home, or after `timeout` seconds."""
        self._bell.wait(timeout)

    def wake(self) -> None:
        """Make `wait` return: something was asked of the launch, once there are machines by a
        signal.
        """
        self._is_interrupted = bool(len(self._fleet))
        self._bell.ring()

    def close(self) -> None:
        """Give machines back whose runs have ended; others go on."""
        batches = {machine.share.batch for machine in self._fleet.record.machines}
        self._fleet.close({batch for batch in batches if not self._unfinished(batch)}, _JOIN_S)
        for machine in self._fleet.record.alive:
            last = time.localtime(machine.launched[-1] + machine.seconds)
            self._say(
                f"{machine.name} is still rented, ${machine.price:.3f} an hour, until"
                f" {time.strftime('%Y-%m-%d %H:%M', last)} at the latest: `runslot cloud down"
                f" {self._experiment.path}` gives it back"
            )

    # ---- renting ---------------------------------------------------------------------------------

    def _rent(self, runs: Sequence[Run], attempts: Sequence[int]) -> str:
        """Write down what is to be rented, stage what travels, and begin; return the name of the
        runs' handles.
        """
        if self._budget is None:
            raise InvalidInput(
                "this launch only looks after machines that work already: `runslot resume` rents"
                " further ones"
            )
        earlier = self._fleet.record.machines
        count = min(self._budget.machines, len(runs))
        batch = f"b{len({machine.share.batch for machine in earlier}) + 1}"
        turns = [(run.id, attempt) for run, attempt in zip(runs, attempts, strict=True)]
        machines = [
            Rented(
                name=name_of(self._file.name, self._digest, len(earlier) + share.number),
                share=share,
                task=share.number - 1,
                runs=tuple(turns if share.number == 1 else ()),
                infra=self._config.place,
                price=self._budget.hourly / self._budget.machines,
                what=self._budget.offer.what,
                seconds=self._budget.seconds,
                managed=self._budget.managed,
            )
            for share in MachineShare(batch, 1, count).batch_shares
        ]
        shares = tuple(machine.share for machine in earlier)
        jobs = [self._job(machine, shares, runs) for machine in machines]
        code = "code" if self._file.code is None else self._file.code.copy
        place = stage(self._experiment, code, turns, jobs)
        for machine in machines:
            self._fleet.write(machine)
        for machine, job in zip(machines, jobs, strict=True):
            labels = labels_of(self._file.name)
            self._fleet.rent(
                machine, task_of(self._config, job, str(place), labels, machine.managed)
            )
        return machines[0].handle

    def _job(self, machine: Rented, earlier: tuple[MachineShare, ...], runs: Sequence[Run]) -> Job:
        return Job(
            name=machine.name,
            experiment=self._experiment.path.name,
            task=machine.task,
            runs=tuple(run.directory for run in runs),
            store=self._store.url,
            share=machine.share,
            earlier=earlier,
            sync_interval=self._config.sync_interval,
            seconds=machine.seconds,
            reserve=min(120.0, machine.seconds / 10),
            python=self._config.python,
            cloud=self._config.cloud,
        )

    # ---- how runs ended --------------------------------------------------------------------------

    def _outcome(self, handle: Handle) -> Outcome | None:
        batch = batch_of(handle.name)
        # Before the outcome is read: the fleet brings it home from a thread, and only then says
        # that its machine has ended.
        end = self._fleet.end_of(batch)
        outcome = handle.run_dir.read_outcome()
        if outcome is not None and (
            self._is_last(outcome, handle.attempt, batch, self._handled[handle].directory)
            or (end is not None and outcome.attempt >= handle.attempt)
        ):
            return outcome
        if end is None:
            return None
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
            lists = self._fleet.listings(batch)
            is_settled = any(directory in listing.settled for listing in lists)
            return is_settled and outcome.attempt >= attempt
        return outcome.attempt >= attempt + self._retries

    def _unfinished(self, batch: str) -> set[str]:
        """Return the ids of a batch's runs whose end has not come home."""
        file = self._experiment.read()
        attempts = self._fleet.record.runs_of(batch)
        unfinished = set(attempts)
        for run in self._experiment.read_runs():
            if run.id in unfinished:
                outcome = self._experiment.run_dir(run, file).read_outcome()
                if outcome is not None and self._is_last(
                    outcome, attempts[run.id], batch, run.directory
                ):
                    unfinished.discard(run.id)
        return unfinished

    # ---- small things ----------------------------------------------------------------------------

    def _take_down(self) -> bool:
        """Return whether the machines are to be given back, after Ctrl-C; who leaves the question
        leaves them.
        """
        if not is_anybody_there() or os.environ.get(YES) == "1":
            return False
        question = (
            "the machines go on working: [l]eave them, or [s]top the runs and give them back? "
        )
        self._observer(Asks(question))
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            answer = ask(question)
            while answer is not None and answer[:1] not in {"l", "s"}:
                answer = ask("l, to leave them, or s, to stop: ")
        finally:
            signal.signal(signal.SIGINT, before)
            self._observer(Asks(question, over=True))
        return answer is not None and answer[0] == "s"

    def _say(self, text: str) -> None:
        if text != self._last_text:  # as while a bucket does not answer: once is enough
            self._last_text = text
            self._observer(Said(text))

    def _tell(self) -> None:
        self._has_news = True
        self._bell.ring()
