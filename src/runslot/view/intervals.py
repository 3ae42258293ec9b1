"""Charts that compare groups of runs by their scores, with intervals: bars, improvement, profiles, importance. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.statistics import band, bootstrap, importance, performance_profile, probability_of_improvement
from runslot.view.chart import Chart, Mark, View
from runslot.view.choices import Choices
from runslot.view.choosing import Group, default_x, text_of
from runslot.view.curves import SAID
from runslot.view.palette import stroke

MOST_GROUPS = 60
"""Bars of one figure; more of them are named as left out."""
_MOST_COMPARED = 7
"""Groups that are all compared with each other; of more, the best one is compared with the others."""
_THRESHOLDS = 101
_QUICK, _ALL = 1000, 2000
_DRAWN = 400_000
"""Draws of runs that take about a tenth of a second."""
_MOST_JUDGED = 2000
"""Runs from which importance is computed while somebody waits."""

_INTERVALS = {
    "part": pl.String,
    "label": pl.String,
    "colour": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
}
_PART = "group"


def bars(view: View) -> list[Chart]:
    """Return a bar a group from zero, or a point, with the spread over its runs, and each run as a dot."""
    statistic = "mean-std" if view.choices.band == "runs" else view.choices.band
    words = SAID[statistic]
    tasks = view.tasks if statistic == "iqm" else ()
    if tasks:
        words += f", runs resampled within each {', '.join(tasks)}"
    view.notes.append(words)
    found = []
    for split, scored in view.splits():
        groups = view.grouped(scored)
        if len(groups) > MOST_GROUPS:
            view.notes.append(f"{len(groups) - MOST_GROUPS} groups are not drawn; filter, or group by fewer columns")
        rows: list[tuple[Any, ...]] = []
        for each, own in groups[:MOST_GROUPS]:
            colour = stroke(each.index).colour
            center, low, high = _center(own, statistic, tasks, view.quick)
            rows.append((_PART, each.label, colour, center, low, high, own.height))
            rows += [("run", each.label, colour, score, None, None, 1) for score in own["score"]]
        data = pl.DataFrame(rows, schema=_INTERVALS, orient="row")
        log = ("x",) if view.choices.log else ()
        settings = {"log": log, "limits": (view.choices.low, view.choices.high)}
        found.append(Chart("bars", view.metric, split, view.metric, "", data, settings))
    mark = _mark(view.choices, [chart.data for chart in found])
    return [dataclasses.replace(chart, mark=mark) for chart in found]


def _mark(choices: Choices, panels: Sequence[pl.DataFrame]) -> Mark:
    """Return bars where lengths from zero tell the groups of a figure apart, else points; or what was chosen."""
    if choices.draw in {"bars", "points"}:
        return "bars" if choices.draw == "bars" else "points"
    values = [[v for v in data.filter(part=_PART)["value"] if v is not None] for data in panels]
    apart = [max(some) - min(some) >= 0.2 * max(map(abs, some)) for some in values if some]
    return "bars" if any(apart) and not choices.log else "points"


def _center(
    own: pl.DataFrame, statistic: Any, tasks: Sequence[str], quick: bool
) -> tuple[float | None, float | None, float | None]:
    if statistic == "iqm":
        scores = list(_by_task(own, tasks).values())
        repetitions = max(200, min(_QUICK, _DRAWN // own.height)) if quick else _ALL
        interval = bootstrap(scores, repetitions=repetitions)
        return interval.estimate, interval.low, interval.high
    runs = own.select("run", x=pl.lit(0.0), y="score")
    center, low, high = band(runs, statistic).select("center", "low", "high").row(0)
    return center, low, high


def _by_task(own: pl.DataFrame, tasks: Sequence[str]) -> dict[tuple[str, ...], list[float]]:
    found: dict[tuple[str, ...], list[float]] = {}
    names = zip(*(text_of(own[task]) for task in tasks), strict=True) if tasks else iter([()] * own.height)
    for task, score in zip(names, own["score"], strict=True):
        found.setdefault(task, []).append(score)
    return dict(sorted(found.items()))


def improvement(view: View) -> list[Chart]:
    """Return how probable it is that a run of one group beats one of another, for each two of them."""
    _say_tasks(view, "compared within each")
    better = "lower" if view.mode == "min" else "higher"
    view.notes.insert(
        0, f"probability of improvement ({better} is better), 95 % bootstrap interval; 0.5: no difference"
    )
    found = []
    for split, scored in view.splits():
        groups = view.grouped(scored)
        groups.sort(key=_mean, reverse=view.mode == "max")
        if len(groups) > _MOST_COMPARED:
            view.notes.append("the best group is compared with each other one")
        pairs = [(a, b) for i, a in enumerate(groups) for b in groups[i + 1 :]]
        if len(groups) > _MOST_COMPARED:
            pairs = [(groups[0], other) for other in groups[1 : MOST_GROUPS + 1]]
        rows = [row for a, b in pairs if (row := _pair(view, a, b)) is not None]
        if pairs and not rows:
            raise InvalidInput(f"no two groups have a common {', '.join(view.tasks)}; choose other tasks, or none")
        data = pl.DataFrame(rows, schema=_INTERVALS, orient="row")
        settings = {"log": (), "limits": (-0.02, 1.02), "mark": 0.5}
        across = "probability of improvement"
        found.append(Chart("points", view.metric, split, across, "", data, settings))
    if all(chart.data.height == 0 for chart in found):
        raise InvalidInput("there is one group only; choose columns under “Groups by” that make two or more")
    return found


def _mean(pair: tuple[Group, pl.DataFrame]) -> float:
    mean = pair[1]["score"].mean()
    return mean if isinstance(mean, int | float) else 0.0


def _pair(view: View, one: tuple[Group, pl.DataFrame], other: tuple[Group, pl.DataFrame]) -> tuple[Any, ...] | None:
    mine, theirs = _by_task(one[1], view.tasks), _by_task(other[1], view.tasks)
    common = [task for task in mine if task in theirs]
    if not common:
        return None
    sign = -1 if view.mode == "min" else 1
    left, right = ([[sign * score for score in side[task]] for task in common] for side in (mine, theirs))
    n = sum(map(len, left)) + sum(map(len, right))
    repetitions = max(200, min(_QUICK, _DRAWN // n)) if view.quick else _ALL
    found = probability_of_improvement(left, right, repetitions=repetitions)
    label = f"{one[0].label} > {other[0].label}"
    return (_PART, label, stroke(one[0].index).colour, *found, n)


def _say_tasks(view: View, words: str) -> None:
    if view.tasks:
        view.notes.append(f"{words} {', '.join(view.tasks)}")


def profile(view: View) -> list[Chart]:
    """Return performance profiles: of each group the fraction of runs above each score, tasks weighing the same."""
    low_is_better = view.mode == "min"
    scaled = bool(view.tasks)
    above = "below" if low_is_better else "above"
    view.notes.insert(0, f"performance profiles: the fraction of runs {above} each score, 95 % bootstrap interval")
    if scaled:
        words = ", ".join(view.tasks)
        view.notes.append(f"scores scaled within each {words}: 0 the lowest of these runs, 1 the highest")
    found = []
    for split, runs in view.splits():
        scored = _scaled(runs, view.tasks) if scaled else runs
        groups = view.grouped(scored)[:MOST_GROUPS]
        values = scored["score"]
        lowest, highest = (float(v) if isinstance(v, int | float) else 0.0 for v in (values.min(), values.max()))
        step = (highest - lowest) / (_THRESHOLDS - 1)
        thresholds = [lowest + step * i for i in range(_THRESHOLDS)] if step else [lowest]
        parts = [_profile_of(view, each, own, thresholds, low_is_better) for each, own in groups]
        across = f"{view.metric}, scaled" if scaled else view.metric
        down = f"fraction of runs {above}"
        data = pl.concat(parts) if parts else pl.DataFrame()
        settings = {"log": (), "limits": (None, None)}
        found.append(Chart("profile", view.metric, split, across, down, data, settings))
    return found


def _profile_of(
    view: View, each: Group, own: pl.DataFrame, thresholds: Sequence[float], low_is_better: bool
) -> pl.DataFrame:
    sign = -1 if low_is_better else 1
    scores = [[sign * score for score in task] for task in _by_task(own, view.tasks).values()]
    repetitions = max(200, min(_QUICK, _DRAWN // own.height)) if view.quick else _ALL
    profile = performance_profile(scores, [sign * value for value in thresholds], repetitions=repetitions)
    drawn = stroke(each.index)
    return profile.select(
        label=pl.lit(each.label),
        colour=pl.lit(drawn.colour),
        dash=pl.lit(drawn.dash),
        n=pl.lit(own.height),
        x=pl.col("threshold") * sign,
        value="fraction",
        low="low",
        high="high",
    )


def _scaled(scored: pl.DataFrame, tasks: Sequence[str]) -> pl.DataFrame:
    score, keys = pl.col("score"), list(tasks)
    low, high = score.min().over(keys), score.max().over(keys)
    return scored.with_columns(score=pl.when(high > low).then((score - low) / (high - low)).otherwise(0.5))


def importances(view: View) -> list[Chart]:
    """Return the share of the variance of the scores that each parameter explains."""
    view.notes.insert(0, "share of the variance of the scores that each hyperparameter explains (fANOVA)")
    x = view.choices.x or default_x(view.chosen.metrics)
    some = view.chosen
    if view.quick and some.runs.height > _MOST_JUDGED:
        evenly = some.runs["run"].gather_every(-(-some.runs.height // _MOST_JUDGED))
        some = some.where(pl.col("run").is_in(evenly.implode()))
        view.notes.append(f"from {len(evenly)} of the {view.chosen.runs.height} runs, evenly chosen")
    shares = importance(some, view.metric, view.mode, view.choices.by, x=x)
    rows = [(_PART, name, "#0072B2", share, None, None, view.scored.height) for name, share in shares.items()]
    data = pl.DataFrame(rows, schema=_INTERVALS, orient="row")
    settings = {"log": (), "limits": (0.0, None)}
    return [Chart("bars", view.metric, "", "share of the variance", "", data, settings)]
