"""Who goes on at a rung: by hand, by property, and the winner."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runslot import InvalidInput
from runslot.search.asha import Promotion, Rungs, RungTable, Score, arrivals, judge, promote, winner
from runslot.search.objective import Objective

RUNGS = Rungs(1, 3, 27)


def table_of(*rungs: dict[int, float], mode: str = "max") -> RungTable:
    table = RungTable(RUNGS, mode)
    for rung, scores in enumerate(rungs):
        for trial, value in scores.items():
            table = table.with_score(trial, rung, Score(RUNGS.level(rung), value))
    return table


def test_rungs_rise_by_eta_up_to_the_whole_run() -> None:
    assert [RUNGS.level(rung) for rung in range(RUNGS.highest + 1)] == [1, 3, 9, 27]
    odd = Rungs(10, 2, 50)
    assert [odd.level(rung) for rung in range(odd.highest + 1)] == [10, 20, 40, 50]
    assert Rungs(5, 3, 5).highest == 0


@pytest.mark.parametrize(
    ("rungs", "message"),
    [
        ((0,), "above 0"),
        ((math.nan,), "above 0"),
        ((1, 1), "at least 2"),
        ((1, 2.5), "whole"),
        ((9, 3, 5), "before"),
    ],
)
def test_rungs_that_cannot_be_are_refused(rungs: tuple[float, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Rungs(*rungs)


def test_late_rows_are_judged_each_at_its_rung_and_a_leap_at_the_highest() -> None:
    table, objective = table_of({7: 0.5}), Objective("score")
    rows = {0: [(1, 0.1), (2, 0.2), (3.5, 0.3), (10, 0.9)]}
    assert arrivals(table, 7, rows, objective) == [(1, Score(3.5, 0.3)), (2, Score(10, 0.9))]
    assert arrivals(table, 8, rows, objective)[0] == (0, Score(1, 0.1))
    leap = {0: [(1, 0.1), (2, 0.2), (10, 0.9)]}
    assert arrivals(table, 7, leap, objective) == [(2, Score(10, 0.9))]
    assert arrivals(table, 8, {0: []}, objective) == []


def test_a_free_slot_goes_to_the_best_third_of_the_highest_rung_first() -> None:
    table = table_of({0: 0.1, 1: 0.9, 2: 0.5})
    assert promote(table) == Promotion(1, 0)
    table = table.with_promotion(Promotion(1, 0))
    assert promote(table) is None, "one of three goes on"
    table = table_of({0: 0.1, 1: 0.9, 2: 0.5, 3: 0.8, 4: 0.7, 5: 0.6}, {1: 0.2, 3: 0.3, 4: 0.4})
    for trial in (1, 3, 4):
        table = table.with_promotion(Promotion(trial, 0))
    assert promote(table) == Promotion(4, 1), "by what it is worth there, not below"
    assert promote(table.with_end(4)) is None


def test_a_run_that_would_get_the_next_slot_goes_on_without_a_pause() -> None:
    table = table_of({0: 0.1, 1: 0.5})
    table, verdict = judge(table, 2, 0, Score(1, 0.9), can_pause=True)
    assert (verdict.kind, verdict.why) == ("continue", "1 of 3 at step 1")
    assert promote(table) is None
    _, verdict = judge(table, 3, 0, Score(1, 0.2), can_pause=True)
    assert verdict.kind == "pause"


def test_without_a_pause_the_first_go_on_and_then_the_best_third() -> None:
    table = RungTable(RUNGS, "min")
    kinds = []
    for trial, value in enumerate([5.0, 9.0, 7.0, 6.0, 4.0, 8.0, math.nan, 4.5]):
        table, verdict = judge(table, trial, 0, Score(1, value), can_pause=False)
        kinds.append(verdict.kind)
    assert kinds == [
        "continue",
        "continue",
        "continue",
        "prune",
        "continue",
        "prune",
        "prune",
        "continue",
    ]
    assert table.ended == {3, 5, 6}


def test_a_diverged_run_is_never_promoted() -> None:
    table = table_of({0: math.nan, 1: math.nan, 2: math.nan})
    assert promote(table) is None
    assert promote(table, is_last=True) is None
    assert winner(table) is None
    _, verdict = judge(table, 3, 0, Score(1, math.nan), can_pause=True)
    assert (verdict.kind, verdict.why) == ("prune", "diverged by step 1")


def test_a_whole_run_is_asked_for_nothing_more() -> None:
    table = table_of({0: 0.1}, {0: 0.1}, {0: 0.1})
    table, verdict = judge(table, 0, 3, Score(27, 0.1), can_pause=True)
    assert verdict.kind == "continue"
    assert promote(table, is_last=True) is None


def test_the_search_ends_with_a_whole_run() -> None:
    table = table_of({0: 0.1, 1: 0.9})
    path = []
    while (promotion := promote(table, is_last=True)) is not None:
        table = table.with_promotion(promotion)
        path.append(promotion)
        table, _ = judge(table, promotion.trial, promotion.rung + 1, Score(1, 0.3), can_pause=True)
    assert path == [Promotion(1, 0), Promotion(1, 1), Promotion(1, 2)]


def test_the_best_goes_on_to_its_end_though_a_worse_run_has_come_there() -> None:
    """A quick run may end before it can pause; what is better is not left waiting for that."""
    table = table_of({0: 0.5, 1: 0.9}, {0: 0.5, 1: 0.9}, {0: 0.5, 1: 0.9}, {0: 0.5})
    for rung in (0, 1, 2):
        table = table.with_promotion(Promotion(0, rung))
    for rung in (0, 1):
        table = table.with_promotion(Promotion(1, rung))
    assert promote(table, is_last=True) == Promotion(1, 2)
    table, _ = judge(table.with_promotion(Promotion(1, 2)), 1, 3, Score(27, 0.4), can_pause=True)
    assert promote(table, is_last=True) is None


def test_the_winner_is_the_best_where_enough_were_compared() -> None:
    lucky = table_of({0: 0.99, 1: 0.5, 2: 0.4, 3: 0.3}, {1: 0.6, 2: 0.7})
    best = winner(lucky)
    assert best is not None
    assert (best.trial, best.rung, best.reached) == (2, 1, 2)
    assert winner(RungTable(RUNGS, "max")) is None


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 40), st.booleans())
def test_no_more_than_one_in_eta_goes_on_and_never_a_worse_one(
    seed: int, eta: int, count: int, can_pause: bool
) -> None:
    rng = Random(seed)
    rungs = Rungs(1, eta, eta**3)
    table = RungTable(rungs, "max")
    jobs = [(trial, 0) for trial in range(count)]
    rng.shuffle(jobs)
    while jobs:
        trial, rung = jobs.pop()
        table, verdict = judge(
            table, trial, rung, Score(rungs.level(rung), rng.random()), can_pause=can_pause
        )
        if verdict.kind == "continue" and rung < rungs.highest:
            jobs.append((trial, rung + 1))
        promotion = promote(table) if can_pause else None
        if promotion is not None:
            table = table.with_promotion(promotion)
            jobs.append((promotion.trial, promotion.rung + 1))
    for rung, scores in enumerate(table.scores[:-1]):
        promoted = table.promoted[rung] if rung < len(table.promoted) else frozenset()
        assert set(table.scores[rung + 1]) == promoted, "who went on came to the next rung"
        if can_pause:
            assert promote(table) is None
            assert set(table.best_of(rung)) <= promoted
        else:
            assert len(promoted) >= min(eta, len(scores))
