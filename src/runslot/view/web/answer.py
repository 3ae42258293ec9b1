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
import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from runslot.errors import RunslotError
from runslot.experiment.rundir import RunDir
from runslot.experiment.states import BAD, COLOURS, STATES, UNKNOWN
from runslot.experiment.status import time_left
from runslot.quantiles import t_quantile
from runslot.results.columns import ANNOTATION_COLUMNS
from runslot.results.results import Results
from runslot.results.statistics.differences import Difference
from runslot.results.statistics.selection import optimism
from runslot.results.summary import FINAL, objective_of
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
from runslot.view.data.groups import choose, default_y
from runslot.view.data.marks import COLOURS as LINE_COLOURS
from runslot.view.data.marks import DASHES
from runslot.view.data.spread import words_at
from runslot.view.plotly.curves import xs_of
from runslot.view.plotly.figure import numbers
from runslot.view.web.live_runs import Moment
from runslot.view.web.texts import Texts, console_text

FORMAT = 1
_BANDED, _LINED = 6, 60
"""Curves of each task that come with a band, and those that come as a line."""
_MOST_SLOTS, _MOST_FAILURES = 64, 20
"""Runs under way, and failed ones, that are listed."""
_MOST_PAIRS = 10_000
"""Pairs of variants whose differences a file holds."""
_LAST_BYTES = 4096
"""Of a console, from which its last line is taken."""


def document(
    moment: Moment, choices: Choices, baseline: str, texts: Texts, *, whole: bool = False
) -> dict[str, Any]:
    """Return what the page shows at this moment; with `whole` also every run, for a file.

    Choices that these runs do not have are said in `message`, so that the page can offer others.
    """
    results = moment.results
    page: dict[str, Any] = {
        "format": FORMAT,
        "version": moment.version,
        "base": results.base,
        "states": _states(results),
        "colours": dict(COLOURS),
        "strokes": {"colours": LINE_COLOURS, "dashes": DASHES},
        "metrics": list(results.metrics),
        "live": _live(results, texts),
        "message": None,
    }
    try:
        results = moment.shown(choices)
        selection = choose(results, choices)
    except RunslotError as error:
        return page | {"message": str(error)}
    if not results.runs.height:
        return page | {"message": results.confirmation or _NO_RUNS}
    if not selection.runs.height:
        return page | {"message": "No run passes the filters."}
    if not default_y(selection.common_metrics) and not choices.y:
        return page | {"message": _no_numbers(results)}
    choices = _by_goal(dataclasses.replace(choices, split=(), y=choices.y[:1]), results)
    try:
        answer = answer_of(selection, results, choices, baseline)
    except RunslotError as error:
        return page | {"message": str(error)}
    curves, notes = _curves(moment, selection, answer, choices)
    return page | {
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
        "baseline": answer.baseline,
        "tasks": list(dict.fromkeys(v.task for v in answer.variants)),
        "variants": _with_annotations([_variant(v, answer) for v in answer.variants], answer),
        "runs": runs_by_label(selection, answer) if whole else {},
        "deltas": _deltas(answer, choices.level) if whole else None,
        "curves": curves,
        "curve_notes": list(notes),
        "x": selection.counter or "row",
    }


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


def _with_annotations(variants: list[dict[str, Any]], answer: Answer) -> list[dict[str, Any]]:
    """Return the variants with the tags and notes of their runs, where there are any."""
    names = [name for name in ANNOTATION_COLUMNS if name in answer.scored.columns]
    for name in names:
        words: dict[str, dict[str, None]] = {}
        for run, cell in answer.scored.select("run", name).drop_nulls().iter_rows():
            label = answer.groups.groups[answer.groups.of[run]].label
            parts = cell.split(", ") if name == "tags" else [cell]
            words.setdefault(label, {}).update(dict.fromkeys(parts))
        for variant in variants:
            if variant["label"] in words:
                variant[name] = list(words[variant["label"]])
    return variants


def _by_goal(choices: Choices, results: Results) -> Choices:
    """Return the choices with the metric and the way of the search, where no other was chosen."""
    goal, way = objective_of(results.roots)
    if goal not in results.metrics or choices.mode or choices.y not in {(), (goal,)}:
        return choices
    return dataclasses.replace(choices, y=(str(goal),), mode=way or "")


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
    columns = ["run", "seed", "state", "seconds", "rows", "score", "standing"]
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in answer.scored.select(columns).iter_rows(named=True):
        label = answer.groups.groups[answer.groups.of[row["run"]]].label
        if wanted is not None and label not in wanted:
            continue
        row["score"] = _finite(row["score"])
        row["name"] = row["run"][common:]
        runs.setdefault(label, []).append(row)
    return runs


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


def _live(results: Results, texts: Texts) -> dict[str, Any] | None:
    """Return how far the runs are, which run in which slot, and what failed; None where nothing is
    under way and nothing failed."""
    states = _states(results)
    running = results.runs.filter(pl.col("state") == "running").sort("slot", nulls_last=True)
    failed = results.runs.filter(pl.col("state").is_in(list(BAD))).sort(
        "ended", descending=True, nulls_last=True
    )
    if not running.height and not states.get("queued") and not failed.height:
        return None
    now = time.time()
    metric = next(iter(default_y(results.common_metrics)), None)
    counter = results.counter
    durations = results.runs.filter(pl.col("state") == "succeeded")["seconds"].drop_nulls()
    ages = [now - started.timestamp() for started in running["started"].drop_nulls()]
    left = time_left(durations.to_list(), ages, states.get("queued", 0), running.height)
    common = shared_start(results.runs["run"].to_list())
    is_one_host = running["host"].drop_nulls().n_unique() <= 1
    slots = []
    for row in running.head(_MOST_SLOTS).iter_rows(named=True):
        values = [
            f"{name} {text_of_value(row[FINAL + name])}"
            for name in (counter, metric)
            if name is not None and row[FINAL + name] is not None
        ]
        started = row["started"]
        slots.append(
            {
                "run": row["run"],
                "name": row["run"][common:],
                "slot": _slot_words(row, is_one_host=is_one_host),
                "last": ", ".join(values),
                "seconds": None if started is None else now - started.timestamp(),
            }
        )
    return {
        "total": sum(states.values()),
        "done": sum(n for state, n in states.items() if state not in {"running", "queued"}),
        "running": running.height,
        "queued": states.get("queued", 0),
        "left_s": left if running.height else None,
        "slots": slots,
        "failed": failed.height,
        "failures": [
            {
                "run": row["run"],
                "name": row["run"][common:],
                "state": row["state"],
                "last": _last_words(row, texts),
            }
            for row in failed.head(_MOST_FAILURES).iter_rows(named=True)
        ],
    }


def _slot_words(row: Mapping[str, Any], *, is_one_host: bool) -> str:
    if row["slot"] is None:
        return ""
    host = "" if is_one_host else row["host"] or ""
    return f"{host} slot {row['slot']}".strip()


def _last_words(row: Mapping[str, Any], texts: Texts) -> str:
    """Return why a run failed: what its outcome says, and the last line that it printed."""
    try:
        directory = RunDir(texts.directory(row["path"]))
    except RunslotError:
        return ""
    outcome = texts.read(Path(directory.outcome_file)) or ""
    try:
        message = str(json.loads(outcome).get("message") or "")
    except (ValueError, AttributeError):
        message = ""
    console = texts.read(Path(directory.console), _LAST_BYTES)
    lines = console_text(console).split("\n") if console else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return " · ".join(dict.fromkeys(words for words in (message, last) if words))
