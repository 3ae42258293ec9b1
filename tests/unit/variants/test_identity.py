"""Run ids: the same for equal settings, in every process."""

import copy
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runslot
from runslot.variants import Variant, canonical, run_id

IDS = ["6541e7aab473ecd1", "f3f0769c19a7cae7", "919f3b1f12f06ccd", "564995f92c280b75"]
SETTINGS = """
import enum, json
from pathlib import PurePosixPath
from runslot.variants import run_id
class Color(enum.Enum):
    RED = 1
def act(x): return x
variant = {"lr": 1e-3, "b": 2, "a": [1, (2, 3.5)], "s": {"x", "y", "zebra", "q"}, "cls": dict, "f": act,
           "e": Color.RED, "p": PurePosixPath("/data"), "nested": {"é": None, "t": True},
           "big": 1e300, "inf": float("inf")}
print(json.dumps([run_id(variant), run_id(variant, 3), run_id(variant, None, ["--x", "1"]), run_id({})]))
"""


@pytest.mark.parametrize("hash_seed", ["0", "1", "12345"])
def test_ids_are_the_same_in_every_process_and_version(hash_seed):
    """Fixed: other ids would make every existing experiment run again on --into."""
    source = os.path.dirname(os.path.dirname(runslot.__file__))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": source}
    out = subprocess.run(
        [sys.executable, "-c", SETTINGS],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    assert json.loads(out) == IDS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 0.0}, {"a": -0.0}),
        ({"a": (1, 2)}, {"a": [1.0, 2]}),
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        ({"a": {1: "x"}}, {"a": {"1": "x"}}),
        ({"a": {"x", "y"}}, {"a": {"y", "x"}}),
        ({"a": float("nan")}, {"a": float("nan")}),
        ({"a": 1}, Variant({"a": 1}, "any/name")),
    ],
)
def test_equal_settings_are_one_run(one, other):
    assert run_id(one, 3, ["x"]) == run_id(other, 3, ["x"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {"a": "null"}),
        ({"a": None}, {}),
        ({"a": float("nan")}, {"a": "NaN"}),
        ({"a": []}, {"a": {}}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": 0.1}, {"a": 0.1 + 2**-55}),
        ({"a": 2**53}, {"a": 2**53 + 1}),
        ({"a": int}, {"a": float}),
        ({"a.b": 1}, {"a": {"b": 1}}),
    ],
)
def test_different_settings_are_different_runs(one, other):
    assert run_id(one) != run_id(other)


def test_seed_and_arguments_count():
    ids = [
        run_id({"a": 1}),
        run_id({"a": 1}, 0),
        run_id({"a": 1}, 1),
        run_id({"a": 1}, None, ["0"]),
        run_id({"a": 1}, 0, ["0"]),
        run_id({"a": 1}, 0, ["0", "1"]),
        run_id({"a": 1}, 0, ["0 1"]),
        run_id({"a": 1, "seed": 5}),
        run_id({"a": 1, "seed": 5}, 6),
    ]
    assert len(set(ids)) == len(ids)


def test_a_seed_counts_once_wherever_it_came_from():
    assert (
        run_id({"a": 1, "seed": 3}, 3)
        == run_id({"a": 1}, 3)
        == run_id({"a": 1}, "3")
        == run_id({"seed": "3", "a": 1}, 3)
    )


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)
variants = st.dictionaries(st.text(max_size=3), json_values, max_size=4)


def disguised(value):
    """The same setting, written as differently as it can be."""
    if isinstance(value, list):
        return tuple(disguised(item) for item in value)
    if isinstance(value, dict):
        return {key: disguised(item) for key, item in reversed(value.items())}
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    return value


@given(variants, st.integers(0, 5))
def test_the_id_depends_on_content_alone(variant, seed):
    before = copy.deepcopy(variant)
    assert run_id(variant, seed) == run_id(disguised(variant), seed)
    assert run_id(variant, seed) == run_id(json.loads(json.dumps(variant)), seed)
    assert repr(variant) == repr(before)
    assert len(run_id(variant, seed)) == 16


@given(variants, variants)
def test_equal_ids_mean_equal_settings(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    if same:
        assert canonical(one) == canonical(other)
    elif one != other and "nan" not in repr((one, other)):
        # Python takes True for 1; the canonical text does not, so it may differ where Python finds
        # equality
        assert canonical(one) != canonical(other)


def test_many_seeds_of_a_variant_have_the_ids_that_each_has_alone():
    from runslot.variants.encode import run_ids

    for variant in ({}, {"lr": 1.0, "nested": {"b": (1, 2), "a": "é"}}, {"x": None}):
        ids = run_ids(variant)
        assert [ids(seed) for seed in (0, 7)] == [run_id(variant, 0), run_id(variant, 7)]
    assert len({run_ids({"x": x})(seed) for x in (1, "1") for seed in (0, 1)}) == 4
