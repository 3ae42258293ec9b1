"""What samplers promise: the same trials ask the same, nothing twice, and better than chance."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runslot import InvalidInput, choice, integers, logintegers, loguniform, uniform
from runslot.errors import NotInstalled
from runslot.search.samplers import SAMPLERS, Asker, TrialState, halton
from runslot.search.samplers_cmaes import place_of
from runslot.search.space import SearchSpace, Suggestions, make_space, parse_space
from runslot.search.start import make_sampler
from runslot.variants.distributions import Distribution

SPACE = parse_space(
    [
        "lr=loguniform(1e-5,1)",
        "n=logintegers(1,500)",
        "d=uniform(0,1,0.1)",
        "act=choice(relu,gelu)",
        "bs=choice(8,16,32)",
    ]
)


def conditional(trial: Suggestions) -> None:
    if trial.suggest_categorical("kind", [["a"], {"b": 1}]) == ["a"]:
        trial.suggest_float("x", 0, 1)
    else:
        trial.suggest_int("y", 0, 99)


def dynamic(trial: Suggestions) -> None:
    """Ask for the same parameters of other values, by what was chosen before."""
    is_wide = trial.suggest_categorical("wide", [True, False])
    trial.suggest_categorical("act", ["relu", "gelu", "tanh"] if is_wide else ["elu", "relu"])
    trial.suggest_int("n", 0, 9 if is_wide else 90, step=3 if is_wide else 1)
    trial.suggest_float("lr", 1e-3, 1, log=is_wide)
    if trial.number % 2:
        trial.suggest_float("either", 0, 1)
    else:
        trial.suggest_categorical("either", ["x", "y"])


def score(params: Any) -> float:
    if "wide" in params:
        return params["lr"] + params["n"] / 100 + (params["act"] == "relu")
    if "kind" in params:
        return params["x"] if "x" in params else params["y"] / 200
    return -abs(math.log10(params["lr"]) + 2) - abs(params["d"] - 0.3) + (params["act"] == "gelu")


def search(space: SearchSpace, name: str, count: int, seed: int = 0) -> list[TrialState]:
    """Run a search of which the fifth trial fails, every seventh is pruned, and the last three still run."""
    asker = Asker(space, make_sampler(name, "max"), seed)
    trials: list[TrialState] = []
    for number in range(count):
        proposed = asker.ask(trials, number)
        assert proposed is not None
        trials.append(TrialState(number, proposed.params, "running"))
        if number >= 3:
            trials[number - 3] = ended(trials[number - 3])
    return trials


def ended(trial: TrialState) -> TrialState:
    value = score(trial.params)
    if trial.number == 4:
        return TrialState(4, trial.params, "failed")
    if trial.number == 6:
        return TrialState(6, trial.params, "complete", math.nan)
    if trial.number % 7 == 0:
        return TrialState(trial.number, trial.params, "pruned", value, 9.0)
    return TrialState(trial.number, trial.params, "complete", value)


@pytest.mark.parametrize(
    ("name", "space"),
    [(name, SPACE) for name in SAMPLERS]
    + [
        (name, make_space(function))
        for name in ("random", "qmc", "tpe", "auto")
        for function in (conditional, dynamic)
    ],
)
def test_a_resumed_search_asks_what_an_unbroken_one_would(name: str, space: SearchSpace) -> None:
    trials = search(space, name, 40)
    history = search(space, name, 25)
    expected = [*trials[:22], *(TrialState(n, trials[n].params, "running") for n in range(22, 25))]
    assert repr(history) == repr(expected)  # a nan equals none, itself included
    fresh = Asker(space, make_sampler(name, "max"), 0).ask(history, 25)
    assert fresh is not None
    assert fresh.params == trials[25].params
    other = Asker(space, make_sampler(name, "max"), 1).ask(history, 25)
    assert other is not None
    assert other.params != trials[25].params


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "auto"])
def test_every_variant_of_a_small_space_is_asked_once_and_then_none(name: str) -> None:
    space = parse_space(["a=integers(0,6)", "b=choice(x,y,[1],{c: 2})", "c=choice(1,1.0)"])
    asker = Asker(space, make_sampler(name, "max"), 3)
    trials: list[TrialState] = []
    while (proposed := asker.ask(trials, len(trials))) is not None:
        trials.append(
            TrialState(len(trials), proposed.params, "complete", float(proposed.params["a"]))
        )
    assert len(trials) == 28
    assert len({str(trial.params | {"c": 1}) for trial in trials}) == 28


def test_a_model_learns_what_chance_does_not() -> None:
    best = {
        name: sorted(
            max(score(trial.params) for trial in search(SPACE, name, 43, seed) if trial.number < 40)
            for seed in range(5)
        )[2]
        for name in ("random", "tpe")
    }
    assert best["tpe"] > best["random"]


def test_cma_es_comes_to_the_end_of_a_narrow_valley() -> None:
    space = parse_space(["x=uniform(-3,5)", "y=uniform(-4,4)", "act=choice(relu,gelu)"])
    asker = Asker(space, make_sampler("cmaes", "min"), 1)
    trials: list[TrialState] = []
    for number in range(400):
        proposed = asker.ask(trials, number)
        assert proposed is not None
        x, y = proposed.params["x"], proposed.params["y"]
        value = (1 - x) ** 2 + 20 * (y - x * x) ** 2
        trials.append(TrialState(number, proposed.params, "complete", value))
    first, last = (min(trial.value or 0 for trial in part) for part in (trials[:50], trials[-50:]))
    assert last < 1e-4 < first
    assert {trial.params["act"] for trial in trials[-50:]} == {"relu", "gelu"}


def test_a_gaussian_process_refuses_a_function() -> None:
    with pytest.raises(InvalidInput, match="the same parameters in every trial"):
        Asker(make_space(conditional), make_sampler("gp", "min"), 1).ask([], 0)


def test_a_gaussian_process_comes_near_the_best_in_few_trials_where_others_still_run() -> None:
    space = parse_space(["x=uniform(-2,2)", "lr=loguniform(1e-4,1)", "act=choice(relu,gelu,silu)"])
    asker = Asker(space, make_sampler("gp", "min"), 1)
    trials: list[TrialState] = []
    for number in range(30):
        proposed = asker.ask(trials, number)
        assert proposed is not None
        params = proposed.params
        value = (
            (params["x"] - 1) ** 2 + (math.log10(params["lr"]) + 2) ** 2 + (params["act"] != "gelu")
        )
        trials.append(TrialState(number, params, "running", value))
        if number >= 3:
            ended = trials[number - 3]
            trials[number - 3] = TrialState(ended.number, ended.params, "complete", ended.value)
    assert min(trial.value or 0 for trial in trials) < 0.05


def test_the_share_of_a_normal_distribution_has_its_digits_in_the_tails_as_well() -> None:
    from runslot.search.samplers_gp import normal_share

    values = [-30, -8, -3, -0.5, 0, 0.2, 2, 9]
    exact = [math.erfc(-value / math.sqrt(2)) / 2 for value in values]
    assert [*normal_share(np.array(values))] == pytest.approx(exact, rel=1e-6)


def test_cma_es_refuses_what_has_no_order() -> None:
    for space in (make_space(conditional), parse_space(["act=choice(relu,gelu)"])):
        with pytest.raises(InvalidInput, match="cmaes needs numbers"):
            Asker(space, make_sampler("cmaes", "min"), 1).ask([], 0)


PLACED = [
    uniform(-1, 3),
    uniform(0, 1, 0.1),
    loguniform(1e-5, 10),
    integers(3, 9),
    integers(0, 90, 7),
    logintegers(1, 1000),
    choice([1, 3, 10]),
]


@given(st.sampled_from(PLACED), st.floats(0, 1, exclude_max=True))
def test_the_place_of_a_value_is_where_it_is_drawn(
    distribution: Distribution, place: float
) -> None:
    value = distribution.at(place)
    back = place_of(distribution, value)
    assert distribution.at(min(back, 0.9999999)) == pytest.approx(value, rel=1e-5, abs=1e-5)


def test_a_model_of_many_trials_sees_the_best_of_them() -> None:
    from runslot.search.samplers_optuna import SEEN, TpeSampler

    trials = [TrialState(n, {"x": n / 1000}, "complete", -abs(n - 7.0)) for n in range(500)]
    seen = TpeSampler("max").seen(parse_space(["x=uniform(0,1)"]), trials)
    best, latest = SEEN
    assert [trial.number for trial in seen] == [*range(best), *range(500 - latest, 500)]


@given(st.integers(0, 5000), st.integers(0, 30), st.integers(0, 99))
def test_a_coordinate_of_haltons_sequence_lies_in_its_range(
    index: int, dimension: int, seed: int
) -> None:
    assert 0 <= halton(index, dimension, seed) < 1


@settings(max_examples=20)
@given(st.integers(0, 3), st.integers(0, 99), st.integers(0, 50))
def test_haltons_sequence_has_a_point_in_every_part_of_a_range(
    dimension: int, seed: int, block: int
) -> None:
    base = (2, 3, 5, 7)[dimension]
    cells = base**3
    points = (
        [halton(cells * block + index - 1, dimension, seed) for index in range(cells)]
        if block
        else []
    )
    assert sorted(int(point * cells) for point in points) == list(range(cells if block else 0))


def test_an_unknown_sampler_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'tpe'"):
        make_sampler("tpee", "max")


def test_what_needs_a_package_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "runslot.search.samplers_optuna", raising=False)
    with pytest.raises(NotInstalled, match=r"pip install .*search.*or --sampler random"):
        make_sampler("tpe", "max")
    make_sampler("random", "max")
    make_sampler("qmc", "max")
