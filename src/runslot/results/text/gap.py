"""The optimality gap: by how much the runs of a variant stay behind a target, tasks weighing the
same; as a table and for JSON.

Called by `runslot results --gap`. After Agarwal et al. 2021, whose target is a score of 1: what is
beyond the target makes up for nothing.
"""

from __future__ import annotations

import math
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.comparison import Comparison
from runslot.results.members import label_in_task
from runslot.results.statistics.scores import Interval, bootstrap
from runslot.results.text.table import many, notes_of, show, spread_cells
from runslot.results.verdicts import decide

_FEW_RUNS = 10
"""Runs of a variant below which a bootstrap holds less often than it says."""


@record
class OptimalityGap:
    """How far a variant is from the target."""

    name: str
    """The variant, whatever the task."""
    runs: int
    gap: Interval
    """NaN where the variant lacks a value on some task."""


def gaps_of(comparison: Comparison, target: float) -> list[OptimalityGap]:
    """Return the gap of each variant, the smallest first."""
    if not math.isfinite(target):
        raise InvalidInput(f"--gap {target}: say the score that is as good as is asked for")
    rows = decide(comparison).rows
    tasks = list(dict.fromkeys(row.task for row in rows))
    scores: dict[str, dict[str, tuple[float, ...]]] = {}
    for row in rows:
        name = label_in_task(row.label, row.task)
        scores.setdefault(name, {})[row.task] = row.sample.scores if row.sample.has_value else ()
    sign = 1 if comparison.mode == "max" else -1
    gaps = []
    for name, by_task in scores.items():
        sides = [[sign * score for score in by_task.get(task, ())] for task in tasks]
        gap = Interval(math.nan, math.nan, math.nan)
        if all(sides):
            gap = bootstrap(sides, "optimality-gap", target=sign * target, level=comparison.level)
        gaps.append(OptimalityGap(name, sum(map(len, sides)), gap))
    return sorted(gaps, key=lambda gap: (math.isnan(gap.gap.estimate), gap.gap.estimate))


def print_gaps(comparison: Comparison, target: float, console: Console) -> None:
    """Print the gaps, and who counts."""
    gaps = gaps_of(comparison, target)
    beyond = "below" if comparison.mode == "max" else "above"
    heading = f"{many(len(gaps), 'variant')} · {comparison.metric}: how far {beyond} {target:g}"
    show(console, Text(heading, style="bold"))
    terminal = console.is_terminal
    table = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("variant", overflow="fold")
    table.add_column("n", justify="right")
    for name in ("gap", "interval"):
        table.add_column(name, no_wrap=True)
    widths = [(gap.gap.high - gap.gap.low) / 2 for gap in gaps]
    spreads = spread_cells([gap.gap.estimate for gap in gaps], widths)
    cells = [cell.partition(" ±")[0] for cell in spreads]
    for gap, cell in zip(gaps, cells, strict=True):
        _, low, high = gap.gap
        digits = len(cell.partition(".")[2])
        interval = f"{low:.{digits}f} to {high:.{digits}f}" if math.isfinite(low) else ""
        value = "no value" if math.isnan(gap.gap.estimate) else cell
        table.add_row(Text(gap.name), str(gap.runs), value, interval)
    show(console, table)
    show(console, Text(_words(comparison, gaps), style="dim" if terminal else ""))
    for note in notes_of(comparison, comparison.table.height):
        if not note.plain.startswith(("final:", "First")):
            show(console, note)


def _words(comparison: Comparison, gaps: list[OptimalityGap]) -> str:
    percent = f"{100 * comparison.level:.6g} %"
    words = f"Mean over runs{', tasks weighing the same' if comparison.accounting.scales else ''}"
    words += f"; {percent} bootstrap interval"
    if any(gap.runs < _FEW_RUNS for gap in gaps):
        words += f", which of fewer than {_FEW_RUNS} runs holds less often than it says"
    return f"{words}."


def gaps_document(comparison: Comparison, target: float) -> dict[str, Any]:
    """Return what `optimality_gap` is in the JSON of results."""
    return {
        "target": target,
        "variants": [
            {
                "name": gap.name,
                "n": gap.runs,
                "gap": gap.gap.estimate,
                "low": gap.gap.low,
                "high": gap.gap.high,
            }
            for gap in gaps_of(comparison, target)
        ],
    }
