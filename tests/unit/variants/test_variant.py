"""A variant: a dict with a name, which owns what it holds."""

import copy
import json
import pickle
import threading

import pytest

from runslot.errors import InvalidInput
from runslot.variants import Variant, plain


def test_it_is_a_dict_to_whoever_uses_it():
    variant = Variant({"lr": 0.1, "env": {"id": "pong"}}, "fast")
    assert isinstance(variant, dict)
    assert variant == {"lr": 0.1, "env": {"id": "pong"}}
    assert json.loads(json.dumps(variant)) == variant
    assert {**variant} == variant
    variant["exp_id"] = 3
    assert variant["exp_id"] == 3
    assert variant.name == "fast"


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        Variant.copy,
        *(
            lambda variant, p=p: pickle.loads(pickle.dumps(variant, p))
            for p in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_copies_and_pickles_keep_settings_and_name(copied):
    variant = Variant({"lr": 0.1, "hidden": [1, 2]}, "a/b")
    again = copied(variant)
    assert type(again) is Variant
    assert again == variant
    assert again is not variant
    assert again.name == "a/b"


def test_the_name_cannot_be_changed_under_a_run():
    with pytest.raises(AttributeError):
        Variant({}, "a").name = "b"


def test_without_a_name_it_is_made_from_the_settings_but_the_seed():
    assert Variant({"lr": 0.1, "env": {"id": "pong"}, "seed": 3}).name == "lr=0.1,env.id=pong"
    assert Variant({"seed": 3}).name == ""


@pytest.mark.parametrize("name", ["/a", "../a", "a/../b", "a\0b", "a\nb", "x" * 256, "\udc80", 3])
def test_names_that_no_directory_can_have_are_refused(name):
    with pytest.raises(InvalidInput, match="cannot be the directory of a variant"):
        Variant({}, name)


@pytest.mark.parametrize(
    ("name", "directory"), [("a//b/", "a/b"), ("./a/./b", "a/b"), ("é/x y", "é/x y"), ("", "")]
)
def test_names_are_relative_directories(name, directory):
    assert Variant({}, name).name == directory


def test_plain_is_a_deep_copy_without_variants_in_it():
    inner = Variant({"deep": [1]}, "inner")
    variant = Variant({"a": [{"b": (1, [2])}], "v": inner}, "x")
    result = plain(variant)
    assert type(result) is dict
    assert type(result["v"]) is dict
    assert result == variant
    result["a"][0]["b"][1].append(3)
    result["v"]["deep"].append(2)
    assert variant == {"a": [{"b": (1, [2])}], "v": {"deep": [1]}}


def test_what_cannot_be_copied_is_shared():
    lock = threading.Lock()
    assert plain({"lock": lock})["lock"] is lock


def test_other_objects_are_copied_deeply():
    class Config:
        layers = None

    config = Config()
    config.layers = [1]
    result = plain({"config": config})
    result["config"].layers.append(2)
    assert config.layers == [1]


def test_a_value_that_holds_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(InvalidInput, match="holds itself"):
        plain({"loop": loop})
