"""A disk that is full for a while, no further processes: starts wait, no run pays for it, and it is
said once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import site
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import runslot
from runslot import Experiment, Resources, Search
from runslot.engines.events import LaunchEvent, RunEnded, RunStarted, Said
from runslot.experiment.processes import processes_with
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status

pytestmark = [
    pytest.mark.fault,
    pytest.mark.root,  # a small disk to fill, and another user
    pytest.mark.skipif(
        shutil.which("mount") is None or not sys.platform.startswith("linux"),
        reason="there is no mount, or no tmpfs",
    ),
]

ONE_AT_A_TIME = (
    Resources(cpus=len(os.sched_getaffinity(0)), threads="cores")
    if hasattr(os, "sched_getaffinity")
    else None
)
MARK = "echo begin $0 >> $1/marks; sleep 0.3; echo end $0 >> $1/marks"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", path], check=False
    ).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(disk: Path) -> None:
    with (disk / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return


def free(disk: Path) -> None:
    (disk / "fill").unlink(missing_ok=True)


def test_runs_on_a_disk_that_is_full_for_a_while_all_succeed_at_the_first_try(
    disk: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    filled: list[bool] = []

    def observe(event: LaunchEvent) -> None:
        if isinstance(event, RunStarted) and not filled:
            fill(disk)
            filled.append(True)
        if isinstance(event, Said):
            said.append(event.text)
        if (
            said
            and (disk / "fill").exists()
            and any(isinstance(event, kind) for kind in (RunEnded, Said))
        ):
            subprocess.Popen(["sh", "-c", f"sleep 1.5; rm -f {disk}/fill"]).wait()

    argv = ["sh", "-c", MARK, "{seed}", str(tmp_path)]
    outcomes = Experiment("full", argv, seeds=4, root=disk / "r", resources=ONE_AT_A_TIME).launch(
        observe
    )
    assert outcomes.all_succeeded, [outcome.message for outcome in outcomes]
    assert {outcome.attempt for outcome in outcomes} == {1}
    marks = (tmp_path / "marks").read_text().splitlines()
    assert sorted(marks) == sorted(
        f"{word} {seed}" for word in ("begin", "end") for seed in range(4)
    )
    assert sum("starts wait until that is over" in text for text in said) == 1
    assert {each.state for each in read_status(ExperimentDir(outcomes.directory)).runs} == {
        "succeeded"
    }


def test_a_run_that_ended_well_on_a_full_disk_has_succeeded_and_its_file_follows(
    until,
    disk: Path,
) -> None:
    seen: list[bool] = []

    def observe(event: LaunchEvent) -> None:
        if isinstance(event, RunEnded):
            assert event.outcome.kind == "succeeded"
            assert any("not written yet" in note for note in event.outcome.notes)
            seen.append((event.directory / "outcome.json").exists())

    argv = ["sh", "-c", f"cat /dev/zero > {disk}/fill; exit 0"]
    outcomes = Experiment("fills", argv, root=disk / "r").launch(observe)
    assert seen == [False]
    free(disk)
    outcome = outcomes.directory / "run_0" / "outcome.json"
    until(outcome.exists)
    assert json.loads(outcome.read_text())["kind"] == "succeeded"


def test_an_outcome_survives_its_launcher_on_a_full_disk(until, disk: Path) -> None:
    work = f"sleep 0.5; cat /dev/zero > {disk}/fill; exit 0"
    argv = [
        sys.executable,
        "-m",
        "runslot",
        "run",
        "--root",
        str(disk / "r"),
        "--name",
        "x",
        "--",
        "sh",
        "-c",
        work,
    ]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True) as launcher:
        until(lambda: list(disk.glob("r/x/2*/run_0/attempt.json")))
        launcher.kill()
    (run,) = disk.glob("r/x/2*/run_0")
    until((disk / "fill").exists)
    time.sleep(0.3)
    assert not (run / "outcome.json").exists()
    free(disk)
    until((run / "outcome.json").exists)
    assert [each.state for each in read_status(ExperimentDir(run.parent)).runs] == ["succeeded"]


def test_an_attempt_that_cannot_begin_is_none_and_waits(disk: Path, tmp_path: Path) -> None:
    said: list[str] = []
    tries: list[int] = []

    def observe(event: LaunchEvent) -> None:
        if isinstance(event, Said):
            said.append(event.text)
            threading.Timer(1.0, free, [disk]).start()
        if isinstance(event, RunStarted):
            tries.append(event.attempt)

    work = (
        f"[ -e {tmp_path}/once ] && exit 0; touch {tmp_path}/once; cat /dev/zero > {disk}/fill;"
        " exit 1"
    )
    experiment = Experiment(
        "x", ["sh", "-c", work], root=disk / "r", retries=1, backoff=0.01, resumable=True
    )
    outcomes = experiment.launch(observe)
    assert [(outcome.kind, outcome.attempt) for outcome in outcomes] == [("succeeded", 2)]
    assert len(said) == 1
    assert tries[0] == 1
    assert set(tries[1:]) == {2}
    assert len(tries) <= 3


def test_a_resume_on_a_full_disk_is_refused_in_a_line_and_changes_nothing(
    until, disk: Path, tmp_path: Path
) -> None:
    argv = [
        sys.executable,
        "-m",
        "runslot",
        "run",
        "--root",
        str(disk / "r"),
        "--name",
        "x",
        "--seeds",
        "2",
    ]
    waits = ["sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"]
    with subprocess.Popen(
        [*argv, "--", *waits], stdout=subprocess.DEVNULL, start_new_session=True
    ) as launcher:
        until(lambda: list(disk.glob("r/x/2*/run_0/attempt.json")))
        launcher.send_signal(signal.SIGINT)
    (directory,) = disk.glob("r/x/2*")
    before = sorted(directory.rglob("*"))
    fill(disk)
    resume = [sys.executable, "-m", "runslot", "resume", str(directory)]
    done = subprocess.run(resume, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the disk is full" in done.stderr
    assert sorted(directory.rglob("*")) == before
    free(disk)
    (tmp_path / "go").touch()
    assert subprocess.run(resume, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("launcher_lives", [True, False])
@pytest.mark.parametrize("how", [[], ["--kill"]])
def test_stop_works_on_a_full_disk(until, disk: Path, how: list[str], launcher_lives: bool) -> None:
    argv = [
        sys.executable,
        "-m",
        "runslot",
        "run",
        "--root",
        str(disk / "r"),
        "--name",
        "x",
        "--seeds",
        "9",
    ]
    with subprocess.Popen(
        [*argv, "--", "sleep", "50"], stdout=subprocess.DEVNULL, start_new_session=True
    ) as launcher:
        until(lambda: list(disk.glob("r/x/2*/run_0/attempt.json")))
        (directory,) = disk.glob("r/x/2*")
        fill(disk)
        if not launcher_lives:
            launcher.kill()
            launcher.wait()
        stop = [sys.executable, "-m", "runslot", "stop", str(directory), *how]
        done = subprocess.run(stop, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "is written as soon as the disk has room" in done.stdout
        assert processes_with("RUNSLOT_RUN", *map(str, directory.glob("run_*"))) == []
        launcher.wait(60)
    free(disk)
    until(lambda: set(read_status(ExperimentDir(directory)).counts) == {"stopped", "queued"})


def test_a_launch_on_to_a_full_disk_is_refused_in_a_line_and_leaves_nothing(disk: Path) -> None:
    fill(disk)
    argv = [
        sys.executable,
        "-m",
        "runslot",
        "run",
        "--root",
        str(disk / "r"),
        "--name",
        "x",
        "--",
        "true",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the disk is full (No space left on device" in done.stderr
    assert not list(disk.glob("r/*/*"))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_launch_where_no_process_may_be_started_is_refused_and_leaves_nothing() -> None:
    home = Path(f"/tmp/runslot-test-{os.getpid()}")
    home.mkdir()
    os.chown(home, 64013, 64013)
    try:
        places = os.pathsep.join([str(Path(runslot.__file__).parents[1]), *site.getsitepackages()])
        user = ["setpriv", "--reuid=64013", "--regid=64013", "--clear-groups"]
        set_limit = ["bash", "-c", 'ulimit -u 3; exec "$@"', "bash"]
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONPATH": places,
            "RUNSLOT_LOCKS": str(home),
        }
        runslot_run = [
            "/usr/bin/python3",
            "-m",
            "runslot",
            "run",
            "--root",
            str(home / "r"),
            "--name",
            "x",
        ]
        help_call = [*user, "/usr/bin/python3", "-c", "import runslot.cli.app"]
        if subprocess.run(help_call, env=environment, capture_output=True, check=False).returncode:
            pytest.skip("another user cannot call this runslot")
        argv = [
            *user,
            *set_limit,
            *runslot_run,
            "--seeds",
            "2",
            "--cpus-per-run",
            "1",
            "--",
            "sleep",
            "0.2",
        ]
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.count("\n") == 1
        assert "no run could be started: no more processes may be started" in done.stderr
        assert done.stdout.count("starts wait until that is over") == 1
        assert list((home / "r").iterdir()) == []
    finally:
        shutil.rmtree(home)


def test_a_search_on_a_disk_that_is_full_for_a_while_goes_on_with_its_next_trial(
    disk: Path, tmp_path: Path
) -> None:
    said: list[str] = []

    def observe(event: LaunchEvent) -> None:
        if isinstance(event, Said):
            said.append(event.text)
            if "starts wait until that is over" in event.text:
                threading.Timer(1.0, free, [disk]).start()

    filling = f"[ -e {tmp_path}/once ] || cat /dev/zero > {disk}/fill; touch {tmp_path}/once"
    argv = ["sh", "-c", f"echo score: $0; {filling}; exit 0", "{x}"]
    search = Search("score", "max", {"x": "uniform(0,1)"}, trials=3, sampler="random")
    outcomes = Experiment(
        "full", argv, search=search, root=disk / "r", resources=ONE_AT_A_TIME
    ).launch(observe)

    assert [outcome.kind for outcome in outcomes] == ["succeeded"] * 3
    assert sum("starts wait until that is over" in text for text in said) == 1
    assert any("best: trial" in text for text in said)
