"""Charts that compare groups of runs by their scores, with intervals: bars, improvement, profiles.
Pure."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.accounts import COUNTED, DIVERGED
from runslot.results.statistics import (
    band,
    bootstrap,
    mean_interval,
    performance_profile,
    probability_of_improvement,
)
from runslot.results.statistics.magnitude import deviation_of, mean_of
from runslot.results.statistics.selection import optimism
from runslot.results.summary import Mode
from runslot.view.data.chart import Chart, Mark, View, scaled_scores, scaling_words
from runslot.view.data.choices import Choices
from runslot.view.data.groups import Group, text_of
from runslot.view.data.marks import stroke
from runslot.view.data.spread import FEW_RUNS, words_at

MOST_GROUPS = 60
"""Bars of one figure; more of them are named as left out."""
_MOST_COMPARED = 7
"""Groups that are all compared with each other; of more, the best one is compared with the
others."""
_THRESHOLDS = 101
_QUICK_RESAMPLINGS, _RESAMPLINGS = 1000, 2000
_QUICK_DRAWS = 400_000
"""Draws of runs that take about a tenth of a second."""
_TASKS_SAID = 3
"""Tasks of which a caption says by how much the best is too good."""

INTERVALS = {
    "part": pl.String,
    "label": pl.String,
    "colour": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "diverged": pl.Int64,
    "n": pl.Int64,
}
PART = "group"


def bars(view: View) -> list[Chart]:
    """Return a bar a group from zero, or a point, with the spread over its runs, and each run as a
    dot."""
    statistic = "auto" if view.choices.band == "runs" else view.choices.band
    tasks = view.pooled_tasks
    if tasks:
        view.notes.append(scaling_words(tasks))
    sizes: set[int] = set()
    fewest = _RESAMPLINGS
    charts = []
    for split, runs in view.splits():
        scored = scaled_scores(runs, tasks) if tasks else runs
        rows: list[tuple[Any, ...]] = []
        for member, scores in view.grouped(scored):
            colour = stroke(member.index).colour
            fewest = min(fewest, _repetitions(scores.height, view.quick))
            diverged = scores.filter(pl.col("standing") == DIVERGED).height
            used = scores.filter(pl.col("score").is_not_null())
            center, low, high = _center(used, statistic, tasks, view)
            n = int(used["score"].is_finite().sum())
            rows.append((PART, member.label, colour, center, low, high, diverged, n))
            sizes |= set() if center is None else {n}
            counted = scores.filter(pl.col("standing") == COUNTED)
            rows += [
                ("run", member.label, colour, score, None, None, 0, 1) for score in counted["score"]
            ]
        data = pl.DataFrame(rows, schema=INTERVALS, orient="row")
        log = ("x",) if view.choices.log else ()
        settings = {"log": log, "limits": (view.choices.low, view.choices.high)}
        across = f"{view.metric}, scaled" if tasks else view.metric
        charts.append(Chart("bars", view.metric, split, across, "", data, settings))
    if not tasks and len(charts) == 1:
        view.notes.extend(_selection(view))
    words = words_at(statistic, view.choices.level, sizes)
    words += f" within each {', '.join(tasks)}" if tasks else ""
    resampled = _said_repetitions(fewest) if statistic == "iqm" else ""
    view.notes[0] = view.accounting.line(f"{words}{resampled}")
    mark = _mark(view.choices, [chart.data for chart in charts])
    return [dataclasses.replace(chart, mark=mark) for chart in charts]


def _selection(view: View) -> list[str]:
    """Return by how much the best of the groups, of each task, is expected to be too good, since
    its own runs make it the best."""
    by_group: dict[int, list[float]] = {}
    for run, score in view.everyone.select("run", "score").drop_nulls().iter_rows():
        by_group.setdefault(view.series.of[run], []).append(score)
    by_task: dict[str, list[list[float]]] = {}
    for place, used in sorted(by_group.items()):
        if len(used) > 1 and all(map(math.isfinite, used)):
            by_task.setdefault(view.task_of(view.series.groups[place]), []).append(used)
    way = "higher" if view.mode == "min" else "lower"
    words = []
    for task, scores in by_task.items():
        means = [mean_of(used) for used in scores]
        errors = [deviation_of(used) / math.sqrt(len(used)) for used in scores]
        gain = optimism(means, errors, view.mode) if len(scores) > 1 else 0.0
        if gain > 0:
            words.append(
                f"{f'{task}: ' if task else ''}the best of {len(scores)} is best by its own seeds:"
                f" expect about {gain:.2g} {way} on new ones"
            )
    more = len(words) - _TASKS_SAID
    return [*words[:_TASKS_SAID], *([f"and so in {more} more tasks"] if more > 0 else [])]


def _repetitions(runs: int, quick: bool) -> int:
    """Return how many resamplings an interval of so many runs takes."""
    return (
        max(200, min(_QUICK_RESAMPLINGS, _QUICK_DRAWS // max(runs, 1))) if quick else _RESAMPLINGS
    )


def _said_repetitions(repetitions: int) -> str:
    return f" of {repetitions} resamplings" if repetitions < _RESAMPLINGS else ""


def _mark(choices: Choices, panels: Sequence[pl.DataFrame]) -> Mark:
    """Return bars where lengths from zero tell the groups of a figure apart, else points; or what
    was chosen."""
    if choices.draw in {"bars", "points"}:
        return "bars" if choices.draw == "bars" else "points"
    values = [[v for v in data.filter(part=PART)["value"] if v is not None] for data in panels]
    apart = [
        max(numbers) - min(numbers) >= 0.2 * max(map(abs, numbers)) for numbers in values if numbers
    ]
    return "bars" if any(apart) and not choices.log else "points"


def _center(
    used: pl.DataFrame, statistic: Any, tasks: Sequence[str], view: View
) -> tuple[float | None, float | None, float | None]:
    """Return the middle of a group's scores and its interval; nothing where one diverged and the
    rule says so."""
    if not used.height or not used["score"].is_finite().all():
        return None, None, None
    level = view.choices.level
    if statistic in {"auto", "mean-ci"} or (statistic == "iqm"):
        scores = list(_by_task(used, tasks).values())
        if statistic == "iqm":
            interval = bootstrap(
                scores, level=level, repetitions=_repetitions(used.height, view.quick)
            )
        else:
            interval = mean_interval(scores, level=level)
        has_interval = math.isfinite(interval.low) and (
            statistic != "auto" or used.height >= FEW_RUNS
        )
        return (
            (interval.estimate, interval.low, interval.high)
            if has_interval
            else (interval.estimate, None, None)
        )
    runs = used.select("run", x=pl.lit(0.0), y="score")
    center, low, high = band(runs, statistic, level=level).select("center", "low", "high").row(0)
    return center, low, high


def _by_task(scored: pl.DataFrame, tasks: Sequence[str]) -> dict[tuple[str, ...], list[float]]:
    scores: dict[tuple[str, ...], list[float]] = {}
    names = (
        zip(*(text_of(scored[task]) for task in tasks), strict=True)
        if tasks
        else iter([()] * scored.height)
    )
    for task, score in zip(names, scored["score"], strict=True):
        scores.setdefault(task, []).append(score)
    return dict(sorted(scores.items()))


def _ordinal(scored: pl.DataFrame, mode: Mode) -> pl.DataFrame:
    """Return runs with scores that can be ordered: one that diverged is worse than every other
    one, however large these are."""
    worst = -math.inf if mode == "max" else math.inf
    return scored.filter(pl.col("score").is_not_null()).with_columns(
        pl.col("score").fill_nan(worst)
    )


def improvement(view: View) -> list[Chart]:
    """Return how probable it is that a run of one group beats one of another, for each two of
    them."""
    tasks = view.pooled_tasks
    better = "lower" if view.mode == "min" else "higher"
    fewest = min((_repetitions(view.scored.height, view.quick), _RESAMPLINGS))
    percent = f"{100 * view.choices.level:.4g} %"
    view.notes.append(
        f"probability of improvement ({better} is better), {percent}"
        f" interval{_said_repetitions(fewest)}; 0.5: no difference"
    )
    apart = [task for task in view.tasks if task in (*view.series.keys, *tasks)]
    if apart:
        view.notes.append(f"compared within each {', '.join(apart)}")
    charts = []
    for split, runs in view.splits():
        pairs = _pairs(view, view.grouped(_ordinal(runs, view.mode)))
        rows = [row for a, b in pairs if (row := _pair(view, tasks, a, b, fewest)) is not None]
        if pairs and not rows:
            raise InvalidInput(
                f"no two groups have a common {', '.join(tasks)}; choose other tasks, or none"
            )
        data = pl.DataFrame(rows, schema=INTERVALS, orient="row")
        settings = {"log": (), "limits": (-0.02, 1.02), "mark": 0.5}
        across = "probability of improvement"
        charts.append(Chart("points", view.metric, split, across, "", data, settings))
    if all(chart.data.height == 0 for chart in charts):
        whose = f" of each {', '.join(apart)}" if apart else ""
        raise InvalidInput(
            f"there is one group only{whose}; choose columns under “Groups by” (--series) that make"
            " two or more"
        )
    return charts


_Scored = tuple[Group, pl.DataFrame]


def _pairs(view: View, groups: Sequence[_Scored]) -> list[tuple[_Scored, _Scored]]:
    """Return which groups are compared: those of one task, each two of a few, or the best one with
    each other one."""
    by_task: dict[str, list[_Scored]] = {}
    for pair in sorted(groups, key=_mean, reverse=view.mode == "max"):
        by_task.setdefault(view.task_of(pair[0]), []).append(pair)
    rivals = by_task.values()
    most = max(map(len, rivals), default=0)
    count = sum(len(group) * (len(group) - 1) // 2 for group in rivals)
    if most <= _MOST_COMPARED and (len(by_task) < 2 or count <= MOST_GROUPS):
        return [pair for group in rivals for pair in itertools.combinations(group, 2)]
    whose = " of each task" if len(by_task) > 1 else ""
    view.notes.append(f"the best group{whose} is compared with each other one")
    pairs = [(group[0], other) for group in rivals for other in group[1:]]
    if len(pairs) > MOST_GROUPS:
        view.notes.append(f"{MOST_GROUPS} of {len(pairs)} comparisons are shown")
    return pairs[:MOST_GROUPS]


def _mean(pair: tuple[Group, pl.DataFrame]) -> float:
    mean = pair[1]["score"].mean()
    return mean if isinstance(mean, int | float) else 0.0


def _pair(
    view: View,
    tasks: Sequence[str],
    first: tuple[Group, pl.DataFrame],
    second: tuple[Group, pl.DataFrame],
    repetitions: int,
) -> tuple[Any, ...] | None:
    first_scores, second_scores = _by_task(first[1], tasks), _by_task(second[1], tasks)
    common = [task for task in first_scores if task in second_scores]
    if not common:
        return None
    lacking = [
        f"{member.label} lacks"
        f" {', '.join(' '.join(task) for task in further if task not in tasks_of_member)}"
        for (member, _), tasks_of_member, further in (
            (first, first_scores, second_scores),
            (second, second_scores, first_scores),
        )
        if any(task not in tasks_of_member for task in further)
    ]
    if lacking:
        count = len(set(first_scores) | set(second_scores))
        note = (
            f"{first[0].label} and {second[0].label} are compared on {len(common)} of {count}:"
            f" {'; '.join(lacking)}"
        )
        view.notes.append(note)
    sign = -1 if view.mode == "min" else 1
    better, worse = (
        [[sign * score for score in side[task]] for task in common]
        for side in (first_scores, second_scores)
    )
    n = sum(map(len, better)) + sum(map(len, worse))
    interval = probability_of_improvement(
        better, worse, level=view.choices.level, repetitions=repetitions
    )
    estimate, low, high = (None if math.isnan(value) else value for value in interval)
    label = f"{first[0].label} > {second[0].label}"
    diverged = sum(
        side.filter(pl.col("standing") == DIVERGED).height for _, side in (first, second)
    )
    return (PART, label, stroke(first[0].index).colour, estimate, low, high, diverged, n)


def profile(view: View) -> list[Chart]:
    """Return performance profiles: of each group the fraction of runs above each score, tasks
    weighing the same."""
    low_is_better = view.mode == "min"
    tasks = view.pooled_tasks
    above = "below" if low_is_better else "above"
    repetitions = _repetitions(view.scored.height, view.quick)
    percent = f"{100 * view.choices.level:.4g} %"
    sizes = {
        scores.height
        for _, runs in view.splits()
        for _, scores in view.grouped(_ordinal(runs, view.mode))
    }
    view.notes.append(
        f"performance profiles: the fraction of runs {above} each score, "
        f"{_band_words(view, sizes, percent, repetitions)}; a run that diverged is {above} none"
    )
    if tasks:
        view.notes.append(scaling_words(tasks))
    charts = []
    for split, runs in view.splits():
        scored = scaled_scores(runs, tasks) if tasks else runs
        values = scored["score"].filter(scored["score"].is_finite())
        lowest, highest = (
            float(v) if isinstance(v, int | float) else 0.0 for v in (values.min(), values.max())
        )
        step = (highest - lowest) / (_THRESHOLDS - 1)
        thresholds = [lowest + step * i for i in range(_THRESHOLDS)] if step else [lowest]
        groups = view.grouped(_ordinal(scored, view.mode))
        parts = [
            _profile_of(view, tasks, member, scores, thresholds, repetitions)
            for member, scores in groups
        ]
        across = f"{view.metric}, scaled" if tasks else view.metric
        down = f"fraction of runs {above}"
        data = pl.concat(parts) if parts else pl.DataFrame()
        settings = {"log": (), "limits": (None, None)}
        charts.append(Chart("profile", view.metric, split, across, down, data, settings))
    return charts


def _has_band(view: View, runs: int) -> bool:
    """Tell whether a profile of so many runs has a band: one of few runs holds less often than it
    says."""
    return runs >= FEW_RUNS or (runs > 1 and view.choices.band not in {"auto", "runs"})


def _band_words(view: View, sizes: Collection[int], percent: str, repetitions: int) -> str:
    if not any(_has_band(view, size) for size in sizes):
        return f"without intervals, since no group has {FEW_RUNS} runs"
    restriction = (
        ""
        if all(_has_band(view, size) for size in sizes)
        else f" (of groups of {FEW_RUNS} runs or more)"
    )
    kind = "simultaneous" if view.choices.simultaneous else "pointwise"
    return f"{kind} {percent} bootstrap interval{_said_repetitions(repetitions)}{restriction}"


def _profile_of(
    view: View,
    tasks: Sequence[str],
    member: Group,
    runs: pl.DataFrame,
    thresholds: Sequence[float],
    repetitions: int,
) -> pl.DataFrame:
    sign = -1 if view.mode == "min" else 1
    scores = [[sign * score for score in task] for task in _by_task(runs, tasks).values()]
    limits = [sign * value for value in thresholds]
    profile = performance_profile(
        scores,
        limits,
        level=view.choices.level,
        repetitions=repetitions,
        simultaneous=bool(view.choices.simultaneous),
        band=_has_band(view, runs.height),
    )
    style = stroke(member.index)
    return profile.select(
        label=pl.lit(member.label),
        colour=pl.lit(style.colour),
        dash=pl.lit(style.dash),
        n=pl.lit(runs.height),
        x=pl.col("threshold") * sign,
        value="fraction",
        low="low",
        high="high",
    )
