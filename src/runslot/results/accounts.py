"""Who counts: the one rule by which runs enter a statistic, and the sentences that say it. Pure.

`account` is called by the table, `export`, `best`, importance and every figure of `runslot.view`;
none of them decides by itself. What must stay true: each run has exactly one standing, the
standings of all groups add up to all runs, and a run that diverged is never left out in silence.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from runslot.record import record
from runslot.results.standings import (
    COUNTED,
    DIVERGED,
    WITHOUT,
    Diverged,
    Rule,
    in_order,
    standing_of,
    standings_used,
)
from runslot.results.summary import Mode
from runslot.results.text.labels import label_of, texts_of

if TYPE_CHECKING:
    from runslot.results.results import Results

__all__ = [
    "COUNTED",
    "DIVERGED",
    "WITHOUT",
    "Accounting",
    "Diverged",
    "GroupAccount",
    "Rule",
    "account",
    "tasks_of",
]
_TREATED: Mapping[Diverged, str] = {"nan": "", "drop": " (dropped)", "worst": " (as the worst)"}
_STANDING, _GROUP, _COUNT = "_standing", "_group", "_count"
"""Columns beside those of the variants, which may have any other name."""
_TASK = re.compile(
    r"(.*[._])?(env|environment|task|game|dataset|domain)(s|[._]?(id|name))?", re.IGNORECASE
)
_GROUPS_NAMED = 3
"""Groups that a note names; of more it says how many."""


@record
class GroupAccount:
    """The runs of one group: by default, of one variant."""

    values: tuple[Any, ...]
    """Of the columns that make groups."""
    label: str
    """`lr=0.1, hidden=32`; different groups have different labels."""
    asked: int
    """Runs of the group, whatever became of them, also those that have no directory yet."""
    n: int
    """Runs that the group's statistic is over: those counted, and with `--diverged worst` the
    diverged ones."""
    standings: Mapping[str, int]
    """By standing, how many runs."""
    repeated: Mapping[int | str, int]
    """Seeds that a variant of it has more than once, and how often: no further evidence."""
    rows: tuple[int, int] | None
    """Fewest and most rows of the runs that count; None where none does."""

    has_value: bool
    """Whether a statistic of the group may be given: some run counts, and none diverged unless the
    rule allows it."""

    @property
    def left_out(self) -> int:
        """Runs that the group's statistic is not over."""
        return self.asked - self.n


