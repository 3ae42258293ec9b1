"""The words that name a rule, how its rungs are settled, and the rules beside ASHA."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from runslot import InvalidInput
from runslot.search.asha import Promotion, Rungs, Score, arrivals
from runslot.search.objective import Objective
from runslot.search.pruner import Pruner, levels_for, make_pruner


def test_words_name_a_rule_and_its_numbers() -> None:
    assert make_pruner("none") is None
    assert make_pruner("asha") == Pruner("asha")
    assert make_pruner("asha:first=1,eta=4,last=64") == Pruner("asha", 4, 1, 64)
    assert make_pruner("median:trials=9,first=2.5") == Pruner("median", first=2.5, trials=9)
    assert make_pruner("hyperband:brackets=2,last=1e6") == Pruner("hyperband", last=1e6, brackets=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ashaa", "did you mean 'asha'"),
        ("asha:frist=1", "did you mean 'first'"),
        ("asha:trials=3", "asha has no 'trials'"),
        ("asha:first", "first is a number, not ''"),
        ("asha:first=-1", "first is a number, not '-1'"),
        ("asha:first=nan", "not 'nan'"),
        ("asha:first=0", "above 0"),
        ("asha:eta=1", "at least 2"),
        ("asha:eta=2.5", "whole"),
        ("asha:first=9,last=3", "before"),
        ("asha:last=0", "above 0"),
        ("asha:first=1,first=2", "twice"),
        ("median:trials=0", "from 1 to 10,000"),
        ("hyperband:brackets=99", "from 1 to 10"),
    ],
)
def test_words_that_cannot_be_are_refused_on_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make_pruner(text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_first_whole_run_settles_rungs_that_nobody_gave() -> None:
    pruner = make_pruner("asha")
    assert pruner is not None
    assert pruner.table("max") is None
    assert pruner.settled([]) == pruner
    assert pruner.settled([0]) == pruner
    settled = pruner.settled(range(1000, 81001, 1000))
    assert settled.rungs == Rungs(1000, 3, 81000)
    assert settled.settled([5]) == settled
    whole = make_pruner("asha:first=2")
    assert whole is not None
    assert whole.settled([100]) == whole, "given is given"


def test_of_rungs_finer_than_the_rows_the_highest_alone_is_judged() -> None:
    pruner = make_pruner("asha:first=1,last=81")
    assert pruner is not None
    table = pruner.table("max")
    assert table is not None
    rows = [(10, 0.1), (20, 0.2), (30, 0.3)]
    scores = arrivals(table, 0, {0: rows}, Objective("score"))
    assert scores == [(2, Score(10, 0.1)), (3, Score(30, 0.3))]
    table, _ = pruner.judge(table, 0, *scores[0], can_pause=True)
    assert arrivals(table, 0, {0: rows}, Objective("score")) == scores[1:]


def test_the_median_prunes_the_worse_half_once_enough_have_come() -> None:
    pruner = make_pruner("median:first=1,last=9,trials=3")
    assert pruner is not None
    table = pruner.table("min")
    assert table is not None
    kinds = []
    for trial, value in enumerate([5.0, 1.0, math.nan, 3.0, 3.0, 3.5, 2.0]):
        table, verdict = pruner.judge(table, trial, 0, Score(1, value), can_pause=True)
        kinds.append(verdict.kind)
    assert kinds == ["continue", "continue", "prune", "continue", "continue", "prune", "continue"]
    assert table.ended == {2, 5}
    assert pruner.promote(table, is_last=True) is None
    table, verdict = pruner.judge(table, 1, 2, Score(9, 99.0), can_pause=True)
    assert verdict.kind == "continue", "it is whole"


def test_brackets_begin_at_later_rungs_and_are_compared_with_their_own() -> None:
    pruner = make_pruner("hyperband:first=1,last=27,brackets=3")
    assert pruner is not None
    table = pruner.table("max")
    assert table is not None
    brackets = Counter(table.bracket_of(trial) for trial in range(1000))
    weights = [1, 3 / 2 / 3, 3 / 9]
    for bracket, weight in enumerate(weights):
        assert abs(brackets[bracket] - 1000 * weight / sum(weights)) < 5
    by_bracket = {
        bracket: [t for t in range(60) if table.bracket_of(t) == bracket] for bracket in range(3)
    }
    late = by_bracket[1][0]
    rows = {0: [(step, 0.5) for step in range(1, 28)]}
    assert [rung for rung, _ in arrivals(table, late, rows, Objective("score"))] == [1, 2, 3]
    for trial in by_bracket[0][:3]:
        table = table.with_score(trial, 1, Score(3, 0.9))
    for place, trial in enumerate(by_bracket[1][:3]):
        table = table.with_score(trial, 1, Score(3, 0.1 * place))
    assert table.best_of(1) == [by_bracket[0][0], by_bracket[1][2]]
    assert pruner.promote(table) == Promotion(by_bracket[0][0], 1)


def test_there_are_no_more_brackets_than_rungs() -> None:
    pruner = make_pruner("hyperband:first=1,last=3,brackets=9")
    assert pruner is not None
    table = pruner.table("max")
    assert table is not None
    assert table.brackets == 2


@pytest.mark.parametrize(
    ("words", "trials", "levels"),
    [
        ("asha", 1, 1), ("asha", 3, 1), ("asha", 6, 2), ("asha", 9, 2), ("asha", 10, 3),
        ("asha", 27, 3), ("asha", 28, 4), ("asha", 5000, 4), ("asha", None, 4),
        ("asha:eta=2", 6, 3), ("median", 6, 2), ("none", 6, 4),
    ],
)  # fmt: skip
def test_there_are_no_more_rungs_than_the_trials_can_fill(words, trials, levels) -> None:
    assert levels_for(words, trials) == levels


def test_the_first_rung_lies_where_so_many_trials_can_fill_all_of_them() -> None:
    pruner = make_pruner("asha", levels_for("asha", 6))
    assert pruner is not None
    assert pruner.settled([0, 20, 39]).rungs.first == pytest.approx(39 / 9)
    told = make_pruner("asha:first=3,last=39", 1)
    assert told is not None
    assert told.rungs.first == 3
