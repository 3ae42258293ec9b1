"""Several variants beside one of them: each difference, its p among all that might have been
compared, the verdict, and how many further seeds would decide. Pure.

Called by `runslot.results.verdicts` and `runslot.view.data.answer`, so that the terminal and the
page decide alike. What must stay true: where the reference is the best by these same runs, any two
variants might have been the pair that is looked at, so that p is of all pairs together; else the
best of many equals would be called better than others far more often than the level says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from runslot.record import record
from runslot.results.statistics.differences import Difference, Sample, Verdict, difference, holm
from runslot.results.statistics.power import whole_runs_needed

MORE_AT_MOST = 12
"""Further seeds of each variant beyond which they are not advised."""


@record
class Decision:
    """One variant beside the reference."""

    difference: Difference | None
    """To the reference; None for the reference itself, and where one of them has no value."""
    p: float | None
    """Of the difference, adjusted for how many might have been compared (Holm)."""
    verdict: Verdict | None
    """None where there is no difference."""
    more: float | None
    """How many further seeds of both would decide, if the difference is as it looks; infinite for
    more than can be told; None where that is decided or cannot be told."""

    @property
    def is_decided(self) -> bool | None:
        """Whether the two are told apart; None where nothing can tell, as with single runs."""
        if self.difference is None or self.difference.p is None:
            return None
        return self.verdict != "not decided"


def decide_beside(
    samples: Sequence[Sample],
    reference: int,
    mode: Literal["max", "min"],
    *,
    level: float = 0.95,
    is_best: bool,
    is_under_way: bool = False,
) -> list[Decision]:
    """Return what can be decided of each sample beside the one at the place `reference`.

    `is_best` says that this one was chosen as the best by these same scores; `is_under_way` that
    this look is one of several, so that the evidence decides that may be looked at at any time
    (each pair with Bonferroni's share of the level), and no number of further seeds is named.
    """
    deltas = [
        None if i == reference else difference(sample, samples[reference], level=level)
        for i, sample in enumerate(samples)
    ]
    family = pairs_of_all(samples) if is_best else 0
    return decide_differences(deltas, mode, level=level, of=family, is_under_way=is_under_way)


def decide_differences(
    deltas: Sequence[Difference | None],
    mode: Literal["max", "min"],
    *,
    level: float = 0.95,
    of: int = 0,
    is_under_way: bool = False,
) -> list[Decision]:
    """Return what can be decided of each difference, of so many together; at least of these."""
    alpha = 1 - level
    compared = max(of, sum(delta is not None and delta.p is not None for delta in deltas), 1)
    ps = holm([None if delta is None else delta.p for delta in deltas], of=compared)
    decisions = []
    for delta, p in zip(deltas, ps, strict=True):
        if delta is None:
            decisions.append(Decision(None, None, None, None))
            continue
        if is_under_way:
            is_enough = (delta.evidence or 0.0) >= compared / alpha
            verdict = delta.verdict(mode, alpha, 0.0) if is_enough else "not decided"
        else:
            verdict = delta.verdict(mode, alpha, p)
        is_open = verdict == "not decided" and not is_under_way
        more = _further_seeds(delta, alpha / compared) if is_open else None
        decisions.append(Decision(delta, p, verdict, more))
    return decisions


def pairs_of_all(samples: Iterable[Sample]) -> int:
    """Return how many pairs of these variants could be compared: a single run has no spread."""
    count = sum(sample.has_value and len(sample.scores) > 1 for sample in samples)
    return count * (count - 1) // 2


def _further_seeds(delta: Difference, alpha: float) -> float | None:
    """Return how many further seeds of both would decide; None where nothing tells the effect."""
    if delta.effect is None:
        return None
    needed = whole_runs_needed(delta.effect, paired=delta.is_paired, alpha=alpha)
    return max(1.0, needed - min(delta.sizes))


def seeds_advised(needs: Iterable[float | None]) -> tuple[int, int] | None:
    """Return how many further seeds each are advised, for the needs of what is open, and how many
    of these they would decide if the differences are as they look; None where no number up to
    `MORE_AT_MOST` would decide any."""
    within = sorted(need for need in needs if need is not None and need <= MORE_AT_MOST)
    return (math.ceil(within[-1]), len(within)) if within else None