@dataclass(frozen=True)
class Accounting:
    """Which runs count for a statistic of one metric, by group, and what is to be said of it."""

    metric: str | None
    keys: tuple[str, ...]
    """The columns whose values make a group."""
    tasks: tuple[str, ...]
    """Columns within which a statistic compares and resamples, so that it does not pool over
    them."""
    scales: tuple[str, ...]
    """Columns whose values are tasks, each with scores of a scale of its own."""
    rule: Rule
    runs: pl.DataFrame
    """A row a run, in the order of the results: `run`, `standing`, `group` (its place in
    `groups`)."""
    groups: tuple[GroupAccount, ...]
    """In the order of their first runs."""
    standings: Mapping[str, int]
    """By standing, how many of all runs, in the order in which they are said."""
    running: int
    """Runs among those counted that are still running."""
    pooled: tuple[str, ...]
    """Parameters in which the counted runs of some group differ: what the statistic pools over,
    tasks apart."""
    equal_logs: tuple[tuple[str, ...], ...]
    """Runs of one variant that logged the very same numbers."""
    texts: tuple[str, ...]
    """Runs without a number of the metric that logged text in its place."""
    has_seeds: bool
    """Whether each run that a statistic is over has a seed that is known."""
    waiting: int
    """Runs that were asked for and have no directory yet: in the `asked` of their group, where it
    has other runs."""

    @property
    def total(self) -> int:
        """All runs, also those without a directory."""
        return self.runs.height + self.waiting

    def counted(self) -> pl.DataFrame:
        """Return `run`, `standing`, `group` of the runs that a statistic is over, by the rule."""
        return self.runs.filter(pl.col("standing").is_in(standings_used(self.rule)))

    def scores(self, scored: pl.DataFrame, mode: Mode) -> pl.Series:
        """Return the `score` of each run as a statistic has to take it, for `scored` as
        `Results.scores` gives it.

        Null where the run does not count; of a diverged run NaN, null (`drop`), or the worst score
        of those that count, of the same task where there are tasks (NaN where none does). The mean
        of a group is then NaN where it has no value.
        """
        standing = self.runs.select("run", "standing")
        keys = [
            pl.col(name).alias(f"{_GROUP} {name}") for name in self.scales
        ]  # which may be named like ours
        both = scored.select("run", "score", *keys).join(
            standing, on="run", how="left", maintain_order="left"
        )
        counts, score = pl.col("standing") == COUNTED, pl.col("score")
        numbers = score.filter(counts & score.is_finite())
        worst = numbers.min() if mode == "max" else numbers.max()
        if self.scales:
            worst = worst.over([f"{_GROUP} {name}" for name in self.scales])
        worst = worst.fill_null(math.nan)
        instead = {"nan": pl.lit(math.nan), "drop": pl.lit(None, pl.Float64), "worst": worst}[
            self.rule.diverged
        ]
        diverged = pl.when(pl.col("standing") == DIVERGED).then(instead)
        return both.select(score=pl.when(counts).then(score).otherwise(diverged)).to_series()

    def line(self, statistic: str = "") -> str:
        """Return the accounting line; `statistic` is in words, as in `mean ± 95 % t interval`.

        `30 runs: 26 counted, 2 diverged, 1 failed; pooled over: nothing; mean ± 95 % t interval
        over 5 seeds`
        """
        words = [self._count(standing, count) for standing, count in self.standings.items()]
        if self.waiting:
            words.append(f"{self.waiting} not started yet")
        pooled = f"pooled over: {', '.join(self.pooled) or 'nothing'}"
        line = f"{_many(self.total, 'run')}: {', '.join(words) or 'none'}; {pooled}"
        if not (statistic and self.counted().height):
            return line
        if "±" in statistic and all(group.n <= 1 for group in self.groups):
            return f"{line}; {self.evidence()} each, so without ±"
        return f"{line}; {statistic} over {self.evidence()}"

    def _count(self, standing: str, count: int) -> str:
        if standing == COUNTED and self.running:
            return f"{count} counted ({self.running} of them running)"
        if standing == DIVERGED:
            return f"{count} diverged{_TREATED[self.rule.diverged]}"
        if standing == WITHOUT:
            return f"{count} without {self.metric}"
        return f"{count} {standing.replace('_', ' ')}"

    @property
    def _of_task(self) -> str:
        return f" of the same {', '.join(self.scales)}" if self.scales else ""

    def evidence(self) -> str:
        """Return in words what the groups' statistics are over: `5 seeds`, `3 to 5 seeds`,
        `1 to 12 runs`."""
        sizes = {group.n for group in self.groups if group.n} or {0}
        is_of_seeds = self.has_seeds and not (self.pooled or self.tasks)
        word = "seeds" if is_of_seeds and not any(g.repeated for g in self.groups) else "runs"
        if len(sizes) > 1:
            return f"{min(sizes)} to {max(sizes)} {word}"
        return _many(min(sizes), word.removesuffix("s"))

    def notes(self) -> tuple[str, ...]:
        """Return what else has to be said: which groups have diverged runs, seeds twice, runs of
        unequal length."""
        lost = [
            f"{g.label} ({g.standings[DIVERGED]} of {g.asked})"
            for g in self.groups
            if g.standings.get(DIVERGED)
        ]
        policy = {
            "nan": "a group with such a run has no value and ranks last (--diverged worst or drop)",
            "worst": f"counted with the worst score of all others{self._of_task}",
            "drop": "left out of their groups, which flatters these",
        }[self.rule.diverged]
        seeds = [
            f"{group.label} (seed {seed} {_times(count)})"
            for group in self.groups
            for seed, count in group.repeated.items()
        ]
        lengths = [
            f"{group.label} ({group.rows[0]} to {group.rows[1]} rows)"
            for group in self.groups
            if group.rows is not None and group.rows[0] < group.rows[1]
        ]
        notes = []
        if lost:
            count = _many(self.standings[DIVERGED], "run")
            notes.append(f"{count} ended in nan or ±inf; {policy}: {_some(lost)}")
        if seeds:
            notes.append(
                f"the same seed more than once, which is no further evidence: {_some(seeds)}"
            )
        if self.texts:
            notes.append(f"text, not a number, for {self.metric}: {_some(self.texts)}")
        if self.equal_logs:
            notes.append(f"equal logs, number by number: {_alike(self.equal_logs)}")
        if lengths:
            notes.append(f"runs of unequal length: {_some(lengths)}")
        return tuple(notes)


