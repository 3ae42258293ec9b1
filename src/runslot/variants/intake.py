"""What callers give as variants (a space, a dict, a list, nothing), read as a space, and its plan
in one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runslot.errors import InvalidInput
from runslot.variants.encode import SEED_KEY, canonical
from runslot.variants.grid import Axis, axis, make_grid
from runslot.variants.levels import VariantLevel
from runslot.variants.space import ListSpace, Names, Space, levels, single
from runslot.variants.variant import (
    KeyPath,
    Variant,
    flatten,
    own,
    part_name,
    plain_containers,
    split_key,
)

SWEEP_NOTE = "sweep=False takes lists as they are"


ANNOUNCE = (
    "sweep=True runs each of them; sweep=False, a tuple or a Variant takes the list as one value"
)


def space_of(value: Any, *, sweep: bool | None = True) -> Space:
    """Return the space that `value` stands for; nothing in it is changed or kept.

    - A space is itself; None is one empty variant; a `Variant` is one variant as it is.
    - A plain dict is swept: a list at its top level is a set of choices, first key slowest. Tuples,
      nested and empty lists, and everything in dicts inside it are single values. Dotted keys are
      nested. With `sweep=False` the whole dict is one variant as it is. With `sweep=None` it must
      say by itself that it is swept: see `_refuse_unannounced`.
    - A list of variants or dicts (as from `make_variants`) is those; dicts are named by the keys in
      which they differ.
    - A `VariantLevel` is that level.
    """
    if isinstance(value, Space):
        return value
    if value is None:
        return single()
    if isinstance(value, Variant):
        return ListSpace((Variant(own(value), value.name),))
    if isinstance(value, Mapping):
        if sweep is None:
            _refuse_unannounced(value)
        return single(value) if sweep is False else _swept(value)
    if isinstance(value, VariantLevel):
        return levels(value)
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidInput(
            f"{value!r} is no space of variants: give a dict, grid(...), or a list of variants"
        )
    return listed(value)


def listed(variants: Iterable[Mapping[str, Any]]) -> Space:
    """Return the space of these variants, in this order; plain dicts are named by the keys in which
    they differ.
    """
    iterable: Any = variants
    if isinstance(iterable, (str, bytes)) or not isinstance(iterable, Iterable):
        raise InvalidInput(f"listed takes a list of dicts, not a {type(iterable).__name__}")
    items = [item if isinstance(item, Variant) else plain_containers(item) for item in variants]
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise InvalidInput(_not_a_dict(number, item))
    flat = {
        number: flatten(item) for number, item in enumerate(items) if not isinstance(item, Variant)
    }
    differing = _differing(list(flat.values()))
    names = Names()
    named_variants: list[Variant] = []
    for number, item in enumerate(items):
        if isinstance(item, Variant):
            name = item.name
        else:
            name = part_name([(key, flat[number][key]) for key in differing if key in flat[number]])
            name = names.given(name, item)
        named_variants.append(Variant(own({**item}), name))
    return ListSpace(tuple(named_variants))


def describe(space: Space, *, seeds: int = 1, note: str = "") -> str:
    """Return the plan in one line: `6 runs: lr ×2, hidden ×3`, with `note` after it where something
    is swept.
    """
    runs = len(space) * seeds
    factors = [*space.factors(), *([f"seeds ×{seeds}"] if seeds > 1 else [])]
    plan = f": {', '.join(factors)}" if factors else ""
    return (
        f"{runs}"
        f" {'run' if runs == 1 else 'runs'}{plan}{f'; {note}' if note and space.factors() else ''}"
    )


def _refuse_unannounced(settings: Mapping[str, Any]) -> None:
    """Refuse a dict whose only lists are of numbers, as `hidden_sizes=[400, 300]`: they may be
    values or choices.

    Scripts of RLKit have such values in their variants, and launchkit's README sweeps such choices.
    A list of anything else (texts, dicts, lists), and a dotted key, which no variant of theirs has,
    stand in a sweep alone. A number twice is refused elsewhere: no set of choices has one.
    """
    lists = {key: value for key, value in settings.items() if isinstance(value, list) and value}
    plain = {key for key in lists if "." not in str(key) and key != SEED_KEY}
    numbers = [key for key, value in lists.items() if key in plain and _is_several_numbers(value)]
    if numbers and len(numbers) == len(lists):
        key, value = numbers[0], settings[numbers[0]]
        raise InvalidInput(
            f"{key} is {value!r}, which may be one value or {len(value)} to choose from: {ANNOUNCE}"
        )


def _is_several_numbers(values: list[Any]) -> bool:
    numbers = all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    )
    return numbers and len(set(values)) == len(values) > 1


def _swept(settings: Mapping[str, Any]) -> Space:
    fixed: dict[KeyPath, Any] = {}
    axes: list[Axis] = []
    for key, value in settings.items():
        path = split_key(key)
        if isinstance(value, list) and value:
            axes.append(_axis(path, value))
        else:
            fixed[path] = value
    return make_grid(fixed, axes)


def _axis(path: KeyPath, values: list[Any]) -> Axis:
    try:
        return axis([path], [(value,) for value in values])
    except InvalidInput as error:
        raise InvalidInput(
            f"{error}; where the list is one value: {SWEEP_NOTE}, and so does a Variant"
        ) from None


def _not_a_dict(number: int, item: object) -> str:
    hint = (
        "; make_variants returns (variants, log_dirs): give the first"
        if isinstance(item, list)
        else ""
    )
    return f"item {number} of the list of variants is a {type(item).__name__}, not a dict{hint}"


def _differing(flat: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that not all have, or not with one value, in order of appearance; the seed is
    never one.
    """
    keys = dict.fromkeys(key for settings in flat for key in settings if key != SEED_KEY)
    return [
        key
        for key in keys
        if any(key not in settings for settings in flat)
        or len({canonical(settings[key]) for settings in flat}) > 1
    ]
