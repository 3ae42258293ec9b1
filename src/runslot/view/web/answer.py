"""The page that opens first: its document as JSON, for a browser that asks and for a file that
travels.

`answer_routes` answers `/` and `/answer.json`; `runslot.view.web.export` writes the same document
into one file. Drawn in the browser by `page/answer.js`, which needs neither Dash nor Plotly: the
first view is small. What must stay true: what the document says of who counts, of means and of
intervals is `runslot.view.data.answer`'s and the curves are `runslot.view.data.curves`', as on the
page of plots.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from runslot.errors import RunslotError
from runslot.experiment.states import COLOURS, STATES, UNKNOWN
from runslot.quantiles import t_quantile
from runslot.results.accounts import tasks_of
from runslot.results.columns import ANNOTATION_COLUMNS
from runslot.results.results import Results
from runslot.results.statistics.differences import Difference
from runslot.results.statistics.selection import optimism
from runslot.results.text.labels import text_of_value
from runslot.results.text.sources import reading_lines
from runslot.view.data.alignment import shared_start
from runslot.view.data.answer import (
    Answer,
    answer_of,
    bad_counts,
    clause_of,
)
from runslot.view.data.choices import Choices
from runslot.view.data.further import ATTRIBUTES, further_cells, mixed_cells
from runslot.view.data.groups import default_y
from runslot.view.data.marks import COLOURS as LINE_COLOURS
from runslot.view.data.marks import DASHES
from runslot.view.data.sentence import RankedVariant, number_words
from runslot.view.web.answer_curves import (
    answer_curves,
    curves_for_file,
    run_curves_for_file,
)
from runslot.view.web.live_runs import Moment
from runslot.view.web.progress import progress
from runslot.view.web.texts import Texts

FORMAT = 1
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
        results, selection, choices = moment.question(choices)
    except RunslotError as error:
        return page | {"message": str(error)}
    if not results.runs.height:
        return page | {"message": results.confirmation or _no_runs(moment.results)}
    if not selection.runs.height:
        return page | {"message": "No run passes the filters."}
    objective = default_y(selection.common_metrics)
    if not choices.y and (not objective or objective == (results.counter,)):
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
    curves, notes = answer_curves(moment, selection, answer, choices)
    return {
        "metric": answer.metric,
        "mode": answer.mode,
        "by": choices.by,
        "level": choices.level,
        "keys": list(answer.keys),
        "identity": list(results.identity),
        "task_keys": list(tasks_of(results)),
        "pooled": _pooled(selection, answer),
        "attributes": [name for name in ATTRIBUTES if name in results.runs.columns],
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
        "metric_curves": curves_for_file(moment, choices, answer),
        "run_curves": run_curves_for_file(moment, selection, answer),
    }


_FILES_NAMED = 3
"""Files that may hold numbers and were not read, that an empty page names."""


def _no_runs(results: Results) -> str:
    """Return what to do where there is nothing to show."""
    if results.problems:
        more = len(results.problems) - 1
        return f"No run can be read: {results.problems[0]}" + (f"; and {more} more" if more else "")
    if not results.unread:
        return (
            "There are no runs yet; this page waits for them. Start some below this directory "
            "(runslot run …), or open a directory that has some."
        )
    more = len(results.unread) - _FILES_NAMED
    rest = f"; and {more} more" if more > 0 else ""
    names = (str(file).replace(f"{results.base}/", "") for file in results.unread[:_FILES_NAMED])
    return (
        "No run lies below this directory; not read: "
        f"{'; '.join(names)}{rest}. Logs of other names are read "
        "with runslot view --log 'GLOB'."
    )


def _no_numbers(results: Results) -> str:
    texts = ", ".join(results.text_metrics)
    counter = f" beside {results.counter}, which counts its steps" if results.counter else ""
    if texts:
        return f"No run has logged a number{counter}, but text: {texts}."
    if counter:
        return f"No run has logged a number{counter}; this page waits for one."
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
        "asked": variant.runs,
        "bad": bad_counts(variant.standings),
        "running": variant.standings.get("running", 0),
        "chance": variant.best_chance,
        "separable": variant.separable,
        "may_be_best": variant.may_be_best,
        "delta": _delta(variant.delta),
        "clause": clause_of(answer.keys, answer.groups.groups[variant.place].values),
    }


def _variants(
    selection: Results, answer: Answer, also: Sequence[str], level: float
) -> list[dict[str, Any]]:
    """Return the rows of the table, with what people put on their runs, and further columns."""
    variants = _with_annotations([_variant(v, answer) for v in answer.variants], answer)
    columns = {name: further_cells(selection, answer, name, level) for name in also[:_MOST_COLUMNS]}
    columns |= {key: mixed_cells(selection, answer, key) for key in _pooled(selection, answer)}
    for name, cells in columns.items():
        for variant in variants:
            if variant["label"] in cells:
                variant.setdefault("also", {})[name] = cells[variant["label"]]
    return variants


def _pooled(selection: Results, answer: Answer) -> list[str]:
    """Return the settings that tell variants apart and that nobody groups by."""
    return [key for key in selection.identity if key not in answer.keys]


def _with_annotations(variants: list[dict[str, Any]], answer: Answer) -> list[dict[str, Any]]:
    """Return the variants with the tags and notes of their runs, where there are any."""
    for name, column in _annotation_columns(answer).items():
        words: dict[str, dict[str, None]] = {}
        for run, cell in answer.scored.select("run", column).drop_nulls().iter_rows():
            label = answer.groups.groups[answer.groups.of[run]].label
            words.setdefault(label, {}).update(dict.fromkeys(_words_of(name, cell)))
        for variant in variants:
            if variant["label"] in words:
                variant[name] = list(words[variant["label"]])
    return variants


def _annotation_columns(answer: Answer) -> dict[str, str]:
    """Return by name the columns of what people said of runs; a parameter may have such a name."""
    columns = {
        name: f"annotation.{name}" if f"annotation.{name}" in answer.scored.columns else name
        for name in ANNOTATION_COLUMNS
    }
    parameters = answer.parameters
    return {n: c for n, c in columns.items() if c in answer.scored.columns and c not in parameters}


def _words_of(name: str, cell: str | None) -> list[str]:
    """Return the tags, or the note, in a cell."""
    if not cell:
        return []
    return cell.split(", ") if name == "tags" else [cell]


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
    label_filter = None if labels is None else set(labels)
    common = shared_start(selection.runs["run"].to_list())
    annotated = _annotation_columns(answer)
    columns = ["run", "seed", "state", "seconds", "rows", "score", "standing", *annotated.values()]
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in answer.scored.select(columns).iter_rows(named=True):
        label = answer.groups.groups[answer.groups.of[row["run"]]].label
        if label_filter is not None and label not in label_filter:
            continue
        row["score"] = _finite(row["score"])
        row["name"] = row["run"][common:]
        cells = {name: row.pop(column) for name, column in annotated.items()}
        row |= {name: words for name, cell in cells.items() if (words := _words_of(name, cell))}
        runs.setdefault(label, []).append(row)
    return runs
