"""What is drawn of one score a run, as tables: for the page's figures, for paper figures, and for their data. Pure.

Each chart's `data` is what an export writes as CSV; Plotly and matplotlib only draw it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import BEST, FINAL, Results
from runslot.results.statistics import (
    band,
    bootstrap,
    importance,
    performance_profile,
    probability_of_improvement,
)
from runslot.results.summary import Mode, mode_of
from runslot.view.brushing import Scale, read_brushes, within
from runslot.view.choices import Choices
from runslot.view.choosing import Group, Groups, default_series, default_x, default_y, group, in_order, text_of
from runslot.view.curves import SAID
from runslot.view.palette import stroke

Mark = Literal["bars", "points", "profile", "scatter", "heat", "parallel"]
MOST_CELLS = 2500
MOST_GROUPS = 60
"""Bars of one figure; more of them are named as left out."""
_MOST_COMPARED = 7
"""Groups that are all compared with each other; of more, the best one is compared with the others."""
_THRESHOLDS = 101
_TASK = re.compile(r"(.*[._])?(env|environment|task|game|dataset|domain)(s|[._]?(id|name))?", re.IGNORECASE)
_QUICK, _ALL = 1000, 2000
_DRAWN = 400_000
"""Draws of runs that take about a tenth of a second."""
_MOST_JUDGED = 2000
"""Runs from which importance is computed while somebody waits."""


@dataclass(frozen=True)
class Chart:
    """One figure of a view."""

    mark: Mark
    metric: str
    split: str
    across: str
    """Title of the horizontal axis."""
    down: str
    """Title of the vertical axis."""
    data: pl.DataFrame
    """`bars`, `points`: `part` (`group`, or `run`), `label`, `colour`, `value`, `low`, `high`, `n`, a bar a label from
    the top. `profile`: `label`, `colour`, `dash`, `n`, `x`, `value`, `low`, `high`. `scatter`: `label`, `colour`,
    `index`, `run`, `x` (numbers or text), `value`. `heat`: `across`, `down`, `value`, `n`. `parallel`: `line`, `run`,
    `axis`, `place` (0 to 1), `text`, `value`, `brushed`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the drawing needs besides: `log` (axes), `limits` and `mark` (a line) of the axis of values, `order` of
    categories, `axes` of parallel coordinates."""


@dataclass(frozen=True)
class Charts:
    """All figures of a view, and what a caption has to say of them."""

    charts: tuple[Chart, ...]
    coloured: frozenset[int]
    """Indices of the groups that have a colour in them."""
    notes: tuple[str, ...]

    @property
    def marked(self) -> frozenset[str] | None:
        """Runs that pass the marked ranges of parallel coordinates; None where nothing is marked."""
        if not any(chart.settings.get("brush") for chart in self.charts):
            return None
        return frozenset(run for chart in self.charts for run in chart.data.filter(pl.col("brushed"))["run"])


def charts(chosen: Results, choices: Choices, everything: Results, *, quick: bool = False) -> Charts:
    """Compute the figures of every kind but curves and slots; with `quick`, with fewer resamplings, as the notes say.

    Raises `InvalidInput` for a metric or column that no run has, `NotInstalled` for what needs further packages.
    """
    metrics = [chosen.metric(name) for name in choices.y or default_y(chosen.metrics)]
    if not metrics:
        return Charts((), frozenset(), ("No run has logged a metric yet.",))
    keys = default_series(everything) if choices.series is None else choices.series
    series = group(chosen, keys, everything)
    notes: list[str] = []
    found: list[Chart] = []
    for metric in metrics:
        scored = _scored(chosen, metric, choices)
        view = _View(chosen, everything, choices, metric, scored, series, quick, notes)
        found += _KINDS[choices.kind](view)
    judged = f"each run judged by {judged_by(metrics, choices)}"
    coloured = {g.index for g in series.groups} if choices.kind in {"bars", "scatter", "profile"} else set()
    return Charts(tuple(found), frozenset(coloured), tuple(dict.fromkeys([*notes, judged])))


@dataclass(frozen=True)
class _View:
    """One metric of a view."""

    chosen: Results
    everything: Results
    choices: Choices
    metric: str
    scored: pl.DataFrame
    series: Groups
    quick: bool
    notes: list[str]

    @property
    def mode(self) -> Mode:
        return "min" if (self.choices.mode or mode_of(self.metric)) == "min" else "max"

    def splits(self) -> list[tuple[str, pl.DataFrame]]:
        """Return the scored runs of each figure, under what its title says."""
        splits = group(self.chosen, self.choices.split)
        place = pl.Series([splits.of[run] for run in self.scored["run"]], dtype=pl.Int64)
        return [(g.label if g.values else "", self.scored.filter(place == i)) for i, g in enumerate(splits.groups)]

    def grouped(self, scored: pl.DataFrame) -> list[tuple[Group, pl.DataFrame]]:
        """Return the runs of each series that has any and is not hidden."""
        place = pl.Series([self.series.of[run] for run in scored["run"]], dtype=pl.Int64)
        parts = [(found, scored.filter(place == i)) for i, found in enumerate(self.series.groups)]
        return [(found, own) for found, own in parts if own.height and found.label not in self.choices.hide]

    @property
    def tasks(self) -> tuple[str, ...]:
        return default_tasks(self.everything) if self.choices.tasks is None else self.choices.tasks


def default_tasks(results: Results) -> tuple[str, ...]:
    """Return the parameters that name tasks (`env`, `env_id`, `task`, `dataset`, …) and vary."""
    return tuple(name for name in results.varying if _TASK.fullmatch(name))


def axes(results: Results, choices: Choices) -> tuple[str, str]:
    """Return the columns across and down of a scatter or heat map; by default the parameters with the most values."""
    keys = sorted(results.varying, key=lambda key: -results.runs[key].n_unique())
    across = choices.across or (keys[0] if keys else "seed")
    down = choices.down or next((key for key in keys if key != across), "seed")
    for column in (across, down):
        if column not in results.runs.columns:
            raise InvalidInput(f"no run has a column {column!r}")
    return across, down


def judged_by(metrics: Sequence[str], choices: Choices) -> str:
    """Return in words what a run's score is."""
    by = choices.by
    if by == "auc":
        return "the area under its curve, divided by its length"
    if by != "best":
        return {"final": "its final value", "mean": "the mean of its values"}.get(by, f"the mean of its {by} values")
    ways = {"lowest" if (choices.mode or mode_of(metric)) == "min" else "highest" for metric in metrics}
    return f"its {' or '.join(sorted(ways))} value"


