"""rlpyt's levels: the same variants, directories and order, and errors where rlpyt asserts."""

import copy
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.errors import InvalidInput
from runslot.variants import Variant, VariantLevel, _cross_variants, levels, make_variants

LR = VariantLevel([("agent", "lr"), ("agent", "batch")], [(0.1, 32), (0.01, 64)], ["fast", "slow"])
GAME = VariantLevel(
    [("env", "id")], [("pong",), ("qbert",), ("asterix",)], ["pong", "qbert", "asterix"]
)


def reference(levels):
    """What rlpyt documents, written as plainly as possible: every earlier variant with every row of
    the next level.
    """
    made = [({}, "")]
    for keys, values, names in levels:
        crossed = []
        for variant, directory in made:
            for row, name in zip(values, names, strict=True):
                new = copy.deepcopy(variant)
                for path, value in zip(keys, row, strict=True):
                    *above, last = path
                    at = new
                    for key in above:
                        at = at.setdefault(key, {})
                    at[last] = copy.deepcopy(value)
                crossed.append((new, os.path.join(directory, name)))
        made = crossed
    return [variant for variant, _ in made], [directory for _, directory in made]


def test_levels_are_crossed_in_order_the_first_slowest_and_outermost():
    variants, log_dirs = make_variants(LR, GAME)
    assert log_dirs == [
        "fast/pong",
        "fast/qbert",
        "fast/asterix",
        "slow/pong",
        "slow/qbert",
        "slow/asterix",
    ]
    assert variants[4] == {"agent": {"lr": 0.01, "batch": 64}, "env": {"id": "qbert"}}
    assert type(variants) is list
    assert type(log_dirs) is list
    assert all(isinstance(variant, Variant) for variant in variants)
    assert [variant.name for variant in variants] == log_dirs


def test_no_level_makes_one_empty_variant():
    assert make_variants() == ([{}], [""])


def test_cross_variants_takes_plain_dicts_and_changes_nothing_it_is_given():
    before = [{"env": {"id": "pong"}}, {"env": {"id": "qbert"}}]
    kept = copy.deepcopy(before)
    variants, log_dirs = _cross_variants(before, ["a", "b"], LR)
    assert before == kept
    assert log_dirs == ["a/fast", "a/slow", "b/fast", "b/slow"]
    assert variants[3] == {"env": {"id": "qbert"}, "agent": {"lr": 0.01, "batch": 64}}


def test_a_later_level_replaces_and_reaches_into_earlier_values():
    first = VariantLevel([("model",)], [({"hidden": [1], "act": "relu"},)], ["m"])
    second = VariantLevel([("model", "act")], [("tanh",), ("elu",)], ["tanh", "elu"])
    assert [variant["model"]["act"] for variant in make_variants(first, second)[0]] == [
        "tanh",
        "elu",
    ]
    assert first.values[0][0]["act"] == "relu"


def test_variants_share_nothing_with_each_other_or_with_the_levels():
    shared = [1, 2]
    level = VariantLevel(
        [("a",), ("b", "c")], [(shared, {"d": shared}), (shared, {"d": shared})], ["x", "y"]
    )
    variants, _ = make_variants(level, GAME)
    variants[0]["a"].append(3)
    variants[0]["b"]["c"]["d"].append(4)
    variants[0]["env"]["id"] = "changed"
    assert shared == [1, 2]
    assert all(
        variant["a"] == [1, 2] and variant["b"]["c"]["d"] == [1, 2] for variant in variants[1:]
    )
    assert all(variant["env"]["id"] != "changed" for variant in variants[1:])


def test_the_space_of_levels_yields_the_same():
    space = levels(LR, GAME)
    variants, log_dirs = make_variants(LR, GAME)
    assert list(space) == variants == list(space)
    assert [variant.name for variant in space] == log_dirs
    assert len(space) == 6
    assert space.factors() == ("agent.lr+agent.batch ×2", "env.id ×3")


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (VariantLevel([("lr",)], [(1,), (2,)], ["a"]), "level 2 has 2 values and 1 dir_names"),
        (
            VariantLevel([("lr",)], [(1,), (2, 3)], ["a", "b"]),
            "level 2, values[1] is (2, 3), of length 2",
        ),
        (VariantLevel([("lr",), ("b",)], [(1,)], ["a"]), "it needs 2 values, for lr, b"),
        (VariantLevel([("env",)], ["pong"], ["a"]), "write ('pong',)"),
        (
            VariantLevel([("lr",)], [0.1], ["a"]),
            "level 2, values[0] is 0.1; write a tuple of 1 value, for lr: (0.1,)",
        ),
        (VariantLevel(["lr"], [(1,)], ["a"]), "level 2, keys[0] is the string 'lr'"),
        (VariantLevel([()], [(1,)], ["a"]), "level 2, keys[0] is empty"),
        (VariantLevel([("lr",)], [], []), "level 2 has no values"),
        (
            VariantLevel([("lr",)], [(1,), (2,)], ["a", "a"]),
            "level 2 gives the directory 'a' twice",
        ),
        (
            VariantLevel([("lr",)], [(1,), (2,)], ["a", "./a"]),
            "level 2 gives the directory 'a' twice",
        ),
        (VariantLevel([("lr",)], [(1,)], ["../a"]), "leads out of"),
        (VariantLevel([("lr",)], [(1,)], ["/a"]), "absolute"),
        (VariantLevel([("lr",)], [(1,)], [1]), "a int, not a string"),
        (
            VariantLevel([("env", "id", "deep")], [(1,)], ["a"]),
            "level 2, values[0]: env.id.deep cannot be set: env.id is 'pong'",
        ),
    ],
)
def test_what_rlpyt_asserts_is_refused_with_its_place(level, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        make_variants(GAME, level)


def test_directories_that_meet_only_after_crossing_are_refused():
    first = VariantLevel([("a",)], [(1,), (2,)], ["x", "x/y"])
    second = VariantLevel([("b",)], [(1,), (2,)], ["y/z", "z"])
    with pytest.raises(InvalidInput, match="level 2 gives the directory 'x/y/z' twice"):
        make_variants(first, second)


def test_every_previous_variant_needs_a_directory():
    with pytest.raises(InvalidInput, match="1 variants came with 2 log_dirs"):
        _cross_variants([{}], ["a", "b"], LR)


names = st.text("abcXYZ019_.=-", min_size=1, max_size=5).filter(
    lambda name: name not in (".", "..")
)
values = st.one_of(
    st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2), st.none()
)


@st.composite
def some_levels(draw):
    made = []
    for depth in range(draw(st.integers(0, 3))):
        inside = st.lists(st.sampled_from("pqr"), min_size=1, max_size=2).map(tuple)
        # keys of one length never lead through each other's values
        keys = draw(st.lists(inside, min_size=1, max_size=3, unique=True))
        keys = [("abc"[depth], *key) for key in keys if len(key) == len(keys[0])]
        dirs = draw(st.lists(names, min_size=1, max_size=3, unique=True))
        rows = [tuple(draw(values) for _ in keys) for _ in dirs]
        made.append(VariantLevel(keys, rows, dirs))
    return made


@given(some_levels())
def test_results_and_order_are_those_of_the_reference(levels):
    variants, log_dirs = make_variants(*levels)
    assert (variants, log_dirs) == reference(levels)
    assert len(set(log_dirs)) == len(variants)
