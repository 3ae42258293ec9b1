"""No-op `python` scripts: the wall time of the whole command, beside what starts commands in
parallel.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine_parts.machine import CORES, Table, interleaved, ratio, version_of

Contestant = Callable[[], float]


def measure(directory: Path, runs: int, rounds: int) -> tuple[Table, list[Path]]:
    """Return the table, and the experiments that runslot made."""
    script = directory / "noop.py"
    script.write_text("pass\n")
    experiments: list[Path] = []
    engine: list[float] = []

    def runslot() -> float:
        seconds, experiment = launch(directory, runs, script)
        experiments.append(experiment)
        engine.append(engine_seconds(experiment))
        return seconds

    contestants: dict[str, Contestant] = {"runslot": runslot}
    python = sys.executable
    peers: dict[str, tuple[str | None, Contestant]] = {
        "xargs -P": (version_of("xargs", "--version"), lambda: _xargs(runs, python, script)),
        "GNU parallel": (
            version_of("parallel", "--version"),
            lambda: _parallel(runs, python, script),
        ),
        "task-spooler": (
            version_of("tsp", "-V"),
            lambda: _task_spooler(directory, runs, python, script),
        ),
    }
    missing = [name for name, (version, _) in peers.items() if version is None]
    contestants |= {name: run for name, (version, run) in peers.items() if version is not None}
    cpu: dict[str, list[float]] = {name: [] for name in contestants}
    results = interleaved(
        rounds, {name: _counting(run, cpu[name]) for name, run in contestants.items()}
    )
    results["runslot, from its first start to its last end"] = engine
    first = "xargs -P" if "xargs -P" in results else "runslot"
    base = results[first]
    rows = []
    for name, values in results.items():
        version = peers[name][0] if name in peers else ""
        rows.append(
            (f"{name}{f' ({version})' if version else ''}", f"{statistics.median(values):.2f}")
        )
        rows[-1] = (
            *rows[-1],
            f"{runs / statistics.median(values):.0f}",
            f"{ratio(values, base):.2f}",
        )
        used = cpu.get(name, [])
        rows[-1] += (
            (f"{statistics.median(used):.2f}", f"{ratio(used, cpu[first]):.2f}")
            if used
            else ("", "")
        )
    note = (
        f"{runs} times `python noop.py`, at most {CORES} at once; medians of {rounds} rounds in"
        " which all took turns. runslot pins each run, and writes its directory, console, outcome"
        " and journal; the others start processes. CPU time is that of all processes, the scripts'"
        " own included, but for those of task-spooler's server."
    )
    header = ("", "wall time, s", "runs/s", "ratio to xargs", "CPU time, s", "ratio to xargs")
    return Table("No-op scripts", note, header, rows, missing), experiments


def _counting(run: Contestant, cpu: list[float]) -> Contestant:
    """Return a contestant that notes the CPU time which its processes have used, too."""

    def counted() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return seconds

    return counted


def launch(directory: Path, runs: int, script: Path) -> tuple[float, Path]:
    """Launch with the command line; return the wall time and the experiment's directory."""
    argv = [sys.executable, "-m", "runslot", "run", "-q", "--name", "scripts", "--seeds", str(runs)]
    begin = time.perf_counter()
    done = subprocess.run(
        [*argv, "--cpus-per-run", "1", "--", sys.executable, str(script)],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - begin, Path(done.stdout.strip())


def engine_seconds(experiment: Path) -> float:
    """Return the time between a launch's first word in the journal and its last: without its own
    start.
    """
    events = [json.loads(line) for line in (experiment / "journal.jsonl").read_text().splitlines()]
    began = next(event["time"] for event in events if event["event"] == "launcher_started")
    ended = next(event["time"] for event in events if event["event"] == "launcher_ended")
    return float(ended - began)


def _xargs(runs: int, python: str, script: Path) -> float:
    return _timed(
        ["xargs", "-n", "1", "-P", str(CORES), python, str(script)],
        "\n".join(map(str, range(runs))),
    )


def _parallel(runs: int, python: str, script: Path) -> float:
    argv = ["parallel", "--will-cite", "-j", str(CORES), python, str(script), "{}"]
    return _timed(argv, "\n".join(map(str, range(runs))))


def _task_spooler(directory: Path, runs: int, python: str, script: Path) -> float:
    environment = {
        **os.environ,
        "TS_SOCKET": str(directory / "tsp"),
        "TS_SLOTS": str(CORES),
        "TMPDIR": str(directory),
    }
    last = " ".join(
        f"tsp -w $((id - {back}));" for back in range(CORES)
    )  # the last that began may not end last
    shell = f"for i in $(seq {runs}); do id=$(tsp -n {python} {script} $i); done; {last} true"
    try:
        return _timed(["bash", "-c", shell], "", environment)
    finally:
        subprocess.run(["tsp", "-K"], env=environment, check=False)


def _timed(argv: list[str], given: str, environment: dict[str, str] | None = None) -> float:
    begin = time.perf_counter()
    subprocess.run(
        argv, input=given, text=True, stdout=subprocess.DEVNULL, env=environment, check=True
    )
    return time.perf_counter() - begin