def heading(column: str) -> str:
    """Return a column's name for an axis."""
    for prefix, words in ((FINAL, "final"), (BEST, "best")):
        if column.startswith(prefix):
            return f"{column.removeprefix(prefix)} ({words})"
    return column


def _scored(chosen: Results, metric: str, choices: Choices) -> pl.DataFrame:
    mode = choices.mode or mode_of(metric) or "max"
    x = choices.x or default_x(chosen.metrics)
    scored = chosen.scores(metric, "min" if mode == "min" else "max", choices.by, x=x)
    scored = scored.filter(pl.col("score").is_finite())
    if choices.top:
        scored = scored.sort("score", descending=mode == "max").head(choices.top)
    return scored


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


def _bars(view: _View) -> list[Chart]:
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


def _improvement(view: _View) -> list[Chart]:
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


def _pair(view: _View, one: tuple[Group, pl.DataFrame], other: tuple[Group, pl.DataFrame]) -> tuple[Any, ...] | None:
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


def _say_tasks(view: _View, words: str) -> None:
    if view.tasks:
        view.notes.append(f"{words} {', '.join(view.tasks)}")


def _profile(view: _View) -> list[Chart]:
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
    view: _View, each: Group, own: pl.DataFrame, thresholds: Sequence[float], low_is_better: bool
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


