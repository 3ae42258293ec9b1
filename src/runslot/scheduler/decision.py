"""The one decision: `step(state, events, now)` says what to start and what to stop.

Pure: no clock, no I/O. A run is known by its key (an index that the launcher gives); slots are
indices too, so that the same plan serves cores of this machine, hosts, or (slots None) an engine
that keeps a queue of its own.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import field, replace

from runslot.experiment.records import Outcome, Policy
from runslot.experiment.states import WELL
from runslot.record import record
from runslot.scheduler.events import (
    Action,
    Added,
    Adopted,
    Drop,
    Ended,
    Event,
    GivenUp,
    Halted,
    Key,
    Paused,
    Recarved,
    SlotIndex,
    SlotLeft,
    SlotsJoined,
    SlotTaken,
    Start,
    Stop,
    StopAsked,
    Vanished,
)

# ---- what is known -------------------------------------------------------------------------------


@record
class QueuedRun:
    """A run that starts again, not before `at`."""

    at: float
    key: Key
    attempt: int


@record
class Running:
    """A run under way, and the slots that are not free because of it."""

    attempt: int
    occupies: tuple[SlotIndex, ...]
    stopping: bool = False


@record
class State:
    """All that the decision depends on.

    `queue` from `position` on has not been started; `again` waits for a further attempt. Both
    orders are kept, so that runs start in the order in which they were asked for, retries as soon
    as they may.
    """

    slots: tuple[SlotIndex, ...] | None
    queue: tuple[Key, ...] = ()
    position: int = 0
    again: tuple[QueuedRun, ...] = ()
    running: Mapping[Key, Running] = field(default_factory=dict)
    policies: Mapping[Key, Policy] = field(default_factory=dict)
    attempts: Mapping[Key, int] = field(default_factory=dict)
    """The next attempt's number, of runs for which it is not 1."""
    tried: Mapping[Key, int] = field(default_factory=dict)
    """How often a run has failed here; its `Policy.retries` is measured against it."""
    dropped: frozenset[Key] = frozenset()
    """Stopped before they started."""
    taken_until: Mapping[SlotIndex, float] = field(default_factory=dict)
    """Slots that someone else holds, and when to try again."""
    failures: int = 0
    paused: frozenset[Key] = frozenset()
    """Runs that wait until they are told to continue."""
    paused_queue: tuple[Key, ...] = ()
    """Those of them that stood in the queue."""
    stopped: bool = False
    """Nothing further is started."""

    @property
    def waiting(self) -> int:
        """How many runs have yet to start, or to start again."""
        return len(self.queue) - self.position + len(self.paused_queue) + len(self.again)

    @property
    def done(self) -> bool:
        """Whether nothing runs and nothing will."""
        return not self.running and not self.waiting


def step(state: State, events: Iterable[Event], now: float) -> tuple[State, tuple[Action, ...]]:
    """Take in what happened and decide what to do.

    `now` is in seconds on any clock that does not go back. Every `Start` is taken to be carried
    out: the run counts as running until its `Ended` or `SlotTaken` comes.
    """
    actions: list[Action] = []
    for event in events:
        state, further = _take_in(state, event, now)
        actions += further
    state, starts = _fill_slots(state, now)
    return state, (*actions, *starts)


def next_moment(state: State) -> float | None:
    """Return when `step` should be called again even if nothing happens; None: only when something
    does.
    """
    again = [waiting.at for waiting in state.again if waiting.key not in state.paused][:1]
    if state.stopped or not (again or state.position < len(state.queue)):
        return None
    moments = list(state.taken_until.values())
    if state.slots is None or len(_occupied(state)) < len(state.slots):
        moments += again
    return min(moments, default=None)


def room(state: State) -> int:
    """Return how many further runs could start now, or wait for the next slot where nothing
    waits.
    """
    if state.stopped or state.slots is None:
        return 0
    free = len(state.slots) - len(_occupied(state))
    return max(0 if state.running or state.waiting else 1, free - state.waiting)


def _occupied(state: State) -> set[SlotIndex]:
    return {
        slot for run in state.running.values() for slot in run.occupies
    } | state.taken_until.keys()


# ---- taking in -----------------------------------------------------------------------------------


