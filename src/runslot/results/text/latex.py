"""The table for a paper: LaTeX with booktabs, and a caption that says what was done.

Called by `runslot results --latex`. Bold is what is not shown to be worse than the best of its
task, so that a lead that is chance is not printed as one.
"""

from __future__ import annotations

import math

from runslot.results.statistics.scores import mean_interval
from runslot.results.text.labels import texts_of
from runslot.results.text.short_labels import left_out_note, places_telling
from runslot.results.text.table import spread_cells, way_words
from runslot.results.verdicts import VariantVerdict, Verdicts
from runslot.terminal_text import one_line

_KEY_COLUMNS = 8
"""Settings that have a column each; of more, those that tell the variants apart."""
_ESCAPED = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "–": "--",
        "[": "{[}",
        "*": "{*}",
    }
)


def latex_of(verdicts: Verdicts) -> str:
    """Return a `table` environment; it needs `\\usepackage{booktabs}`."""
    comparison = verdicts.comparison
    settings = _settings_shown(verdicts)
    means = spread_cells(
        [row.sample.mean if row.sample.has_value else math.nan for row in verdicts.rows],
        [_width(row, verdicts.level) for row in verdicts.rows],
    )
    metric = _escaped(comparison.metric or "")
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{_caption(verdicts)}}}",
        f"  \\begin{{tabular}}{{{'l' * len(settings)}rr}}",
        "    \\toprule",
        f"    {' & '.join([*map(_escaped, settings), '$n$', metric])} \\\\",
        "    \\midrule",
    ]
    task = verdicts.rows[0].task if verdicts.rows else ""
    is_tested = any(row.p is not None for row in verdicts.rows)
    for place, (row, mean) in enumerate(zip(verdicts.rows, means, strict=True)):
        if row.task != task:
            lines.append("    \\addlinespace")
            task = row.task
        names = [_escaped(texts[place]) for texts in settings.values()]
        cells = [*names, str(row.account.n), _value(mean, row, is_tested)]
        lines.append(f"    {' & '.join(cells)} \\\\")
    return "\n".join([*lines, "    \\bottomrule", "  \\end{tabular}", "\\end{table}"])


def _settings_shown(verdicts: Verdicts) -> dict[str, list[str]]:
    """Return by setting what it is in each row: all that vary, or of many the tasks and as many as
    tell the variants apart."""
    accounting, rows = verdicts.comparison.accounting, verdicts.rows
    columns = {}
    for place, key in enumerate(accounting.keys):
        texts = texts_of(row.account.values[place] for row in rows)
        columns[key] = [
            one_line(str(texts.get(row.account.values[place], row.account.values[place])))
            for row in rows
        ]
    if len(columns) <= _KEY_COLUMNS or not rows:
        return columns
    telling = places_telling(list(zip(*columns.values(), strict=True)))
    return {
        key: texts
        for place, (key, texts) in enumerate(columns.items())
        if place in telling or key in accounting.scales
    }


def _width(row: VariantVerdict, level: float) -> float | None:
    if not row.sample.has_value or len(row.sample.scores) < 2:
        return None
    interval = mean_interval([row.sample.scores], level=level)
    return interval.high - interval.estimate


def _value(mean: str, row: VariantVerdict, is_tested: bool) -> str:
    """Return a mean as mathematics; bold where it is not worse than the reference, if anything was
    compared at all."""
    if not row.sample.has_value:
        return "--"
    value = mean.strip().replace(" ± ", " \\pm ")
    return f"$\\mathbf{{{value}}}$" if is_tested and row.verdict != "worse" else f"${value}$"


def _caption(verdicts: Verdicts) -> str:
    comparison = verdicts.comparison
    sizes = sorted({row.account.n for row in verdicts.rows if row.account.n})
    n = (
        ""
        if not sizes
        else f"$n = {sizes[0]}$"
        if len(sizes) == 1
        else (f"$n = {sizes[0]}$ to ${sizes[-1]}$")
    )
    percent = f"{100 * verdicts.level:.6g}\\,\\%"
    at = f" at {_escaped(comparison.results.at)}" if comparison.results.at else ""
    beside = "the best" if verdicts.is_best else _escaped(", ".join(verdicts.references.values()))
    if any(verdicts.references):
        beside += " of its task"
    parts = [
        f"{_escaped(comparison.metric or '')}{at} ({way_words(comparison.mode)}): mean $\\pm$"
        f" {percent} Student interval over {_evidence(verdicts)}, {n}.",
        *_bold_words(verdicts, beside),
        f"{_escaped(comparison.accounting.line())}.",
        _escaped(comparison.results.confirmation),
        _escaped(verdicts.remark),
        _escaped(left_out_note(comparison.accounting.keys, list(_settings_shown(verdicts)))),
    ]
    return " ".join(filter(None, parts))


def _evidence(verdicts: Verdicts) -> str:
    """Return what the means are over: seeds, or runs where these are not known to be that."""
    return "runs" if "run" in verdicts.comparison.accounting.evidence() else "seeds"


def _bold_words(verdicts: Verdicts, beside: str) -> list[str]:
    """Return what bold says; nothing where nothing was compared."""
    deltas = [row.difference for row in verdicts.rows if row.difference is not None]
    tested = [delta for delta in deltas if delta.p is not None]
    if not deltas:
        return []
    if not tested:
        return [f"One run each does not tell what is worse than {beside}."]
    tests = sorted({_escaped(delta.test) for delta in tested})
    names = [f"$t$ test {test}" if "paired" in test else f"{test} test" for test in tests]
    if verdicts.comparison.is_under_way:
        return [f"Runs are under way; bold: not yet shown to be worse than {beside}."]
    alpha = f"$\\alpha = {1 - verdicts.level:.3g}$"
    within = " within each task" if any(verdicts.references) else ""
    compared = max(verdicts.compared(task) for task in verdicts.references)
    over = " for all pairs" if verdicts.is_best else ""
    holm = f", Holm's correction{over}{within}" if compared > 1 else ""
    words = f"{' or '.join(names)}, two-sided{holm}, {alpha}"
    return [f"Bold: not significantly worse than {beside} ({words})."]


def _escaped(text: str) -> str:
    return text.translate(_ESCAPED)
