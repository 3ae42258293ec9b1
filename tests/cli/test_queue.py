"""What several terminals share: the queue of this machine, pauses, and what waits for someone
else's slots.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
SIX = (
    "run",
    "train.py:wait",
    "--name",
    "w",
    "--grid",
    "x=1,2,3,4,5,6",
    "--cpus-per-run",
    str(CORES),
)


def waiting(runslot, name="w"):
    """Return the run directories under way."""
    return [
        path.parent
        for path in runslot.root.glob(f"{name}/2*/*/run_0/console.log")
        if path.read_text()
    ]


def queue(runslot):
    return json.loads(runslot("queue", "--json").stdout)["experiments"]


def ended(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err


def test_nothing_under_way(runslot):
    assert runslot("queue").stdout == "nothing of yours runs or waits on this machine\n"
    assert queue(runslot) == []


def test_a_paused_experiment_starts_nothing_until_it_continues(runslot, until):
    launcher = runslot.start(*SIX)
    until(lambda: waiting(runslot))

    assert runslot("pause", "w").stdout.startswith("paused: ")
    assert [each["paused"] for each in queue(runslot)] == [True]
    (runslot.directory / "go").touch()
    until(lambda: not runslot.status()["counts"].get("running"))
    assert runslot.status()["counts"] == {"succeeded": 1, "queued": 5}
    assert "runslot continue" in runslot("status").stdout
    assert launcher.poll() is None

    assert runslot("continue", "w").stdout.startswith("continues: ")
    ended(launcher)
    assert runslot.status()["counts"] == {"succeeded": 6}
    assert queue(runslot) == []


def test_without_a_launcher_there_is_nothing_to_pause(runslot):
    runslot("run", "train.py:train", "--name", "t", "--grid", "lr=0.1")
    said = runslot.refused("pause", "t")
    assert "no launcher is at work" in said
    assert "runslot resume" in said
    assert not list(runslot.root.glob("t/2*/requests/*"))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no leases")
def test_the_queue_says_who_waits_for_whom(runslot, until):
    first = runslot.start(*SIX)
    until(lambda: waiting(runslot))
    second = runslot.start(
        "run", "train.py:wait", "--name", "v", "--grid", "x=1", "--cpus-per-run", str(CORES)
    )
    until(lambda: len(queue(runslot)) == 2 and queue(runslot)[1]["waits_for"])

    one, other = queue(runslot)
    assert (one["experiment"], other["experiment"]) == ("w", "v")
    assert one["counts"] == {"running": 1, "queued": 5}
    assert [Path(run["directory"]).name for run in one["running"]] == ["run_0"]
    assert any("experiment w" in text for text in other["waits_for"])
    said = runslot("queue").stdout
    assert "1 running, 5 queued" in said
    assert "experiment w" in said

    (runslot.directory / "go").touch()
    ended(first)
    ended(second)


def test_runs_that_outlive_their_launcher_stay_in_the_queue(runslot, until):
    launcher = runslot.start(*SIX)
    until(lambda: waiting(runslot))
    launcher.kill()
    launcher.wait()

    (one,) = queue(runslot)
    assert one["launcher"] is None
    assert one["counts"]["running"] == 1
    assert "runslot resume" in runslot("queue").stdout

    (runslot.directory / "go").touch()
    until(lambda: queue(runslot) == [])
    assert not list(Path(os.environ["XDG_STATE_HOME"]).glob("runslot/launchers/*"))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no leases")
def test_who_waits_writes_once_and_makes_no_directories(runslot, until):
    first = runslot.start(*SIX)
    until(lambda: waiting(runslot))
    second = runslot.start(
        "run", "train.py:wait", "--name", "v", "--grid", "x=1,2", "--cpus-per-run", str(CORES)
    )
    (journal,) = until(lambda: list(runslot.root.glob("v/2*/journal.jsonl")))
    until(lambda: '"waits"' in journal.read_text())
    before = journal.read_text()
    # Something else takes its time meanwhile: the other launcher has asked for its slot many times.
    runslot("queue")
    runslot("queue")
    assert journal.read_text() == before
    assert not list(journal.parent.glob("x=*"))

    (runslot.directory / "go").touch()
    ended(first)
    ended(second)
    assert runslot.status("v")["counts"] == {"succeeded": 2}
