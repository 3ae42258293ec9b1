"""The one loop: collect what happened, let `step` decide, carry it out, wait.

It serves one experiment, or all that share the slots of this process, and an engine behind the
`Launcher` protocol.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator

from runslot.engines.events import (
    Observer,
    RunDropped,
    RunEnded,
    RunStarted,
    RunWaits,
    Said,
    StopNoted,
)
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import (
    Handle,
    HasBacklog,
    Launcher,
    Placed,
    Short,
    Taken,
    UnderWay,
)
from runslot.errors import RunslotError, shortage_of
from runslot.experiment.files import absence_of
from runslot.experiment.records import Outcome, Run
from runslot.hardware.slots import Slot
from runslot.launch.hold import Holds, Interrupts, SlotWaits
from runslot.launch.printer import pause_said
from runslot.launch.share import (
    LaunchRun,
    Progress,
    Share,
    SlotTable,
    could_not_start,
    end_meanwhile,
)
from runslot.scheduler import (
    Action,
    Added,
    Adopted,
    Drop,
    Ended,
    Event,
    Key,
    Paused,
    SlotTaken,
    Start,
    State,
    Stop,
    StopAsked,
    Vanished,
    next_moment,
    room,
    step,
)

_LOOK_AT_REQUESTS = 0.5
"""Seconds between looks into `requests/`, which may lie on a network disk."""
_RETRY_TAKEN = 0.1
"""Seconds until a slot that someone else holds is tried again."""


class Supervisor:
    """Runs shares of experiments to their end."""

    def __init__(
        self, launcher: Launcher, observer: Observer, notices: Collection[int] = ()
    ) -> None:
        """Make one; `notices` are signals that ask for a stop however often they come, and never
        kill.
        """
        self._interrupts = Interrupts(notices, launcher.wake)
        self._launcher = launcher
        self._holds = Holds(observer)
        self._observer = observer
        self._slots = SlotTable(launcher)
        self._state = State(self._slots.indices)
        self._entries: list[LaunchRun] = []
        self._handles: dict[Key, Handle] = {}
        self._open: list[Progress] = []
        self._inbox: deque[Share | Event] = deque()
        self._last_look = 0.0
        self._elsewhere: set[Key] = set()
        """Adopted runs that a machine has which cannot be asked from here."""
        self._waits = SlotWaits(observer)

    # ---- from other threads ----------------------------------------------------------------------

    def add(self, share: Share) -> None:
        """Have further runs done; from any thread."""
        self._inbox.append(share)
        self._launcher.wake()

    def ask(self, event: Event) -> None:
        """Pass an event to the decision, as a stop; from any thread."""
        self._inbox.append(event)
        self._launcher.wake()

    def problem(self, experiment: OpenExperiment) -> str:
        """Return what kept the experiment's starts back to the end; empty where nothing did."""
        return self._holds.problem(experiment)

    @property
    def idle(self) -> bool:
        """Whether nothing runs, waits, or was added since."""
        return self._state.done and not self._inbox and not any(map(self._stays_open, self._open))

    @property
    def interrupted(self) -> bool:
        """Whether the user asked this process to stop (Ctrl-C, SIGTERM)."""
        return self._interrupts.count > 0

    # ---- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Go on until nothing runs and nothing waits; in the main thread Ctrl-C stops the runs."""
        with self._interrupts.heard():
            while True:
                self._decide([*self._collect()])
                self._close_finished()
                if self.idle:
                    return
                self._launcher.wait(self._patience())

    def hand_over(self) -> None:
        """Start what is to be done in an engine that goes on by itself, and leave it there, as soon
        as it has all of it; on Ctrl-C what it has.
        """
        self._decide([*self._collect()])
        with contextlib.suppress(KeyboardInterrupt):
            while isinstance(self._launcher, HasBacklog) and self._launcher.backlog:
                self._launcher.wait(self._patience())
                self._decide([*self._collect()])
        self._close_finished()
        for progress in self._open:
            progress.leave(self._observer)
        self._open.clear()

    def _decide(self, events: list[Event]) -> None:
        while True:
            self._state, actions = step(self._state, events, time.monotonic())
            self._note_ends(events, actions)
            events = [*self._carry_out(actions), *self._grow()]
            if not events:
                return

    def _collect(self) -> Iterator[Event]:
        while self._inbox:
            item = self._inbox.popleft()
            if isinstance(item, Share):
                yield from self._take_on(item)
            else:
                yield item
        yield from (StopAsked(None, kill) for kill in self._interrupts.take())
        yield from self._requests()
        keys = {handle: key for key, handle in self._handles.items()}
        yield from self._slots.changes(keys, self._entries)
        for handle, outcome in self._launcher.poll(list(keys)).items():
            if outcome is not None:
                yield self._end(keys[handle], outcome)
                yield from self._recarve(keys[handle], outcome)
        self._holds.say_starts(self._handles, time.monotonic())
        yield from self._halts()

    def _end(self, key: Key, outcome: Outcome | Short) -> Event:
        """Return what the end of a run means: it may be done again, or never have begun."""
        experiment, run = self._entries[key].experiment, self._entries[key].run
        unbegun = isinstance(outcome, Short) or (outcome.kind == "lost" and outcome.started is None)
        away = self._holds.away(experiment, time.monotonic()) if unbegun else ""
        if isinstance(outcome, Short) or away:
            self._handles.pop(key, None)
            by = outcome.by if isinstance(outcome, Short) else away
            experiment.journal.write(
                "slot_taken", time.time(), run=run.id, slot=self._slot_of(key), by=by
            )
            return self._hold(key, by)
        self._holds.say_starts({key})
        if (growth := self._entries[key].progress.growth) is not None:
            outcome = growth.settle(run, outcome)
        if outcome.kind == "lost" and key in self._elsewhere:
            return Vanished(key, outcome)
        return Ended(key, outcome)

    def _recarve(self, key: Key, outcome: Outcome | Short) -> Iterator[Event]:
        if (event := self._slots.recarve(self._state, key, outcome)) is not None:
            for progress in self._open:
                progress.experiment.journal.write("recarved", time.time(), slots=len(event.slots))
            yield event

    def _slot_of(self, key: Key) -> int | None:
        return next(iter(self._state.running[key].occupies), None)

    def _hold(self, key: Key, reason: str) -> Event:
        """Put a run back whose start is held; it is tried again."""
        experiment, now = self._entries[key].experiment, time.monotonic()
        if not self._holds.away(experiment, now):
            self._holds.short(experiment, reason, now)
        self._holds.retract(key, RunWaits(self._entries[key].run, self._slot_of(key), reason))
        return SlotTaken(key, self._holds.pause(experiment, now))

    def _halts(self) -> Iterator[Event]:
        """Yield which runs can never start, and which have shown enough for their search."""
        now = time.monotonic()
        for progress in self._open:
            yield from progress.given_up(self._holds, self._handles, now)
            yield from progress.halts(now)

    def _grow(self) -> Iterator[Event]:
        """Yield the runs that come next where a slot would wait for them."""
        for progress in self._open:
            yield from progress.grow(room(self._state), self._entries, self._holds)

    def _stays_open(self, progress: Progress) -> bool:
        if self._state.stopped:
            return False
        now = time.monotonic()
        return progress.waits(self._holds) or progress.is_astray(self._holds, now)

    def _patience(self) -> float:
        now, moment = time.monotonic(), next_moment(self._state)
        look = self._last_look + _LOOK_AT_REQUESTS
        return max(0.0, (look if moment is None else min(look, moment)) - now)

    # ---- experiments come and go -----------------------------------------------------------------

    def _take_on(self, share: Share) -> Iterator[Event]:
        experiment = share.experiment
        first = len(self._entries)
        runs = (*share.runs, *(run for run, _ in share.adopt))
        keys = range(first, first + len(runs))
        ids = {run.id: key for run, key in zip(runs, keys, strict=True)}
        progress = Progress(experiment, set(keys), growth=share.growth, keys=ids)
        self._entries += [LaunchRun(progress, run) for run in runs]
        self._open.append(progress)
        experiment.enlist()
        share.announce(self._observer, self._slots.all())
        attempts = {
            first + i: share.attempts[run.id]
            for i, run in enumerate(share.runs)
            if run.id in share.attempts
        }
        for i, (run, under_way) in enumerate(share.adopt):
            yield from self._adopt(first + len(share.runs) + i, run, under_way)
        yield Added(tuple(keys)[: len(share.runs)], experiment.policy, attempts)

    def _adopt(self, key: Key, run: Run, under_way: UnderWay) -> Iterator[Event]:
        entry = self._entries[key]
        run_dir = entry.experiment.run_dir(run)
        handle = self._launcher.adopt(run_dir, run, under_way)
        record = under_way.record
        if handle is None and record is None and run_dir.read_outcome() is None:
            # Noted before it was handed over, and its engine never had it: no keeper has begun this
            # attempt.
            yield Added((key,), entry.experiment.policy, {key: under_way.attempt})
            return
        slot = None if record is None else record.occupied
        yield Adopted(key, under_way.attempt, self._slots.meeting(slot), entry.experiment.policy)
        if handle is None:  # it ended since its status was read
            yield end_meanwhile(key, run_dir, under_way)
            return
        if under_way.elsewhere:
            self._elsewhere.add(key)
        self._handles[key] = handle
        index = None if slot is None else slot.index
        self._observer(RunStarted(run, run_dir.path, under_way.attempt, index, adopted=True))

    def _close_finished(self) -> None:
        for progress in [*self._open]:
            if progress.open_keys or self._stays_open(progress):
                continue
            experiment = progress.experiment
            self._holds.away(experiment, time.monotonic())
            self._open.remove(progress)
            progress.end(self._observer)

    # ---- what happened ---------------------------------------------------------------------------

    def _requests(self) -> Iterator[Event]:
        if time.monotonic() - self._last_look < _LOOK_AT_REQUESTS:
            return
        self._last_look = time.monotonic()
        for progress in self._open:
            experiment = progress.experiment
            self._holds.away(experiment, self._last_look)
            experiment.journal.sync_when_due(self._last_look)
            for request in progress.requests(self._observer):
                event = progress.wish(request, alone=len(self._open) == 1)
                yield event
                if isinstance(event, Paused):
                    self._observer(Said(pause_said(event.paused, experiment.file.name)))
                request.file.unlink(missing_ok=True)

    # ---- what to do ------------------------------------------------------------------------------

    def _carry_out(self, actions: Iterable[Action]) -> list[Event]:
        """Do as decided; return what came of it that must be decided on at once."""
        starts = [action for action in actions if isinstance(action, Start)]
        stops = [action for action in actions if isinstance(action, Stop)]
        events = self._start(starts)
        for action in actions:
            if isinstance(action, Drop):
                self._drop(action)
        self._stop(stops)
        return events

    def _note_ends(self, events: Iterable[Event], actions: Iterable[Action]) -> None:
        # What is done again waits for its moment, or has a free slot and starts in this very step.
        again = {waiting.key for waiting in self._state.again}
        again |= {action.key for action in actions if isinstance(action, Start)}
        for event in events:
            if not isinstance(event, (Ended, Vanished)):
                continue
            progress, run = self._entries[event.key].progress, self._entries[event.key].run
            experiment = progress.experiment
            self._handles.pop(event.key, None)
            self._holds.ended(experiment, event.key)
            self._elsewhere.discard(event.key)
            retry = event.key in again
            experiment.ended(run, event.outcome, time.time(), retry)
            progress.outcomes[run.id] = event.outcome
            if not retry:
                progress.open_keys.discard(event.key)
                if progress.growth is not None:
                    progress.growth.ended(run, event.outcome)
            self._observer(RunEnded(run, experiment.run_dir(run).path, event.outcome, retry))

    def _start(self, starts: list[Start]) -> list[Event]:
        placed: list[Placed] = []
        keys: list[Key] = []
        events: list[Event] = []
        for start in starts:
            slot = None if start.slot is None else self._slots[start.slot]
            if reason := self._holds.away(self._entries[start.key].experiment, time.monotonic()):
                events.append(self._hold(start.key, reason))
                continue
            refusal = None if slot is None else self._reserve(start.key, slot)
            if refusal is not None:
                retry = SlotTaken(start.key, _RETRY_TAKEN)
                is_short = isinstance(refusal, Short)
                events.append(self._hold(start.key, refusal.by) if is_short else retry)
                continue
            try:
                placed.append(self._place(start))
                keys.append(start.key)
            # a full disk, a damaged or just moved directory: nothing of the run has begun
            except (OSError, RunslotError) as error:
                experiment = self._entries[start.key].experiment
                reason = self._holds.away(experiment, time.monotonic()) or shortage_of(error)
                reason = reason or absence_of(error, experiment.directory.path)
                events.append(
                    self._hold(start.key, reason)
                    if reason
                    else self._end(start.key, could_not_start(start, error))
                )
                if slot is not None:
                    self._launcher.release(slot)
        for key, run, result in zip(keys, placed, self._launcher.start(placed), strict=True):
            events += self._note_start(key, run, result)
        return events

    def _reserve(self, key: Key, slot: Slot) -> Taken | None:
        """Take the slot before anything is written: a launcher that waits for others does so for
        days, and quietly.
        """
        experiment, run = self._entries[key].experiment, self._entries[key].run
        refusal = self._launcher.reserve(slot, experiment.file.name, run.directory)
        if refusal is None:
            self._waits.taken(slot.index)
        elif not isinstance(refusal, Short):
            self._waits.note(experiment, run, slot.index, refusal.by)
            self._waits.say(key, run, slot.index, refusal.by)
        return refusal

    def _place(self, start: Start) -> Placed:
        entry = self._entries[start.key]
        run_dir = entry.experiment.prepare(entry.run, start.attempt)
        slot = None if start.slot is None else self._slots[start.slot]
        is_here = slot is None or entry.experiment.file.launcher is None
        # Before the start, so that no run was ever executed that the journal does not know of.
        entry.experiment.journal.write(
            "start",
            time.time(),
            run=entry.run.id,
            attempt=start.attempt,
            slot=start.slot,
            directory=entry.run.directory,
            **({} if is_here or slot is None else {"host": slot.host}),
        )
        name = entry.experiment.file.name
        return Placed(entry.run, name, run_dir, start.attempt, slot, entry.experiment.environment)

    def _note_start(
        self, key: Key, placed: Placed, result: Handle | Taken | Outcome
    ) -> list[Event]:
        experiment = self._entries[key].experiment
        index = None if placed.slot is None else placed.slot.index
        if isinstance(result, (Outcome, Short)):
            return [self._end(key, result)]
        if isinstance(result, Taken):
            experiment.journal.write(
                "slot_taken", time.time(), run=placed.run.id, slot=index, by=result.by
            )
            self._waits.say(key, placed.run, index, result.by)
            return [SlotTaken(key, _RETRY_TAKEN)]
        self._handles[key] = result
        if experiment.file.launcher is not None:
            experiment.journal.write(
                "handed", time.time(), run=placed.run.id, attempt=placed.attempt, name=result.name
            )
        self._waits.started(key)
        experiment.count_launched()
        if (growth := self._entries[key].progress.growth) is not None:
            growth.started(placed.run, placed.attempt)
        event = RunStarted(placed.run, placed.run_dir.path, placed.attempt, index)
        self._holds.started(experiment, key, event, time.monotonic())
        return []

    def _stop(self, stops: list[Stop]) -> None:
        for kill in (False, True):
            handles = [
                self._handles[stop.key]
                for stop in stops
                if stop.kill is kill and stop.key in self._handles
            ]
            if handles:
                self._launcher.stop(handles, kill)
        stops = [stop for stop in stops if stop.by_user]
        if stops:
            grace = max(self._entries[stop.key].experiment.policy.grace for stop in stops)
            self._observer(StopNoted(stops[-1].kill, len(stops), grace))

    def _drop(self, drop: Drop) -> None:
        progress, run = self._entries[drop.key].progress, self._entries[drop.key].run
        progress.open_keys.discard(drop.key)
        progress.experiment.journal.write("dropped", time.time(), run=run.id, why=drop.reason)
        self._observer(RunDropped(run, drop.reason))
