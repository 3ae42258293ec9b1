"""The pure decision: by example, and by property on random histories."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from runslot.experiment.records import Outcome, Policy
from runslot.scheduler import (
    Added,
    Adopted,
    Drop,
    Ended,
    Event,
    Paused,
    Recarved,
    SlotLeft,
    SlotsJoined,
    SlotTaken,
    Start,
    State,
    Stop,
    StopAsked,
    next_moment,
    step,
)

OK = Outcome("succeeded")
BAD = Outcome("failed")


def test_runs_start_in_order_in_free_slots() -> None:
    state, actions = step(State((0, 1)), [Added((10, 11, 12))], 0.0)
    assert actions == (Start(10, 1, 0), Start(11, 1, 1))
    state, actions = step(state, [Ended(11, OK)], 1.0)
    assert actions == (Start(12, 1, 1),)
    state, actions = step(state, [Ended(10, OK), Ended(12, OK)], 2.0)
    assert actions == ()
    assert state.done


def test_a_run_that_left_its_slot_makes_room_and_is_not_over() -> None:
    state, _ = step(State((0,)), [Added((10, 11, 12))], 0.0)
    state, actions = step(state, [SlotLeft(10)], 1.0)
    assert actions == (Start(11, 1, 0),)
    assert not state.done
    state, actions = step(state, [Ended(10, OK)], 1.1)
    assert actions == (), "the slot is another's by now"
    state, actions = step(state, [SlotLeft(11), Ended(11, OK), SlotLeft(10)], 2.0)
    assert actions == (Start(12, 1, 0),)


def test_a_run_that_left_its_slot_and_was_lost_on_the_way_runs_again() -> None:
    state, _ = step(State((0, 1)), [Added((10, 11, 12), Policy(retries=1, backoff=0.0))], 0.0)
    state, actions = step(state, [SlotLeft(10)], 1.0)
    assert actions == (Start(12, 1, 0),)
    state, actions = step(state, [Ended(10, Outcome("lost")), Ended(11, OK)], 2.0)
    assert actions == (Start(10, 2, 1),)


def test_slots_that_join_are_filled_at_once() -> None:
    state, _ = step(State((0,)), [Added((10, 11, 12))], 0.0)
    state, actions = step(state, [SlotsJoined((1, 2))], 1.0)
    assert actions == (Start(11, 1, 1), Start(12, 1, 2))
    assert state.slots == (0, 1, 2)


def test_other_slots_are_free_where_no_run_under_way_overlaps_with_them() -> None:
    state, _ = step(State((0, 1)), [Added((10, 11, 12, 13, 14))], 0.0)
    others = Recarved((2, 3, 4, 5), {10: (2, 3), 11: (4, 5)})
    state, actions = step(state, [Ended(10, OK), others], 1.0)
    assert actions == (Start(12, 1, 2), Start(13, 1, 3))
    state, actions = step(state, [Ended(12, OK)], 2.0)
    assert actions == (Start(14, 1, 2),)
    state, _ = step(state, [Ended(key, OK) for key in (11, 13, 14)], 3.0)
    assert state.done


def test_an_engine_with_its_own_queue_gets_everything_at_once() -> None:
    _, actions = step(State(None), [Added((0, 1, 2))], 0.0)
    assert actions == (Start(0, 1, None), Start(1, 1, None), Start(2, 1, None))


def test_a_failed_run_is_tried_again_after_its_backoff_and_only_so_often() -> None:
    state, _ = step(State((0,)), [Added((0,), Policy(retries=2, backoff=1.0))], 0.0)
    state, actions = step(state, [Ended(0, BAD)], 10.0)
    assert actions == ()
    assert next_moment(state) == 11.0
    state, actions = step(state, [], 10.9)
    assert actions == ()
    state, actions = step(state, [], 11.0)
    assert actions == (Start(0, 2, 0),)
    state, _ = step(state, [Ended(0, BAD)], 12.0)
    assert next_moment(state) == 14.0
    state, actions = step(state, [], 14.0)
    assert actions == (Start(0, 3, 0),)
    state, _ = step(state, [Ended(0, BAD)], 15.0)
    assert state.done
    assert state.failures == 1


def test_a_retry_waits_without_holding_up_others_and_without_a_busy_loop() -> None:
    state, _ = step(State((0,)), [Added((0, 1), Policy(retries=1, backoff=1.0))], 0.0)
    state, actions = step(state, [Ended(0, BAD)], 1.0)
    assert actions == (Start(1, 1, 0),)
    assert next_moment(state) is None  # the slot is occupied: only an end can change anything


def test_what_ran_out_of_time_is_tried_again_only_if_it_can_continue() -> None:
    for resumable in (False, True):
        policy = Policy(retries=1, backoff=0.5, resumable=resumable)
        state, _ = step(State((0,)), [Added((0,), policy)], 0.0)
        state, _ = step(state, [Ended(0, Outcome("timed_out"))], 1.0)
        assert state.done is not resumable


def test_too_many_failures_start_nothing_further() -> None:
    state, _ = step(State((0,)), [Added((0, 1, 2), Policy(max_failures=1))], 0.0)
    state, actions = step(state, [Ended(0, BAD)], 1.0)
    assert [action.key for action in actions if isinstance(action, Drop)] == [1, 2]
    assert state.done


def test_stop_all_asks_the_running_ones_and_drops_the_rest() -> None:
    state, _ = step(State((0, 1)), [Added((0, 1, 2))], 0.0)
    state, actions = step(state, [StopAsked()], 1.0)
    assert actions[:2] == (Stop(0, False), Stop(1, False))
    assert [action.key for action in actions if isinstance(action, Drop)] == [2]
    state, actions = step(state, [StopAsked(kill=True)], 2.0)
    assert actions == (Stop(0, True), Stop(1, True))
    state, actions = step(state, [Ended(0, Outcome("stopped")), Ended(1, BAD)], 3.0)
    assert actions == ()
    assert state.done


def test_stop_of_one_queued_run_leaves_the_others() -> None:
    state, _ = step(State((0,)), [Added((0, 1, 2))], 0.0)
    state, actions = step(state, [StopAsked((1,))], 1.0)
    assert [action.key for action in actions if isinstance(action, Drop)] == [1]
    state, actions = step(state, [Ended(0, OK)], 2.0)
    assert actions == (Start(2, 1, 0),)


def test_a_stopped_run_that_then_fails_is_not_tried_again() -> None:
    state, _ = step(State((0,)), [Added((0,), Policy(retries=3))], 0.0)
    state, _ = step(state, [StopAsked((0,)), Ended(0, BAD)], 1.0)
    assert state.done


def test_a_slot_that_someone_else_holds_is_left_alone_for_a_moment() -> None:
    state, _ = step(State((0, 1)), [Added((0,))], 0.0)
    state, actions = step(state, [SlotTaken(0, 0.1)], 1.0)
    assert actions == (Start(0, 1, 1),)
    state, actions = step(state, [SlotTaken(0, 0.1)], 1.0)
    assert actions == ()
    assert next_moment(state) == 1.1
    state, actions = step(state, [], 1.2)
    assert actions == (Start(0, 1, 0),)


def test_an_adopted_run_keeps_the_slots_that_overlap_with_its_own() -> None:
    state, actions = step(State((0, 1, 2)), [Adopted(0, 1, (0, 2)), Added((1, 2))], 0.0)
    assert actions == (Start(1, 1, 1),)
    _, actions = step(state, [Ended(0, OK)], 1.0)
    assert actions == (Start(2, 1, 0),)


def test_an_earlier_attempt_is_counted_on() -> None:
    _, actions = step(State((0,)), [Added((0,), attempts={0: 3})], 0.0)
    assert actions == (Start(0, 3, 0),)


def test_a_pause_starts_nothing_until_it_is_over() -> None:
    state, _ = step(State((0,)), [Added((0, 1, 2, 3))], 0.0)
    state, actions = step(state, [Paused((0, 1, 2, 3), True), Ended(0, OK)], 1.0)
    assert actions == ()
    assert next_moment(state) is None
    assert not state.done
    _, actions = step(state, [Paused((0, 1, 2, 3), False)], 2.0)
    assert actions == (Start(1, 1, 0),)


def test_a_pause_lets_the_other_experiments_pass_and_keeps_the_order() -> None:
    state, _ = step(State((0,)), [Added((0, 1)), Added((2, 3))], 0.0)
    state, actions = step(state, [Paused((0, 1), True), Ended(0, OK)], 1.0)
    assert actions == (Start(2, 1, 0),)
    state, actions = step(state, [Paused((0, 1), False), Ended(2, OK)], 2.0)
    assert actions == (Start(1, 1, 0),)


def test_a_retry_waits_for_the_end_of_a_pause() -> None:
    state, _ = step(State((0,)), [Added((0,), Policy(retries=1, backoff=1.0))], 0.0)
    state, _ = step(state, [Paused((0,), True), Ended(0, BAD)], 1.0)
    state, actions = step(state, [], 5.0)
    assert actions == ()
    assert next_moment(state) is None
    _, actions = step(state, [Paused((0,), False)], 6.0)
    assert actions == (Start(0, 2, 0),)


def test_a_run_that_is_added_again_is_no_longer_paused() -> None:
    state, _ = step(State((0,)), [Added((0,))], 0.0)
    state, _ = step(state, [Paused((0,), True), Ended(0, Outcome("paused"))], 1.0)
    state, actions = step(state, [Added((0,))], 2.0)  # as a search promotes it
    assert actions == (Start(0, 1, 0),)
    state, _ = step(state, [SlotTaken(0, 0.5)], 3.0)
    _, actions = step(state, [], 4.0)
    assert actions == (Start(0, 1, 0),)


def test_a_stop_drops_what_a_pause_holds() -> None:
    state, _ = step(State((0,)), [Added((0, 1, 2))], 0.0)
    state, _ = step(state, [Paused((0, 1, 2), True)], 1.0)
    some, actions = step(state, [StopAsked((1,))], 2.0)
    assert actions == (Drop(1, "stopped before it started"),)
    assert some.waiting == 1
    every, actions = step(state, [StopAsked()], 2.0)
    assert [action.key for action in actions] == [0, 1, 2]
    assert every.waiting == 0


@settings(max_examples=200)
@given(
    slots=st.integers(1, 4),
    runs=st.integers(0, 12),
    retries=st.integers(0, 2),
    seed=st.integers(0, 2**32),
    unkindness=st.floats(0, 0.9),
    restlessness=st.floats(0, 0.5),
)
def test_every_run_ends_once_no_slot_is_shared_and_nothing_paused_starts(
    slots: int, runs: int, retries: int, seed: int, unkindness: float, restlessness: float
) -> None:
    chance = random.Random(seed)
    paused: set[int] = set()
    policy = Policy(retries=retries, backoff=0.25)
    state = State(tuple(range(slots)))
    events: list[Event] = [Added(tuple(range(runs)), policy)]
    occupied: dict[int, int] = {}
    attempts: dict[int, list[int]] = {key: [] for key in range(runs)}
    final: dict[int, str] = {}
    now = 0.0
    for _ in range(10_000):
        state, actions = step(state, events, now)
        events = []
        for action in actions:
            assert isinstance(action, Start)
            assert action.slot is not None
            assert action.slot not in occupied.values()
            assert action.key not in occupied
            assert action.key not in final
            assert action.key not in paused
            if chance.random() < unkindness / 3:
                events.append(SlotTaken(action.key, 0.1))
            else:
                attempts[action.key].append(action.attempt)
            occupied[action.key] = action.slot
        for event in events:
            assert isinstance(event, SlotTaken)
            del occupied[event.key]
        if events:
            continue
        if runs and chance.random() < restlessness:
            asked = set(chance.sample(range(runs), chance.randint(1, runs)))
            pause = chance.random() < 0.5
            paused = paused | asked if pause else paused - asked
            events = [Paused(tuple(sorted(asked)), pause)]
            continue
        if not occupied:
            moment = next_moment(state)
            if moment is None and not paused:
                break
            if moment is None:  # all that is left is paused
                events = [Paused(tuple(sorted(paused)), False)]
                paused = set()
                continue
            assert moment > now
            now = moment
            continue
        key = chance.choice(sorted(occupied))
        del occupied[key]
        outcome = BAD if chance.random() < unkindness else OK
        if outcome is OK or len(attempts[key]) > retries:
            final[key] = outcome.kind
        events = [Ended(key, outcome)]
        now += chance.random() * 0.3
    assert state.done
    assert set(final) == set(range(runs))
    assert all(tries == list(range(1, len(tries) + 1)) for tries in attempts.values())


def test_a_hundred_thousand_runs_do_not_make_a_step_slow() -> None:
    # Not timed: a step that copied the queue would take hours here.
    state, actions = step(State((0, 1)), [Added(tuple(range(100_000)))], 0.0)
    started = len(actions)
    while actions:
        events: list[Event] = [
            Ended(action.key, OK) for action in actions if isinstance(action, Start)
        ]
        state, actions = step(state, events, 0.0)
        started += len(actions)
    assert started == 100_000
    assert state.done
