"""Which parameters a trial gets: what a sampler is, the two that need no further package, and who
asks them. Pure.

A sampler is a function of the space, the trials so far, the trial's number and the seed alone, so
that a resumed search asks what an unbroken one would. Those of Optuna are in `samplers_optuna`,
CMA-ES is in `samplers_cmaes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Literal, Protocol

from runslot.record import record
from runslot.search.objective import Mode, merit
from runslot.search.space import Proposed, SearchSpace
from runslot.variants.distributions import Distribution
from runslot.variants.encode import canonical

SAMPLERS = ("auto", "tpe", "gp", "cmaes", "qmc", "random")
FEW_TRIALS = 40
"""Finished trials below which `auto` asks a Gaussian process: it learns more from few, TPE costs
less with many.
"""
STARTUP_TRIALS = (4, 10)
"""At least and at most so many finished trials, else one more than there are parameters, before the
model has something to learn from; until then they are spread evenly."""
ATTEMPTS = 6
"""Proposals of a sampler that may equal an earlier trial before one is drawn at random."""
RANDOM_ATTEMPTS = 1000
"""Random draws in a row that equal earlier trials, after which there is nothing new."""
LISTED_LIMIT = 100_000
"""Variants of a space that are looked through for one that has not been tried."""


@record
class TrialState:
    """One trial as a sampler sees it."""

    number: int
    params: Mapping[str, Any]
    status: Literal["running", "complete", "pruned", "failed"]
    """`running` without any score yet; `pruned` also where it waits at a rung, or runs on from one.
    """
    value: float | None = None
    """At its end or at the highest rung that it was judged at; NaN where it diverged."""
    step: float | None = None
    """Of that rung; None for a whole run."""

    @property
    def depth(self) -> float:
        """How far it came; a whole run is beyond every rung."""
        return math.inf if self.status == "complete" or self.step is None else self.step


class Sampler(Protocol):
    """What chooses the parameters of a trial."""

    def propose(
        self, space: SearchSpace, trials: Sequence[TrialState], number: int, seed: int, attempt: int
    ) -> Proposed:
        """Return a trial's parameters; the next `attempt` gives others, where the first are no
        news.
        """
        ...


class RandomSampler:
    """Every value equally likely; each parameter has random numbers of its own."""

    def propose(
        self, space: SearchSpace, trials: Sequence[TrialState], number: int, seed: int, attempt: int
    ) -> Proposed:
        """Return parameters drawn at random."""
        return space.propose(
            number,
            lambda name, distribution: distribution.draw(
                Random(f"{seed}/{number}/{attempt}/{name}")  # noqa: S311 - to be repeated
            ),
        )


class QuasiRandomSampler:
    """Halton's sequence with shuffled digits: spread more evenly than random draws, whatever the
    number of trials.
    """

    def propose(
        self, space: SearchSpace, trials: Sequence[TrialState], number: int, seed: int, attempt: int
    ) -> Proposed:
        """Return the trial's point of the sequence."""
        order: list[str] = []

        def choose(name: str, distribution: Distribution) -> Any:
            order.append(name)
            return distribution.at(halton(number + attempt * _STRIDE, len(order) - 1, seed))

        return space.propose(number, choose)


class AutoSampler:
    """A Gaussian process for the first trials, TPE for many, and for a space that is a function."""

    def __init__(self, for_few: Sampler, for_many: Sampler) -> None:
        self._for_few, self._for_many = for_few, for_many

    def propose(
        self, space: SearchSpace, trials: Sequence[TrialState], number: int, seed: int, attempt: int
    ) -> Proposed:
        """Return what the one suggests or the other."""
        finished = sum(trial.status in {"complete", "pruned"} for trial in trials)
        is_small = finished < FEW_TRIALS and space.function is None
        sampler = self._for_few if is_small else self._for_many
        return sampler.propose(space, trials, number, seed, attempt)


_STRIDE = 7919
"""Places of the sequence between the attempts of a trial."""


