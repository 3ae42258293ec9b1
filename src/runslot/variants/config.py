"""Nested dicts of settings: key paths written with dots, and rlpyt's `update_config`.

A key is a dotted string, `"env.id"`, or a path of keys, `("env", "id")`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runslot.errors import InvalidInput, nearest

KeyPath = tuple[str, ...]


class UnknownKey(InvalidInput, KeyError):
    """A key that the configuration does not have; also a `KeyError`, as in rlpyt."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError would show the message in quotes


class WrongStructure(InvalidInput, TypeError):
    """A dict where the configuration has a single value, or the other way round; also a
    `TypeError`, as in rlpyt.
    """


def split_key(key: str | KeyPath) -> KeyPath:
    """Return the path of a dotted key; a path is returned as it is. `InvalidInput` for an empty
    part.
    """
    if not isinstance(key, (str, tuple, list)):
        raise InvalidInput(f"the key {key!r} is a {type(key).__name__}, not text: put it in quotes")
    path = tuple(key.split(".")) if isinstance(key, str) else tuple(key)
    if not path or any(part == "" for part in path):
        raise InvalidInput(
            f"{key!r} is not a key: write names with single dots between them, such as env.id"
        )
    return path


def dotted(path: KeyPath) -> str:
    """Return a path as people write it, `env.id`."""
    return ".".join(map(str, path))


def get_path(config: Mapping[str, Any], key: str | KeyPath) -> Any:
    """Return the value at `key`; `UnknownKey` names the part that is missing."""
    path = split_key(key)
    value: Any = config
    for depth, part in enumerate(path):
        if not isinstance(value, Mapping) or part not in value:
            names = [str(name) for name in value] if isinstance(value, Mapping) else []
            raise UnknownKey(f"there is no {dotted(path[: depth + 1])}{nearest(str(part), names)}")
        value = value[part]
    return value


def set_path(config: dict[str, Any], key: str | KeyPath, value: Any) -> None:
    """Set the value at `key` in place, making the dicts on the way; `InvalidInput` where the way is
    not a dict.
    """
    place(config, split_key(key), value)


def place(config: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Do as `set_path` with a path that is known to be one."""
    for depth, part in enumerate(path[:-1]):
        step = config.setdefault(part, {})
        if not isinstance(step, dict):
            raise InvalidInput(
                f"{dotted(path)} cannot be set: {dotted(path[: depth + 1])} is {step!r}, which is"
                " not a dict"
            )
        config = step
    config[path[-1]] = value


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves by dotted key, in order; an empty dict is a leaf. `InvalidInput` for one
    that holds itself.
    """
    try:
        return {dotted(path): value for path, value in leaves(config)}
    except RecursionError:
        raise InvalidInput("a dict of settings holds itself, or is nested too deeply") from None


def leaves(config: Mapping[str, Any], above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the path and value of each leaf, in order; an empty dict is a leaf."""
    for key, value in config.items():
        path = (*above, key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def update_config(default: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """Return `default` with the variant's values in place of its own, as rlpyt's function of this
    name.

    The dicts are new at every depth and neither argument is changed. `UnknownKey` (a `KeyError`)
    where the variant has a key that the default lacks; `WrongStructure` (a `TypeError`) where one
    has a dict and the other does not.
    """
    return _updated(default, variant, ())


def _updated(
    default: Mapping[str, Any], variant: Mapping[str, Any], above: KeyPath
) -> dict[str, Any]:
    new = {
        key: _updated(value, {}, ()) if isinstance(value, dict) else value
        for key, value in default.items()
    }
    for key, value in variant.items():
        path = dotted((*above, key))
        if key not in default:
            names = [str(name) for name in default]
            raise UnknownKey(
                f"the variant's key {path} is not in the default config{nearest(str(key), names)}"
            )
        if isinstance(value, dict) != isinstance(default[key], dict):
            kinds = (
                ("a dict", "a single value")
                if isinstance(value, dict)
                else ("a single value", "a dict")
            )
            raise WrongStructure(
                f"the variant has {kinds[0]} at {path}, where the default config has {kinds[1]}"
            )
        new[key] = (
            _updated(default[key], value, (*above, key)) if isinstance(value, dict) else value
        )
    return new


def overlay(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `above` over `below`, in place, and return it: dicts are merged, and on a clash `above`
    wins.
    """
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            overlay(below[key], value)
        else:
            below[key] = value
    return below
