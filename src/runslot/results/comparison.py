"""Variants side by side: one row each, mean and interval over its runs, best first within each
task; who was left out is counted.

Called by the table and by `runslot results --csv`. Which runs count is decided in
`runslot.results.accounts` alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from runslot.errors import InvalidInput
from runslot.experiment.states import STATES, UNDER_WAY, UNKNOWN
from runslot.quantiles import t_quantile
from runslot.record import record
from runslot.results.accounts import DIVERGED, Accounting, Rule, account
from runslot.results.results import Results
from runslot.results.statistics.curves import deviation
from runslot.results.statistics.magnitude import mean_of
from runslot.results.statistics.selection import optimism
from runslot.results.summary import Mode, default_metric, mode_of, says_which_way
from runslot.results.text.labels import task_of, texts_of

if TYPE_CHECKING:
    from runslot.results.trials import TrialPlace

Spread = Literal["mean-ci", "mean-std", "mean-sem"]
"""What stands after ±: half of Student's interval, the standard deviation of the sample, or the
standard error."""

TRIAL_COLUMNS = ("trial", "rung", "at_rung", "worth")
"""Of the table, where a search made the runs."""
_TASK = "_task"
"""A column beside those of the variants, while the table is made."""
_PARTS = ("final", "best")
_WORDS = ("mean", "std", "low", "high")


@record
class TaskChoice:
    """How the best variant of one task was chosen."""

    task: str
    """In words; empty where there are no tasks."""
    rivals: int
    """Variants with a value, from several seeds, that it was chosen from."""
    optimism: float | None
    """By how much its final is expected to be too good, since it was chosen by it; None where there
    is nothing to choose from."""


@dataclass(frozen=True)
class Comparison:
    """Variants × the final and best values of one metric."""

    results: Results
    metric: str | None
    """None where no run has a metric."""
    mode: Mode
    chosen: str
    """How metric and mode were chosen, in words; empty where both were given."""
    keys: tuple[str, ...]
    """The columns of `table` that tell the variants apart."""
    table: pl.DataFrame
    """Best first, task by task where there are tasks, whose scores have scales of their own:
    `keys`, `n` (runs that the row is over), `runs` (all that were asked for), and of both `final`
    and `best` a `_mean`, `_std` (of the sample, n - 1), `_low` and `_high` (Student's interval);
    these three are null for one run. Then a column a standing of runs that do not count
    (`diverged`, `failed`, …). Of a search, `trial` stands before `n`, and where it judged at rungs
    `rung`, the highest that the trial came to, and `at_rung`, what it was worth there; where it
    judges by another value than the mean of finals, `worth`, by which they stand. A variant of
    which a run diverged has NaN for values, and comes last, unless the rule says otherwise."""
    accounting: Accounting
    spread: Spread
    level: float
    tasks: tuple[str, ...]
    """Of each row of `table`, its task in words, as `env=pong`; empty where there are no tasks."""
    choices: tuple[TaskChoice, ...]
    """Of each task, in the order of `table`, how its best variant was chosen."""

    def of(self, results: Results) -> Comparison:
        """Return the same comparison of other runs."""
        rule = self.accounting.rule
        return compare(
            results,
            self.metric,
            self.mode,
            rule.include,
            diverged=rule.diverged,
            spread=self.spread,
            level=self.level,
        )

    @property
    def optimism(self) -> float | None:
        """By how much the first variant's final is expected to be too good."""
        return self.choices[0].optimism if self.choices else None

    @property
    def rivals(self) -> int:
        """Variants with a value, from several seeds, that the first one was chosen from."""
        return self.choices[0].rivals if self.choices else 0

    def best(self, limit: int | None) -> list[int]:
        """Return the places in `table` of the `limit` best variants of each task; of all, where
        there is no limit."""
        counts: Counter[str] = Counter()
        places = []
        for place, task in enumerate(self.tasks):
            counts[task] += 1
            if limit is None or counts[task] <= limit:
                places.append(place)
        return places

    @property
    def is_under_way(self) -> bool:
        """Whether further runs are to come, so that this look is one of several."""
        states = self.results.runs["state"]
        return bool(self.results.waiting) or bool(states.is_in(list(UNDER_WAY)).any())

    @property
    def states(self) -> dict[str, int]:
        """How many runs are in each state (`unknown`: the directory does not tell), those without a
        directory apart."""
        counts = {
            state or UNKNOWN: count
            for state, count in self.results.runs["state"].value_counts().iter_rows()
        }
        return dict(sorted(counts.items(), key=lambda item: (*STATES, UNKNOWN).index(item[0])))

    @property
    def left_out(self) -> dict[str, int]:
        """By state, how many runs do not count because of it."""
        return {
            state: count for state, count in self.accounting.standings.items() if state in STATES
        }

    def widths(self, part: str, rows: pl.DataFrame) -> list[float | None]:
        """Return what stands after ± for some rows of the table; `part` is `final` or `best`."""
        return [
            None if std is None or math.isnan(std) else std * self._factor(n)
            for std, n in rows.select(f"{part}_std", "n").iter_rows()
        ]

    def _factor(self, n: int) -> float:
        if self.spread == "mean-std":
            return 1.0
        return (t_quantile(self.level, n - 1) if self.spread == "mean-ci" else 1.0) / math.sqrt(n)

    @property
    def statistic(self) -> str:
        """What stands in the table, in words."""
        percent = f"{100 * self.level:.6g}"
        words = {
            "mean-ci": f"{percent} % t interval",
            "mean-std": "standard deviation",
            "mean-sem": "standard error",
        }
        return f"mean ± {words[self.spread]}"


def compare(
    results: Results,
    metric: str | None = None,
    mode: Mode | None = None,
    include: Collection[str] = (),
    *,
    diverged: str = "nan",
    spread: Spread = "mean-ci",
    level: float = 0.95,
) -> Comparison:
    """Compare the variants of `results` by one metric.

    Without `metric` the one that looks most like the objective is taken, of those that nearly all
    runs have; without `mode` its name decides, else higher is better. Runs that did not succeed
    count only if their state is in `include` (`all`: every run counts); `diverged` says what a run
    does that ended in nan or ±inf (`nan`, `worst`, `drop`).
    """
    if not 0 < level < 1:
        raise InvalidInput(f"level={level:g} is not between 0 and 1; 0.95 is usual")
    name = results.metric(metric) if metric is not None else default_metric(results.common_metrics)
    way = mode or (mode_of(name) if name else None)
    accounting = account(results, name, rule=Rule.of(include, diverged))
    whole = _by_variant(results, accounting, way or "max", level)
    table, tasks = whole.drop(_TASK), tuple(whole[_TASK])
    parts = {task: whole.filter(pl.col(_TASK) == task) for task in dict.fromkeys(tasks)}
    choices = [_choice(task, part, way or "max") for task, part in parts.items()] if name else []
    keys = tuple(_names(accounting.keys, bool(results.trials)).values())
    return Comparison(
        results,
        name,
        way or "max",
        _how_chosen(name, metric, mode, way),
        keys,
        table,
        accounting,
        spread,
        level,
        tasks,
        tuple(choices),
    )


def _how_chosen(name: str | None, metric: str | None, mode: Mode | None, way: Mode | None) -> str:
    if name is None:
        return ""
    parts = []
    if metric is None:
        why = "by its name" if says_which_way(name) else "though no name says what runs are for"
        parts.append(f"{name} was chosen {why} (--metric)")
    if mode is None:
        parts.append(
            f"{'higher' if way == 'max' else 'lower'} is taken for better (--mode)"
            if way
            else "the name does not say which way is better, so higher is taken (--mode)"
        )
    return ", ".join(parts)


def _by_variant(results: Results, accounting: Accounting, mode: Mode, level: float) -> pl.DataFrame:
    name = accounting.metric
    scores: dict[str, pl.Series] = {}
    for part in _PARTS[:1] if results.at else _PARTS:  # the best is of the whole log
        none = pl.Series([None] * results.runs.height, dtype=pl.Float64)
        scores[part] = accounting.scores(results.scores(name, mode, part), mode) if name else none
    rows = _means(accounting, scores)
    groups = accounting.groups
    names = _names(accounting.keys, bool(results.trials))
    keys = {
        names[key]: pl.Series(
            [group.values[place] for group in groups], dtype=results.runs.schema[key]
        )
        for place, key in enumerate(accounting.keys)
    }
    standings = [standing for standing in accounting.standings if standing in {DIVERGED, *STATES}]
    counts = {
        standing: [group.standings.get(standing, 0) for group in groups] for standing in standings
    }
    sizes = {"n": [group.n for group in groups], "runs": [group.asked for group in groups]}
    trials = _trials(trials_of(results, accounting), "" if results.at else name or "")
    numbers = pl.int_range(len(groups), dtype=pl.UInt32, eager=True)
    tasks = {_TASK: pl.Series(_tasks_of_groups(results, accounting), dtype=pl.String)}
    index = pl.DataFrame({"group": numbers, **keys, **trials, **sizes, **counts, **tasks})
    table = index.join(rows, on="group", how="left", maintain_order="left")
    n = pl.Series(
        [t_quantile(level, n - 1) / math.sqrt(n) if n > 1 else None for n in sizes["n"]],
        dtype=pl.Float64,
    )
    for part in scores:
        mean, width = pl.col(f"{part}_mean"), pl.col(f"{part}_std") * n
        table = table.with_columns(
            (mean - width).alias(f"{part}_low"), (mean + width).alias(f"{part}_high")
        )
    values = [f"{part}_{word}" for part in scores for word in _WORDS]
    order, descending = [pl.col("final_mean").fill_nan(None)], [mode == "max"]
    if "worth" in trials:
        order, descending = [pl.col("worth").fill_nan(None), *order], [mode == "max"] * 2
    if "rung" in trials:  # of those without a value, who came further
        order += [pl.col("rung"), pl.col("at_rung").fill_nan(None)]
        descending += [True, mode == "max"]
    order, descending = [pl.col(_TASK), *order], [False, *descending]
    table = table.sort(order, descending=descending, nulls_last=True, maintain_order=True)
    return table.select(*keys, *trials, "n", "runs", *values, *standings, _TASK)


def _means(accounting: Accounting, scores: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Return by `group` the mean and the deviation of each of these scores."""
    runs = accounting.runs.with_columns(**scores)
    parts = {f"{part}_std": deviation(part, scores[part]) for part in scores}
    rows = runs.group_by("group").agg(**parts, **{f"{part}_mean": part for part in scores})
    return rows.with_columns(
        pl.Series(f"{part}_mean", map(_mean, rows[f"{part}_mean"].to_list()), dtype=pl.Float64)
        for part in scores
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    """Return the mean of the runs that count, to the last digit that of the verdicts."""
    values = [score for score in scores if score is not None]
    if not values:
        return None
    return mean_of(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def _tasks_of_groups(results: Results, accounting: Accounting) -> list[str]:
    """Return the task of each group in words, as `runslot.results.members` has it."""
    tasks = [key for key in accounting.keys if key in accounting.scales]
    texts = {key: texts_of(results.runs[key].unique()) for key in tasks}
    places = [accounting.keys.index(key) for key in tasks]
    return [
        task_of(tasks, {key: group.values[i] for key, i in zip(tasks, places, strict=True)}, texts)
        for group in accounting.groups
    ]


def trials_of(results: Results, accounting: Accounting) -> list[TrialPlace | None]:
    """Return the trial of a search that each group is of; None where it is of several, or none."""
    by_group: list[set[TrialPlace | None]] = [set() for _ in accounting.groups]
    for run, group in accounting.runs.select("run", "group").iter_rows():
        by_group[group].add(results.trials.get(run))
    return [next(iter(places)) if len(places) == 1 else None for places in by_group]


def _trials(places: Sequence[TrialPlace | None], metric: str) -> dict[str, pl.Series]:
    """Return the columns of the trials, of their rungs, and of what they are worth by the metric
    where that is another value than is shown anyway; none where no search made the runs.
    """
    if not any(places):
        return {}
    columns = {"trial": pl.Series([p and p.trial for p in places], dtype=pl.Int64)}
    if any(place is not None and place.rung is not None for place in places):
        columns["rung"] = pl.Series([p and p.rung for p in places], dtype=pl.Int64)
        columns["at_rung"] = pl.Series([p and p.value for p in places], dtype=pl.Float64)
    if measure_of(places, metric):
        columns["worth"] = pl.Series([p and p.worth for p in places], dtype=pl.Float64)
    return columns


def measure_of(places: Iterable[TrialPlace | None], metric: str) -> str:
    """Return how the search behind trials judges by a metric, where all were judged alike; empty
    where that is the mean of final values.
    """
    measures = {p.measure if p.metric.casefold() == metric.casefold() else "" for p in places if p}
    return measures.pop() if len(measures) == 1 else ""


def _names(keys: Sequence[str], has_trials: bool) -> dict[str, str]:
    """Return the column of each key; one that is the name of a column here is `variant.KEY`, as
    among runs."""
    reserved = {
        "group",
        _TASK,
        *(TRIAL_COLUMNS if has_trials else ()),
        "n",
        "runs",
        DIVERGED,
        *STATES,
        *(f"{part}_{word}" for part in _PARTS for word in _WORDS),
    }
    return {key: f"variant.{key}" if key in reserved else key for key in keys}


def _choice(task: str, rows: pl.DataFrame, mode: Mode) -> TaskChoice:
    """Return how the first of one task's variants was chosen, unless another value ranks them."""
    rivals = rows.filter(
        pl.col("final_mean").is_finite() & pl.col("final_std").is_finite() & (pl.col("n") > 1)
    )
    if rivals.height < 2 or "worth" in rows.columns:
        return TaskChoice(task, rivals.height, None)
    errors = (rivals["final_std"] / rivals["n"].sqrt()).to_list()
    return TaskChoice(task, rivals.height, optimism(rivals["final_mean"].to_list(), errors, mode))
