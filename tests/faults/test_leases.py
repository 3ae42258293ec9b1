"""Two launchers on one machine, and launchers that are killed: no core has two runs, and nothing
stays locked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="leases need Linux"),
]

LAUNCHER = """
import json, os, sys, time
from pathlib import Path
from runslot.hardware.lease import Holder, Lease, Leases
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve
from runslot.hardware.topology import Gpu, flat_topology
from dataclasses import replace

name, directory, runs, cpus, per_gpu = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6])
other = directory / f"{sys.argv[6]}.jsonl"
topology = replace(flat_topology("made-up", tuple(range(4))), gpus=(Gpu(0, "GPU-0"), Gpu(1, "GPU-1")))
slots = carve(topology, Resources(cpus=cpus, gpus=1 if per_gpu else 0, runs_per_gpu=per_gpu or 1))
leases = Leases(directory / "locks")
out = os.open(directory / f"{name}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
running = {}
left, begun = runs, 0

def other_hardly_ran():
    return begun < 10 * runs and other.name != ".jsonl" and (not other.exists() or other.read_bytes().count(b"\\n") < 10)

while left or running or other_hardly_ran():
    left = left or other_hardly_ran()
    started = False
    for slot in slots:
        if not left or slot.index in running.values():
            continue
        lease = leases.try_acquire(slot, Holder.of(name, str(left)))
        if isinstance(lease, Lease):
            left, begun = left - 1, begun + 1
            pid = os.fork()
            if pid == 0:
                begin = time.monotonic_ns()
                time.sleep(0.008)
                things = [f"core-{core.pus[0]}" for core in slot.cores] + [gpu.uuid for gpu in slot.gpus]
                line = {"things": things, "begin": begin, "end": time.monotonic_ns(), "launcher": name}
                os.write(out, json.dumps(line).encode() + b"\\n")
                os._exit(0)
            lease.close()
            running[pid] = slot.index
            started = True
    if not left:
        leases.stop_waiting()
    if running:
        pid, status = os.waitpid(-1, 0 if not started else os.WNOHANG)
        if pid:
            assert status == 0
            del running[pid]
    elif not started:
        time.sleep(0.01)
(directory / f"{name}.ended").write_text(str(time.monotonic_ns()))
"""


def launch(
    name: str, directory: Path, runs: int, cpus: int, per_gpu: int = 0, other: str = ""
) -> subprocess.Popen[bytes]:
    """Start a launcher; one beside an `other`, which may be slow to begin, goes on until that has
    had a few turns, and ten times as long at most.
    """
    (directory / "locks").mkdir(exist_ok=True)
    arguments = [name, str(directory), str(runs), str(cpus), str(per_gpu), other]
    return subprocess.Popen([sys.executable, "-c", LAUNCHER, *arguments])


def intervals(directory: Path) -> list[dict]:
    return [
        json.loads(line)
        for file in directory.glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]


def most_at_once(runs: list[dict]) -> int:
    changes = sorted([(run["begin"], 1) for run in runs] + [(run["end"], -1) for run in runs])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def check(directory: Path, places: int = 1) -> list[dict]:
    runs = intervals(directory)
    for thing in {thing for run in runs for thing in run["things"]}:
        mine = sorted((run for run in runs if thing in run["things"]), key=lambda run: run["begin"])
        if thing.startswith("core-"):
            assert all(a["end"] <= b["begin"] for a, b in pairwise(mine)), thing
        else:
            assert most_at_once(mine) <= places, thing
    return runs


@pytest.mark.parametrize(
    ("cpus", "per_gpu"),
    [((1, 1), 0), ((1, 3), 0), ((1, 1), 2)],
    ids=["same", "sizes", "shared GPU"],
)
def test_two_launchers_take_turns_and_never_overlap(cpus, per_gpu, tmp_path):
    both = [
        launch(name, tmp_path, 500, n, per_gpu, other)
        for name, n, other in zip("ab", cpus, "ba", strict=True)
    ]
    assert [launcher.wait(100) for launcher in both] == [0, 0]
    runs = check(tmp_path, per_gpu)
    assert all(sum(run["launcher"] == name for run in runs) >= 500 for name in "ab")
    ends = {name: int((tmp_path / f"{name}.ended").read_text()) for name in "ab"}
    first = min(ends, key=ends.get)
    other = [run for run in runs if run["launcher"] != first and run["end"] < ends[first]]
    assert len(other) >= 10, "the second launcher hardly ran before the first had ended"


def test_killed_launchers_leave_nothing_locked(tmp_path):
    for attempt in range(5):
        victim = launch(f"victim{attempt}", tmp_path, 100000, 1)
        while len(intervals(tmp_path)) < 20 * (attempt + 1):
            assert victim.poll() is None
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
    survivor = launch("survivor", tmp_path, 50, 4)  # wants all cores
    assert survivor.wait(60) == 0
    check(tmp_path)
