"""The curves of a view: panels of curves over seeds with bands, to be drawn by Plotly or by matplotlib. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import Results
from runslot.results.statistics import Smoothing, align, band
from runslot.results.statistics.curves import POINTS
from runslot.results.summary import mode_of
from runslot.view.choices import ROW, Choices
from runslot.view.choosing import Group, Groups, default_series, default_x, default_y, group
from runslot.view.decimation import decimate
from runslot.view.rows import Rows

MOST_CURVES = 60
"""Curves of one figure; more of them say nothing, and are named as left out."""
MOST_PANELS = 48
_POINTS = 500
_ALL_POINTS = 8_000
"""Points of all curves of a view together: what keeps an answer below 200 KB."""
_FEWEST = 40
_ALIGNED, _RESAMPLED = 1_000_000, 5_000_000
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


def draw(chosen: Results, rows: Rows, choices: Choices, everything: Results, *, quick: bool = False) -> Drawing:
    """Compute the panels of `chosen` runs, which are some of `everything`, whose rows are `rows`.

    With `quick`, a bootstrap is cut down to what takes a moment; the notes say to how many resamplings. Raises
    `InvalidInput` for a metric or column that no run has.
    """
    metrics = [chosen.metric(name) for name in choices.y or default_y(chosen.metrics)]
    x = choices.x or default_x(chosen.metrics)
    x = x if x == ROW else chosen.metric(x)
    keys = default_series(everything) if choices.series is None else choices.series
    series, splits = group(chosen, keys, everything), group(chosen, choices.split)
    count = len(metrics) * len(splits.groups)
    if count > MOST_PANELS:
        raise InvalidInput(f"{count} figures are too many to show; split by fewer columns")
    curves = len(chosen.runs) if choices.band == "runs" else len({(splits.of[run], i) for run, i in series.of.items()})
    curves = max(1, min(curves, MOST_CURVES * len(splits.groups)))
    budget = max(_FEWEST, min(_POINTS, _ALL_POINTS // (curves * len(metrics))))
    effort = _effort(chosen.runs.height * len(metrics), choices.band == "iqm") if quick else _Effort()
    panels = [panel for y in metrics for panel in _panels(rows, x, y, series, splits, choices, budget, effort)]
    if choices.top:
        panels = [_best_of(panel, chosen, series, splits, choices) for panel in panels]
    return Drawing(tuple(panels), _drawn(panels, series), _notes(panels, choices, effort))


@dataclass(frozen=True)
class _Effort:
    """How much a bootstrap may cost."""

    points: int = POINTS
    repetitions: int = 1000


def _effort(runs: int, bootstrap: bool) -> _Effort:
    """Return what stays below about half a second: rows on the common x axis, and those that are resampled."""
    runs = max(runs, 1)
    if not bootstrap:
        return _Effort(points=max(100, min(POINTS, _ALIGNED // runs)))
    both = _RESAMPLED // runs
    points = max(40, min(200, int(both**0.5)))
    return _Effort(points, max(60, min(1000, both // points)))


def _panels(
    rows: Rows, x: str, y: str, series: Groups, splits: Groups, choices: Choices, budget: int, effort: _Effort
) -> list[Panel]:
    """Return the panels of one metric, one for each value that figures are split by."""
    plain = _plain(rows, x, y, series, choices.smooth)
    panel_of = rows.column({run: splits.of[run] for run in series.of})
    series_of = rows.column(series.of)
    if choices.band == "runs":
        null = pl.lit(None, pl.Float64)
        lines = plain.rename({"y": "center"}).with_columns(n=pl.lit(1, pl.UInt32), low=null, high=null)
        banded = lines.with_columns(panel=panel_of.gather(lines["run"]), series=series_of.gather(lines["run"]))
    else:
        aligned = plain if _aligned(plain) else align(plain, "x", "y", at=_grid(plain["x"], effort.points))
        if choices.band == "iqm" and effort.points < POINTS:
            aligned = _thinned(aligned, effort.points)
        aligned = aligned.with_columns(panel=panel_of.gather(aligned["run"]), series=series_of.gather(aligned["run"]))
        banded = band(aligned, choices.band, by=("panel", "series"), repetitions=effort.repetitions)
        banded = banded.with_columns(run=pl.lit(None, pl.UInt32))
    sizes = _sizes(plain, panel_of, series_of)
    thin = decimate(_numbered(banded), "curve", budget)
    names = list(rows.numbers)
    return [
        _panel(thin.filter(pl.col("panel") == i), i, x, y, series, splits, choices, sizes, names)
        for i in range(len(splits.groups))
    ]


def _plain(rows: Rows, x: str, y: str, series: Groups, smooth: int) -> pl.DataFrame:
    """Return `run`, `x`, `y` of the runs that are shown, without gaps."""
    if y not in rows.frame.columns or rows.frame[y].dtype == pl.String:
        raise InvalidInput(f"{y!r} holds text, which cannot be drawn")
    if rows.frame[x].dtype == pl.String:
        raise InvalidInput(f"{x!r} holds text, which cannot be an axis")
    shown = rows.column(dict.fromkeys(series.of, 1)).is_not_null()
    frame = rows.frame.select("run", pl.col(x).cast(pl.Float64).alias("x"), pl.col(y).alias("y"))
    if not shown.all():
        frame = frame.filter(shown.gather(frame["run"]))
    frame = Smoothing("mean", max(smooth, 1)).apply(frame, "y")
    return frame.filter(pl.col("x").is_finite() & pl.col("y").is_not_nan())


def _aligned(plain: pl.DataFrame) -> bool:
    """Tell whether all runs were logged at the very same x, in order: then there is nothing to align."""
    lengths = plain["run"].rle().struct.field("len")
    if not len(lengths) or lengths.n_unique() != 1 or not 0 < lengths[0] <= POINTS:
        return False
    first = plain["x"].head(lengths[0])
    grows = bool((first.diff().drop_nulls() > 0).all())
    return grows and bool((plain["x"].reshape((-1, lengths[0])) == first.reshape((1, lengths[0]))).all())


def _grid(x: pl.Series, points: int) -> pl.Series:
    """Return the values of x at which runs are aligned: all there are, or between a half and all of `points`.

    These are multiples of a power of two (and the last x), so that runs that grow keep the values they had, and a
    page needs only the new ones.
    """
    values: pl.Series = x.unique().sort()
    if len(values) <= points:
        return values
    low, high = float(values[0]), float(values[-1])
    step = 2.0 ** math.ceil(math.log2((high - low) / (points - 2)))
    first = math.ceil(low / step)
    inner = pl.Series([i * step for i in range(first, math.ceil(high / step))], dtype=pl.Float64)
    grid: pl.Series = pl.concat([pl.Series([low]), inner, pl.Series([high])]).unique().sort()
    return grid


def _thinned(aligned: pl.DataFrame, points: int) -> pl.DataFrame:
    """Keep about so many values of x, evenly among those there are, the last one too."""
    grid = aligned["x"].unique().sort()
    step = -(-len(grid) // points)
    kept = pl.concat([grid.gather_every(step), grid.tail(1)]).unique()
    return aligned.filter(pl.col("x").is_in(kept.implode()))


def _numbered(banded: pl.DataFrame) -> pl.DataFrame:
    """Add `curve`, a number that only one curve of one panel has."""
    return banded.with_columns(curve=pl.struct("panel", "series", "run").rank("dense"))


def _sizes(plain: pl.DataFrame, panel_of: pl.Series, series_of: pl.Series) -> Mapping[tuple[int, int], int]:
    """Return how many runs with the metric each curve has, by panel and series."""
    having = plain["run"].unique()
    return Counter(zip(panel_of.gather(having), series_of.gather(having), strict=True))


def _panel(
    rows: pl.DataFrame,
    number: int,
    x: str,
    y: str,
    series: Groups,
    splits: Groups,
    choices: Choices,
    sizes: Mapping[tuple[int, int], int],
    names: Sequence[str],
) -> Panel:
    curves: list[Curve] = []
    for part in rows.partition_by("curve", maintain_order=True):
        place, at = part["series"][0], part["run"][0]
        run = None if at is None else names[at]
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


def _notes(panels: Sequence[Panel], choices: Choices, effort: _Effort) -> tuple[str, ...]:
    notes = []
    if panels:
        fewer = f", {effort.repetitions} resamplings" if effort.repetitions < 1000 else ""
        notes.append(SAID[choices.band] + fewer)
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