def halton(index: int, dimension: int, seed: int) -> float:
    """Return a coordinate of a point of Halton's sequence, its digits shuffled by the seed (but for
    trailing zeros).
    """
    base = _prime(dimension)
    rng = Random(f"{seed}/{dimension}")  # noqa: S311 - to be repeated, not kept secret
    value, scale, rest = 0.0, 1.0, index + 1
    while rest:
        digits = list(range(base))
        rng.shuffle(digits)
        scale /= base
        value += digits[rest % base] * scale
        rest //= base
    value += rng.random() * scale  # within the cell: no end of a range is favoured
    return min(value, math.nextafter(1.0, 0.0))


def _prime(place: int) -> int:
    primes: list[int] = []
    number = 2
    while len(primes) <= place:
        if all(number % prime for prime in primes):
            primes.append(number)
        number += 1
    return primes[place]


def startup_of(space: SearchSpace) -> int:
    """Return how many trials must have finished before the model is asked."""
    least, most = STARTUP_TRIALS
    return most if space.function is not None else min(max(len(space.parameters) + 1, least), most)


def seen_of(
    trials: Sequence[TrialState], mode: Mode, best: int, latest: int
) -> tuple[list[TrialState], list[TrialState]]:
    """Return the finished trials that a model sees, and those that run, each by number.

    Of many finished trials these are the best ones, and the latest of the others.
    """
    finished = [trial for trial in trials if trial.status in {"complete", "pruned"}]
    running = [trial for trial in trials if trial.status == "running"]
    if len(finished) > best + latest:
        ranking = sorted(
            finished, key=lambda trial: (trial.depth, merit(trial.value, mode)), reverse=True
        )
        top = {trial.number for trial in ranking[:best]}
        rest = [trial for trial in finished if trial.number not in top]
        finished = ranking[:best] + rest[-latest:]
    by_number = [sorted(part, key=lambda trial: trial.number) for part in (finished, running)]
    return by_number[0], by_number[1]


class Asker:
    """Asks a sampler for what no trial had yet; keeps what it knows of the trials so far to be
    fast.

    What it answers depends on its arguments alone: a fresh one answers the same.
    """

    def __init__(self, space: SearchSpace, sampler: Sampler, seed: int) -> None:
        self.space = space
        self.sampler = sampler
        self.seed = seed
        self._contents: dict[int, str] = {}

    def ask(self, trials: Sequence[TrialState], number: int) -> Proposed | None:
        """Return the parameters of trial `number`; None where every variant of the space has been
        tried.
        """
        tried = set()
        for trial in trials:
            if trial.number not in self._contents:
                again = self.space.replay(trial.number, trial.params)
                content = trial.params if again is None else again.variant
                self._contents[trial.number] = canonical(content)
            tried.add(self._contents[trial.number])
        if self.space.size is not None and len(tried) >= self.space.size:
            return None
        attempts: tuple[tuple[Sampler, int], ...] = (
            (self.sampler, ATTEMPTS),
            (RandomSampler(), RANDOM_ATTEMPTS),
        )
        for sampler, count in attempts:
            for attempt in range(count):
                proposed = sampler.propose(self.space, trials, number, self.seed, attempt)
                if canonical(proposed.variant) not in tried:
                    return proposed
        return self._untried(tried, number)

    def _untried(self, tried: set[str], number: int) -> Proposed | None:
        """Return a variant that draws at random have not met: few are left."""
        size = self.space.size
        if size is None or size > LISTED_LIMIT:
            return None
        for place in range(size):
            proposed = self.space.propose(number, _cell(place))
            if canonical(proposed.variant) not in tried:
                return proposed
        return None


def _cell(place: int) -> Callable[[str, Distribution], Any]:
    """Return what chooses the values of the variant at `place` among all of a finite space."""
    rest = place

    def choose(_name: str, distribution: Distribution) -> Any:
        nonlocal rest
        size = distribution.size or 1
        rest, index = divmod(rest, size)
        return distribution.at((index + 0.5) / size)

    return choose
