"""A race of seeds: who is dropped, by hand and by SciPy, which runs come next, and what it says."""

from __future__ import annotations

import math
import statistics
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from runslot import InvalidInput
from runslot.quantiles import t_tail
from runslot.search.race import Dropped, Race, advance, dropped_of, parse_race, report


def scores_of(**values: list[float | None]) -> dict[str, dict[int, float | None]]:
    return {name: dict(enumerate(seeds)) for name, seeds in values.items()}


def test_all_contenders_run_the_least_seeds_first_and_then_one_more_each() -> None:
    race = Race(3, 5)
    step = advance(race, {"a": {}, "b": {}}, [], "max")
    assert step.next_runs == (("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2))
    assert (step.leader, step.is_over) == (None, False)
    equal = scores_of(a=[1.0, 2.0, 3.0], b=[2.0, 1.0, 3.5])
    step = advance(race, equal, [], "max")
    assert (step.next_runs, step.leader) == ((("a", 3), ("b", 3)), "b")
    equal["a"][3] = 9.0
    assert advance(race, equal, [], "max").next_runs == (("b", 3),)
    equal["b"][3] = 1.0
    assert advance(race, equal, [], "max").next_runs == (("a", 4), ("b", 4))
    equal["a"][4] = equal["b"][4] = 0.0
    step = advance(race, equal, [], "max")
    assert (step.next_runs, step.is_over, step.leader) == ((), True, "a")


def test_the_difference_is_paired_by_seed_and_judged_by_students_t() -> None:
    a, b = [10.0, 20.0, 30.0, 40.5], [9.0, 18.9, 29.1, 39.0]
    step = advance(Race(4, 9), scores_of(a=a, b=b), [], "max")
    (drop,) = step.drops
    differences = [first - second for first, second in zip(a, b, strict=True)]
    t = statistics.mean(differences) / (statistics.stdev(differences) / 2)
    assert math.isclose(drop.chance, 2 * stats.t.sf(t, 3))
    assert math.isclose(drop.difference, statistics.mean(differences))
    assert (drop.variant, drop.leader, drop.seeds, step.is_over) == ("b", "a", 4, True)
    assert drop.why == "1.125 behind over 4 seeds (p = 0.0034)"
    assert not advance(Race(4, 9), scores_of(a=a, b=[20.0, 9.0, 39.1, 29.0]), [], "max").drops


def test_more_variants_need_more_to_be_dropped() -> None:
    a, b = [10.0, 20.0, 30.0], [9.0, 18.6, 29.2]
    chance = advance(Race(3, 9), scores_of(a=a, b=b), [], "max").drops[0].chance
    assert 0.05 / 4 < chance < 0.05
    many = scores_of(a=a, b=b, **{f"c{n}": a for n in range(3)})
    assert not advance(Race(3, 9), many, [], "max").drops


def test_less_is_better_where_it_is_said() -> None:
    step = advance(Race(3, 9), scores_of(a=[5.0, 6.0, 7.0], b=[1.0, 2.1, 3.0]), [], "min")
    assert [drop.variant for drop in step.drops] == ["a"]
    assert step.leader == "b"


def test_a_drop_is_decided_once_a_round_and_stays() -> None:
    scores = scores_of(a=[5.0, 6.0, 7.0], b=[1.0, 2.1, 3.0], c=[5.1, 5.8, 7.1])
    first = advance(Race(3, 9), scores, [], "max")
    again = advance(Race(3, 9), scores, first.drops, "max")
    assert [drop.variant for drop in first.drops] == ["b"]
    assert again.drops == ()
    assert again.next_runs == first.next_runs == (("a", 3), ("c", 3))


def test_what_diverged_or_failed_with_a_seed_is_dropped_and_never_leads() -> None:
    scores = scores_of(
        a=[1.0, 2.0, 3.0], b=[9.0, math.nan, 9.0], c=[9.0, None, None], d=[90.0, None, 91.0]
    )
    step = advance(Race(3, 9), scores, [], "max")
    assert [(drop.variant, drop.difference) for drop in step.drops] == [
        (variant, math.inf) for variant in "bcd"
    ]
    assert step.leader == "a", "d is the best by two seeds, and its trial has failed"
    assert "diverged or failed" in step.drops[0].why


def test_a_leader_of_which_a_seed_failed_drops_nobody_else() -> None:
    scores = scores_of(a=[9.0, 9.1, 9.0, None], b=[1.0, 1.1, 1.0, 1.1], c=[1.1, 1.0, 1.0, 1.1])
    step = advance(Race(3, 9), scores, [], "max")
    assert [drop.variant for drop in step.drops] == ["a"]
    assert step.next_runs == (("b", 4), ("c", 4))


def test_a_variant_whose_failed_run_was_made_good_is_in_the_race_again() -> None:
    failed = scores_of(a=[1.0, 2.0, 3.0], b=[9.0, None, 9.0])
    drops = advance(Race(3, 9), failed, [], "max").drops
    assert [drop.variant for drop in drops] == ["b"]
    good = scores_of(a=[1.0, 2.0, 3.0], b=[9.0, 9.1, 9.0])
    step = advance(Race(3, 9), good, drops, "max")
    assert (step.leader, step.contenders) == ("b", ("b",))
    assert dropped_of(good, drops, "max") == set()
    assert dropped_of(failed, drops, "max") == {"b"}


def test_where_all_diverged_or_failed_nobody_is_dropped_and_no_seed_is_spent() -> None:
    step = advance(Race(3, 9), scores_of(a=[math.nan] * 3, b=[1.0, None, 1.0]), [], "max")
    assert (step.drops, step.next_runs, step.is_over) == ((), (), True)


def test_variants_that_come_late_are_judged_from_their_least_seeds_on() -> None:
    scores = scores_of(a=[5.0, 5.1, 5.0, 5.2, 5.1], b=[1.0, 1.1, 1.0, 1.0, 1.1])
    drops = advance(Race(3, 9), scores, [], "max").drops
    assert drops[0].seeds == 5
    later = {**scores, **scores_of(c=[0.1, 0.2, 0.1])}
    assert [drop.variant for drop in advance(Race(3, 9), later, drops, "max").drops] == ["c"]


def test_equal_runs_of_a_task_without_chance_are_told_apart_at_once() -> None:
    scores = scores_of(a=[2.0, 2.0, 2.0], b=[1.0, 1.0, 1.0], c=[2.0, 2.0, 2.0])
    step = advance(Race(3, 9), scores, [], "max")
    assert [(drop.variant, drop.chance) for drop in step.drops] == [("b", 0.0)]


def test_an_indifferent_difference_needs_no_further_seed() -> None:
    scores = scores_of(a=[10.0, 20.0, 30.0], b=[10.01, 19.98, 30.02], c=[10.0, 19.5, 29.0])
    step = advance(Race(3, 9, within=0.5), scores, [], "max")
    assert [(drop.variant, drop.is_tied) for drop in step.drops] == [("a", True)]
    assert step.contenders == ("b", "c")
    assert "behind over 3 seeds" in step.drops[0].why


@pytest.mark.parametrize(
    ("text", "race"),
    [
        ("race:3..10", Race(3, 10)),
        ("race:8", Race(3, 8)),
        ("race:2", Race(2, 2)),
        ("race:5..5", Race(5, 5)),
    ],
)
def test_the_words_of_a_race(text: str, race: Race) -> None:
    assert parse_race(text) == race


@pytest.mark.parametrize(
    "text", ["race:", "race:1..5", "race:5..3", "race:3-10", "race:3..1001", "race", "race:1"]
)
def test_words_that_name_no_race_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"race:3\.\.10"):
        parse_race(text)


@pytest.mark.parametrize(
    "words", [{"alpha": 0}, {"alpha": 0.5}, {"within": -1}, {"within": math.inf}]
)
def test_numbers_of_a_race_that_cannot_be_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Race(3, 10, **words)


def test_the_report_says_what_was_saved_and_risked() -> None:
    scores = scores_of(a=[1.0] * 10, b=[0.0] * 3, c=[1.0] * 5)
    drops = [Dropped("b", "a", 3, 1.0, 0.01), Dropped("c", "a", 5, 0.0, 0.02, is_tied=True)]
    said = report(Race(3, 10), scores, drops)
    assert (said.runs, said.saved, said.wrong_drop) == (18, 12, 0.01)
    assert (
        said.words
        == "18 of 30 runs (12 saved, 40 %); a chance of at most 1 % that a drop was wrong"
    )


def test_no_chance_is_said_where_no_drop_has_one() -> None:
    drops = [Dropped("b", "a", 3, math.inf, 0.0)]
    said = report(Race(3, 10), scores_of(a=[1.0] * 10, b=[0.0, 0.0, None]), drops)
    assert said.words == "13 of 20 runs (7 saved, 35 %)"


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(0, 3))
def test_a_race_ends_with_the_leader_among_those_left(seed: int, count: int, spread: float) -> None:
    rng = Random(seed)
    race = Race(2, 6)
    scores: dict[int, dict[int, float | None]] = {variant: {} for variant in range(count)}
    drops: list[Dropped[int]] = []
    for _ in range(20):
        step = advance(race, scores, drops, "max")
        drops += step.drops
        if step.is_over:
            break
        for variant, place in step.next_runs:
            assert place not in scores[variant]
            scores[variant][place] = rng.choice(
                [spread * variant + rng.gauss(0, 1)] * 9 + [None, math.nan]
            )
    assert step.is_over
    assert step.leader in step.contenders
    assert {drop.variant for drop in drops} | set(step.contenders) == set(range(count))
    assert all(len(scores[variant]) == len(scores[step.leader]) for variant in step.contenders)


@given(st.floats(-50, 50), st.integers(1, 200))
def test_the_tail_of_students_t_is_scipys(t: float, freedom: int) -> None:
    assert math.isclose(t_tail(t, freedom), stats.t.sf(t, freedom), rel_tol=1e-9, abs_tol=1e-12)
