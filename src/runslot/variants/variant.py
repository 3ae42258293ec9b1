"""A variant: one setting of the hyperparameters, a nested dict with a name that is also its
relative directory.

Every variant owns what it holds, so that changing one never changes another. Its keys are written
with dots, `env.id`, or as paths, `("env", "id")`. Its name, `lr=0.001,env.id=pong`, is readable
first: what a path cannot hold becomes `_`, and a hash after `~` stands in where a name is too long
or taken.
"""

from __future__ import annotations

import copy
import re
import sys
import types
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from runslot.errors import InvalidInput, nearest
from runslot.variants.encode import SEED_KEY, short_hash, to_jsonable

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


# ---- names ---------------------------------------------------------------------------------------


PART_LIMIT = 160
"""Bytes of one part of a name; file systems end at 255, and a file in it needs a suffix now and
then.
"""
VALUE_LIMIT = 48
"""Bytes of one value in a name."""

_FILE_SYSTEM_LIMIT = 255
_ASCII_KEPT = re.compile(r"[A-Za-z0-9_.+=@%^-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NAMED = ("$class", "$function", "$enum")


def setting_text(key: str, value: Any) -> str:
    """Return one setting as it stands in a name, `lr=0.001`."""
    return f"{_start(_safe(key))}={value_text(value)}"


def value_text(value: Any) -> str:
    """Return a value as it stands in a name, at most `VALUE_LIMIT` bytes; equal values have equal
    texts.

    Classes and functions stand by their bare name, lists as `256+256`, dicts as `k=1+n=2`.
    """
    return shortened(_safe(_text(to_jsonable(value))), value, VALUE_LIMIT)


def part_name(settings: Sequence[tuple[str, Any]]) -> str:
    """Return the name of these settings, one part of a path: `lr=0.001,env.id=pong`."""
    return shortened(
        ",".join(setting_text(key, value) for key, value in settings), settings, PART_LIMIT
    )


def shortened(text: str, content: Any, limit: int = PART_LIMIT) -> str:
    """Return `text`, cut to `limit` bytes where it is longer, with the hash of `content` in place
    of the rest.
    """
    if len(text) * 4 <= limit or len(text.encode()) <= limit:
        return text
    return with_hash(text, content, limit)


def with_hash(text: str, content: Any, limit: int = PART_LIMIT) -> str:
    """Return `text` and the hash of `content`, at most `limit` bytes, cut between characters."""
    ending = f"~{short_hash(content)}"
    return text.encode()[: limit - len(ending)].decode(errors="ignore") + ending


def folded(name: str) -> Hashable:
    """Return what decides whether two names are one directory on a file system that ignores case
    and accents' form.
    """
    return (
        name if name.isascii() and name.islower() else unicodedata.normalize("NFC", name).casefold()
    )


def joined(*names: str) -> str:
    """Return one name from the names of levels, outermost first; empty ones leave no trace."""
    return "/".join(name for name in names if name)


def safe_directory(name: str) -> str:
    """Return a name that somebody else chose as a relative directory, without empty parts and `.`.

    `InvalidInput` where it leaves the experiment's directory or no file system can hold it.
    """
    if not isinstance(name, str):
        _refuse(name, f"it is a {type(name).__name__}, not a string")
    if _CONTROL.search(name):
        _refuse(name, "it has control characters, or characters that are no text")
    if name.startswith("/"):
        _refuse(name, "it is absolute, and a variant lies in its experiment's directory")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for part in parts:
        if part == "..":
            _refuse(name, "it leads out of the experiment's directory")
        if len(part) * 4 > _FILE_SYSTEM_LIMIT and len(part.encode()) > _FILE_SYSTEM_LIMIT:
            _refuse(
                name,
                f"a part of it is {len(part.encode())} bytes long, and file systems hold"
                f" {_FILE_SYSTEM_LIMIT}",
            )
    return "/".join(parts)


def _refuse(name: object, reason: str) -> NoReturn:
    raise InvalidInput(
        f"{name!r} cannot be the directory of a variant: {reason}; choose another name"
    )


def _text(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value)
    if isinstance(value, list):
        return "+".join(map(_text, value)) or "empty"
    if isinstance(value, dict):
        return _dict_text(value)
    return str(value)


def _dict_text(value: dict[str, Any]) -> str:
    for mark in _NAMED:
        if mark in value:
            return _bare(value[mark])
    if "$partial" in value:
        return "+".join(
            map(_text, [value["$partial"], *value["args"], *filter(None, [value["keywords"]])])
        )
    return "+".join(_item_text(key, item) for key, item in value.items()) or "empty"


def _item_text(key: str, item: Any) -> str:
    if key.startswith("$"):
        return _bare(item) if key == "$dataclass" else _text(item)
    return f"{key}={_text(item)}"


def _bare(path: str) -> str:
    return path.rpartition(".")[2]


def _number(value: float) -> str:
    """Return the shortest exact text; one text for 1 and 1.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    if isinstance(value, int) and 1e16 <= abs(value) < 1e308 and int(float(value)) == value:
        return repr(float(value))
    return repr(value)


def _safe(text: str) -> str:
    return "".join(map(_safe_character, unicodedata.normalize("NFC", text)))


def _safe_character(character: str) -> str:
    is_safe = _ASCII_KEPT.match(character) if character.isascii() else character.isprintable()
    return character if is_safe else "_"


def _start(text: str) -> str:
    """Keep a name from being hidden, or from being read as an option."""
    return f"_{text}" if text.startswith((".", "-")) else text


# ---- keys, and rlpyt's `update_config` -----------------------------------------------------------


KeyPath = tuple[str, ...]
"""A key of nested dicts, level by level."""


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
