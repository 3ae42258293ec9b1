"""What a JSON object of an experiment's files must look like: its keys, their types, the words that
a value may be.

Records and the journal ask it for every line of lists that may have 100,000, so that a look costs a
microsecond: the keys and types of an object are looked up among those that passed before; only
texts of a few words, times and lists are looked at one by one. The first object of another kind
than any before is looked at wholly. `Damaged` says what is wrong, and who reads the file adds
where.

At the end is what all records have in common, made of JSON and written as it. A record may consist
of others: `PARTS` says by annotation how those are read and written, and their JSON is an object
inside of the whole one's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field
from types import NoneType
from typing import Any, TypeVar

from runslot.errors import Damaged, NewerFormat
from runslot.record import record

FORMAT = 1
"""Of all files of an experiment and its runs."""

_SIGNATURES_KEPT = 64
"""Different sets of keys and types that one shape remembers; a sound experiment has a few."""
_LARGEST_NUMBER = 1e15
"""Times, sizes and counts beyond are no such; conversions to dates and durations would fail."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,), "int": (int, float), "float": (float, int), "bool": (bool,), "None": (NoneType,),
    "tuple[str, ...]": (list, tuple), "Mapping[str, Any]": (dict,), "Mapping[str, str]": (dict,),
}  # fmt: skip
_WORDS: Mapping[type, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false",
    NoneType: "null",
    list: "a list", tuple: "a list", dict: "an object",
}  # fmt: skip

Check = Callable[[str, Any], Any]
"""Takes a key and its value; returns the value as the record has it, or raises `Damaged`."""

Reader = Callable[[Mapping[str, Any]], Any]
"""Makes a record of its JSON, or raises `Damaged`."""

_Entry = tuple[tuple[str, ...], tuple[tuple[str, Check], ...]]
"""Of one set of keys and types: keys that the shape does not have, and what to look at in every
object.
"""


