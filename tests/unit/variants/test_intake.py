"""What callers give as variants: dicts are swept, variants are not."""

import copy
import re

import pytest

from runslot.errors import InvalidInput
from runslot.variants import (
    SWEEP_NOTE,
    Variant,
    VariantLevel,
    describe,
    grid,
    listed,
    loguniform,
    make_variants,
    sample,
    space_of,
    union,
    variants_of,
    zipped,
)

README = {
    "hyperparam1": ["something", "something else"],
    "hyperparam2": [1, 2, 3],
    "hyperparam_fixed": False,
}


def test_a_list_at_the_top_of_a_dict_is_a_set_of_choices():
    space = space_of(README)
    assert [dict(variant) for variant in space] == [
        {"hyperparam1": first, "hyperparam2": second, "hyperparam_fixed": False}
        for first in ("something", "something else")
        for second in (1, 2, 3)
    ]
    assert next(variant.name for variant in space) == "hyperparam1=something,hyperparam2=1"
    assert (
        describe(space, note=SWEEP_NOTE)
        == "6 runs: hyperparam1 ×2, hyperparam2 ×3; sweep=False takes lists as they are"
    )


def test_tuples_nested_and_empty_lists_are_single_values():
    settings = {
        "a": (1, 2),
        "b": {"c": [1, 2], "d.e": [3]},
        "e": [],
        "f": [[256, 256]],
        "g": range(3),
    }
    assert list(space_of(settings)) == [{**settings, "f": [256, 256]}]


def test_dotted_keys_are_nested_and_choices_win_over_fixed_values():
    space = space_of({"env.id": ["a", "b"], "env": {"id": "old", "frames": 4}, "algo.lr": 0.1})
    assert list(space) == [{"env": {"id": name, "frames": 4}, "algo": {"lr": 0.1}} for name in "ab"]
    assert [variant.name for variant in space] == ["env.id=a", "env.id=b"]


def test_without_sweep_a_dict_is_one_variant_as_it_is():
    space = space_of({**README, "a.b": [1]}, sweep=False)
    assert list(space) == [{**README, "a.b": [1]}]
    assert describe(space, note=SWEEP_NOTE) == "1 run"


def test_a_variant_is_one_variant_as_it_is():
    assert [(variant.name, variant) for variant in space_of(Variant(README, "x"))] == [
        ("x", README)
    ]


def test_nothing_is_one_empty_variant():
    assert [(variant.name, variant) for variant in space_of(None)] == [("", {})]


def test_a_space_is_itself():
    space = grid({"a": [1]})
    assert space_of(space) is space


def test_what_make_variants_returns_and_a_level_are_spaces():
    level = VariantLevel([("a",)], [(1,), ([1, 2],)], ["one", "two"])
    for given in (make_variants(level)[0], level, iter(make_variants(level)[0])):
        space = space_of(given)
        assert [(variant.name, variant) for variant in space] == [
            ("one", {"a": 1}),
            ("two", {"a": [1, 2]}),
        ]


def test_a_list_of_dicts_is_named_by_what_differs():
    space = space_of(
        [
            {"lr": 0.1, "env": {"id": "a"}, "g": 1},
            {"lr": 0.1, "env": {"id": "b"}, "g": 1.0, "n": [1, 2]},
        ]
    )
    assert [variant.name for variant in space] == ["env.id=a", "env.id=b,n=1+2"]
    assert describe(space) == "2 runs: listed ×2"
    assert [variant.name for variant in listed([{"lr": 1}])] == [""]
    assert [variant.name for variant in listed([{"a": 1, "seed": 0}, {"a": 1, "seed": 1}])] == [
        "",
        "",
    ]
    assert (
        len(
            {
                variant.name.casefold()
                for variant in listed([{"a": "x"}, {"a": "X"}, {"a": "1"}, {"a": 1}])
            }
        )
        == 4
    )


def test_equal_dicts_in_a_list_are_refused():
    with pytest.raises(
        InvalidInput, match="stands in the space 2 times; for repeated runs give it different seeds"
    ):
        variants_of(space_of([{"a": 1}, {"a": 1}]))


@pytest.mark.parametrize("sweep", [True, False])
@pytest.mark.parametrize(
    "given", [{"a": [[1], [2]], "b": {"c": [1]}}, [{"a": [1]}], Variant({"a": [1]})]
)
def test_what_the_caller_gives_is_never_changed(given, sweep):
    before = copy.deepcopy(given)
    for variant in space_of(given, sweep=sweep):
        variant["a"].append(5)
        variant.setdefault("b", {})["c"] = 5
    assert given == before


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"hidden_sizes": [256, 256]}, "the choice hidden_sizes=256 stands there twice"),
        ({"hidden_sizes": [256, 256]}, SWEEP_NOTE),
        ({"a..b": 1}, "'a..b' is not a key"),
        ({"a": [1], "a.b": 2}, "a.b lies inside a"),
        ("lr=0.1", "'lr=0.1' is no space of variants"),
        (3, "3 is no space of variants"),
        (make_variants(VariantLevel([("a",)], [(1,)], ["x"])), "give the first"),
        ([3], "item 0 of the list of variants is a int, not a dict"),
    ],
)
def test_refusals(value, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        space_of(value)


@pytest.mark.parametrize(
    ("space", "seeds", "plan"),
    [
        (grid({}), 1, "1 run"),
        (grid({}), 3, "3 runs: seeds ×3"),
        (grid({"lr": [1, 2, 3], "h": [1, 2]}), 3, "18 runs: lr ×3, h ×2, seeds ×3"),
        (
            zipped({"lr": [1, 2], "h": [1, 2]}) * grid({"seed": [1, 2]}),
            1,
            "4 runs: lr+h ×2, seed ×2",
        ),
        (sample({"lr": loguniform(1, 2), "h": [1, 2]}, 9), 1, "9 runs: lr, h sampled ×9"),
        (union(grid({"a": [1, 2]}), grid({"b": [1]})), 2, "6 runs: a ×2 and b ×1, seeds ×2"),
        (grid({"a": [1, 2]}).where(lambda v: v["a"] > 1), 1, "1 run: a ×2, 1 of 2 kept"),
    ],
)
def test_the_plan_in_one_line(space, seeds, plan):
    assert describe(space, seeds=seeds) == plan
