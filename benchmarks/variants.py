"""What making variants costs, and that it grows with their number alone.

`python benchmarks/variants.py [REPEATS]` prints, for levels and a grid of the same settings, the
median time a variant at several sizes and its ratio to the smallest size: about 1 where the cost is
linear. A plain copy of every variant (`copy.deepcopy`) is the yardstick: the least that independent
variants cost in the standard library.
"""

from __future__ import annotations

import copy
import gc
import statistics
import sys
import time
from collections.abc import Callable

from runslot.variants import VariantLevel, grid, make_variants, run_id, variants_of

SIZES = ((10, 10, 40), (25, 20, 50), (50, 50, 40))


def level(key: tuple[str, ...], count: int) -> VariantLevel:
    """Return a level of `count` values under one key."""
    return VariantLevel(
        [key],
        [(number,) for number in range(count)],
        [f"{key[-1]}_{number}" for number in range(count)],
    )


def cases(first: int, second: int, third: int) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name, for the product of the three sizes."""
    levels = (
        level(("agent", "lr"), first),
        level(("env", "id"), second),
        level(("env", "frames"), third),
    )
    choices = {"agent.lr": range(first), "env.id": range(second), "env.frames": range(third)}
    variants, _ = make_variants(*levels)
    return {
        "make_variants": lambda: make_variants(*levels),
        "grid": lambda: variants_of(grid(choices)),
        "run_id": lambda: [run_id(variant, 0) for variant in variants],
        "deepcopy": lambda: [copy.deepcopy(dict(variant)) for variant in variants],
    }


def median_time(action: Callable[[], object], repeats: int) -> float:
    """Return the median duration, in seconds."""
    durations = []
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        action()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def main() -> None:
    """Measure and print."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    smallest: dict[str, float] = {}
    print(
        f"{'what':14} {'variants':>9} {'seconds':>9} {'µs each':>8} {'growth':>7}"
        f" {'of a deepcopy':>14}"
    )
    for sizes in SIZES:
        count = sizes[0] * sizes[1] * sizes[2]
        times = {name: median_time(action, repeats) for name, action in cases(*sizes).items()}
        for name, seconds in times.items():
            each = seconds / count
            growth = each / smallest.setdefault(name, each)
            share = seconds / times["deepcopy"]
            print(
                f"{name:14} {count:9,} {seconds:9.3f} {each * 1e6:8.2f} {growth:7.2f} {share:14.2f}"
            )


if __name__ == "__main__":
    main()
