"""Runs of half a second in the slots of several hosts: what passes before the first one, between
two of a slot, and in all, beside GNU parallel over shared connections, and beside this machine.
"""

from __future__ import annotations

import json
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine_parts.machine import Table, interleaved, ratio, version_of

RUN_S = 0.5
SLOTS_PER_HOST = 2


def measure(
    directory: Path, config: str | None, hosts: Sequence[str], runs: int, rounds: int
) -> Table:
    """Return the table."""
    lines = ['kind = "ssh"', f"hosts = {json.dumps(list(hosts))}"]
    lines += [f"config = {json.dumps(config)}"] if config else []
    (directory / "runslot.toml").write_text("\n".join(["[launchers.pool]", *lines, ""]))
    slots = SLOTS_PER_HOST * len(hosts)
    measured: dict[str, list[tuple[float, float]]] = {"there": [], "here": []}
    here = runs * SLOTS_PER_HOST // slots
    contestants: dict[str, Callable[[], float]] = {
        "runslot on the hosts": lambda: _launch(
            directory, runs, ["--on", "pool"], measured["there"]
        ),
        "runslot here, as many a slot": lambda: _launch(directory, here, [], measured["here"]),
    }
    version = version_of("parallel", "--version")
    if version is not None:
        contestants["GNU parallel"] = lambda: _parallel(directory, config, hosts, runs)
    results = interleaved(rounds, contestants)
    names = {"runslot on the hosts": "there", "runslot here, as many a slot": "here"}
    base = results.get("GNU parallel")
    rows = []
    for name, values in results.items():
        pairs = measured.get(names.get(name, ""), [])
        rows.append(
            (
                f"{name} ({version})" if name == "GNU parallel" else name,
                f"{statistics.median(values):.2f}",
                "" if base is None else f"{ratio(values, base):.2f}",
                f"{statistics.median(first for first, _ in pairs):.2f}" if pairs else "",
                f"{1000 * statistics.median(gap for _, gap in pairs):.0f}" if pairs else "",
            )
        )
    note = (
        f"{runs} times `sleep {RUN_S:g}` in {slots} slots of {len(hosts)} hosts; medians of"
        f" {rounds} rounds in which all took turns. What is measured is the whole command; every"
        " connection is opened in it, and shared by what follows."
    )
    header = ("", "wall time, s", "ratio", "to the first run, s", "between runs of a slot, ms")
    missing = [] if version is not None else ["GNU parallel"]
    return Table("Short runs on ssh hosts", note, header, rows, missing)


def _launch(
    directory: Path, runs: int, options: Sequence[str], measured: list[tuple[float, float]]
) -> float:
    """Launch; note when the first run began, and how long a slot was empty between two."""
    argv = [sys.executable, "-m", "runslot", "run", "-q", "--name", "short", "--seeds", str(runs)]
    began = time.time()
    done = subprocess.run(
        [*argv, "--cpus-per-run", "1", *options, "--", "sleep", f"{RUN_S:g}"],
        cwd=directory,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.time() - began
    experiment = Path(done.stdout.strip())
    outcomes = [json.loads(file.read_text()) for file in experiment.glob("run_*/outcome.json")]
    assert len(outcomes) == runs
    spans: dict[str, list[tuple[float, float]]] = {}
    for outcome in outcomes:
        slot = f"{outcome['host']} {json.dumps(outcome['slot'])}"
        spans.setdefault(slot, []).append((outcome["started"], outcome["ended"]))
    gaps = [
        later[0] - earlier[1]
        for times in spans.values()
        for earlier, later in zip(sorted(times), sorted(times)[1:], strict=False)
    ]
    first = min(outcome["started"] for outcome in outcomes) - began
    measured.append((first, statistics.median(gaps)))
    shutil.rmtree(experiment)
    return seconds


def _parallel(directory: Path, config: str | None, hosts: Sequence[str], runs: int) -> float:
    """Have GNU parallel do the same; the connections are closed afterwards."""
    sockets = directory / "cm"
    sockets.mkdir(exist_ok=True)
    ssh = ["ssh", *(["-F", config] if config else []), "-o", f"ControlPath={sockets}/%C"]
    ssh += ["-o", "ControlMaster=auto", "-o", "ControlPersist=60"]
    logins = ",".join(f"{SLOTS_PER_HOST}/{host}" for host in hosts)
    words = ["parallel", "--will-cite", "--ssh", shlex.join(ssh), "-S", logins]
    began = time.perf_counter()
    subprocess.run(
        [*words, f"sleep {RUN_S:g}; : {{}}", ":::", *map(str, range(runs))],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - began
    for host in hosts:
        subprocess.run([*ssh, "-O", "exit", host], check=False, capture_output=True)
    return seconds