def account(
    results: Results,
    metric: str | None,
    keys: Sequence[str] | None = None,
    *,
    rule: Rule | None = None,
    tasks: Sequence[str] = (),
    scales: Sequence[str] | None = None,
) -> Accounting:
    """Say of each run whether it counts for a statistic of `metric`, in groups of equal values of
    `keys`.

    Without `keys` a group is a variant (`Results.identity`): nothing is pooled. `metric` is a name
    that `Results.metric` returned; None where none was logged. `tasks` are columns within which the
    statistic works, `scales` all columns that are tasks, by default those that are named like one
    (`tasks_of`).
    """
    rule = rule or Rule()
    keys = tuple(results.identity if keys is None else keys)
    columns = list(dict.fromkeys((*keys, *tasks, *results.identity)))
    always = [
        name
        for name in ("run", "seed", "state", "rows", "experiment", "variant")
        if name not in columns
    ]
    runs = results.runs.select(*always, *columns).with_columns(
        standing_of(results, metric, rule).alias(_STANDING),
        _group_of(results.runs, keys).alias(_GROUP),
    )
    used = runs.filter(pl.col(_STANDING).is_in(standings_used(rule)))
    table = runs.select("run", standing=_STANDING, group=_GROUP)
    without = table.filter(standing=WITHOUT)["run"].to_list()
    return Accounting(
        metric=metric,
        keys=keys,
        tasks=tuple(tasks),
        scales=tuple(tasks_of(results) if scales is None else scales),
        rule=rule,
        runs=table,
        groups=_groups(results, runs, used, keys, rule),
        standings=in_order(Counter(table["standing"])),
        running=used.filter(pl.col("state") == "running").height,
        pooled=tuple(
            name
            for name in results.identity
            if name not in {*keys, *tasks} and _differs(used, name)
        ),
        equal_logs=results.equal_logs,
        texts=results.runs_with_text(metric, without) if metric else (),
        has_seeds=not used["seed"].null_count(),
        waiting=sum(results.waiting.values()),
    )


def _groups(
    results: Results, runs: pl.DataFrame, used: pl.DataFrame, keys: Sequence[str], rule: Rule
) -> tuple[GroupAccount, ...]:
    """Return the account of each group of `runs`, of which a statistic is over those in `used`."""
    candidates = runs.filter(pl.col(_STANDING).is_in([COUNTED, DIVERGED]))
    repeated = _repeated(candidates, results.identity)
    spans = {group: (low, high) for group, low, high in _spans(used).iter_rows()}
    sizes = dict(used[_GROUP].value_counts().iter_rows())
    texts = {key: texts_of(runs[key].unique()) for key in keys}
    firsts = (
        runs.unique(_GROUP, keep="first", maintain_order=True).sort(_GROUP).select(_GROUP, *keys)
    )
    counts: dict[int, Counter[str]] = {}
    for group, standing in runs.select(_GROUP, _STANDING).iter_rows():
        counts.setdefault(group, Counter())[standing] += 1
    waiting = _waiting_of(results, runs)
    return tuple(
        GroupAccount(
            values=tuple(values),
            label=label_of(keys, values, texts),
            asked=counts[group].total() + waiting[group],
            n=sizes.get(group, 0),
            standings=in_order(counts[group]),
            repeated=repeated.get(group, {}),
            rows=spans.get(group),
            has_value=sizes.get(group, 0) > 0
            and (rule.diverged != "nan" or not counts[group][DIVERGED]),
        )
        for group, *values in firsts.iter_rows()
    )


