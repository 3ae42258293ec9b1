"""Runs that an experiment asked for and that have no directory yet: counted, so that a table tells how much is to come.

`runs.jsonl` lists them; a directory is made when a run is first started.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from runslot.errors import RunslotError
from runslot.experiment.rundir import ExperimentDir
from runslot.results.files import read_bytes
from runslot.results.finding import Stamp


class Waiting:
    """Remembers which runs each experiment asked for, as long as its list does not change."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Stamp, frozenset[str]]] = {}

    def count(self, lists: Mapping[str, Stamp], found: Collection[str]) -> dict[str, int]:
        """Return by experiment directory how many of its runs are not among the ids `found`; none where all are."""
        self._known = {path: known for path, known in self._known.items() if path in lists}
        counts: dict[str, int] = {}
        for path, stamp in lists.items():
            known = self._known.get(path)
            if known is None or known[0] != stamp:
                known = self._known[path] = (stamp, _ids(path))
            missing = len(known[1].difference(found))
            if missing:
                counts[path] = missing
        return counts


def _ids(experiment: str) -> frozenset[str]:
    try:
        data = read_bytes(ExperimentDir(experiment).runs_file) or b""
    except (RunslotError, OSError):
        return frozenset()
    ids = set()
    for line in data.split(b"\n")[:-1]:  # what follows the last newline is empty, or torn
        try:
            ids.add(str(json.loads(line)["id"]))
        except (ValueError, KeyError, TypeError):
            continue  # `runslot status` says what is wrong with it
    return frozenset(ids)
