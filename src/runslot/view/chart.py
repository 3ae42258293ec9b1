"""A chart of one score a run, as a table; and what all charts of one metric are made from. Pure.

Each chart's `data` is what an export writes as CSV; Plotly and matplotlib only draw it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import BEST, FINAL, Results
from runslot.results.summary import Mode, mode_of
from runslot.view.choices import Choices
from runslot.view.choosing import Group, Groups, default_x, group

Mark = Literal["bars", "points", "profile", "scatter", "heat", "parallel"]
_TASK = re.compile(r"(.*[._])?(env|environment|task|game|dataset|domain)(s|[._]?(id|name))?", re.IGNORECASE)


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
class View:
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
        """Which way is better."""
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
        """Columns whose values are tasks."""
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


def heading(column: str) -> str:
    """Return a column's name for an axis."""
    for prefix, words in ((FINAL, "final"), (BEST, "best")):
        if column.startswith(prefix):
            return f"{column.removeprefix(prefix)} ({words})"
    return column


def scored_runs(chosen: Results, metric: str, choices: Choices) -> pl.DataFrame:
    """Return the runs that have a finite score, or the best of them."""
    mode = choices.mode or mode_of(metric) or "max"
    x = choices.x or default_x(chosen.metrics)
    scored = chosen.scores(metric, "min" if mode == "min" else "max", choices.by, x=x)
    scored = scored.filter(pl.col("score").is_finite())
    if choices.top:
        scored = scored.sort("score", descending=mode == "max").head(choices.top)
    return scored