def _take_in(state: State, event: Event, now: float) -> tuple[State, list[Action]]:
    match event:
        case Added() | Recarved():
            return _add(state, event) if isinstance(event, Added) else _recarve(state, event), []
        case Adopted():
            running = {**state.running, event.key: Running(event.attempt, event.occupies)}
            return (
                replace(
                    state, running=running, policies={**state.policies, event.key: event.policy}
                ),
                [],
            )
        case SlotTaken() | Vanished():
            return (
                _put_back(state, event, now)
                if isinstance(event, SlotTaken)
                else (_do_again(state, event, now), [])
            )
        case Ended():
            return _end(state, event, now)
        case StopAsked() | GivenUp() | Halted():
            return _halt(state, event.keys) if isinstance(event, Halted) else _stop(state, event)
        case Paused() | SlotLeft() | SlotsJoined():
            return _adjust(state, event), []


def _adjust(state: State, event: Paused | SlotLeft | SlotsJoined) -> State:
    if isinstance(event, Paused):
        return (_pause if event.paused else _continue)(state, event.keys)
    if isinstance(event, SlotsJoined):
        return replace(state, slots=(*(state.slots or ()), *event.slots))
    was = state.running.get(event.key)
    if was is None:
        return state
    return replace(state, running={**state.running, event.key: replace(was, occupies=())})


def _add(state: State, event: Added) -> State:
    return replace(
        state,
        queue=state.queue[state.position :] + event.keys,
        position=0,
        policies={**state.policies, **dict.fromkeys(event.keys, event.policy)},
        attempts={**state.attempts, **event.attempts},
        stopped=False,
        paused=state.paused.difference(event.keys),
    )


def _recarve(state: State, event: Recarved) -> State:
    running = {
        key: replace(run, occupies=event.occupied.get(key, ()))
        for key, run in state.running.items()
    }
    return replace(state, slots=event.slots, running=running, taken_until={})


def _put_back(state: State, event: SlotTaken, now: float) -> tuple[State, list[Action]]:
    running = dict(state.running)
    was = running.pop(event.key)
    if was.stopping or state.stopped:  # it was asked to stop before it turned out not to have begun
        return replace(state, running=running), [Drop(event.key, "stopped before it started")]
    at = now if was.occupies else now + event.retry_after
    again = _insert(state.again, QueuedRun(at, event.key, was.attempt))
    taken_until = {**state.taken_until, **dict.fromkeys(was.occupies, now + event.retry_after)}
    return replace(state, running=running, again=again, taken_until=taken_until), []


def _do_again(state: State, event: Vanished, now: float) -> State:
    running = dict(state.running)
    was = running.pop(event.key)
    if was.stopping or state.stopped:
        return replace(state, running=running)
    again = _insert(state.again, QueuedRun(now, event.key, was.attempt + 1))
    return replace(state, running=running, again=again)


def _end(state: State, event: Ended, now: float) -> tuple[State, list[Action]]:
    running = dict(state.running)
    was = running.pop(event.key, None)
    if was is None:  # said twice, or stopped before it started
        return state, []
    policy = state.policies[event.key]
    state = replace(state, running=running)
    if event.outcome.kind in WELL or event.outcome.kind == "stopped":
        return state, []
    # An engine that tries again by itself, in place, has made several attempts of the one that was
    # started.
    further = max(0, event.outcome.attempt - was.attempt)
    tried = state.tried.get(event.key, 0) + 1 + further
    state = replace(state, tried={**state.tried, event.key: tried})
    if (
        tried <= policy.retries
        and _worth_retrying(event.outcome, policy)
        and not (was.stopping or state.stopped)
    ):
        waiting = QueuedRun(
            now + policy.backoff * 2 ** (tried - 1), event.key, was.attempt + further + 1
        )
        return replace(state, again=_insert(state.again, waiting)), []
    state = replace(state, failures=state.failures + 1)
    if policy.max_failures is None or state.failures < policy.max_failures:
        return state, []
    return _drop_all(state, f"{state.failures} runs have failed, the most that was allowed")


def _worth_retrying(outcome: Outcome, policy: Policy) -> bool:
    # What ran out of time would do so again, unless it continues from where it was.
    return outcome.kind in {"failed", "lost"} or (outcome.kind == "timed_out" and policy.resumable)


