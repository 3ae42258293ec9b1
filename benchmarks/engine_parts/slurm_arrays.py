"""Runs of half a second as one array of Slurm: beside the array that one types by hand, of the same
command or the same function, and submitit's `map_array`. From the command to the last end, and to
the first run's begin.
"""

from __future__ import annotations

import json
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine_parts.machine import Table, interleaved, ratio

RUN_S = 0.5
_LOOK_S = 0.05
_SUBMITIT_NAME = "submitit map_array, a function"
_PROGRAM = f"""\
import time

def train(variant):
    time.sleep({RUN_S})
"""
_SUBMITIT = """\
import sys, time
import submitit
from program import train

began = time.time()
executor = submitit.SlurmExecutor(folder="submitit")
executor.update_parameters(time=10)
jobs = executor.map_array(train, list(range(int(sys.argv[1]))))
for job in jobs:
    job.result()
"""


def measure(directory: Path, runs: int, rounds: int, python: str) -> Table:
    """Return the table; `python` is an interpreter that has submitit."""
    directory = directory / "slurm"
    directory.mkdir()
    (directory / "program.py").write_text(_PROGRAM)
    (directory / "with_submitit.py").write_text(_SUBMITIT)
    firsts: dict[str, list[float]] = {}
    contestants: dict[str, Callable[[], float]] = {}
    missing: list[str] = []
    if shutil.which("sbatch") is None:
        missing.append("Slurm")
    else:
        for what, target in (("function", ["program.py:train"]), ("command", ["--", *_sleep()])):
            contestants[f"a bare array, a {what}"] = lambda w=what: bare_array(directory, runs, w)
            name = f"runslot, a {what}"
            contestants[name] = lambda n=name, t=target: runslot(directory, runs, t, firsts, n)
        if _has_submitit(python):
            contestants[_SUBMITIT_NAME] = lambda: map_array(directory, runs, python)
        else:
            missing.append("submitit")
    results = interleaved(rounds, contestants)
    rows = []
    for name, values in results.items():
        what = "command" if name.endswith("command") else "function"
        others = [results.get(peer) for peer in (f"a bare array, a {what}", _SUBMITIT_NAME)]
        ratios = ["" if other is None else f"{ratio(values, other):.2f}" for other in others]
        first = f"{statistics.median(firsts[name]):.2f}" if name in firsts else ""
        rows.append((name, f"{statistics.median(values):.2f}", *ratios, first))
    note = (
        f"{runs} runs that sleep {RUN_S:g} s, with nothing configured; medians of {rounds} rounds"
        " in which all took turns, from the command to the last end."
    )
    header = ("", "wall time, s", "× bare", "× submitit", "to the first run, s")
    return Table("Short runs on Slurm", note, header, rows, missing)


def _sleep() -> list[str]:
    return ["sleep", f"{RUN_S:g}"]


def _has_submitit(python: str) -> bool:
    if shutil.which(python) is None:
        return False
    argv = [python, "-c", "import submitit"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def bare_array(directory: Path, runs: int, what: str) -> float:
    """Submit an array by hand, each task of which does the same as a run, and leaves a file."""
    ends = directory / "ends"
    ends.mkdir()
    call = shlex.join([sys.executable, "-c", "from program import train; train(0)"])
    command = call if what == "function" else shlex.join(_sleep())
    script = f"{command}; : >'{ends}'/$SLURM_ARRAY_TASK_ID"
    began = time.perf_counter()
    argv = ["sbatch", f"--array=0-{runs - 1}", "--output=/dev/null", f"--wrap={script}"]
    subprocess.run(argv, cwd=directory, check=True, capture_output=True)
    while len([*ends.iterdir()]) < runs:
        time.sleep(_LOOK_S)
    seconds = time.perf_counter() - began
    shutil.rmtree(ends)
    return seconds


def map_array(directory: Path, runs: int, python: str) -> float:
    """Have submitit do the same, and wait for its results."""
    began = time.perf_counter()
    argv = [python, "with_submitit.py", str(runs)]
    subprocess.run(argv, cwd=directory, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    shutil.rmtree(directory / "submitit")
    return seconds


def runslot(
    directory: Path, runs: int, target: list[str], firsts: dict[str, list[float]], name: str
) -> float:
    """Launch and wait; note when the first run began."""
    argv = [sys.executable, "-m", "runslot", "run", "-q", "--on", "slurm", "--wait"]
    began = time.time()
    done = subprocess.run(
        [*argv, "--name", "short", "--seeds", str(runs), *target],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.time() - began
    experiment = Path(done.stdout.strip())
    outcomes = [json.loads(file.read_text()) for file in experiment.glob("run_*/outcome.json")]
    assert len(outcomes) == runs
    firsts.setdefault(name, []).append(min(o["started"] for o in outcomes) - began)
    shutil.rmtree(experiment)
    return seconds
