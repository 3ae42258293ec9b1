"""Which settings are the same: the canonical text of a value, and the run id made from it.

The id comes from content alone, so that continuing an experiment finds what is finished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runslot.variants.encode import to_jsonable

SEED_KEY = "seed"
"""The key whose value is a run's seed; names leave it out, the run directory carries it."""

_VERSION = "runslot run 1"
_DIGITS = 16


def canonical(value: Any) -> str:
    """Return JSON text that is the same for equal settings: `1` and `1.0`, a tuple and a list, keys
    in any order.

    `True` is not 1, and text is not a number.
    """
    return json.dumps(_canonical(to_jsonable(value)), sort_keys=True, separators=(",", ":"))


def short_hash(value: Any, digits: int = 8) -> str:
    """Return the first hex digits of the hash of `canonical(value)`."""
    return _hash(canonical(value), digits)


def run_id(
    variant: Mapping[str, Any], seed: int | str | None = None, arguments: Sequence[str] = ()
) -> str:
    """Return the id of a run, 16 hex digits; the same in every process, on every machine and
    Python.

    `seed` counts by its text, as in the run's directory. A `seed` in the variant that says the same
    is counted once: a seed from the grid and one from `--seeds` make the same run. `arguments` are
    the run's own command-line ones.
    """
    settings = dict(variant)
    text = None if seed is None else str(seed)
    if text is not None and SEED_KEY in settings and str(settings[SEED_KEY]) == text:
        del settings[SEED_KEY]
    return _run_id(canonical(settings), text, arguments)


def run_ids(variant: Mapping[str, Any]) -> Callable[[int], str]:
    """Return what gives the ids of a variant's runs by seed, where the variant has none: much
    faster for many.
    """
    text = canonical(dict(variant))
    return lambda seed: _run_id(text, str(seed), ())


def without_seed(variant: Mapping[str, Any]) -> str:
    """Return the canonical text of a variant but for its seed: what its name stands for."""
    return canonical({key: value for key, value in variant.items() if key != SEED_KEY})


def _run_id(settings: str, seed: str | None, arguments: Sequence[str]) -> str:
    parts = [
        json.dumps(part, separators=(",", ":"))
        for part in (_VERSION, seed, [str(argument) for argument in arguments])
    ]
    return _hash(f"[{parts[0]},{settings},{parts[1]},{parts[2]}]", _DIGITS)


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:digits]


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return value
