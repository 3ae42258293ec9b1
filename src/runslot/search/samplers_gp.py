"""A Gaussian process as a function of the trials; needs numpy, which comes with Optuna.

Optuna's own needs torch and takes seconds for a question. This one is for the few trials of a first
look: values count by their rank alone, so that one bad trial does not flatten the rest; length
scales are averaged over the likely ones; trials that run are taken for what the model expects of
them. What is asked has the highest expected improvement among points at random and near the best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from runslot.errors import InvalidInput, NotInstalled, extra_said
from runslot.search.objective import Mode, merit
from runslot.search.samplers import QuasiRandomSampler, TrialState, seen_of, startup_of
from runslot.search.samplers_cmaes import has_order, place_of
from runslot.search.space import Proposed, SearchSpace
from runslot.variants.distributions import Choice, Distribution, LogIntegers

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import numpy as np
except ImportError as error:
    raise NotInstalled(
        f"the sampler gp needs numpy, which comes with: {extra_said('search')}; or --sampler qmc"
    ) from error

SEEN = (50, 50)
"""Of more finished trials so many of the best, and of the latest."""
CANDIDATES, NEIGHBOURS, BEST = 500, 30, 5
"""Points at random, and so many near each of the best."""
CLIMBS, STEP_LENGTHS, CHOICES_TRIED = 2, (0.03, 0.1), 20
"""Times that the best are looked around, how far where there are no steps, and how many choices."""
ROUNDS, DRAWS, MODELS = 3, 20, 4
"""Rounds of draws of length scales and noise; the likeliest models are averaged."""
SCALE, NOISE = (math.log(0.6), 0.8), (math.log(0.02), 1.0)
"""Mean and deviation of the logarithms: of a length scale, of a range of 1; of the noise's
variance.
"""
APART = 0.5
"""How far a choice without order is from another, along the axis of each."""
LEAST_VARIANCE = 1e-6


class GaussianProcessSampler:
    """The point of highest expected improvement, in a space whose parameters are the same in all
    trials.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode

    def propose(
        self, space: SearchSpace, trials: Sequence[TrialState], number: int, seed: int, attempt: int
    ) -> Proposed:
        """Return what the model of the finished trials promises most of."""
        if space.function is not None:
            raise InvalidInput("the sampler gp needs the same parameters in every trial; use tpe")
        cube = Cube(space)
        finished, running = (
            [trial for trial in part if space.replay(trial.number, trial.params) is not None]
            for part in seen_of(trials, self.mode, *SEEN)
        )
        if len(finished) < startup_of(space):
            return QuasiRandomSampler().propose(space, trials, number, seed, attempt)
        rng = Random(f"{seed}/{number}/{attempt}")  # noqa: S311 - to be repeated
        ranking = sorted(finished, key=lambda trial: (trial.depth, merit(trial.value, self.mode)))
        count = len(ranking)
        scores = np.array([NormalDist().inv_cdf((place + 0.5) / count) for place in range(count)])
        scores /= scores.std()
        known = cube.snapped(np.array([cube.place(trial) for trial in ranking]))
        pending = cube.snapped(
            np.array([cube.place(trial) for trial in running]).reshape(-1, len(cube.parameters))
        )
        models = fit(cube.features(known), scores, rng)
        models = [model.after(cube.features(pending)) for model in models] if running else models
        tried = {row.tobytes() for row in np.concatenate([known, pending])}
        best = self._best(cube, models, known, tried, rng)
        places = dict(zip(cube.parameters, best, strict=True))
        return space.propose(number, lambda name, distribution: distribution.at(places[name]))

    def _best(
        self, cube: Cube, models: list[Model], known: NDArray[Any], tried: set[bytes], rng: Random
    ) -> list[float]:
        """Return the candidate of highest expected improvement, after a look around the best."""
        points = [[rng.random() for _ in cube.parameters] for _ in range(CANDIDATES)]
        for near in known[::-1][:BEST]:
            points += [cube.neighbour(near, rng, 0.15) for _ in range(NEIGHBOURS)]
        candidates = cube.snapped(np.array(points))
        finished = cube.features(known)
        gains = _gains(models, cube.features(candidates), finished)
        for _ in range(CLIMBS):
            top = candidates[np.argsort(-gains, kind="stable")[:BEST]]
            further = cube.snapped(np.array([near for point in top for near in cube.steps(point)]))
            candidates = np.concatenate([candidates, further])
            gains = np.concatenate([gains, _gains(models, cube.features(further), finished)])
        order = [int(place) for place in np.argsort(-gains, kind="stable")]
        fresh = next(
            (place for place in order if candidates[place].tobytes() not in tried), order[0]
        )
        return [float(place) for place in candidates[fresh]]


