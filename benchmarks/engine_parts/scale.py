"""Experiments of 10,000 and 100,000 runs that wait: start, memory, idle time of the launcher, and
`status`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from engine_parts.machine import Table

_IDLE = 5.0
"""Seconds over which an idle launcher is watched."""


def measure(directory: Path, sizes: tuple[int, ...], rounds: int) -> Table:
    """Return the table; a median over `rounds` calls for `status`."""
    rows = []
    for size in sizes:
        begin = time.perf_counter()
        argv = [
            "run",
            "-q",
            "--name",
            f"scale{size}",
            "--seeds",
            str(size),
            "--detach",
            "--",
            "sleep",
            "600",
        ]
        experiment = Path(_runslot(directory, *argv).strip())
        start = time.perf_counter() - begin
        launcher = json.loads((experiment / "launcher.lock").read_text())["pid"]
        time.sleep(1.0)
        before = _cpu_seconds(launcher)
        time.sleep(_IDLE)
        idle = 100 * (_cpu_seconds(launcher) - before) / _IDLE
        memory = _memory(launcher)
        waiting = _status_seconds(directory, experiment, rounds)
        _runslot(directory, "stop", "--kill", str(experiment))
        _pretend_all_ended(experiment)
        ended = _status_seconds(directory, experiment, rounds)
        rows.append(
            (
                f"{size:,} runs",
                f"{start:.1f}",
                f"{memory:.0f}",
                f"{idle:.1f}",
                f"{waiting:.2f}",
                f"{ended:.2f}",
            )
        )
    note = (
        "Two or more runs sleep, the others wait; the last column is of the same experiment with"
        " every run ended."
    )
    header = (
        "",
        "start, s",
        "launcher, MB",
        "idle, % of a core",
        "status, s",
        "status at the end, s",
    )
    return Table("Scale", note, header, rows)


def _runslot(directory: Path, *arguments: str) -> str:
    argv = [sys.executable, "-m", "runslot", *arguments]
    return subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=True).stdout


def _status_seconds(directory: Path, experiment: Path, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        _runslot(directory, "status", str(experiment))
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _pretend_all_ended(experiment: Path) -> None:
    """Give the experiment the journal that it would have after a week."""
    runs = [json.loads(line) for line in (experiment / "runs.jsonl").read_text().splitlines()]
    outcome = {
        "format": 1, "kind": "succeeded", "attempt": 1, "exit_code": 0, "signal": None,
        "started": 1700000000.123456,
        "ended": 1700000060.123456, "host": "host", "slot": 0, "peak_memory": 1 << 30,
        "message": "", "notes": [],
    }  # fmt: skip
    with (experiment / "journal.jsonl").open("w") as file:
        for run in runs:
            started = {"time": 1.0, "event": "start", "run": run["id"], "attempt": 1, "slot": 0}
            file.write(json.dumps({**started, "directory": run["directory"]}) + "\n")
            ended = {
                "time": 2.0,
                "event": "ended",
                "run": run["id"],
                "outcome": outcome,
                "retry": False,
            }
            file.write(json.dumps(ended) + "\n")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
