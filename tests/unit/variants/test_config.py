"""Nested settings by dotted keys, and rlpyt's update_config."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.errors import InvalidInput
from runslot.variants import (
    UnknownKey,
    WrongStructure,
    flatten,
    get_path,
    set_path,
    split_key,
    update_config,
)

DEFAULT = {"agent": {"lr": 0.1, "model": {"hidden": [64]}}, "env": {"id": "pong"}, "steps": 10}


def test_update_config_replaces_what_the_variant_sets_and_changes_neither():
    variant = {"agent": {"model": {"hidden": [32, 32]}}, "steps": 20}
    before = copy.deepcopy(DEFAULT), copy.deepcopy(variant)
    new = update_config(DEFAULT, variant)
    assert new == {
        "agent": {"lr": 0.1, "model": {"hidden": [32, 32]}},
        "env": {"id": "pong"},
        "steps": 20,
    }
    new["env"]["id"] = new["agent"]["lr"] = "changed"
    assert (DEFAULT, variant) == before


@pytest.mark.parametrize(
    ("variant", "error", "message"),
    [
        (
            {"agent": {"model": {"hiden": 1}}},
            KeyError,
            r"agent\.model\.hiden is not in .*did you mean 'hidden'",
        ),
        (
            {"agent": 3},
            TypeError,
            "the variant has a single value at agent, where the default config has a dict",
        ),
        (
            {"env": {"id": {"x": 1}}},
            TypeError,
            r"the variant has a dict at env\.id, where .* has a single value",
        ),
    ],
)
def test_update_config_refuses_with_the_key_path(variant, error, message):
    with pytest.raises(error, match=message) as caught:
        update_config(DEFAULT, variant)
    assert isinstance(caught.value, InvalidInput)


def test_the_errors_are_also_rlpyts():
    assert issubclass(UnknownKey, KeyError)
    assert issubclass(WrongStructure, TypeError)


def test_paths_are_read_and_set_by_dots_or_tuples():
    config = copy.deepcopy(DEFAULT)
    set_path(config, "agent.model.act", "relu")
    set_path(config, ("new", "deep", "key"), 1)
    assert get_path(config, "agent.model.act") == "relu"
    assert get_path(config, ("new", "deep")) == {"key": 1}


def test_a_path_through_a_value_is_refused():
    with pytest.raises(
        InvalidInput, match=r"steps\.n cannot be set: steps is 10, which is not a dict"
    ):
        set_path(copy.deepcopy(DEFAULT), "steps.n", 1)
    with pytest.raises(UnknownKey, match=r"there is no steps\.n"):
        get_path(DEFAULT, "steps.n")
    with pytest.raises(UnknownKey, match=r"there is no agent\.lrr \(did you mean 'lr'\?\)"):
        get_path(DEFAULT, "agent.lrr.x")


@pytest.mark.parametrize("key", ["", "a..b", ".a", "a.", ()])
def test_keys_with_empty_parts_are_refused(key):
    with pytest.raises(InvalidInput, match="is not a key"):
        split_key(key)


def test_flatten_gives_leaves_in_order():
    assert list(flatten(DEFAULT).items()) == [
        ("agent.lr", 0.1),
        ("agent.model.hidden", [64]),
        ("env.id", "pong"),
        ("steps", 10),
    ]
    assert flatten({"a": {}}) == {"a": {}}


keys = st.text("abc_", min_size=1, max_size=2)
trees = st.recursive(
    st.integers(), lambda inner: st.dictionaries(keys, inner, min_size=1, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


@given(trees)
def test_flatten_and_set_path_are_inverse(tree):
    again = {}
    for key, value in flatten(tree).items():
        set_path(again, key, value)
        assert get_path(tree, key) == value
    assert again == tree


@given(trees)
def test_updating_with_itself_changes_nothing(tree):
    assert update_config(tree, tree) == tree
    assert update_config(tree, {}) == tree
