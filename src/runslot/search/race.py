"""A race of seeds (`race:3..10`): which variants need no further seed, since they are shown to be
worse. Pure.

All contenders run one seed more at a time. After each round a variant is dropped where its
difference to the leader, paired by seed, exceeds what chance explains: Student's t at alpha/(K-1),
two-sided since nobody knew who would lead, K being the variants that the race began with. Pairing
takes out what a seed does to all variants alike.

`study` calls `advance` when a run of the race has ended, starts `next_runs`, and writes `drops`
into the journal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from runslot.errors import InvalidInput
from runslot.quantiles import t_tail
from runslot.record import record
from runslot.search.objective import Mode, merit

SEEDS_LIMIT = 1000
"""Seeds that a race may go to."""
LEAST_SEEDS = 2
"""Seeds without which there is no spread of differences to judge by."""

VariantKey = TypeVar("VariantKey", bound=Hashable)


@record
class Race:
    """How many seeds the variants run at least and at most, and when one is shown to be worse."""

    at_least: int = 3
    at_most: int = 10
    alpha: float = 0.05
    within: float = 0.0
    """A difference up to this is indifferent: a variant shown to be no further behind needs no
    further seed.
    """

    def __post_init__(self) -> None:
        if not LEAST_SEEDS <= self.at_least <= self.at_most <= SEEDS_LIMIT:
            raise InvalidInput(
                f"a race goes from at least {LEAST_SEEDS} seeds to at most {SEEDS_LIMIT}, as"
                f" race:3..10, "
                f"not race:{self.at_least}..{self.at_most}"
            )
        if not 0 < self.alpha < 0.5:
            raise InvalidInput(
                f"alpha is the chance of a wrong drop, between 0 and 0.5, not {self.alpha!r}"
            )
        if not 0 <= self.within < math.inf:
            raise InvalidInput(
                f"within is the difference that does not matter, 0 or more, not {self.within!r}"
            )


def parse_race(text: str, *, alpha: float = 0.05, within: float = 0.0) -> Race:
    """Read `race:3..10`, or `race:10` from 3 (or fewer) seeds on."""
    match = re.fullmatch(r"race:(?:([0-9]{1,9})\.\.)?([0-9]{1,9})", text)
    if not match:
        raise InvalidInput(
            f"{text!r} names no race of seeds; write race:3..10, from three seeds to ten"
        )
    at_most = int(match[2])
    return Race(int(match[1]) if match[1] else min(3, at_most), at_most, alpha, within)


@record
class Dropped(Generic[VariantKey]):
    """A variant that needs no further seed, and why."""

    variant: VariantKey
    leader: VariantKey
    seeds: int
    difference: float
    """How far the leader is ahead of it, by the mean over the seeds that both have."""
    chance: float
    """Of such a difference between two equal variants; for a tie, of one beyond `within`."""
    is_tied: bool = False
    """It is not worse by more than `within`, rather than worse."""

    @property
    def why(self) -> str:
        """Return the reason in words."""
        if math.isinf(self.difference):
            return f"diverged or failed on one of {self.seeds} seeds"
        if self.is_tied:
            return (
                f"no further than {self.difference:.4g} behind over {self.seeds} seeds (p ="
                f" {self.chance:.2g})"
            )
        return f"{self.difference:.4g} behind over {self.seeds} seeds (p = {self.chance:.2g})"


@record
class RaceStep(Generic[VariantKey]):
    """What a race does next."""

    next_runs: tuple[tuple[VariantKey, int], ...]
    """Variant and place of the seed (0 is the first), in the order in which they should start."""
    drops: tuple[Dropped[VariantKey], ...]
    """What is dropped now."""
    leader: VariantKey | None
    contenders: tuple[VariantKey, ...]
    is_over: bool


Scores = Mapping[VariantKey, Mapping[int, float | None]]
"""By variant, by place of the seed: the value of a run that ended, NaN where it diverged, None
where it failed.
"""


def advance(
    race: Race, scores: Scores[VariantKey], dropped: Sequence[Dropped[VariantKey]], mode: Mode
) -> RaceStep[VariantKey]:
    """Return who is dropped and which runs come next, from all that ended so far; `scores` has
    every variant.

    Decided at whole rounds only: a round is over when all contenders have their run of it. Calling
    again with the same scores and the drops of this step gives the same runs and no drop, since the
    leader that the others were compared with is still there.
    """
    dropped_variants = dropped_of(scores, dropped, mode)
    contenders = [variant for variant in scores if variant not in dropped_variants]
    rounds = min((_rounds_of(scores[variant]) for variant in contenders), default=0)
    drops: list[Dropped[VariantKey]] = []
    if rounds >= race.at_least:
        drops = _drops(race, scores, contenders, rounds, mode)
        dropped_variants |= {drop.variant for drop in drops}
        contenders = [variant for variant in contenders if variant not in dropped_variants]
    leader = leader_of(scores, contenders, rounds, mode)
    is_hopeless = leader is None or _mean_merit(scores[leader], rounds, mode) == -math.inf
    is_over = bool(contenders) and (
        rounds >= race.at_most
        or (rounds >= race.at_least and (len(contenders) == 1 or is_hopeless))
    )
    target = 0 if is_over else race.at_least if rounds < race.at_least else rounds + 1
    runs = [
        (variant, seed)
        for seed in range(min(target, race.at_most))
        for variant in contenders
        if seed not in scores[variant]
    ]
    return RaceStep(tuple(runs), tuple(drops), leader, tuple(contenders), is_over)


def dropped_of(
    scores: Scores[VariantKey], dropped: Sequence[Dropped[VariantKey]], mode: Mode
) -> set[VariantKey]:
    """Return the variants that are out of the race.

    One that was dropped because a run of it failed is in again when that run has succeeded since,
    as after `runslot resume --failed`.
    """
    return {
        drop.variant
        for drop in dropped
        if math.isfinite(drop.difference)
        or _mean_merit(scores.get(drop.variant, {}), drop.seeds, mode) == -math.inf
    }


def leader_of(
    scores: Scores[VariantKey], variants: Sequence[VariantKey], rounds: int, mode: Mode
) -> VariantKey | None:
    """Return the variant with the best mean over the first `rounds` seeds; of equals the first."""
    if not rounds or not variants:
        return None
    return max(variants, key=lambda variant: _mean_merit(scores[variant], rounds, mode))


def _drops(
    race: Race,
    scores: Scores[VariantKey],
    contenders: Sequence[VariantKey],
    rounds: int,
    mode: Mode,
) -> list[Dropped[VariantKey]]:
    leader = leader_of(scores, contenders, rounds, mode)
    if leader is None or _mean_merit(scores[leader], rounds, mode) == -math.inf:
        return []
    level = race.alpha / max(len(scores) - 1, 1)
    drops = []
    for variant in contenders:
        if variant == leader:
            continue
        drop = _compare(race, scores, leader, variant, rounds, level, mode)
        if drop is not None:
            drops.append(drop)
    return drops


def _compare(
    race: Race,
    scores: Scores[VariantKey],
    leader: VariantKey,
    variant: VariantKey,
    rounds: int,
    level: float,
    mode: Mode,
) -> Dropped[VariantKey] | None:
    if _mean_merit(scores[variant], rounds, mode) == -math.inf:
        return Dropped(variant, leader, rounds, math.inf, 0.0)
    pairs = [(scores[leader][seed], scores[variant][seed]) for seed in range(rounds)]
    differences = [
        merit(first, mode) - merit(second, mode)
        for first, second in pairs
        if first is not None and second is not None
    ]
    n = len(differences)
    if n < max(LEAST_SEEDS, race.at_least):
        return None
    try:
        mean = math.fsum(differences) / n
        error = math.sqrt(math.fsum((value - mean) ** 2 for value in differences) / (n - 1) / n)
    except (OverflowError, ValueError):  # infinite both ways, or beyond what squares can hold
        return None
    worse = _tail(mean, error, n)
    if worse < level:
        return Dropped(variant, leader, rounds, mean, worse)
    beyond = _tail(race.within - mean, error, n)
    if race.within > 0 and beyond < level:
        return Dropped(variant, leader, rounds, mean, beyond, is_tied=True)
    return None


def _tail(mean: float, error: float, n: int) -> float:
    """Return the chance of a mean difference this large, either way, between equals."""
    if error == 0:
        return 0.0 if mean > 0 else 1.0
    return min(2 * t_tail(mean / error, n - 1), 1.0)


def _rounds_of(seeds: Mapping[int, float | None]) -> int:
    rounds = 0
    while rounds in seeds:
        rounds += 1
    return rounds


def _mean_merit(seeds: Mapping[int, float | None], rounds: int, mode: Mode) -> float:
    """Return the mean over the first `rounds` seeds, more being better; below everything where one
    of them diverged, failed or is missing.

    The mean of those that remain would be of other seeds than the others' means, and of a variant
    that cannot win: a trial whose run failed has failed.
    """
    values = [merit(seeds.get(seed), mode) for seed in range(rounds)]
    return -math.inf if -math.inf in values else math.fsum(values) / len(values)


@record
class RaceReport:
    """What a race saved and risked."""

    runs: int
    saved: int
    """Of the runs that every variant at the most seeds would have taken."""
    wrong_drop: float
    """At most this chance that a variant as good as the leader was dropped: the sum over the drops.
    """

    @property
    def words(self) -> str:
        """Return it as one line."""
        whole = self.runs + self.saved
        share = 100 * self.saved / whole if whole else 0.0
        # 0 is of drops that failed, and of differences without spread, of which no t test can tell
        chance = f"; a chance of at most {100 * self.wrong_drop:.2g} % that a drop was wrong"
        return (
            f"{self.runs} of {whole} runs ({self.saved} saved, {share:.0f} %)"
            f"{chance if self.wrong_drop else ''}"
        )


def report(
    race: Race, scores: Scores[VariantKey], dropped: Sequence[Dropped[VariantKey]]
) -> RaceReport:
    """Return what the race saved so far, and the chance of a wrong drop."""
    runs = sum(len(seeds) for seeds in scores.values())
    chance = math.fsum(drop.chance for drop in dropped if not drop.is_tied)
    return RaceReport(runs, len(scores) * race.at_most - runs, min(chance, 1.0))
