"""A line an experiment, for `runslot ls`; the calls that share a launchkit collection are one line together."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runslot.experiment.lock import living_launcher
from runslot.experiment.rundir import COLLECTION, ExperimentDir
from runslot.experiment.status import find_experiments, read_status

_ORDER = ("running", "queued", "succeeded", "failed", "timed_out", "stopped", "lost")
STYLES = {
    "running": "cyan",
    "queued": "dim",
    "succeeded": "green",
    "failed": "red",
    "timed_out": "red",
    "stopped": "yellow",
    "lost": "magenta",
}
"""How a state of a run looks on a terminal."""


@dataclass(frozen=True)
class Listed:
    """One experiment, or one collection."""

    directory: Path
    experiments: tuple[ExperimentDir, ...]
    launched: float
    """Unix time of the last launch."""

    def counts(self) -> Counter[str]:
        """Return how many runs are in which state."""
        total: Counter[str] = Counter()
        for experiment in self.experiments:
            total.update(read_status(experiment).counts)
        return total

    def at_work(self) -> bool:
        """Tell whether a launcher is at work on it."""
        return any(living_launcher(experiment) for experiment in self.experiments)


def list_experiments(root: Path) -> list[Listed]:
    """Return what is below `root`, the newest first; only names and dates are read."""
    together: dict[Path, list[ExperimentDir]] = {}
    for experiment in find_experiments(root):
        parent = experiment.path.parent
        place = parent.parent if parent.name == COLLECTION else experiment.path
        together.setdefault(place, []).append(experiment)
    listed = [
        Listed(place, tuple(found), max(each.experiment_file.stat().st_mtime for each in found))
        for place, found in together.items()
    ]
    return sorted(listed, key=lambda each: each.launched, reverse=True)


def print_listing(listed: Sequence[Listed], root: Path, limit: int | None = None, as_json: bool = False) -> None:
    """Print the experiments, at most `limit` of them."""
    if as_json:
        print(json.dumps([_described(each) for each in listed], indent=1))
        return
    if not listed:
        print(f"no experiments in {root}")
        return
    _print_table(listed[:limit], root)
    if limit is not None and len(listed) > limit:
        print(f"and {len(listed) - limit} older ones (-n {len(listed)})")


def _described(listed: Listed) -> dict[str, object]:
    return {
        "directory": str(listed.directory),
        "launched": round(listed.launched, 3),
        "launcher": listed.at_work(),
        "counts": listed.counts(),
    }


def _print_table(listed: Sequence[Listed], root: Path) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("launched", no_wrap=True)
    table.add_column("experiment", overflow="fold")
    table.add_column("runs", justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for each in listed:
        counts = each.counts()
        state = Text(", ").join(_states(counts, each.at_work()))
        name = os.path.relpath(each.directory, root)
        table.add_row(ago(each.launched, time.time()), Text(name), str(counts.total()), state)
    console.print(table, width=None if console.is_terminal else 100_000, no_wrap=not console.is_terminal)


def _states(counts: Counter[str], at_work: bool) -> Iterator[Text]:
    for state in _ORDER:
        if counts[state]:
            word = "not started" if state == "queued" and not at_work else state
            yield Text(f"{counts[state]} {word}", style=STYLES[state])


def ago(moment: float, now: float) -> str:
    """Return when something was, for people: `12:31` today, `Tue 12:31` this week, else the date."""
    then = time.localtime(moment)
    if time.strftime("%Y%j", then) == time.strftime("%Y%j", time.localtime(now)):
        return time.strftime("%H:%M", then)
    return time.strftime("%a %H:%M" if now - moment < 6 * 86400 else "%Y-%m-%d", then)
