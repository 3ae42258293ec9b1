"""The page that opens first: its document as JSON, for a browser that asks and for a file that
travels.

`answer_routes` answers `/` and `/answer.json`; `runslot.view.web.export` writes the same document
into one file. Drawn in the browser by `page/answer.js`, which needs neither Dash nor Plotly: the
first view is small. What must stay true: what the document says of who counts, of means and of
intervals is `runslot.view.data.answer`'s and the curves are `runslot.view.data.curves`', as on the
page of plots.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from runslot.errors import RunslotError
from runslot.experiment.states import COLOURS, STATES, UNKNOWN
from runslot.quantiles import t_quantile
from runslot.results.columns import ANNOTATION_COLUMNS
from runslot.results.results import Results
from runslot.results.statistics.differences import Difference
from runslot.results.statistics.selection import optimism
from runslot.results.text.labels import text_of_value
from runslot.results.text.sources import reading_lines
from runslot.view.data.alignment import shared_start
from runslot.view.data.answer import (
    Answer,
    RankedVariant,
    answer_of,
    bad_counts,
    clause_of,
    number_words,
)
from runslot.view.data.choices import Choices
from runslot.view.data.curves import MOST_PANELS, Curve, Drawing, draw
from runslot.view.data.further import further_cells
from runslot.view.data.groups import choose, default_series, default_y, group
from runslot.view.data.marks import COLOURS as LINE_COLOURS
from runslot.view.data.marks import DASHES
from runslot.view.data.spread import words_at
from runslot.view.plotly.curves import xs_of
from runslot.view.plotly.figure import numbers
from runslot.view.web.live_runs import Moment
from runslot.view.web.progress import progress
from runslot.view.web.texts import Texts

FORMAT = 1
_BANDED, _LINED = 6, 60
"""Curves of each task that come with a band, and those that come as a line."""
_MOST_LABELS, _LABELS_OF_FILE = 60, 10
"""Variants, or runs, whose further curves are sent at a time, and that a file holds."""
_MOST_COLUMNS = 24
"""Further metrics that have a column."""
_MOST_PAIRS = 10_000
"""Pairs of variants whose differences a file holds."""


def document(
    moment: Moment,
    choices: Choices,
    baseline: str,
    texts: Texts,
    also: Sequence[str] = (),
    *,
    whole: bool = False,
) -> dict[str, Any]:
    """Return what the page shows at this moment, with columns of the metrics `also`; with `whole`
    also every run, for a file.

    Choices that these runs do not have are said in `message`, so that the page can offer others.
    """
    results, states = moment.results, _states(moment.results)
    page: dict[str, Any] = {
        "format": FORMAT,
        "version": moment.version,
        "base": results.base,
        "states": states,
        "colours": dict(COLOURS),
        "strokes": {"colours": LINE_COLOURS, "dashes": DASHES},
        "metrics": list(results.metrics),
        "text_metrics": list(results.text_metrics),
        "searches": list(moment.searches),
        "live": progress(moment, states, texts),
        "message": None,
    }
    try:
        results, selection, choices = question(moment, choices)
    except RunslotError as error:
        return page | {"message": str(error)}
    if not results.runs.height:
        return page | {"message": results.confirmation or _NO_RUNS}
    if not selection.runs.height:
        return page | {"message": "No run passes the filters."}
    if not default_y(selection.common_metrics) and not choices.y:
        return page | {"message": _no_numbers(results)}
    try:
        answer = answer_of(selection, results, choices, baseline)
    except RunslotError as error:
        return page | {"message": str(error)}
    answered = _answered(moment, results, selection, choices, answer)
    answered["variants"] = _variants(selection, answer, also, choices.level)
    return page | answered | (_for_file(moment, selection, choices, answer) if whole else {})


def _answered(
    moment: Moment, results: Results, selection: Results, choices: Choices, answer: Answer
) -> dict[str, Any]:
    """Return the answer and its curves, without the rows of the table."""
    curves, notes = _curves(moment, selection, answer, choices)
    return {
        "metric": answer.metric,
        "mode": answer.mode,
        "by": choices.by,
        "level": choices.level,
        "keys": list(answer.keys),
        "same": _same_in_all(selection, answer.keys),
        "sentence": answer.sentence,
        "accounting": answer.accounting.line(f"mean ± {100 * choices.level:.4g} % t interval"),
        "notes": [
            *filter(None, [results.confirmation]),
            *answer.accounting.notes(),
            *_selection_words(answer, choices.level),
            *reading_lines(results),
        ],
        "confirmed": bool(results.confirmation),
        "baseline": answer.baseline,
        "tasks": list(dict.fromkeys(v.task for v in answer.variants)),
        "runs": {},
        "deltas": None,
        "curves": curves,
        "curve_notes": list(notes),
        "x": selection.counter or "row",
    }


def _for_file(
    moment: Moment, selection: Results, choices: Choices, answer: Answer
) -> dict[str, Any]:
    """Return what a page asks its server for later, and a file has to hold."""
    return {
        "runs": runs_by_label(selection, answer),
        "deltas": _deltas(answer, choices.level),
        "metric_curves": _curves_for_file(moment, choices, answer),
    }


def question(moment: Moment, choices: Choices) -> tuple[Results, Results, Choices]:
    """Return the runs that count, those of them that were chosen, and the choices as the answer
    takes them: one metric, which is the search's where no other was chosen.

    Raises `InvalidInput` for choices that these runs do not have.
    """
    results = moment.shown(choices)
    selection = choose(results, choices)
    choices = dataclasses.replace(choices, split=(), y=choices.y[:1])
    return results, selection, _by_goal(choices, moment)


_NO_RUNS = "There are no runs yet; this page waits for them."


def _no_numbers(results: Results) -> str:
    texts = ", ".join(results.text_metrics)
    if texts:
        return f"No run has logged a number, but text alone: {texts}."
    return "No run has logged a number yet; this page waits for one."


def _states(results: Results) -> dict[str, int]:
    counts = Counter(state or UNKNOWN for state in results.runs["state"])
    waiting = sum(results.waiting.values())
    counts += Counter(queued=waiting) if waiting else Counter()
    order = [*STATES, *counts]
    return dict(sorted(counts.items(), key=lambda item: order.index(item[0])))


def _variant(variant: RankedVariant, answer: Answer) -> dict[str, Any]:
    return {
        "label": variant.label,
        "index": answer.groups.groups[variant.place].index,
        "values": list(variant.values),
        "task": variant.task,
        "mean": _finite(variant.mean),
        "low": _finite(variant.low),
        "high": _finite(variant.high),
        "text": "" if variant.mean is None else number_words(*_ends(variant)),
        "n": variant.n,
        "asked": variant.asked,
        "bad": bad_counts(variant.standings),
        "running": variant.standings.get("running", 0),
        "chance": variant.best_chance,
        "separable": variant.separable,
        "delta": _delta(variant.delta),
        "clause": clause_of(answer.keys, answer.groups.groups[variant.place].values),
    }


def _variants(
    selection: Results, answer: Answer, also: Sequence[str], level: float
) -> list[dict[str, Any]]:
    """Return the rows of the table, with what people put on their runs, and further columns."""
    variants = _with_annotations([_variant(v, answer) for v in answer.variants], answer)
    for name in also[:_MOST_COLUMNS]:
        cells = further_cells(selection, answer, name, level)
        for variant in variants:
            if variant["label"] in cells:
                variant.setdefault("also", {})[name] = cells[variant["label"]]
    return variants


def _with_annotations(variants: list[dict[str, Any]], answer: Answer) -> list[dict[str, Any]]:
    """Return the variants with the tags and notes of their runs, where there are any."""
    names = [name for name in ANNOTATION_COLUMNS if name in answer.scored.columns]
    for name in names:
        words: dict[str, dict[str, None]] = {}
        for run, cell in answer.scored.select("run", name).drop_nulls().iter_rows():
            label = answer.groups.groups[answer.groups.of[run]].label
            words.setdefault(label, {}).update(dict.fromkeys(_words_of(name, cell)))
        for variant in variants:
            if variant["label"] in words:
                variant[name] = list(words[variant["label"]])
    return variants


def _words_of(name: str, cell: str | None) -> list[str]:
    """Return the tags, or the note, in a cell."""
    if not cell:
        return []
    return cell.split(", ") if name == "tags" else [cell]


def _by_goal(choices: Choices, moment: Moment) -> Choices:
    """Return the choices with the metric and the way of the search, where no other was chosen."""
    goal, way = moment.goal or ("", "")
    if goal not in moment.results.metrics or choices.mode or choices.y not in {(), (goal,)}:
        return choices
    return dataclasses.replace(choices, y=(goal,), mode=way)


def _delta(delta: Difference | None) -> dict[str, Any] | None:
    if delta is None:
        return None
    return {
        "value": delta.estimate,
        "low": _finite(delta.low),
        "high": _finite(delta.high),
        "text": _signed(number_words(delta.estimate, delta.low, delta.high, digits=3)),
        "paired": delta.is_paired,
    }


def _deltas(answer: Answer, level: float) -> dict[str, dict[str, Any]] | None:
    """Return by label of each variant the differences to it; None where these are too many."""
    sizes = Counter(variant.task for variant in answer.variants)
    if sum(count**2 for count in sizes.values()) > _MOST_PAIRS:
        return None
    labels = {variant.place: variant.label for variant in answer.variants}
    return {
        label: {labels[rival]: _delta(d) for rival, d in answer.deltas_to(place, level).items()}
        for place, label in labels.items()
    }


def _ends(variant: RankedVariant) -> tuple[float, float | None, float | None]:
    assert variant.mean is not None
    return variant.mean, variant.low, variant.high


def _signed(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else f"+{text}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _same_in_all(selection: Results, keys: Sequence[str]) -> dict[str, str]:
    """Return the settings in which no two of these runs differ, which no row repeats."""
    return {
        key: text_of_value(selection.runs[key][0])
        for key in selection.parameters
        if key not in keys and selection.runs[key].n_unique() == 1
    }


def _selection_words(answer: Answer, level: float) -> list[str]:
    """Return by how much the best variant is expected to be too good, since its own runs make it
    the best of its task."""
    words = []
    for task in dict.fromkeys(v.task for v in answer.variants):
        rivals = [v for v in answer.variants if v.task == task and v.low is not None]
        means = [v.mean for v in rivals if v.mean is not None]
        if len(means) < 2:
            continue
        errors = [_standard_error(v, level) for v in rivals]
        gain = optimism(means, errors, answer.mode)
        if gain > 0:
            way = "higher" if answer.mode == "min" else "lower"
            place = f"{task}: " if task else ""
            words.append(
                f"{place}the best of {len(means)} is best by its own seeds: expect about "
                f"{gain:.2g} {way} on new ones"
            )
    return words


def _standard_error(variant: RankedVariant, level: float) -> float:
    if variant.low is None or variant.high is None:
        return 0.0
    return (variant.high - variant.low) / 2 / t_quantile(level, variant.n - 1)


def runs_by_label(
    selection: Results, answer: Answer, labels: Iterable[str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return by label of a variant its runs; of all variants where `labels` is None."""
    wanted = None if labels is None else set(labels)
    common = shared_start(selection.runs["run"].to_list())
    annotated = [name for name in ANNOTATION_COLUMNS if name in answer.scored.columns]
    columns = ["run", "seed", "state", "seconds", "rows", "score", "standing", *annotated]
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in answer.scored.select(columns).iter_rows(named=True):
        label = answer.groups.groups[answer.groups.of[row["run"]]].label
        if wanted is not None and label not in wanted:
            continue
        row["score"] = _finite(row["score"])
        row["name"] = row["run"][common:]
        row |= {name: words for name in annotated if (words := _words_of(name, row.pop(name)))}
        runs.setdefault(label, []).append(row)
    return runs


