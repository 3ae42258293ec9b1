"""How often a 95 % interval holds the truth: simulated for each statistic, kind of scores and
number of runs.

    python benchmarks/coverage.py              # the table of docs/results.md, in about two minutes
    python benchmarks/coverage.py --trials 100

Scores are drawn from a distribution whose mean and interquartile mean are known; the interval of
`runslot.results` is computed from n of them; the share of trials in which it holds the truth is its
coverage.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence
from statistics import NormalDist

from runslot.results.statistics import (
    Interval,
    bootstrap,
    mean_interval,
    probability_of_improvement,
)

SIZES = (3, 5, 10, 30)
REPETITIONS = 1000
POPULATION = 200_000
SHIFT = 1.0
"""By how much the better side of an improvement is higher, in standard deviations of a normal
score.
"""

Draw = Callable[[random.Random], float]
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda generator: generator.gauss(0, 1),
    "lognormal": lambda generator: math.exp(generator.gauss(0, 1)),
    "bimodal": lambda generator: generator.gauss(5 if generator.random() < 0.3 else 0, 1),
}
MEANS = {"normal": 0.0, "lognormal": math.exp(0.5), "bimodal": 1.5}


def population(name: str) -> list[float]:
    """Return evenly spaced quantiles of a distribution, sorted."""
    ranks = [(i + 0.5) / POPULATION for i in range(POPULATION)]
    normal = NormalDist()
    if name == "normal":
        return [normal.inv_cdf(rank) for rank in ranks]
    if name == "lognormal":
        return [math.exp(normal.inv_cdf(rank)) for rank in ranks]
    modes = (0.0, 0.7), (5.0, 0.3)
    return sorted(
        mode + normal.inv_cdf((i + 0.5) / (POPULATION * share))
        for mode, share in modes
        for i in range(round(POPULATION * share))
    )


def middle_half(values: Sequence[float]) -> float:
    """Return the interquartile mean of a whole population."""
    cut = len(values) // 4
    return math.fsum(values[cut:-cut]) / (len(values) - 2 * cut)


def coverage(
    truth: float, interval: Callable[[random.Random, int], Interval], n: int, trials: int
) -> float:
    """Return the share of trials whose interval, from `n` runs, holds the truth."""
    generator = random.Random(n)
    held = 0
    for _ in range(trials):
        bounds = interval(generator, n)
        held += bounds.low <= truth <= bounds.high
    return held / trials


def rows(trials: int) -> list[tuple[str, str, list[float]]]:
    """Return statistic, distribution, and the coverage at each of `SIZES`."""
    table = []
    for name, draw in DISTRIBUTIONS.items():
        people = population(name)
        # A run of the better side wins where the other lies more than SHIFT lower: counted along
        # the quantiles.
        shifted = [value + SHIFT for value in people[:: POPULATION // 2000]]
        wins = probability_of_improvement(
            [shifted], [people[:: POPULATION // 2000]], repetitions=1
        ).estimate

        def sample(generator: random.Random, n: int, draw: Draw = draw) -> list[float]:
            return [draw(generator) for _ in range(n)]

        statistics: dict[str, tuple[float, Callable[[random.Random, int], Interval]]] = {
            "mean, Student's t (`mean-ci`)": (
                MEANS[name],
                lambda g, n: mean_interval([sample(g, n)]),
            ),
            "mean, bootstrap": (
                MEANS[name],
                lambda g, n: bootstrap(
                    [sample(g, n)], "mean", repetitions=REPETITIONS, seed=g.getrandbits(30)
                ),
            ),
            "IQM, bootstrap (`iqm`)": (
                middle_half(people),
                lambda g, n: bootstrap(
                    [sample(g, n)], "iqm", repetitions=REPETITIONS, seed=g.getrandbits(30)
                ),
            ),
            "probability of improvement": (
                wins,
                lambda g, n: probability_of_improvement(
                    [[value + SHIFT for value in sample(g, n)]],
                    [sample(g, n)],
                    repetitions=REPETITIONS,
                    seed=g.getrandbits(30),
                ),
            ),
        }
        for label, (truth, interval) in statistics.items():
            table.append((label, name, [coverage(truth, interval, n, trials) for n in SIZES]))
    return sorted(table, key=lambda row: list(statistics).index(row[0]))


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args().trials
    print(f"| interval | scores | {' | '.join(f'n = {n}' for n in SIZES)} |")
    print(f"|---|---|{'---|' * len(SIZES)}")
    for label, name, held in rows(trials):
        print(f"| {label} | {name} | {' | '.join(f'{100 * share:.0f} %' for share in held)} |")


if __name__ == "__main__":
    main()
