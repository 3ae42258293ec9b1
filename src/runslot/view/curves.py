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
from runslot.results.statistics.curves import POINTS, interquartile, with_interval
from runslot.results.summary import mode_of
from runslot.view.choices import ROW, Choices
from runslot.view.choosing import Group, Groups, default_series, default_x, default_y, group
from runslot.view.decimation import decimate
from runslot.view.rows import Rows

MOST_CURVES = 60
"""Curves of one figure; more of them say nothing, and are named as left out."""
MOST_PANELS = 48
MOST_BANDS = 24
"""Curves of one figure that have a band; more of these lie on one another."""
_POINTS = 500
_BANDED_POINTS, _LINE_POINTS = 4_200, 10_000
"""Points of all curves of a view together, with a band or without: what keeps an answer below 200 KB."""
_FEWEST = 40
_ALIGNED, _RESAMPLED = 1_000_000, 12_000_000
_FEWEST_RESAMPLINGS, _FEWEST_INTERVALS = 200, 24
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
    bare: bool = False
    """Bands are not drawn, because there are too many curves."""
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

    With `quick`, what a screen does not show is left out: a bootstrap is cut down to what takes a moment, many curves
    have no bands; the notes say so. Raises
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
    view = _View(rows, chosen, x, series, splits, choices, quick, len(metrics))
    drawn = [_panels(view, y) for y in metrics]
    panels = [panel for some, _ in drawn for panel in some]
    return Drawing(tuple(panels), _drawn(panels, series), _notes(panels, choices, min(n for _, n in drawn)))


@dataclass(frozen=True)
class _View:
    """What all panels of a drawing share."""

    rows: Rows
    chosen: Results
    x: str
    series: Groups
    splits: Groups
    choices: Choices
    quick: bool
    metrics: int


