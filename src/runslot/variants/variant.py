"""A variant: one setting of the hyperparameters, a nested dict with a name that is also its
relative directory.

Every variant owns what it holds, so that changing one never changes another.
"""

from __future__ import annotations

import copy
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runslot.errors import InvalidInput
from runslot.variants.config import flatten
from runslot.variants.identity import SEED_KEY
from runslot.variants.names import part_name, safe_directory

_LIBRARY = sys.stdlib_module_names - {"__main__"}
_ATOMS = frozenset(
    {
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        type(None),
        type,
        range,
        types.FunctionType,
        types.BuiltinFunctionType,
    }
)


class Variant(dict[str, Any]):
    """One setting: a dict to whoever uses it, and taken as a single one by whatever would sweep
    over a plain dict.

    `name` may have several parts, `lr=0.001/env=pong`; without one it is made from the settings,
    but for the seed.
    """

    __slots__ = ("_name",)

    def __init__(
        self, settings: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), name: str | None = None
    ) -> None:
        super().__init__(settings)
        self._name = named(self) if name is None else safe_directory(name)

    @property
    def name(self) -> str:
        """The relative directory, `/` between parts; empty for the only variant of an
        experiment.
        """
        return self._name

    def copy(self) -> Variant:
        """Return a shallow copy of the same name."""
        return Variant(self, self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Variant, (dict(self), self._name)


def named(settings: Mapping[str, Any]) -> str:
    """Return a name made from all settings but the seed."""
    return part_name([(key, value) for key, value in flatten(settings).items() if key != SEED_KEY])


def plain(variant: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plain dict that shares nothing with the variant: what a function gets."""
    return own({**variant})  # type: ignore[no-any-return]  # own() keeps the type of a dict


def plain_containers(value: Any) -> Any:
    """Return a value whose mappings are dicts and whose sequences are lists, also those of
    OmegaConf and their like.

    Dicts, lists, tuples and text stay, and so does whatever the standard library has of its own (a
    `deque`).
    """
    if isinstance(value, (str, bytes, tuple)) or type(value) in _ATOMS:
        return value
    if isinstance(value, dict):
        return (
            {key: plain_containers(item) for key, item in value.items()}
            if type(value) is dict
            else value
        )
    foreign = type(value).__module__.partition(".")[0] not in _LIBRARY
    if isinstance(value, Mapping) and foreign:
        return {key: plain_containers(value[key]) for key in value}
    if type(value) is list or (isinstance(value, Sequence) and foreign):
        return [plain_containers(item) for item in value]
    return value


def own(value: Any) -> Any:
    """Return a deep copy: dicts, lists and tuples by structure (a `Variant` as a dict), the rest by
    `copy.deepcopy`.

    What cannot be copied (a lock, an open file) is shared, as it would be in a plain dict.
    """
    try:
        return _own(value)
    except RecursionError:
        raise InvalidInput(
            f"a value of type {type(value).__name__} holds itself or is nested too deeply for a"
            " variant"
        ) from None


def _own(value: Any) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict or kind is Variant:
        return {key: _own(item) for key, item in value.items()}
    if kind is list:
        return [_own(item) for item in value]
    if kind is tuple:
        return tuple([_own(item) for item in value])
    try:
        return copy.deepcopy(value)
    except (TypeError, copy.Error):
        return value
