"""What the first run that succeeds has logged: said once, so that a sweep of many hours is not of the wrong numbers.

`launch` puts this between a launch and whoever looks on. A run that logs through runslot is asked nothing: its script
chose its metrics. Of another one's files and prints, `results` says what it will read; that is loaded only then, and
in a thread of its own, so that the launch goes on meanwhile.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from runslot.engines.events import LaunchEvent, Observer, RunEnded, Said
from runslot.experiment.rundir import RunDir

NAMES_SHOWN = 6


class FirstRun:
    """An observer that passes every event on, and says after the first success what the run's metrics are."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._thread: threading.Thread | None = None

    def __call__(self, event: LaunchEvent) -> None:
        """Pass the event on; look at the run of the first that ended well."""
        self._observer(event)
        if self._thread is None and isinstance(event, RunEnded) and event.outcome.kind == "succeeded":
            self._thread = threading.Thread(target=self._say_metrics, args=(event.directory,), daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Have what is being said end before what follows is printed."""
        if self._thread is not None:
            self._thread.join()

    def _say_metrics(self, directory: Path) -> None:
        run = RunDir(directory)
        if os.path.exists(run.progress) or not has_written(run):  # noqa: PTH110
            return
        sentence = metrics_sentence(directory)
        if sentence:
            self._observer(Said(sentence))


def has_written(run: RunDir) -> bool:
    """Whether a run has logged, or printed, anything that could be read: asked before what reads it is loaded."""
    # Not Path.exists, which raises for a directory that may not be entered.
    if os.path.exists(run.progress):  # noqa: PTH110
        return True
    try:
        return run.console.stat().st_size > 0
    except OSError:
        return False


def metrics_sentence(directory: Path) -> str:
    """Return which metrics a script's run has, where they stand, which is taken for x and which for the objective."""
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