def _stop(state: State, event: StopAsked | GivenUp) -> tuple[State, list[Action]]:
    everything = event.keys is None
    reason = event.reason if isinstance(event, GivenUp) else "stopped before it started"
    stopping = (
        state.running if event.keys is None else [key for key in event.keys if key in state.running]
    )
    actions: list[Action] = [
        Stop(key, event.kill) for key in stopping if isinstance(event, StopAsked)
    ]
    running = {
        k: replace(run, stopping=True) if k in stopping else run for k, run in state.running.items()
    }
    state = replace(state, running=running)
    if everything:
        state, drops = _drop_all(state, reason)
        return state, actions + drops
    again = tuple(waiting for waiting in state.again if waiting.key not in (event.keys or ()))
    queued = {
        *state.queue[state.position :],
        *state.paused_queue,
        *(waiting.key for waiting in state.again),
    }
    drops = [Drop(key, reason) for key in event.keys or () if key in queued]
    dropped = state.dropped | {drop.key for drop in drops if isinstance(drop, Drop)}
    paused_queue = tuple(key for key in state.paused_queue if key not in dropped)
    return replace(state, again=again, paused_queue=paused_queue, dropped=dropped), actions + drops


def _halt(state: State, keys: tuple[Key, ...]) -> tuple[State, list[Action]]:
    ending = [
        key for key in keys if (run := state.running.get(key)) is not None and not run.stopping
    ]
    running = {
        k: replace(run, stopping=k in ending or run.stopping) for k, run in state.running.items()
    }
    return replace(state, running=running), [Stop(key, kill=False, by_user=False) for key in ending]


def _pause(state: State, keys: tuple[Key, ...]) -> State:
    queued = state.queue[state.position :]
    paused = state.paused.union(keys)
    newly_paused = tuple(key for key in queued if key in paused)
    queue = tuple(key for key in queued if key not in paused)
    return replace(
        state,
        paused=paused,
        queue=queue,
        position=0,
        paused_queue=state.paused_queue + newly_paused,
    )


def _continue(state: State, keys: tuple[Key, ...]) -> State:
    paused = state.paused.difference(keys)
    freed = [key for key in state.paused_queue if key not in paused]
    paused_queue = tuple(key for key in state.paused_queue if key in paused)
    queue = tuple(
        sorted((*state.queue[state.position :], *freed))
    )  # keys are given in the order of the asking
    return replace(state, paused=paused, queue=queue, position=0, paused_queue=paused_queue)


def _drop_all(state: State, reason: str) -> tuple[State, list[Action]]:
    keys = [
        key
        for key in (*state.queue[state.position :], *state.paused_queue)
        if key not in state.dropped
    ]
    keys += [waiting.key for waiting in state.again]
    state = replace(state, queue=(), position=0, paused_queue=(), again=(), stopped=True)
    return state, [Drop(key, reason) for key in keys]


# ---- starting ------------------------------------------------------------------------------------


def _fill_slots(state: State, now: float) -> tuple[State, list[Action]]:
    if state.stopped or not state.waiting:
        return state, []
    still_taken = {slot: until for slot, until in state.taken_until.items() if until > now}
    state = replace(state, taken_until=still_taken)
    if state.slots is None:
        free: Iterable[SlotIndex | None] = [None] * state.waiting
    else:
        occupied = _occupied(state)
        free = [slot for slot in state.slots if slot not in occupied]
    starts: list[Action] = []
    running = dict(state.running)
    for slot in free:
        state, following = _next_run(state, now)
        if following is None:
            break
        running[following.key] = Running(following.attempt, () if slot is None else (slot,))
        starts.append(Start(following.key, following.attempt, slot))
    return replace(state, running=running), starts


def _next_run(state: State, now: float) -> tuple[State, QueuedRun | None]:
    due = next(
        (
            waiting
            for waiting in state.again
            if waiting.at <= now and waiting.key not in state.paused
        ),
        None,
    )
    if due is not None:
        return (
            replace(state, again=tuple(waiting for waiting in state.again if waiting is not due)),
            due,
        )
    position = state.position
    while position < len(state.queue) and state.queue[position] in state.dropped:
        position += 1
    if position == len(state.queue):
        return replace(state, position=position), None
    key = state.queue[position]
    return replace(state, position=position + 1), QueuedRun(now, key, state.attempts.get(key, 1))


def _insert(again: tuple[QueuedRun, ...], waiting: QueuedRun) -> tuple[QueuedRun, ...]:
    return tuple(heapq.merge(again, (waiting,), key=lambda entry: (entry.at, entry.key)))
