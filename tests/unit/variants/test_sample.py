"""Samples: repeatable, different, within their ranges."""

import math
import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.errors import InvalidInput
from runslot.variants import canonical, choice, grid, integers, loguniform, sample, uniform

SPACE = {
    "lr": loguniform(1e-5, 1e-1),
    "env": {"id": ["pong", "qbert"]},
    "n": integers(1, 3),
    "gamma": 0.99,
}

FIRST = [
    {"lr": 0.00127745, "n": 4, "act": "relu"},
    {"lr": 0.000103168, "n": 1, "act": "tanh"},
    {"lr": 0.0865638, "n": 2, "act": "tanh"},
]
NAMES = ["lr=0.00127745,n=4,act=relu", "lr=0.000103168,n=1,act=tanh", "lr=0.0865638,n=2,act=tanh"]


def test_a_sample_is_the_same_every_time():
    """Fixed: other draws would make every existing random search run again on --into."""
    space = sample(
        {"lr": loguniform(1e-5, 1e-1), "n": integers(1, 9), "act": choice(["relu", "tanh"])}, 3
    )
    assert list(space) == list(space) == FIRST
    assert [variant.name for variant in space] == NAMES
    assert len(space) == 3
    assert space.factors() == ("lr, n, act sampled ×3",)


def test_settings_are_read_as_in_a_grid():
    for variant in sample(SPACE, 5):
        assert set(variant) == {"lr", "env", "n", "gamma"}
        assert variant["env"]["id"] in ("pong", "qbert")
        assert variant["gamma"] == 0.99
        assert re.fullmatch(r"lr=[0-9.e-]+,env\.id=(pong|qbert),n=[123]", variant.name)


def test_another_seed_draws_others():
    assert list(sample(SPACE, 5)) != list(sample(SPACE, 5, seed=1))


def test_more_variants_begin_with_the_same():
    assert list(sample(SPACE, 50))[:20] == list(sample(SPACE, 20))


def test_another_key_leaves_the_draws_of_the_others():
    more = sample({"wd": uniform(0, 1), **SPACE}, 20)
    assert [variant["lr"] for variant in more] == [variant["lr"] for variant in sample(SPACE, 20)]


def test_all_of_a_finite_space_can_be_drawn():
    drawn = sample({"a": integers(1, 6), "b": ["x", "y"]}, 12)
    assert {(v["a"], v["b"]) for v in drawn} == {(a, b) for a in range(1, 7) for b in "xy"}


def test_samples_cross_with_other_spaces():
    assert len(list(sample(SPACE, 4) * grid({"seed": [0, 1]}))) == 8


def test_options_are_copies():
    options = [[1], [2]]
    space = sample({"hidden": choice(options)}, 2)
    for variant in space:
        variant["hidden"].append(3)
    assert options == [[1], [2]]
    assert sorted(variant["hidden"] for variant in space) == [[1], [2]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sample({"a": integers(1, 2), "b": ["x"]}, 3), "only 2 different variants of a, b"),
        (lambda: sample({"a": [1, 1.0]}, 2), "only 1 different variants of a"),
        (lambda: sample({"a": 1}, 2), "nothing to draw"),
        (lambda: sample(SPACE, 0), "at least 1, not 0"),
        (lambda: sample(SPACE, 2.0), "not 2.0"),
        (lambda: sample(SPACE, 2, seed="x"), "whole number as its seed, not 'x'"),
        (lambda: uniform(1, 1), "uniform(1, 1) is empty"),
        (lambda: uniform(2, 1), "write the lower end first"),
        (lambda: uniform(0, math.inf), "inf is not a finite number"),
        (lambda: uniform("0", 1), "'0' is not a finite number"),
        (lambda: loguniform(0, 1), "start above 0"),
        (lambda: integers(3, 2), "integers(3, 2) is empty"),
        (lambda: integers(1, 2.5), "takes whole numbers"),
        (lambda: choice([]), "nothing to choose from"),
        (lambda: choice("abc"), "a list of options, not 'abc'"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        make()


finite = st.floats(-1e9, 1e9)
positive = st.floats(1e-12, 1e12)


@given(finite, finite, st.integers())
def test_uniform_stays_in_its_range(one, other, seed):
    low, high = min(one, other), max(one, other)
    if low < high:
        assert low <= uniform(low, high).draw(Random(seed)) <= high


@given(positive, positive, st.integers())
def test_loguniform_stays_in_its_range(one, other, seed):
    low, high = min(one, other), max(one, other)
    if low < high:
        assert low <= loguniform(low, high).draw(Random(seed)) <= high


@given(st.integers(-5, 5), st.integers(0, 3), st.integers())
def test_integers_have_both_ends(low, length, seed):
    rng = Random(seed)
    drawn = {integers(low, low + length).draw(rng) for _ in range(200)}
    assert drawn == set(range(low, low + length + 1))


def test_draws_have_the_distribution_they_say():
    rng = Random(0)
    logs = [math.log10(loguniform(1e-4, 1).draw(rng)) for _ in range(4000)]
    flat = [uniform(-1, 3).draw(rng) for _ in range(4000)]
    for quarter in range(4):
        assert 900 < sum(quarter <= log + 4 < quarter + 1 for log in logs) < 1100
        assert 900 < sum(quarter <= value + 1 < quarter + 1 for value in flat) < 1100


@given(st.integers(1, 30), st.integers(0, 3))
def test_samples_are_different_from_each_other(n, seed):
    drawn = list(sample({"a": integers(1, 6), "b": uniform(0, 1), "c": [1, 2]}, n, seed))
    assert (
        len({canonical(variant) for variant in drawn})
        == len({variant.name for variant in drawn})
        == n
    )
