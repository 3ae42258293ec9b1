"""Runs that an experiment asked for and that have no directory yet: counted, so that a table tells
how much is to come.

`runs.jsonl` lists them; a directory is made when a run is first started.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping

from runslot.errors import NewerFormat, RunslotError
from runslot.experiment.files import read_json
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.shape import check_format
from runslot.results.formats.files import read_bytes
from runslot.results.problems import Problem
from runslot.results.read.directories import Stamp


class Backlog:
    """Remembers which runs each experiment asked for, as long as its list does not change."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Stamp, Mapping[str, str]]] = {}
        self._newer: dict[str, Problem] = {}

    def count(
        self, lists: Mapping[str, Stamp], present: Collection[str]
    ) -> dict[tuple[str, str], int]:
        """Return, by experiment directory and name of the variant, how many runs are not among the
        ids `present`."""
        self._known = {path: names for path, names in self._known.items() if path in lists}
        self._newer = {path: problem for path, problem in self._newer.items() if path in lists}
        counts: Counter[tuple[str, str]] = Counter()
        for path, stamp in lists.items():
            names = self._known.get(path)
            if names is None or names[0] != stamp:
                names = self._known[path] = (stamp, self._variants(path))
            counts.update((path, names[1][run]) for run in names[1].keys() - present)
        return counts

    def problems(self) -> list[Problem]:
        """Return which experiments a newer runslot wrote: nobody knows what these asked for."""
        return list(self._newer.values())

    def _variants(self, path: str) -> Mapping[str, str]:
        """Return by the id of each run of an experiment the name of its variant."""
        experiment = ExperimentDir(path)
        self._newer.pop(path, None)
        try:
            check_format(read_json(experiment.experiment_file) or {})
            return _names(read_bytes(experiment.runs_file) or b"")
        except NewerFormat as error:
            self._newer[path] = Problem(path, str(error))
            return {}
        except (RunslotError, OSError):
            return {}


def _names(data: bytes) -> Mapping[str, str]:
    variants = {}
    for line in data.split(b"\n")[:-1]:  # what follows the last newline is empty, or torn
        try:
            run = json.loads(line)
            check_format(run)
            variants[str(run["id"])] = str(run.get("name") or "")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # `runslot status` says what is wrong with it
    return variants
