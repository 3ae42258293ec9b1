"""Which runs count for a figure, and which of its series are drawn where there are more than can be
told apart. Pure.

Curves and charts ask it, so that all say the same. Groups are ranked, never runs; a group that has
no value, because a run of it diverged, ranks last.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from runslot.experiment.states import UNKNOWN
from runslot.record import record
from runslot.results.accounts import DIVERGED, Accounting, Rule, account
from runslot.results.results import Results
from runslot.results.statistics.magnitude import mean_of
from runslot.results.summary import Mode, mode_of
from runslot.view.data.choices import Choices
from runslot.view.data.groups import Group, Groups, default_x
from runslot.view.data.marks import DISTINCT

BEST_SERIES = 10
"""Series that are drawn where there are more than can be told apart."""


@record
class Tally:
    """How many runs a series has: those that its statistic is over, all, and those that
    diverged."""

    n: int
    total: int
    diverged: int
    figures: int = 1
    """In how many figures these runs are drawn, where figures are split."""

    def __str__(self) -> str:
        words = f"n={self.n}" if self.n == self.total else f"n={self.n} of {self.total}"
        words = f"{words}, {self.diverged} diverged" if self.diverged else words
        return f"{words} in {self.figures} figures" if self.figures > 1 else words


def mode_for(choices: Choices, metric: str) -> Mode:
    """Return which way is better."""
    return "min" if (choices.mode or mode_of(metric)) == "min" else "max"


def rule_of(choices: Choices, *, curves: bool) -> Rule:
    """Return the rule of who counts; states that were chosen to be shown count, too."""
    include = [*choices.include, *(state for state in choices.state if state != UNKNOWN)]
    return Rule.of(include, choices.diverged, curves=curves)


def account_of(
    selection: Results,
    metric: str,
    choices: Choices,
    series: Groups,
    tasks: Sequence[str] = (),
    *,
    scales: Sequence[str],
    curves: bool = False,
) -> Accounting:
    """Say of each run whether it counts, in the groups that are drawn: of series, and of figures.

    `tasks` are columns within which the statistic works, `scales` all that are tasks.
    """
    keys = list(dict.fromkeys((*series.keys, *choices.split)))
    return account(
        selection, metric, keys, rule=rule_of(choices, curves=curves), tasks=tasks, scales=scales
    )


def scores_of(
    selection: Results, metric: str, choices: Choices, accounting: Accounting
) -> pl.DataFrame:
    """Return the runs with `standing` and `score` as a statistic has to take it
    (`Accounting.scores`)."""
    x = choices.x or default_x(selection)
    mode = mode_for(choices, metric)
    scored = selection.scores(metric, mode, choices.by, x=x)
    standing = scored.select("run").join(
        accounting.runs.select("run", "standing"), on="run", how="left", maintain_order="left"
    )
    return scored.with_columns(standing["standing"], accounting.scores(scored, mode).alias("score"))


def tallies(accounting: Accounting, series: Groups, splits: Groups) -> Mapping[int, Tally]:
    """Return by place of a series how many runs it has, in all figures together."""
    used = set(accounting.counted()["run"])
    n: dict[int, int] = {}
    totals: dict[int, int] = {}
    diverged: dict[int, int] = {}
    figures: dict[int, set[int]] = {}
    for run, standing in accounting.runs.select("run", "standing").iter_rows():
        place = series.of[run]
        totals[place] = totals.get(place, 0) + 1
        figures.setdefault(place, set()).add(splits.of[run])
        n[place] = n.get(place, 0) + (run in used)
        diverged[place] = diverged.get(place, 0) + (standing == DIVERGED)
    return {
        place: Tally(n[place], totals[place], diverged[place], len(figures[place]))
        for place in totals
    }


def best_of(
    scored: pl.DataFrame,
    series: Groups,
    mode: Mode,
    among: Collection[int],
    limit: int,
    tasks: Sequence[str] = (),
) -> list[int]:
    """Return the places of the `limit` best series, best first, by the mean score of their runs;
    those without a value last.

    Where `tasks` tell series apart, whose scores have scales of their own, as many of each task are
    taken, and stand task by task.
    """
    order = _ranked(scored, series, mode, among)
    keys = [at for at, key in enumerate(series.keys) if key in tasks]
    by_task: dict[tuple[Any, ...], list[int]] = {}
    for place in order:
        task = tuple(series.groups[place].values[at] for at in keys)
        by_task.setdefault(task, []).append(place)
    turns = sorted(
        (at, number, place)
        for number, places in enumerate(by_task.values())
        for at, place in enumerate(places)
    )
    chosen = {place for _, _, place in turns[:limit]}
    return [place for places in by_task.values() for place in places if place in chosen]


def _ranked(scored: pl.DataFrame, series: Groups, mode: Mode, among: Collection[int]) -> list[int]:
    """Return the places of series, best first, by the mean score of their runs; those without a
    value last."""
    sums: dict[int, list[float]] = {}
    for run, score in scored.select("run", "score").iter_rows():
        if score is not None:
            sums.setdefault(series.of[run], []).append(score)
    sign = -1 if mode == "max" else 1

    def rank(place: int) -> tuple[bool, float, int]:
        values = sums.get(place, [])
        mean = mean_of(values) if values and all(map(math.isfinite, values)) else math.nan
        return (True, 0.0, place) if math.isnan(mean) else (False, sign * mean, place)

    return sorted(among, key=rank)


def limit_of(choices: Choices, count: int, most: int = DISTINCT) -> int:
    """Return how many of so many series are drawn."""
    if choices.top:
        return min(choices.top, count)
    return count if count <= most else min(BEST_SERIES, most)


def best_words(
    choices: Choices,
    series: Groups,
    identity: Sequence[str],
    limit: int,
    count: int,
    tasks: Sequence[str],
) -> str:
    """Return what a caption says of series that are left out:
    `10 of 50 variants, best by final`."""
    kind = "variants" if set(identity) <= set(series.keys) else "groups"
    caveat = "" if limit < 1 or not count else " (chosen by these same runs, which flatters them)"
    among = [key for key in series.keys if key in tasks]
    within = f" within each {', '.join(among)}" if among else ""
    return f"{limit} of {count} {kind}, best by {choices.by}{within}{caveat}"


def coloured(groups: Sequence[Group], places: Sequence[int]) -> dict[int, int]:
    """Return by place of a drawn series the number of its colour: its own, or its rank where there
    are too many."""
    numbers = {place: groups[place].index for place in places}
    if len(set(numbers.values())) == len(numbers) and max(numbers.values(), default=0) < DISTINCT:
        return numbers
    return {place: rank for rank, place in enumerate(places)}
