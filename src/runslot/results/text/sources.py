"""One line of what the runs were recognised as, and one of what lies there unread: under tables,
and for the page."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from runslot.results.read.layouts import Kind, is_monitor
from runslot.results.results import Results

_NAMES: Mapping[Kind, tuple[str, str]] = {
    "runslot": ("runslot run", "runslot runs"),
    "launchkit": ("launchkit run", "launchkit runs"),
    "rlpyt": ("rlpyt run", "rlpyt runs"),
    "ray": ("Ray trial", "Ray trials"),
    "sacred": ("Sacred run", "Sacred runs"),
    "spinningup": ("Spinning Up run", "Spinning Up runs"),
    "stable-baselines3": ("progress.csv log", "progress.csv logs"),
    "lightning": ("Lightning log", "Lightning logs"),
    "yolo": ("YOLO run", "YOLO runs"),
    "keras": ("Keras CSV log", "Keras CSV logs"),
    "hydra": ("Hydra job", "Hydra jobs"),
    "jsonl": ("log of JSON lines", "logs of JSON lines"),
    "csv": ("CSV log", "CSV logs"),
    "tensorboard": ("TensorBoard directory", "TensorBoard directories"),
}
_MONITORS = ("Stable-Baselines3 monitor", "Stable-Baselines3 monitors")
_REASONS_SHOWN = 3


class LogSource(NamedTuple):
    """A kind of runs among the results."""

    name: str
    """In words, in the singular or the plural."""
    runs: int
    settings: tuple[str, ...]
    """The files from which their parameters are, by name."""


def sources_of(results: Results) -> list[LogSource]:
    """Return what the runs were recognised as, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    settings: dict[tuple[str, str], set[str]] = {}
    for run in results.files():
        names = (
            _MONITORS
            if run.kind != "runslot" and run.logs and is_monitor(run.logs[0])
            else _NAMES[run.kind]
        )
        counts[names] += 1
        settings.setdefault(names, set()).update(name.rpartition("/")[2] for name in run.settings)
    return [
        LogSource(names[0] if count == 1 else names[1], count, tuple(sorted(settings[names])))
        for names, count in counts.most_common()
    ]


def sources_line(results: Results) -> str:
    """Return `read as: 12 Stable-Baselines3 monitors, parameters of args.yml`; nothing where all
    runs are runslot's."""
    sources = sources_of(results)
    if all(source.name in _NAMES["runslot"] for source in sources):
        return ""
    parts = []
    for source in sources:
        files = f" (parameters of {', '.join(source.settings)})" if source.settings else ""
        parts.append(f"{source.runs} {source.name}{files}")
    by_path = (
        "; told apart by their paths, whose parts --path names"
        if "variant" in results.identity
        else ""
    )
    return f"read as: {', '.join(parts)}{by_path}"


def unread_line(results: Results) -> str:
    """Return one line of the files that are left unread, by reason; nothing where there are
    none."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for unread in results.unread:
        counts[unread.reason] += unread.count
        first.setdefault(unread.reason, os.path.relpath(unread.path, results.base))
    parts = [
        f"{first[reason]}{f' and {count - 1} more' if count > 1 else ''} ({reason})"
        for reason, count in counts.most_common(_REASONS_SHOWN)
    ]
    more = f"; {len(counts) - _REASONS_SHOWN} more reasons" if len(counts) > _REASONS_SHOWN else ""
    return f"left unread: {'; '.join(parts)}{more}" if parts else ""


def reading_lines(results: Results) -> list[str]:
    """Return all that is to be said of the reading: what was read as what, what was left, what is
    broken."""
    lines = [sources_line(results), unread_line(results)]
    problems = results.problems[:_REASONS_SHOWN]
    lines += [
        f"not read: {os.path.relpath(problem.path, results.base)}: {problem.message}"
        for problem in problems
    ]
    if len(results.problems) > len(problems):
        lines.append(f"and {len(results.problems) - len(problems)} more problems")
    return [line for line in lines if line]
