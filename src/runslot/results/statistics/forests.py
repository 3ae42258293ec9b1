"""Forests of regression trees, and what these say of each hyperparameter, and of two at a time.

Called by `runslot.results.statistics.importance`. What must stay true: a forest that is grown from
the distinct settings, each with the mean and the number of its runs, has the splits of one that is
grown from the runs; and all that a forest is asked is put to it at once. So a page that waits for
it waits for the trees alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from runslot.errors import NotInstalled
from runslot.record import record

Key = tuple[int, ...]
"""One parameter, or two, by their columns."""

_LEVELS = 6
"""Values of a parameter at which a forest is asked; of more, so many of equal frequency."""
_ROWS, _FEWEST_ROWS = 128, 16
"""Runs over which the other parameters are averaged; the fewer, the more there is to ask."""
_MOST_QUESTIONS = 24_000
"""Points at which a forest is asked for its predictions."""
PAIRED = 8
"""Parameters that are looked at two at a time: those that explain most."""
_WHOLE_TREES, _FORESTS, _TREES_OF_EACH, _TREES_OUT_OF_BAG = 32, 12, 8, 128
_FEATURES = 0.5
"""Of all parameters, the part that a split of the whole forest chooses from."""


def numeric_library() -> Any:
    """Return NumPy, which comes with scikit-learn. Raises `NotInstalled` without them.

    Importing them takes about a second, once: a server does it before somebody waits.
    """
    try:
        import numpy as np
        import sklearn.tree  # noqa: F401  # whose trees these are
    except ImportError as error:
        message = "hyperparameter importance needs scikit-learn: pip install scikit-learn"
        raise NotInstalled(message) from error
    return np


@record
class DistinctSettings:
    """The distinct settings of some runs, and which of them each run has."""

    np: Any
    points: Any
    """A row a setting, a column a parameter, as trees take numbers."""
    places: Any
    """By run: its row of `points`."""
    scores: Any
    """By run."""

    @classmethod
    def of(
        cls, np: Any, codes: Sequence[Sequence[float]], scores: Sequence[float]
    ) -> DistinctSettings:
        """Return the settings of runs of which `codes` has the numbers, a parameter after the
        other."""
        table = np.ascontiguousarray(np.asarray(codes, dtype=np.float32).T)
        points, places = np.unique(table, axis=0, return_inverse=True)
        return cls(np, points, places.reshape(-1), np.asarray(scores, dtype=np.float64))

    @property
    def table(self) -> Any:
        """The settings of all runs."""
        return self.points[self.places]

    def tree(self, runs: Any, generator: Any, features: float | None = None) -> Any:
        """Return a tree that is grown from these runs, which may stand there several times."""
        from sklearn.tree import DecisionTreeRegressor

        places = self.places[runs]
        counts = self.np.bincount(places, minlength=len(self.points))
        sums = self.np.bincount(places, weights=self.scores[runs], minlength=len(self.points))
        used = self.np.flatnonzero(counts)
        weights = counts[used].astype(self.np.float64)
        tree = DecisionTreeRegressor(max_features=features, random_state=generator)
        tree.fit(self.points[used], sums[used] / weights, weights, check_input=False)
        return tree.tree_


def unchecked() -> Any:
    """Return a context in which trees do not check what is known to be fit, which would take as
    long as growing them."""
    from sklearn import config_context

    return config_context(assume_finite=True, skip_parameter_validation=True)


def predictions(np: Any, trees: Sequence[Any], points: Any) -> Any:
    """Return the mean of what these trees predict of each point."""
    return sum(tree.predict(points).reshape(-1) for tree in trees) / np.float64(len(trees))


def share_predicted(settings: DistinctSettings, seed: int) -> float:
    """Return R² of runs that trees were not grown from: what is explained, where nothing says what
    seeds do."""
    np, scores = settings.np, settings.scores
    generator, count = np.random.default_rng(seed), len(scores)
    draws = _draws(np, seed)
    sums, votes = np.zeros(count), np.zeros(count)
    for _ in range(_TREES_OUT_OF_BAG):
        runs = generator.integers(0, count, count)
        outside = np.ones(count, dtype=bool)
        outside[runs] = False
        tree = settings.tree(runs, draws)
        sums[outside] += tree.predict(settings.points).reshape(-1)[settings.places[outside]]
        votes[outside] += 1
    judged = votes > 0
    errors = scores[judged] - sums[judged] / votes[judged]
    whole = ((scores[judged] - scores[judged].mean()) ** 2).sum()
    return max(0.0, 1 - float((errors**2).sum() / whole)) if whole > 0 else 0.0


def shares_of_forests(settings: DistinctSettings, seed: int) -> Iterator[dict[Key, float]]:
    """Yield by parameter, and by pair of those that explain most, its share of the variance of what
    a forest predicts: first of one of all runs, then of forests of resampled runs."""
    np, count = settings.np, len(settings.scores)
    everyone, draws = np.arange(count), _draws(np, seed)
    whole = [settings.tree(everyone, draws, _FEATURES) for _ in range(_WHOLE_TREES)]
    single = Questions.of(settings, [(i,) for i in range(settings.points.shape[1])])
    main = single.shares(whole)
    best = sorted(sorted(main, key=lambda key: -main[key])[:PAIRED])
    pairs = [(i, j) for (i,), (j,) in itertools.combinations(best, 2)]
    double = Questions.of(settings, pairs)
    yield _beyond_each(main, double.shares(whole))
    generator = np.random.default_rng(seed)
    for _ in range(_FORESTS):
        sample = generator.integers(0, count, count)
        trees = [
            settings.tree(sample[generator.integers(0, count, count)], draws)
            for _ in range(_TREES_OF_EACH)
        ]
        yield _beyond_each(single.shares(trees), double.shares(trees))


def _draws(np: Any, seed: int) -> Any:
    """Return what all trees of a forest draw from: a generator a tree takes half as long to make as
    the tree."""
    return np.random.RandomState(seed)


def _beyond_each(main: Mapping[Key, float], pairs: Mapping[Key, float]) -> dict[Key, float]:
    beyond: dict[Key, float] = {
        (i, j): max(0.0, share - main[i,] - main[j,]) for (i, j), share in pairs.items()
    }
    return {**main, **beyond}


@record
class Questions:
    """Points at which forests are asked, so that the mean prediction at each combination of levels
    of some parameters can be told, the others as in the runs that were made."""

    settings: DistinctSettings
    keys: tuple[Key, ...]
    combinations: tuple[tuple[Any, Any], ...]
    """By key: how much each combination of levels weighs, and each setting of the others."""
    points: Any

    @classmethod
    def of(cls, settings: DistinctSettings, keys: Sequence[Key]) -> Questions:
        """Return the questions for these parameters and pairs."""
        np, table = settings.np, settings.table
        levels = {i: _levels(np, table[:, i]) for key in keys for i in key}
        sizes = [math.prod(len(levels[i][0]) for i in key) for key in keys]
        most = min(_ROWS, max(_FEWEST_ROWS, _MOST_QUESTIONS // max(1, sum(sizes))))
        rows = table[:: -(-len(table) // most)]
        parts, weights = [], []
        for key in keys:
            others = rows.copy()
            others[:, list(key)] = 0
            others, repeats = np.unique(others, axis=0, return_counts=True)
            values = np.array(list(itertools.product(*(levels[i][0] for i in key))))
            inputs = np.tile(others, (len(values), 1))
            inputs[:, list(key)] = np.repeat(values, len(others), axis=0)
            parts.append(inputs)
            level_weights = levels[key[0]][1]
            for i in key[1:]:
                level_weights = np.outer(level_weights, levels[i][1]).ravel()
            weights.append((level_weights, repeats))
        points = np.ascontiguousarray(np.concatenate(parts)) if parts else table[:0]
        return cls(settings, tuple(keys), tuple(weights), points)

    @cached_property
    def _ends(self) -> list[int]:
        sizes = (len(levels) * len(others) for levels, others in self.combinations)
        return list(itertools.accumulate(sizes, initial=0))

    def shares(self, trees: Sequence[Any]) -> dict[Key, float]:
        """Return by key its share of the variance of what these trees predict of the runs."""
        np = self.settings.np
        total = predictions(np, trees, self.settings.points)[self.settings.places].var()
        if total <= 0:
            return dict.fromkeys(self.keys, 0.0)
        answers, shares = predictions(np, trees, self.points), {}
        for place, (key, (levels, others)) in enumerate(
            zip(self.keys, self.combinations, strict=True)
        ):
            part = answers[self._ends[place] : self._ends[place + 1]]
            means = np.average(part.reshape(len(levels), len(others)), axis=1, weights=others)
            middle = np.average(means, weights=levels)
            shares[key] = float(np.average((means - middle) ** 2, weights=levels) / total)
        return shares


def _levels(np: Any, column: Any) -> tuple[Any, Any]:
    """Return the values at which a parameter is looked at, and how much each weighs."""
    values, counts = np.unique(column, return_counts=True)
    if len(values) > _LEVELS:
        values = np.quantile(column, (np.arange(_LEVELS) + 0.5) / _LEVELS, method="nearest")
        counts = np.ones(_LEVELS)
    return values, counts / counts.sum()
