"""How often looking after every seed calls two equal variants different: by a t test, and by the
evidence that one may look at at any time.

    python benchmarks/peeking.py              # the numbers of docs/results.md, in a few seconds
    python benchmarks/peeking.py --trials 200

Two variants whose scores have the same distribution get a seed each, one after the other; after
each seed from the third to the last they are compared, and the comparison stops at the first
verdict. Both kinds of comparison are simulated: paired by seed, and independent.
"""

from __future__ import annotations

import argparse
import math
import random

from runslot.quantiles import t_quantile
from runslot.results.statistics import t_evidence

FIRST, LAST = 3, 30
ALPHA = 0.05


def statistic(first: list[float], second: list[float], paired: bool) -> tuple[float, float, int]:
    """Return t, the weight of its evidence, and its degrees of freedom."""
    n = len(first)
    if paired:
        differences = [a - b for a, b in zip(first, second, strict=True)]
        mean = sum(differences) / n
        error = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
        return mean / error, n, n - 1
    means = sum(first) / n, sum(second) / n
    squares = sum((a - means[0]) ** 2 for a in first) + sum((b - means[1]) ** 2 for b in second)
    error = math.sqrt(squares / (2 * n - 2) * 2 / n)
    return (means[0] - means[1]) / error, n / 2, 2 * n - 2


def errors(trials: int, paired: bool, effect: float, seed: int = 0) -> tuple[float, float]:
    """Return the share of trials in which the t test, and in which the evidence, ever decides."""
    generator = random.Random(seed)
    by_t = by_evidence = 0
    for _ in range(trials):
        first: list[float] = []
        second: list[float] = []
        t_decides = evidence_decides = False
        for n in range(1, LAST + 1):
            first.append(generator.gauss(effect, 1))
            second.append(generator.gauss(0, 1))
            if n < FIRST:
                continue
            t, weight, freedom = statistic(first, second, paired)
            t_decides = t_decides or abs(t) > t_quantile(1 - ALPHA, freedom)
            evidence_decides = evidence_decides or t_evidence(t, weight, freedom) >= 1 / ALPHA
        by_t += t_decides
        by_evidence += evidence_decides
    return by_t / trials, by_evidence / trials


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=4000)
    arguments = parser.parse_args()
    print(f"a verdict after any of seeds {FIRST} to {LAST}, {arguments.trials} trials")
    for effect in (0.0, 1.0):
        for paired in (False, True):
            shares = errors(arguments.trials, paired, effect)
            what = "equal variants" if effect == 0 else f"a difference of {effect:g} deviation"
            how = "paired by seed" if paired else "independent"
            print(f"{what}, {how}: t test {shares[0]:.1%}, anytime-valid {shares[1]:.1%}")


if __name__ == "__main__":
    main()
