"""What choosing the best costs: the best of several by their own seeds looks better than it is. Pure.

Called by the comparison of variants; `band` and `bootstrap` say nothing of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

_REPETITIONS = 500
_CANDIDATES = 30
"""Of more variants only the best so many can be chosen at all."""


def optimism(
    means: Sequence[float], errors: Sequence[float], mode: Literal["max", "min"] = "max", *, seed: int = 0
) -> float:
    """Return by how much the best of these means is expected to exceed what it would give on new seeds.

    A parametric bootstrap: each mean is drawn anew with its standard error, the best is chosen, and the excess of what
    was drawn over what it was drawn from is averaged (the winner's curse). Not negative, whichever way is better.
    """
    sign = 1 if mode == "max" else -1
    pairs = sorted(zip((sign * mean for mean in means), errors, strict=True), reverse=True)[:_CANDIDATES]
    generator = random.Random(seed)  # noqa: S311  # statistics, not secrets
    total = 0.0
    for _ in range(_REPETITIONS):
        noises = [error * generator.gauss(0, 1) for _, error in pairs]
        total += max((mean + noise, noise) for (mean, _), noise in zip(pairs, noises, strict=True))[1]
    return max(total / _REPETITIONS, 0.0)