class Cube:
    """A space as a cube: a place from 0 to 1 for every parameter, in the middle of steps."""

    def __init__(self, space: SearchSpace) -> None:
        self.parameters = dict(space.parameters)
        self.sizes = np.array([_steps(value) for value in self.parameters.values()], dtype=float)
        self._is_free = self.sizes == 0
        self._safe_sizes = np.where(self._is_free, 1, self.sizes)
        self._with_order = [has_order(value) for value in self.parameters.values()]

    def place(self, trial: TrialState) -> list[float]:
        """Return where a trial is."""
        return [place_of(value, trial.params[name]) for name, value in self.parameters.items()]

    def snapped(self, points: NDArray[Any]) -> NDArray[Any]:
        """Return points moved to the middle of their steps."""
        points = points.clip(0, math.nextafter(1, 0))
        middles = (np.floor(points * self._safe_sizes) + 0.5) / self._safe_sizes
        return np.where(self._is_free, points, middles)

    def neighbour(self, point: Sequence[float], rng: Random, spread: float) -> list[float]:
        """Return a point of which some coordinates have moved, and choices without order been drawn
        anew.
        """
        near = [float(place) for place in point]
        for axis, is_ordered in enumerate(self._with_order):
            if rng.random() < max(1.5 / len(near), 0.3):
                near[axis] = near[axis] + rng.gauss(0, spread) if is_ordered else rng.random()
        return near

    def steps(self, point: NDArray[Any]) -> list[list[float]]:
        """Return the points that differ by a step along one axis, or by another choice."""
        near = []
        for axis, is_ordered in enumerate(self._with_order):
            size = int(self.sizes[axis])
            if not is_ordered:
                places = [(index + 0.5) / size for index in range(min(size, CHOICES_TRIED))]
            else:
                lengths = (1 / size,) if size else STEP_LENGTHS
                places = [point[axis] + sign * length for length in lengths for sign in (-1, 1)]
            for place in places:
                moved = [float(value) for value in point]
                moved[axis] = float(place)
                near.append(moved)
        return near

    def features(self, points: NDArray[Any]) -> NDArray[Any]:
        """Return what distances are measured in: a choice without order has an axis of its own."""
        columns = []
        for axis, is_ordered in enumerate(self._with_order):
            column = points[:, axis]
            if is_ordered:
                columns.append(column[:, None])
            else:
                size = int(self.sizes[axis])
                columns.append(APART * np.eye(size)[np.floor(column * size).astype(int)])
        return np.concatenate(columns, axis=1)


@dataclass(frozen=True)
class Model:
    """A Gaussian process with its scales, and how likely it is beside the others."""

    scales: NDArray[Any]
    noise: float
    points: NDArray[Any]
    factor: NDArray[Any]
    """Cholesky's factor of the covariance of the points."""
    weights: NDArray[Any]
    """The values, divided by the factor."""
    likelihood: float

    def after(self, pending: NDArray[Any]) -> Model:
        """Return the model as if the pending points had come out as it expects."""
        mean, _ = self.predict(pending)
        points = np.concatenate([self.points, pending])
        values = np.concatenate([self.factor @ self.weights, mean])
        return _model(points, values, self.scales, self.noise, self.likelihood)

    def predict(self, points: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return mean and deviation of the values there."""
        across = np.linalg.solve(self.factor, _matern(self.points, points, self.scales))
        variance = (1 - (across * across).sum(axis=0)).clip(LEAST_VARIANCE, None)
        return across.T @ self.weights, np.sqrt(variance)


def fit(points: NDArray[Any], values: NDArray[Any], rng: Random) -> list[Model]:
    """Return the likeliest models, by draws of their scales that close in on the likely ones."""
    dimensions = points.shape[1]
    middle = np.array([SCALE[0]] * dimensions + [NOISE[0]])
    width = np.array([SCALE[1]] * dimensions + [NOISE[1]])
    around, spread = middle, width
    models: list[tuple[float, NDArray[Any], Model]] = []
    for _ in range(ROUNDS):
        for _ in range(DRAWS):
            draw = around + spread * np.array([rng.gauss(0, 1) for _ in range(dimensions + 1)])
            prior = -0.5 * float((((draw - middle) / width) ** 2).sum())
            model = _model(
                points, values, np.exp(draw[:-1]), math.exp(draw[-1]), prior, is_new=True
            )
            models.append((model.likelihood, draw, model))
        models.sort(key=lambda entry: -entry[0])
        likely = np.array([draw for _, draw, _ in models[: DRAWS // 4]])
        around, spread = likely.mean(axis=0), likely.std(axis=0) + 0.1
    return [model for _, _, model in models[:MODELS]]


def _model(
    points: NDArray[Any],
    values: NDArray[Any],
    scales: NDArray[Any],
    noise: float,
    likelihood: float,
    *,
    is_new: bool = False,
) -> Model:
    covariance = _matern(points, points, scales)
    covariance[np.diag_indices_from(covariance)] += noise + LEAST_VARIANCE
    factor = np.linalg.cholesky(covariance)
    weights = np.linalg.solve(factor, values)
    if is_new:
        likelihood += float(-0.5 * weights @ weights - np.log(np.diag(factor)).sum())
    return Model(scales, noise, points, factor, weights, likelihood)


def _matern(first: NDArray[Any], second: NDArray[Any], scales: NDArray[Any]) -> NDArray[Any]:
    """Return Matérn's covariance (5/2) of all pairs."""
    a, b = first / scales, second / scales
    square = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * a @ b.T
    distance = np.sqrt(5 * square.clip(0, None))
    covariance: NDArray[Any] = (1 + distance + distance * distance / 3) * np.exp(-distance)
    return covariance


def _gains(models: list[Model], features: NDArray[Any], finished: NDArray[Any]) -> NDArray[Any]:
    """Return the expected improvement over the best that the models expect of the finished."""
    top = models[0].likelihood
    total = np.zeros(len(features))
    for model in models:
        share = math.exp(model.likelihood - top)
        if share < 0.01:
            continue
        mean, deviation = model.predict(features)
        ahead = (mean - model.predict(finished)[0].max()) / deviation
        density = np.exp(-ahead * ahead / 2) / math.sqrt(2 * math.pi)
        below = np.array([(1 + math.erf(value / math.sqrt(2))) / 2 for value in ahead])
        total += share * deviation * (ahead * below + density)
    return total


def _steps(distribution: Distribution) -> int:
    """Return into how many equal parts a range falls; 0 where it has no steps of one size."""
    if isinstance(distribution, Choice):
        return len(distribution.options)
    return 0 if isinstance(distribution, LogIntegers) else distribution.size or 0
