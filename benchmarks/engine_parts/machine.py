"""What the figures stand on: the machine, the versions, a place of its own for locks and files; and
how tables look.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SOURCE = Path(__file__).resolve().parents[2] / "src"


@dataclass(frozen=True)
class Table:
    """A table of results, with what is to be known of it."""

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    missing: Sequence[str] = ()
    """Peers that are not installed here."""

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.note, ""]
        lines.append("| " + " | ".join(self.header) + " |")
        lines.append("| --- |" + " ---: |" * (len(self.header) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        if self.missing:
            lines += ["", f"Not installed here, so not measured: {', '.join(self.missing)}."]
        return "\n".join(lines) + "\n"


@contextmanager
def place() -> Iterator[Path]:
    """Yield an empty directory; launches in it take locks of their own, so that they wait for
    nobody.
    """
    directory = Path(tempfile.mkdtemp(prefix="runslot-bench-"))
    (directory / "locks").mkdir()
    # as after an installation, wherever this checkout lies
    os.environ |= {
        "RUNSLOT_LOCKS": str(directory / "locks"),
        "RUNSLOT_ROOT": str(directory / "runs"),
        "XDG_STATE_HOME": str(directory / "state"),
        "PYTHONPATH": str(SOURCE),
        "PYTHONPYCACHEPREFIX": str(directory / "bytecode"),
    }
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
        os.environ.pop(name, None)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def interleaved(
    rounds: int, contestants: Mapping[str, Callable[[], float]]
) -> dict[str, list[float]]:
    """Return what each gives in each round; they take turns, so that a slow minute of the machine
    is everyone's.
    """
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            results[name].append(contestants[name]())
    return results


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Return the median over the rounds of the ratios within a round."""
    return statistics.median(value / other for value, other in zip(values, base, strict=True))


def version_of(program: str, *arguments: str) -> str | None:
    """Return the first line that a program says of its version; None where it is not installed."""
    path = shutil.which(program)
    if path is None:
        return None
    said = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    return (said.stdout or said.stderr).strip().splitlines()[0]


def describe() -> str:
    """Return the machine and the versions, a line each."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    said = [
        f"{cpu}, {CORES} cores for this process",
        f"{platform.platform()}",
        f"Python {sys.version.split()[0]}",
    ]
    said.append(f"runslot {importlib.metadata.version('runslot')}")
    return "\n".join(f"- {line}" for line in said)
