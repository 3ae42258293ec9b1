"""From the variant of a call to its runs: settings, seed and number of each, checked before anything is touched."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runslot.errors import InvalidInput
from runslot.variants import Space, variants_of

ADDED = ("seed", "exp_id", "exp_prefix", "instance_type")
"""What launchkit adds to the variant that the function receives, as text."""

_SEEDS = 100_000
"""launchkit draws seeds from 0 to this."""


@dataclass(frozen=True)
class CallRun:
    """One run of a call."""

    name: str
    """The variant's."""
    settings: Mapping[str, Any]
    """The variant without what launchkit adds."""
    seed: int
    exp_id: int

    def extras(self, exp_prefix: str, instance_type: str | None) -> dict[str, str]:
        """Return what is added to the variant, as launchkit did."""
        values = (self.seed, self.exp_id, exp_prefix, instance_type)
        return {key: str(value) for key, value in zip(ADDED, values, strict=True)}


def runs_of_call(space: Space, seed: int | str | None, exp_id: int | str) -> list[CallRun]:
    """Return the runs of a space.

    A variant's own `seed` counts where none is given, and one is drawn where it has none either. Likewise its own
    `exp_id` counts where none but 0 is given; else they are counted up.
    """
    return list(_drawn_runs(space, seed, _number(exp_id, "exp_id")))


def _drawn_runs(space: Space, seed: int | str | None, first: int) -> Iterator[CallRun]:
    for count, variant in enumerate(variants_of(space)):
        refuse_dots(variant)
        seed_given = variant.get("seed") if seed is None else seed
        drawn = random.randint(0, _SEEDS) if seed_given is None else _number(seed_given, "seed")  # noqa: S311  not a secret
        of_variant = variant.get("exp_id") if first == 0 else None
        number = first + count if of_variant is None else _number(of_variant, "exp_id")
        if number < 0:
            raise InvalidInput(f"exp_id is {number}, but the least is 0")
        yield CallRun(variant.name, {k: v for k, v in variant.items() if k not in ADDED}, drawn, number)


def _number(value: Any, name: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool) or (number != value and not isinstance(value, str)):
        raise InvalidInput(f"{name} must be a whole number, as a number or as text, not {value!r}")
    return number


def refuse_dots(settings: Mapping[Any, Any], above: str = "") -> None:
    """Refuse a key with a dot in it, as launchkit did: nobody could tell it from a path of keys."""
    for key, value in settings.items():
        if isinstance(key, str) and "." in key:
            nested = "".join(f"{{{part!r}: " for part in key.split(".")) + "…" + "}" * (key.count(".") + 1)
            raise InvalidInput(
                f"the key {above}{key} of a variant has a dot in it: write {nested}; dotted keys are read only at the "
                "top level of a plain dict that is swept"
            )
        if isinstance(value, dict):
            refuse_dots(value, f"{above}{key}.")
