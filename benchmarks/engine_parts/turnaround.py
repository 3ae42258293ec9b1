"""How long a slot is empty: from the end of a run to the start of the next one in its slot, by the
runs' own files.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from engine_parts.functions import ask, imports
from engine_parts.machine import CORES, Table

HEADER = ("", "turns", "median, ms", "p99, ms", "longest, ms")
STAMPED = """
import os, time
def train(variant):
    begun = time.time()
    with open(os.path.join(os.environ["RUNSLOT_RUN"], "stamp"), "w") as file:
        file.write(f"{begun} {time.time()}")
"""


def gaps(experiment: Path) -> list[float]:
    """Return the seconds between each outcome of an experiment and the next attempt in the same
    slot.
    """
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
    rows = [
        _row(kind, [gap for experiment in made for gap in gaps(experiment)])
        for kind, made in experiments.items()
    ]
    note = (
        "From the moment at which a run's outcome is known to the moment at which the next one in"
        " its slot begins."
    )
    return Table("Turnaround of a slot", note, HEADER, [row for row in rows if row])


def measure_functions(directory: Path, runs: int, rounds: int, python: str) -> Table:
    """Return the distribution from the last line of one run's function to the first line of the
    next one's.
    """
    rows = []
    for name in ("no import", "torch"):
        module = f"stamped_{name.replace(' ', '_')}"
        imported = "" if name == "no import" else f"import {name}\n"
        (directory / f"{module}.py").write_text(imported + STAMPED)
        if imported and not imports(python, name):
            continue
        found = []
        for _ in range(rounds):
            said = ask(python, directory, "run", "runslot, warm", module, str(runs), str(CORES))
            found += _stamped_gaps(Path(str(said["experiment"])))
        rows.append(_row(f"functions, {name}", found))
    note = (
        "From the last line of one run's function to the first line of the next one's, in another"
        " process: the end of the one, its outcome, the fork of the other, its directory,"
        " environment, seeds and pools."
    )
    return Table("From function to function", note, HEADER, [row for row in rows if row])


def _stamped_gaps(experiment: Path) -> list[float]:
    by_slot: dict[int, list[tuple[float, float]]] = {}
    for file in experiment.rglob("stamp"):
        slot = json.loads((file.parent / "outcome.json").read_text())["slot"]
        begun, ended = map(float, file.read_text().split())
        by_slot.setdefault(slot, []).append((begun, ended))
    return [
        begun - ended
        for spans in by_slot.values()
        for (_, ended), (begun, _) in pairwise(sorted(spans))
    ]


def _row(kind: str, found: list[float]) -> tuple[str, ...]:
    if len(found) < 2:
        return ()
    found = sorted(found)
    p99 = statistics.quantiles(found, n=100, method="inclusive")[98]
    cells = [f"{1000 * value:.1f}" for value in (statistics.median(found), p99, found[-1])]
    return (kind, str(len(found)), *cells)
