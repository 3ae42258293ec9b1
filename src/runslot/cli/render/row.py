"""A row of `progress.csv` in brief: `epoch 4  loss 0.231  accuracy 0.94`, as much as there is room
for.
"""

from __future__ import annotations

from collections.abc import Mapping

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