def tasks_of(results: Results) -> tuple[str, ...]:
    """Return the parameters that name tasks (`env`, `env_id`, `task`, `dataset`, …) and vary."""
    return tuple(name for name in results.varying if _TASK.fullmatch(name))


def _waiting_of(results: Results, runs: pl.DataFrame) -> Counter[int]:
    """Return by group how many runs its variants still wait for."""
    waiting: Counter[int] = Counter()
    if not results.waiting_variants:
        return waiting
    for group, *variant in (
        runs.select(_GROUP, "experiment", "variant").unique(["experiment", "variant"]).iter_rows()
    ):
        waiting[group] += results.waiting_variants.get((variant[0], variant[1] or ""), 0)
    return waiting


def _group_of(runs: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    """Return the number of each run's group, counted from 0 in the order of first runs; by value,
    not by text."""
    if not keys:
        return pl.Series(_GROUP, [0] * runs.height, dtype=pl.UInt32)
    distinct = runs.select(keys).unique(maintain_order=True).with_row_index(_GROUP)
    return runs.select(keys).join(
        distinct, on=keys, how="left", nulls_equal=True, maintain_order="left"
    )[_GROUP]


def _repeated(runs: pl.DataFrame, identity: Sequence[str]) -> dict[int, dict[int | str, int]]:
    """Return by group the seeds that one variant has more than once, and how often."""
    seeded = runs.filter(pl.col("seed").is_not_null())
    seeds = seeded.group_by(_GROUP, *identity, "seed", maintain_order=True).agg(
        pl.len().alias(_COUNT)
    )
    repeated: dict[int, dict[int | str, int]] = {}
    for group, seed, count in (
        seeds.filter(pl.col(_COUNT) > 1).select(_GROUP, "seed", _COUNT).iter_rows()
    ):
        repeated.setdefault(group, {})[seed] = max(count, repeated.get(group, {}).get(seed, 0))
    return repeated


def _spans(runs: pl.DataFrame) -> pl.DataFrame:
    return runs.group_by(_GROUP).agg(
        pl.col("rows").min().alias("low"), pl.col("rows").max().alias("high")
    )


def _differs(runs: pl.DataFrame, name: str) -> bool:
    return bool(
        runs.group_by(_GROUP).agg((pl.col(name).n_unique() > 1).alias("differs"))["differs"].any()
    )


def _some(labels: Sequence[str]) -> str:
    more = len(labels) - _GROUPS_NAMED
    return "; ".join(labels[:_GROUPS_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _alike(groups: Sequence[Sequence[str]]) -> str:
    """Return the first group of runs, their common directory once, and how many groups follow."""
    parent, _, _ = groups[0][0].rpartition("/")
    names = [run.removeprefix(f"{parent}/") for run in groups[0][1:]]
    if any("/" in name for name in names):
        names = list(groups[0][1:])
    more = f"; {len(groups) - 1} more such" if len(groups) > 1 else ""
    run_names = ", ".join([groups[0][0], *names[: _GROUPS_NAMED - 1]])
    return f"{run_names}{', …' * (len(names) >= _GROUPS_NAMED)}{more}"


def _times(count: int) -> str:
    return {2: "twice"}.get(count, f"{count} times")


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
