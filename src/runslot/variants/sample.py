"""Random search as a space: `sample({"lr": loguniform(1e-5, 1e-1)}, 20)`.

The draws are made from the seed when the space is made, so that it yields the same variants every
time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from runslot.errors import InvalidInput
from runslot.variants.distributions import Choice, Distribution
from runslot.variants.encode import canonical
from runslot.variants.grid import axis, make_grid, read_settings
from runslot.variants.space import Space
from runslot.variants.variant import KeyPath, dotted, own

SAMPLES_LIMIT = 100_000
"""Variants that one `sample` may ask for; more is a slip of the hand."""
_IN_VAIN_LIMIT = 200_000
"""Draws in a row that give nothing new, after which there is nothing new."""


def sample(settings: Mapping[str, Any], n: int, seed: int = 0) -> Space:
    """Return `n` different variants, drawn at random.

    A distribution is drawn from, a list is a `choice` of its values, anything else is one fixed
    value; keys as in `grid`. Each key has numbers of its own: more variants (a larger `n`) begin
    with the same ones, and another key leaves the draws of the first as they were. `InvalidInput`
    where there are not `n` different variants.
    """
    if type(n) is not int or n < 1:
        raise InvalidInput(f"sample takes a number of variants of at least 1, not {n!r}")
    if n > SAMPLES_LIMIT:
        raise InvalidInput(f"sample draws at most {SAMPLES_LIMIT:,} variants, not {n:,}")
    if type(seed) is not int:
        raise InvalidInput(f"sample takes a whole number as its seed, not {seed!r}")
    fixed, choices = read_settings(settings, "sample", with_distributions=True)
    distributions = {
        path: value if isinstance(value, Distribution) else Choice(own(tuple(value)))
        for path, value in choices.items()
    }
    if not distributions:
        raise InvalidInput(
            "sample has nothing to draw: give a key a distribution, such as loguniform(1e-5, 1e-1)"
        )
    _check_size(distributions, n)
    paths = list(distributions)
    rows = _different(_draws(distributions, seed), n)
    return make_grid(fixed, [axis(paths, rows, label=f"{', '.join(map(dotted, paths))} sampled")])


def _draws(distributions: Mapping[KeyPath, Distribution], seed: int) -> Iterator[tuple[Any, ...]]:
    streams = [
        (
            distribution,
            Random(f"{seed}/{dotted(path)}"),  # noqa: S311
        )
        for path, distribution in distributions.items()
    ]
    while True:
        yield tuple(distribution.draw(rng) for distribution, rng in streams)


def _different(draws: Iterator[tuple[Any, ...]], n: int) -> list[tuple[Any, ...]]:
    """Return the first `n` draws that differ from all before."""
    rows: dict[str, tuple[Any, ...]] = {}
    in_vain = 0
    for row in draws:
        content = canonical(row)
        in_vain = in_vain + 1 if content in rows else 0
        rows.setdefault(content, row)
        if len(rows) == n:
            break
        if in_vain > _IN_VAIN_LIMIT:  # numbers so close together that few floats lie between them
            raise InvalidInput(
                f"only {len(rows)} different variants could be drawn, not {n}; widen a distribution"
            )
    return list(rows.values())


def _check_size(distributions: Mapping[KeyPath, Distribution], n: int) -> None:
    sizes = [distribution.size for distribution in distributions.values()]
    finite = [size for size in sizes if size is not None]
    if len(finite) == len(sizes) and math.prod(finite) < n:
        raise InvalidInput(
            f"there are only {math.prod(finite)} different variants of"
            f" {', '.join(map(dotted, distributions))}, so that {n} cannot be drawn; use grid for"
            " all of them"
        )
