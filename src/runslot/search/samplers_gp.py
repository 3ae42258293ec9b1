"""A Gaussian process as a function of the trials; needs numpy, which comes with Optuna.

Optuna's own needs torch and takes seconds for a question. This one is for the few trials of a first
look: values count by their rank alone, so that one bad trial does not flatten the rest; length
scales are averaged over the likely ones; trials that run are taken for what the model expects of
them. What is asked has the highest expected improvement among points at random and near the best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from runslot.errors import InvalidInput, NotInstalled, extra_said
from runslot.record import record
from runslot.search.objective import Mode, merit
from runslot.search.samplers import QuasiRandomSampler, TrialState, seen_of, startup_of
from runslot.search.samplers_cmaes import Point, has_order, point_of
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
CANDIDATES, NEIGHBOURS, BEST = 400, 25, 5
"""Points at random, and so many near each of the best."""
CLIMBS, STEP_LENGTHS, CHOICES_TRIED = 2, (0.03, 0.1), 20
"""Times that the best are looked around, how far where there are no steps, and how many choices."""
ROUNDS, DRAWS, MODELS = 3, 40, 8
"""Rounds of draws of length scales and noise; the likeliest models are averaged."""
SCALE, NOISE = (math.log(0.6), 0.8), (math.log(0.02), 1.0)
"""Mean and deviation of the logarithms: of a length scale, of a range of 1; of the noise's
variance.
"""
APART = 0.5
"""How far a choice without order is from another, along the axis of each."""
SPREAD = 0.15
"""Standard deviation of the points near one."""
LEAST_VARIANCE = 1e-6
LEAST_SHARE = 0.01
"""Of the likeliest model's likelihood, below which a model is left out."""


