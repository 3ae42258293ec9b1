"""Functions, each in a process of its own unless said otherwise: runs a second once everything has
started.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from engine_parts.machine import CORES, Table, interleaved, ratio

PEERS = Path(__file__).with_name("function_peers.py")
FEW = {"submitit local", "Ray, a process a run (max_calls=1)"}
"""Those that take so long for a run that fewer are measured."""


def measure(
    directory: Path, runs: int, rounds: int, python: str
) -> tuple[list[Table], dict[str, list[Path]]]:
    """Return a table for each kind of module, and the experiments that runslot made, by the
    module.
    """
    (directory / "noop_work.py").write_text("def train(variant):\n    pass\n")
    (directory / "torch_work.py").write_text(
        "import torch\n\ndef train(variant):\n    torch.zeros(1)\n"
    )
    tables: list[Table] = []
    experiments: dict[str, list[Path]] = {}
    for module, title in (
        ("noop_work", "No-op functions"),
        ("torch_work", "Functions of a module that imports torch"),
    ):
        if module == "torch_work" and not imports(python, "torch"):
            tables.append(Table(title, "", ("", "runs/s"), (), ("torch",)))
            continue
        table, made = _measure_module(directory, module, title, runs, rounds, python)
        tables.append(table)
        experiments[title.lower()] = made
    return tables, experiments


def _measure_module(
    directory: Path, module: str, title: str, runs: int, rounds: int, python: str
) -> tuple[Table, list[Path]]:
    experiments: list[Path] = []
    slow = module == "torch_work"

    def run(name: str) -> float:
        count = (
            max(2 * CORES, 0 if slow else runs // 20)
            if name in FEW or (slow and "cold" in name)
            else runs
        )
        said = ask(python, directory, "run", name, module, str(count), str(CORES))
        if said.get("experiment"):
            experiments.append(Path(said["experiment"]))
        return count / float(said["seconds"])

    peers: dict[str, str | None] = ask(python, directory, "versions")
    missing = [name for name, version in peers.items() if version is None]
    results = interleaved(
        rounds, {name: lambda name=name: run(name) for name in peers if name not in missing}
    )
    base = results["runslot, warm"]
    rows = [
        (
            f"{name}{f' ({peers[name]})' if peers[name] else ''}",
            f"{statistics.median(values):.1f}",
            f"{ratio(base, values):.1f}",
        )
        for name, values in results.items()
    ]
    note = (
        f"Up to {runs} runs, {CORES} at once, counted after the start of each library and its"
        f" workers; medians of {rounds} rounds in which all took turns. joblib and Ray's reused"
        " workers give no run a process of its own."
    )
    return Table(title, note, ("", "runs/s", "runslot is faster by"), rows, missing), experiments


def ask(python: str, directory: Path, *arguments: str) -> dict[str, object]:
    """Return what a contestant says, in an interpreter of its own."""
    done = subprocess.run(
        [python, str(PEERS), *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return said


def imports(python: str, module: str) -> bool:
    """Tell whether that interpreter has the module."""
    return (
        subprocess.run(
            [python, "-c", f"import {module}"], capture_output=True, check=False
        ).returncode
        == 0
    )
