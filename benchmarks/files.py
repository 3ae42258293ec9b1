"""What runs that log nothing leave on the disk, and what looking at them costs.

    python benchmarks/files.py [--runs 20000] [--rounds 3]

Launches no-op functions, counts files, blocks (as du does) and bytes a run, and times `status`,
`results`, `resume`. `PYTHONPATH` with another version's `src` measures that one.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Measure, and print a line a figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "noop.py").write_text("def run(variant):\n    pass\n")
        began = time.perf_counter()
        argv = [
            "run",
            "-q",
            "--name",
            "noop",
            "--seeds",
            str(asked.runs),
            "--cpus-per-run",
            "1",
            "noop.py:run",
        ]
        experiment = Path(runslot(place, *argv).split()[-1])
        print(
            f"launch     {1e3 * (time.perf_counter() - began) / asked.runs:8.2f} ms a run",
            flush=True,
        )
        report_files(experiment, asked.runs)
        for command in ("status", "results", "resume"):
            times, computed = [], []
            for _ in range(asked.rounds):
                began, before = time.perf_counter(), cpu_of_commands()
                runslot(place, command, str(experiment))
                times.append(time.perf_counter() - began)
                computed.append(cpu_of_commands() - before)
            print(
                f"{command:10} {statistics.median(times):8.2f} s, {statistics.median(computed):.2f}"
                " s of it on a core"
            )


def cpu_of_commands() -> float:
    """Return the seconds that the commands so far have computed, whatever else this machine did."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report_files(experiment: Path, runs: int) -> None:
    """Print how much there is, a run: links count as files, and once as blocks."""
    files = blocks = size = 0
    inodes = set()
    for place, directories, names in os.walk(experiment):
        for name in [*directories, *names]:
            status = (Path(place) / name).lstat()
            files += name in names
            if status.st_ino not in inodes:
                inodes.add(status.st_ino)
                blocks += status.st_blocks
                size += status.st_size
    print(f"files      {files / runs:8.2f} a run")
    print(f"disk       {blocks / 2 / runs:8.2f} KiB a run, {size / 1024 / runs:.2f} KiB by size")


def runslot(place: Path, *argv: str) -> str:
    """Carry out a command in the directory, with its root and locks there."""
    (place / "locks").mkdir(exist_ok=True)
    own = {
        "RUNSLOT_ROOT": f"{place}/runs",
        "RUNSLOT_LOCKS": f"{place}/locks",
        "XDG_CACHE_HOME": f"{place}/cache",
    }
    command = [sys.executable, "-m", "runslot", *argv]
    return subprocess.run(
        command, cwd=place, env={**os.environ, **own}, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    main()
