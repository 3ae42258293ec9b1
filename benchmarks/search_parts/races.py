"""Races of seeds simulated: how often the best is dropped, how many runs are saved, by rule."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from engine_parts.machine import Table
from runslot.quantiles import t_quantile
from runslot.search.race import Dropped, Race, advance

LEAST, MOST, ALPHA = 3, 10, 0.05
SHARED = 0.5
"""Share of the variance that a seed does to all variants alike."""


@dataclass(frozen=True)
class Field:
    """Variants and how far each is behind the best, in standard deviations of the seeds."""

    name: str
    behind: Sequence[float]


FIELDS = (
    Field("2, 0.5 σ apart", (0, 0.5)),
    Field("5, 0.5 σ from each to the next", [0.5 * place for place in range(5)]),
    Field("5, the others 2 σ behind", [0, *[2] * 4]),
    Field("5, 2 σ from each to the next", [2 * place for place in range(5)]),
    Field("10, the others 2 σ behind", [0, *[2] * 9]),
    Field("10, 2 σ from each to the next", [2 * place for place in range(10)]),
)


def draw(field: Field, seed: int) -> list[list[float]]:
    """Return the values of every variant, by seed."""
    rng = Random(f"{field.name}/{seed}")
    shared = [rng.gauss(0, math.sqrt(SHARED)) for _ in range(MOST)]
    return [
        [common - behind + rng.gauss(0, math.sqrt(1 - SHARED)) for common in shared]
        for behind in field.behind
    ]


def race(
    values: Sequence[Sequence[float]], order: Sequence[int], alpha: float
) -> tuple[set[int], int, int]:
    """Return who was dropped, how many runs there were, and who led in the end."""
    scores: dict[int, dict[int, float | None]] = {variant: {} for variant in order}
    drops: list[Dropped[int]] = []
    while True:
        step = advance(Race(LEAST, MOST, alpha), scores, drops, "max")
        drops += step.drops
        if step.is_over:
            break
        for variant, place in step.next_runs:
            scores[variant][place] = values[variant][place]
    assert step.leader is not None
    return {drop.variant for drop in drops}, sum(map(len, scores.values())), step.leader


def separation(
    values: Sequence[Sequence[float]], order: Sequence[int]
) -> tuple[set[int], int, int]:
    """Do as `race` "until intervals separate": 95 % intervals of each mean, not paired."""
    contenders, dropped, runs = list(order), set[int](), 0
    for n in range(LEAST, MOST + 1):
        means = {variant: statistics.mean(values[variant][:n]) for variant in contenders}
        leader = max(contenders, key=means.__getitem__)
        if n == MOST or len(contenders) == 1:
            break
        width = {
            v: t_quantile(0.95, n - 1) * statistics.stdev(values[v][:n]) / math.sqrt(n)
            for v in contenders
        }
        behind = {v for v in contenders if means[v] + width[v] < means[leader] - width[leader]}
        runs += n * len(behind)
        dropped |= behind
        contenders = [variant for variant in contenders if variant not in behind]
    return dropped, runs + n * len(contenders), leader


def _best_of(values: Sequence[Sequence[float]]) -> int:
    return max(range(len(values)), key=lambda variant: sum(values[variant]))


def measure(races: int) -> Table:
    """Return the table."""
    rules: dict[
        str, Callable[[Sequence[Sequence[float]], Sequence[int]], tuple[set[int], int, int]]
    ] = {
        "runslot": lambda values, order: race(values, order, ALPHA),
        "not corrected for their number": lambda values, order: race(
            values, order, min(ALPHA * (len(values) - 1), 0.499)
        ),
        "until intervals separate": separation,
    }
    rows = []
    for field in FIELDS:
        drawn = [draw(field, seed) for seed in range(races)]
        fixed = sum(_best_of(values) == 0 for values in drawn)
        for name, rule in rules.items():
            results = []
            for seed, values in enumerate(drawn):
                order = list(range(len(values)))
                Random(seed).shuffle(order)
                results.append(rule(values, order))
            whole = races * MOST * len(field.behind)
            rows.append(
                [
                    f"{field.name}: {name}",
                    f"{100 * sum(0 in dropped for dropped, _, _ in results) / races:.1f}",
                    f"{100 - 100 * sum(runs for _, runs, _ in results) / whole:.0f}",
                    f"{100 * sum(leader == 0 for _, _, leader in results) / races:.1f}",
                    f"{100 * fixed / races:.1f}",
                ]
            )
    return Table(
        "Races of seeds",
        f"""\
`race:{LEAST}..{MOST}` in {races} simulated races each, in percent; σ is the standard deviation of a
variant's seeds, half of whose variance a seed does to all variants alike.""",
        [
            "variants: rule",
            "the best dropped",
            "runs saved",
            "the best won",
            f"the best won with {MOST} seeds each",
        ],
        rows,
    )
