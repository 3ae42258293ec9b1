"""Charts that compare groups of runs by their scores, with intervals: bars, improvement, profiles,
importance. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.accounts import COUNTED, DIVERGED
from runslot.results.statistics import (
    Interval,
    band,
    bootstrap,
    divergence,
    mean_interval,
    performance_profile,
    probability_of_improvement,
    variance_shares,
)
from runslot.results.statistics.magnitude import mean_of
from runslot.results.statistics.selection import optimism
from runslot.results.summary import Mode
from runslot.view.data.chart import Chart, Mark, View
from runslot.view.data.choices import Choices
from runslot.view.data.groups import Group, default_x, text_of
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
_MOST_RUNS_JUDGED = 2000
"""Runs from which importance is computed while somebody waits."""

_MOST_PAIRS = 6
_SHARE_COLOUR, _PLAIN_COLOUR, _DIVERGED_COLOUR = "#0072B2", "#868E96", "#D55E00"

_INTERVALS = {
    "part": pl.String,
    "label": pl.String,
    "colour": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "diverged": pl.Int64,
    "n": pl.Int64,
}
_PART = "group"


def bars(view: View) -> list[Chart]:
    """Return a bar a group from zero, or a point, with the spread over its runs, and each run as a
    dot."""
    statistic = "auto" if view.choices.band == "runs" else view.choices.band
    tasks = view.pooled_tasks
    words = words_at(
        statistic, view.choices.level, {view.tallies[place].n for place in view.colours}
    )
    if tasks:
        words += f" within each {', '.join(tasks)}"
        view.notes.append(_scaling(tasks))
    fewest = _RESAMPLINGS
    charts = []
    for split, runs in view.splits():
        scored = _scaled(runs, tasks) if tasks else runs
        rows: list[tuple[Any, ...]] = []
        for member, scores in view.grouped(scored):
            colour = stroke(member.index).colour
            fewest = min(fewest, _repetitions(scores.height, view.quick))
            diverged = scores.filter(pl.col("standing") == DIVERGED).height
            used = scores.filter(pl.col("score").is_not_null())
            center, low, high = _center(used, statistic, tasks, view)
            rows.append((_PART, member.label, colour, center, low, high, diverged, used.height))
            counted = scores.filter(pl.col("standing") == COUNTED)
            rows += [
                ("run", member.label, colour, score, None, None, 0, 1) for score in counted["score"]
            ]
        data = pl.DataFrame(rows, schema=_INTERVALS, orient="row")
        log = ("x",) if view.choices.log else ()
        settings = {"log": log, "limits": (view.choices.low, view.choices.high)}
        across = f"{view.metric}, scaled" if tasks else view.metric
        charts.append(Chart("bars", view.metric, split, across, "", data, settings))
    if not tasks and len(charts) == 1:
        view.notes.extend(_selection(view))
    resampled = _said_repetitions(fewest) if statistic == "iqm" else ""
    view.notes[0] = view.accounting.line(f"{words}{resampled}")
    mark = _mark(view.choices, [chart.data for chart in charts])
    return [dataclasses.replace(chart, mark=mark) for chart in charts]


def _selection(view: View) -> list[str]:
    """Return by how much the best of the groups is expected to be too good, since its own runs make
    it the best."""
    groups = view.grouped(view.scored)
    scores = [
        used
        for _, group_scores in groups
        if len(used := group_scores["score"].drop_nulls()) > 1 and used.is_finite().all()
    ]
    if len(scores) < 2:
        return []
    means, errors = [], []
    for used in scores:
        deviation = used.std()
        means.append(mean_of(used.to_list()))
        errors.append(deviation / math.sqrt(len(used)) if isinstance(deviation, float) else 0.0)
    gain = optimism(means, errors, view.mode)
    way = "higher" if view.mode == "min" else "lower"
    return [
        f"the best of {len(scores)} is best by its own seeds: expect about {gain:.2g} {way} on new"
        " ones"
    ] * (gain > 0)


def _repetitions(runs: int, quick: bool) -> int:
    """Return how many resamplings an interval of so many runs takes."""
    return (
        max(200, min(_QUICK_RESAMPLINGS, _QUICK_DRAWS // max(runs, 1))) if quick else _RESAMPLINGS
    )


def _said_repetitions(repetitions: int) -> str:
    return f" of {repetitions} resamplings" if repetitions < _RESAMPLINGS else ""


def _scaling(tasks: Sequence[str]) -> str:
    words = ", ".join(tasks)
    return f"scores scaled within each {words}: 0 the lowest of these runs, 1 the highest"


def _mark(choices: Choices, panels: Sequence[pl.DataFrame]) -> Mark:
    """Return bars where lengths from zero tell the groups of a figure apart, else points; or what
    was chosen."""
    if choices.draw in {"bars", "points"}:
        return "bars" if choices.draw == "bars" else "points"
    values = [[v for v in data.filter(part=_PART)["value"] if v is not None] for data in panels]
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
    one."""
    finite = scored["score"].filter(scored["score"].is_finite())
    ends = finite.min() if mode == "max" else finite.max()
    worst = (float(ends) if isinstance(ends, int | float) else 0.0) + (
        -1.0 if mode == "max" else 1.0
    )
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
    if tasks:
        view.notes.append(f"compared within each {', '.join(tasks)}")
    charts = []
    for split, runs in view.splits():
        groups = view.grouped(_ordinal(runs, view.mode))
        groups.sort(key=_mean, reverse=view.mode == "max")
        if len(groups) > _MOST_COMPARED:
            view.notes.append("the best group is compared with each other one")
        pairs = [(a, b) for i, a in enumerate(groups) for b in groups[i + 1 :]]
        if len(groups) > _MOST_COMPARED:
            pairs = [(groups[0], other) for other in groups[1 : MOST_GROUPS + 1]]
        rows = [row for a, b in pairs if (row := _pair(view, tasks, a, b, fewest)) is not None]
        if pairs and not rows:
            raise InvalidInput(
                f"no two groups have a common {', '.join(tasks)}; choose other tasks, or none"
            )
        data = pl.DataFrame(rows, schema=_INTERVALS, orient="row")
        settings = {"log": (), "limits": (-0.02, 1.02), "mark": 0.5}
        across = "probability of improvement"
        charts.append(Chart("points", view.metric, split, across, "", data, settings))
    if all(chart.data.height == 0 for chart in charts):
        raise InvalidInput(
            "there is one group only; choose columns under “Groups by” (--series) that make two or"
            " more"
        )
    return charts


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
    return (_PART, label, stroke(first[0].index).colour, estimate, low, high, diverged, n)


