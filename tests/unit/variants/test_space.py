"""Spaces: grids, zips, unions, crossings and what is kept of them."""

import copy
import itertools
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.errors import InvalidInput
from runslot.variants import (
    Variant,
    VariantLevel,
    canonical,
    grid,
    levels,
    listed,
    single,
    uniform,
    union,
    variants_of,
    zipped,
)


def names(space):
    return [variant.name for variant in space]


def test_a_grid_nests_dotted_keys_and_varies_the_first_slowest():
    space = grid(
        {"lr": [0.1, 0.01], "env.id": ["pong", "qbert"], "env.frames": 4, "model": {"hidden": [32]}}
    )
    assert len(space) == 4
    assert list(space)[1] == {
        "lr": 0.1,
        "env": {"id": "qbert", "frames": 4},
        "model": {"hidden": 32},
    }
    assert names(space) == [
        "lr=0.1,env.id=pong,model.hidden=32",
        "lr=0.1,env.id=qbert,model.hidden=32",
        "lr=0.01,env.id=pong,model.hidden=32",
        "lr=0.01,env.id=qbert,model.hidden=32",
    ]
    assert space.factors() == ("lr ×2", "env.id ×2", "model.hidden ×1")


def test_only_what_stands_in_a_list_are_choices_and_in_the_name():
    space = grid({"lr": [0.1], "gamma": 0.99, "name": "x", "net": dict, "none": None, "empty": {}})
    assert [(variant.name, dict(variant)) for variant in space] == [
        ("lr=0.1", {"lr": 0.1, "gamma": 0.99, "name": "x", "net": dict, "none": None, "empty": {}})
    ]


def test_ranges_and_arrays_of_one_dimension_are_choices():
    space = grid({"n": range(1, 4), "lr": np.array([0.5, 0.25]), "matrix": np.eye(2)})
    assert len(space) == 6
    assert [variant["n"] for variant in space] == [1, 1, 2, 2, 3, 3]
    assert {type(variant["lr"]) for variant in space} == {float}


def test_lists_as_choices_are_single_values():
    assert [variant["hidden"] for variant in grid({"hidden": [[64, 64], [], (1, 2)]})] == [
        [64, 64],
        [],
        (1, 2),
    ]


def test_a_grid_of_nothing_is_one_unnamed_variant():
    assert [(variant.name, variant) for variant in grid({})] == [("", {})]
    assert [(variant.name, variant) for variant in single({"a": 1})] == [("", {"a": 1})]


def test_zipped_takes_the_choices_together():
    space = zipped({"lr": [0.1, 0.01], "batch": [32, 64], "gamma": 0.9})
    assert [dict(variant) for variant in space] == [
        {"lr": 0.1, "batch": 32, "gamma": 0.9},
        {"lr": 0.01, "batch": 64, "gamma": 0.9},
    ]
    assert names(space) == ["lr=0.1,batch=32", "lr=0.01,batch=64"]
    assert space.factors() == ("lr+batch ×2",)


def test_seeds_are_left_out_of_names_but_count_as_runs():
    space = grid({"seed": [0, 1], "lr": [0.1, 0.01]})
    assert Counter(names(space)) == {"lr=0.1": 2, "lr=0.01": 2}
    assert names(grid({"seed": [5, 6]})) == ["", ""]
    assert names(zipped({"seed": [1, 2, 3], "lr": [0.1, 0.1, 0.2]})) == [
        "lr=0.1",
        "lr=0.1",
        "lr=0.2",
    ]
    assert len(variants_of(space * grid({"env.seed": [1, 2]}))) == 8


def test_crossing_puts_the_second_inside_the_first():
    space = grid({"lr": [0.1, 0.01]}) * levels(
        VariantLevel([("env", "id")], [("a",), ("b",)], ["A", "B"])
    )
    assert names(space) == ["lr=0.1/A", "lr=0.1/B", "lr=0.01/A", "lr=0.01/B"]
    assert list(space)[3] == {"lr": 0.01, "env": {"id": "b"}}
    assert names(grid({"a": [1]}) * grid({"seed": [0]}) * grid({"b": [2]})) == ["a=1/b=2"]
    assert len(space) == 4


