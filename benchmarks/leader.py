"""How often some variant is called worse than the best, which the same runs chose, where all are
equal: with p of all pairs, as `runslot results --vs best` has it, and as if the best had been named
before.

    python benchmarks/leader.py              # the numbers of docs/deciding.md, in some ten seconds
    python benchmarks/leader.py --tables 200
"""

from __future__ import annotations

import argparse
import random

from runslot.results.statistics import Sample
from runslot.results.statistics.decisions import decide_beside

CASES = ((5, 3), (5, 5), (10, 5), (20, 5), (20, 3))
"""Variants, and seeds of each."""


def errors(variants: int, seeds: int, tables: int, paired: bool) -> tuple[float, float]:
    """Return the shares of tables with a verdict: of all pairs, and as if named before."""
    generator = random.Random(0)
    chosen = named = 0
    for _ in range(tables):
        names = tuple(range(seeds)) if paired else ()
        samples = [
            Sample(tuple(generator.gauss(0, 1) for _ in range(seeds)), names)
            for _ in range(variants)
        ]
        best = max(range(variants), key=lambda place: samples[place].mean)
        by_all, by_one = (
            decide_beside(samples, best, "max", is_best=is_best) for is_best in (True, False)
        )
        chosen += any(decision.is_decided for decision in by_all)
        named += any(decision.is_decided for decision in by_one)
    return chosen / tables, named / tables


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tables", type=int, default=1000)
    arguments = parser.parse_args()
    print(f"tables of equal variants with a verdict, of {arguments.tables}")
    for variants, seeds in CASES:
        for paired in (False, True):
            chosen, named = errors(variants, seeds, arguments.tables, paired)
            how = "paired by seed" if paired else "independent"
            print(
                f"{variants} variants of {seeds} seeds, {how}: of all pairs {chosen:.1%},"
                f" as if named before {named:.1%}"
            )


if __name__ == "__main__":
    main()
