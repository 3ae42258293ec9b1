"""What a logged value becomes: a plain number or text at once, later a cell of `progress.csv`.

Values of numpy, torch and JAX are recognised by their module, never imported; a GPU is asked once
for a whole row.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from numbers import Rational
from typing import Any

Plain = int | float | str
"""A logged value as it stands in a row: what was not a number is text."""

PLAIN_TYPES = frozenset({int, float, str})
"""Types that `plain` returns as they are; `bool` is not one, since viskit reads `True` as 0.0."""

GAP = "nan"
"""The cell of a column that has no value in a row: viskit would read an empty cell as 0.0."""

NOT_A_NUMBER = "NaN"
"""The cell of a NaN that was logged: every reader takes it as a number, and it can be told from a
gap.
"""

_FIRST_OF_DEVICES = ("jax", "jaxlib")
_NEEDS_QUOTES = frozenset('",\r\n')


def held(value: Any) -> Any:
    """Return `value` as it is now: plain, or, where it lies on a GPU, a copy there that costs no
    waiting.

    A copy, since training loops change their running sums in place. What cannot be converted
    becomes text.
    """
    try:
        if _is_torch_on_device(value):
            return value.detach().clone()
        if type(value).__module__.partition(".")[0] in _FIRST_OF_DEVICES:
            return value  # arrays of JAX do not change
        return plain(value)
    except Exception as error:  # noqa: BLE001 - code of a user's class: whatever it raises must not end the training
        return f"<{type(value).__name__}: {type(error).__name__}>"


def plain(value: Any) -> Plain:
    """Return one number, or its text where `value` is none: 0-d and one-element arrays are numbers,
    None is NaN.
    """
    if type(value) in PLAIN_TYPES:
        return value  # type: ignore[no-any-return]  # just looked
    if callable(getattr(value, "item", None)) and _elements(value) == 1:
        return plain(value.item())
    for convert in (int, float):
        if isinstance(value, convert):
            return convert(value)
    if isinstance(value, Rational) or (hasattr(value, "__array__") and _elements(value) == 1):
        return float(value)
    return math.nan if value is None else str(value)


def fetched(row: dict[str, Any]) -> dict[str, Plain]:
    """Return the row with what was held on devices brought over: one transfer for each device and
    type of number.
    """
    away = [key for key, value in row.items() if type(value) not in PLAIN_TYPES]
    if not away:
        return row
    groups: dict[tuple[str, str], list[str]] = {}
    for key in away:
        value = row[key]
        groups.setdefault(
            (str(getattr(value, "device", "")), str(getattr(value, "dtype", ""))), []
        ).append(key)
    for keys in groups.values():
        try:
            numbers = _fetch([row[key] for key in keys])
        except Exception as error:  # noqa: BLE001 - a failing device: the rest of the row is still worth writing
            numbers = [f"<{type(error).__name__}>"] * len(keys)
        row.update(zip(keys, numbers, strict=True))
    return row


def cell(value: Plain) -> str:
    """Return the text of one cell; numbers at full precision, text quoted where CSV needs it."""
    if type(value) is float:
        return repr(value) if value == value else NOT_A_NUMBER  # noqa: PLR0124 - the fastest test for NaN
    if type(value) is str:
        return quoted(value)
    try:
        return str(value)
    except ValueError:  # more digits than Python converts
        return "inf" if value > 0 else "-inf"  # type: ignore[operator]  # an int: text was above


def line(values: Iterable[Plain]) -> bytes:
    """Return one line of a CSV file, its newline included."""
    return (",".join(map(cell, values)) + "\n").encode("utf-8", "backslashreplace")


def row_line(columns: Iterable[str], row: Mapping[str, Plain]) -> bytes:
    """Return the line of `row`, which may lack some of the columns."""
    cells = (cell(row[column]) if column in row else GAP for column in columns)
    return (",".join(cells) + "\n").encode("utf-8", "backslashreplace")


def quoted(text: str) -> str:
    """Return text as a CSV cell; NUL, which readers refuse, is written as `\\x00`."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    if not text or not _NEEDS_QUOTES.isdisjoint(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _elements(value: Any) -> int:
    count = getattr(value, "numel", None)
    if callable(count):
        return int(count())
    size = getattr(value, "size", -1)
    return size if type(size) is int else -1


def _is_torch_on_device(value: Any) -> bool:
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)  # absent while torch is still being imported
    return (
        tensor is not None
        and isinstance(value, tensor)
        and value.device.type != "cpu"
        and value.numel() == 1
    )


def _fetch(values: list[Any]) -> list[Plain]:
    if _is_torch_on_device(values[0]):
        torch = sys.modules["torch"]
        return [
            plain(number)
            for number in torch.stack([value.reshape(()) for value in values]).tolist()
        ]
    jax = sys.modules.get("jax")
    return [plain(value) for value in (jax.device_get(values) if jax else values)]
