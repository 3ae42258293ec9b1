"""`runslot ls`: the experiments below a directory, the newest first."""

from __future__ import annotations

import json as jsonlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from rich.text import Text

from runslot.cli.parameters import argument, flag, value
from runslot.cli.render.console import console
from runslot.cli.render.table import print_columns, state_counts
from runslot.errors import NotFound, RunslotError
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.settings import default_root, path_of
from runslot.experiment.status import find_experiments, read_status
from runslot.record import record
from runslot.terminal_text import echo


def ls(
    root: Annotated[
        Path | None,
        argument(metavar="ROOT", help="Where to look; else where experiments go."),
    ] = None,
    limit: Annotated[int, value("--limit", "-n", least=1, metavar="N", help="Show so many.")] = 25,
    json: Annotated[bool, flag("--json", help="Print a JSON list, of all.")] = False,
) -> None:
    """List experiments: when they were launched, what they are, and how their runs stand."""
    directory = default_root() if root is None else path_of(root, "ROOT")
    if not directory.is_dir():
        raise NotFound(f"there is no directory {directory}, so there are no experiments in it")
    problems: list[str] = []
    experiments = list_experiments(directory, problems)
    print_listing(experiments, directory, None if json else limit, json)
    for problem in problems:
        echo(f"runslot: {problem}", err=True)


@record
class ExperimentLine:
    """One experiment, or one collection."""

    directory: Path
    experiments: tuple[ExperimentDir, ...]
    launched: float
    """Unix time of the last launch."""

    def standing(self) -> StateCounts:
        """Read how its runs stand."""
        total: Counter[str] = Counter()
        at_work, problems = False, []
        for experiment in self.experiments:
            try:
                status = read_status(experiment)
            except RunslotError as error:
                problems.append(str(error))
                continue
            total.update(status.counts)
            at_work |= status.launcher is not None
            problems += status.problems
        return StateCounts(total, at_work, tuple(problems))


@record
class StateCounts:
    """How the runs of one experiment, or one collection, stand."""

    counts: Counter[str]
    at_work: bool
    """Whether a launcher is at work on it."""
    problems: tuple[str, ...]
    """What could not be read."""


def list_experiments(root: Path, problems: list[str]) -> list[ExperimentLine]:
    """Return what is below `root`, the newest first; only names and dates are read.

    Directories that cannot be listed are named in `problems`.
    """
    together: dict[Path, list[ExperimentDir]] = {}
    for experiment in find_experiments(root, problems):
        together.setdefault(experiment.place, []).append(experiment)
    listings = [
        ExperimentLine(
            place, tuple(experiments), max(experiment.launched for experiment in experiments)
        )
        for place, experiments in together.items()
    ]
    return sorted(listings, key=lambda listing: listing.launched, reverse=True)


def print_listing(
    listings: Sequence[ExperimentLine], root: Path, limit: int | None = None, as_json: bool = False
) -> None:
    """Print the experiments, at most `limit` of them."""
    if as_json:
        print(jsonlib.dumps([_described(listing) for listing in listings], indent=1))
        return
    if not listings:
        print(f"no experiments in {root}")
        return
    _print_table(listings[:limit], root)
    if limit is not None and len(listings) > limit:
        print(f"and {len(listings) - limit} older ones (-n {len(listings)})")


def _described(listing: ExperimentLine) -> dict[str, object]:
    standing = listing.standing()
    problems = {"problems": list(standing.problems)} if standing.problems else {}
    return {
        "directory": str(listing.directory),
        "launched": round(listing.launched, 3),
        "launcher": standing.at_work,
        "counts": standing.counts,
        **problems,
    }


def _print_table(listings: Sequence[ExperimentLine], root: Path) -> None:
    rows: list[list[Text]] = []
    for listing in listings:
        standing = listing.standing()
        parts = [*state_counts(standing.counts, standing.at_work)]
        parts += [Text(problem, style="red") for problem in standing.problems]
        name = os.path.relpath(listing.directory, root)
        runs = str(standing.counts.total() or "")
        rows.append(
            [
                Text(ago(listing.launched, time.time())),
                Text(name),
                Text(runs),
                Text(", ").join(parts),
            ]
        )
    print_columns(console(), ("launched", "experiment", "runs", "state"), rows, right=("runs",))


def ago(moment: float, now: float) -> str:
    """Return when something was, for people: `12:31` today, `Tue 12:31` this week, else the
    date.
    """
    then = time.localtime(moment)
    if time.strftime("%Y%j", then) == time.strftime("%Y%j", time.localtime(now)):
        return time.strftime("%H:%M", then)
    return time.strftime("%a %H:%M" if now - moment < 6 * 86400 else "%Y-%m-%d", then)
