"""The table of results in a terminal: variants best first, and under it all that a reader must know to trust it.

On a terminal it is set with rich in the given width; piped, it is plain text whose columns are as wide as they need.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runslot.results.comparison import Comparison, compare
from runslot.results.printing import show
from runslot.results.reader import load
from runslot.results.results import Results
from runslot.results.summary import Mode

_PROBLEMS_SHOWN = 5


def print_table(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Results,
    console: Console,
    metric: str | None = None,
    *,
    mode: Mode | None = None,
    include: Collection[str] = (),
    limit: int | None = None,
) -> Comparison:
    """Print the comparison of the runs below `paths` (or of runs already read); returns it.

    `limit` is the number of variants shown. Raises what `load` and `compare` do.
    """
    results = paths if isinstance(paths, Results) else load(paths)
    comparison = compare(results, metric, mode, include)
    rows = comparison.table if limit is None else comparison.table.head(limit)
    terminal = console.is_terminal
    parts: list[Table | Text] = [_heading(comparison)]
    if rows.height:
        parts.append(_table(comparison, rows, terminal))
    for part in [*parts, *_notes(comparison, rows.height)]:
        show(console, part)
    return comparison


def _heading(comparison: Comparison) -> Text:
    runs = comparison.results.runs
    variants = _many(comparison.table.height, "variant")
    metric = f" · {comparison.metric}, {_way(comparison.mode)}" if comparison.metric else ""
    return Text(f"{variants}, {_many(runs.height, 'run')}{metric}", style="bold")


def _way(mode: Mode) -> str:
    return "higher is better" if mode == "max" else "lower is better"


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _table(comparison: Comparison, rows: pl.DataFrame, terminal: bool) -> Table:
    table = Table(
        box=SIMPLE_HEAD if terminal else None,
        padding=(0, 1, 0, 0) if terminal else (0, 2, 0, 0),
        pad_edge=False,
        header_style="bold" if terminal else "",
    )
    cells: list[list[str]] = []
    for key in comparison.keys:
        table.add_column(Text(key), justify="right" if rows[key].dtype.is_numeric() else "left", overflow="fold")
        cells.append([_value(value) for value in rows[key]])
    table.add_column("n", justify="right", no_wrap=True)
    cells.append([str(n) if n == runs else f"{n}/{runs}" for n, runs in rows.select("n", "runs").iter_rows()])
    if comparison.metric:
        for part in ("final", "best"):
            table.add_column(part, justify="left", no_wrap=True, style="green" if terminal and part == "final" else "")
            cells.append(_spread(rows[f"{part}_mean"].to_list(), rows[f"{part}_std"].to_list()))
    for state in [name for name in comparison.states if name in rows.columns]:
        table.add_column(state, justify="right", no_wrap=True, style="red" if terminal and state in _BAD else "")
        cells.append([str(count or "") for count in rows[state]])
    for row in zip(*cells, strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table


_BAD = {"failed", "timed_out", "lost"}


def _notes(comparison: Comparison, shown: int) -> list[Text]:
    results = comparison.results
    notes: list[str] = []
    if shown < comparison.table.height:
        notes.append(f"{_many(comparison.table.height - shown, 'more variant')} not shown (--limit)")
    if comparison.left_out:
        counts = ", ".join(f"{count} {state}" for state, count in comparison.states.items() if state != "succeeded")
        notes.append(f"Only succeeded runs count: {counts} left out (--include STATE counts them).")
    waiting = sum(results.waiting.values())
    if waiting:
        notes.append(f"{_many(waiting, 'more run')} queued, without a directory yet.")
    diverged = _diverged(comparison)
    if diverged:
        notes.append(f"{_many(diverged, 'run')} ended in nan; final is nan where one did.")
    if comparison.metric is None:
        notes.append("No run has logged a metric.")
    else:
        notes.append("final, best: last and best row of each run, mean ± standard deviation over the n runs.")
        if comparison.chosen:
            notes.append(f"{comparison.chosen}.")
    if not comparison.keys and results.runs.height > 1:
        notes.append("All runs are of one variant.")
    for problem in results.problems[:_PROBLEMS_SHOWN]:
        notes.append(f"not read: {problem}")
    if len(results.problems) > _PROBLEMS_SHOWN:
        notes.append(f"and {_many(len(results.problems) - _PROBLEMS_SHOWN, 'more problem')}")
    notes.append(f"in {results.base}")
    return [Text(note, style="dim") for note in notes]


def _diverged(comparison: Comparison) -> int:
    if comparison.metric is None:
        return 0
    return int(comparison.results.runs[f"final/{comparison.metric}"].is_nan().sum())


def _value(value: object) -> str:
    if value is None:
        return "–"
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """Return a float in the shortest usual form: `0.001`, `3`, `1e-05`."""
    return f"{value:.6g}"


def _spread(means: Sequence[float | None], spreads: Sequence[float | None]) -> list[str]:
    """Return `mean ± std` of a column, with decimals that show two digits of the usual spread, aligned."""
    digits = _decimals([s for s in spreads if s] or [abs(m) / 100 for m in means if m])
    left = [_fixed(mean, digits) for mean in means]
    right = ["" if std is None or math.isnan(std) else f" ± {_fixed(std, digits)}" for std in spreads]
    width = max((len(text) for text in left), default=0)
    return [text.rjust(width) + spread for text, spread in zip(left, right, strict=True)]


def _decimals(sizes: Sequence[float]) -> int | None:
    """Return how many decimals show two digits of the median size; None where fixed decimals would be unreadable."""
    finite = sorted(size for size in sizes if size > 0 and math.isfinite(size))
    if not finite:
        return 3
    decimals = 1 - math.floor(math.log10(finite[len(finite) // 2]))
    return None if decimals > 7 or decimals < -6 else max(decimals, 0)


def _fixed(value: float | None, decimals: int | None) -> str:
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    return f"{value:.3g}" if decimals is None else f"{value:.{decimals}f}"