def metric_curves(
    moment: Moment,
    choices: Choices,
    metric: Sequence[str],
    label: Sequence[str] = (),
    run: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Return by metric and label the mean curves of some variants, or by metric and run those of
    some runs. Raises `InvalidInput` for a metric that no run has."""
    results, selection, choices = question(moment, choices)
    choices = dataclasses.replace(
        choices, y=tuple(metric[:MOST_PANELS]), kind="curves", x="", hide=(), band="mean-ci", top=0
    )
    if run:
        selection = moment.results.where(pl.col("run").is_in(list(run[:_MOST_LABELS])))
        choices = dataclasses.replace(choices, series=("run",), include=("all",))
        results = moment.results
    elif label:
        keys = default_series(results) if choices.series is None else choices.series
        groups = group(selection, keys, results)
        places = {p for p, g in enumerate(groups.groups) if g.label in label[:_MOST_LABELS]}
        runs = [name for name, place in groups.of.items() if place in places]
        selection = selection.where(pl.col("run").is_in(runs))
        choices = dataclasses.replace(choices, series=keys)
    if not selection.runs.height or not choices.y:
        return {}
    curves: dict[str, dict[str, Any]] = {name: {} for name in choices.y}
    for panel in draw(selection, moment.rows, choices, results, quick=True).panels:
        for curve in panel.curves:
            if not curve.member:
                name = curve.run or curve.group
                name = name.removeprefix("run=") if run else name
                curves[panel.y][name] = _line(curve)
    return curves


def _curves_for_file(
    moment: Moment, choices: Choices, answer: Answer
) -> dict[str, dict[str, Any]] | None:
    """Return the curves of all metrics of the best variants; None where these are many."""
    metrics = moment.results.metrics
    if not 1 < len(metrics) <= MOST_PANELS:
        return None
    labels = [variant.label for variant in answer.variants[:_LABELS_OF_FILE]]
    return metric_curves(moment, choices, metrics, labels)


def _curves(
    moment: Moment, selection: Results, answer: Answer, choices: Choices
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return by label of a variant its curve: the best of each task with bands, others as lines."""
    choices = dataclasses.replace(choices, y=(answer.metric,), kind="curves", x="", hide=())
    split = (
        answer.tasks if len(dict.fromkeys(v.task for v in answer.variants)) <= MOST_PANELS else ()
    )
    choices = dataclasses.replace(choices, split=split)

    def drawn(top: int, *, runs: bool) -> Drawing:
        band = choices.band if runs else "mean-ci"
        part = dataclasses.replace(choices, top=top, band=band)
        return draw(selection, moment.rows, part, moment.results, quick=True)

    curves: dict[str, Any] = {}
    most = max(Counter(v.task for v in answer.variants).values())
    drawing = drawn(min(_BANDED, most), runs=True)
    if most > _BANDED:
        for panel in drawn(min(_LINED, most), runs=False).panels:
            for curve in panel.curves:
                curves[curve.group] = _line(curve)
    for panel in drawing.panels:
        for curve in panel.curves:
            if not curve.member:
                curves[curve.group] = _line(curve) | {"members": []}
        for curve in panel.curves:
            if curve.member:
                member = {**xs_of(curve.points["x"]), "y": numbers(curve.points["center"])}
                curves[curve.group]["members"].append(member)
        for mark in panel.marks:
            crosses = curves.setdefault(mark.label, {"y": []}).setdefault("crosses", [])
            crosses.append([mark.x, mark.y, mark.run])
    sizes = {curve.runs for panel in drawing.panels for curve in panel.curves if not curve.member}
    words = words_at(choices.band, choices.level, sizes)
    told = {*answer.accounting.notes()}
    notes = (n for n in drawing.notes[1:] if n not in told and " best by " not in n)
    return curves, (words, *notes)


def _line(curve: Curve) -> dict[str, Any]:
    points = curve.points
    line: dict[str, Any] = {**xs_of(points["x"]), "y": numbers(points["center"]), "n": curve.runs}
    if points["low"].null_count() < points.height:
        line["low"] = numbers(points["low"].fill_null(points["center"]))
        line["high"] = numbers(points["high"].fill_null(points["center"]))
    return line
