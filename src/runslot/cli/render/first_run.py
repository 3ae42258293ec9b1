"""What the first run that succeeds has logged: said once, so that a sweep of many hours is not of
the wrong numbers.

`launch` puts this between a launch and whoever looks on. A run that logs through runslot is asked
nothing: its script chose its metrics. Of another one's files and prints, `results` says what it
will read; that is loaded only then, and in a thread of its own, so that the launch goes on
meanwhile.
"""

from __future__ import annotations

import os
import threading
from itertools import chain, islice
from pathlib import Path

from runslot.engines.events import LaunchEvent, Observer, RunEnded, Said
from runslot.errors import RunslotError
from runslot.experiment.records import Command
from runslot.experiment.rundir import RunDir

NAMES_SHOWN = 6
_TABLES = (".csv", ".tsv", ".jsonl")
_ENTRIES_LIMIT = 2000
"""Of a directory that are looked at."""


class FirstRun:
    """An observer that passes every event on, and says after the first success what the run's
    metrics are.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._thread: threading.Thread | None = None

    def __call__(self, event: LaunchEvent) -> None:
        """Pass the event on; look at the run of the first that ended well."""
        self._observer(event)
        if (
            self._thread is None
            and isinstance(event, RunEnded)
            and event.outcome.kind == "succeeded"
        ):
            words = (event.directory, event.outcome.started)
            self._thread = threading.Thread(target=self._say_metrics, args=words, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Have what is being said end before what follows is printed."""
        if self._thread is not None:
            self._thread.join()

    def _say_metrics(self, directory: Path, started: float | None) -> None:
        run = RunDir(directory)
        if os.path.exists(run.progress):  # noqa: PTH110
            return
        if has_written(run) and (sentence := metrics_sentence(directory)):
            self._observer(Said(sentence))
        if started is not None and (outside := table_outside(run, started)):
            self._observer(
                Said(
                    f"note: {outside} was written meanwhile outside of the run's directory: results"
                    " does not read it, and runs that write one file spoil it; let the script"
                    " write below {run_dir}"
                )
            )


def has_written(run: RunDir) -> bool:
    """Whether a run has logged, or printed, anything that could be read: asked before what reads it
    is loaded.
    """
    # Not Path.exists, which raises for a directory that may not be entered.
    if os.path.exists(run.progress):  # noqa: PTH110
        return True
    try:
        if run.console.stat().st_size > 0:
            return True
        with os.scandir(run.path) as entries:
            return any(
                entry.name.endswith(_TABLES) or entry.is_dir(follow_symlinks=False)
                for entry in entries
            )
    except OSError:
        return False


def table_outside(run: RunDir, started: float) -> str:
    """Return a table that was written since `started` where a command was started; empty where
    there is none.

    Looked for there and one directory below, as scripts name their logs; what is hidden is not
    theirs.
    """
    try:
        file = run.read_run()
        directory = Path(file.cwd)
        if not isinstance(file.work, Command) or not directory.is_dir():
            return ""
        entries = islice(chain(directory.iterdir(), directory.glob("[!.]*/*")), _ENTRIES_LIMIT)
        tables = (
            entry
            for entry in entries
            if entry.name.endswith(_TABLES) and not entry.name.startswith(".")
        )
        return next(
            (
                str(table.relative_to(directory))
                for table in tables
                if table.lstat().st_mtime >= started
            ),
            "",
        )
    except (OSError, RunslotError):
        return ""


def metrics_sentence(directory: Path) -> str:
    """Return which metrics a script's run has, where they stand, which is taken for x and which for
    the objective.
    """
    from runslot.errors import NotFound
    from runslot.results.read.reader import load
    from runslot.results.summary import default_metric, mode_of

    try:
        results = load(directory, cache=False)
    except NotFound:
        return ""
    metrics = list(results.metrics)
    if not metrics:
        return ""
    x = results.counter
    objective = default_metric([metric for metric in metrics if metric != x])
    names = ", ".join(metrics[:NAMES_SHOWN]) + (
        f" and {len(metrics) - NAMES_SHOWN} more" * (len(metrics) > NAMES_SHOWN)
    )
    logs = ", ".join(sorted({Path(log).name for run in results.files() for log in run.logs}))
    compared = f"; compared by {objective}, {_better(mode_of(objective))}" if objective else ""
    return f"metrics in {logs}: {names}; x is {x or 'the row'}{compared} (--metrics reads others)"


def _better(mode: str | None) -> str:
    return "lower is better" if mode == "min" else "higher is better"
