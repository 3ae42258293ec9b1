"""What a container costs a run: beside the engine's own `run` of the same image, and a run without
a container.

    eval "$(tests/testbeds/containers-up)"
    python benchmarks/containers.py [--image IMAGE] [--engines docker podman] [--rounds N]

One run at a time; the three alternate, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runslot.experiment.records import Command, Container, Run, RunFile
from runslot.experiment.rundir import RunDir


def main() -> None:
    """Measure each engine that is installed, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--image", default="runslot-test")
    parser.add_argument("--engines", nargs="+", default=["docker", "podman"])
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runslot-containers-") as directory:
        for engine in asked.engines:
            if shutil.which(engine) is None:
                print(f"{engine}: not installed")
            else:
                measure(Path(directory) / engine, engine, asked.image, asked.rounds)


def measure(directory: Path, engine: str, image: str, rounds: int) -> None:
    """Alternate the three, and print the median of each in seconds."""
    bare = [engine, "run", "--rm", "--init", "--interactive", "--network", "none", image]
    ways: dict[str, Callable[[int], None]] = {
        f"{engine} run … true": lambda _: _call([*bare, "true"]),
        f"{engine} run … python3 -c pass": lambda _: _call([*bare, "python3", "-c", "pass"]),
        f"a run of true, {engine}": lambda number: _run(
            directory / f"in-{number}", Container(image, engine)
        ),  # type: ignore[arg-type]
        "a run of true, no container": lambda number: _run(directory / f"out-{number}", None),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way(number)
            took[name].append(time.perf_counter() - started)
    first = statistics.median(next(iter(took.values())))
    for name, seconds in took.items():
        middle = statistics.median(seconds)
        print(f"{name:40} {middle:7.3f} s  {middle / first:5.2f} ×  (least {min(seconds):.3f} s)")


def _call(argv: list[str]) -> None:
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _run(directory: Path, container: Container | None) -> None:
    directory.mkdir(parents=True)
    work = Command(("true",))
    file = RunFile(
        Run("", "", {}, ""), "containers", work, str(directory), sys.executable, container=container
    )
    RunDir(directory).write_run(file)
    argv = [sys.executable, "-m", "runslot", "exec", str(directory)]
    _call(argv)


if __name__ == "__main__":
    main()
