"""Values as JSON, and whether JSON alone brings them back."""

import collections
import dataclasses
import enum
import functools
import json
import math
import types
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.errors import InvalidInput
from runslot.variants import Variant, is_plain, to_jsonable


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Outer:
    class Inner:
        pass

    def method(self):
        pass


@dataclasses.dataclass
class Config:
    lr: float
    layers: tuple
    act: type


Point = collections.namedtuple("Point", "x y")


def act(x):
    return x


HERE = __name__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2, [3])), [1, [2, [3]]]),
        (Point(1, 2), [1, 2]),
        (
            {1.0: 3, None: 2, True + 1: 1, 2.5: 4, (1, 2): 5},
            {"1": 3, "None": 2, "2": 1, "2.5": 4, "[1, 2]": 5},
        ),
        (collections.OrderedDict(a=(1,)), {"a": [1]}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (Variant({"a": dict}), {"a": {"$class": "builtins.dict"}}),
        (Outer, {"$class": f"{HERE}.Outer"}),
        (Outer.Inner, {"$class": f"{HERE}.Outer.Inner"}),
        (act, {"$function": f"{HERE}.act"}),
        (Outer.method, {"$function": f"{HERE}.Outer.method"}),
        (math.sqrt, {"$function": "math.sqrt"}),
        (len, {"$function": "builtins.len"}),
        (Color.RED, {"$enum": f"{HERE}.Color.RED"}),
        (Level.HIGH, {"$enum": f"{HERE}.Level.HIGH"}),
        (Path("/a/b"), "/a/b"),
        (PureWindowsPath("a/b"), "a\\b"),
        ({3, 1, 2}, {"$set": [1, 2, 3]}),
        (frozenset(), {"$set": []}),
        (b"ab", {"$repr": "b'ab'"}),
        (1j, {"$repr": "1j"}),
        (
            Config(0.1, (1, 2), dict),
            {
                "$dataclass": f"{HERE}.Config",
                "lr": 0.1,
                "layers": [1, 2],
                "act": {"$class": "builtins.dict"},
            },
        ),
        (
            functools.partial(act, 1, b=(2,)),
            {"$partial": {"$function": f"{HERE}.act"}, "args": [1], "keywords": {"b": [2]}},
        ),
        (np.float64(0.5), 0.5),
        (np.int32(3), 3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.float32, {"$class": "numpy.float32"}),
        ([np.float32(0.5), {"x": np.int64(1)}], [0.5, {"x": 1}]),
    ],
)
def test_values_as_json(value, expected):
    result = to_jsonable(value)
    assert result == expected
    assert repr(result) == repr(json.loads(json.dumps(result)))
    assert not is_plain([value])


def test_nan_and_the_infinities_stay_floats():
    assert (
        json.dumps(to_jsonable([float("nan"), float("inf"), -float("inf")]))
        == "[NaN, Infinity, -Infinity]"
    )


def test_objects_read_without_addresses():
    assert to_jsonable(Outer()) == to_jsonable(Outer()) == {"$repr": f"<{HERE}.Outer object>"}


def test_a_large_array_is_its_hash():
    one, other = np.zeros((40, 50)), np.zeros((40, 50))
    other[3, 3] = 1
    assert to_jsonable(one)["shape"] == [40, 50]
    assert to_jsonable(one)["dtype"] == "float64"
    assert to_jsonable(one) == to_jsonable(np.zeros((40, 50)))
    assert to_jsonable(one)["$array"] != to_jsonable(other)["$array"]


def test_keys_that_read_the_same_are_refused():
    with pytest.raises(InvalidInput, match="two keys of a dict both read '1'"):
        to_jsonable({"a": {1: "x", "1": "y"}})


def test_what_holds_itself_is_refused():
    loop = {}
    loop["loop"] = [loop]
    with pytest.raises(InvalidInput, match="holds itself"):
        to_jsonable(loop)
    assert not is_plain(loop)


def test_the_top_may_be_any_dict_since_functions_get_a_plain_one():
    assert is_plain(Variant({"a": [1, {"b": None}]}))
    assert is_plain(collections.OrderedDict(a=1))
    assert not is_plain({"v": Variant({"a": 1})})


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=3),
        st.binary(max_size=2),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=2), st.integers(100, 109)), inner, max_size=3),
        st.frozensets(st.integers(), max_size=2),
    ),
    max_leaves=8,
)


def same(one, other):
    """Equal, and of equal types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(key, next(k for k in other if k == key)) and same(one[key], other[key])
            for key in one
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@given(anything)
def test_plain_means_that_json_brings_it_back(value):
    result = to_jsonable(value)
    again = json.loads(json.dumps(result))
    assert same(again, result)
    assert is_plain(value) == same(again, value)
