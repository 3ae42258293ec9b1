"""Nodes that are gone: status says so, and a take-over asks the claim, says what it waits for, and
does the rest.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runslot.engines.events import LaunchEvent, Said
from runslot.errors import Busy
from runslot.experiment.claim import is_claimed, reaches_others
from runslot.experiment.lock import leave_request
from runslot.experiment.processes import start_time
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.status import read_status
from runslot.launch.launch import launch
from runslot.launch.stop import stop

pytestmark = [pytest.mark.fault]

LAUNCH = """
import sys
from runslot import Experiment
Experiment("foreign", [sys.executable, "-S", "-c", sys.argv[2]], seeds=2, root=sys.argv[1]).launch()
"""
HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX);"
    " print(flush=True); input()"
)
WORK = """
import os, time
while not os.path.exists({go!r}):
    time.sleep(0.01)
"""


def runslot(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "runslot", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def rewrite(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@contextmanager
def held_claim(run_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the claim, as a keeper would on a machine that cannot be asked."""
    argv = [sys.executable, "-c", HOLD, run_file]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder
        holder.kill()


@pytest.fixture
def gone(until, tmp_path: Path) -> ExperimentDir:
    """Two runs whose node died: launcher and keepers are killed, and what they wrote names another
    host.
    """
    work = WORK.format(go=str(tmp_path / "go"))
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, tmp_path / "r", work], start_new_session=True
    )
    at_once = min(2, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else 1
    until(lambda: len(list(tmp_path.glob("r/foreign/2*/run_*/attempt.json"))) >= at_once)
    attempts = list(tmp_path.glob("r/foreign/2*/run_*/attempt.json"))
    launcher.kill()
    launcher.wait()
    directory = ExperimentDir(attempts[0].parent.parent)
    pids = [json.loads(attempt.read_text())["pid"] for attempt in attempts]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for file in (*attempts, directory.lock_file):
        rewrite(file, host="node7")
    # what a kill ends has its claim until the kernel has done so
    until(lambda: not any(map(start_time, pids)))
    until(lambda: not any(is_claimed(RunDir(attempt.parent)) for attempt in attempts))
    (tmp_path / "go").touch()
    return directory


def test_status_says_that_the_node_gave_no_sign(gone: ExperimentDir) -> None:
    said = runslot("status", gone.path)
    assert "lost on node7: no sign since " in said.stdout
    assert "on node7" in said.stdout
    assert "which cannot be asked from here: no sign since" in said.stdout


def test_a_launcher_of_another_host_is_not_taken_over_unasked(gone: ExperimentDir) -> None:
    said = runslot("resume", gone.path)
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert "add --take-over" in said.stderr


def test_a_take_over_says_what_was_lost_and_does_it_again(gone: ExperimentDir) -> None:
    said = runslot("resume", gone.path, "--take-over")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "on node7: lost, no sign since" in said.stdout
    assert "done again" in said.stdout
    assert {each.state for each in read_status(gone).runs} == {"succeeded"}


def test_what_was_asked_of_the_dead_launcher_stops_no_later_one(gone: ExperimentDir) -> None:
    leave_request(gone, "stop")
    time.sleep(0.02)
    assert runslot("resume", gone.path, "--take-over").returncode == 0
    assert {each.state for each in read_status(gone).runs} == {"succeeded"}


def test_stop_takes_over_what_is_lost_without_waiting(gone: ExperimentDir) -> None:
    said = runslot("stop", gone.path, "--take-over")
    assert said.returncode == 0, said.stderr
    assert not read_status(gone).counts.get("running")


def test_a_claim_that_is_held_is_waited_for_with_a_word_and_then_done_again(
    gone: ExperimentDir,
) -> None:
    with held_claim(gone.path / "run_0" / "run.json") as holder:
        assert "its claim is held" in runslot("status", gone.path).stdout
        with pytest.raises(Busy, match="claim is held"):
            stop(gone, take_over=True, say=lambda _: None)
        said: list[str] = []

        def observe(event: LaunchEvent) -> None:
            if isinstance(event, Said):
                said.append(event.text)
                if "waits for its end" in event.text:
                    holder.kill()
                    holder.wait()

        outcomes = launch(gone, observe, take_over=True)
    assert any("1 run on node7: the claim on run.json is held" in text for text in said)
    assert outcomes.all_succeeded
    assert {run.directory: outcome.attempt for run, outcome in outcomes.pairs}["run_0"] == 2


def test_another_machine_of_the_same_name_is_no_earlier_boot_of_this_one(
    gone: ExperimentDir,
) -> None:
    rewrite(
        gone.path / "run_0" / "attempt.json", host=socket.gethostname(), boot_id="another/pid:[1]"
    )
    with held_claim(gone.path / "run_0" / "run.json"):
        assert {each.run.directory: each.state for each in read_status(gone).runs}[
            "run_0"
        ] == "running"
    assert {each.run.directory: each.state for each in read_status(gone).runs}["run_0"] == "lost"


@pytest.mark.parametrize(
    ("mount", "reaches"),
    [
        ("ext4 /dev/sda1 rw", True),
        ("overlay overlay rw,lowerdir=/a", True),
        ("nfs4 server:/a rw,vers=4.2,local_lock=none", True),
        ("nfs server:/a rw,vers=3,local_lock=none", True),
        ("nfs server:/a rw,vers=3,nolock,local_lock=all", False),
        ("nfs4 server:/a rw,local_lock=flock", False),
        ("lustre x@tcp:/a rw", False),
        ("lustre x@tcp:/a rw,flock", True),
        ("lustre x@tcp:/a rw,localflock", False),
        ("fuse.sshfs host:/a rw", False),
        ("9p share rw", False),
    ],
)
def test_whether_a_free_claim_proves_anything_depends_on_the_disk(
    mount: str, reaches: bool
) -> None:
    lines = [
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        f"2 1 0:5 / /shared\\040disk rw,relatime shared:1 - {mount}",
    ]
    assert reaches_others(lines, "/shared disk/x/run_0") is reaches
    assert reaches_others(lines, "/shared/x/run_0") is True
