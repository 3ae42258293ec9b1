"""Has engines say, from time to time, how the experiments below some directories stand, where no
launcher does.

For readers that stay, as the page: what an engine knows and files do not tell is then in the files.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from runslot.engines.registry import refreshed
from runslot.errors import RunslotError
from runslot.experiment.lock import living_launcher
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import find_experiments, read_status

_PERIOD = 10.0
"""Seconds between looks."""


class Refresher:
    """Looks in a thread of its own, since an engine may take its time to answer."""

    def __init__(self, roots: Sequence[str | os.PathLike[str]]) -> None:
        self._roots = [Path(root) for root in roots]
        self._looked = -_PERIOD
        self._thread: threading.Thread | None = None
        self._done: dict[Path, float] = {}
        """Experiments of which nothing further is to be heard, until their journal changes."""

    def look(self) -> None:
        """Begin a look where the last one is long enough ago; never waits."""
        if time.monotonic() - self._looked < _PERIOD or (
            self._thread is not None and self._thread.is_alive()
        ):
            return
        self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._ask, name="runslot-refresh", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        for root in self._roots:
            for experiment in find_experiments(root):
                try:
                    self._ask_about(experiment)
                except (RunslotError, OSError):  # a broken file: who reads it says so
                    continue

    def _ask_about(self, experiment: ExperimentDir) -> None:
        changed = (
            experiment.journal_file.stat().st_mtime if experiment.journal_file.exists() else 0.0
        )
        if self._done.get(experiment.path) == changed:
            return
        of_this_machine = experiment.read().launcher is None
        if of_this_machine or (
            living_launcher(experiment) is None and refreshed(read_status(experiment)).finished
        ):
            self._done[experiment.path] = changed