def _panels(view: _View, y: str) -> tuple[list[Panel], int]:
    """Return the panels of one metric, one for each value that figures are split by, and how many resamplings."""
    choices, rows = view.choices, view.rows
    plain = _plain(rows, view.x, y, view.series, choices.smooth)
    kept, left_out, sizes = _kept(view, y, plain)
    if kept.height < len(set(plain["run"].unique())):
        plain = plain.filter(rows.column_of(kept["run"], 1).is_not_null().gather(plain["run"]))
    curves = max(1, kept.select("panel", *_keys(choices)).n_unique())
    busiest = max(Counter(kept.select("panel", *_keys(choices)).unique()["panel"]).values(), default=0)
    banded = choices.band != "runs" and (not view.quick or busiest <= MOST_BANDS)
    most = _BANDED_POINTS if banded else _LINE_POINTS
    points = max(_FEWEST, min(_POINTS, most // (curves * view.metrics)))
    panel_of, series_of = (rows.column_of(kept["run"], kept[name]) for name in ("panel", "series"))
    numbers, repetitions = _numbers(view, plain, panel_of, series_of, points, banded)
    names = list(rows.numbers)
    panels = [
        _panel(numbers.filter(pl.col("panel") == i), i, y, view, sizes, names, left_out.get(i, 0), banded)
        for i in range(len(view.splits.groups))
    ]
    return panels, repetitions


def _keys(choices: Choices) -> list[str]:
    return ["series", "run"] if choices.band == "runs" else ["series"]


def _kept(
    view: _View, y: str, plain: pl.DataFrame
) -> tuple[pl.DataFrame, Mapping[int, int], Mapping[tuple[int, int], int]]:
    """Return the runs whose curves are drawn (`run`, `panel`, `series`), how many curves of each panel are not, and how
    many runs with the metric each curve has."""
    names = list(view.rows.numbers)
    having = plain["run"].unique().sort()
    runs = [names[number] for number in having]
    panels = [view.splits.of[run] for run in runs]
    table = pl.DataFrame(
        {"run": having, "panel": panels, "series": [view.series.of[run] for run in runs]},
        schema={"run": pl.UInt32, "panel": pl.Int32, "series": pl.Int32},
    )
    sizes = Counter(zip(table["panel"], table["series"], strict=True))
    keys = _keys(view.choices)
    curves = table.select("panel", *keys).unique().sort("panel", *keys)
    if view.choices.top:
        ranked = _ranked(view, y, table, keys)
        best = ranked.group_by("panel", maintain_order=True).head(view.choices.top)
        return table.join(best, on=["panel", *keys], how="semi", maintain_order="left"), {}, sizes
    some = curves.group_by("panel", maintain_order=True).head(MOST_CURVES)
    counts = curves.group_by("panel").len()
    left_out = {panel: count - MOST_CURVES for panel, count in counts.iter_rows() if count > MOST_CURVES}
    return table.join(some, on=["panel", *keys], how="semi", maintain_order="left"), left_out, sizes


def _ranked(view: _View, y: str, table: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return the curves of each panel, best first, judged by the mean score of their runs."""
    mode = view.choices.mode or mode_of(y) or "max"
    scored = view.chosen.scores(y, "min" if mode == "min" else "max", view.choices.by, x=view.x)
    scores = {view.rows.numbers[run]: score for run, score in scored.select("run", "score").iter_rows()}
    judged = table.with_columns(score=pl.Series([scores.get(run) for run in table["run"]], dtype=pl.Float64))
    judged = judged.filter(pl.col("score").is_not_null() & pl.col("score").is_not_nan())
    means = judged.group_by("panel", *keys).agg(pl.col("score").mean()).sort("panel", *keys)
    return means.sort("score", descending=mode == "max", maintain_order=True)


def _numbers(
    view: _View, plain: pl.DataFrame, panel_of: pl.Series, series_of: pl.Series, points: int, banded: bool
) -> tuple[pl.DataFrame, int]:
    """Return `panel`, `series`, `run`, `curve`, `x`, `n`, `center`, `low`, `high` of what is drawn, and resamplings."""
    null = pl.lit(None, pl.Float64)
    band_, by = view.choices.band, ("panel", "series")

    def placed(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(panel=panel_of.gather(frame["run"]), series=series_of.gather(frame["run"]))

    if band_ == "runs":
        lines = plain.rename({"y": "center"}).with_columns(n=pl.lit(1, pl.UInt32), low=null, high=null)
        return decimate(_numbered(placed(lines)), "curve", points), _ALL
    most = max(100, min(POINTS, _ALIGNED // max(1, plain["run"].n_unique()))) if view.quick else POINTS
    aligned = placed(plain if _aligned(plain) else align(plain, "x", "y", at=_grid(plain["x"], most)))
    no_run = pl.lit(None, pl.UInt32).alias("run")
    if band_ != "iqm":
        found = band(aligned, band_, by=by)
        found = found if banded else found.with_columns(low=null, high=null)
        return decimate(_numbered(found.with_columns(no_run)), "curve", points), _ALL
    centers = interquartile(aligned, by).with_columns(no_run, low=null, high=null)
    if not banded:
        return decimate(_numbered(centers), "curve", points), _ALL
    if not view.quick:
        found = with_interval(centers.drop("low", "high"), aligned, by, repetitions=_ALL)
        return decimate(_numbered(found), "curve", points), _ALL
    some = decimate(_numbered(centers), "curve", points)
    runs = max(1, plain["run"].n_unique() * view.metrics)
    places = max(_FEWEST_INTERVALS, min(points, _RESAMPLED // _FEWEST_RESAMPLINGS // runs))
    longest = max(some["curve"].rle().struct.field("len"), default=1)
    step = -(-longest // places)
    repetitions = max(_FEWEST_RESAMPLINGS // 2, min(_ALL, _RESAMPLED // places // runs // 10 * 10))
    return _with_some_intervals(some, aligned, by, step, repetitions), repetitions


def _with_some_intervals(
    centers: pl.DataFrame, aligned: pl.DataFrame, by: Sequence[str], step: int, repetitions: int
) -> pl.DataFrame:
    """Return `centers` with intervals that are computed at each `step`-th point of a curve, at its last one, and where
    n changes, and are drawn straight between."""
    at = pl.int_range(pl.len()).over("curve")
    n = pl.col("n")
    changes = (n != n.shift(1).over("curve")) | (n != n.shift(-1).over("curve"))
    asked = (at % step == 0) | (at == pl.len().over("curve") - 1) | changes.fill_null(value=True)
    some = centers.filter(asked) if step > 1 else centers
    found = with_interval(some.drop("low", "high"), aligned, by, repetitions=repetitions)
    if step <= 1:
        return found
    ends = found.select("curve", "x", below=pl.col("center") - pl.col("low"), above=pl.col("high") - pl.col("center"))
    both = centers.drop("low", "high").join(ends, on=["curve", "x"], how="left", maintain_order="left")
    between = both.with_columns(pl.col("below", "above").interpolate_by("x").over("curve"))
    low, high = pl.col("center") - pl.col("below"), pl.col("center") + pl.col("above")
    return between.with_columns(low=low, high=high).drop("below", "above")


_ALL = 1000
"""Resamplings of a bootstrap that need not hurry."""


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


def _numbered(banded: pl.DataFrame) -> pl.DataFrame:
    """Add `curve`, a number that only one curve of one panel has."""
    return banded.with_columns(curve=pl.struct("panel", "series", "run").rank("dense"))


def _panel(
    numbers: pl.DataFrame,
    number: int,
    y: str,
    view: _View,
    sizes: Mapping[tuple[int, int], int],
    names: Sequence[str],
    left_out: int,
    banded: bool,
) -> Panel:
    curves: list[Curve] = []
    for part in numbers.partition_by("curve", maintain_order=True):
        place, at = part["series"][0], part["run"][0]
        run = None if at is None else names[at]
        found = view.series.groups[place]
        points = part.select("x", "n", "center", "low", "high")
        label = found.label if run is None else f"{run} ({found.label})"
        curves.append(Curve(label, found.index, sizes.get((number, place), 0) if run is None else 1, points, run))
    group_ = view.splits.groups[number]
    choices = view.choices
    bare = not banded and choices.band != "runs"
    split = group_.label if group_.values else ""
    return Panel(y, view.x, split, tuple(curves), left_out, bare, choices.log, choices.low, choices.high)


def _drawn(panels: Sequence[Panel], series: Groups) -> tuple[Group, ...]:
    seen = {curve.index for panel in panels for curve in panel.curves}
    return tuple(found for found in series.groups if found.index in seen)


def _notes(panels: Sequence[Panel], choices: Choices, resamplings: int) -> tuple[str, ...]:
    notes = []
    bare = any(panel.bare for panel in panels)
    if panels:
        fewer = f" of {resamplings} resamplings, drawn straight between some values of x" if resamplings < _ALL else ""
        said = SAID[choices.band]
        notes.append(said.partition(" ±")[0].partition(",")[0] if bare else said + fewer)
    if bare:
        notes.append(f"bands are left out, since a figure has more than {MOST_BANDS} curves")
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
