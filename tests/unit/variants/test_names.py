"""Names: readable, safe as paths, never too long."""

import dataclasses
import functools
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.variants import grid, part_name


@dataclasses.dataclass
class Optimizer:
    lr: float
    of: type


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "0.001"),
        (1e-5, "1e-05"),
        (1.0, "1"),
        (1, "1"),
        (-0.0, "0"),
        (1e22, "1e+22"),
        (10**22, "1e+22"),
        (-3, "-3"),
        (float("inf"), "inf"),
        (True, "True"),
        (None, "None"),
        ("pong", "pong"),
        ("ALE/Pong-v5", "ALE_Pong-v5"),
        ("a b,c=d:e", "a_b_c=d_e"),
        ("..", ".."),
        ("", ""),
        ("größe 東京", "größe_東京"),
        ("e\u0301", "\u00e9"),
        ("tab\tnul\0esc\x1b\u202e", "tab_nul_esc__"),
        ([256, 256], "256+256"),
        ((1, (2, 3)), "1+2+3"),
        ([], "empty"),
        ({"id": "pong", "k": 1}, "id=pong+k=1"),
        (dict, "dict"),
        (math.sqrt, "sqrt"),
        (lambda: 1, "_lambda_"),
        (functools.partial(math.pow, 0), "pow+0"),
        (functools.partial(dict, a=(1, 2)), "dict+a=1+2"),
        (Optimizer(0.1, dict), "Optimizer+lr=0.1+of=dict"),
        ({2, 1}, "1+2"),
        (Path("/data/x"), "_data_x"),
    ],
)
def test_values_in_names(value, text):
    assert part_name([("k", value)]) == f"k={text}"


def test_settings_are_joined_by_commas():
    assert part_name([("lr", 0.001), ("env.id", "pong")]) == "lr=0.001,env.id=pong"
    assert part_name([]) == ""


@pytest.mark.parametrize(
    ("key", "start"), [(".hidden", "_.hidden="), ("--lr", "_--lr="), ("a/b c", "a_b_c=")]
)
def test_a_name_is_not_hidden_nor_an_option(key, start):
    assert part_name([(key, 1)]).startswith(start)


def test_a_long_value_is_cut_and_told_apart_by_a_hash():
    long = "x" * 100
    first, second = (part_name([("k", long + ending)]) for ending in "ab")
    assert re.fullmatch(r"k=x{39}~[0-9a-f]{8}", first)
    assert first != second


def test_a_long_name_is_cut_and_told_apart_by_a_hash():
    settings = [(f"some.long.key.{number}", number) for number in range(20)]
    first, second = part_name(settings), part_name([*settings[:-1], ("some.long.key.19", 20)])
    assert first != second
    for name in (first, second):
        assert re.fullmatch(r"some\.long\.key\.0=0,some\.long\.key\.1=1,.*~[0-9a-f]{8}", name)
        assert len(name.encode()) == 160


def test_long_names_of_a_grid_leave_out_the_seed():
    spec = {f"some.long.key.{number}": [number, number + 1] for number in range(8)}
    names = [variant.name for variant in grid({**spec, "seed": [0, 1]})]
    assert names[::2] == names[1::2]
    assert len(set(names)) == 2**8
    assert max(len(name.encode()) for name in names) <= 160


@given(st.text(), st.text(min_size=1))
def test_any_text_makes_a_part_of_a_path(value, key):
    name = part_name([(key, value)])
    assert 0 < len(name.encode()) <= 160
    assert name.isprintable()
    assert not set(name) & set("/\0\n ")
    assert name[0] not in ".-"


@given(
    st.one_of(st.integers(), st.floats(allow_nan=False)),
    st.one_of(st.integers(), st.floats(allow_nan=False)),
)
def test_equal_numbers_have_equal_names_and_others_do_not(one, other):
    assert (part_name([("k", one)]) == part_name([("k", other)])) == (one == other)
