"""The measures of `make house` see what they are to see."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

HOUSE = Path(__file__).resolve().parents[2] / "benchmarks" / "house"
PARTS = ("source", "graph", "names")


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(str(HOUSE))
    yield {part: importlib.import_module(part) for part in PARTS}
    for part in PARTS:
        sys.modules.pop(part, None)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "pack"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "room" / "__init__.py").write_text("from . import one\n")
    return package


def test_an_import_within_a_function_closes_a_cycle_and_one_for_types_does_not(
    house, package: Path
) -> None:
    (package / "room" / "one.py").write_text(
        "def use():\n    from pack.room.two import x\n    return x\n"
    )
    (package / "room" / "two.py").write_text(
        "try:\n    from .three import y\nfinally:\n    x = 1\n"
    )
    (package / "room" / "three.py").write_text("import pack.room.one\ny = 1\n")
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pack.room.one\n"
    (package / "top.py").write_text(types + "else:\n    import pack.room.two\n")

    graph = house["graph"].import_graph(house["source"].read_modules(package))

    assert house["graph"].cycles(graph) == [["pack.room.one", "pack.room.three", "pack.room.two"]]
    assert graph["pack.room"] == {"pack.room.one"}
    assert graph["pack.top"] == {"pack.room.two"}
    assert house["graph"].importers(graph)["pack.room.two"] == {"pack.room.one", "pack.top"}


def test_each_scope_counts_a_name_that_it_binds_once(house, package: Path) -> None:
    text = """
def f(self, asked, *how, path):
    found = path
    found = [each for each in how]
    with open(path) as handle:
        _known = lambda told: told + found
    try:
        pass
    except OSError as left:
        self.kept = [gone for handle in path if (gone := handle)]
class C:
    own: int = 1
"""
    (package / "top.py").write_text(text)
    (top,) = [
        module for module in house["source"].read_modules(package) if module.name == "pack.top"
    ]

    bound = house["names"].bindings(top)

    pronouns = sorted(binding.name for binding in bound if binding.is_pronoun_like)
    assert pronouns == [
        *("_known", "asked", "each", "found", "gone", "how", "kept", "left", "own", "told")
    ]
    others = [binding.name for binding in bound if not binding.is_pronoun_like]
    assert sorted(others) == ["handle", "handle", "path"]  # once in the function, once in the list


def test_a_class_name_in_two_files_is_named_with_both(house, package: Path) -> None:
    for name in ("one", "two"):
        (package / "room" / f"{name}.py").write_text(f"class Twice:\n    class Only{name}: ...\n")
    repeated = house["names"].repeated_classes(house["source"].read_modules(package))
    assert {name: len(places) for name, places in repeated.items()} == {"Twice": 2}


@pytest.mark.parametrize("stem", ["checking", "launched", "given_up", "_asked", "is_written"])
def test_a_verbal_file_name_is_seen(house, stem: str) -> None:
    assert house["names"].is_verbal(stem)


@pytest.mark.parametrize(
    "stem", ["standing", "seed", "sacred", "checks", "continue_", "__init__", "near_miss"]
)
def test_a_noun_is_none(house, stem: str) -> None:
    assert not house["names"].is_verbal(stem)
