"""A search on Slurm: pilots that take turns, and of which any may be killed.

Slurm is the fake one, whose tasks are real processes, so that a pilot can be killed at a moment
that is chosen; `test_slurm.py` has what wants two nodes.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.engines.conftest import jobs_in

from runslot.engines.batch.config import BatchConfig
from runslot.engines.batch.pilots import Lookout
from runslot.engines.registry import of_experiment
from runslot.experiment.rundir import ExperimentDir
from runslot.testing.contract import Place, until

FAKE = Path(__file__).parent.parent / "testbeds" / "slurm-fake"

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

PROGRAM = '''
import fcntl, json, os, pathlib, signal, time
from runslot import logger

def tell_pilots():
    """Do what Slurm does before a time limit."""
    with (pathlib.Path(os.environ["FAKE_SLURM"]) / "jobs.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        jobs = json.load(file)
    for task in jobs["1"]["tasks"].values():
        os.kill(task["pid"], signal.SIGUSR1)
    time.sleep(60)

def train(lr=0.1, seed=0, epochs=3, pause=0.05, lives=1, keeps=1):
    """Continue from a snapshot, where there is one; one process at a time."""
    place = pathlib.Path(os.environ["RUNSLOT_RUN"])
    with open(place / "begun.txt", "a") as file:
        file.write(os.environ["RUNSLOT_ATTEMPT"] + "\\n")
    snapshot = place / "state.pkl"
    done = int(snapshot.read_text()) if snapshot.exists() else 0
    for epoch in range(done + 1, int(epochs) + 1):
        time.sleep(pause)
        while os.path.exists("hold"):
            time.sleep(0.05)
        logger.record_dict({"epoch": epoch, "loss": (lr - 0.3) ** 2 + 0.01 * seed + 1 / epoch})
        logger.dump_tabular()
        if int(keeps):
            snapshot.write_text(str(epoch))
        if epoch < int(lives):
            tell_pilots()
'''

LOSS = ("--metric", "loss", "--mode", "min", "--sampler", "random", "-q")
SPACE = ("--search", "lr=uniform(0,1)")


class Cluster:
    """The fake Slurm, and a project whose launcher is one of at most three tasks at a time."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = directory / "state"
        programs = directory / "bin"
        for made in (self.state, programs, directory / "project"):
            made.mkdir()
        for name in ("sbatch", "squeue", "scancel", "scontrol", "sacct"):
            call = f"{shlex.quote(sys.executable)} {shlex.quote(str(FAKE))} {name}"
            text = "exit 1" if name == "sacct" else f'exec {call} "$@"'
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setenv("FAKE_SLURM", str(self.state))
        self.place = Place(directory / "project", "cluster", ())
        (self.place.directory / "program.py").write_text(PROGRAM)
        self.configure(at_a_time=3)

    def configure(self, **entry: Any) -> None:
        lines = [
            f"{key} = {json.dumps(value)}" for key, value in {"kind": "slurm", **entry}.items()
        ]
        text = "\n".join(["[launchers.cluster]", *lines, ""])
        (self.place.directory / "runslot.toml").write_text(text)

    def search(self, *arguments: str, status: int | None = 0) -> str:
        root = ("--root", str(self.place.directory / "runs"))
        return self.place(
            "run", "program.py:train", "--on", "cluster", *root, *LOSS, *arguments, status=status
        ).stderr

    def tasks(self) -> list[dict[str, Any]]:
        with jobs_in(self.state) as jobs:
            return [task for job in jobs.values() for task in job["tasks"].values()]

    def kill(self, chance: random.Random) -> bool:
        """Kill a pilot and all that it started, as a node does that is gone; Slurm knows. Whether
        there was one.
        """
        with jobs_in(self.state) as jobs:
            tasks = [task for job in jobs.values() for task in job["tasks"].values()]
            running = [task for task in tasks if task["state"] == "RUNNING"]
            if not running:
                return False
            task = chance.choice(running)
            with suppress(ProcessLookupError):  # the pilot has just ended, and it is to be noted
                os.kill(task["daemon"], signal.SIGKILL)
                for file in self.place.experiment.rglob("attempt.json"):
                    keeper = json.loads(file.read_text())["pid"]
                    template = parent_of(keeper)
                    if task["pid"] in {template, parent_of(template)}:
                        with suppress(ProcessLookupError):
                            os.kill(keeper, signal.SIGKILL)
                os.killpg(task["pid"], signal.SIGKILL)
            task["state"] = "NODE_FAIL"
        return True

    def running(self) -> list[dict[str, Any]]:
        return [task for task in self.tasks() if task["state"] == "RUNNING"]

    def events(self) -> list[dict[str, Any]]:
        text = (self.place.experiment / "journal.jsonl").read_text()
        # the last line may be half-written
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def until_over(self) -> dict[str, Any]:
        self.place.until(
            lambda: self.place.status()["search"]["is_over"], what="the search is over"
        )
        return self.place.status()

    def end(self) -> None:
        # Else a task that its node cannot do is submitted anew for ever, here is but one node.
        (self.state / "refuse").write_text("sbatch: error: the test is over")
        (self.place.directory / "hold").unlink(missing_ok=True)
        for task in self.tasks() if (self.state / "jobs.json").exists() else ():
            if "pid" in task:
                try:
                    os.killpg(task["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    continue


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster(tmp_path, monkeypatch)
    yield made
    made.end()


def test_pilots_ask_for_all_trials_and_the_last_one_tests_the_winner(cluster: Cluster) -> None:
    """The launch ends at once; three pilots do the trials, each of which is told once."""
    cluster.search(*SPACE, "--trials", "7", "--test-seeds", "2")
    status = cluster.until_over()

    assert status["counts"] == {"succeeded": 9}
    assert len({trial["params"]["lr"] for trial in status["search"]["trials"]}) == 7
    ends = Counter(event["run"] for event in cluster.events() if event["event"] == "ended")
    assert set(ends.values()) == {1}
    assert len(cluster.tasks()) == 3
    until(lambda: not cluster.running(), what="no pilot is left")
    assert "nothing to do" in cluster.place("resume", str(cluster.place.experiment)).stdout


def test_an_answer_older_than_its_run_does_not_say_that_a_pilot_is_gone(cluster: Cluster) -> None:
    """Who asks shares an answer, in which a pilot may still wait that has begun since."""
    (cluster.place.directory / "hold").touch()
    cluster.search(*SPACE, "--trials", "2")
    cluster.place.until(
        lambda: cluster.place.status()["counts"].get("running") == 2, what="both are at work"
    )
    with jobs_in(cluster.state) as jobs:
        for task in jobs["1"]["tasks"].values():
            task["was"], task["state"] = task["state"], "PENDING"
    directory = ExperimentDir(cluster.place.experiment)
    config = of_experiment(directory.read())
    assert isinstance(config, BatchConfig)
    lookout, asked = Lookout(directory, "slurm"), time.time()
    lookout.look(config.cluster, is_due=True, oldest=0.0)
    with jobs_in(cluster.state) as jobs:
        for task in jobs["1"]["tasks"].values():
            task["state"] = task["was"]

    assert lookout.gone("slurm/0001/0", since=asked - 60).endswith("was requeued")
    assert lookout.gone("slurm/0001/0", since=asked + 1) == ""


def test_pilots_promote_from_snapshots_as_a_search_here_does(cluster: Cluster) -> None:
    """ASHA's paused trials go on where another pilot is free, from their snapshot."""
    asha = ("--prune", "asha:first=1,eta=3,last=9", "--resumable")
    for _ in range(3):  # until one has waited: where the best come last, none has to
        shutil.rmtree(cluster.place.directory / "runs", ignore_errors=True)
        cluster.search(*SPACE, "--grid", "epochs=9", "--grid", "pause=0.4", "--trials", "9", *asha)
        status = cluster.until_over()
        assert status["counts"]["succeeded"] >= 1
        verdicts = Counter((e["run"], e["rung"]) for e in cluster.events() if e["event"] == "rung")
        assert set(verdicts.values()) == {1}, "no run is judged twice at a rung"
        if continued := [run for run in status["runs"] if run["attempts"] > 1]:
            break

    assert status["counts"]["paused"] >= 4
    assert continued
    for run in continued:
        rows = (Path(run["directory"]) / "progress.csv").read_text().splitlines()
        assert len(rows) == len(set(rows))


def test_a_search_survives_pilots_that_are_killed_at_random(cluster: Cluster) -> None:
    """Whoever is killed, lock and run in hand: the others, and a resume, lose nothing."""

    def is_done(trials: int) -> bool:
        return sum(event["event"] == "ended" for event in cluster.events()) >= trials

    chance = random.Random(3)
    cluster.configure(at_a_time=4)
    hold = cluster.place.directory / "hold"
    hold.touch()
    cluster.search(*SPACE, "--grid", "pause=0.3", "--trials", "16")
    kills = 0
    while kills < 6 and not is_done(16):
        until(lambda: cluster.running() or is_done(16), what="a pilot is at work")
        time.sleep(chance.uniform(0.3, 1.5))
        kills += cluster.kill(chance)
        if kills >= 2:  # from here on they may be quicker than who kills
            hold.unlink(missing_ok=True)
        if len(cluster.running()) < 2:
            cluster.place("resume", str(cluster.place.experiment))
    assert kills >= 2
    cluster.place("resume", str(cluster.place.experiment), "--wait")
    status = cluster.until_over()

    trials = [event for event in cluster.events() if event["event"] == "trial"]
    assert [event["trial"] for event in trials] == list(range(16))
    assert status["counts"] == {"succeeded": 16}
    listed = (cluster.place.experiment / "runs.jsonl").read_text().splitlines()
    assert len({json.loads(line)["id"] for line in listed}) == len(listed) == 16
    last = {e["run"]: e["outcome"]["kind"] for e in cluster.events() if e["event"] == "ended"}
    assert set(last.values()) == {"succeeded"}


def test_stop_ends_the_pilots_and_resume_goes_on(cluster: Cluster) -> None:
    """Nothing starts after the stop; afterwards all is done, and no trial is asked twice."""
    (cluster.place.directory / "hold").touch()
    cluster.search(*SPACE, "--trials", "6")
    cluster.place.until(
        lambda: cluster.place.status()["counts"].get("running") == 3, what="all are busy"
    )
    cluster.place("stop", str(cluster.place.experiment))
    until(lambda: not cluster.running(), what="no pilot is left")
    assert cluster.place.status()["counts"] == {"stopped": 3}

    (cluster.place.directory / "hold").unlink()
    cluster.place("resume", str(cluster.place.experiment), "--wait")
    status = cluster.until_over()
    assert status["counts"] == {"succeeded": 6}
    assert sorted(run["attempts"] for run in status["runs"]) == [1, 1, 1, 2, 2, 2]


def test_what_no_run_logs_ends_the_search_and_status_says_it(cluster: Cluster) -> None:
    """No pilot goes on, and the nearest name is there."""
    cluster.search(*SPACE, "--trials", "6", "--metric", "los")
    cluster.place.until(lambda: cluster.place.status().get("problems"), what="the problem is seen")
    (problem,) = cluster.place.status()["problems"]
    assert "logged no 'los' (did you mean 'loss'?)" in problem
    until(lambda: not cluster.running(), what="no pilot is left")
    assert sum(event["event"] == "trial" for event in cluster.events()) < 6


def bare_python(cluster: Cluster, where: str) -> str:
    """Return an interpreter without packages; `where` is a test of the shell, true where it is."""
    python = cluster.place.directory / "python"
    text = f'#!/bin/sh\nif {where}; then exec {sys.executable} -S "$@"; fi\n'
    python.write_text(f'{text}exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return str(python)


def test_a_python_without_what_searches_need_is_named_by_its_node(cluster: Cluster) -> None:
    """It is the nodes' interpreter that decides, and it may be another one."""
    python = bare_python(cluster, '[ -n "$SLURM_JOB_ID" ]')
    cluster.configure(at_a_time=1, python=python)
    cluster.search(*SPACE, "--trials", "2")
    experiment = str(cluster.place.experiment)
    until(lambda: "kept off" in cluster.place("status", experiment).stdout, what="it is said")
    assert "has no polars, which a search needs" in cluster.place("status", experiment).stdout


def test_a_python_that_lacks_it_here_too_is_refused_before_anything_is_submitted(
    cluster: Cluster,
) -> None:
    """Where lines of `setup` may bring it, the same is said, and it is tried."""
    python = bare_python(cluster, "true")
    cluster.configure(at_a_time=1, python=python)
    assert "has no polars, which a search needs" in cluster.search(
        *SPACE, "--trials", "2", status=2
    )
    assert not (cluster.state / "jobs.json").exists()
    assert not list(cluster.place.directory.rglob("experiment.json"))

    cluster.configure(at_a_time=1, python=python, setup=["true"])
    cluster.search(*SPACE, "--trials", "2")
    until(cluster.tasks, what="a pilot is sent")


def test_a_pilot_whose_time_is_up_is_requeued_and_goes_on(cluster: Cluster) -> None:
    """It begins no run for which its time does not suffice, and its next life does the rest."""
    cluster.configure(at_a_time=1)
    (cluster.state / "time-left").write_text("9")
    cluster.search(*SPACE, "--trials", "3", "--test-seeds", "1")
    status = cluster.until_over()

    assert status["counts"] == {"succeeded": 4}
    assert {run["attempts"] for run in status["runs"]} == {1}
    (task,) = cluster.tasks()
    assert task["requeues"] == 3


def test_a_run_longer_than_any_pilot_goes_on_in_one_after_the_other(cluster: Cluster) -> None:
    """However many it takes: only a pilot that was gone before its time is lost."""
    cluster.configure(at_a_time=1)
    (cluster.state / "time-left").write_text("9")
    more = ("--grid", "epochs=7", "--grid", "lives=6", "--trials", "1", "--resumable")
    cluster.search(*SPACE, *more)
    status = cluster.until_over()

    (run,) = status["runs"]
    assert (run["state"], run["attempts"]) == ("succeeded", 6)
    rows = (Path(run["directory"]) / "progress.csv").read_text().splitlines()
    assert len(rows) == len(set(rows)) == 8


def test_a_run_longer_than_any_pilot_that_left_no_snapshot_has_timed_out(cluster: Cluster) -> None:
    """It would begin anew in one pilot after the other; that it cannot go on is said once."""
    cluster.configure(at_a_time=1)
    (cluster.state / "time-left").write_text("9")
    more = ("--grid", "epochs=7", "--grid", "lives=6", "--grid", "keeps=0", "--resumable")
    cluster.search(*SPACE, *more, "--trials", "2")
    cluster.place.until(
        lambda: cluster.place.status()["counts"] == {"timed_out": 2}, what="both have ended"
    )
    until(lambda: not cluster.running(), what="no pilot is left")
    status = cluster.place.status()

    assert {run["attempts"] for run in status["runs"]} == {1}
    assert {run["outcome"]["message"] for run in status["runs"]} == {
        "the job's time limit ran out, and the run left no snapshot"
    }
    logs = [file.read_text() for file in cluster.place.experiment.glob("slurm/*/*.log")]
    assert "".join(logs).count("ran out of time and left no snapshot") == 1


def test_a_run_that_was_killed_is_none_that_runs_though_its_pilot_goes_on(cluster: Cluster) -> None:
    """A pilot that is at work has other runs: of this one the journal has the end."""
    cluster.configure(at_a_time=1, runs_per_job=2)
    (cluster.place.directory / "hold").touch()
    cluster.search(*SPACE, "--trials", "2")
    cluster.place.until(
        lambda: cluster.place.status()["counts"].get("running") == 2, what="both are at work"
    )
    attempt = next(iter(cluster.place.experiment.rglob("attempt.json")))
    keeper = json.loads(attempt.read_text())["pid"]
    (child,) = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    until(lambda: any(e["event"] == "ended" for e in cluster.events()), what="its end is told")

    assert cluster.place.status()["counts"] == {"failed": 1, "running": 1}
    (cluster.place.directory / "hold").unlink()
    assert cluster.until_over()["counts"] == {"failed": 1, "succeeded": 1}


def test_a_budget_ends_a_search_of_pilots(cluster: Cluster) -> None:
    """No trial begins after it, and the winner is decided."""
    cluster.search(*SPACE, "--budget", "3s", "--grid", "pause=0.3")
    status = cluster.until_over()

    closed = [event for event in cluster.events() if event["event"] == "search_closed"]
    assert "budget of 3 s" in closed[0]["why"]
    assert status["counts"]["succeeded"] == len(status["runs"])
    until(lambda: not cluster.running(), what="no pilot is left")


def test_one_run_of_a_pilot_is_stopped_and_the_others_go_on(cluster: Cluster) -> None:
    """It stays stopped, and keeps the winner open, until a resume has it run again."""
    (cluster.place.directory / "hold").touch()
    cluster.search(*SPACE, "--trials", "5")
    cluster.place.until(
        lambda: cluster.place.status()["counts"].get("running") == 3, what="all are busy"
    )
    run = next(run for run in cluster.place.status()["runs"] if run["state"] == "running")
    experiment = str(cluster.place.experiment)
    cluster.place("stop", experiment, run["run"])
    assert cluster.place.status()["counts"].get("stopped") == 1
    (cluster.place.directory / "hold").unlink()
    until(lambda: not cluster.running(), what="the others are done")
    assert cluster.place.status()["counts"] == {"succeeded": 4, "stopped": 1}
    assert not cluster.place.status()["search"]["is_over"]

    cluster.place("resume", experiment, "--wait")
    assert cluster.until_over()["counts"] == {"succeeded": 5}


def test_a_pilot_with_two_slots_has_two_runs_at_a_time_and_models_ask(cluster: Cluster) -> None:
    """What a model proposes is told to the others before it runs: no setting comes twice."""
    cluster.configure(at_a_time=2, runs_per_job=2)
    (cluster.place.directory / "hold").touch()
    cluster.search(*SPACE, "--trials", "12", "--sampler", "auto")
    cluster.place.until(
        lambda: cluster.place.status()["counts"].get("running") == 4, what="all slots are busy"
    )
    (cluster.place.directory / "hold").unlink()
    status = cluster.until_over()

    assert status["counts"] == {"succeeded": 12}
    assert len({trial["params"]["lr"] for trial in status["search"]["trials"]}) == 12
    assert len(cluster.tasks()) == 2


def test_more_trials_reach_pilots_that_are_at_work(cluster: Cluster) -> None:
    """They read anew what is asked of the search; no pilot is sent beside those there may be."""
    (cluster.place.directory / "hold").touch()
    cluster.search(*SPACE, "--trials", "3")
    cluster.place.until(
        lambda: cluster.place.status()["counts"].get("running") == 3, what="all are busy"
    )
    cluster.search(*SPACE, "--trials", "6", "--into", str(cluster.place.experiment))
    (cluster.place.directory / "hold").unlink()
    until(lambda: len(cluster.place.status()["runs"]) == 6, what="all trials are there")

    assert cluster.until_over()["counts"] == {"succeeded": 6}
    assert len(cluster.tasks()) == 3


def test_a_pause_of_pilots_is_refused_by_what_can_be_done_instead(cluster: Cluster) -> None:
    """Nobody has to be told that nothing starts there while something does."""
    (cluster.place.directory / "hold").touch()
    cluster.search(*SPACE, "--trials", "3")
    said = cluster.place("pause", str(cluster.place.experiment), status=2).stderr
    assert "take no pause" in said
    assert "runslot stop" in said


def test_what_cannot_be_is_refused_before_anything_starts(cluster: Cluster) -> None:
    """A script by hand would be submitted without the launcher, which counts pilots."""
    said = cluster.search(*SPACE, "--trials", "2", "--script-only", status=2)
    assert "leave script_only out" in said
    cluster.configure(login="node1")
    assert "launch on the login node" in cluster.search(*SPACE, "--trials", "2", status=2)
    assert not (cluster.place.directory / "runs").exists()


def test_a_run_is_done_that_a_pilot_on_its_way_out_no_longer_takes(cluster: Cluster) -> None:
    """It was counted, and none was sent."""
    cluster.configure(at_a_time=1)
    hold = cluster.place.directory / "hold"
    hold.touch()
    cluster.search(*SPACE, "--trials", "2")
    until(lambda: len(cluster.running()) == 1, what="a pilot is at work")
    cluster.place.until(lambda: cluster.place.status()["counts"].get("running") == 1)
    runs = cluster.place.status()["runs"]
    (run,) = [run for run in runs if run["state"] == "running"]
    cluster.place("stop", str(cluster.place.experiment), run["run"])
    (cluster.state / "linger").write_text("15")
    hold.unlink()
    until(
        lambda: sum(event["event"] == "ended" for event in cluster.events()) == 2,
        what="the other trial has ended",
    )
    (task,) = cluster.running()
    until(lambda: not Path(f"/proc/{task['pid']}/exe").exists(), what="the pilot has left")
    (cluster.state / "linger").write_text("0")

    cluster.place("resume", str(cluster.place.experiment), "--wait")

    assert cluster.until_over()["counts"] == {"succeeded": 2}
