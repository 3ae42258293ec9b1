"""What explains the variance of the scores, as charts. Pure.

`runslot.view.data.kinds` calls it. What must stay true: tasks are never judged together, since the
variance of their scores together is that of their scales.
"""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.results.results import Results
from runslot.results.statistics import Interval, VarianceShares, divergence, variance_shares
from runslot.results.text.labels import task_of, texts_of
from runslot.view.data.chart import Chart, View
from runslot.view.data.groups import default_x
from runslot.view.data.intervals import INTERVALS, PART

_MOST_RUNS_JUDGED = 2000
"""Runs from which importance is computed while somebody waits."""
_MOST_TASKS = 12
_MOST_PAIRS = 6
_SHARE_COLOUR, _PLAIN_COLOUR, _DIVERGED_COLOUR = "#0072B2", "#868E96", "#D55E00"


def importances(view: View) -> list[Chart]:
    """Return what explains the variance of the scores, task by task, and beside it what each
    parameter does to divergence."""
    x = view.choices.x or default_x(view.selection)
    counted = view.accounting.counted()["run"]
    runs = view.selection
    if view.quick and len(counted) > _MOST_RUNS_JUDGED:
        evenly = counted.gather_every(-(-len(counted) // _MOST_RUNS_JUDGED))
        runs = runs.where(pl.col("run").is_in(evenly.implode()))
        view.notes.append(f"from {len(evenly)} of the {len(counted)} runs, evenly chosen")
    rule = view.accounting.rule
    view.notes[0] = f"{view.notes[0].partition('; pooled over')[0]}; each run by itself"
    view.notes.append(
        "share of the variance of the scores that each hyperparameter explains by itself, that two"
        " explain together, and seeds; the interval is over random forests"
    )
    charts = []
    for task, part in _tasks(view, runs):
        try:
            shares = variance_shares(part, view.metric, view.mode, view.choices.by, x=x, rule=rule)
        except InvalidInput as error:
            if not task:
                raise
            view.notes.append(f"{task}: {error}")
            continue
        if shares.seeds is None:
            place = f"{task}: " if task else ""
            view.notes.append(f"{place}too few runs of one variant tell what seeds explain")
        charts.append(_chart_of(view, task, shares))
    divergences = divergence(view.selection, view.metric, rule=rule, level=view.choices.level)
    if divergences["diverged"].sum():
        rows = [
            (PART, f"{name}={value}", _DIVERGED_COLOUR, share, low, high, 0, n)
            for name, value, n, _, share, low, high in divergences.iter_rows()
        ]
        data = pl.DataFrame(rows, schema=INTERVALS, orient="row")
        title = "probability to diverge"
        charts.append(
            Chart("points", view.metric, title, title, "", data, {"log": (), "limits": (0.0, 1.0)})
        )
    if not charts:
        raise InvalidInput(f"nothing tells what matters: {view.notes[-1]}")
    return charts


def _tasks(view: View, runs: Results) -> list[tuple[str, Results]]:
    """Return the runs of each task: a share of a variance over several would be of their scales."""
    tasks = [task for task in view.tasks if runs.runs[task].n_unique() > 1]
    if not tasks:
        return [("", runs)]
    texts = {task: texts_of(runs.runs[task].unique()) for task in tasks}
    parts = [(task_of(tasks, values, texts), part) for values, part in runs.group_by(*tasks)]
    if len(parts) > _MOST_TASKS:
        view.notes.append(f"the first {_MOST_TASKS} of {len(parts)} tasks")
    return sorted(parts, key=lambda pair: pair[0])[:_MOST_TASKS]


def _chart_of(view: View, task: str, shares: VarianceShares) -> Chart:
    rows = [_share(name, share, shares.runs) for name, share in shares.main.items()]
    rows += [
        _share(" × ".join(pair), share, shares.runs)
        for pair, share in list(shares.pairs.items())[:_MOST_PAIRS]
    ]
    if shares.seeds is not None:
        rows.append((PART, "seeds", _PLAIN_COLOUR, shares.seeds, None, None, 0, shares.runs))
    rest = (PART, "nothing of these", _PLAIN_COLOUR, shares.unexplained, None, None, 0, shares.runs)
    data = pl.DataFrame([*rows, rest], schema=INTERVALS, orient="row")
    settings = {"log": (), "limits": (0.0, None)}
    return Chart("bars", view.metric, task, "share of the variance", "", data, settings)


def _share(label: str, share: Interval, n: int) -> tuple[Any, ...]:
    low, high = (value if math.isfinite(value) else None for value in (share.low, share.high))
    return (PART, label, _SHARE_COLOUR, share.estimate, low, high, 0, n)
