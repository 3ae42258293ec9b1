"""CMA-ES (Hansen 2016) as a function of the trials; needs numpy, which comes with Optuna.

Optuna's own keeps the state of the strategy in its storage, which a search that is rebuilt from
runs does not have: it would begin anew at every resume. Here the state is what the finished trials,
in the order of their numbers and a population at a time, make of the start. So a generation need
not be complete before the next trial is asked, and a resumed search asks what an unbroken one
would.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from runslot.errors import InvalidInput, NotInstalled, extra_said
from runslot.search.objective import Mode, merit
from runslot.search.samplers import TrialState
from runslot.search.space import Proposed, SearchSpace, is_ordered
from runslot.variants.distributions import (
    Choice,
    Distribution,
    Integers,
    LogIntegers,
    LogUniform,
    Uniform,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import numpy as np
except ImportError as error:
    raise NotInstalled(
        f"the sampler cmaes needs numpy, which comes with: {extra_said('search')}; or --sampler qmc"
    ) from error

Point = tuple[float, ...]

FIRST_SPREAD = 0.25
"""Standard deviation of the first generation, of a range of 1."""
DRAWS_LIMIT = 100
"""Draws that may fall outside of the space before one is moved to its edge."""
LEAST_SPREAD = 1e-8
"""A range narrower than this has come to a point."""


class CmaEsSampler:
    """A normal distribution that moves towards the better trials; choices are drawn at random."""

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode
        self._places: dict[int, Point | None] = {}
        self._history: list[tuple[Point, float]] = []
        self._learned: Strategy | None = None

    def propose(
        self, space: SearchSpace, trials: Sequence[TrialState], number: int, seed: int, attempt: int
    ) -> Proposed:
        """Return a point drawn from what the finished trials made of the distribution."""
        names = [name for name, value in space.parameters.items() if has_order(value)]
        if space.function is not None or not names:
            raise InvalidInput(
                "the sampler cmaes needs numbers, and the same parameters in every trial; use tpe"
            )
        strategy = self._strategy(self._points(space, names, trials), len(names))
        rng = Random(f"{seed}/{number}/{attempt}")  # noqa: S311 - to be repeated
        places = dict(zip(names, strategy.draw(rng), strict=True))

        def choose(name: str, distribution: Distribution) -> Any:
            return distribution.at(places.get(name, rng.random()))

        return space.propose(number, choose)

    def _points(
        self, space: SearchSpace, names: Sequence[str], trials: Sequence[TrialState]
    ) -> list[tuple[Point, float]]:
        """Return the finished trials of this space, by number: where each is in the cube, its
        merit.
        """
        points = []
        for trial in sorted(trials, key=lambda trial: trial.number):
            if trial.status not in {"complete", "pruned"}:
                continue
            if trial.number not in self._places:
                self._places[trial.number] = point_of(space, names, trial)
            point = self._places[trial.number]
            if point is not None:
                points.append((point, merit(trial.value, self.mode)))
        return points

    def _strategy(self, points: list[tuple[Point, float]], dimensions: int) -> Strategy:
        """Return what the points make of the start, a population at a time; goes on from the last
        ask where it can.
        """
        strategy = self._learned
        if strategy is None or points[: len(self._history)] != self._history:
            strategy, self._history = Strategy(dimensions), []
        size = strategy.population
        while len(points) - len(self._history) >= size:
            generation = points[len(self._history) : len(self._history) + size]
            self._history += generation
            ranking = sorted(generation, key=lambda point: -point[1])
            strategy.tell(np.array([place for place, _ in ranking]))
        self._learned = strategy
        return strategy


class Strategy:
    """Mean, step and covariance in the unit cube, with the paths that they are learned from."""

    def __init__(self, dimensions: int) -> None:
        n = self.dimensions = dimensions
        self.population = 4 + int(3 * math.log(n))
        weights = math.log((self.population + 1) / 2) - np.log(
            np.arange(1, self.population // 2 + 1)
        )
        self.weights = weights / weights.sum()
        self.mass = 1 / float((self.weights**2).sum())
        mass = self.mass
        self.step_rate = (mass + 2) / (n + mass + 5)
        self.damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (n + 1)) - 1) + self.step_rate
        self.path_rate = (4 + mass / n) / (n + 4 + 2 * mass / n)
        self.rank_one = 2 / ((n + 1.3) ** 2 + mass)
        self.rank_mu = min(1 - self.rank_one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        self.expected_norm = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        self.mean = np.full(n, 0.5)
        self.spread = FIRST_SPREAD
        self.covariance = np.eye(n)
        self.step_path = np.zeros(n)
        self.path = np.zeros(n)
        self.generations = 0

    def draw(self, rng: Random) -> list[float]:
        """Return a point of the cube."""
        axes, lengths = self._axes()
        for _ in range(DRAWS_LIMIT):
            normal = np.array([rng.gauss(0, 1) for _ in range(self.dimensions)])
            point = self.mean + self.spread * (axes @ (lengths * normal))
            if ((point >= 0) & (point < 1)).all():
                break
        return [float(place) for place in point.clip(0, math.nextafter(1, 0))]

    def tell(self, points: NDArray[Any]) -> None:
        """Learn from a population, the best first."""
        n, mass = self.dimensions, self.mass
        self.generations += 1
        steps = (points[: len(self.weights)] - self.mean) / self.spread
        step = self.weights @ steps
        axes, lengths = self._axes()
        self.mean = self.mean + self.spread * step
        whitened = axes @ ((axes.T @ step) / lengths)
        rate = self.step_rate
        self.step_path = (1 - rate) * self.step_path + math.sqrt(
            rate * (2 - rate) * mass
        ) * whitened
        norm = float(np.linalg.norm(self.step_path))
        usual = math.sqrt(1 - (1 - rate) ** (2 * self.generations)) * self.expected_norm
        is_straight = norm < (1.4 + 2 / (n + 1)) * usual
        rate = self.path_rate
        self.path = (1 - rate) * self.path
        if is_straight:
            self.path = self.path + math.sqrt(rate * (2 - rate) * mass) * step
        lost = 0.0 if is_straight else self.rank_one * rate * (2 - rate)
        self.covariance = (
            (1 - self.rank_one - self.rank_mu + lost) * self.covariance
            + self.rank_one * np.outer(self.path, self.path)
            + self.rank_mu * (steps.T * self.weights) @ steps
        )
        growth = self.step_rate / self.damping * (norm / self.expected_norm - 1)
        self.spread = min(max(self.spread * math.exp(min(1.0, growth)), LEAST_SPREAD), 1.0)

    def _axes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        values, axes = np.linalg.eigh((self.covariance + self.covariance.T) / 2)
        return axes, np.sqrt(values.clip(LEAST_SPREAD, None))


def has_order(distribution: Distribution) -> bool:
    """Tell whether neighbours are alike: all but choices that are no rising or falling numbers."""
    return not isinstance(distribution, Choice) or is_ordered(distribution.options)


def point_of(space: SearchSpace, names: Iterable[str], trial: TrialState) -> Point | None:
    """Return where a trial is in the cube of these parameters; None for one of another space."""
    if space.replay(trial.number, trial.params) is None:
        return None
    return tuple(place_of(space.parameters[name], trial.params[name]) for name in names)


def place_of(distribution: Distribution, value: Any) -> float:
    """Return the place from 0 to 1 at which a distribution has a value; of steps the middle."""
    if isinstance(distribution, LogUniform):
        low, high = math.log(distribution.low), math.log(distribution.high)
        return (math.log(value) - low) / (high - low)
    if isinstance(distribution, LogIntegers):
        low, high = math.log(distribution.low - 0.5), math.log(distribution.high + 0.5)
        return (math.log(value) - low) / (high - low)
    if isinstance(distribution, Uniform) and distribution.step is None:
        return float((value - distribution.low) / (distribution.high - distribution.low))
    if isinstance(distribution, (Integers, Uniform)):
        index = (value - distribution.low) / (distribution.step or 1)
        return float((index + 0.5) / (distribution.size or 1))
    assert isinstance(distribution, Choice)
    return ((distribution.index(value) or 0) + 0.5) / len(distribution.options)
