"""Reading 1,000 runs × 1,000 rows × 20 metrics: ours cold, with nothing new, and with ten runs
grown, against viskit's way of reading, pandas, and TensorBoard's reader. Prints medians and ratios;
each reading is a fresh process.

    python benchmarks/results.py [--runs 1000] [--rows 1000] [--repeat 3]
        [--out docs/performance-results.md]
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path

METRICS = 20
TENSORBOARD_SHARE = (
    50  # its files are written and read for one run of so many: writing all would take an hour
)


def write_runs(root: Path, runs: int, rows: int) -> None:
    """Write launchkit's layout: ten seeds a variant, 13 characters a number."""
    chance = random.Random(0)
    header = ",".join(["epoch", *(f"metric_{i}" for i in range(1, METRICS))])
    bodies = []
    for _ in range(10):
        lines = (
            f"{e}," + ",".join(f"{chance.random():.10f}" for _ in range(1, METRICS))
            for e in range(rows)
        )
        bodies.append("\n".join([header, *lines]) + "\n")
    for run in range(runs):
        directory = root / f"lr={run // 10}" / f"run_{run % 10}"
        directory.mkdir(parents=True)
        (directory / "progress.csv").write_text(bodies[run % 10])
        variant = {"lr": run // 10, "seed": run % 10, "algo": {"gamma": 0.99, "hidden": [256, 256]}}
        (directory / "variant.json").write_text(json.dumps(variant))


def grow(root: Path) -> None:
    row = ",".join(["0.1234567890"] * METRICS) + "\n"
    for log in sorted(root.glob("*/*/progress.csv"))[::100][:10]:
        with log.open("a") as file:
            file.write(row * 5)


def write_events(root: Path, runs: int, rows: int) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for run in range(runs):
        writer = EventFileWriter(str(root / f"run_{run}"), max_queue_size=10_000)
        for row in range(rows):
            values = [
                Summary.Value(tag=f"metric_{i}", simple_value=row / (i + 1)) for i in range(METRICS)
            ]
            writer.add_event(Event(step=row, wall_time=row, summary=Summary(value=values)))
        writer.close()


def read_ours(root: Path) -> int:
    from runslot.results import load

    results = load(root)
    return results.progress.height * len(results.metrics) if results.runs.height else 0


def read_like_viskit(root: Path) -> int:
    """viskit's rules: walk, a run is progress.csv beside variant.json, each cell through float,
    else 0.0.
    """
    runs = []
    for path, _, files in os.walk(root):
        if "progress.csv" not in files or "variant.json" not in files:
            continue
        json.loads(Path(path, "variant.json").read_text())
        columns: dict[str, list[float]] = {}
        with Path(path, "progress.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                for key, cell in row.items():
                    try:
                        value = float(cell)
                    except ValueError:
                        value = 0.0
                    columns.setdefault(key, []).append(value)
        runs.append({key: array("d", column) for key, column in columns.items()})
    return sum(len(column) for run in runs for column in run.values())


def read_with_pandas(root: Path) -> int:
    import pandas

    frames = []
    for log in root.glob("*/*/progress.csv"):
        variant = json.loads(log.with_name("variant.json").read_text())
        frames.append(pandas.read_csv(log).assign(lr=variant["lr"], seed=variant["seed"]))
    frame = pandas.concat(frames, ignore_index=True)
    return len(frame) * METRICS


def read_with_tensorboard(root: Path) -> int:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    numbers = 0
    for directory in root.iterdir():
        events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
        events.Reload()
        numbers += sum(len(events.Scalars(tag)) for tag in events.Tags()["scalars"])
    return numbers


READERS: dict[str, Callable[[Path], int]] = {
    "ours": read_ours,
    "viskit's way": read_like_viskit,
    "pandas": read_with_pandas,
    "tensorboard": read_with_tensorboard,
}


def measure(reader: str, root: Path, cache: Path) -> tuple[float, float]:
    """Return seconds of one reading in a fresh process, imports not counted, and what it held at
    most beside them.
    """
    command = [sys.executable, __file__, "--read", reader, "--root", str(root)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, megabytes


def read_once(reader: str, root: Path) -> None:
    module = {"ours": "runslot.results", "pandas": "pandas", "tensorboard": "tensorboard"}.get(
        reader
    )
    if module:
        importlib.import_module(module)
    before = most_held()
    start = time.perf_counter()
    numbers = READERS[reader](root)
    seconds = time.perf_counter() - start
    assert numbers, "nothing was read"
    print(json.dumps([seconds, most_held() - before]))


def most_held() -> float:
    """Return the largest resident set of this process so far, in MB; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def several(repeat: int, once: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    measured = [once() for _ in range(repeat)]
    return statistics.median(m[0] for m in measured), max(m[1] for m in measured)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--note", default="", help="what to say of the machine besides")
    parser.add_argument("--out", type=Path, help="also write a page of the documentation")
    parser.add_argument("--read", choices=list(READERS), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read_once(options.read, options.root)
        return
    with tempfile.TemporaryDirectory(prefix="runslot-bench-") as name:
        lines = compare(Path(name), options.runs, options.rows, options.repeat, options.note)
    if options.out:
        options.out.write_text("\n".join([*lines, ""]))


HEAD = """# How fast results are read

Written by `python benchmarks/results.py --out docs/performance-results.md`: launchkit's layout, ten
seeds a variant, 13 characters a number. Each reading is a fresh process, imports not counted;
memory is what it held beside them at most. The peers read the same files on the same machine, one
after the other; TensorBoard's reader reads event files of the same numbers, of one run in fifty,
and its time is multiplied by fifty.
"""
AIMS = {"ours, cold": 3.0, "ours, nothing new": 0.3, "ours, ten runs grown": 0.4}


def compare(directory: Path, runs: int, rows: int, repeat: int, note: str = "") -> list[str]:
    """Measure and print; returns the lines of the documentation's page."""
    root, cache = directory / "runs", directory / "cache"
    write_runs(root, runs, rows)
    numbers = runs * rows * METRICS * 8 / 2**20
    said = (
        f"{runs:,} runs × {rows:,} rows × {METRICS} metrics: {numbers:.0f} MB of numbers; medians"
        f" of {repeat}"
    )
    print(said)
    machine = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}"
    )
    lines = [
        *HEAD.splitlines(),
        "",
        f"{said}. {machine}. {note}".rstrip(),
        "",
        "| | aim | time | memory | × ours cold |",
        "|---|---|---|---|---|",
    ]
    fresh = iter(range(10**6))
    cold = several(repeat, lambda: measure("ours", root, directory / f"cache-{next(fresh)}"))
    lines.append(report("ours, cold", cold, None))
    measure("ours", root, cache)
    nothing_new = several(repeat, lambda: measure("ours", root, cache))
    lines.append(report("ours, nothing new", nothing_new, cold))

    def grown() -> tuple[float, float]:
        grow(root)
        return measure("ours", root, cache)

    lines.append(report("ours, ten runs grown", several(repeat, grown), cold))
    held = f"ours held {cold[1] / numbers:.1f} times the numbers at most"
    print(held)
    for reader in ("viskit's way", "pandas"):
        if reader == "pandas" and not importlib.util.find_spec("pandas"):
            print("pandas: not installed")
            continue
        found = several(max(1, repeat // 2), lambda reader=reader: measure(reader, root, cache))
        lines.append(report(reader, found, cold))
    if importlib.util.find_spec("tensorboard"):
        some = max(1, runs // TENSORBOARD_SHARE)
        write_events(directory / "events", some, rows)
        seconds, most = measure("tensorboard", directory / "events", cache)
        lines.append(
            report(
                f"tensorboard, {some} runs × {runs / some:.0f}", (seconds * runs / some, most), cold
            )
        )
    else:
        print("tensorboard: not installed")
    return [*lines, "", f"{held[0].upper()}{held[1:]} (aim: 3)."]


def report(what: str, measured: tuple[float, float], cold: tuple[float, float] | None) -> str:
    """Print one measurement; returns its line of a table."""
    ratio = measured[0] / cold[0] if cold else 1.0
    print(
        f"{what:<28}{measured[0]:8.2f} s {measured[1]:8.0f}"
        f" MB{f'  {ratio:8.2f} × ours cold' if cold else ''}",
        flush=True,
    )
    aim = f"≤ {AIMS[what]} s" if what in AIMS else ""
    return f"| {what} | {aim} | {measured[0]:.2f} s | {measured[1]:.0f} MB | {ratio:.2f} |"


if __name__ == "__main__":
    main()
