"""A chart of one score a run, as a table; and what all charts of one metric are made from. Pure.

Each chart's `data` is what an export writes as CSV; Plotly and matplotlib only draw it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

import polars as pl

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.accounts import COUNTED, DIVERGED, Accounting, tasks_of
from runslot.results.results import Results
from runslot.results.summary import BEST, FINAL, Mode
from runslot.results.text.labels import task_of, texts_of
from runslot.view.data.choices import Choices
from runslot.view.data.groups import Group, Groups, group
from runslot.view.data.ranks import (
    Tally,
    account_of,
    best_of,
    best_words,
    coloured,
    limit_of,
    mode_for,
    scores_of,
    tallies,
)

Mark = Literal["bars", "points", "profile", "scatter", "heat", "parallel"]


@record
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
    """`bars`, `points`: `part` (`group`, or `run`), `label`, `colour`, `value`, `low`, `high`,
    `diverged` (a number of runs), `n`, a bar a label from the top. `profile`: `label`, `colour`,
    `dash`, `n`, `x`, `value`, `low`, `high`. `scatter`: `label`, `colour`, `index`, `run`, `x`
    (numbers or text), `value` (null for a run that diverged). `heat`: `across`, `down`, `value`,
    `n`. `parallel`: `line`, `run`, `axis`, `place` (0 to 1), `text`, `value`, `brushed`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the drawing needs besides: `log` (axes), `limits` and `mark` (a line) of the axis of
    values, `order` of categories, `axes` of parallel coordinates."""


@record
class View:
    """One metric of a view."""

    selection: Results
    everything: Results
    choices: Choices
    metric: str
    scored: pl.DataFrame
    """The runs that count or diverged, of the series that are drawn, with `standing` and `score`
    (see `scores_of`)."""
    series: Groups
    accounting: Accounting
    tallies: Mapping[int, Tally]
    colours: Mapping[int, int]
    """By place of a series that is drawn, best first where not all are: the number of its
    colour."""
    quick: bool
    notes: list[str]
    everyone: pl.DataFrame
    """As `scored`, also of the series that are not drawn: what the best one was chosen from."""

    @property
    def mode(self) -> Mode:
        """Which way is better."""
        return mode_for(self.choices, self.metric)

    def splits(self) -> list[tuple[str, pl.DataFrame]]:
        """Return the scored runs of each figure, under what its title says."""
        splits = group(self.selection, self.choices.split)
        place = pl.Series([splits.of[run] for run in self.scored["run"]], dtype=pl.Int64)
        return [
            (g.label if g.values else "", self.scored.filter(place == i))
            for i, g in enumerate(splits.groups)
        ]

    def grouped(self, scored: pl.DataFrame) -> list[tuple[Group, pl.DataFrame]]:
        """Return the runs of each series that is drawn, has any and is not hidden; `index` is its
        colour's number."""
        place = pl.Series([self.series.of[run] for run in scored["run"]], dtype=pl.Int64)
        pairs = [
            (dataclasses.replace(self.series.groups[at], index=index), scored.filter(place == at))
            for at, index in self.colours.items()
        ]
        return [
            (member, scores)
            for member, scores in pairs
            if scores.height and member.label not in self.choices.hide
        ]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Columns whose values are tasks."""
        return tasks_of(self.everything) if self.choices.tasks is None else self.choices.tasks

    @property
    def pooled_tasks(self) -> tuple[str, ...]:
        """Tasks that a group or figure does not tell apart."""
        return tuple(
            task for task in self.tasks if task not in (*self.series.keys, *self.choices.split)
        )

    def task_of(self, member: Group) -> str:
        """Return the task of a series in words, where tasks tell series apart: others have scores
        of another scale."""
        values = dict(zip(self.series.keys, member.values, strict=True))
        keys = [key for key in self.series.keys if key in self.tasks]
        texts = {key: texts_of(self.everything.runs[key].unique()) for key in keys}
        return task_of(keys, values, texts)


def view_of(
    selection: Results,
    everything: Results,
    choices: Choices,
    metric: str,
    series: Groups,
    *,
    quick: bool,
    most: int,
) -> View:
    """Return what the charts of one metric are made from; of more than `most` series the best ones
    are drawn."""
    tasks = tasks_of(everything) if choices.tasks is None else choices.tasks
    pooled = [task for task in tasks if task not in (*series.keys, *choices.split)]
    within = () if choices.kind == "heat" else pooled  # a cell is one mean, whatever the task
    accounting = account_of(selection, metric, choices, series, within, scales=tasks)
    scored = scores_of(selection, metric, choices, accounting)
    scored = scored.filter(pl.col("standing").is_in([COUNTED, DIVERGED]))
    lacks = pl.col("score").is_null() | ~pl.col("score").is_finite()
    without = scored.filter((pl.col("standing") == COUNTED) & lacks).height
    notes = [accounting.line()]
    if without:
        notes.append(f"{without} of them have no such score")
    scored = scored.filter((pl.col("standing") == DIVERGED) | pl.col("score").is_not_null())
    everyone, places = scored, sorted({series.of[run] for run in scored["run"]})
    limit = limit_of(choices, len(places), most)
    if limit < len(places):
        mode, count = mode_for(choices, metric), len(series.groups)
        visible_places = best_of(scored, series, mode, places, limit, tasks)
        notes.append(best_words(choices, series, selection.identity, limit, count, tasks))
        mask = pl.Series(
            [series.of[run] in set(visible_places) for run in scored["run"]], dtype=pl.Boolean
        )
        scored = scored.filter(mask)
    else:
        visible_places = places
    notes += accounting.notes()
    colours = coloured(series.groups, visible_places)
    return View(
        selection,
        everything,
        choices,
        metric,
        scored,
        series,
        accounting,
        tallies(accounting, series, group(selection, choices.split)),
        colours,
        quick,
        notes,
        everyone,
    )


def axes(results: Results, choices: Choices) -> tuple[str, str]:
    """Return the columns across and down of a scatter or heat map; by default the parameters with
    the most values."""
    keys = sorted(results.varying, key=lambda key: -results.runs[key].n_unique())
    across = choices.across or (keys[0] if keys else "seed")
    down = choices.down or next((key for key in keys if key != across), "seed")
    for column in (across, down):
        if column not in results.runs.columns:
            raise InvalidInput(f"no run has a column {column!r}")
    return across, down


def heading(column: str) -> str:
    """Return a column's name for an axis."""
    for prefix, words in ((FINAL, "final"), (BEST, "best")):
        if column.startswith(prefix):
            return f"{column.removeprefix(prefix)} ({words})"
    return column


def scaling_words(tasks: Sequence[str]) -> str:
    """Return what a caption says of scores that `scaled_scores` made."""
    words = ", ".join(tasks)
    return f"scores scaled within each {words}: 0 the lowest of these runs, 1 the highest"


def scaled_scores(scored: pl.DataFrame, tasks: Sequence[str]) -> pl.DataFrame:
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
