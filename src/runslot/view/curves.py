"""The curves of a view: panels of curves over seeds with their bands, ready to be drawn by Plotly or matplotlib. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import Results
from runslot.results.statistics import Smoothing, align, band
from runslot.results.summary import mode_of
from runslot.view.choices import ROW, Choices
from runslot.view.choosing import Group, Groups, default_series, default_x, default_y, group
from runslot.view.decimation import decimate

MOST_CURVES = 60
"""Curves of one figure; more of them say nothing, and are named as left out."""
MOST_PANELS = 48
_POINTS = 500
_ALL_POINTS = 12_000
"""Points of all curves of a view together: what keeps an answer below 200 KB."""
_FEWEST = 40
SAID = {
    "mean-std": "mean ± standard deviation",
    "mean-sem": "mean ± standard error",
    "median-quartiles": "median, quartiles",
    "iqm": "interquartile mean, 95 % bootstrap interval",
    "runs": "each run",
}
"""What a band shows, in words for captions."""


@dataclass(frozen=True)
class Curve:
    """One curve of one panel."""

    label: str
    index: int
    """Picks colour and dash; equal for equal groups in all panels."""
    runs: int
    """Runs of its group that have both metrics."""
    points: pl.DataFrame
    """`x`, `n`, `center`, `low`, `high`, ordered by `x`; `low` and `high` null where there is no width."""
    run: str | None = None
    """The run, where each one is drawn by itself."""


@dataclass(frozen=True)
class Panel:
    """One figure of a view."""

    y: str
    x: str
    split: str
    """Values of the columns that figures are split by; empty where they are not."""
    curves: tuple[Curve, ...]
    left_out: int = 0
    """Curves that are not drawn, because there are too many."""
    log: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Drawing:
    """All panels of a view, and what a caption has to say of them."""

    panels: tuple[Panel, ...]
    groups: tuple[Group, ...]
    """Series that are drawn, for the legend."""
    notes: tuple[str, ...]


def draw(chosen: Results, progress: pl.DataFrame, choices: Choices, everything: Results | None = None) -> Drawing:
    """Compute the panels of `chosen` runs; `progress` has their rows, and may have others' too.

    Raises `InvalidInput` for a metric or column that no run has.
    """
    metrics = [chosen.metric(name) for name in choices.y or default_y(chosen.metrics)]
    x = choices.x or default_x(chosen.metrics)
    x = x if x == ROW else chosen.metric(x)
    keys = default_series(everything or chosen) if choices.series is None else choices.series
    series, splits = group(chosen, keys, everything), group(chosen, choices.split)
    if len(metrics) * len(splits.groups) > MOST_PANELS:
        raise InvalidInput(f"{len(metrics) * len(splits.groups)} figures are too many to show; split by fewer columns")
    count = max(1, len(chosen.runs) if choices.band == "runs" else len(set(_pairs(series, splits))))
    budget = max(_FEWEST, min(_POINTS, _ALL_POINTS // (min(count, MOST_CURVES * len(splits.groups)) * len(metrics) or 1)))
    panels = [
        panel
        for y in metrics
        for panel in _panels(_rows(progress, x, y, choices.smooth), x, y, series, splits, choices, budget)
    ]
    if choices.top:
        panels = [_best_of(panel, chosen, series, splits, choices) for panel in panels]
    return Drawing(tuple(panels), _drawn(panels, series), _notes(panels, choices))


def _pairs(series: Groups, splits: Groups) -> list[tuple[int, int]]:
    return [(splits.of[run], place) for run, place in series.of.items()]


def _rows(progress: pl.DataFrame, x: str, y: str, smooth: int) -> pl.DataFrame:
    if y not in progress.columns or progress[y].dtype == pl.String:
        raise InvalidInput(f"{y!r} holds text, which cannot be drawn")
    columns = list(dict.fromkeys(("run", x, y)))
    return Smoothing("mean", max(smooth, 1)).apply(progress.select(columns), y)


def _panels(
    rows: pl.DataFrame, x: str, y: str, series: Groups, splits: Groups, choices: Choices, budget: int
) -> list[Panel]:
    """Return the panels of one metric, one for each value that figures are split by."""
    numbers = pl.DataFrame(
        {
            "run": list(series.of),
            "panel": [splits.of[run] for run in series.of],
            "series": list(series.of.values()),
        },
        schema={"run": pl.String, "panel": pl.Int32, "series": pl.Int32},
    )
    if choices.band == "runs":
        banded = _each_run(rows, x, y, numbers)
    else:
        if x == y:
            rows = rows.with_columns(pl.col(y).alias("_y"))
        aligned = align(rows.filter(pl.col("run").is_in(numbers["run"].implode())), x, "_y" if x == y else y)
        banded = band(aligned.join(numbers, on="run"), choices.band, by=("panel", "series"))
        banded = banded.with_columns(run=pl.lit(None, pl.String))
    banded = _numbered(banded, splits)
    sizes = _sizes(rows, y, numbers)
    thin = decimate(banded, "curve", budget)
    return [_panel(thin.filter(pl.col("panel") == i), i, x, y, series, splits, choices, sizes) for i in range(len(splits.groups))]


def _each_run(rows: pl.DataFrame, x: str, y: str, numbers: pl.DataFrame) -> pl.DataFrame:
    at = pl.col(x).cast(pl.Float64).alias("x")
    null = pl.lit(None, pl.Float64)
    plain = rows.select("run", at, pl.col(y).alias("center")).drop_nulls().filter(pl.col("x").is_finite() & pl.col("center").is_not_nan())
    found = plain.join(numbers, on="run", maintain_order="left")
    # A run whose x goes back (it was resumed) is drawn as it was logged.
    return found.with_columns(n=pl.lit(1, pl.UInt32), low=null, high=null)


def _numbered(banded: pl.DataFrame, splits: Groups) -> pl.DataFrame:
    """Add `curve`, a number that only one curve of one panel has, and leave out curves beyond what one panel shows."""
    keys = ["panel", "series", "run"]
    curves = banded.select(keys).unique(maintain_order=True).with_row_index("curve")
    return banded.join(curves, on=keys, nulls_equal=True, maintain_order="left")


def _sizes(rows: pl.DataFrame, y: str, numbers: pl.DataFrame) -> Mapping[tuple[int, int], int]:
    """Return how many runs with the metric each curve has, by panel and series."""
    having = rows.filter(pl.col(y).is_not_null() & pl.col(y).is_not_nan()).select("run").unique()
    counted = numbers.join(having, on="run").group_by("panel", "series").len()
    return {(panel, place): count for panel, place, count in counted.iter_rows()}


def _panel(
    rows: pl.DataFrame,
    number: int,
    x: str,
    y: str,
    series: Groups,
    splits: Groups,
    choices: Choices,
    sizes: Mapping[tuple[int, int], int],
) -> Panel:
    curves: list[Curve] = []
    for part in rows.partition_by("curve", maintain_order=True):
        place, run = part["series"][0], part["run"][0]
        found = series.groups[place]
        points = part.select("x", "n", "center", "low", "high")
        label = found.label if run is None else f"{run} ({found.label})"
        curves.append(Curve(label, found.index, sizes.get((number, place), 0) if run is None else 1, points, run))
    split = splits.groups[number].label if splits.groups[number].values else ""
    left_out = max(0, len(curves) - MOST_CURVES) if not choices.top else 0
    shown = curves[:MOST_CURVES] if left_out else curves
    return Panel(y, x, split, tuple(shown), left_out, choices.log, choices.low, choices.high)


def _best_of(panel: Panel, chosen: Results, series: Groups, splits: Groups, choices: Choices) -> Panel:
    """Keep the best `top` curves of a panel, judged by the mean score of their runs."""
    mode = choices.mode or mode_of(panel.y) or "max"
    scored = chosen.scores(panel.y, "min" if mode == "min" else "max", choices.by).select("run", "score")
    sums: dict[str, list[float]] = {}
    for run, score in scored.drop_nulls().iter_rows():
        here = splits.groups[splits.of[run]]
        if score == score and (not panel.split or here.label == panel.split):  # noqa: PLR0124  # not NaN
            found = series.groups[series.of[run]]
            sums.setdefault(f"{run} ({found.label})" if choices.band == "runs" else found.label, []).append(score)
    means = {label: sum(values) / len(values) for label, values in sums.items()}
    ranked = sorted((c for c in panel.curves if c.label in means), key=lambda c: means[c.label], reverse=mode == "max")
    kept = {curve.label for curve in ranked[: choices.top]}
    shown = tuple(curve for curve in panel.curves if curve.label in kept)
    return Panel(panel.y, panel.x, panel.split, shown, 0, panel.log, panel.low, panel.high)


def _drawn(panels: Sequence[Panel], series: Groups) -> tuple[Group, ...]:
    seen = {curve.index for panel in panels for curve in panel.curves}
    return tuple(found for found in series.groups if found.index in seen)


def _notes(panels: Sequence[Panel], choices: Choices) -> tuple[str, ...]:
    notes = []
    if panels:
        notes.append(SAID[choices.band])
    if choices.smooth > 1:
        notes.append(str(Smoothing("mean", choices.smooth)))
    if choices.top:
        notes.append(f"the best {choices.top} of each figure, by the {choices.by} {choices.mode or ''}".rstrip())
    left_out = max((panel.left_out for panel in panels), default=0)
    if left_out:
        notes.append(f"{left_out} curves are not drawn; filter, or group by fewer columns")
    if any(not panel.curves for panel in panels):
        notes.append("some figures are empty: no run has both metrics")
    return tuple(notes)
