"""Hydra's launchers side by side: 40 jobs that do nothing, with `basic`, `joblib` and `runslot`.

    python benchmarks/hydra.py [--jobs 40] [--rounds 5]

The rounds of the launchers alternate. Wall time is the command's, from its start to its end; CPU
time that of all its processes. Those that are not installed are named and left out.
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
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LAUNCHERS = {
    "basic": (),
    "joblib": ("hydra/launcher=joblib",),
    "runslot": ("hydra/launcher=runslot", "hydra.launcher.cpus=1"),
}
DISTRIBUTIONS = {"basic": "hydra-core", "joblib": "hydra-joblib-launcher", "runslot": "runslot"}
APPLICATION = """
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    return cfg.lr

if __name__ == "__main__":
    main()
"""
CONFIG = "lr: 1\nseed: 0\nmodel:\n  name: small\n  width: 32\ndata:\n  path: /data\n  batch: 64\n"


def measure(project: Path, launcher: str, jobs: int, number: int) -> tuple[float, float]:
    """Return the wall and CPU seconds of one multirun."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    argv = [sys.executable, "train.py", "-m", f"lr=range({jobs})", *LAUNCHERS[launcher]]
    subprocess.run(
        [*argv, f"hydra.sweep.dir=out/{launcher}-{number}"],
        cwd=project,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "RUNSLOT_LOCKS": str(project / "locks")},
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def installed() -> list[str]:
    """Return the launchers that there are; by their distributions, for this file is a `hydra`."""
    names = []
    for launcher, distribution in DISTRIBUTIONS.items():
        try:
            version(distribution)
        except PackageNotFoundError:
            print(f"{launcher}: {distribution} is not installed")
        else:
            names.append(launcher)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    launchers = installed()
    if "basic" not in launchers:
        return
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in launchers}
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        (project / "conf").mkdir()
        (project / "locks").mkdir()
        (project / "conf" / "config.yaml").write_text(CONFIG)
        (project / "train.py").write_text(APPLICATION)
        for number in range(options.rounds):
            for launcher in launchers:
                measured[launcher].append(measure(project, launcher, options.jobs, number))
    print(f"{options.jobs} jobs, medians of {options.rounds} rounds, {os.cpu_count()} CPUs")
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in measured.items()
    }
    for name, (wall, cpu) in medians.items():
        line = f"{name:<8} wall {wall:6.2f} s   CPU {cpu:6.2f} s"
        ours_wall, ours_cpu = medians["runslot"]
        if name != "runslot":
            line += f"   runslot: {ours_wall / wall:.2f} × wall, {ours_cpu / cpu:.2f} × CPU"
        print(line)


if __name__ == "__main__":
    main()
