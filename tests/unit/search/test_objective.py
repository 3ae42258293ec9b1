"""What rows are worth, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot import InvalidInput
from runslot.search.objective import Objective, Observation, merit, refuse_fallen_step, value_at

VALUES = [1.0, 5.0, 3.0, 2.0]


@pytest.mark.parametrize(
    ("judged", "mode", "value"),
    [
        ("final", "max", 2),
        ("best", "max", 5),
        ("best", "min", 1),
        ("last-2", "max", 2.5),
        ("last-9", "max", 2.75),
    ],
)
def test_a_run_is_judged_by_its_rows(judged: str, mode: str, value: float) -> None:
    assert Objective("score", mode, judged).of_run(VALUES) == value


@pytest.mark.parametrize("judged", ["last", "last-0", "last-x", "first", "last-1e3", "best-3", ""])
def test_an_unknown_judge_is_refused(judged: str) -> None:
    with pytest.raises(InvalidInput, match="final, best or last-K"):
        Objective("score", "max", judged)


@pytest.mark.parametrize("diverged", [math.nan, math.inf, -math.inf])
def test_a_diverged_run_has_no_value_but_where_the_best_counts(diverged: float) -> None:
    rows = [1.0, 4.0, diverged]
    assert math.isnan(Objective("score").of_run(rows))
    assert math.isnan(Objective("score", judged="last-2").of_run(rows))
    assert Objective("score", judged="best").of_run(rows) == 4
    assert math.isnan(Objective("score", judged="best").of_run([diverged]))
    assert Objective("score").of_run([]) is None


@pytest.mark.parametrize(
    ("summary", "mode", "value"),
    [("mean", "max", 4), ("iqm", "max", 2.5), ("worst", "max", 0), ("worst", "min", 11)],
)
def test_seeds_become_one_value(summary: str, mode: str, value: float) -> None:
    seeds = [11.0, 2.0, 0.0, 3.0]
    assert Objective("score", mode, over_seeds=summary).of_seeds([*seeds, None]) == value
    assert math.isnan(Objective("score", mode, over_seeds=summary).of_seeds([*seeds, math.nan]))
    assert Objective("score", mode, over_seeds=summary).of_seeds([None]) is None


def test_a_trial_is_the_mean_of_what_its_seeds_came_to() -> None:
    rows = [Observation(0, seed, step, 10 * seed + step) for seed in (0, 1) for step in (3, 1, 2)]
    assert Objective("score").of_trial(rows) == 8
    assert Objective("score").of_trial(rows, until=2) == 7
    assert Objective("score").of_trial(rows, until=0) is None


def test_a_trial_comes_to_a_level_with_the_slowest_of_its_seeds() -> None:
    runs = {0: [(1, 1.0), (4, 4.0), (9, 9.0)], 1: [(2, 20.0), (3, 30.0)]}
    objective = Objective("score")
    assert value_at(runs, 1, objective) == (2, 10.5)
    assert value_at(runs, 3, objective) == (4, 17.0)
    assert value_at(runs, 4, objective) is None
    assert value_at({**runs, 2: []}, 1, objective) is None


def test_a_step_that_does_not_rise_is_refused_with_its_place() -> None:
    refuse_fallen_step([(1, 0.0), (2, 0.0)], "epoch", "run_0")
    with pytest.raises(InvalidInput, match=r"run_0: epoch goes from 2 to 2, and a step must rise"):
        refuse_fallen_step([(1, 0.0), (2, 0.0), (2, 1.0)], "epoch", "run_0")


@given(st.lists(st.floats() | st.none(), min_size=1))
def test_the_merit_orders_numbers_by_the_mode_and_puts_what_is_none_last(
    values: list[float | None],
) -> None:
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    best = max(values, key=lambda value: merit(value, "max"))
    least = max(values, key=lambda value: merit(value, "min"))
    if numbers and max(numbers) > -math.inf and min(numbers) < math.inf:
        assert (best, least) == (max(numbers), min(numbers))
