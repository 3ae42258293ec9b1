"""Tables of the command line: every cell whole on one line, but for the last column, which takes
what is left.

A table of rich shares a narrow terminal out and folds names to a letter a line; here a name or a
state is never cut, so that it can be read and pasted, and it is the message that gives way.

A row of `progress.csv` in brief: `epoch 4  loss 0.231  accuracy 0.94`, as much as there is room
for.

How many runs are in each state, in words: for `ls`, `queue` and `status`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Span, Text

from runslot.cli.render.console import print_line
from runslot.experiment.states import BUSIEST_FIRST, TERMINAL_STYLES
from runslot.terminal_text import one_line

if TYPE_CHECKING:
    from rich.console import Console


_GAP = 2
_BLOCK = 200
"""Lines that are printed at once: each print costs as much as to make a few lines."""
_LEAST_LAST = 16
"""Columns that a last cell needs beside the others; with less it gets a line of its own."""
_PIPED_LAST = 500
"""Columns of a last cell where the output is no terminal."""


def print_columns(
    console: Console,
    titles: Sequence[str],
    rows: Sequence[Sequence[Text]],
    right: Sequence[str] = (),
) -> None:
    """Print a heading and rows of cells; those below a title in `right` end where their column
    does.
    """
    width = console.width if console.is_terminal else None
    lines = column_lines(titles, rows, right, width)
    while block := list(islice(lines, _BLOCK)):
        print_line(console, Text("\n").join(block))


def column_lines(
    titles: Sequence[str], rows: Sequence[Sequence[Text]], right: Sequence[str], width: int | None
) -> Iterator[Text]:
    """Yield the lines of a table for a terminal of `width` columns; None where there is none."""
    cells = [[_flat(cell) for cell in row] for row in rows]
    heading = [Text(title, style="dim") for title in titles]
    widths = [
        max(cell_len(row[column].plain) for row in [heading, *cells])
        for column in range(len(titles) - 1)
    ]
    before = sum(widths) + _GAP * len(widths)
    room = _PIPED_LAST if width is None else width - before
    ends = [title in right for title in titles]
    for row in [heading, *cells]:
        line = _aligned(row, widths, ends)
        last = row[-1]
        if room >= _LEAST_LAST or not last.plain:
            line.append_text(cut(last, max(room, _LEAST_LAST)))
            yield _ended(line)
        else:
            yield _ended(line)
            yield Text("    ") + cut(last, max((width or 0) - 4, _LEAST_LAST))


def _aligned(row: Sequence[Text], widths: Sequence[int], ends: Sequence[bool]) -> Text:
    """Return all cells but the last, made at once: to put texts together one by one takes five
    times as long, and there may be ten thousand rows.
    """
    line, spans = "", []
    for cell, width, is_right in zip(row, widths, ends, strict=False):
        blank = " " * (width - cell_len(cell.plain))
        line += blank * is_right
        if cell.style:
            spans.append(Span(len(line), len(line) + len(cell.plain), cell.style))
        spans += [span.move(len(line)) for span in cell.spans]
        line += cell.plain + blank * (not is_right) + " " * _GAP
    return Text(line, spans=spans)


def cut(text: Text, width: int) -> Text:
    """Return text that is no wider than `width`, with `…` at its end where something is left
    out.
    """
    if cell_len(text.plain) <= width:
        return text
    shorter = text.copy()
    shorter.plain = set_cell_size(text.plain, width - 1).rstrip() + "…"
    return shorter


def _flat(cell: Text) -> Text:
    line = one_line(cell.plain)
    if line == cell.plain:
        return cell
    flat = cell.copy()
    flat.plain = line
    return flat


def _ended(line: Text) -> Text:
    line.rstrip()
    return line


# ---- a row in brief ------------------------------------------------------------------------------


_COUNTERS = ("epoch", "itr", "iteration", "step", "steps", "cumsteps", "n_steps", "total_steps")
_GOALS = ("return", "reward", "accuracy", "score", "success")
_LAST = ("time", "seconds", "memory", "fps", "(s)")
_GAPS = {"", "nan"}


def row_text(row: Mapping[str, str] | str, width: int | None = None) -> str:
    """Return the row's cells that have a value, in order: counters, goals, others, times; cut at
    whole cells.

    A printed line, of a run that logs no rows, is cut where the room ends.
    """
    if isinstance(row, str):
        return row[: None if width is None else max(0, width)]
    text = ""
    for key in sorted(row, key=_rank):
        if row[key] in _GAPS:
            continue
        cell = f"{key.rpartition('/')[2]} {number_text(row[key])}"
        longer = f"{text}  {cell}" if text else cell
        if width is not None and len(longer) > width:
            if text:
                break
            return longer[:width]
        text = longer
    return text


def _rank(key: str) -> int:
    low = key.lower()
    if low.rpartition("/")[2] in _COUNTERS:
        return 0
    if any(word in low for word in _LAST):
        return 3
    return 1 if any(word in low for word in _GOALS) else 2


def number_text(cell: str) -> str:
    """Return a number in at most about six characters; other text as it is."""
    try:
        value = float(cell)
    except ValueError:
        return cell
    if abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return f"{value:.4g}"


# ---- states in words -----------------------------------------------------------------------------


def state_counts(counts: Mapping[str, int], at_work: bool) -> Iterator[Text]:
    """Yield how many runs are in each state, in words; without a launcher at work, queued ones wait
    for nobody.
    """
    for state in BUSIEST_FIRST:
        if counts.get(state):
            word = "not started" if state == "queued" and not at_work else state
            yield Text(f"{counts[state]} {word}", style=TERMINAL_STYLES[state])
