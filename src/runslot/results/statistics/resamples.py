"""The draws of a bootstrap, and what many resamples give: runs are drawn anew from their group, as
wholes.

With numpy a resample is the number of times that each run is in it, so that it costs a walk along
runs that were sorted once, or a product of matrices; without it polars makes and sorts every
resample. Both take the same draws.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import polars as pl

_CELLS_AT_ONCE = 250_000
"""Numbers that are worked on at once: small enough to stay in a core's cache."""
_HUGE = 1e300
"""Stands for an infinite value, which times zero is no number."""
_DRAWS, _DRAWS_A_TASK = 1_000_000, 20_000
"""Draws that are made at once, and at least for each of many tasks, as each call for some has its
price."""


def draws(runs: int, repetitions: int, seed: int) -> pl.Series:
    """Return places of runs, `runs` of them for each repetition, one after the other; equal for
    equal arguments."""
    return pl.int_range(runs, dtype=pl.UInt32, eager=True).sample(
        runs * repetitions, with_replacement=True, seed=seed
    )


def portions(size: int, repetitions: int, tasks: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the number of each portion of repetitions and how many it has, so that memory grows
    with `size` alone."""
    most = max(1, max(_DRAWS, _DRAWS_A_TASK * tasks) // max(size, 1))
    for number, start in enumerate(range(0, repetitions, most)):
        yield number, min(most, repetitions - start)


def seed_of(seed: int, task: int, portion: int) -> int:
    """Return the seed of one task's draws in one portion: no two of a bootstrap share their
    draws."""
    return seed + 7919 * task + 104_729 * portion


def trimmed(column: str) -> pl.Expr:
    """Return `interquartile_mean` of a column without nulls, as an aggregation."""
    cut = pl.len() // 4
    return pl.col(column).sort().slice(cut, pl.len() - 2 * cut).mean()


def has_numpy() -> bool:
    """Tell whether numpy is installed: what takes a second without it takes a tenth with it."""
    return importlib.util.find_spec("numpy") is not None


def counts(runs: int, repetitions: int, seed: int) -> Any:
    """Return how often each run (rows) is in each resample (columns), as a numpy array of
    float32."""
    import numpy as np

    codes = draws(runs, repetitions, seed).to_numpy().astype(np.int64) * repetitions
    codes += np.arange(runs * repetitions) // runs
    # Runs × repetitions, so that a run's counts lie together; as float32 they are exact up to
    # 2**24.
    return (
        np.bincount(codes, minlength=runs * repetitions)
        .astype(np.float32)
        .reshape(runs, repetitions)
    )


def interval(group: pl.DataFrame, level: float, repetitions: int, seed: int) -> pl.DataFrame:
    """Return `x`, `low`, `high` of one group's curves (`run`, `x`, `y`): percentiles over resamples
    of its runs.

    A run that does not reach an x is not among those drawn there; a resample without any has no
    say.
    """
    runs = group["run"].unique(maintain_order=True)
    if not has_numpy():
        return _sorted_each(group, runs, draws(len(runs), repetitions, seed), level)
    return _counted(group, runs, counts(len(runs), repetitions, seed), level)


def _sorted_each(
    group: pl.DataFrame, runs: pl.Series, indices: pl.Series, level: float
) -> pl.DataFrame:
    table = pl.DataFrame(
        {
            "run": runs.gather(indices),
            "repetition": pl.int_range(len(indices), eager=True) // len(runs),
        }
    )
    values = group["x"].unique().sort()
    portion = max(1, 2 * _CELLS_AT_ONCE // table.height)
    parts = []
    for start in range(0, len(values), portion):
        stretch = values.slice(start, portion)
        points = group.filter(pl.col("x").is_between(stretch[0], stretch[-1]))
        resampled = (
            points.join(table, on="run").group_by("x", "repetition").agg(trimmed("y").alias("y"))
        )
        y = pl.col("y")
        low, high = y.quantile((1 - level) / 2, "linear"), y.quantile((1 + level) / 2, "linear")
        parts.append(resampled.group_by("x").agg(low=low, high=high))
    return pl.concat(parts)


def _counted(group: pl.DataFrame, runs: pl.Series, table: Any, level: float) -> pl.DataFrame:
    """Return the same by counts: the sum of a resample's middle half is a walk over its runs in
    order of y.

    With C(i) the number of draws among the i lowest runs, the middle half holds clip(C(i), q, n -
    q) - q of them: run i is in it as often as that grows from i - 1 to i.
    """
    import numpy as np

    count, repetitions = table.shape
    at = pl.DataFrame({"run": group["run"]}).join(
        pl.DataFrame({"run": runs, "at": pl.int_range(count, dtype=pl.UInt32, eager=True)}),
        on="run",
        how="left",
        maintain_order="left",
    )
    ordered = pl.DataFrame({"x": group["x"], "at": at["at"], "y": group["y"]}).sort("x", "y")
    lengths = ordered["x"].rle()
    xs, sizes = lengths.struct.field("value"), lengths.struct.field("len").to_list()
    places, ys = ordered["at"].to_numpy(), ordered["y"].to_numpy()
    bounds: list[Any] = []
    start = first = 0
    while first < len(xs):
        # As many neighbours as have equally many runs, and fit.
        size = sizes[first]
        most = min(first + max(1, _CELLS_AT_ONCE // (size * repetitions)), len(xs))
        last = next((i for i in range(first + 1, most) if sizes[i] != size), most)
        end = start + size * (last - first)
        means = _means(
            np, table, places[start:end].reshape(-1, size), ys[start:end].reshape(-1, size)
        )
        bounds.append(_percentiles(np, means, level))
        start, first = end, last
    low, high = (pl.Series(side).fill_nan(None) for side in np.concatenate(bounds, axis=1))
    return pl.DataFrame({"x": xs, "low": low, "high": high})


def _means(np: Any, table: Any, places: Any, ys: Any) -> Any:
    """Return the interquartile mean at some x (rows) of each resample (columns); `places` and `ys`
    in order of y."""
    sums = table[places]  # x × runs × resamples
    np.cumsum(sums, axis=1, out=sums)
    total = sums[:, -1].copy()
    cut = np.floor(total / 4)
    rest = total - cut
    if places.shape[1] == len(table):  # every run is there, so that every resample is as large
        np.clip(sums, cut[0, 0], rest[0, 0], out=sums)
    else:
        np.clip(sums, cut[:, None], rest[:, None], out=sums)
    # How often each run is in the middle half: small integers, exact, so that a huge run outside it
    # weighs nothing.
    sums[:, 1:] -= sums[:, :-1].copy()
    sums[:, 0] -= cut
    finite = np.nan_to_num(ys, posinf=_HUGE, neginf=-_HUGE)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (finite[:, None] @ sums.astype(np.float64))[:, 0] / (rest - cut)


def _percentiles(np: Any, means: Any, level: float) -> Any:
    has_nan = np.isnan(means).any()
    quantile = np.nanquantile if has_nan else np.quantile
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # an x that no resample reaches has no interval
        return quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=1)
