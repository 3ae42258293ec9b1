"""What is done to configurations in place of omegaconf and PyYAML comes out as theirs does."""

from __future__ import annotations

import copy
import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Union  # noqa: UP035  omegaconf on Python 3.10

import pytest

pytest.importorskip("hydra", reason="needs hydra-core")

import yaml
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from runslot.hydra.node_copy import quick_copies
from runslot.hydra.yaml_parts import YamlParts

pytestmark = [
    pytest.mark.adopters,
    pytest.mark.filterwarnings("ignore"),  # of Hydra 1.4, on what 1.5 will refuse
]


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Inner:
    x: int = 1
    name: Optional[str] = None  # noqa: UP045


@dataclass
class Outer:
    rate: float = MISSING
    color: Color = Color.RED
    by_name: Dict[str, Inner] = field(default_factory=lambda: {"k": Inner(2)})  # noqa: UP006
    sizes: List[List[int]] = field(default_factory=lambda: [[1], []])  # noqa: UP006
    maybe: Optional[Inner] = None  # noqa: UP045
    either: Union[int, str] = 3  # noqa: UP007
    place: Path = Path("/x")
    data: bytes = b"12"
    other: Any = "${rate}"


@pytest.fixture
def configs() -> Iterator[list[Any]]:
    OmegaConf.register_new_resolver("once", lambda value: value, use_cache=True)
    mixed = OmegaConf.create(
        {"a": {"b": [1, {"c": "${a}"}, None, "???"]}, "o": "${once:3}", 1: 2, Color.BLUE: 3}
    )
    assert isinstance(mixed, DictConfig)
    assert mixed.o == 3  # which it remembers
    OmegaConf.set_struct(mixed, True)
    OmegaConf.set_readonly(mixed.a, True)
    structured = OmegaConf.structured(Outer(maybe=Inner(4)))
    objects = OmegaConf.create({"o": object(), "f": len}, flags={"allow_objects": True})
    special = [DictConfig(None), ListConfig("???"), DictConfig("${x}"), OmegaConf.create([1, [2]])]
    yield [mixed, mixed.a, mixed.a.b, structured, structured.by_name, objects, *special]
    OmegaConf.clear_resolver("once")


def described(node: Any) -> Any:
    """Return all that a node is, and whether what is below it knows it as its parent."""
    words = {key: repr(value) for key, value in vars(node._metadata).items()}
    rest = {key: value for key, value in vars(node).items() if key in ("_flags_cache", "enum_type")}
    content = vars(node).get("_content", vars(node).get("_val"))
    children: Any = {}
    if hasattr(content, "_metadata"):  # of a union
        children = {None: content}
    elif isinstance(content, (dict, list)):
        children = content if isinstance(content, dict) else dict(enumerate(content))
    below = [(key, described(child), child._parent is node) for key, child in children.items()]
    return type(node), words, rest, below or repr(content)


def test_a_quick_copy_is_what_omegaconf_makes(configs: list[Any]) -> None:
    for config in configs:
        expected = copy.deepcopy(config)
        with quick_copies():
            copied = copy.deepcopy(config)
        assert described(copied) == described(expected)
        assert copied._parent is config._parent


def test_a_quick_copy_shares_nothing_that_can_change(configs: list[Any]) -> None:
    config = configs[0]
    before = described(config)
    with quick_copies():
        copied = copy.deepcopy(config)
        together = copy.deepcopy({"first": config, "again": config})
    assert together["first"] is together["again"]
    OmegaConf.set_readonly(copied.a, None)
    OmegaConf.set_struct(copied, None)
    copied.a.b[1].c, copied.new = 5, 1
    OmegaConf.clear_cache(copied)
    assert described(config) == before


# ---- texts ---------------------------------------------------------------------------------------

# fmt: off
WORDS = [
    "a", "yes", "on", "1", "1.0", "0x1f", "1e3", "2020-01-01", "12:30", "null", "~", "", "???", "x y",
    "ü ñ 漢", "it's", '"q"', "a: b", "- x", "#c", "${a.b}", "trail ", "=", "!x", "&a", "*b", "@", "`",
    "%", "?q", "[a]", "{b}", "tab\t", "\x07", "a\n", "multi\nline\n", "very long " * 12, "k" * 130,
    "x" * 90, "line1\nline2 " + "w " * 60,
]
# fmt: on
NUMBERS = [0, -1, 3.5, 1e-5, 1e20, float("inf"), float("nan"), -0.0, True, False, None]


def any_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth < 5 and kind < 0.3:
        keys = [chance.choice([*WORDS, 2.5]) for _ in range(chance.randint(0, 4))]
        return {key: any_value(chance, depth + 1) for key in keys}
    if depth < 5 and kind < 0.45:
        return [any_value(chance, depth + 1) for _ in range(chance.randint(0, 4))]
    return chance.choice([*WORDS, *NUMBERS])


@pytest.mark.parametrize("seed", range(40))
def test_a_text_by_its_parts_is_the_text_of_pyyaml(seed: int) -> None:
    chance = random.Random(seed)
    values = {f"k{place}": any_value(chance) for place in range(6)}
    parts = YamlParts()
    parts.learn(OmegaConf.create(values))
    for _ in range(3):
        values[f"k{chance.randint(0, 5)}"] = any_value(chance)
        config = OmegaConf.create(values)
        expected = OmegaConf.to_yaml(config)
        with parts.in_use():
            assert OmegaConf.to_yaml(config) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"a": (shared := [1]), "b": shared}, id="an alias"),
        pytest.param({"a": (inner := {"x": 1}), "b": {"c": inner}}, id="an alias of a mapping"),
        pytest.param({"a": Path("/x")}, id="an object"),
        pytest.param([1, {"a": 2}], id="a list"),
        pytest.param({}, id="nothing"),
    ],
)
def test_what_is_more_than_its_parts_is_left_to_pyyaml(data: Any) -> None:
    parts = YamlParts()
    parts.learn(OmegaConf.create({"a": 1}))
    options = {"default_flow_style": False, "allow_unicode": True, "sort_keys": False}
    assert parts.dump(data, **options) == yaml.dump(data, **options)
