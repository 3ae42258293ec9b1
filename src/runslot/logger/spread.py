"""The five numbers of `record_tabular_misc_stat`: Average, Std, Median, Min, Max of some values."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any

NAMES = ("Average", "Std", "Median", "Min", "Max")


def spread(values: Any) -> tuple[float, ...]:
    """Return the numbers named by `NAMES`: of all elements; `Std` divides by their count; NaN where
    there are none.

    `values`: a sequence or an array of any shape, of numpy, torch or JAX, or nested lists.
    """
    numpy = sys.modules.get("numpy")
    if callable(getattr(values, "detach", None)):
        values = (
            values.detach().cpu().tolist()
            if numpy is None
            else values.detach().cpu().double().numpy()
        )
    if numpy is not None and hasattr(numpy, "asarray"):
        return _by_numpy(numpy, values)
    return _by_hand([float(value) for value in _flat(values)])


def _by_numpy(numpy: Any, values: Any) -> tuple[float, ...]:
    array = (
        values
        if hasattr(values, "__array__")
        else numpy.asarray([float(value) for value in _flat(values)])
    )
    array = numpy.asarray(array, dtype=float)
    if not array.size:
        return (math.nan,) * len(NAMES)
    functions = (numpy.average, numpy.std, numpy.median, numpy.min, numpy.max)
    with numpy.errstate(all="ignore"):
        return tuple(float(function(array)) for function in functions)


def _by_hand(numbers: list[float]) -> tuple[float, ...]:
    if not numbers or any(map(math.isnan, numbers)):
        return (math.nan,) * len(NAMES)
    count = len(numbers)
    numbers = sorted(numbers)
    low, high = numbers[0], numbers[-1]
    middle = (
        numbers[count // 2] if count % 2 else numbers[count // 2 - 1] / 2 + numbers[count // 2] / 2
    )
    if math.isinf(low) or math.isinf(high):
        return sum(numbers), math.nan, middle, low, high
    mean = math.fsum(numbers) / count
    deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / count)
    return mean, deviation, middle, low, high


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)) or (
            hasattr(value, "__len__") and getattr(value, "shape", ()) != ()
        ):
            yield from _flat(value)
        else:
            yield value
