"""`Results`: the runs that were read, as frames; choose among them, group them, find the best."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from runslot.errors import InvalidInput, nearest
from runslot.results.accounts import Rule, account
from runslot.results.columns import (
    COLUMNS_BEFORE,
    COLUMNS_BEHIND,
    annotation_columns,
    description_columns,
    metric_columns,
    parameter_columns,
    relative_to,
)
from runslot.results.problems import Problem, Unread
from runslot.results.read import store
from runslot.results.read.description import collection_of
from runslot.results.read.directories import RunFiles
from runslot.results.read.layouts import HYDRA
from runslot.results.read.parameters import group_path
from runslot.results.read.steps import step_column
from runslot.results.read.store import RunEntry
from runslot.results.summary import FINAL, Mode, is_goal, mode_of
from runslot.results.where import condition as read_condition

if TYPE_CHECKING:
    from runslot.results.trials import TrialPlace

_NEARLY_ALL_SHARE = 0.9
_METRICS_COMPARED_FIRST = 8
"""Metrics whose summaries are compared before any rows are."""


@dataclass(frozen=True)
class Results:
    """Runs that were read, at one moment. Every choice gives another `Results`; nothing is changed
    in place."""

    runs: pl.DataFrame
    """One row a run: `run` (its directory, relative to `base`), `experiment`, `variant` (its name),
    `seed`, `state` (null where the kind of directory does not tell), the flattened variant under
    dotted keys, `rows`, `started` and `ended` (UTC), `seconds`, `host`, `slot`, `attempt`,
    `peak_memory` (bytes), `kind`, `id`, `path`, and `final/METRIC` and `best/METRIC` of each
    metric."""
    parameters: tuple[str, ...]
    """Columns of `runs` that are the variant's. A key that is also a name above is
    `variant.KEY`."""
    metrics: tuple[str, ...]
    base: str
    """The directory that was read, or the deepest one above several."""
    roots: tuple[str, ...]
    """The directories that were read."""
    problems: tuple[Problem, ...]
    unread: tuple[Unread, ...]
    """Files, or rows of logs, that may hold numbers and are not among these, and why."""
    waiting: Mapping[str, int]
    """By experiment (as in `runs`): runs that it asked for and that have no directory yet, so that
    they are in no frame. Choosing among runs leaves this as it is."""
    waiting_variants: Mapping[tuple[str, str], int]
    """The same by experiment and name of the variant."""
    _entries: Mapping[str, RunEntry]
    """By the value of `run`."""
    _segments: Mapping[str, pl.DataFrame]
    at: str = ""
    """Where the final values are those at a step (`results_at`): which one, in words."""
    confirmation: str = ""
    """Where runs that chose variants are left out (`confirmed`): a sentence that says so."""
    trials: Mapping[str, TrialPlace] = field(default_factory=dict)
    """By run, the trial of a search that it is of (`with_trials`)."""

    @classmethod
    def of(
        cls,
        roots: Sequence[str],
        entries: Sequence[RunEntry],
        segments: Mapping[str, pl.DataFrame],
        problems: Sequence[Problem],
        waiting: Mapping[tuple[str, str], int] | None = None,
        unread: Sequence[Unread] = (),
        annotations: Mapping[str, tuple[str, str]] | None = None,
    ) -> Results:
        """Make the frames from what a reader knows."""
        base = os.path.commonpath(roots)
        named = {relative_to(entry.files.path, base): entry for entry in entries}
        parameters = parameter_columns(entries)
        metrics = tuple(dict.fromkeys(metric for entry in entries for metric in entry.summary))
        columns = description_columns(named, base)
        before = [columns[name] for name in COLUMNS_BEFORE]
        behind = [columns[name] for name in COLUMNS_BEHIND]
        annotated = annotation_columns(entries, annotations or {}, {s.name for s in parameters})
        runs = pl.DataFrame(
            [*before, *parameters, *behind, *annotated, *metric_columns(metrics, entries)]
        )
        names = tuple(series.name for series in parameters)
        counts: Counter[str] = Counter()
        variants: Counter[tuple[str, str]] = Counter()
        for (path, variant), count in (waiting or {}).items():
            experiment = relative_to(collection_of(path), base)
            counts[experiment] += count
            variants[experiment, variant] += count
        read = (names, metrics, base, tuple(roots), tuple(problems), tuple(unread))
        return cls(runs, *read, counts, variants, named, segments)

    def files(self) -> list[RunFiles]:
        """Return of each run, in the order of `runs`, what it was recognised as and which files are
        its logs."""
        return [self._entries[name].files for name in self.runs["run"]]

    @cached_property
    def progress(self) -> pl.DataFrame:
        """All rows, wide: `run`, `row` (from 0), and a Float64 column a metric (String where it
        holds only text).

        A metric that a run does not have is null in its rows; a gap in a log is null or NaN, as it
        was written.
        """
        entries = [self._entries[name] for name in self.runs["run"]]
        rows = store.rows_of_all(entries, self._segments)
        lengths = self.runs.select(
            "run", n=pl.Series([entry.rows for entry in entries], dtype=pl.Int64)
        )
        index = lengths.select("run", row=pl.int_ranges(0, "n", dtype=pl.UInt32)).filter(
            pl.col("row").list.len() > 0
        )
        return (
            pl.concat([index.explode("row"), rows], how="horizontal")
            if rows.width
            else index.explode("row")
        )

    def long(self, *metrics: str) -> pl.DataFrame:
        """Return the rows as `run`, `row`, `metric`, `value`, without gaps; of all metrics or of
        those named."""
        names = [self.metric(name) for name in metrics] or list(self.metrics)
        table = self.progress.unpivot(
            names, index=["run", "row"], variable_name="metric", value_name="value"
        )
        return table.filter(pl.col("value").is_not_null() & pl.col("value").is_not_nan())

    def metric(self, name: str) -> str:
        """Return the metric of that name, also where only its case differs; `InvalidInput` where
        there is none."""
        if name in self.metrics:
            return name
        alike = [metric for metric in self.metrics if metric.casefold() == name.casefold()]
        if len(alike) == 1:
            return alike[0]
        if name in self.text_metrics:
            raise InvalidInput(
                f"{name!r} holds text, not numbers, and cannot be compared; progress has its rows"
            )
        names = ", ".join(difflib.get_close_matches(name, self.metrics, n=8, cutoff=0.0)) or "none"
        raise InvalidInput(
            f"no run has a metric {name!r}{nearest(name, self.metrics)}; metrics are: {names}"
        )

    @cached_property
    def text_metrics(self) -> tuple[str, ...]:
        """Columns of the logs in which no run has a number."""
        texts = dict.fromkeys(
            name
            for frame in self._segments.values()
            for name, kind in frame.schema.items()
            if kind == pl.String
        )
        return tuple(name for name in texts if name not in self.metrics)

    def runs_with_text(self, metric: str, runs: Collection[str]) -> tuple[str, ...]:
        """Return those of `runs` that logged text where others logged numbers of `metric`."""

        def has_text(run: str) -> bool:
            pieces = (piece for log in self._entries[run].pieces.values() for piece in log)
            return any(
                self._segments[piece.segment].schema.get(metric) == pl.String for piece in pieces
            )

        return tuple(run for run in runs if has_text(run))

    @cached_property
    def common_metrics(self) -> tuple[str, ...]:
        """The metrics that nearly all runs have that have any: one of these is the objective, where
        none is named."""
        finals = dict(self._finals())
        counts = {metric: len(column) - column.null_count() for metric, column in finals.items()}
        # What counts the steps is in all logs, and says nothing of how many have an objective.
        most = max((n for metric, n in counts.items() if is_goal(metric)), default=0) or max(
            counts.values(), default=0
        )
        common = [m for m, n in counts.items() if n and n >= _NEARLY_ALL_SHARE * most]
        # What ends alike in all runs counts something, or decides nothing: it is the last resort.
        common.sort(key=lambda m: len(finals[m]) > 1 and finals[m].min() == finals[m].max())
        return tuple(common)

    @cached_property
    def counter(self) -> str | None:
        """The metric that counts how far runs are, by its name; None where none does, or where in
        most runs it begins anew, as batches do in each epoch, and no other goes on."""
        named = step_column(self.metrics)
        having = [
            entry
            for entry in map(self._entries.__getitem__, self.runs["run"])
            if named in entry.summary
        ]
        votes = Counter(named if entry.counter == "" else entry.counter for entry in having)
        return votes.most_common(1)[0][0] if votes else named

    @cached_property
    def equal_logs(self) -> tuple[tuple[str, ...], ...]:
        """Runs of one variant that logged the very same numbers: they are no evidence of their
        own."""
        alike: dict[tuple[Any, ...], list[str]] = {}
        for run, rows, *values in self.runs.select("run", "rows", *self.identity).iter_rows():
            few = list(self._entries[run].summary.items())[:_METRICS_COMPARED_FIRST]
            if rows and few:
                alike.setdefault((rows, repr(few), *values), []).append(run)
        groups: list[tuple[str, ...]] = []
        for runs in alike.values():
            equal: list[list[str]] = []
            for run in runs if len(runs) > 1 else []:
                mine = self._rows_of(run)
                same = next(
                    (group for group in equal if mine.equals(self._rows_of(group[0]))), None
                )
                if same is None:
                    equal.append([run])
                else:
                    same.append(run)
            groups += [tuple(group) for group in equal if len(group) > 1]
        return tuple(groups)

    def _rows_of(self, run: str) -> pl.DataFrame:
        rows = store.rows_of(self._entries[run], self._segments)
        return pl.DataFrame() if rows is None else rows

    def _finals(self) -> Iterator[tuple[str, pl.Series]]:
        return ((metric, self.runs[FINAL + metric]) for metric in self.metrics)

    def where(self, *conditions: str | pl.Expr | Mapping[str, Any], **equal: Any) -> Results:
        """Return the runs that fulfil all conditions.

        A condition is text in the words of SQL (``"lr > 0.01 AND env = 'pong'"``, see
        `runslot.results.where`), a polars expression over the columns of `runs`, a mapping of
        columns to a value or a list of allowed values, or the same as keyword arguments. Raises
        `InvalidInput` for a column that no run has, or for text that cannot be understood.
        """
        expressions = [self._condition(c) for c in conditions if not isinstance(c, Mapping)]
        for values in [*(c for c in conditions if isinstance(c, Mapping)), equal]:
            expressions += [self._equal(column, value) for column, value in values.items()]
        try:  # without conditions the same results, with all that they have computed
            return self._with(self.runs.filter(*expressions)) if expressions else self
        except pl.exceptions.PolarsError as error:
            fault = str(error).splitlines()[0]
            raise InvalidInput(f"the runs cannot be chosen so: {fault}") from error

    def _condition(self, condition: str | pl.Expr) -> pl.Expr:
        if isinstance(condition, str):
            return read_condition(condition, self.runs.schema)
        # Polars takes nan for the largest number; no filter lets it pass as one, unless the filter
        # speaks of nan.
        if "is_nan" in (text := str(condition)) or "is_not_nan" in text:
            return condition
        floats = [
            name
            for name in set(condition.meta.root_names())
            if self.runs.schema.get(name) == pl.Float64
        ]
        if not floats:
            return condition
        passed = self.runs.with_columns(pl.col(floats).fill_nan(None)).select(condition).to_series()
        return pl.lit(passed)

    def _equal(self, column: str, value: Any) -> pl.Expr:
        self._check_column(column)
        if isinstance(value, list | tuple | set | frozenset):
            return pl.any_horizontal(
                pl.lit(value=False), *(pl.col(column).eq_missing(pl.lit(v)) for v in value)
            )
        return pl.col(column).eq_missing(pl.lit(value))

    def _check_column(self, name: str) -> None:
        if name not in self.runs.columns:
            raise InvalidInput(f"no run has a column {name!r}{nearest(name, self.runs.columns)}")

    def _with(self, runs: pl.DataFrame) -> Results:
        return dataclasses.replace(self, runs=runs)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The parameters in which these runs differ; of the settings in a group of Hydra's those
        that the chosen option leaves open.
        """
        names = [name for name in self.parameters if self.runs[name].n_unique() > 1]
        jobs = (entry.files.settings for entry in self._entries.values())
        if not any(HYDRA in file for settings in jobs for file in settings):
            return tuple(names)
        groups = {f"{group_path(name)}.": name for name in names}
        return tuple(name for name in names if not self._is_chosen(name, groups))

    def _is_chosen(self, name: str, groups: Mapping[str, str]) -> bool:
        """Tell whether the option of a group, one of `groups` by where they stand, says a value."""
        for path, group in groups.items():
            if name.startswith(path) and self._groups([group, name]) == self._groups([group]):
                return True
        return False

    @cached_property
    def identity(self) -> tuple[str, ...]:
        """Columns that tell one variant from another: runs that are equal in them differ only in
        seed.

        These are the parameters that vary; the experiment and the variant's name where they tell
        more.
        """
        columns = list(self.varying)
        for name in ("variant", "experiment"):
            if self._groups([name, *columns]) > self._groups(columns):
                columns.insert(0, name)
        return tuple(columns)

    def _groups(self, columns: Sequence[str]) -> int:
        return self.runs.select(columns).n_unique() if columns else min(self.runs.height, 1)

    def group_by(self, *keys: str) -> Iterator[tuple[dict[str, Any], Results]]:
        """Yield the values of `keys` and the runs that have them, in order; by default one group a
        variant."""
        for key in keys:
            self._check_column(key)
        names = list(keys or self.identity)
        if not names:
            yield {}, self
            return
        for values, runs in self.runs.group_by(names, maintain_order=True):
            yield dict(zip(names, values, strict=True)), self._with(runs)

    def scores(
        self, metric: str, mode: Mode | None = None, by: str = "final", *, x: str | None = None
    ) -> pl.DataFrame:
        """Return `runs` with a column `score`: the number by which a run is judged.

        `by` is `final`, `best` (highest or lowest, by `mode`), `mean` (over all rows), `last-K`
        (mean of the last K numbers), or `auc` (the area under the curve along `x`, a metric or by
        default the row, over the range of x that all these runs have, divided by its length: the
        curve's mean height). `mode` is found from the metric's name if not given, else `max`. A run
        that diverged (its last value is nan or ±inf) has the score NaN, whatever `by`.
        """
        metric = self.metric(metric)
        final = pl.col(FINAL + metric)
        scored = self._scored(metric, mode, by, x)
        return scored.with_columns(
            score=pl.when(final.is_finite() | final.is_null()).then("score").otherwise(math.nan)
        )

    def _scored(self, metric: str, mode: Mode | None, by: str, x: str | None) -> pl.DataFrame:
        if by == "final":
            return self.runs.with_columns(score=pl.col(FINAL + metric))
        if by == "best":
            return self.runs.with_columns(
                score=self._extremes(metric, mode or mode_of(metric) or "max")
            )
        if by == "auc":
            return self._areas(metric, x)
        last = re.fullmatch(r"last-(\d+)", by)
        if by != "mean" and (last is None or int(last[1]) == 0):
            raise InvalidInput(
                f"by={by!r} is not a way to judge a run; choose 'final', 'best', 'mean', 'last-K'"
                " or 'auc'"
            )
        numbers = self.progress.select("run", score=metric).filter(
            pl.col("score").is_not_null() & pl.col("score").is_not_nan()
        )
        numbers_judged = pl.col("score").tail(int(last[1])) if last else pl.col("score")
        means = numbers.group_by("run").agg(numbers_judged.mean())
        return self.runs.join(means, on="run", how="left", maintain_order="left")

    def _areas(self, metric: str, x: str | None) -> pl.DataFrame:
        from runslot.results.statistics.curves import area_under_curve  # which knows this module

        along = "row" if x is None or x == "row" else self.metric(x)
        between = self.common_range(metric, along)
        if between is None:  # areas over unlike ranges are no scores
            return self.runs.with_columns(score=pl.lit(None, pl.Float64))
        areas = area_under_curve(self.progress, along, metric, between=between).select(
            "run", score="area"
        )
        return self.runs.join(areas, on="run", how="left", maintain_order="left")

    def common_range(self, metric: str, x: str) -> tuple[float, float] | None:
        """Return the range of `x` (a metric, or `row`) that all these runs have, None where there
        is none.

        Runs that failed or diverged early do not shorten it, unless there are no others.
        """
        from runslot.results.statistics.curves import common_range

        state, final = pl.col("state"), pl.col(FINAL + metric)
        numeric = self.runs.filter(final.is_finite())
        finished = numeric.filter(state.is_null() | (state == "succeeded"))
        names = (finished if finished.height else numeric)["run"]
        return common_range(self.progress.filter(pl.col("run").is_in(names.implode())), x, metric)

    def _extremes(self, metric: str, mode: Mode) -> pl.Series:
        summaries = [self._entries[run].summary.get(metric) for run in self.runs["run"]]
        values = [None if s is None else s.high if mode == "max" else s.low for s in summaries]
        return pl.Series("score", values, dtype=pl.Float64)

    def best(
        self,
        metric: str,
        mode: Mode | None = None,
        by: str = "final",
        *,
        top: int = 1,
        per: Sequence[str] = (),
        x: str | None = None,
        include: Collection[str] = (),
    ) -> pl.DataFrame:
        """Return the `top` runs, or the `top` of each group of equal `per`, best first, with their
        `score`.

        Of the runs that count (`runslot.results.accounts`; `include` adds states): a run without
        a number, or that ended in nan or ±inf, is never best. A run picked for its score is better
        than its variant is: to choose a variant use `compare`. Raises `InvalidInput` for an unknown
        metric, column or `by`.
        """
        mode = mode or mode_of(metric) or "max"
        for key in per:
            self._check_column(key)
        counted = account(self, self.metric(metric), rule=Rule.of(include)).counted()["run"]
        scored = self.scores(metric, mode, by, x=x).filter(
            pl.col("score").is_finite(), pl.col("run").is_in(counted.implode())
        )
        ordered = scored.sort("score", descending=mode == "max", maintain_order=True)
        return (
            ordered.group_by(list(per), maintain_order=True).head(top) if per else ordered.head(top)
        )