def profile(view: View) -> list[Chart]:
    """Return performance profiles: of each group the fraction of runs above each score, tasks
    weighing the same."""
    low_is_better = view.mode == "min"
    tasks = view.pooled_tasks
    above = "below" if low_is_better else "above"
    repetitions = _repetitions(view.scored.height, view.quick)
    percent = f"{100 * view.choices.level:.4g} %"
    view.notes.append(
        f"performance profiles: the fraction of runs {above} each score, "
        f"{_band_words(view, percent, repetitions)}; a run that diverged is {above} none"
    )
    if tasks:
        view.notes.append(_scaling(tasks))
    charts = []
    for split, runs in view.splits():
        scored = _scaled(runs, tasks) if tasks else runs
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


def _band_words(view: View, percent: str, repetitions: int) -> str:
    sizes = {view.tallies[place].n + view.tallies[place].diverged for place in view.colours}
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


def _scaled(scored: pl.DataFrame, tasks: Sequence[str]) -> pl.DataFrame:
    """Return scores between 0 and 1 within each task; what is nan or nothing stays so."""
    score, keys = pl.col("score"), list(tasks)
    finite = pl.when(score.is_finite()).then(score)
    low, high = finite.min().over(keys), finite.max().over(keys)
    scaled = (
        pl.when(high > low)
        .then((score - low) / (high - low))
        .otherwise(pl.when(score.is_finite()).then(0.5))
    )
    return scored.with_columns(score=pl.when(score.is_finite()).then(scaled).otherwise(score))


def importances(view: View) -> list[Chart]:
    """Return what explains the variance of the scores, and beside it what each parameter does to
    divergence."""
    x = view.choices.x or default_x(view.selection)
    counted = view.accounting.counted()["run"]
    runs = view.selection
    if view.quick and len(counted) > _MOST_RUNS_JUDGED:
        evenly = counted.gather_every(-(-len(counted) // _MOST_RUNS_JUDGED))
        runs = runs.where(pl.col("run").is_in(evenly.implode()))
        view.notes.append(f"from {len(evenly)} of the {len(counted)} runs, evenly chosen")
    rule = view.accounting.rule
    shares = variance_shares(runs, view.metric, view.mode, view.choices.by, x=x, rule=rule)
    view.notes.append(
        "share of the variance of the scores that each hyperparameter explains by itself, that two"
        " explain together, and seeds; the interval is over random forests"
    )
    if shares.seeds is None:
        view.notes.append("too few runs of one variant tell what seeds explain")
    rows = [_share(name, share, shares.runs) for name, share in shares.main.items()]
    rows += [
        _share(" × ".join(pair), share, shares.runs)
        for pair, share in list(shares.pairs.items())[:_MOST_PAIRS]
    ]
    if shares.seeds is not None:
        rows.append((_PART, "seeds", _PLAIN_COLOUR, shares.seeds, None, None, 0, shares.runs))
    rows.append(
        (_PART, "nothing of these", _PLAIN_COLOUR, shares.unexplained, None, None, 0, shares.runs)
    )
    data = pl.DataFrame(rows, schema=_INTERVALS, orient="row")
    settings = {"log": (), "limits": (0.0, None)}
    charts = [Chart("bars", view.metric, "", "share of the variance", "", data, settings)]
    divergences = divergence(view.selection, view.metric, rule=rule, level=view.choices.level)
    if divergences["diverged"].sum():
        rows = [
            (_PART, f"{name}={value}", _DIVERGED_COLOUR, share, low, high, 0, n)
            for name, value, n, _, share, low, high in divergences.iter_rows()
        ]
        data = pl.DataFrame(rows, schema=_INTERVALS, orient="row")
        title = "probability to diverge"
        charts.append(
            Chart("points", view.metric, title, title, "", data, {"log": (), "limits": (0.0, 1.0)})
        )
    return charts


def _share(label: str, share: Interval, n: int) -> tuple[Any, ...]:
    low, high = (value if math.isfinite(value) else None for value in (share.low, share.high))
    return (_PART, label, _SHARE_COLOUR, share.estimate, low, high, 0, n)