def test_crossing_merges_dicts_and_refuses_a_key_of_both():
    both = grid({"env.id": ["a"]}) * grid({"env.frames": [4]})
    assert list(both) == [{"env": {"id": "a", "frames": 4}}]
    for other in ({"env.id": ["b"]}, {"env.id.x": [1]}, {"env": ["b"]}):
        with pytest.raises(
            InvalidInput, match=r"both spaces of a crossing set env(\.id)?; take it out of one"
        ):
            list(grid({"env.id": ["a"]}) * grid(other))


def test_where_keeps_what_the_predicate_says():
    space = grid({"a": [1, 2, 3], "b": [1, 2, 3]}).where(lambda v: v["a"] <= v["b"])
    assert [(v["a"], v["b"]) for v in space] == [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)]
    assert len(space) == 6
    assert space.factors() == ("a ×3", "b ×3", "6 of 9 kept")


def test_what_a_predicate_changes_stays_its_own():
    space = grid({"a": [1, 2], "b": {"c": 1}}).where(lambda v: v["b"].pop("c") and v.pop("a"))
    assert list(space) == [{"a": 1, "b": {"c": 1}}, {"a": 2, "b": {"c": 1}}]


def test_union_keeps_order_and_leaves_out_equal_variants():
    space = union(grid({"lr": [0.1, 1]}), grid({"lr": [1.0, 0.5]}), single())
    assert list(space) == [{"lr": 0.1}, {"lr": 1}, {"lr": 0.5}, {}]
    assert len(space) == 4
    assert space.factors() == ("lr ×2 and lr ×2 and 1 variant", "1 equal ones left out")


def test_different_variants_of_one_name_get_a_hash_in_a_union():
    space = union(grid({"lr": [0.1], "gamma": 0.9}), grid({"lr": [0.1], "gamma": 0.99}))
    first, second = names(space)
    assert first == "lr=0.1"
    assert re.fullmatch(r"lr=0\.1~[0-9a-f]{8}", second)
    assert len(variants_of(space)) == 2


def test_a_variant_with_other_seeds_keeps_its_name_in_a_union():
    assert names(union(grid({"lr": [0.1], "seed": [0]}), grid({"lr": [0.1], "seed": [1]}))) == [
        "lr=0.1",
        "lr=0.1",
    ]


def test_choices_that_meet_on_a_file_system_without_case_get_a_hash():
    found = names(grid({"env": ["Pong", "pong", "ALE/x", "ALE_x", "e\u0301", "\u00e9"]}))
    assert found[0] == "env=Pong"
    assert found[2] == "env=ALE_x"
    assert len({name.casefold() for name in found}) == 6
    assert sum("~" in name for name in found) == 3


