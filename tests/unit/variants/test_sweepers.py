"""The sweepers of launchkit and RLKit."""

import copy
import random
import re

import pytest

from runslot.errors import InvalidInput
from runslot.variants import (
    DeterministicHyperparameterSweeper,
    EnumParam,
    FixedParam,
    LinearFloatParam,
    LinearIntParam,
    LogFloatParam,
    LogIntParam,
    RandomHyperparameter,
    RandomHyperparameterSweeper,
    Variant,
    space_of,
)


def test_the_usual_loop():
    variant = {"algo": {"lr": 0.0, "gamma": 0.99}, "layer": {"act": "relu", "n": 1}, "epochs": 3}
    search_space = {"algo.lr": [0.1, 0.01], "layer": [{"n": 2}, "none"], "algo.sizes": [[64, 64]]}
    before = copy.deepcopy((variant, search_space))
    sweeper = DeterministicHyperparameterSweeper(search_space, default_parameters=variant)
    found = []
    for exp_id, made in enumerate(sweeper.iterate_hyperparameters()):
        assert isinstance(made, Variant)
        made["algo"]["sizes"].append(exp_id)
        made["exp_id"] = exp_id
        found.append(dict(made))
    assert found == [
        {
            "algo": {"lr": lr, "gamma": 0.99, "sizes": [64, 64, 2 * row + column]},
            "layer": layer,
            "epochs": 3,
            "exp_id": 2 * row + column,
        }
        for row, lr in enumerate([0.1, 0.01])
        for column, layer in enumerate([{"act": "relu", "n": 2}, "none"])
    ]
    assert (variant, search_space) == before
    assert len(sweeper.iterate_hyperparameters()) == 4


def test_what_a_sweeper_yields_is_not_swept_again():
    made = DeterministicHyperparameterSweeper({"sizes": [[1, 2]]}).iterate_hyperparameters()[0]
    assert list(space_of(made)) == [{"sizes": [1, 2]}]


def test_defaults_can_be_set_later_and_lie_under_what_is_searched():
    sweeper = DeterministicHyperparameterSweeper({"a.b": (1, 2)}, {"gone": 1})
    defaults = {"a": 5, "c": [1]}
    sweeper.set_default_parameters(defaults)
    defaults["c"].append(2)
    assert sweeper.iterate_hyperparameters() == [
        {"a": {"b": 1}, "c": [1]},
        {"a": {"b": 2}, "c": [1]},
    ]


def test_choices_may_repeat_as_there():
    assert len(DeterministicHyperparameterSweeper({"a": [1, 1, 1]}).iterate_hyperparameters()) == 3


@pytest.mark.parametrize(
    ("search_space", "message"),
    [
        ({"a": "pong"}, "a is 'pong', where a list of choices is needed; write ['pong']"),
        ({"a": 3}, "write [3]"),
        ({"a": []}, "a has no choices"),
        ({"a": [1], "a.b": [2]}, "a.b lies inside a"),
    ],
)
def test_a_search_space_without_choices_is_refused(search_space, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        DeterministicHyperparameterSweeper(search_space)


class Doubling(RandomHyperparameter):
    """What a script of RLKit may define."""

    last = 1

    def generate_next_value(self):
        self.last *= 2
        return self.last


def random_sweeper():
    return RandomHyperparameterSweeper(
        [
            EnumParam("algo.act", ["relu", "tanh"]),
            LinearFloatParam("x", -1, 2),
            LogFloatParam("lr", 1e-5, 1e-1),
            LogFloatParam("one_minus_gamma", 1e-3, 1e-1, offset=-1),
            LogIntParam("n", 1, 100, offset=10),
            LinearIntParam("k", 2, 3),
            FixedParam("fixed", [1]),
            Doubling("doubled"),
        ],
        {"algo": {"act": "old", "gamma": 1}, "k": 9},
    )


def test_random_draws_are_in_their_ranges_over_the_defaults():
    sweeper = random_sweeper()
    for turn in range(1, 100):
        drawn = sweeper.generate_random_hyperparameters()
        assert isinstance(drawn, Variant)
        assert drawn["algo"]["act"] in ("relu", "tanh")
        assert drawn["algo"]["gamma"] == 1
        assert -1 <= drawn["x"] <= 2
        assert 1e-5 <= drawn["lr"] <= 0.1000001
        assert -1 < drawn["one_minus_gamma"] <= -0.89
        assert type(drawn["n"]) is int
        assert 11 <= drawn["n"] <= 110
        assert drawn["k"] in (2, 3)
        assert drawn["doubled"] == 2**turn
        drawn["fixed"].append(2)
    assert sweeper.generate_random_hyperparameters()["fixed"] == [1]


def test_the_seed_of_the_script_repeats_the_draws():
    random.seed(3)
    first = [random_sweeper().generate_random_hyperparameters() for _ in range(3)]
    random.seed(3)
    assert [random_sweeper().generate_random_hyperparameters() for _ in range(3)] == first
    assert first[0] != first[1]


def test_sweeping_calls_the_function_with_each_draw():
    sweeper = RandomHyperparameterSweeper([LinearIntParam("k", 1, 5)], {"c": 10})
    found = sweeper.sweep_hyperparameters(lambda k, c: k + c, 4)
    assert [score for score, _ in found] == [drawn["k"] + 10 for _, drawn in found]
    assert len(found) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: RandomHyperparameterSweeper([FixedParam("a", 1), FixedParam("a", 2)]),
            "a stands in the sweeper 2",
        ),
        (lambda: LogFloatParam("a", 0, 1), "a starts at 0, which has no logarithm"),
        (lambda: LinearFloatParam("a", 2, 1), "a goes from 2 to 1"),
        (lambda: LinearIntParam("a", 2, 1), "a goes from 2 to 1"),
        (lambda: EnumParam("a", []), "a has no possible values"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
