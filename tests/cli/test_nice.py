"""`--nice`: the runs have that niceness, however they start, and one that they may not have loses
none of them.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PRINTS = """
import os, subprocess

def show(variant):
    print(os.getpriority(os.PRIO_PROCESS, 0), flush=True)
    subprocess.run(["nice"])

if __name__ == "__main__":
    show({})
"""
_PR_CAPBSET_DROP, _CAP_SYS_NICE = 24, 23


def without_the_right() -> None:
    """Let what this process executes next have no right to a lower niceness, whoever it is."""
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_SYS_NICE, 0, 0, 0)


def consoles(root: Path) -> Iterator[list[str]]:
    for console in sorted(root.rglob("console.log")):
        yield console.read_text().split()


@pytest.fixture
def niceness() -> str:
    """One that every user may have, and that this process has not."""
    return str(min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3))


@pytest.mark.parametrize(
    "work",
    [
        ["shows.py:show", "--start", "warm"],
        ["shows.py:show", "--start", "cold"],
        ["--name", "shows", "--", sys.executable, "shows.py"],
    ],
    ids=["warm", "cold", "command"],
)
def test_a_run_and_what_it_starts_have_it(runslot, niceness, work):
    (runslot.directory / "shows.py").write_text(PRINTS)
    runslot("run", "-q", "--seeds", "2", "--nice", niceness, *work)
    assert list(consoles(runslot.root)) == [[niceness, niceness]] * 2


def test_the_one_run_after_another_in_a_slot_has_it_too_and_the_launcher_has_not(runslot, niceness):
    (runslot.directory / "shows.py").write_text(PRINTS)
    (runslot.directory / "sweep.yaml").write_text(
        f"function: shows.py:show\nseeds: 3\nnice: {niceness}\n"
    )
    runslot("run", "sweep.yaml", "-q", "--reserved-cpus", str((os.cpu_count() or 1) - 1))
    runslot("run", "shows.py:show", "-q")
    assert sorted(consoles(runslot.root)) == sorted(
        [[niceness] * 2] * 3 + [[str(os.getpriority(os.PRIO_PROCESS, 0))] * 2]
    )


@pytest.mark.parametrize("niceness", ["-21", "20", "1.5", "low"])
def test_what_is_no_niceness_is_refused(runslot, niceness):
    message = runslot.refused("run", "--nice", niceness, "--name", "x", "--", "true")
    assert "--nice" in message
    assert not runslot.root.exists()


def test_python_refuses_what_is_no_niceness():
    from runslot import Experiment, InvalidInput

    with pytest.raises(InvalidInput, match="nice must be a whole number from -20 to 19, not 20"):
        Experiment("x", ["true"], nice=20).plan()


def test_one_that_this_user_may_not_have_is_refused_before_anything_starts(runslot):
    done = subprocess.run(
        [sys.executable, "-m", "runslot", "run", "--nice", "-7", "--name", "x", "--", "true"],
        cwd=runslot.directory,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=without_the_right,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "runslot: nice: a niceness of -7 takes a right that this user has not here"
    )
    assert done.stderr.count("\n") == 1
    assert not runslot.root.exists()


def test_where_it_may_not_be_had_the_run_goes_on_and_says_so(runslot, niceness):
    runslot("run", "-q", "--nice", niceness, "--name", "x", "--", "nice")
    (run_file,) = runslot.root.rglob("run.json")
    run = json.loads(run_file.read_text())
    run["policy"]["nice"] = -7
    run_file.write_text(json.dumps(run))
    done = subprocess.run(
        [sys.executable, "-m", "runslot", "exec", str(run_file.parent), "--attempt", "2"],
        check=False,
        preexec_fn=without_the_right,
    )
    assert done.returncode == 0
    outcome = json.loads((run_file.parent / "outcome.json").read_text())
    assert outcome["kind"] == "succeeded"
    present = os.getpriority(os.PRIO_PROCESS, 0)
    assert outcome["notes"] == [
        "a niceness of -7 takes a right that this user has not here (CAP_SYS_NICE, or `ulimit"
        f" -e`): it ran with {present}"
    ]
    assert (run_file.parent / "console.log").read_text().split()[-1] == str(present)
