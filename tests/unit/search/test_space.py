"""What a search chooses from: words, dicts and functions, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot import InvalidInput, choice, integers, logintegers, loguniform, uniform
from runslot.search.space import Proposed, SearchSpace, Suggestions, make_space, parse_space
from runslot.variants.distributions import Distribution

PLACES = st.floats(0, 1, exclude_max=True)


def at(place: float) -> Any:
    return lambda _name, distribution: distribution.at(place)


def test_words_become_distributions_by_key() -> None:
    space = parse_space(
        [
            "opt.lr=loguniform(1e-5,1e-1)",
            "d=uniform(0,1,0.25)",
            "n=integers(8,64,8)",
            "k=logintegers(1,1000)",
        ]
    )
    assert space.parameters == {
        "opt.lr": loguniform(1e-5, 1e-1),
        "d": uniform(0, 1, 0.25),
        "n": integers(8, 64, 8),
        "k": logintegers(1, 1000),
    }
    assert space.propose(0, at(0.5)).variant == {"opt": {"lr": 0.001}, "d": 0.5, "n": 40, "k": 22}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lr"], "is not KEY=VALUE"),
        (["lr=0.1,0.01"], "does not name a distribution"),
        (["lr=quniform(0,1,0.1)"], "it is uniform here"),
        (["lr=lograndint(1,9)"], "it is logintegers here"),
        (["lr=logunifrom(1,9)"], "did you mean 'loguniform'"),
        (["lr=loguniform(0,1)"], "has no logarithm"),
        (["n=logintegers(0,9)"], "start at 1"),
        (["n=logintegers(1,9,2)"], "takes two numbers"),
        (["n=integers(1,9,20)"], "no longer than the range"),
        (["x=uniform(0,1,0)"], "a step above 0"),
        (["x=uniform(0,1,1e-9)"], "more than 1,000,000 steps"),
        (["a=uniform(0,1)", "a=uniform(0,2)"], "searched twice"),
        (["a=choice({b: 1},{b: 2})", "a.b=uniform(0,2)"], "lies inside"),
        (["a=choice(relu)"], "one variant alone"),
        ([], "nothing to choose"),
    ],
)
def test_a_space_that_cannot_be_is_refused_on_one_line(words: list[str], message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_space(words)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_dict_has_fixed_settings_lists_and_distributions() -> None:
    space = make_space(
        {
            "env": "pong",
            "opt": {"lr": loguniform(1e-3, 1), "name": ["adam", "sgd"]},
            "net": choice([[8, 8], [64]]),
        }
    )
    assert space.fixed == {"env": "pong"}
    proposed = space.propose(0, at(0.75))
    assert proposed.params == {"opt.lr": 0.177828, "opt.name": "sgd", "net": [64]}
    assert proposed.variant == {"env": "pong", "opt": {"lr": 0.177828, "name": "sgd"}, "net": [64]}
    proposed.variant["net"].append(1)
    assert space.propose(0, at(0.75)).params["net"] == [64], "a trial may change its own list"


def conditional(trial: Suggestions) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["mlp", "cnn"])
    if kind == "mlp":
        return {"kind": kind, "width": trial.suggest_int("width", 8, 512, log=True)}
    return {"kind": kind, "channels": [trial.suggest_int(f"c{i}", 4, 64, step=4) for i in range(2)]}


def test_a_function_asks_for_what_it_needs_and_returns_the_variant() -> None:
    space = make_space(conditional)
    assert space.propose(0, at(0.25)).variant == {"kind": "mlp", "width": 22}
    second = space.propose(1, at(0.75))
    assert second.variant == {"kind": "cnn", "channels": [52, 52]}
    assert list(second.params) == ["kind", "c0", "c1"]
    again = space.replay(1, second.params)
    assert again is not None
    assert again.variant == second.variant


def test_a_function_that_returns_nothing_gives_its_parameters_by_key() -> None:
    def space(trial: Suggestions) -> None:
        trial.suggest_float("opt.lr", 0, 1)
        assert trial.suggest_float("opt.lr", 0, 1) == trial.params["opt.lr"]

    assert make_space(space).propose(0, at(0.5)).variant == {"opt": {"lr": 0.5}}


def twice(trial: Suggestions) -> None:
    trial.suggest_int("n", 1, 3)
    trial.suggest_int("n", 1, 4)


def faulty(trial: Suggestions) -> None:
    trial.suggest_int("n", 1 // 0, 3)


def wordy(trial: Suggestions) -> None:
    raise ValueError(f"no more\nthan {trial.number}")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (twice, "asks for 'n' twice"),
        (faulty, "ZeroDivisionError"),
        (wordy, "ValueError: no more than 0"),
        (lambda trial: trial.report(1, 2), "has no 'report'"),
        (lambda trial: trial.suggest_flaot("x", 0, 1), "did you mean 'suggest_float'"),
        (lambda trial: {"a": 1}, "asks for no parameter"),
        (
            lambda trial: trial.suggest_int("n", 1, 3),
            "returns the variant as a dict, or nothing, not a int",
        ),
        (lambda trial: trial.suggest_float("x", 1, 2, step=1, log=True), "has no step"),
        (lambda trial: trial.suggest_categorical("x", []), "nothing to choose"),
        (lambda trial: trial.suggest_int("a..b", 0, 1), "is not a key"),
    ],
)
def test_a_function_that_goes_wrong_is_refused_on_one_line(function: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make_space(function).propose(0, at(0.5))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_parameters_of_a_space_that_has_changed_are_not_replayed() -> None:
    space = parse_space(["lr=loguniform(1e-3,1)", "act=choice(relu,gelu)"])
    assert space.replay(0, {"lr": 0.1, "act": "gelu"}) is not None
    assert space.replay(0, {"lr": 2.0, "act": "gelu"}) is None
    assert space.replay(0, {"lr": 0.1, "act": "tanh"}) is None
    assert space.replay(0, {"lr": 0.1}) is None
    assert space.replay(0, {"lr": 0.1, "act": "gelu", "more": 1}) is None


def test_a_variant_of_an_earlier_experiment_gives_its_parameters_where_it_lies_in_the_space() -> (
    None
):
    space = make_space(
        {"opt.lr": loguniform(1e-3, 1), "net": choice([[8, 8], [64]]), "seedless": True}
    )
    assert space.params_of({"opt": {"lr": 1}, "net": [64], "other": 2}) == {
        "opt.lr": 1.0,
        "net": [64],
    }
    assert space.params_of({"opt": {"lr": 2}, "net": [64]}) is None
    assert space.params_of({"net": [64]}) is None
    assert make_space(conditional).params_of({"kind": "mlp", "width": 9}) == {
        "kind": "mlp",
        "width": 9,
    }
    assert make_space(conditional).params_of({"kind": "cnn", "width": 9}) is None


@given(PLACES, st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 1000))
def test_every_place_of_a_range_of_whole_numbers_lies_in_it(
    place: float, low: int, width: int, step: int
) -> None:
    distributions: list[Distribution] = [integers(low, low + width), logintegers(low, low + width)]
    if step <= max(width, 1):
        distributions.append(integers(low, low + width, step))
    for distribution in distributions:
        value = distribution.at(place)
        assert distribution.holds(value)
        assert not distribution.holds(low + width + 1)
        assert not distribution.holds(True)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 10), st.integers(1, 50), PLACES)
def test_a_step_ends_within_the_range_and_each_is_as_likely(
    low: float, step: float, count: int, place: float
) -> None:
    distribution = uniform(low, low + step * count * 1.0000001, step)
    assert distribution.size == count + 1
    assert math.isclose(
        distribution.at(place), low + int(place * (count + 1)) * step, rel_tol=1e-9, abs_tol=1e-9
    )


def test_steps_read_as_people_write_them() -> None:
    tenths = uniform(0, 1, 0.1)
    assert [tenths.at(place / 11 + 0.01) for place in range(11)] == [
        place / 10 for place in range(11)
    ]


def test_small_numbers_are_as_likely_as_large_ones_on_a_logarithmic_scale() -> None:
    counts = [0, 0, 0]
    for place in range(3000):
        counts[int(math.log10(logintegers(1, 999).at(place / 3000)))] += 1
    assert all(800 < count < 1250 for count in counts), counts


def test_the_size_counts_different_variants() -> None:
    assert parse_space(["a=choice(1,1.0,2)", "b=integers(0,4,2)"]).size == 6
    assert parse_space(["a=choice(1,2)", "b=uniform(0,1)"]).size is None
    assert make_space(conditional).size is None
    assert isinstance(SearchSpace({"a": integers(0, 1)}).propose(0, at(0)), Proposed)


@pytest.mark.parametrize(
    "ask",
    [
        lambda trial: trial.suggest_float("x", 1, 0),
        lambda trial: trial.suggest_float("x", 0, 1, log=True),
        lambda trial: trial.suggest_int("x", 1, 5, step=0),
        lambda trial: trial.suggest_categorical("x", []),
    ],
)
def test_what_a_function_cannot_ask_is_refused_by_the_name_it_asks_for(ask: Any) -> None:
    with pytest.raises(InvalidInput, match="the space asks for 'x': "):
        make_space(ask).propose(0, lambda _name, distribution: distribution.at(0.5))
