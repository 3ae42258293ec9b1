"""Values of a variant as JSON, the way `variant.json` and `run.json` hold them.

Classes, functions and enums become `{"$class": …}`, `{"$function": …}`, `{"$enum": …}`, as in
RLKit's logger.

Which settings are the same: the canonical text of a value, and the run id made from it.

The id comes from content alone, so that continuing an experiment finds what is finished.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence, Set
from enum import Enum
from pathlib import PurePath
from typing import Any

from runslot.errors import InvalidInput

ARRAY_LIMIT = 1000
"""Elements that an array may have to be written out; a larger one is written as its shape, type and
hash.
"""

_ATOMS = frozenset({str, bool, int, float, type(None)})
_SIMPLER: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str),
    (int, int),
    (float, float),
    (PurePath, str),
)
_ARRAY_MODULES = frozenset({"numpy", "torch", "jax", "jaxlib", "cupy", "tensorflow"})
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def to_jsonable(value: Any) -> Any:
    """Return `value` as JSON values, sharing nothing with it; `json.dumps` takes every result.

    Tuples become lists, keys strings, paths strings, numpy scalars numbers and small arrays lists.
    Sets, dataclasses, partial functions and large arrays become `$set`, `$dataclass`, `$partial`,
    `$array`, and what is left `{"$repr": …}` without memory addresses, so that the same setting
    reads the same in every process. NaN and the infinities stay floats (`NaN`, `Infinity` in
    Python's JSON). `InvalidInput` where a value holds itself, or two keys of a dict read the same.
    """
    try:
        return _jsonable(value)
    except RecursionError:
        raise InvalidInput(
            f"a value of type {type(value).__name__} holds itself or is nested too deeply to be"
            " written as JSON; give the variant a plain description of it instead"
        ) from None


def is_plain(value: Any) -> bool:
    """Tell whether JSON alone brings `value` back, equal and of the same types: no pickle is needed
    for it.

    At the top a dict of any kind passes, since a function gets a plain dict anyway. NaN counts as
    brought back.
    """
    top = dict(value) if isinstance(value, dict) else value
    try:
        return _plain(top)
    except RecursionError:
        return False


def is_array(value: Any) -> bool:
    """Tell whether `value` is an array or a scalar of numpy, torch or their like, without importing
    any of them.
    """
    return type(value).__module__.partition(".")[0] in _ARRAY_MODULES and hasattr(value, "tolist")


def _plain(value: Any) -> bool:
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is list:
        return all(map(_plain, value))
    if kind is dict:
        return all(type(key) is str for key in value) and all(map(_plain, value.values()))
    return False


def _jsonable(value: Any) -> Any:
    if type(value) in _ATOMS:
        return value
    if isinstance(value, Enum):  # before numbers: an IntEnum is both
        return {"$enum": f"{_path(type(value))}.{value.name}"}
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return _array(value) if is_array(value) else _leaf(value)


def _leaf(value: Any) -> Any:
    for base, read in _SIMPLER:
        if isinstance(value, base):
            return read(value)
    if isinstance(value, type):
        return {"$class": _path(value)}
    if callable(value) and hasattr(value, "__name__"):
        return {"$function": _path(value)}
    return _object(value)


def _object(value: Any) -> Any:
    if isinstance(value, Set):
        return {
            "$set": sorted(map(_jsonable, value), key=lambda item: json.dumps(item, sort_keys=True))
        }
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {"$dataclass": _path(type(value)), **fields}
    if isinstance(value, functools.partial):
        return {
            "$partial": _jsonable(value.func),
            "args": _jsonable(value.args),
            "keywords": _mapping(value.keywords),
        }
    return {"$repr": _ADDRESS.sub("", repr(value))}


def _mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        text = _key(key)
        if text in result:
            raise InvalidInput(f"two keys of a dict both read {text!r} in JSON; rename one of them")
        result[text] = _jsonable(item)
    return result


def _key(key: Any) -> str:
    if type(key) is str:
        return key
    value = _jsonable(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 are one key of a dict
    return (
        value
        if isinstance(value, str)
        else json.dumps(value)
        if isinstance(value, (dict, list))
        else str(value)
    )


def _array(value: Any) -> Any:
    """Return an array or a scalar of numpy, torch and their like, duck-typed, as numbers or as a
    hash.
    """
    content = value.tolist()
    shape = [int(length) for length in getattr(value, "shape", ())]
    elements = 1
    for length in shape:
        elements *= length
    if elements <= ARRAY_LIMIT:
        return _jsonable(content)
    digest = hashlib.sha256(repr(content).encode()).hexdigest()
    return {"$array": digest, "shape": shape, "dtype": str(getattr(value, "dtype", ""))}


def _path(value: Any) -> str:
    name: str = getattr(value, "__qualname__", None) or value.__name__
    module = getattr(value, "__module__", None) or type(value).__module__
    return f"{module}.{name}"


# ---- ids -----------------------------------------------------------------------------------------


SEED_KEY = "seed"
"""The key whose value is a run's seed; names leave it out, the run directory carries it."""

_VERSION = "runslot run 1"
_DIGITS = 16


def canonical(value: Any) -> str:
    """Return JSON text that is the same for equal settings: `1` and `1.0`, a tuple and a list, keys
    in any order.

    `True` is not 1, and text is not a number.
    """
    return json.dumps(_canonical(to_jsonable(value)), sort_keys=True, separators=(",", ":"))


def short_hash(value: Any, digits: int = 8) -> str:
    """Return the first hex digits of the hash of `canonical(value)`."""
    return _hash(canonical(value), digits)


def run_id(
    variant: Mapping[str, Any], seed: int | str | None = None, arguments: Sequence[str] = ()
) -> str:
    """Return the id of a run, 16 hex digits; the same in every process, on every machine and
    Python.

    `seed` counts by its text, as in the run's directory. A `seed` in the variant that says the same
    is counted once: a seed from the grid and one from `--seeds` make the same run. `arguments` are
    the run's own command-line ones.
    """
    settings = dict(variant)
    text = None if seed is None else str(seed)
    if text is not None and SEED_KEY in settings and str(settings[SEED_KEY]) == text:
        del settings[SEED_KEY]
    return _run_id(canonical(settings), text, arguments)


def run_ids(variant: Mapping[str, Any]) -> Callable[[int], str]:
    """Return what gives the ids of a variant's runs by seed, where the variant has none: much
    faster for many.
    """
    text = canonical(dict(variant))
    return lambda seed: _run_id(text, str(seed), ())


def without_seed(variant: Mapping[str, Any]) -> str:
    """Return the canonical text of a variant but for its seed: what its name stands for."""
    return canonical({key: value for key, value in variant.items() if key != SEED_KEY})


def _run_id(settings: str, seed: str | None, arguments: Sequence[str]) -> str:
    parts = [
        json.dumps(part, separators=(",", ":"))
        for part in (_VERSION, seed, [str(argument) for argument in arguments])
    ]
    return _hash(f"[{parts[0]},{settings},{parts[1]},{parts[2]}]", _DIGITS)


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:digits]


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return value