def test_spaces_do_not_change_with_what_they_were_made_from():
    choices = {"hidden": [[1], [2]], "env": {"id": ["a"], "opts": {"x": [[1]]}}}
    kept = copy.deepcopy(choices)
    space = grid(choices)
    first = list(space)
    first[0]["hidden"].append(5)
    first[0]["env"]["opts"]["x"].append(5)
    assert choices == kept
    choices["hidden"][0].append(7)
    assert [variant["hidden"] for variant in space] == [[1], [2]]
    assert [variant["env"]["opts"]["x"] for variant in space] == [[1], [1]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid({"lr": []}), "lr has no choices"),
        (
            lambda: grid({"lr": (0.1, 0.2)}),
            "lr is a tuple: write a list for choices, [0.1, 0.2], or [(0.1, 0.2)]",
        ),
        (lambda: grid({"lr": {0.1}}), "lr is a set, which has no order"),
        (lambda: grid({"lr": iter([0.1])}), "lr is a list_iterator"),
        (lambda: grid({"lr": {1: 2}.values()}), "lr is a dict_values"),
        (lambda: grid({"lr": [1, 2, 1.0]}), "the choice lr=1.0 stands there twice"),
        (lambda: grid({"f": [lambda: 1, lambda: 2]}), "to tell them apart give functions names"),
        (
            lambda: grid({"env": ["a"], "env.id": ["b"]}),
            "env.id lies inside env, which has values of its own",
        ),
        (
            lambda: grid({"env": 3, "env.id": ["b"]}),
            "env.id lies inside env, which has values of its own",
        ),
        (
            lambda: grid({"env.id": 3, "env": ["b"]}),
            "env.id lies inside env, which has values of its own",
        ),
        (lambda: grid({"env.id": ["b"], "env": {"id": ["c"]}}), "grid has env.id twice"),
        (lambda: grid({"a..b": [1]}), "'a..b' is not a key"),
        (
            lambda: grid({"lr": uniform(0, 1)}),
            "lr is a distribution, which grid cannot list; use sample",
        ),
        (lambda: grid([1]), "grid takes a dict of settings by key, not a list"),
        (lambda: zipped({"a": [1, 2], "b.c": [1]}), "a has 2, b.c has 1"),
        (lambda: zipped({"a": [1, 1], "b": [2, 2]}), "the choice a=1, b=2 stands there twice"),
        (lambda: union(grid({}), {}), "argument 2 of union is a dict"),
        (
            lambda: levels(VariantLevel([("a",)], [(1,)], [])),
            "level 1 has 1 values and 0 dir_names",
        ),
    ],
)
def test_refusals_name_the_key(make, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        make()


def test_only_spaces_cross():
    with pytest.raises(TypeError):
        grid({}) * 3


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([], "no variants"),
        ([Variant({"a": 1}, "x"), Variant({"a": 2}, "x")], "2 different variants have 'x'"),
        (
            [Variant({"a": 1, "seed": 0}, "x"), Variant({"a": 2, "seed": 1}, "x")],
            "2 different variants have 'x'",
        ),
        (
            [Variant({"a": 1}, ""), Variant({"a": 1}, "")],
            "the variant the empty name stands in the space 2 times",
        ),
        (
            [Variant({"a": 1, "seed": 0}, "x"), Variant({"a": 1, "seed": 0}, "x")],
            "the variant 'x' stands in the space 2 times",
        ),
    ],
)
def test_variants_that_would_share_a_directory_are_refused(variants, message):
    with pytest.raises(InvalidInput, match=message):
        variants_of(listed(variants))


scalars = st.one_of(
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.booleans(),
    st.none(),
    st.lists(st.integers(0, 2), max_size=2),
)
choices = st.lists(scalars, min_size=1, max_size=4, unique_by=canonical)
grids = st.dictionaries(
    st.sampled_from(["a", "b", "c.d", "c.e", "f g/h", "seed"]), choices, max_size=3
)


@given(grids)
def test_a_grid_is_the_product_of_its_choices(spec):
    space = grid(spec)
    found = list(space)
    assert len(space) == len(found) == len({canonical(variant) for variant in found})
    assert list(space) == found
    products = itertools.product(*spec.values())
    for variant, row in zip(found, products, strict=True):
        for key, value in zip(spec, row, strict=True):
            at = variant
            for part in key.split("."):
                at = at[part]
            assert canonical(at) == canonical(value)


@given(grids, st.dictionaries(st.sampled_from(["x", "y.z"]), choices, max_size=2))
def test_names_are_unique_but_for_seeds_and_safe_as_paths(spec, other):
    space = union(grid(spec), single({"q": 1})) * grid(other)
    variants = variants_of(space)
    by_name = {}
    for variant in variants:
        by_name.setdefault(variant.name.casefold(), []).append(variant)
        assert not variant.name.startswith("/")
        for part in variant.name.split("/") if variant.name else []:
            assert 0 < len(part.encode()) <= 160
            assert part[0] not in ".-"
            assert not set(part) & set("\0\n\r\t \\:*?\"'<>|$`;&()[]{}!#")
    for same in by_name.values():
        assert len({canonical({**variant, "seed": None}) for variant in same}) == 1


@given(grids, grids)
def test_crossing_is_every_pair_in_order(first, second):
    left = grid({f"l.{key}": value for key, value in first.items()})
    right = grid({f"r.{key}": value for key, value in second.items()})
    found = list(left * right)
    assert found == [{**one, **other} for one in left for other in right]
    assert len(left * right) == len(found)
