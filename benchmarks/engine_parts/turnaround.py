"""How long a slot is empty: from the end of a run to the start of the next one in its slot, by the runs' own files."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from engine_parts.machine import Table


def gaps(experiment: Path) -> list[float]:
    """Return the seconds between each outcome of an experiment and the next attempt in the same slot."""
    by_slot: dict[int, list[tuple[float, float]]] = {}
    for file in experiment.rglob("outcome.json"):
        outcome = json.loads(file.read_text())
        by_slot.setdefault(outcome["slot"], []).append((outcome["started"], outcome["ended"]))
    found = []
    for spans in by_slot.values():
        spans.sort()
        found += [begun - ended for (_, ended), (begun, _) in pairwise(spans)]
    return found


def measure(experiments: Mapping[str, Sequence[Path]]) -> Table:
    """Return the distribution for each kind of run."""
    rows = []
    for kind, made in experiments.items():
        found = sorted(gap for experiment in made for gap in gaps(experiment))
        if len(found) < 2:
            continue
        p99 = statistics.quantiles(found, n=100)[98]
        cells = [f"{1000 * value:.1f}" for value in (statistics.median(found), p99, found[-1])]
        rows.append((kind, str(len(found)), *cells))
    note = "From the moment at which a run's outcome is known to the moment at which the next one in its slot begins."
    return Table("Turnaround of a slot", note, ("", "turns", "median, ms", "p99, ms", "longest, ms"), rows)
