"""Records beside frozen dataclasses: the same class body, made by both."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, ClassVar

import pytest

from runslot.record import _constructor, record

Maker = Callable[[type[Any]], type[Any]]


def compiled_record(cls: type[Any]) -> type[Any]:
    """Return a record as it is once many of its class were made."""
    made = record(cls)
    made.__init__ = _constructor(made)
    return made


MAKERS = [
    pytest.param(record, id="record"),
    pytest.param(compiled_record, id="compiled record"),
    pytest.param(dataclass(frozen=True), id="dataclass"),
]


@record
class Travels:
    name: str
    numbers: tuple[int, ...] = ()


def classes(make: Maker) -> tuple[type[Any], type[Any]]:
    class Point:
        """A point."""

        kind: ClassVar[str] = "point"
        x: int
        self: int = 2
        names: list[str] = field(default_factory=list, compare=False)
        secret: str = field(default="s", repr=False)
        total: int = field(init=False, default=0)
        note: str = field(default="", kw_only=True)

        def __post_init__(self) -> None:
            object.__setattr__(self, "total", self.x + 1)

    point = make(Point)

    class Named(point):  # type: ignore[valid-type,misc]
        label: str = "none"

    return point, make(Named)


@pytest.mark.parametrize("make", MAKERS)
def test_what_a_record_is_made_of_and_shows(make: Maker) -> None:
    point, named = classes(make)
    one = point(1, 3, note="n")
    assert (one.x, one.self, one.names, one.secret, one.total, one.note) == (1, 3, [], "s", 2, "n")
    assert repr(one).endswith("Point(x=1, self=3, names=[], total=2, note='n')")
    assert one.names is not point(1).names
    assert [entry.name for entry in dataclasses.fields(named)] == [
        "x", "self", "names", "secret", "total", "note", "label",
    ]  # fmt: skip
    assert named(1, 2, [], "s", "l").label == "l"
    assert dataclasses.asdict(one)["names"] == []
    assert point.__match_args__ == ("x", "self", "names", "secret")
    assert point.kind == "point"
    assert dataclasses.is_dataclass(point)


@pytest.mark.parametrize("make", MAKERS)
def test_what_equals_and_what_is_another(make: Maker) -> None:
    point, named = classes(make)
    assert point(1, names=["a"]) == point(1, names=["b"])
    assert hash(point(1, names=["a"])) == hash(point(1))
    assert point(1) != point(2)
    assert point(1) != named(1)
    assert named(1) != named(1, label="other")
    assert dataclasses.replace(point(1), x=5) == point(5)
    assert copy.deepcopy(point(1, names=["a"])) == point(1)


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_refused(make: Maker) -> None:
    point, _ = classes(make)
    one = point(1)
    with pytest.raises(FrozenInstanceError, match="'x'"):
        one.x = 2
    with pytest.raises(FrozenInstanceError, match="'x'"):
        del one.x
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        point()
    with pytest.raises(TypeError, match="unexpected keyword argument 'y'"):
        point(1, y=2)
    with pytest.raises(TypeError, match="positional argument"):
        point(1, 2, [], "s", "note")
    with pytest.raises(ValueError, match="mutable default"):
        make(type("Bad", (), {"__annotations__": {"x": "list"}, "x": []}))


def test_what_is_defined_in_the_class_stays() -> None:
    @record
    class Odd:
        x: int

        def __init__(self) -> None:
            object.__setattr__(self, "x", 7)

        def __repr__(self) -> str:
            return "odd"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Odd)

        def __hash__(self) -> int:
            return 7

    assert (Odd().x, repr(Odd()), hash(Odd())) == (7, "odd", 7)
    assert Odd() == Odd()


@pytest.mark.parametrize("make", [record(frozen=False), dataclass])
def test_a_record_that_is_not_frozen_changes_and_has_no_hash(make: Maker) -> None:
    point, _ = classes(make)
    one = point(1)
    one.x = 5
    del one.note
    assert (one.x, one.note) == (5, "")
    assert one != point(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_the_first_records_and_the_later_ones_are_made_alike() -> None:
    """The first few of a class are made without a compiled constructor."""

    @record(frozen=False)
    class Base:
        number: int = 1

    @record(frozen=False)
    class Own(Base):
        other: int = 5

        def __init__(self, other: int) -> None:
            self.other = other
            Base.__init__(self, 2)

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    assert {(own.number, own.other) for own in (Own(9) for _ in range(12))} == {(2, 9)}


def test_without_equality_a_record_equals_itself_alone() -> None:
    @record(eq=False)
    class Own:
        x: int

    one = Own(1)
    assert one == one
    assert one != Own(1)
    assert len({one, Own(1)}) == 2


def test_a_record_without_fields_equals_its_like() -> None:
    @record
    class Empty:
        pass

    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())


def test_records_are_pickled() -> None:
    assert pickle.loads(pickle.dumps(Travels("a", (1, 2)))) == Travels("a", (1, 2))