def _importance(view: _View) -> list[Chart]:
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


def _scatter(view: _View) -> list[Chart]:
    across = axes(view.chosen, view.choices)[0]
    found = []
    for split, scored in view.splits():
        parts = []
        numeric = scored[across].dtype.is_numeric()
        for each, own in view.grouped(scored):
            x = own[across].cast(pl.Float64) if numeric else text_of(own[across])
            parts.append(
                pl.DataFrame({"run": own["run"], "x": x, "value": own["score"]}).select(
                    pl.lit(each.label).alias("label"),
                    pl.lit(stroke(each.index).colour).alias("colour"),
                    pl.lit(each.index).alias("index"),
                    "run",
                    "x",
                    "value",
                )
            )
        data = pl.concat(parts) if parts else pl.DataFrame(schema={"label": pl.String})
        order = () if numeric else tuple(in_order(text_of(scored[across])))
        log = ("x",) if numeric and _spans_decades(scored[across]) else ()
        settings = {"log": log, "order": order}
        found.append(Chart("scatter", view.metric, split, heading(across), view.metric, data, settings))
    return found


def _spans_decades(values: pl.Series) -> bool:
    positive = values.drop_nulls()
    low, high = positive.min(), positive.max()
    return isinstance(low, int | float) and isinstance(high, int | float) and low > 0 and high / low >= 50


def _heat(view: _View) -> list[Chart]:
    """Return a cell for each pair of values: the mean score over its runs, and how many they are."""
    across, down = axes(view.chosen, view.choices)
    scored = view.scored
    cells = pl.DataFrame({"across": text_of(scored[across]), "down": text_of(scored[down]), "value": scored["score"]})
    xs, ys = in_order(cells["across"]), in_order(cells["down"])
    if len(xs) * len(ys) > MOST_CELLS:
        raise InvalidInput(f"{len(xs)} × {len(ys)} cells are too many for a heat map; choose columns with fewer values")
    means = cells.group_by("across", "down", maintain_order=True).agg(pl.col("value").mean(), n=pl.len())
    settings = {"order": tuple(xs), "order_down": tuple(ys)}
    return [Chart("heat", view.metric, "", heading(across), heading(down), means, settings)]


def _parallel(view: _View) -> list[Chart]:
    """Return a line a run across an axis a parameter, to its score."""
    choices = view.choices
    keys = (default_series(view.everything) if choices.series is None else choices.series) or view.chosen.varying
    scored = view.scored
    columns = [*dict.fromkeys(key for key in keys if key in scored.columns), "score"]
    scales = [Scale.of(column, scored[column]) for column in columns]
    names = [heading(column) if column != "score" else f"{view.metric} ({choices.by})" for column in columns]
    passing = within(scored, choices.brush)
    parts = []
    for column, scale, name in zip(columns, scales, names, strict=True):
        texts = text_of(scored[column])
        parts.append(
            pl.DataFrame(
                {
                    "line": pl.int_range(scored.height, eager=True),
                    "run": scored["run"],
                    "axis": [name] * scored.height,
                    "place": pl.Series(scale.places(scored[column]), dtype=pl.Float64),
                    "text": texts,
                    "value": scored["score"],
                    "brushed": passing,
                }
            )
        )
    described = [
        {"column": column, "name": name, **scale.to_json()}
        for column, scale, name in zip(columns, scales, names, strict=True)
    ]
    settings = {"axes": described, "brush": read_brushes(choices.brush)}
    if choices.brush:
        view.notes.append(f"{int(passing.sum())} of {scored.height} runs pass the marked ranges; the others are grey")
    return [Chart("parallel", view.metric, "", "", "", pl.concat(parts), settings)]


_KINDS: Mapping[str, Any] = {
    "bars": _bars,
    "improvement": _improvement,
    "profile": _profile,
    "importance": _importance,
    "scatter": _scatter,
    "heat": _heat,
    "parallel": _parallel,
}
