"""How long slots wait for a search between two runs, beside a plain sweep of as many runs."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from engine_parts.machine import Table, place

RUNS, RUN_S = 40, 1.0
BYTECODE = "PYTHONPYCACHEPREFIX"
JOB = f"""
import time
from runslot import logger

def train(variant):
    time.sleep({RUN_S})
    logger.record_dict({{"step": 1, "score": -((variant["x"] - 0.3) ** 2)}})
    logger.dump_tabular()
"""
SPACE = ("--search", "x=uniform(0,1)", "--metric", "score", "--mode", "max")
SWEEPS: Mapping[str, Sequence[str]] = {
    "a plain sweep": ("--grid", f"x={','.join(str(n / RUNS) for n in range(RUNS))}"),
    **{
        f"a search, {sampler}": (*SPACE, "--trials", str(RUNS), "--sampler", sampler)
        for sampler in ("random", "tpe", "auto")
    },
}


def gaps(directory: Path) -> list[float]:
    """Return the seconds between the runs of each slot."""
    by_slot: dict[int, list[tuple[float, float]]] = {}
    for file in directory.glob("*/run_*/outcome.json"):
        outcome = json.loads(file.read_text())
        times = (outcome["started"], outcome["ended"])
        by_slot.setdefault(outcome["slot"], []).append(times)
    return [
        later[0] - earlier[1]
        for runs in by_slot.values()
        for earlier, later in pairwise(sorted(runs))
    ]


def measure() -> Table:
    """Return the table."""
    missing = [] if importlib.util.find_spec("optuna") else ["Optuna"]
    rows = []
    for name, words in SWEEPS.items():
        if missing and name.endswith(("tpe", "auto")):
            continue
        with place() as directory:
            (directory / "job.py").write_text(JOB)
            command = [sys.executable, "-m", "runslot", "run", "job.py:train", *words, "-q"]
            # With bytecode that is there: to compile libraries is no search's time.
            environment = {key: os.environ[key] for key in os.environ if key != BYTECODE}
            output = subprocess.run(
                [*command, "--root", str(directory)],
                cwd=directory,
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            waits = gaps(Path(output.stdout.strip()))
        rows.append([name, f"{1000 * statistics.median(waits):.0f}"])
    base_ms = float(rows[0][1])
    return Table(
        "Slots that wait",
        f"""\
Between two runs of a slot, from the end of one to the start of the next: {RUNS} runs of {RUN_S:g} s
each, medians. The last column is what a search adds to it, of the time of such a run.""",
        ["", "between two runs, ms", "for the search, %"],
        [[*row, f"{max(float(row[1]) - base_ms, 0) / RUN_S / 10:.1f}"] for row in rows],
        missing,
    )
