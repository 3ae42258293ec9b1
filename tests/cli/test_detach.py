"""Launches that outlive their terminal, and looking on at them from another."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

WAIT = ("train.py:wait", "--name", "w", "--grid", "x=1,2,3", "--cpus-per-run", "1")


def running(runslot):
    return list(runslot.root.glob("w/2*/*/run_0/console.log"))


@pytest.fixture
def detached(runslot, until):
    """Launch three waiting runs without a terminal; the experiment's directory."""
    said = runslot("run", *WAIT, "--detach", "-q").stdout
    until(lambda: running(runslot))
    yield Path(said.strip())
    (runslot.directory / "go").touch()
    until(lambda: runslot.status("w")["launcher"] is None)


def test_a_detached_launch_says_where_it_is_and_goes_on(runslot, until):
    said = runslot("run", *WAIT, "--detach").stdout
    directory = Path(said.splitlines()[-1])
    assert said.startswith("w: 3 runs in ")
    assert "runslot attach" in said
    status = runslot.status(str(directory))
    launcher = status["launcher"]["pid"]
    assert os.getsid(launcher) == launcher  # a closed terminal's hangup does not reach it
    until(lambda: running(runslot))

    (runslot.directory / "go").touch()
    until(lambda: runslot.status("w")["launcher"] is None)
    assert runslot.status("w")["counts"] == {"succeeded": 3}
    assert (directory / "launcher.log").read_text().count(" succeeded ") == 3


def test_what_cannot_be_launched_is_refused_in_the_terminal_and_leaves_nothing(runslot):
    (runslot.directory / "broken.py").write_text("import no_such_module\ndef train(): pass\n")
    launch = runslot.start("run", "broken.py:train", "--name", "b", "--detach")
    _, said = launch.communicate(timeout=60)
    assert launch.returncode == 2
    assert "cannot be imported, so no run was started" in said
    assert "no_such_module" in said
    assert not list(runslot.root.glob("b/2*"))


def test_resume_detached(runslot, detached, until):
    os.kill(runslot.status("w")["launcher"]["pid"], signal.SIGKILL)
    until(lambda: runslot.status("w")["launcher"] is None)
    assert "process" in runslot("resume", "w", "--detach").stdout
    (runslot.directory / "go").touch()
    until(lambda: runslot.status("w")["launcher"] is None)
    assert runslot.status("w")["counts"] == {"succeeded": 3}
    assert {run["attempts"] for run in runslot.status("w")["runs"]} == {1}
    assert "nothing to do" in runslot("resume", "w", "--detach").stdout


def test_attach_tells_what_runs_and_how_it_ends(runslot, detached):
    attached = runslot.start("attach", "--json")
    first = [json.loads(attached.stdout.readline()) for _ in range(2)]
    assert first[0]["event"] == "launch_started"
    assert first[0]["runs"] == 3
    assert first[1]["event"] == "run_adopted"

    (runslot.directory / "go").touch()
    out, err = attached.communicate(timeout=60)
    assert attached.returncode == 0, err
    events = [*first, *(json.loads(line) for line in out.splitlines())]
    ended = [event["run"] for event in events if event["event"] == "run_ended"]
    assert len(ended) == len(set(ended)) == 3
    assert events[-1]["event"] == "launch_ended"
    assert events[-1]["counts"] == {"succeeded": 3}


def test_ctrl_c_leaves_it_running(runslot, detached):
    attached = runslot.start("attach", str(detached))
    assert attached.stdout.readline().startswith("w: 3 runs")
    attached.send_signal(signal.SIGINT)
    out, err = attached.communicate(timeout=60)
    assert attached.returncode == 0, err
    assert "left running" in out
    assert runslot.status("w")["launcher"] is not None
    assert runslot.status("w")["counts"]["running"] >= 1


def test_attach_on_a_terminal_shows_the_live_table(runslot, detached):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    attached = subprocess.Popen(
        [sys.executable, "-m", "runslot", "attach"],
        cwd=runslot.directory,
        stdout=theirs,
        env=environment,
    )
    os.close(theirs)
    seen = b""
    while b"0/3" not in seen or b"x=1/run_0" not in seen:
        seen += os.read(ours, 4096)
    (runslot.directory / "go").touch()
    try:
        while True:
            seen += os.read(ours, 4096)
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert attached.wait(60) == 0
    assert b"all 3 runs succeeded" in seen


def test_a_launcher_that_is_killed_is_said(runslot, detached):
    attached = runslot.start("attach", "w")
    assert attached.stdout.readline().startswith("w: 3 runs")
    os.kill(runslot.status("w")["launcher"]["pid"], signal.SIGKILL)
    out, _ = attached.communicate(timeout=60)
    assert "the launcher is gone" in out
    assert attached.returncode == 1


def test_a_stop_and_a_pause_are_seen(runslot, detached):
    attached = runslot.start("attach", "--json", "w")
    attached.stdout.readline()
    runslot("pause", "w")
    runslot("stop", "w", "--kill")
    out, _ = attached.communicate(timeout=60)
    words = [json.loads(line)["event"] for line in out.splitlines()]
    assert words.index("said") < words.index("stop") < words.index("launch_ended")
    assert attached.returncode == 1


def test_without_a_launcher_there_is_nothing_to_attach_to(runslot):
    assert "nothing of yours is under way" in runslot.refused("attach")
    runslot("run", "train.py:train", "--name", "t", "--grid", "lr=0.1")
    said = runslot.refused("attach", "t")
    assert "no launcher is at work" in said
    assert "runslot status" in said
