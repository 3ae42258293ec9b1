"""Values as text: in tables, legends and titles. Different values never read alike, and no integer
is rounded. Pure.

Called by the table, the accounting and `runslot.view`; groups are formed by the values themselves,
never by this text.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

NOTHING = "–"
"""Stands for null."""
_EXACT_BELOW = 2.0**53
"""Floats below it hold every integer; they are written without an exponent."""
_UNNAMED = frozenset({"variant", "experiment", "run"})
"""Columns whose values speak for themselves, without `column=`."""


def text_of_value(value: Any) -> str:
    """Return one value in its shortest usual form: `0.001`, `3`, `1e-05`, `true`; integers
    whole."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    if value.is_integer() and abs(value) < _EXACT_BELOW:
        return str(int(value))
    return f"{value:.6g}"


def texts_of(values: Iterable[Any]) -> dict[Hashable, str]:
    """Return the text of each different value of a column; where two would read alike, both are
    written in full."""
    alike: dict[str, dict[Hashable, Any]] = defaultdict(dict)
    for value in values:
        alike[text_of_value(value)][value] = value
    texts: dict[Hashable, str] = {}
    for text, several in alike.items():
        full = len(several) > 1 and not all(_is_nan(value) for value in several)
        texts |= {value: _whole(value) if full else text for value in several}
    return texts


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _whole(value: Any) -> str:
    return repr(value) if isinstance(value, float) else text_of_value(value)


def label_of(
    keys: Sequence[str], values: Sequence[Any], texts: Mapping[str, Mapping[Hashable, str]]
) -> str:
    """Return `lr=0.1, hidden=32` for the values of a group's columns, with the texts of each
    column."""
    words = []
    for key, value in zip(keys, values, strict=True):
        text = texts.get(key, {}).get(value) or text_of_value(value)
        words.append(text if key in _UNNAMED else f"{key}={text}")
    return ", ".join(words) or "all runs"


def task_of(
    keys: Sequence[str],
    values: Mapping[str, Any],
    texts: Mapping[str, Mapping[Hashable, str]] | None = None,
) -> str:
    """Return a task in words, as `env=pong`; empty without keys."""
    words = {key: (texts or {}).get(key, {}) for key in keys}
    return ", ".join(
        f"{key}={words[key].get(values[key]) or text_of_value(values[key])}" for key in keys
    )
