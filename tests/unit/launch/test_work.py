"""Workers: the runs of an experiment, a share of them, or a task of a batch, from the run
directories alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runslot import Experiment
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.transport.zipapp import one_file

PROGRAM = """
import os, sys, time
with open(os.path.join(sys.argv[1], "begun.txt"), "a") as file:
    print(os.getpid(), file=file)
if sys.argv[2] == "bad" and os.environ["RUNSLOT_ATTEMPT"] == "1":
    sys.exit(3)
if sys.argv[2] == "long" and not os.path.exists("go"):
    time.sleep(600)
print("done")
"""

FUNCTION = """
from runslot import logger

def train(variant):
    logger.record_tabular("loss", variant["lr"] + variant["seed"])
    logger.dump_tabular()
"""


SLOW = """
import time
from pathlib import Path

Path("importing").touch()
while not Path("told").exists():
    time.sleep(0.02)

def train(variant):
    pass
"""


def make(tmp_path: Path, hows: list[str], **further: object) -> ExperimentDir:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", "{run_dir}", "{how}"]
    experiment = Experiment(
        "work", command, variants={"how": hows}, root=tmp_path / "runs", **further
    )
    return experiment.prepare()


def work(
    directory: ExperimentDir,
    *arguments: str,
    status: int = 0,
    python: str = sys.executable,
    code: str | None = None,
) -> str:
    what = ["-m", "runslot"] if code is None else [code]
    done = subprocess.run(
        [python, *what, "work", str(directory.path), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def states(directory: ExperimentDir) -> dict[str, str]:
    file = directory.read()
    found = {}
    for run in directory.read_runs():
        outcome = directory.run_dir(run, file).read_outcome()
        found[str(run.variant.get("how", run.directory))] = outcome.kind if outcome else "none"
    return found


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_worker_does_what_is_missing_and_no_more(tmp_path):
    directory = make(tmp_path, ["a", "b", "c"])

    work(directory, "--share", "1/2")
    assert states(directory) == {"a": "succeeded", "b": "none", "c": "succeeded"}
    work(directory, "--share", "2/2")
    assert "nothing to do" in work(directory)

    begun = [path.read_text().count("\n") for path in directory.path.rglob("begun.txt")]
    assert begun == [1, 1, 1]


def test_a_worker_tries_failures_again_and_says_by_its_status_that_some_failed(tmp_path):
    directory = make(tmp_path, ["a", "bad"])
    work(directory, status=1)
    assert states(directory) == {"a": "succeeded", "bad": "failed"}

    again = (
        make(tmp_path / "2", ["a", "bad"], retries=1) if (tmp_path / "2").mkdir() is None else None
    )
    assert again is not None
    (tmp_path / "2" / "program.py").replace(tmp_path / "program.py")
    work(again)
    assert states(again) == {"a": "succeeded", "bad": "succeeded"}


def test_a_batch_names_runs_and_attempts(tmp_path):
    directory = make(tmp_path, ["a", "bad"])
    a, bad = (run.id for run in directory.read_runs())
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps([[[a, 1]], [[bad, 1]]]))

    work(directory, "--batch", str(batch), "--task", "0")
    assert states(directory) == {"a": "succeeded", "bad": "none"}
    work(directory, "--batch", str(batch), "--task", "1", status=1)
    assert "nothing to do" in work(directory, "--batch", str(batch), "--task", "1", status=1)
    batch.write_text(json.dumps([[[bad, 2]]]))  # asked for again, as by `resume --failed`
    work(directory, "--batch", str(batch), "--task", "0")
    assert states(directory) == {"a": "succeeded", "bad": "succeeded"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_worker_whose_time_is_up_says_that_runs_are_left_and_continues(until, tmp_path, number):
    directory = make(tmp_path, ["long"], grace=5)
    worker = subprocess.Popen(
        [sys.executable, "-m", "runslot", "work", str(directory.path)], stdout=subprocess.DEVNULL
    )
    until(lambda: any(file.read_text() for file in directory.path.rglob("begun.txt")))

    worker.send_signal(number)
    worker.send_signal(signal.SIGTERM)  # some engines say it twice: the grace is not cut short
    assert worker.wait(60) == 75
    assert states(directory) == {"long": "stopped"}

    (tmp_path / "go").touch()
    work(directory)
    assert states(directory) == {"long": "succeeded"}


def test_a_killed_workers_runs_are_adopted_by_the_next_on_that_machine(until, tmp_path):
    directory = make(tmp_path, ["long"])
    worker = subprocess.Popen(
        [sys.executable, "-m", "runslot", "work", str(directory.path)], stdout=subprocess.DEVNULL
    )
    until(lambda: any(file.read_text() for file in directory.path.rglob("begun.txt")))
    worker.kill()
    worker.wait()
    (begun,) = directory.path.rglob("begun.txt")
    os.kill(int(begun.read_text()), 0)  # it outlives its worker

    second = subprocess.Popen(
        [sys.executable, "-m", "runslot", "work", str(directory.path)], stdout=subprocess.PIPE
    )
    assert second.stdout is not None
    lines = iter(second.stdout.readline, b"")
    assert any(b"adopted" in line for line in lines)
    second.send_signal(signal.SIGINT)
    second.stdout.read()
    second.stdout.close()
    assert second.wait(60) == 75
    assert begun.read_text().count("\n") == 1


def test_a_moved_experiment_runs_from_its_copy_with_another_python(tmp_path):
    (tmp_path / "train.py").write_text(FUNCTION)
    experiment = Experiment(
        "moved",
        "train.py:train",
        variants={"lr": [1, 2]},
        root=tmp_path / "runs",
        snapshot_code=True,
    )
    made = experiment.prepare()
    archive = one_file(tmp_path)
    there = tmp_path / "there" / "x y"
    there.parent.mkdir()
    made.path.rename(there)
    (tmp_path / "train.py").unlink()

    work(ExperimentDir(there), "--moved", code=str(archive))

    assert sorted(path.read_text() for path in there.rglob("progress.csv")) == [
        "loss\n1\n",
        "loss\n2\n",
    ]
    run_file, *_ = there.rglob("run.json")
    assert json.loads(run_file.read_text())["cwd"].startswith(str(there))


def test_what_was_not_copied_cannot_be_moved(tmp_path):
    directory = make(tmp_path, ["a"])

    done = subprocess.run(
        [sys.executable, "-m", "runslot", "work", str(directory.path), "--moved"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "has no copy of the code" in done.stderr


def test_the_archive_is_made_once_and_refuses_an_old_python_by_name(tmp_path):
    archive = one_file(tmp_path)
    made = archive.stat().st_mtime_ns

    assert one_file(tmp_path) == archive
    assert archive.stat().st_mtime_ns == made
    done = subprocess.run(
        [sys.executable, str(archive), "status"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "runslot's single file" in done.stderr


def test_status_is_right_beside_workers(tmp_path):
    directory = make(tmp_path, ["a", "bad"])
    work(directory, status=1)

    assert read_status(directory).counts == {"succeeded": 1, "failed": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_notice_while_the_function_is_imported_starts_nothing_and_says_that_runs_are_left(
    until, tmp_path, number
):
    (tmp_path / "slow.py").write_text(SLOW)
    directory = Experiment("slow", "slow.py:train", root=tmp_path / "runs").prepare()
    worker = subprocess.Popen(
        [sys.executable, "-m", "runslot", "work", str(directory.path)], stdout=subprocess.DEVNULL
    )
    until((tmp_path / "importing").exists)

    worker.send_signal(number)
    (tmp_path / "told").touch()

    assert worker.wait(60) == 75
    assert states(directory) == {"run_0": "none"}
