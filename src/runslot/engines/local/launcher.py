"""This machine as an engine: slots held by leases, keepers forked from templates, ends noticed
through pidfds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from runslot.engines.local.recarve import Recarver
from runslot.engines.local.template import (
    Import,
    KeeperProcess,
    ProcessDied,
    TemplateProcess,
    Templates,
)
from runslot.engines.local.watch import Poller, Watch
from runslot.engines.protocol import Handle, Placed, Short, Taken, UnderWay
from runslot.errors import NotFound, RunslotError, shortage_of
from runslot.execute.leftovers import Leftover, end_escaped, find_leftovers
from runslot.execute.spawn import allow_many, why_no_further
from runslot.experiment.claim import find_keeper, is_claimed, is_free
from runslot.experiment.files import absence_of, write_json
from runslot.experiment.processes import ProcessHandle, host_name, is_alive, keeper_of
from runslot.experiment.records import (
    Outcome,
    Run,
)
from runslot.experiment.rundir import RunDir
from runslot.hardware.lease import Holder, Lease, LeaseRefusal, Leases
from runslot.hardware.slots import Slot
from runslot.hardware.visibility import import_environment
from runslot.record import record

_POLL = 0.02
"""Seconds between looks at processes where the kernel does not announce their end (macOS)."""
_LEFTOVERS_PERIOD_S = 1.0
"""Between looks whether what killed runs had left is still there."""
_CLAIM_PERIOD_S = 0.25
"""Between looks at the claim of a run whose keeper is not known here: the disk may be another
machine's.
"""


@record(frozen=False)
class _Place:
    """The keeper that a slot has, forked from one template; a slot has one at a time."""

    template: TemplateProcess
    keeper: KeeperProcess


class LocalLauncher:
    """Runs in slots of this machine."""

    def __init__(
        self,
        slots: Sequence[Slot],
        log: Path | None = None,
        say: Callable[[str], None] = print,
        recarver: Recarver | None = None,
        leftovers: Sequence[Leftover] | None = None,
    ) -> None:
        """Make one; `leftovers` are what killed runs left on its slots; else it is looked for."""
        self._slots = tuple(slots)
        self._recarver = recarver
        self.say = say
        self.checked: set[str] = set()
        """Containers and functions that were found to work."""
        self._leases = Leases()
        self._reserved: dict[int, Lease] = {}
        self._leftovers = leftovers
        self._leftovers_until = 0.0
        self._spoilt: set[str] = set()
        """Locks of which it was said that something else lies in their place."""
        self._refused: set[int] = set()
        """Slots that someone else had when they were last asked for."""
        self._templates = Templates(log, say, import_environment(self._slots))
        self._places: dict[int | None, _Place] = {}
        self._watched: dict[Handle, Watch] = {}
        self._as_told: dict[int, tuple[Slot, dict[str, Any]]] = {}
        self._poller = Poller()
        allow_many()

    def slots(self) -> Sequence[Slot]:
        """Return the slots that were carved."""
        return self._slots

    def recarve(self, slot: Slot, outcome: Outcome) -> Sequence[Slot] | None:
        """Return the slots from here on, where what a run used says how many share a GPU."""
        recarver = self._recarver
        if recarver is None or not recarver.note(slot, outcome):
            return None
        self._slots = recarver.slots(self._slots)
        self.say(recarver.sentence)
        return self._slots

    def prepare(self, imported: Import) -> None:
        """Import the function in a template, so that a function that cannot be imported is refused
        before any run.
        """
        self._templates.of(imported)

    def reserve(self, slot: Slot, experiment: str, run: str) -> Taken | None:
        """Take a slot's lease, which the run that is started next in it inherits."""
        if slot.index in self._reserved:
            return None
        crowded = "" if slot.index in self._places else why_no_further(len(self._reserved))
        if crowded:
            return Taken(crowded)
        if leftover := self._left_in(slot):
            return Taken(f"waits for the cores of slot {slot.index}: {leftover}")
        try:
            lease = self._leases.try_acquire(slot, Holder.of(experiment, run))
        except OSError as error:
            if reason := shortage_of(error):
                return Short(reason)
            raise
        if isinstance(lease, LeaseRefusal):
            self._refused.add(slot.index)
            return Taken(str(lease))
        self._refused.discard(slot.index)
        self._reserved[slot.index] = lease
        self._say_spoilt()
        return None

    def _left_in(self, slot: Slot) -> Leftover | None:
        """Return what a killed run has left on the slot's cores, as far as it was there when this
        launch began.
        """
        if self._leftovers is None or (
            self._leftovers and time.monotonic() > self._leftovers_until
        ):
            self._leftovers = find_leftovers()
            self._leftovers_until = time.monotonic() + _LEFTOVERS_PERIOD_S
        pus = set(slot.pus)
        return next(
            (leftover for leftover in self._leftovers if not leftover.pus.isdisjoint(pus)), None
        )

    def _say_spoilt(self) -> None:
        for file in self._leases.spoilt.keys() - self._spoilt:
            self._spoilt.add(file)
            self.say(self._leases.spoilt[file])

    def release(self, slot: Slot) -> None:
        """Let go of a lease that `reserve` took."""
        self._reserved.pop(slot.index).close()

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Start the runs whose slot can be had."""
        answers = [self._start(placed) for placed in runs]
        if answers and not self._refused:
            # what this launcher once waited for, others need not leave to it
            self._leases.stop_waiting()
        return answers

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Watch a keeper that another launcher started."""
        del run
        if under_way.record is None:
            return None
        process = find_keeper(run_dir, under_way.record.pid)
        if process is None and is_free(run_dir):
            return None
        return self._watch_adopted(run_dir, under_way, process)

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | Short | None]:
        """Return the outcomes of those whose keeper has ended."""
        return {handle: self._poll(handle) for handle in handles}

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Ask keepers to stop their runs; a keeper that is asked twice kills."""
        for handle in handles:
            watch = self._watched.get(handle)
            if watch is not None:
                watch.stop(handle.run_dir, kill)

    def wait(self, timeout: float | None) -> None:
        """Return when a keeper ended, on `wake`, or after `timeout` seconds."""
        now = time.monotonic()
        looks = [
            max(_POLL, w.next_look - now) for w in self._watched.values() if w.descriptor is None
        ]
        self._poller.wait(min(looks if timeout is None else [timeout, *looks], default=None))

    def wake(self) -> None:
        """Make `wait` return."""
        self._poller.wake()

    def close(self) -> None:
        """End the templates and idle keepers, and wait for no slot."""
        self._leases.stop_waiting()
        for lease in self._reserved.values():
            lease.close()
        self._reserved.clear()
        for place in self._places.values():
            place.keeper.close()
        self._templates.close()
        for watch in self._watched.values():
            watch.close()
        self._watched.clear()
        self._poller.close()

    # ---- starting --------------------------------------------------------------------------------

    def _start(self, placed: Placed) -> Handle | Taken | Outcome:
        refusal = (
            None
            if placed.slot is None
            else self.reserve(placed.slot, placed.experiment, placed.run.directory)
        )
        if refusal is not None:
            return refusal
        lease = None if placed.slot is None else self._reserved.pop(placed.slot.index)
        try:
            keeper = self._hand_over(placed, () if lease is None else lease.descriptors)
        except (RunslotError, OSError) as error:  # this run's misfortune, not the others'
            if reason := shortage_of(error) or absence_of(error, placed.run_dir.path):
                return Short(reason)
            return self._not_started(placed.attempt, f"could not be started: {error}")
        finally:
            if lease is not None:
                lease.close()
        handle = Handle(placed.run_dir, placed.attempt, str(keeper.process.pid))
        watch = self._watched[handle] = Watch(keeper)
        watch.limit(placed.run_dir)
        self._poller.add(keeper.fileno())
        return handle

    def _not_started(self, attempt: int, message: str) -> Outcome:
        return Outcome("lost", attempt, ended=time.time(), host=host_name(), message=message)

    def _hand_over(self, placed: Placed, leases: Sequence[int]) -> KeeperProcess:
        """Give the run to its slot's keeper; a keeper or template that was killed meanwhile is
        replaced once.
        """
        file = placed.run_dir.read_run()
        slot = self._as_json(placed.slot)
        for last_try in (False, True):
            template = self._templates.for_run(placed.run_dir, file)
            try:
                keeper = self._keeper_for(
                    template, None if placed.slot is None else placed.slot.index
                )
                keeper.start(placed.run_dir.path, placed.attempt, slot, placed.environment, leases)
            except ProcessDied:
                self._forget(template)
                if last_try:
                    raise
            else:
                return keeper
        raise AssertionError("unreachable")

    def _as_json(self, slot: Slot | None) -> dict[str, Any] | None:
        """Return a slot as JSON; a launcher has the same few for all its runs."""
        if slot is None:
            return None
        entry = self._as_told.get(slot.index)
        if entry is None or entry[0] is not slot:
            entry = self._as_told[slot.index] = (slot, slot.to_json())
        return entry[1]

    def _keeper_for(self, template: TemplateProcess, slot: int | None) -> KeeperProcess:
        place = self._places.get(slot)
        if place is not None:
            if slot is not None and place.template is template and not place.keeper.signalled:
                return place.keeper
            place.keeper.close()
        place = self._places[slot] = _Place(template, template.fork_keeper())
        return place.keeper

    def _forget(self, template: TemplateProcess) -> None:
        self._templates.forget(template)
        self._places = {
            slot: place for slot, place in self._places.items() if place.template is not template
        }

    # ---- watching --------------------------------------------------------------------------------

    def _watch_adopted(
        self, run_dir: RunDir, under_way: UnderWay, process: ProcessHandle | None
    ) -> Handle:
        assert under_way.record is not None
        handle = Handle(
            run_dir,
            under_way.attempt,
            str(under_way.record.pid if process is None else process.pid),
        )
        watch = self._watched[handle] = Watch(process=process)
        with suppress(NotFound):  # moved away this moment; its keeper knows the limit
            watch.limit(run_dir, max(0.0, time.time() - under_way.record.started))
        if watch.descriptor is not None:
            self._poller.add(watch.descriptor)
        return handle

    def _poll(self, handle: Handle) -> Outcome | Short | None:
        watch = self._watched[handle]
        watch.enforce(handle.run_dir)
        if watch.keeper is not None:
            return self._hear(handle, watch.keeper)
        if watch.process is not None and watch.process.lives and not is_free(handle.run_dir):
            return None
        if watch.next_look > time.monotonic():
            return None
        self._unwatch(handle)
        return self._conclude(handle, watch)

    def _hear(self, handle: Handle, keeper: KeeperProcess) -> Outcome | Short | None:
        answer = keeper.answer()
        if answer is None:
            return None
        watch = self._watched[handle]
        self._unwatch(handle)
        if "died" in answer or "unwritten" in answer:
            self._let_go(keeper)
        if "outcome" in answer:
            return Outcome.from_json(answer["outcome"])
        if answer.get("short"):
            return Short(answer["short"])
        record = handle.run_dir.read_attempt() if "busy" in answer else None
        # its keeper writes the outcome as soon as it can
        if record is not None and record.attempt < handle.attempt:
            return Short(f"the end of attempt {record.attempt} cannot be written yet")
        if "failed" in answer:
            return self._not_started(handle.attempt, answer["failed"])
        return self._conclude(handle, watch)

    def _let_go(self, keeper: KeeperProcess) -> None:
        """Have another keeper for the slot: this one is gone, or has an outcome to write as soon as
        it can.
        """
        keeper.close()
        self._places = {
            slot: place for slot, place in self._places.items() if place.keeper is not keeper
        }

    def _conclude(self, handle: Handle, watch: Watch) -> Outcome | None:
        """Return how a run ended whose keeper is gone; None where another keeper has it.

        Another keeper has it where a launcher, or a template, was killed between asking for one and
        noting it.
        """
        claimed = is_claimed(
            handle.run_dir
        )  # asked before the outcome is read: it writes that and lets go
        outcome = handle.run_dir.read_outcome()
        if outcome is not None and outcome.attempt >= handle.attempt:
            return outcome
        if claimed or watch.is_away(handle.run_dir):
            self._watched[handle] = Watch(
                deadline=watch.deadline,
                next_look=time.monotonic() + _CLAIM_PERIOD_S,
                away_since=watch.away_since,
            )
            return None
        problem = self._end_container(handle.run_dir)
        escaped = end_escaped(handle.run_dir.path)
        record = handle.run_dir.read_attempt()
        started = None if record is None else record.started
        reason = "the process that kept it was killed"
        if record is not None and is_alive(keeper_of(record)) is None:
            reason = (
                f"its keeper on {record.host} gave up the claim, or the disk's server took it,"
                " without an outcome"
            )
        outcome = Outcome(
            kind="lost",
            attempt=handle.attempt,
            started=started,
            ended=max(started or 0.0, time.time()),  # a clock may have been set back
            host=host_name(),
            message=reason + (f"; ended {escaped} of its processes" if escaped else ""),
            notes=(problem,) if problem else (),
        )
        outcome = watch.outcome(outcome)
        try:
            write_json(handle.run_dir.outcome_file, outcome.to_json())
        except OSError as error:  # deleted, or a full disk: the journal has it
            return replace(outcome, message=f"{outcome.message} ({error.strerror})")
        return outcome

    def _end_container(self, run_dir: RunDir) -> str:
        try:
            file = run_dir.read_run()
        except RunslotError:  # deleted
            return ""
        if file.container is None:
            return ""
        from runslot.execute.outside import (
            end_run_of_killed_keeper,
        )  # the keeper's modules, for containers alone

        return end_run_of_killed_keeper(run_dir, file, os.environ)

    def _unwatch(self, handle: Handle) -> None:
        watch = self._watched.pop(handle)
        if watch.descriptor is not None:
            self._poller.remove(watch.descriptor)
        watch.close()