class GaussianProcessSampler:
    """The point of highest expected improvement, in a space whose parameters are the same in all
    trials.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode
        self._cube: tuple[SearchSpace, Cube] | None = None
        """Of the space that was asked for last."""

    def propose(
        self, space: SearchSpace, trials: Sequence[TrialState], number: int, seed: int, attempt: int
    ) -> Proposed:
        """Return what the model of the finished trials promises most of."""
        if space.function is not None:
            raise InvalidInput("the sampler gp needs the same parameters in every trial; use tpe")
        if self._cube is None or self._cube[0] is not space:
            self._cube = (space, Cube(space))
        cube = self._cube[1]
        finished, running = (
            [trial for trial in part if cube.place(trial) is not None]
            for part in seen_of(trials, self.mode, *SEEN)
        )
        if len(finished) < startup_of(space):
            return QuasiRandomSampler().propose(space, trials, number, seed, attempt)
        digits = Random(f"{seed}/{number}/{attempt}").getrandbits(64)  # noqa: S311 - to be repeated
        rng = np.random.default_rng(digits)
        ranking = sorted(finished, key=lambda trial: (trial.depth, merit(trial.value, self.mode)))
        observed, pending = cube.points(ranking), cube.points(running)
        models = fit(cube.features(observed), scores(len(ranking)), rng)
        models = models.after(cube.features(pending)) if running else models
        tried = {row.tobytes() for row in np.concatenate([observed, pending])}
        best = self._best(cube, models, observed, tried, rng)
        places = dict(zip(cube.parameters, best, strict=True))
        return space.propose(number, lambda name, distribution: distribution.at(places[name]))

    def _best(
        self,
        cube: Cube,
        models: Models,
        observed: NDArray[Any],
        tried: set[bytes],
        rng: np.random.Generator,
    ) -> list[float]:
        """Return the candidate of highest expected improvement, after a look around the best."""
        points = [rng.random((CANDIDATES, len(cube.parameters)))]
        points += [cube.neighbours(near, rng) for near in observed[::-1][:BEST]]
        candidates = cube.snapped(np.concatenate(points))
        to_beat = models.predict(cube.features(observed))[0].max(axis=1)
        gains = models.gains(cube.features(candidates), to_beat)
        for _ in range(CLIMBS):
            top = candidates[np.argsort(-gains, kind="stable")[:BEST]]
            further = cube.snapped(np.concatenate([cube.steps(point) for point in top]))
            candidates = np.concatenate([candidates, further])
            gains = np.concatenate([gains, models.gains(cube.features(further), to_beat)])
        order = [int(place) for place in np.argsort(-gains, kind="stable")]
        fresh = next(
            (place for place in order if candidates[place].tobytes() not in tried), order[0]
        )
        return [float(place) for place in candidates[fresh]]


def scores(count: int) -> NDArray[Any]:
    """Return what a normal distribution has at the ranks of so many values, at a deviation of 1."""
    values = np.array([NormalDist().inv_cdf((place + 0.5) / count) for place in range(count)])
    standard: NDArray[Any] = values / values.std()
    return standard


class Cube:
    """A space as a cube: a place from 0 to 1 for every parameter, in the middle of steps."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.parameters = dict(space.parameters)
        self.sizes = np.array([_steps(value) for value in self.parameters.values()], dtype=float)
        self._is_free = self.sizes == 0
        self._safe_sizes = np.where(self._is_free, 1, self.sizes)
        self._with_order = np.array([has_order(value) for value in self.parameters.values()])
        self._places: dict[int, Point | None] = {}

    def place(self, trial: TrialState) -> Point | None:
        """Return where a trial is; None for one of another space."""
        if trial.number not in self._places:
            self._places[trial.number] = point_of(self.space, self.parameters, trial)
        return self._places[trial.number]

    def points(self, trials: Sequence[TrialState]) -> NDArray[Any]:
        """Return where trials of this space are."""
        places = np.array([self.place(trial) for trial in trials], dtype=float)
        return self.snapped(places.reshape(-1, len(self.parameters)))

    def snapped(self, points: NDArray[Any]) -> NDArray[Any]:
        """Return points moved to the middle of their steps."""
        points = points.clip(0, math.nextafter(1, 0))
        middles = (np.floor(points * self._safe_sizes) + 0.5) / self._safe_sizes
        return np.where(self._is_free, points, middles)

    def neighbours(self, point: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return points of which some coordinates have moved, and choices without order been drawn
        anew.
        """
        shape = (NEIGHBOURS, len(point))
        moves = rng.random(shape) < max(1.5 / len(point), 0.3)
        near = point + SPREAD * rng.standard_normal(shape)
        return np.where(moves, np.where(self._with_order, near, rng.random(shape)), point)

    def steps(self, point: NDArray[Any]) -> NDArray[Any]:
        """Return the points that differ by a step along one axis, or by another choice."""
        near = []
        for axis, is_ordered in enumerate(self._with_order):
            size = int(self.sizes[axis])
            if not is_ordered:
                places = [(index + 0.5) / size for index in range(min(size, CHOICES_TRIED))]
            else:
                lengths = (1 / size,) if size else STEP_LENGTHS
                places = [point[axis] + sign * length for length in lengths for sign in (-1, 1)]
            moved = np.repeat(point[None], len(places), axis=0)
            moved[:, axis] = places
            near.append(moved)
        return np.concatenate(near)

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


@record
class Models:
    """Gaussian processes over the same points, each with its scales and noise, and how likely each
    is beside the others; all are computed with at once.
    """

    scales: NDArray[Any]
    noises: NDArray[Any]
    shares: NDArray[Any]
    """Of the likelihood; they sum to 1."""
    points: NDArray[Any]
    inverse: NDArray[Any]
    """Of Cholesky's factor of the covariance of the points."""
    weights: NDArray[Any]
    """The values, divided by the factor."""

    @classmethod
    def of(
        cls,
        points: NDArray[Any],
        values: NDArray[Any],
        draws: NDArray[Any],
        shares: NDArray[Any],
    ) -> Models:
        """Return the models of values, one for each draw of the logarithms of scales and noise."""
        scales, noises = np.exp(draws[:, :-1]), np.exp(draws[:, -1])
        inverse = np.linalg.inv(_factors(points, scales, noises))
        return cls(scales, noises, shares, points, inverse, inverse @ values)

    def after(self, pending: NDArray[Any]) -> Models:
        """Return the models as if the pending points had come out as each expects."""
        expected = self.predict(pending)[0]
        factors = np.linalg.inv(self.inverse)
        values = np.concatenate([(factors @ self.weights[..., None])[..., 0], expected], axis=1)
        points = np.concatenate([self.points, pending])
        inverse = np.linalg.inv(_factors(points, self.scales, self.noises))
        weights = (inverse @ values[..., None])[..., 0]
        return replace(self, points=points, inverse=inverse, weights=weights)

    def predict(self, points: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return mean and deviation of the values there, a row for each model."""
        across = self.inverse @ _matern(self.points, points, self.scales)
        means = (self.weights[:, None, :] @ across)[:, 0, :]
        variances = 1 - (across * across).sum(axis=1)
        return means, np.sqrt(variances.clip(LEAST_VARIANCE, None))

    def gains(self, points: NDArray[Any], to_beat: NDArray[Any]) -> NDArray[Any]:
        """Return the expected improvement of points over what each model has as the best."""
        means, deviations = self.predict(points)
        ahead = (means - to_beat[:, None]) / deviations
        densities = np.exp(-ahead * ahead / 2) / math.sqrt(2 * math.pi)
        improvements = deviations * (ahead * normal_share(ahead) + densities)
        gains: NDArray[Any] = self.shares @ improvements
        return gains


def normal_share(values: NDArray[Any]) -> NDArray[Any]:
    """Return which share of a normal distribution lies below each value, to seven digits in the
    tails as well (Chebyshev's fit of erfc in Numerical Recipes): `math` takes one at a time.
    """
    size = np.abs(values) / math.sqrt(2)
    place = 1 / (1 + size / 2)
    fitted = np.polyval(_ERFC, place)
    tails = place * np.exp(fitted - size * size) / 2
    shares: NDArray[Any] = np.where(values < 0, tails, 1 - tails)
    return shares


_ERFC = (
    0.17087277,
    -0.82215223,
    1.48851587,
    -1.13520398,
    0.27886807,
    -0.18628806,
    0.09678418,
    0.37409196,
    1.00002368,
    -1.26551223,
)
"""Coefficients of the fit, the highest power first."""


def fit(points: NDArray[Any], values: NDArray[Any], rng: np.random.Generator) -> Models:
    """Return the likeliest models, by draws of their scales that close in on the likely ones."""
    dimensions = points.shape[1]
    middle = np.array([SCALE[0]] * dimensions + [NOISE[0]])
    width = np.array([SCALE[1]] * dimensions + [NOISE[1]])
    around, spread = middle, width
    draws, likelihoods = np.empty((0, dimensions + 1)), np.empty(0)
    first, second = np.tril_indices(len(points), -1)
    squares = (points[first] - points[second]).T ** 2
    for _ in range(ROUNDS):
        further = around + spread * rng.standard_normal((DRAWS, dimensions + 1))
        priors = -0.5 * (((further - middle) / width) ** 2).sum(axis=1)
        draws = np.concatenate([draws, further])
        likelihoods = np.concatenate([likelihoods, priors + _likelihoods(squares, values, further)])
        order = np.argsort(-likelihoods, kind="stable")
        draws, likelihoods = draws[order], likelihoods[order]
        likely = draws[: DRAWS // 4]
        around, spread = likely.mean(axis=0), likely.std(axis=0) + 0.1
    shares = np.exp(likelihoods[:MODELS] - likelihoods[0])
    is_likely = shares >= LEAST_SHARE
    return Models.of(
        points, values, draws[:MODELS][is_likely], shares[is_likely] / shares[is_likely].sum()
    )


def _likelihoods(squares: NDArray[Any], values: NDArray[Any], draws: NDArray[Any]) -> NDArray[Any]:
    """Return the logarithms of how likely the values are, by draws of scales and noise; `squares`
    has the differences of all pairs of points, of the matrix below its diagonal.
    """
    count = len(values)
    diagonal = np.arange(count)
    below = np.tril_indices(count, -1)
    covariance = np.zeros((len(draws), count + 1, count + 1))  # of which the lower half is read
    covariance[:, below[0], below[1]] = _correlation(np.exp(-2 * draws[:, :-1]) @ squares)
    covariance[:, diagonal, diagonal] = 1 + np.exp(draws[:, -1:]) + LEAST_VARIANCE
    # A last row of the values has, in the factor, the values divided by the factor.
    covariance[:, count, :count] = values
    covariance[:, count, count] = count / LEAST_VARIANCE**2
    factors = np.linalg.cholesky(covariance)
    weights, sizes = factors[:, count, :count], factors[:, diagonal, diagonal]
    likelihoods: NDArray[Any] = -0.5 * (weights * weights).sum(axis=1) - np.log(sizes).sum(axis=1)
    return likelihoods


def _factors(points: NDArray[Any], scales: NDArray[Any], noises: NDArray[Any]) -> NDArray[Any]:
    """Return Cholesky's factor of the covariance of the points, of each model."""
    covariance = _matern(points, points, scales)
    diagonal = np.arange(len(points))
    covariance[:, diagonal, diagonal] += noises[:, None] + LEAST_VARIANCE
    return np.linalg.cholesky(covariance)


def _matern(first: NDArray[Any], second: NDArray[Any], scales: NDArray[Any]) -> NDArray[Any]:
    """Return Matérn's covariance (5/2) of all pairs, of each model by its scales."""
    a, b = first / scales[:, None, :], second / scales[:, None, :]
    squares: NDArray[Any] = a @ b.transpose(0, 2, 1)
    squares *= -2
    squares += (a * a).sum(axis=2)[:, :, None]
    squares += (b * b).sum(axis=2)[:, None, :]
    return _correlation(np.maximum(squares, 0, out=squares))


def _correlation(squares: NDArray[Any]) -> NDArray[Any]:
    """Turn squares of distances into Matérn's correlation, in place: memory takes the time."""
    squares *= 5
    distance = np.sqrt(squares)
    squares /= 3
    squares += distance
    squares += 1
    squares *= np.exp(np.negative(distance, out=distance), out=distance)
    return squares


def _steps(distribution: Distribution) -> int:
    """Return into how many equal parts a range falls; 0 where it has no steps of one size."""
    if isinstance(distribution, Choice):
        return len(distribution.options)
    return 0 if isinstance(distribution, LogIntegers) else distribution.size or 0
