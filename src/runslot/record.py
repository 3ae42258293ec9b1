"""Records: what `dataclasses.dataclass(frozen=True)` makes, or without `frozen`, in a third of its
time.

Used throughout runslot, except where others inherit (a launcher's configuration) or look at a
signature (the public classes): those are dataclasses as everybody knows them. `dataclasses`
compiles six methods for every class, 0.5 ms of CPU, most of which a command never calls; of a
hundred classes that was a fifth of what `runslot run` costs. Here the constructor is compiled when
a class proves to make many records, and the other methods are the same for all.

What must stay true: fields, defaults, `__post_init__`, equality, hash, text, `replace`, `asdict`,
pickling and matching are those of a frozen dataclass (`tests/unit/test_record.py` holds each beside
one), and a type checker sees one. A record and a frozen dataclass cannot inherit from each other:
`dataclasses` refuses it where the class is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, overload

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        """Return what leaves a function as it is: only type checkers need more."""
        return lambda function: function


@overload
def record(cls: type[T], /) -> type[T]: ...


@overload
def record(
    *, eq: bool = True, kw_only: bool = False, frozen: bool = True
) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(
    cls: type[T] | None = None,
    /,
    *,
    eq: bool = True,
    kw_only: bool = False,
    frozen: bool = True,
) -> Any:
    """Make a class a frozen record of its annotated fields, as `dataclass(frozen=True)` does.

    With `eq=False` a record equals itself alone. `FrozenInstanceError` where one is changed, unless
    `frozen=False`; then it has no hash where it has equality.
    """
    if cls is None:
        return lambda decorated: _make(decorated, eq, kw_only, frozen)
    return _make(cls, eq, kw_only, frozen)


def _make(cls: Any, eq: bool, kw_only: bool, frozen: bool) -> Any:
    has_constructor, has_text, has_equality, has_hash = (
        cls.__dict__.get(name) for name in ("__init__", "__repr__", "__eq__", "__hash__")
    )
    cls.__doc__ = cls.__doc__ or cls.__name__  # else `dataclasses` works out a signature for it
    dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    fields = dataclasses.fields(cls)
    if not has_constructor:
        cls.__init__ = _first_constructor(cls)
    if not has_text:
        cls.__repr__ = _text
    if eq and not has_equality:
        cls.__eq__ = _equality(tuple(field.name for field in fields if field.compare))
    if not frozen:
        if eq and not has_hash:
            cls.__hash__ = None
        return cls
    if eq and not has_hash:
        cls.__hash__ = _hash(tuple(field.name for field in fields if _is_hashed(field)))
    cls.__setattr__ = _refuse_change
    cls.__delattr__ = _refuse_removal
    return cls


def _is_hashed(field: Field[Any]) -> bool:
    return field.compare if field.hash is None else field.hash


# ---- the constructor -----------------------------------------------------------------------------


_FEW = 8
"""Records of a class for which a compiled constructor does not pay: it takes 0.4 ms to compile, and
each record without it 4 µs more.
"""


def _first_constructor(cls: type[Any]) -> Callable[..., None]:
    count = 0

    def __init__(self: Any, /, *args: Any, **words: Any) -> None:
        nonlocal count
        count += 1
        if count <= _FEW and _fill(cls, self, args, words):
            return
        # Also where the call does not fit: the compiled one says how, in Python's own words.
        constructor = cls.__init__ = _constructor(cls)
        constructor(self, *args, **words)

    return __init__


def _fill(cls: Any, filled: Any, args: tuple[Any, ...], words: dict[str, Any]) -> bool:
    """Set a record's fields as its constructor does; false where the arguments do not fit, before
    anything is set.
    """
    fields = dataclasses.fields(cls)
    places = [field.name for field in fields if field.init and not field.kw_only]
    values = dict(zip(places, args, strict=False))
    if len(args) > len(places) or not values.keys().isdisjoint(words):
        return False
    values |= words
    if not values.keys() <= {field.name for field in fields if field.init} or any(
        field.init
        and field.name not in values
        and field.default is MISSING
        and field.default_factory is MISSING
        for field in fields
    ):
        return False
    for field in fields:
        if field.name in values:
            value = values[field.name]
        elif field.default_factory is not MISSING:
            value = field.default_factory()
        elif field.default is not MISSING:
            value = field.default
        else:
            continue
        object.__setattr__(filled, field.name, value)
    if hasattr(cls, "__post_init__"):
        filled.__post_init__()
    return True


def _constructor(cls: type[Any]) -> Callable[..., None]:
    """Compile the constructor; the names in it are those of the fields, and ours begin with
    `__record`.
    """
    namespace: dict[str, Any] = {"__record_missing": MISSING, "__record_set": object.__setattr__}
    plain, keyword = ["__record_self"], ["*"]
    lines = ["pass"]
    for field in dataclasses.fields(cls):
        parameter, value = _parameter(field, namespace)
        if field.init:
            (keyword if field.kw_only else plain).append(parameter)
        if value:
            lines.append(f"__record_set(__record_self, {field.name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("__record_self.__post_init__()")
    parameters = ", ".join([*plain, *(keyword if len(keyword) > 1 else ())])
    exec(  # noqa: S102  a constructor with the names of the fields, as `dataclasses` makes one
        f"def __init__({parameters}):\n " + "\n ".join(lines), namespace
    )
    constructor: Callable[..., None] = namespace["__init__"]
    constructor.__qualname__ = f"{cls.__qualname__}.__init__"  # as a TypeError names it
    return constructor


def _parameter(field: Field[Any], namespace: dict[str, Any]) -> tuple[str, str]:
    """Return how a field stands among the parameters, and the expression of its value; the latter
    is empty where there is none.
    """
    default = f"__record_default_{field.name}"
    if field.default_factory is not MISSING:
        namespace[default] = field.default_factory
        if not field.init:
            return "", f"{default}()"
        value = f"{default}() if {field.name} is __record_missing else {field.name}"
        return f"{field.name}=__record_missing", value
    if field.default is not MISSING:
        namespace[default] = field.default
        return f"{field.name}={default}", field.name if field.init else default
    return field.name, field.name if field.init else ""


# ---- the other methods ---------------------------------------------------------------------------


def _values_of(names: tuple[str, ...]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _equality(names: tuple[str, ...]) -> Callable[[Any, Any], Any]:
    values = _values_of(names)

    def __eq__(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    return __eq__


def _hash(names: tuple[str, ...]) -> Callable[[Any], int]:
    values = _values_of(names)

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return __hash__


def _text(self: Any) -> str:
    shown = ", ".join(
        f"{field.name}={getattr(self, field.name)!r}"
        for field in dataclasses.fields(self)
        if field.repr
    )
    return f"{type(self).__qualname__}({shown})"


def _refuse_change(self: Any, name: str, value: Any) -> None:
    del self, value
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_removal(self: Any, name: str) -> None:
    del self
    raise FrozenInstanceError(f"cannot delete field {name!r}")
