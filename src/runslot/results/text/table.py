"""The table of results in a terminal: variants best first, and under it all that a reader must know
to trust it.

On a terminal it is set with rich in the given width; piped, it is plain text whose columns are as
wide as they need.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Literal, NamedTuple

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from runslot.experiment.states import BAD
from runslot.results.accounts import DIVERGED
from runslot.results.comparison import Comparison, Spread, compare, measure_of
from runslot.results.read.reader import load
from runslot.results.results import Results
from runslot.results.summary import Mode
from runslot.results.text.labels import text_of_value, texts_of
from runslot.results.text.short_labels import names_note, short_labels, short_names
from runslot.results.text.sources import sources_line, unread_line
from runslot.terminal_text import one_line

_UNBOUNDED_COLUMNS = 100_000
"""Columns of a line in a pipe."""
_PROBLEMS_SHOWN = 5
_GROUPS_NAMED = 3
_LEAST_LABEL_COLUMNS, _UNBOUNDED_TERMINAL_COLUMNS = 20, 10_000
"""Columns of a terminal."""
_DECIMALS, _WHOLE_DIGITS = 7, 6
"""Digits behind, and before the point that say nothing, beyond which a number is written with an
exponent."""


def print_table(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Results,
    console: Console,
    metric: str | None = None,
    *,
    mode: Mode | None = None,
    include: Collection[str] = (),
    diverged: str = "nan",
    spread: Spread = "mean-ci",
    level: float = 0.95,
    limit: int | None = None,
) -> Comparison:
    """Print the comparison of the runs below `paths` (or of runs already read); returns it.

    `limit` is the number of variants shown. Raises what `load` and `compare` do.
    """
    results = paths if isinstance(paths, Results) else load(paths)
    comparison = compare(
        results, metric, mode, include, diverged=diverged, spread=spread, level=level
    )
    show_table(comparison, console, limit=limit)
    return comparison


def show_table(comparison: Comparison, console: Console, *, limit: int | None = None) -> None:
    """Print a comparison: its variants best first, and who counts."""
    rows = comparison.table[comparison.best(limit)]
    parts: list[Table | Text] = [_heading(comparison)]
    if rows.height:
        parts += _table(comparison, rows, console)
    for part in [*parts, *notes_of(comparison, rows.height)]:
        show(console, part)


def _heading(comparison: Comparison) -> Text:
    variants = many(comparison.table.height, "variant")
    metric = f" · {comparison.metric}, {way_words(comparison.mode)}" if comparison.metric else ""
    return Text(f"{variants}, {many(comparison.accounting.total, 'run')}{metric}", style="bold")


def way_words(mode: Mode) -> str:
    """Return which way is better."""
    return "higher is better" if mode == "max" else "lower is better"


def many(count: int, word: str) -> str:
    """Return `1 run`, `3 runs`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _table(comparison: Comparison, rows: pl.DataFrame, console: Console) -> list[Table | Text]:
    """Return the table, with a column a key as far as that fits in the terminal; no cell of it is
    ever broken.

    Else keys are named by their last parts, which the line below says, and stand in one column
    where even so they are too wide.
    """
    keys = {key: _texts(comparison, rows, key) for key in comparison.keys}
    numeric = {key for key in keys if rows[key].dtype.is_numeric()}
    columns = [_Column(key, cells, is_number=key in numeric) for key, cells in keys.items()]
    if not console.is_terminal:
        return [_with_values(columns, comparison, rows, terminal=False)]
    short = short_names(comparison.keys)
    narrow = [
        _Column(_broken(short[key], cells), cells, is_number=key in numeric)
        for key, cells in keys.items()
    ]
    for shown_columns in (columns, narrow):
        table = _with_values(shown_columns, comparison, rows, terminal=True)
        if table_width(table, console) <= console.width:
            note = names_note(comparison.keys) if shown_columns is narrow else ""
            return [table, *([Text(note, style="dim")] if note else [])]
    bare = _with_values([_Column("", [""] * rows.height)], comparison, rows, terminal=True)
    cells, note = label_cells(
        comparison.keys, list(keys.values()), console.width - table_width(bare, console)
    )
    table = _with_values([_Column("variant", cells, folds=True)], comparison, rows, terminal=True)
    return [table, *([Text(note, style="dim")] if note else [])]


def label_cells(
    keys: Sequence[str], columns: Sequence[Sequence[str]], width: int
) -> tuple[list[str], str]:
    """Return the cells that name variants in one column of that width, and what has to be said of
    them below."""
    names = short_names(keys)
    rows = list(zip(*columns, strict=True))
    short = short_labels(keys, rows)
    words = (
        [[f"{names[key]}={cell}" for key, cell in zip(keys, row, strict=True)] for row in rows]
        if short is None
        else short.words
    )
    cells = [_lines(row, max(width, _LEAST_LABEL_COLUMNS)) for row in words]
    return cells, names_note(keys) if short is None else short.note


class _Column(NamedTuple):
    """One column before those of the values."""

    name: str
    cells: Sequence[str]
    is_number: bool = False
    folds: bool = False