class Shape:
    """The keys that an object may have, those it must have, and what their values are."""

    def __init__(
        self,
        types: Mapping[str, str | tuple[str, ...]],
        optional: frozenset[str] = frozenset(),
        readers: Mapping[str, Reader] | None = None,
    ) -> None:
        """Make one; `types` are annotations such as `int | None`, or the words that a value may be.

        `readers` make what an object inside is, by the annotation that names it.
        """
        readers = readers or {}
        self._readers = {
            key: readers[name]
            for key, kind in types.items()
            if isinstance(kind, str) and (name := kind.removesuffix(" | None")) in readers
        }
        self._types = {
            key: (str,) if isinstance(kind, tuple) else _types(kind) for key, kind in types.items()
        }
        self._words = {
            key: frozenset(kind) for key, kind in types.items() if isinstance(kind, tuple)
        }
        self._whole = frozenset(
            key for key, kind in types.items() if "int" in kind and "float" not in kind
        )
        self._boundless = frozenset(
            key for key in self._whole if "str" in types[key]
        )  # a seed is any number, or a text
        self._tables = frozenset(key for key, kind in types.items() if kind == "Mapping[str, str]")
        self._needed = frozenset(types) - optional
        self._passed: dict[tuple[object, ...], _Entry] = {}

    @classmethod
    def of_record(
        cls,
        fields: Mapping[str, Field[Any]],
        words: Mapping[str, tuple[str, ...]],
        readers: Mapping[str, Reader],
    ) -> Shape:
        """Return the shape of a dataclass whose annotations are texts.

        `words` are those of its named literal types, `readers` make the records of which it
        consists.
        """
        types: dict[str, str | tuple[str, ...]] = {}
        for name, field in fields.items():
            text = str(field.type)
            literal = text.startswith("Literal[")
            types[name] = (
                tuple(word.strip("'\"") for word in text[8:-1].split(", "))
                if literal
                else words.get(text, text)
            )
        optional = {
            f.name
            for f in fields.values()
            if f.default is not MISSING or f.default_factory is not MISSING
        }
        return cls(types, frozenset(optional), readers)

    def values(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the shape's keys, lists as tuples; `Damaged` where the object does
        not fit.
        """
        surplus, checks = self._entry(value)
        values = dict(value)
        for key in surplus:
            del values[key]
        for key, check in checks:
            values[key] = check(key, values[key])
        return values

    def check(self, value: Mapping[str, Any]) -> None:
        """Raise `Damaged` where the object does not fit."""
        for key, check in self._entry(value)[1]:
            check(key, value[key])

    def _entry(self, value: Mapping[str, Any]) -> _Entry:
        if value.__class__ is not dict and not isinstance(value, Mapping):
            raise Damaged(f"{_shown(value)} stands where an object should")
        if value.get("format", FORMAT) != FORMAT:
            check_format(value)
        signature = (*value, *map(type, value.values()))
        entry = self._passed.get(signature)
        if entry is None:
            entry = self._look(value)
            if len(self._passed) < _SIGNATURES_KEPT:
                self._passed[signature] = entry
        return entry

    def _look(self, value: Mapping[str, Any]) -> _Entry:
        missing = self._needed - value.keys()
        if missing:
            raise Damaged(f"{sorted(missing)[0]!r} is missing")
        keys = [key for key in value if key in self._types]
        for key in keys:
            if type(value[key]) not in self._types[key]:
                kinds = " or ".join(
                    dict.fromkeys(self._kind(key, kind) for kind in self._types[key])
                )
                raise Damaged(f"{key!r} is {_shown(value[key])}, not {kinds}")
        checks = [
            (key, check) for key in keys if (check := self._check_of(key, value[key])) is not None
        ]
        return tuple(key for key in value if key not in self._types), tuple(checks)

    def _kind(self, key: str, kind: type) -> str:
        return "a whole number" if kind is float and key in self._whole else _WORDS[kind]

    def _check_of(self, key: str, value: Any) -> Check | None:
        if key in self._words:
            return self._word
        if key in self._readers:
            read = self._readers[key]
            return None if value is None else lambda _, value: read(value)
        if isinstance(value, list):
            return _texts
        if key in self._tables:
            return _table
        if value.__class__ is float and key in self._whole:
            return _whole
        return _number if value.__class__ in {float, int} and key not in self._boundless else None

    def _word(self, key: str, value: str) -> str:
        if value not in self._words[key]:
            raise Damaged(
                f"{key!r} is {_shown(value)}, which is none of"
                f" {', '.join(sorted(self._words[key]))}"
            )
        return value


def check_format(value: Mapping[str, Any]) -> None:
    """Refuse an object that a newer runslot wrote, and one whose format is no number."""
    number = value.get("format", FORMAT)
    if number.__class__ is int and number > FORMAT:
        raise NewerFormat(
            f"written by a newer runslot (format {number}; this one reads {FORMAT}): upgrade"
            " runslot"
        )
    if number.__class__ is not int or number != FORMAT:
        raise Damaged(f"'format' is {_shown(number)}, not {FORMAT}")


def _types(annotation: str) -> tuple[type, ...]:
    """Return the types that JSON has for an annotation; a record, as everything that has no entry,
    is an object.
    """
    return tuple(kind for part in annotation.split(" | ") for kind in _TYPES.get(part, (dict,)))


def _texts(key: str, value: list[Any]) -> tuple[str, ...]:
    for item in value:
        if item.__class__ is not str:
            raise Damaged(f"{key!r} holds {_shown(item)}, not texts alone")
    return tuple(value)


def _table(key: str, value: dict[str, Any]) -> dict[str, str]:
    _texts(key, list(value.values()))
    return value


def _number(key: str, value: float) -> float:
    if not -_LARGEST_NUMBER < value < _LARGEST_NUMBER:  # nan, too
        raise Damaged(f"{key!r} is {_shown(value)}, which no such number can be")
    return value


def _whole(key: str, value: float) -> int:
    if not value.is_integer():
        raise Damaged(f"{key!r} is {_shown(value)}, not a whole number")
    return int(_number(key, value))


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, list | dict) else _WORDS[type(value)]
    return text if len(text) <= 60 else f"{text[:60]}…"


# ---- records -------------------------------------------------------------------------------------

Record = TypeVar("Record", bound="RecordBase")


@record
class RecordBase:
    """What the records of an experiment's files have in common; they stand in `records`."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dict of JSON values, `format` included."""
        value = {"format": FORMAT, **self.__dict__}
        for key, write in _writers_of(self.__class__):
            if value[key] is not None:
                value[key] = write(value[key])
        return value

    @classmethod
    def from_json(cls: type[Record], value: Mapping[str, Any]) -> Record:
        """Make the record from what `to_json` gave; `Damaged` says what does not fit."""
        values = shape_of(cls).values(value)
        if len(values) != len(cls.__dataclass_fields__):
            return cls(**values)
        record = cls.__new__(cls)
        record.__dict__.update(
            values
        )  # a frozen dataclass sets its fields one by one, in four times the time
        return record


PARTS: dict[str, tuple[Callable[[Mapping[str, Any]], Any], Callable[[Any], dict[str, Any]]]] = {}
"""By the annotation of a field that is a record itself: what reads its JSON, and what writes it."""

WORDS: dict[str, tuple[str, ...]] = {}
"""By the name of a literal type: the words that a value may be."""

_Writers = tuple[tuple[str, Callable[[Any], dict[str, Any]]], ...]
"""The fields of a record that are records themselves, and what writes them."""

_shapes: dict[type[RecordBase], Shape] = {}
_writers: dict[type[RecordBase], _Writers] = {}


def shape_of(kind: type[RecordBase]) -> Shape:
    """Return what the JSON of a kind of record looks like, made when it is first read."""
    shape = _shapes.get(kind)
    if shape is None:
        readers = {name: read for name, (read, _) in PARTS.items()}
        shape = _shapes[kind] = Shape.of_record(kind.__dataclass_fields__, WORDS, readers)
    return shape


def _writers_of(kind: type[RecordBase]) -> _Writers:
    writers = _writers.get(kind)
    if writers is None:
        names = {
            key: field.type.removesuffix(" | None")
            for key, field in kind.__dataclass_fields__.items()
        }
        writers = tuple((key, PARTS[name][1]) for key, name in names.items() if name in PARTS)
        _writers[kind] = writers
    return writers


class Repeated:
    """Reads what most runs of an experiment have alike: a value equal to the one before gives the
    same record again.
    """

    def __init__(self, read: Callable[[Mapping[str, Any]], Any]) -> None:
        self._read = read
        self._last: tuple[Mapping[str, Any], tuple[type, ...], Any] = ({}, (NoneType,), None)

    def __call__(self, value: Mapping[str, Any]) -> Any:
        """Return the record of an object."""
        before, types_before, record = self._last
        types = (*map(type, value.values()),)  # for 1 equals True
        if types == types_before and value == before:
            return record
        record = self._read(value)
        self._last = (dict(value), types, record)
        return record
