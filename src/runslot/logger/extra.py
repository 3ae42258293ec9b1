"""What `save_extra_data` keeps: where it may go, and its formats.

The five numbers of `record_tabular_misc_stat`: Average, Std, Median, Min, Max of some values.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from runslot.errors import InvalidInput, NotInstalled, nearest
from runslot.experiment.rundir import RunDir
from runslot.logger.snapshots import dump_pickle
from runslot.variants.encode import to_jsonable

MODES = ("joblib", "pickle", "cloudpickle", "json")


def extra_path(directory: Path, file_name: str) -> Path:
    """Return where extra data goes; `InvalidInput` where that is outside the run directory or a
    file of runslot's.
    """
    path = Path(os.path.normpath(directory / file_name))
    inside = path.parent.resolve().is_relative_to(directory.resolve())
    if not inside or path == Path(os.path.normpath(directory)) or not str(file_name).strip():
        raise InvalidInput(
            f"save_extra_data: {str(file_name)!r} is no file name inside the run directory"
            f" {directory}"
        )
    run = RunDir(directory)
    if path in {
        run.run_file,
        run.attempt_file,
        run.outcome_file,
        run.progress,
        run.debug_log,
        run.console,
    }:
        raise InvalidInput(
            f"save_extra_data: {path.name} is a file that runslot writes; choose another name"
        )
    return path


def check_mode(mode: str) -> None:
    """Refuse a mode that is not one of `MODES`."""
    if mode not in MODES:
        raise InvalidInput(
            f"save_extra_data: no mode {mode!r}{nearest(str(mode), MODES)}; known:"
            f" {', '.join(MODES)}"
        )


def dump_extra(data: Any, mode: str, file: BinaryIO) -> None:
    """Write extra data in a format of launchkit's `save_extra_data`, or as JSON."""
    if mode == "joblib":
        _dump_joblib(data, file)
    elif mode == "pickle":
        dump_pickle(data, file)
    elif mode == "cloudpickle":
        try:
            import cloudpickle
        except ImportError:
            raise NotInstalled(
                "save_extra_data(mode='cloudpickle'): pip install cloudpickle, or mode='pickle'"
            ) from None
        cloudpickle.dump(data, file)
    else:
        file.write(json.dumps(to_jsonable(data), indent=2).encode() + b"\n")


def _dump_joblib(data: Any, file: BinaryIO) -> None:
    try:
        import joblib
    except ImportError:
        dump_pickle(data, file)  # which joblib.load reads as well
    else:
        joblib.dump(data, file, compress=3)


# ---- statistics of a list ------------------------------------------------------------------------


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
