"""Verdicts in a terminal: every variant beside one, in 80 columns, and under it what was tested and
what to run next.

Called by `runslot results --vs` and `runslot results compare`.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runslot.results.members import label_in_task
from runslot.results.statistics.decisions import MORE_AT_MOST
from runslot.results.statistics.differences import Difference, sign_flip_least
from runslot.results.statistics.scores import mean_interval
from runslot.results.text.labels import NOTHING, texts_of
from runslot.results.text.short_labels import short_labels
from runslot.results.text.table import (
    label_cells,
    many,
    notes_of,
    show,
    spread_cells,
    table_width,
    way_words,
)
from runslot.results.verdicts import VariantVerdict, Verdicts
from runslot.terminal_text import one_line

_STYLES = {"better": "green", "worse": "red", "not decided": "yellow"}
_FEW_PAIRS = 5
"""Pairs up to which no exact test decides at 5 %."""


def print_verdicts(
    verdicts: Verdicts, console: Console, *, command: str | None = None, limit: int | None = None
) -> None:
    """Print a table a task, what was tested, who counts, and the `command` that runs further
    seeds."""
    comparison = verdicts.comparison
    terminal = console.is_terminal
    style = "dim" if terminal else ""
    heading = f"{many(len(verdicts.rows), 'variant')} · {comparison.metric}, "
    show(console, Text(f"{heading}{way_words(comparison.mode)}", style="bold"))
    names = _short_names(verdicts)
    _paragraph(console, verdicts.sentence(names), "bold" if terminal else "")
    for task, reference in verdicts.references.items():
        rows = [row for row in verdicts.rows if row.task == task][:limit]
        if task:
            show(console, Text(task))
        for part in _table(rows, reference, verdicts, console):
            show(console, part)
    counts = Counter(row.task for row in verdicts.rows)
    hidden = sum(max(0, count - (count if limit is None else limit)) for count in counts.values())
    if hidden:
        _paragraph(console, f"{many(hidden, 'more variant')} not shown (--limit).", style)
    for note in _notes(verdicts, command, names):
        _paragraph(console, note, style)
    if command is not None and verdicts.seeds_advised is not None:
        console.print(Text(f"  {command}"), soft_wrap=True, highlight=False)
    for line in notes_of(comparison, comparison.table.height)[:1]:
        _paragraph(console, str(line), style)
    for line in notes_of(comparison, comparison.table.height)[1:]:
        if not str(line).startswith(("final:", "First")):
            _paragraph(console, str(line), style)


def _paragraph(console: Console, text: str, style: str) -> None:
    if console.is_terminal:
        lines = textwrap.wrap(text, max(console.width - 1, 20), break_long_words=False) or [""]
        for line in lines:
            show(console, Text(line, style=style))
    else:
        show(console, Text(text))


def _table(
    rows: Sequence[VariantVerdict], reference: str, verdicts: Verdicts, console: Console
) -> list[Table | Text]:
    """Return the table, with a column a setting as far as there are few and they fit in the
    terminal, else with all in one."""
    terminal = console.is_terminal
    columns = _setting_columns(rows, verdicts)
    is_few = 0 < len(columns) <= _KEY_COLUMNS
    names = columns if is_few else {"variant": [one_line(row.label) for row in rows]}
    table = _with_values(names, rows, reference, verdicts, terminal)
    if not (terminal and columns) or (is_few and table_width(table, console) <= console.width):
        return [table]
    bare = _with_values({"": [""] * len(rows)}, rows, reference, verdicts, terminal)
    width = console.width - table_width(bare, console)
    cells, note = label_cells(list(columns), list(columns.values()), width)
    table = _with_values({"variant": cells}, rows, reference, verdicts, terminal)
    return [table, *([Text(note, style="dim")] if note else [])]


def _with_values(
    names: Mapping[str, Sequence[str]],
    rows: Sequence[VariantVerdict],
    reference: str,
    verdicts: Verdicts,
    terminal: bool,
) -> Table:
    padding = (0, 1, 0, 0) if terminal else (0, 2, 0, 0)
    table = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False, padding=padding)
    for name, column in names.items():
        is_number = all(_is_number(cell) for cell in column)
        table.add_column(
            Text(name),
            overflow="fold",
            justify="right" if is_number else "left",
            no_wrap=name != "variant",
        )
    for name in ("n", "mean", "Δ", "p"):
        table.add_column(name, justify="right" if name in {"n", "p"} else "left", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("more", justify="right", no_wrap=True)
    # nan is of runs that diverged; a variant of which no run counts has no value
    means = [row.sample.mean if row.sample.scores else None for row in rows]
    level = verdicts.level
    mean_cells = spread_cells(means, [_half_width(row, level) for row in rows])
    deltas = spread_cells(
        [math.nan if row.difference is None else row.difference.estimate for row in rows],
        [_width(row.difference) for row in rows],
    )
    texts = zip(*names.values(), strict=True)
    for row, cells, mean, delta in zip(rows, texts, mean_cells, deltas, strict=True):
        words = _verdict_words(row, reference)
        table.add_row(
            *map(Text, cells),
            Text(_count_words(row)),
            Text(mean),
            Text("" if row.difference is None else delta),
            Text(_p_words(row.p)),
            Text(words, style=_STYLES.get(words, "") if terminal else ""),
            Text(_more_words(row.more)),
        )
    return table


_KEY_COLUMNS = 3
"""Settings that have a column each; more stand in one."""


def _setting_columns(rows: Sequence[VariantVerdict], verdicts: Verdicts) -> dict[str, list[str]]:
    """Return by setting, its task apart, what it is in each row; none where rows differ in which
    settings they have."""
    accounting = verdicts.comparison.accounting
    if not all(len(row.account.values) == len(accounting.keys) for row in rows):
        return {}
    columns = {}
    for place, key in enumerate(accounting.keys):
        values = [row.account.values[place] for row in rows]
        if key not in accounting.scales and any(value is not None for value in values):
            texts = texts_of(values)
            columns[key] = [one_line(str(texts.get(value, NOTHING))) for value in values]
    return columns


def _short_names(verdicts: Verdicts) -> dict[str, str]:
    """Return by label what variants are called in sentences, where their labels are too long."""
    columns = _setting_columns(verdicts.rows, verdicts)
    texts = list(zip(*columns.values(), strict=True))
    short = short_labels(list(columns), texts) if columns else None
    if short is None:
        return {}
    return {row.label: name for row, name in zip(verdicts.rows, short.labels, strict=True)}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _half_width(row: VariantVerdict, level: float) -> float | None:
    if not row.sample.has_value or len(row.sample.scores) < 2:
        return None
    interval = mean_interval([row.sample.scores], level=level)
    return interval.high - interval.estimate


def _width(difference: Difference | None) -> float | None:
    if difference is None or difference.high is None:
        return None
    return difference.high - difference.estimate


def _count_words(row: VariantVerdict) -> str:
    n, asked = row.account.n, row.account.asked
    return str(n) if n == asked else f"{n}/{asked}"


def _verdict_words(row: VariantVerdict, reference: str) -> str:
    if not row.sample.has_value:
        return "no value"
    if row.label == reference:
        return "reference"
    if row.verdict is None:
        return "not compared"  # since the reference has no value
    if row.difference is not None and row.difference.p is None:
        return "one run"
    return row.verdict


def _p_words(p: float | None) -> str:
    if p is None:
        return ""
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def _p_relation(p: float | None) -> str:
    words = _p_words(p)
    return f"< {words[1:]}" if words.startswith("<") else f"= {words}"


def _more_words(more: float | None) -> str:
    if more is None:
        return ""
    return ">200" if math.isinf(more) else f"+{math.ceil(more)}"


def _notes(verdicts: Verdicts, command: str | None, names: Mapping[str, str]) -> list[str]:
    differences = [row.difference for row in verdicts.rows if row.difference is not None]
    notes = [verdicts.remark] if verdicts.remark else []
    if any(difference.p is not None for difference in differences):
        notes.append(_test_note(verdicts, differences))
    best = _best_note(verdicts, names)
    if best:
        notes.append(best)
    if verdicts.ranks is not None:
        ranked, ranks = verdicts.ranks
        means = ", ".join(
            f"{name} {rank:.2f}"
            for name, rank in sorted(
                zip(ranked, ranks.ranks, strict=True), key=lambda pair: pair[1]
            )
        )
        notes.append(
            f"Mean ranks over {ranks.tasks} tasks: {means}. Friedman χ² = {ranks.chi_square:.2f}, "
            f"p {_p_relation(ranks.p)} (Iman and Davenport); ranks {ranks.critical_difference:.2f} "
            f"apart differ (Nemenyi).{_unranked(verdicts, ranked)}"
        )
    elsewhere = verdicts.tasks_left_out
    if elsewhere:
        task_names = "; ".join(elsewhere[:3]) + ("; …" if len(elsewhere) > 3 else "")
        notes.append(f"Not compared, since there is no such variant: {task_names}.")
    advice = verdicts.seeds_advised
    if advice is not None:
        count, decided = advice
        notes.append(
            f"more: further seeds of both that decide with a chance of 80 %, if Δ is as it looks."
            f" {count} more each for {decided} of {len(verdicts.undecided)}"
            f"{'.' if command is None else ':'}"
        )
    elif any(row.more is not None for row in verdicts.undecided):
        notes.append(
            f"more: no {MORE_AT_MOST} further seeds would decide what is open: the differences are"
            " small beside what seeds do."
        )
    return notes


def _unranked(verdicts: Verdicts, ranked: Sequence[str]) -> str:
    """Return which variants have no rank; nothing where all have one."""
    names = dict.fromkeys(label_in_task(row.label, row.task) for row in verdicts.rows)
    unranked_names = [name for name in names if name not in ranked]
    name_words = ", ".join(unranked_names[:3]) + (
        f" and {len(unranked_names) - 3} more" if len(unranked_names) > 3 else ""
    )
    return f" Without a value on some task, and no rank: {name_words}." if unranked_names else ""


def _test_note(verdicts: Verdicts, differences: Sequence[Difference]) -> str:
    percent = f"{100 * verdicts.level:.6g} %"
    tests = sorted({difference.test for difference in differences})
    words = f"Δ ± {percent} interval of each by itself, {' or '.join(tests)}{_family(verdicts)}"
    pairs = [difference.sizes[0] for difference in differences if difference.is_paired]
    if pairs and 1 < min(pairs) <= _FEW_PAIRS:
        least = sign_flip_least(min(pairs))
        words += (
            f". Of {min(pairs)} pairs no test without normal differences gives p below {least:.2g}"
        )
    return f"{words}."


def _family(verdicts: Verdicts) -> str:
    """Return what p is corrected for: as many comparisons as might have been made."""
    counts = [verdicts.compared(task) for task in verdicts.references]
    if max(counts, default=0) < 2:
        return ""
    of_each = " of each task" if any(verdicts.references) else ""
    count = f"{counts[0]} " if len(set(counts)) == 1 else ""
    if not verdicts.is_best:
        words = f"; p: of the {count}comparisons{of_each} together (Holm)"
    else:
        words = (
            f"; p: as of all {count}pairs{of_each} together, since the best was chosen by these"
            " same runs (Holm's steps among those shown, so never below its p over all pairs)"
        )
    if verdicts.comparison.is_under_way:
        words += (
            ". Runs are to come: decided is what the evidence says that may be looked at at any"
            " time, not p"
        )
    return words


def _best_note(verdicts: Verdicts, short: Mapping[str, str]) -> str:
    parts = []
    for task in verdicts.references:
        rows = [row for row in verdicts.rows if row.task == task and row.best is not None]
        names = [
            short.get(row.label) or label_in_task(row.label, task)
            for row in rows
            if row.best is not None and row.best.may_be_best
        ]
        if len(rows) < 3 or len(names) == len(rows):
            continue
        contenders = "; ".join(names[:3]) + (
            f"; and {len(names) - 3} more" if len(names) > 3 else ""
        )
        parts.append(f"{task}: {contenders}" if task else contenders)
    if not parts:
        return ""
    return (
        "May be the best, if seeds do as much to every variant (Hsu's comparison, which this makes"
        f" sharper than p): {'. '.join(parts)}."
    )
