"""The curves of a view: panels of curves over seeds with bands, to be drawn by Plotly or by
matplotlib. Pure.

Who counts is `runslot.results.accounts`'s rule. A run that diverged stands in the figure with a
mark where it did, and ends its group's curve there, unless the rule drops it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import field

import polars as pl

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.accounts import COUNTED, DIVERGED, Accounting, tasks_of
from runslot.results.results import Results
from runslot.view.data.alignment import Rows, last_values, plain_rows
from runslot.view.data.choices import ROW, Choices
from runslot.view.data.groups import Group, Groups, default_series, default_x, default_y, group
from runslot.view.data.marks import drops
from runslot.view.data.panel import Curve, Mark, Panel, beyond_logarithms, log_axes
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
from runslot.view.data.spread import (
    ALL_RESAMPLINGS,
    Numbers,
    SpreadRequest,
    few_of,
    lines_of,
    means_of,
    scaled,
    words_at,
)

MOST_CURVES = 60
"""Series of one figure; more of them say nothing, and are named as left out."""
MOST_PANELS = 48
MOST_BANDS = 24
"""Curves of one figure that have a band; more of these lie on one another."""
_MOST_RUNS = 120
"""Runs of one figure that are drawn by themselves."""
_POINTS_OF_CURVE = 500
_BANDED_POINTS, _LINE_POINTS = 4_200, 10_000
"""Points of all curves of a view together, with a band or without: what keeps an answer below 200
KB."""
_FEWEST_POINTS = 40


@record
class Drawing:
    """All panels of a view, and what a caption has to say of them."""

    panels: tuple[Panel, ...]
    series: Groups
    colours: Mapping[int, int]
    """By place of a series that is drawn: the number of its colour."""
    tallies: Mapping[int, Tally]
    """By place of a series: how many runs it has."""
    notes: tuple[str, ...]
    sizes: frozenset[int] = frozenset()
    """Of how many runs the middles are, in each figure."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """Series that are drawn, in their order, for the legend."""
        return tuple(
            group for place, group in enumerate(self.series.groups) if place in self.colours
        )


def draw(
    selection: Results, rows: Rows, choices: Choices, everything: Results, *, quick: bool = False
) -> Drawing:
    """Compute the panels of `selection` runs, which are some of `everything`, whose rows are
    `rows`.

    With `quick`, what a screen does not show is left out: a bootstrap is cut down to what takes a
    moment, many curves have no bands; the notes say so. Raises `InvalidInput` for a metric or
    column that no run has.
    """
    metrics = [selection.metric(name) for name in choices.y or default_y(selection.common_metrics)]
    if not metrics:
        raise InvalidInput("there is nothing to draw: no run has logged a number")
    x = choices.x or default_x(selection)
    x = x if x == ROW else selection.metric(x)
    keys = default_series(everything) if choices.series is None else choices.series
    series, splits = group(selection, keys, everything), group(selection, choices.split)
    count = len(metrics) * len(splits.groups)
    if count > MOST_PANELS:
        raise InvalidInput(f"{count} figures are too many to show; split by fewer columns")
    tasks = tasks_of(everything) if choices.tasks is None else choices.tasks
    view = _View(rows, selection, x, series, splits, choices, quick, len(metrics), tasks)
    parts = [_metric(view, y) for y in metrics]
    places = list(dict.fromkeys(place for part in parts for place in part.places))
    if len(places) == len(series.groups) or not _limited(view):
        places.sort()
    colours = coloured(series.groups, places)
    panels = [_panel(view, part, i, colours) for part in parts for i in range(len(splits.groups))]
    sizes = frozenset(size for part in parts for size in part.sizes.values())
    notes = _notes(view, parts, panels, sizes)
    return Drawing(tuple(panels), series, colours, parts[0].tallies, notes, sizes)


@record
class _View:
    """What all panels of a drawing share."""

    rows: Rows
    selection: Results
    x: str
    series: Groups
    splits: Groups
    choices: Choices
    quick: bool
    metrics: int
    tasks: tuple[str, ...]
    """Columns whose values are tasks, each of a scale of its own."""


@record
class _Metric:
    """One metric of a view, before it is cut into panels."""

    y: str
    accounting: Accounting
    tallies: Mapping[int, Tally]
    places: tuple[int, ...]
    """Places of the series that are drawn in some panel, best first where not all are."""
    numbers: pl.DataFrame
    """`panel`, `series`, `run`, `curve`, `member`, `x`, `n`, `center`, `low`, `high`."""
    diverged: pl.DataFrame
    """`run`, `panel`, `series`, `x`, `y` of the runs that diverged in what is drawn."""
    smoothing: str
    coarse: int
    repetitions: int
    banded: bool
    limited: bool
    """Whether some of its series are not drawn, since they are not among the best."""
    scaled: tuple[str, ...] = ()
    """Tasks over which some curve is averaged."""
    left_out: int = 0
    """Runs of small groups that are not drawn by themselves, since they are too many."""
    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """By panel and place of a series, of how many runs its middle is drawn there."""
    counts: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """By panel and place of a series, how many of its runs count there."""


_NULL = pl.lit(None, pl.Float64)


def _limited(view: _View) -> bool:
    return limit_of(view.choices, len(view.series.groups)) < len(view.series.groups)


def _metric(view: _View, y: str) -> _Metric:
    choices, rows = view.choices, view.rows
    accounting = account_of(view.selection, y, choices, view.series, scales=view.tasks, curves=True)
    table = _candidates(view, accounting)
    counted, visible_places = _drawn_runs(view, y, table, accounting)
    plain, smoothing = plain_rows(rows, view.x, y, counted["run"], choices.smooth)
    tasks = tuple(
        task for task in view.tasks if task in accounting.pooled and choices.band != "runs"
    )
    worst = choices.diverged == "worst" and bool(counted["diverged"].any())
    finals = _finals(view, y, accounting, tasks) if tasks or worst else counted.clear()
    if tasks:
        plain, finals = scaled(plain, finals)
    groups = counted.select("panel", "series").unique()
    lines = max(1, groups.height if choices.band != "runs" else counted.height)
    busiest = groups["panel"].value_counts()["count"].max()
    crowded = isinstance(busiest, int) and busiest > MOST_BANDS
    banded = choices.band != "runs" and (not view.quick or not crowded)
    room = (_BANDED_POINTS if banded else _LINE_POINTS) // (lines * view.metrics)
    points = max(_FEWEST_POINTS, min(_POINTS_OF_CURVE, room))
    request = SpreadRequest(choices, view.quick, view.metrics, points, banded)
    left_out = 0
    if choices.band == "runs":
        part = Numbers(lines_of(request, plain, counted, member=False), 0, ALL_RESAMPLINGS)
    else:
        part = means_of(request, plain, counted, rows, _extents(view, finals) if worst else None)
        few = few_of(counted) if choices.band == "auto" else counted.clear()
        left_out = max(0, few.height - _MOST_RUNS)
        lines_of_runs = lines_of(request, plain, few if not left_out else few.clear(), member=True)
        part = Numbers(
            pl.concat([part.frame, lines_of_runs.select(part.frame.columns)]),
            part.coarse,
            part.repetitions,
        )
    numbers = part.frame.with_columns(
        curve=pl.struct("panel", "series", "member", "run").rank("dense")
    )
    ends = _ends(plain, counted.filter("diverged"), numbers)
    return _Metric(
        y,
        accounting,
        tallies(accounting, view.series, view.splits),
        visible_places,
        numbers,
        ends,
        smoothing,
        part.coarse,
        part.repetitions,
        banded,
        counted.height < table.height,
        tasks,
        left_out,
        _sizes(counted.filter(~pl.col("diverged")) if choices.diverged == "drop" else counted),
        _sizes(counted.filter(~pl.col("diverged")) if choices.diverged != "worst" else counted),
    )


def _sizes(runs: pl.DataFrame) -> Mapping[tuple[int, int], int]:
    """Return by panel and series how many of these runs there are."""
    sizes = runs.group_by("panel", "series").len()
    return {(panel, place): size for panel, place, size in sizes.iter_rows()}


def _candidates(view: _View, accounting: Accounting) -> pl.DataFrame:
    """Return `run`, `panel`, `series`, `diverged` of the runs that count or diverged."""
    rows = view.rows
    standing = dict(accounting.runs.select("run", "standing").iter_rows())
    runs = [run for run, verdict in standing.items() if verdict in {COUNTED, DIVERGED}]
    return pl.DataFrame(
        {
            "run": [rows.numbers[run] for run in runs],
            "panel": [view.splits.of[run] for run in runs],
            "series": [view.series.of[run] for run in runs],
            "diverged": [standing[run] == DIVERGED for run in runs],
        },
        schema={"run": pl.UInt32, "panel": pl.Int32, "series": pl.Int32, "diverged": pl.Boolean},
    )


def _finals(view: _View, y: str, accounting: Accounting, tasks: Sequence[str]) -> pl.DataFrame:
    """Return `run`, `task`, `final` as the rule takes it, and `low` and `high` among those counted
    of its task."""
    scored = scores_of(view.selection, y, dataclasses.replace(view.choices, by="final"), accounting)
    score = pl.col("score")
    counted = pl.when(pl.col("standing") == COUNTED, score.is_finite()).then(score)
    low, high = (part.over(tasks) if tasks else part for part in (counted.min(), counted.max()))
    task = pl.struct(tasks).rank("dense") if tasks else pl.lit(0)
    numbers = pl.Series("run", [view.rows.numbers[run] for run in scored["run"]], dtype=pl.UInt32)
    return scored.select(numbers, task=task, final=score, low=low, high=high)


def _extents(view: _View, finals: pl.DataFrame) -> pl.DataFrame:
    """Return `run`, `final`, and the first and last x at which the run has a row, with a number or
    not."""
    x = pl.col(view.x).cast(pl.Float64)
    rows = view.rows.frame.filter(x.is_finite()).group_by("run").agg(start=x.min(), stop=x.max())
    return finals.select("run", "final").join(rows, on="run", how="left")


def _drawn_runs(
    view: _View, y: str, table: pl.DataFrame, accounting: Accounting
) -> tuple[pl.DataFrame, tuple[int, ...]]:
    """Return the runs of the series that are drawn, and these series, best first where not all are
    drawn."""
    places = sorted(set(table["series"]))
    panels = table.select("panel", "series").unique()
    counts = dict(panels["panel"].value_counts().iter_rows())
    limits = {
        panel: min(limit_of(view.choices, count), MOST_CURVES) for panel, count in counts.items()
    }
    if all(limits[panel] == count for panel, count in counts.items()):
        return table, tuple(places)
    scored = scores_of(view.selection, y, view.choices, accounting)
    mode = mode_for(view.choices, y)
    splits = pl.Series([view.splits.of[run] for run in scored["run"]], dtype=pl.Int32)
    best: list[tuple[int, int]] = []
    for panel in sorted(counts):
        among = set(panels.filter(panel=panel)["series"])
        own = scored.filter(splits == panel)
        order = best_of(own, view.series, mode, among, limits[panel], view.tasks)
        best += [(panel, place) for place in order]
    best_series = pl.DataFrame(best, schema={"panel": pl.Int32, "series": pl.Int32}, orient="row")
    members = table.join(best_series, on=["panel", "series"], how="semi", maintain_order="left")
    return members, tuple(dict.fromkeys(place for _, place in best))


def _ends(plain: pl.DataFrame, diverged: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """Return where runs diverged; one that never had a value is marked at the lower left."""
    if not diverged.height:
        return diverged.select("run", "panel", "series").with_columns(x=_NULL, y=_NULL)
    last = last_values(plain, diverged["run"])
    corner = (numbers["x"].min(), numbers["center"].min())
    x0, y0 = (float(v) if isinstance(v, int | float) else 0.0 for v in corner)
    places = [last.get(run, (x0, y0)) for run in diverged["run"]]
    columns = {"x": [x for x, _ in places], "y": [y for _, y in places]}
    return diverged.select("run", "panel", "series").hstack(
        pl.DataFrame(columns, schema=dict.fromkeys("xy", pl.Float64))
    )


def _panel(view: _View, part: _Metric, number: int, colours: Mapping[int, int]) -> Panel:
    names = list(view.rows.numbers)
    groups = view.series.groups
    curves: list[Curve] = []
    rows = part.numbers.filter(panel=number).sort("curve", maintain_order=True)
    for points in rows.partition_by("curve", maintain_order=True):
        place, at, member = points.select("series", "run", "member").row(0)
        run = None if at is None else names[at]
        label = groups[place].label if run is None else f"{run} ({groups[place].label})"
        shape = points.select("x", "n", "center", "low", "high")
        runs = 1 if run is not None else part.counts.get((number, place), 0)
        curves.append(Curve(label, colours[place], runs, shape, run, member, groups[place].label))
    curves.sort(key=lambda curve: curve.member)
    marks = tuple(
        Mark(x, y, groups[place].label, colours[place], names[run])
        for run, _, place, x, y in part.diverged.filter(panel=number).iter_rows()
    )
    split_group = view.splits.groups[number]
    choices = view.choices
    bare = not part.banded and choices.band != "runs"
    split = split_group.label if split_group.values else ""
    y = f"{part.y}, scaled" if part.scaled else part.y
    return Panel(
        y,
        view.x,
        split,
        tuple(curves),
        bare,
        log_axes(curves, choices.log),
        choices.low,
        choices.high,
        marks,
    )


def _notes(
    view: _View, metrics: Sequence[_Metric], panels: Sequence[Panel], sizes: frozenset[int]
) -> tuple[str, ...]:
    choices = view.choices
    repetitions = min(part.repetitions for part in metrics)
    bare = any(panel.bare for panel in panels)
    words = words_at(choices.band, choices.level, sizes)
    words = words.partition(" ±")[0].partition(",")[0] if bare else words
    if repetitions < ALL_RESAMPLINGS:
        words += f" of {repetitions} resamplings, drawn straight between some values of x,"
    notes = list(dict.fromkeys(part.accounting.line(words) for part in metrics))
    if any(part.limited for part in metrics):
        identity = view.selection.identity
        where = " in each figure" if len(view.splits.groups) > 1 else ""
        limit = min(limit_of(choices, len(view.series.groups)), MOST_CURVES)
        notes.append(
            best_words(choices, view.series, identity, limit, len(view.series.groups), view.tasks)
            + where
        )
    if bare:
        notes.append(f"bands are left out, since a figure has more than {MOST_BANDS} curves")
    if smoothing := next((part.smoothing for part in metrics if part.smoothing), ""):
        notes.append(smoothing)
    coarse = max(part.coarse for part in metrics)
    if coarse:
        notes.append(
            f"runs have too many unlike values of x: they are averaged at {coarse} even ones"
        )
    left_out = max(part.left_out for part in metrics)
    if left_out:
        notes.append("single runs are not drawn, since they are too many")
    for part in metrics:
        if part.scaled:
            words = ", ".join(part.scaled)
            notes.append(
                f"{part.y} scaled within each {words}: 0 the lowest final value of these runs, 1"
                " the highest"
            )
    if any(panel.marks for panel in panels):
        ends = {
            "nan": ", and its group's curve ends",
            "drop": "",
            "worst": ", and has the worst final value from there",
        }
        notes.append(f"×: a run diverged{ends[choices.diverged] if choices.band != 'runs' else ''}")
    if any(drops(curve.points["n"].to_list()) for panel in panels for curve in panel.curves):
        notes.append("○: runs end, the mean goes on over fewer")
    notes += beyond_logarithms(panels, choices.log)
    notes += dict.fromkeys(note for part in metrics for note in part.accounting.notes())
    if any(not panel.curves for panel in panels):
        notes.append("some figures are empty: no run has both metrics")
    return tuple(notes)
