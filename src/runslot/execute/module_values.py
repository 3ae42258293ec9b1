"""All that the user's modules hold after their import, wherever it stands: in globals, closures,
defaults, slots, ….

`execute.import_state` looks through it for what runs must not share. What must stay true: nothing
of the user's is called and no attribute is computed; what a library's object or one of Python's own
holds is asked of the collector of garbage, so that an object that does something when it is looked
at does not.
"""

from __future__ import annotations

import contextvars
import gc
import sys
from collections.abc import Iterator, Set
from itertools import islice
from types import CodeType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

_DEPTH = 3
_ITEMS = 1000
"""How far into attributes and containers to look, and at how many items of one."""
_OBJECTS_LIMIT = 20_000
"""That are looked at in all: some 50 ms."""

_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})
_PLAIN = frozenset({int, float, str, bytes, bool, complex, type(None), range, slice})
_NEVER = (ModuleType, CodeType)
_OPAQUE = frozenset(
    {
        "logging",
        "threading",
        "multiprocessing",
        "asyncio",
        "concurrent",
        "socket",
        "ssl",
        "io",
        "_io",
    }
)
"""Modules of Python's whose objects know all others of their kind, or are looked at themselves."""


def held_values(
    modules: list[ModuleType], travelled: FunctionType | None, wholes: Set[tuple[str, str]]
) -> Iterator[tuple[str, Any]]:
    """Yield what the modules, and a function that came by value, hold: each with a name by which it
    is found.

    `wholes` are classes, by module and name, whose objects are not looked into.
    """
    spaces = [(module.__name__, vars(module)) for module in modules]
    if travelled is not None:
        spaces.append(("__main__", travelled.__globals__))
    walk = _ValueWalk({module.__name__ for module in modules} | {"__main__"}, wholes)
    for place, space in spaces:
        for name, value in list(space.items()):
            if not name.startswith("__"):
                yield from walk.inside(f"{place}.{name}", value, _DEPTH)
    if travelled is not None:
        yield from walk.inside(f"__main__.{travelled.__name__}", travelled, _DEPTH)
    for variable, value in contextvars.copy_context().items():
        yield from walk.inside(f"the context's {variable.name}", value, 1)


class _ValueWalk:
    """One look at everything; each object is seen once."""

    def __init__(self, modules: Set[str], wholes: Set[tuple[str, str]]) -> None:
        self._modules = modules
        """Names of the user's modules."""
        self._wholes = wholes
        self._object_ids: set[int] = set()

    def inside(self, name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
        kind = type(
            value
        )  # by its type: a lazy object would do what it does when it is asked for its class
        if (
            kind in _PLAIN
            or id(value) in self._object_ids
            or issubclass(kind, _NEVER)
            or len(self._object_ids) > _OBJECTS_LIMIT
        ):
            return
        self._object_ids.add(id(value))
        if kind not in _CONTAINERS and kind is not FunctionType:
            yield name, value
        if depth == 0:
            return
        for label, part in self._parts(name, value, kind):
            yield from self.inside(label, part, depth - 1)

    def _parts(self, name: str, value: Any, kind: type) -> list[tuple[str, Any]]:
        if kind is dict:
            return (
                []
                if "__builtins__" in value or "__build_class__" in value
                else _of_dict(name, value)
            )
        if kind in _CONTAINERS:
            return _of_items(name, value)
        if kind is FunctionType or issubclass(kind, type):
            if value.__module__ not in self._modules:
                return []
            return _of_function(name, value) if kind is FunctionType else _named(name, vars(value))
        return self._of_object(name, value, kind)

    def _of_object(self, name: str, value: Any, kind: type) -> list[tuple[str, Any]]:
        if any((base.__module__, base.__name__) in self._wholes for base in kind.__mro__):
            return []
        if kind.__module__ not in self._modules:
            top = kind.__module__.partition(".")[0]
            return [] if top in _OPAQUE and kind.__name__ != "_local" else _of_others(name, value)
        return _of_own_object(name, value, kind)


def _of_function(name: str, function: FunctionType) -> list[tuple[str, Any]]:
    parts: list[tuple[str, Any]] = []
    for variable, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        try:
            parts.append((f"{name}'s {variable}", cell.cell_contents))
        except ValueError:  # not set yet
            continue
    defaults = function.__defaults__ or ()
    names = function.__code__.co_varnames[: function.__code__.co_argcount][
        -len(defaults) or sys.maxsize :
    ]
    parts += [
        (f"{name}'s default of {key}", part) for key, part in zip(names, defaults, strict=False)
    ]
    parts += [
        (f"{name}'s default of {key}", part)
        for key, part in (function.__kwdefaults__ or {}).items()
    ]
    return [*parts, *_named(name, vars(function))]


def _of_dict(name: str, value: dict[Any, Any]) -> list[tuple[str, Any]]:
    items = [(key, part) for key, part in islice(value.items(), _ITEMS) if type(part) not in _PLAIN]
    return [
        (f"{name}[{key!r}]" if type(key) in _PLAIN else f"{name}[…]", part) for key, part in items
    ]


def _of_items(name: str, value: Any) -> list[tuple[str, Any]]:
    return [
        (f"{name}[{index}]", part)
        for index, part in enumerate(islice(value, _ITEMS))
        if type(part) not in _PLAIN
    ]


def _of_own_object(name: str, value: Any, kind: type) -> list[tuple[str, Any]]:
    """Return the attributes of an object of the user's class, and its items where that is a
    container's.
    """
    parts = _named(name, getattr(value, "__dict__", {}))
    for base in kind.__mro__[:-1]:
        for key, member in list(vars(base).items()):
            if type(member) is MemberDescriptorType:  # a slot
                try:
                    parts.append((f"{name}.{key}", member.__get__(value)))
                except AttributeError:  # not set
                    continue
    is_container = issubclass(kind, tuple(_CONTAINERS))
    return [*parts, *_held(name, value)] if is_container else parts


def _of_others(name: str, value: Any) -> list[tuple[str, Any]]:
    """Return what an object of a library's or of Python's own holds: its attributes are in a dict
    that it refers to.
    """
    parts: list[tuple[str, Any]] = []
    for label, part in _held(name, value):
        parts += (
            _of_dict(name, part)
            if type(part) is dict and "__builtins__" not in part
            else [(label, part)]
        )
    return parts


def _held(name: str, value: Any) -> list[tuple[str, Any]]:
    parts = islice(gc.get_referents(value), _ITEMS)
    return [
        (f"{name}[…]", part)
        for part in parts
        if type(part) not in _PLAIN and not issubclass(type(part), type)
    ]


def _named(name: str, space: Any) -> list[tuple[str, Any]]:
    return [
        (f"{name}.{key}", part)
        for key, part in list(space.items())
        if not str(key).startswith("__")
    ]
