"""The metric that counts how far a run is, and the rows of a log that a resume overtook.

A run that was resumed from a checkpoint appends to its log: the steps jump back, and what was
logged beyond the jump is void, since the run that goes on never did that. What is void counts in no
statistic and no figure. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

_STEPS = (
    (
        r"(global|total|env|environment|cum|cumulative|training|train)?[ _/]?(env|environment)?["
        r" _]?(time)?steps?"
    ),
    (
        r"(.*/)?(num|total|cum)?[ _]?(train)?[ _]?(env|actor)?[ _]?(time)?steps?(["
        r" _](total|sampled|lifetime))*"
    ),
    r"(.*/)?epochs?",
    r"(.*/)?(training[ _]?)?(iterations?|iter|itr)",
    r"diagnostics/cumsteps",
    r"(.*/)?episode",
)
"""Names of the metric that counts how far a run is, likeliest first; compared without case."""
_COUNTERS = (
    *_STEPS,
    (
        r"(.*[/_"
        r" ])?(episodes?|updates?|frames?|samples?|batch(es)?|iterations?|(time)?steps?)"
        r"(_total|_this)?"
    ),
)
"""Names of all metrics that count something that a run does again and again."""
_PARTS = (
    r"(.*[/_ ])?(seed|fold|trial|run|phase|stage|split|task|env|worker|rank|repeat|rep|id)(_?id)?"
)
"""Names of columns that say which of several things a row is of."""
FEW_JUMPS, _JUMPS_A_ROW = 3, 0.2
"""A column that goes back more often counts nothing that rises; one that stays more often has
several rows a step."""

Ranges = list[tuple[int, int]]


def step_column(metrics: Sequence[str]) -> str | None:
    """Return the metric that counts steps by its name; None where none does."""
    return next(iter(step_columns(metrics)), None)


def step_columns(metrics: Sequence[str]) -> Iterator[str]:
    """Yield the metrics that count steps by their names, likeliest first."""
    for pattern in _STEPS:
        for metric in metrics:
            if re.fullmatch(pattern, metric, re.IGNORECASE):
                yield metric


def counters(metrics: Sequence[str]) -> list[str]:
    """Return the metrics that count something, by their names."""
    return [
        metric
        for metric in metrics
        if any(re.fullmatch(p, metric, re.IGNORECASE) for p in _COUNTERS)
    ]


def parts(metrics: Sequence[str]) -> list[str]:
    """Return the columns of numbers that say by their names which of several things a row is of."""
    return [metric for metric in metrics if re.fullmatch(_PARTS, metric, re.IGNORECASE)]


def rising_column(columns: Mapping[str, Sequence[float | None]]) -> str | None:
    """Return what counts the steps of a run, by name and by its rows: None where that begins anew
    again and again, or stands still.

    Then, as with batches of an epoch, another counter takes its place only if each row is further
    than the last.
    """
    named = list(step_columns(tuple(columns)))
    values = [_filled(columns[name]) for name in named]
    if not named:
        return None
    x = values[0]
    if all(after >= before for before, after in pairwise(x)) and (len(x) < 2 or x[-1] > x[0]):
        return named[0]
    return next(
        (n for n, x in zip(named, values, strict=True) if all(b > a for a, b in pairwise(x))), None
    )


def void_rows(
    steps: Sequence[float | None],
    clocks: Sequence[Sequence[float | None]],
    keys: Sequence[Sequence[object]] = (),
    again: Sequence[int] = (),
) -> Ranges:
    """Return the rows, from and to (exclusive), that later ones overtook; `again` repeat the step
    before (`repeats`).

    Where another counter of the run (`others`) goes on while the steps go back, these begin anew
    with it (batches of an epoch), and nothing is void; nor where a column that says what a row is
    of (`keys`) changes with them alone (a table of several folds), nor where they begin anew in
    equal stretches.
    """
    x = _filled(steps)
    jumps = [i for i in range(1, len(x)) if x[i] < x[i - 1]]
    for key in keys if jumps else ():
        if {i for i in range(1, len(key)) if key[i] != key[i - 1]} == set(jumps):
            return []
    for other in clocks:
        count = _filled(other)
        jumps = [i for i in jumps if not count[i] > count[i - 1]]
    if len(jumps) > max(FEW_JUMPS, len(x) * _JUMPS_A_ROW) or _begins_anew(x, jumps):
        return []
    starts = {*jumps, *again}
    rows: list[int] = []
    for i, step in enumerate(x):
        if i in starts:
            while rows and x[rows[-1]] >= step:
                rows.pop()
        rows.append(i)
    return _gaps(rows)


def repeats(
    steps: Sequence[float | None],
    clocks: Sequence[Sequence[float | None]],
    keys: Sequence[Sequence[object]] = (),
) -> list[int]:
    """Return the rows that have the step of the row before: few of many, as where a run went on
    from its checkpoint.

    None where a script logs several rows a step, or where another counter, or a column that says
    what a row is of, goes on meanwhile. Whether such a row takes the place of the one before is up
    to its other cells.
    """
    again = [i for i in range(1, len(steps)) if steps[i] is not None and steps[i] == steps[i - 1]]
    if len(again) > min(FEW_JUMPS, len(steps) * _JUMPS_A_ROW):
        return []
    columns = (*clocks, *keys)
    return [i for i in again if all(column[i] == column[i - 1] for column in columns)]


def _filled(values: Sequence[float | None]) -> list[float]:
    """Return the values, each gap with what stood before it."""
    filled: list[float] = []
    last = float("-inf")
    for value in values:
        if value is not None and not math.isnan(value):
            last = value
        filled.append(last)
    return filled


def _begins_anew(x: Sequence[float], jumps: Sequence[int]) -> bool:
    """Tell whether the steps begin anew again and again, as those within an epoch do.

    Every stretch begins about where the first did, ends about where the others did, and the last
    goes no further; about: within a step, as rows that are logged every so many steps of all lie
    elsewhere in each epoch. A run that was started again and again ends elsewhere each time, or
    goes further in the end.
    """
    if len(jumps) < 2:
        return False
    starts = [x[i] for i in (0, *jumps)]
    ends = [x[i - 1] for i in jumps]
    rises = sorted(after - before for before, after in pairwise(x) if after > before)
    spacing = rises[len(rises) // 2] if rises else 0.0
    return (
        max(starts) - min(starts) <= spacing
        and max(ends) - min(ends) <= spacing
        and x[-1] <= max(ends) + spacing / 2
    )


def _gaps(rows: Sequence[int]) -> Ranges:
    gaps: Ranges = []
    expected = 0
    for i in rows:
        if i > expected:
            gaps.append((expected, i))
        expected = i + 1
    return gaps
