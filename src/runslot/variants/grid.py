"""Spaces from values by key: `grid`, `zipped`, and what a plain dict stands for.

All are one shape: fixed settings, and axes of rows of values, crossed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from typing import Any

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.variants.distributions import Distribution
from runslot.variants.encode import SEED_KEY, canonical, is_array
from runslot.variants.space import Names, Space, factor
from runslot.variants.variant import (
    KeyPath,
    Variant,
    dotted,
    own,
    part_name,
    place,
    plain_containers,
    shortened,
    split_key,
)

CHOICES_LIMIT = 1_000_000
"""Choices of one key; more is a slip of the hand."""


@record(eq=False)
class Axis:
    """Keys that vary together: `rows` of values as long as `paths`, and what each row adds to the
    name.
    """

    paths: tuple[KeyPath, ...]
    rows: tuple[tuple[Any, ...], ...]
    texts: tuple[str, ...]
    factor: str


@record(eq=False)
class Grid(Space):
    """Fixed settings with every combination of the axes' rows, the first axis slowest; one part of
    a path.
    """

    fixed: Mapping[str, Any]
    axes: tuple[Axis, ...]

    def __iter__(self) -> Iterator[Variant]:
        for numbers in itertools.product(*(range(len(axis.rows)) for axis in self.axes)):
            settings = own(self.fixed)
            texts: list[str] = []
            for axis, number in zip(self.axes, numbers, strict=True):
                texts.append(axis.texts[number])
                for path, value in zip(axis.paths, axis.rows[number], strict=True):
                    place(settings, path, own(value))
            name = ",".join(filter(None, texts))
            yield Variant(settings, shortened(name, name))

    def __len__(self) -> int:
        return self.bound()

    def bound(self) -> int:
        """Return the number of combinations, which may be more than `len()` can say."""
        return math.prod(len(axis.rows) for axis in self.axes)

    def factors(self) -> tuple[str, ...]:
        """Return one for each axis."""
        return tuple(axis.factor for axis in self.axes)


def grid(choices: Mapping[str, Any]) -> Space:
    """Return every combination of the choices, the first key slowest.

    `{"lr": [0.1, 0.01], "env.id": ["pong", "qbert"], "gamma": 0.99}`: what stands in a list (or a
    range, or an array of one dimension) are choices, and in the names; anything else is one fixed
    value. Keys are nested by dots or by dicts. `seed` stays out of the names, since the run's
    directory has it. `InvalidInput` for a list without choices, the same choice twice, a key inside
    another one's values, and what could be meant either way (a tuple, a set, an iterator).
    """
    fixed, lists = read_settings(choices, "grid")
    return make_grid(
        fixed, [axis([path], [(value,) for value in values]) for path, values in lists.items()]
    )


def zipped(choices: Mapping[str, Any]) -> Space:
    """Return the first choices of all keys, then the second ones, and so on; read as in `grid`.

    `InvalidInput` also where the lists have different lengths.
    """
    fixed, lists = read_settings(choices, "zipped")
    lengths = {dotted(path): len(values) for path, values in lists.items()}
    if len(set(lengths.values())) > 1:
        length_text = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise InvalidInput(f"zipped takes lists of one length, and {length_text}")
    return make_grid(
        fixed, [axis(list(lists), list(zip(*lists.values(), strict=True)))] if lists else []
    )


def make_grid(fixed: Mapping[KeyPath, Any], axes: Sequence[Axis]) -> Grid:
    """Return a grid of checked parts; `InvalidInput` where a key lies inside another one's
    values.
    """
    settings: dict[str, Any] = {}
    for path, value in fixed.items():
        place(settings, path, own(value))
    searched = [path for axis in axes for path in axis.paths]
    single_values = [path for path, value in fixed.items() if not isinstance(value, Mapping)]
    for path in [*searched, *fixed]:
        refuse_inside(path, [*searched, *single_values])
    return Grid(settings, tuple(axes))


def axis(
    paths: Sequence[KeyPath],
    rows: Sequence[tuple[Any, ...]],
    *,
    label: str | None = None,
    repeats: bool = False,
) -> Axis:
    """Return an axis with its names; `InvalidInput` where a row stands in it twice, unless it may
    (`repeats`).
    """
    keys = [dotted(path) for path in paths]
    named = [number for number, path in enumerate(paths) if path != (SEED_KEY,)]
    names = Names()
    texts: list[str] = []
    row_by_content: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        content = canonical(row)
        if content in row_by_content and not repeats:
            raise InvalidInput(_twice(keys, row_by_content[content], row))
        row_by_content[content] = row
        settings = [(keys[number], row[number]) for number in named]
        texts.append(names.given(part_name(settings), dict(settings)) if settings else "")
    return Axis(
        tuple(paths), own(tuple(rows)), tuple(texts), factor([label] if label else keys, len(rows))
    )


def _twice(keys: Sequence[str], first: tuple[Any, ...], second: tuple[Any, ...]) -> str:
    choice_text = ", ".join(f"{key}={value!r}" for key, value in zip(keys, second, strict=True))
    different = any(
        left_value is not right_value for left_value, right_value in zip(first, second, strict=True)
    )
    if different and any(mark in canonical(second) for mark in ('"$function":', '"$repr":')):
        return (
            f"two choices read the same, {choice_text}; to tell them apart give functions names by"
            " def, and objects a repr"
        )
    return (
        f"the choice {choice_text} stands there twice (1 and 1.0 are equal); for repeated runs use"
        " seeds"
    )


def read_settings(
    settings: Mapping[str, Any], who: str, *, with_distributions: bool = False
) -> tuple[dict[KeyPath, Any], dict[KeyPath, Any]]:
    """Sort settings into fixed values and lists of choices, by path, in order; distributions count
    where `with_distributions`.
    """
    if not isinstance(settings, Mapping):
        raise InvalidInput(
            f"{who} takes a dict of settings by key, not a {type(settings).__name__}"
        )
    fixed: dict[KeyPath, Any] = {}
    choices: dict[KeyPath, Any] = {}
    try:
        pairs = [(path, plain_containers(value)) for path, value in _settings(settings)]
    except RecursionError:
        raise InvalidInput(
            f"{who} was given settings that hold themselves, or are nested too deeply"
        ) from None
    for path, value in pairs:
        if path in fixed or path in choices:
            raise InvalidInput(f"{who} has {dotted(path)} twice, once by dots and once by dicts")
        if isinstance(value, Distribution):
            if not with_distributions:
                raise InvalidInput(
                    f"{dotted(path)} is a distribution, which {who} cannot list; use"
                    " sample({…}, n)"
                )
            choices[path] = value
            continue
        values = _choices(value, path)
        if values is None:
            fixed[path] = value
        else:
            choices[path] = values
    return fixed, choices


def _settings(choices: Mapping[str, Any], above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in choices.items():
        path = (*above, *split_key(key))
        if isinstance(value, Mapping) and value:
            yield from _settings(value, path)
        else:
            yield path, value


def _choices(value: Any, path: KeyPath) -> list[Any] | None:
    """Return the choices that a value holds, or None where it is one fixed value."""
    key = dotted(path)
    if isinstance(value, (list, range)) or _is_column(value):
        values = list(value) if isinstance(value, (list, range)) else list(value.tolist())
        if len(values) > CHOICES_LIMIT:
            raise InvalidInput(f"{key} has {len(values):,} choices, more than {CHOICES_LIMIT:,}")
        if not values:
            raise InvalidInput(
                f"{key} has no choices; give it one, or write [[]] for the empty list as a value"
            )
        return values
    if isinstance(value, tuple):
        raise InvalidInput(
            f"{key} is a tuple: write a list for choices, {list(value)!r}, or [{value!r}] for one"
            " value that is a tuple"
        )
    if isinstance(value, (Set, Iterator, ValuesView)):
        raise InvalidInput(
            f"{key} is a {type(value).__name__}, which has no order to rely on; write a list of"
            " choices"
        )
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        raise InvalidInput(
            f"{key} is a {type(value).__name__}: write list(…) for choices, or [[…]] for one value"
        )
    return None


def _is_column(value: Any) -> bool:
    """Tell whether a value is an array of one dimension, or a column of a table: what has several
    values in order.
    """
    return getattr(value, "ndim", 0) == 1 and (is_array(value) or hasattr(value, "tolist"))


def refuse_inside(path: KeyPath, paths: Sequence[KeyPath]) -> None:
    """Refuse a key that lies inside another of `paths`, which has values of its own."""
    for other in paths:
        if other != path and path[: len(other)] == other:
            raise InvalidInput(
                f"{dotted(path)} lies inside {dotted(other)}, which has values of its own; "
                f"make {dotted(other)} a dict or a list of dicts, or keep only keys inside it"
            )