def _texts(comparison: Comparison, rows: pl.DataFrame, key: str) -> list[str]:
    texts = texts_of(comparison.table[key].unique())
    return [one_line(texts.get(value) or text_of_value(value)) for value in rows[key]]


def table_width(table: Table, console: Console) -> int:
    """Return the columns that a table takes where nothing of it is cut."""
    return Measurement.get(
        console, console.options.update(max_width=_UNBOUNDED_TERMINAL_COLUMNS), table
    ).maximum


def _broken(name: str, cells: Sequence[str]) -> str:
    """Return a name in lines that are no wider than the cells below it, where it has parts."""
    return _lines(re.findall(r"[^._/-]*[._/-]*", name), max(map(cell_len, cells), default=0), "")


def _lines(words: Sequence[str], width: int, between: str = ", ") -> str:
    """Return words in as few lines as have the width; a word that is wider has a line of its
    own."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(f"{lines[-1]}{between}{word}") <= width:
            lines[-1] += f"{between}{word}"
        else:
            lines.append(word)
    return f"{between.rstrip()}\n".join(lines)


def _with_values(
    columns: Sequence[_Column], comparison: Comparison, rows: pl.DataFrame, *, terminal: bool
) -> Table:
    table = Table(
        box=SIMPLE_HEAD if terminal else None,
        padding=(0, 1, 0, 0) if terminal else (0, 2, 0, 0),
        pad_edge=False,
        header_style="bold" if terminal else "",
    )
    cells: list[Sequence[str]] = []
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(
            Text(column.name), justify=justify, overflow="fold", no_wrap=not column.folds
        )
        cells.append(column.cells)
    for name in ("trial", "rung"):
        if comparison.results.trials and name in rows.columns:
            table.add_column(name, justify="right", no_wrap=True)
            cells.append(["" if number is None else str(number) for number in rows[name]])
    for name, heading in (("at_rung", "at rung"), ("worth", "worth")):
        if comparison.results.trials and name in rows.columns:
            table.add_column(heading, no_wrap=True)
            cells.append(spread_cells(rows[name].to_list(), [None] * rows.height))
    table.add_column("n", justify="right", no_wrap=True)
    cells.append(
        [str(n) if n == runs else f"{n}/{runs}" for n, runs in rows.select("n", "runs").iter_rows()]
    )
    if comparison.metric:
        # At a step, what was best over the whole log would be of other rows.
        for part in ("final",) if comparison.results.at else ("final", "best"):
            table.add_column(
                comparison.results.at or part,
                justify="left",
                no_wrap=True,
                style="green" if terminal and part == "final" else "",
            )
            cells.append(
                spread_cells(rows[f"{part}_mean"].to_list(), comparison.widths(part, rows))
            )
    for state in [
        standing for standing in comparison.accounting.standings if standing in rows.columns
    ]:
        table.add_column(
            state, justify="right", no_wrap=True, style="red" if terminal and state in _BAD else ""
        )
        cells.append([str(count or "") for count in rows[state]])
    for row in zip(*cells, strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table


_BAD = BAD | {DIVERGED}


def notes_of(comparison: Comparison, row_count: int) -> list[Text]:
    """Return what stands under a table: who counts first of all."""
    results, accounting = comparison.results, comparison.accounting
    notes = [accounting.line(comparison.statistic if comparison.metric else "")]
    if results.confirmation:
        notes.append(results.confirmation)
    if row_count < comparison.table.height:
        notes.append(
            f"{many(comparison.table.height - row_count, 'more variant')} not shown (--limit)"
        )
    if comparison.left_out:
        states = sorted(accounting.rule.states - {"succeeded"})
        counted = " and ".join(["succeeded", *states]) if states else "succeeded"
        counts = ", ".join(f"{count} {state}" for state, count in comparison.left_out.items())
        notes.append(f"Only {counted} runs count: {counts} left out (--include STATE counts them).")
    notes += [f"{note[0].upper()}{note[1:]}." for note in accounting.notes()]
    if results.runs.is_empty() and results.metrics:
        notes.append("No run passes the filters.")
    elif comparison.metric is None:
        texts = ", ".join(results.text_metrics[:_GROUPS_NAMED])
        words = f", only text: {texts}" if texts else ""
        if not words and (results.runs["kind"] == "hydra").any():
            words = (
                ": a job logs to progress.csv, prints `epoch 3 loss 0.5`, or --log 'GLOB' names"
                " what it writes"
            )
        notes.append(f"No run has logged a metric{words}.")
    else:
        notes += _said_of_values(comparison)
    if not comparison.keys and results.runs.height > 1:
        notes.append("All runs are of one variant.")
    for problem in results.problems[:_PROBLEMS_SHOWN]:
        notes.append(f"not read: {problem}")
    if len(results.problems) > _PROBLEMS_SHOWN:
        notes.append(f"and {many(len(results.problems) - _PROBLEMS_SHOWN, 'more problem')}")
    notes += [line for line in (sources_line(results), unread_line(results)) if line]
    notes.append(f"in {results.base}")
    return [Text(note, style="dim") for note in notes]


def _said_of_values(comparison: Comparison) -> list[str]:
    way = "highest" if comparison.mode == "max" else "lowest"
    at = comparison.results.at
    if at:
        notes = [f"Values at {at}, between two rows interpolated; who does not reach it has none."]
    else:
        notes = [f"final: last row; best: {way} row, an extreme over time, which flatters noise."]
    scales = comparison.accounting.scales
    if scales:
        names = ", ".join(scales)
        notes.append(f"Best first within each {names}, whose scores have a scale of their own.")
    measure = measure_of(comparison.results.trials.values(), comparison.metric or "")
    if measure and "worth" in comparison.table.columns:
        notes.append(f"worth: of a trial, as its search judges: {measure}.")
    notes += _said_of_choices(comparison)
    if comparison.chosen:
        notes.append(f"{comparison.chosen}.")
    return notes


def _said_of_choices(comparison: Comparison) -> list[str]:
    """Return how far the first of each task may be too good, since its own runs chose it."""
    way = "lower" if comparison.mode == "max" else "higher"
    places = {task: comparison.tasks.index(task) for task in dict.fromkeys(comparison.tasks)}
    firsts = {task: comparison.table["n"][place] for task, place in places.items()}
    several = [c for c in comparison.choices if comparison.tasks.count(c.task) > 1]
    notes = []
    if several and all(firsts[choice.task] == 1 for choice in several):
        notes.append("First by one seed: how it would do on others is not known.")
        return notes
    gains = [c for c in several if firsts[c.task] > 1 and c.optimism and c.rivals > 1]
    if len(comparison.choices) > 1 and gains:
        words = [f"{c.task} about {c.optimism:.2g} {way}" for c in gains[:_GROUPS_NAMED]]
        more = len(gains) - _GROUPS_NAMED
        rest = [f"and {more} more"] if more > 0 else []
        notes.append(
            "First of a task by their own seeds: on new ones expect their finals"
            f" {'; '.join([*words, *rest])}."
        )
    elif gains:
        notes.append(
            f"First of {gains[0].rivals} by its own seeds: on new ones expect its final about"
            f" {gains[0].optimism:.2g} {way}."
        )
    return notes


def spread_cells(means: Sequence[float | None], widths: Sequence[float | None]) -> list[str]:
    """Return `mean ± width` of a column, each row with the digits that its own width is worth."""
    alone = texts_of(mean for mean, width in zip(means, widths, strict=True) if not width)
    pairs = [_digits(mean, width, alone) for mean, width in zip(means, widths, strict=True)]
    exact = {
        mean for mean, width in zip(means, widths, strict=True) if mean is not None and width == 0
    }
    rounded = _rounded(exact, [width for _, width in pairs])
    pairs = [
        (rounded.get(mean, text), width) if width == "0" else (text, width)
        for mean, (text, width) in zip(means, pairs, strict=True)
    ]
    mean_width = max((len(mean) for mean, _ in pairs), default=0)
    return [f"{mean.rjust(mean_width)}{f' ± {width}' if width else ''}" for mean, width in pairs]


def _rounded(means: Collection[float], widths: Sequence[str]) -> dict[float | None, str]:
    """Return means whose runs all agree, to the places of the column's widths; none where two would
    look alike.

    A whole number stays whole.
    """
    places = [len(width.partition(".")[2]) for width in widths if "." in width and "e" not in width]
    if not places:
        return {}
    texts: dict[float | None, str] = {
        mean: f"{mean:.{max(places)}f}"
        for mean in means
        if math.isfinite(mean) and mean != int(mean)
    }
    return (
        texts
        if len(set(texts.values())) == len(texts)
        and not any(float(text) == 0 for text in texts.values())
        else {}
    )


def _digits(
    mean: float | None, width: float | None, alone: Mapping[Hashable, str]
) -> tuple[str, str]:
    """Return a mean and its width in text: two digits of the width, and the mean to the same place.

    A mean without a width is in `alone`, in which different ones differ.
    """
    if mean is None or not math.isfinite(mean):
        return text_of_value(mean), ""
    if width is None or not math.isfinite(width) or width == 0:
        return alone.get(mean) or text_of_value(mean), "" if width is None else text_of_value(width)
    decimals = 1 - math.floor(math.log10(width))
    if -_WHOLE_DIGITS <= decimals <= _DECIMALS:
        return f"{mean:.{max(decimals, 0)}f}", f"{width:.{max(decimals, 0)}f}"
    digits = max(0, math.floor(math.log10(abs(mean) or width)) + decimals)
    return f"{mean:.{digits}e}", f"{width:.1e}"


def show(console: Console, renderable: RenderableType) -> None:
    """Print a text or a table; where the console is no terminal nothing is wrapped, cut or
    folded."""
    if console.is_terminal:
        console.print(renderable, highlight=False)
        return
    wide = Console(
        file=io.StringIO(), width=_UNBOUNDED_COLUMNS, color_system=None, force_terminal=False
    )
    with wide.capture() as captured:
        wide.print(renderable, highlight=False, soft_wrap=isinstance(renderable, Text))
    for line in captured.get().splitlines():
        console.print(Text(line.rstrip()), soft_wrap=True, highlight=False)
