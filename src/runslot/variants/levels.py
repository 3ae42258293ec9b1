"""rlpyt's variants: levels crossed in order, one level of directories for each.

Same names, results and order as rlpyt's `variant.py`; its asserts are errors that name the level,
key and value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from runslot.errors import InvalidInput
from runslot.variants.variant import KeyPath, Variant, dotted, own, place, safe_directory


class VariantLevel(NamedTuple):
    """The values that some keys take together, and the directory of each.

    `keys`: one path of keys for each value of a row, `[("agent", "lr"), ("env", "id")]`. `values`:
    rows as long as `keys`, `[(0.1, "pong"), (0.01, "qbert")]`. `dir_names`: one for each row.
    """

    keys: Sequence[Sequence[str]]
    values: Sequence[Sequence[Any]]
    dir_names: Sequence[str]


def make_variants(*variant_levels: VariantLevel) -> tuple[list[Variant], list[str]]:
    """Cross the levels, the first slowest: return every variant, and its directory as
    `"first/second"`.

    The variants share nothing; each is named by its directory. A later level replaces what an
    earlier one set under the same key. `InvalidInput` where lengths differ, a path leads through
    what is no dict, or directories are equal. Without levels: one empty variant, with the directory
    `""`.
    """
    variants, log_dirs = [Variant(name="")], [""]
    for number, level in enumerate(variant_levels, 1):
        variants, log_dirs = _crossed(variants, log_dirs, level, f"level {number}")
    return variants, log_dirs


def _cross_variants(
    prev_variants: Sequence[Mapping[str, Any]],
    prev_log_dirs: Sequence[str],
    variant_level: VariantLevel,
) -> tuple[list[Variant], list[str]]:
    """Cross what earlier levels made with one more; rlpyt's scripts call it to cross only some
    variants.
    """
    return _crossed(prev_variants, prev_log_dirs, variant_level, "the level")


def _crossed(
    before: Sequence[Mapping[str, Any]], directories: Sequence[str], level: VariantLevel, where: str
) -> tuple[list[Variant], list[str]]:
    if len(before) != len(directories):
        raise InvalidInput(
            f"{len(before)} variants came with {len(directories)} log_dirs; each needs its own"
        )
    paths, rows, names = checked_level(level, where)
    variants: list[Variant] = []
    log_dirs: list[str] = []
    for variant, directory in zip(before, directories, strict=True):
        for number, (row, name) in enumerate(zip(rows, names, strict=True)):
            settings = own({**variant})
            for path, value in zip(paths, row, strict=True):
                _place(settings, path, value, f"{where}, values[{number}]")
            log_dirs.append(_path_join(directory, name))
            variants.append(Variant(settings, log_dirs[-1]))
    _refuse_equal([variant.name for variant in variants], where)
    return variants, log_dirs


def checked_level(
    level: VariantLevel, where: str
) -> tuple[list[KeyPath], list[tuple[Any, ...]], list[str]]:
    """Return the paths, rows and directories of a level, or `InvalidInput` that says where it is
    wrong.
    """
    parts: Any = level
    if not isinstance(parts, tuple) or len(parts) != len(VariantLevel._fields):
        raise InvalidInput(
            f"{where} is {level!r:.80}, not a VariantLevel of keys, values and dir_names"
        )
    keys, values, dir_names = level
    for name, part in zip(VariantLevel._fields, parts, strict=True):
        if isinstance(part, str) or not isinstance(part, Iterable):
            raise InvalidInput(f"{where}: {name} is {part!r:.80}, not a list")
    paths = [_key_path(key, f"{where}, keys[{number}]") for number, key in enumerate(keys)]
    rows = [_row(row, paths, f"{where}, values[{number}]") for number, row in enumerate(values)]
    names = list(dir_names)
    if not rows:
        raise InvalidInput(
            f"{where} has no values, so that nothing would be left to run; leave it out"
        )
    if len(rows) != len(names):
        raise InvalidInput(
            f"{where} has {len(rows)} values and {len(names)} dir_names; each value needs one"
        )
    _refuse_equal([safe_directory(name) for name in names], where)
    return paths, rows, names


def _key_path(key: Sequence[str], where: str) -> KeyPath:
    if isinstance(key, str) and len(key) != 1:
        raise InvalidInput(
            f"{where} is the string {key!r}; a key is a path of keys: write ({key!r},)"
        )
    path = tuple(key) if isinstance(key, (str, tuple, list)) else ()
    if not path:
        raise InvalidInput(
            f"{where} is empty; a key is a path of at least one name, such as ('lr',)"
        )
    return path


def _row(row: Sequence[Any], paths: Sequence[KeyPath], where: str) -> tuple[Any, ...]:
    shape = (
        f"{len(paths)} {'value' if len(paths) == 1 else 'values'}, for"
        f" {', '.join(map(dotted, paths)) or 'no key'}"
    )
    try:
        length = len(row)
    except TypeError:
        raise InvalidInput(f"{where} is {row!r}; write a tuple of {shape}: ({row!r},)") from None
    if length != len(paths):
        hint = f"; write ({row!r},)" if isinstance(row, str) and len(paths) == 1 else ""
        raise InvalidInput(f"{where} is {row!r}, of length {length}; it needs {shape}{hint}")
    return tuple(row)


def _place(settings: dict[str, Any], path: KeyPath, value: Any, where: str) -> None:
    try:
        place(settings, path, own(value))
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None


def _refuse_equal(names: Sequence[str], where: str) -> None:
    if len(set(names)) == len(names):
        return
    earlier: set[str] = set()
    for name in names:
        if name in earlier:
            raise InvalidInput(
                f"{where} gives the directory {name!r} twice; every variant needs its own dir_names"
            )
        earlier.add(name)


def _path_join(directory: str, name: str) -> str:
    """Join as `os.path.join` does; absolute names were refused."""
    return f"{directory}{'' if not directory or directory.endswith('/') else '/'}{name}"
