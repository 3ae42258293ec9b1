"""What a real Slurm cannot be made to do: no sacct, a controller that is away, slow, or whose
answers are lost.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.conftest import jobs_in

from runslot.testing.contract import Place, until
from runslot.view.web.live_runs import LiveRuns

FAKE = Path(__file__).parent.parent / "testbeds" / "slurm-fake"
SSH = Path(__file__).parent.parent / "cli" / "ssh_stand_in"
SLURM = ("sbatch", "squeue", "scancel", "scontrol")

# No engine is needed, but patience: Slurm is asked every ten seconds.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

PROGRAM = '''
import os, time
from pathlib import Path

def wait(variant):
    """Go on until `go` lies beside the program."""
    with (Path(os.environ["RUNSLOT_RUN"]) / "notes.txt").open("a") as file:
        file.write("began\\n")
    while not Path("go").exists():
        time.sleep(0.05)

def done(variant):
    """End at once."""

def turns(variant):
    """End at once where none has before, else wait for `go`."""
    state = Path(os.environ["FAKE_SLURM"])
    if not (state / "first").exists():
        (state / "first").touch()
        return
    (state / "second").touch()
    while not (state / "go").exists():
        time.sleep(0.05)
'''


class Cluster:
    """Commands of Slurm on a PATH of their own, and a directory in which `runslot` is called."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = directory / "state"
        self.programs = directory / "bin"
        for made in (self.state, self.programs, directory / "project"):
            made.mkdir()
        # All that this machine has but Slurm's commands, which it may have as well.
        for each in [
            program for place in ("/usr/bin", "/bin") for program in Path(place).iterdir()
        ]:
            if not each.name.startswith(("sacct", "sinfo", *SLURM)) and not os.path.lexists(
                self.programs / each.name
            ):
                (self.programs / each.name).symlink_to(each)
        for name in SLURM:
            self.add(
                name, f'exec {shlex.quote(sys.executable)} {shlex.quote(str(FAKE))} {name} "$@"'
            )
        monkeypatch.setenv("PATH", str(self.programs))
        monkeypatch.setenv("FAKE_SLURM", str(self.state))
        self.place = Place(directory / "project", "cluster", ())
        (self.place.directory / "program.py").write_text(PROGRAM)
        (self.place.directory / "runslot.toml").write_text('[launchers.cluster]\nkind = "slurm"\n')

    def add(self, name: str, line: str) -> None:
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (self.programs / name).chmod(0o755)

    def options(self, *arguments: str) -> list[str]:
        return ["run", "--on", "cluster", "--root", str(self.place.directory / "runs"), *arguments]

    def go(self) -> None:
        (self.place.directory / "go").touch()

    def calls(self, command: str) -> list[float]:
        """Return when a command was called."""
        file = self.state / "calls.jsonl"
        lines = (
            [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        )
        return [when for when, name, _ in lines if name == command]

    def tasks(self) -> list[dict[str, Any]]:
        with jobs_in(self.state) as jobs:
            return [task for job in jobs.values() for task in job["tasks"].values()]

    def waiting(self) -> int:
        """Return the index of a task that waits: which begin first, the machine decides."""
        return [task["state"] for task in self.tasks()].index("PENDING")

    def notes(self) -> int:
        """Return how often runs have begun."""
        return sum(map(len, self.place.noted("notes.txt").values()))

    def fail_node(self) -> None:
        """Kill everything of the one task, and let Slurm know."""
        with jobs_in(self.state) as known:
            task = known["1"]["tasks"]["0"]
            os.kill(task["daemon"], signal.SIGKILL)
            _kill(task["pid"])
            attempt = next(self.place.experiment.glob("run_*/attempt.json"))
            os.kill(json.loads(attempt.read_text())["pid"], signal.SIGKILL)
            task["state"] = "NODE_FAIL"

    def said(self) -> str:
        return (self.place.directory / "launch.log").read_text()

    def end(self) -> None:
        self.go()
        (self.state / "go").touch()
        for name in ("hang", "away"):
            (self.state / name).unlink(missing_ok=True)
        for process in self.place.started:
            process.kill()
            process.wait()
        if (self.state / "jobs.json").exists():
            for task in self.tasks():
                if "pid" in task:
                    _kill(task["pid"])


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster(tmp_path, monkeypatch)
    yield made
    made.end()


def test_without_sacct_a_task_that_vanished_is_lost_when_slurm_was_asked_twice(
    cluster: Cluster,
) -> None:
    """Its daemon and processes are killed at once, and the queue has no trace of it."""
    launch = cluster.place.start(*cluster.options("program.py:wait", "--wait"))
    until(lambda: launch.poll() is None and cluster.notes(), what="the run has begun")
    (cluster.state / "forget").touch()
    cluster.fail_node()

    assert launch.wait(120) == 1
    (run,) = cluster.place.status()["runs"]
    assert run["outcome"]["kind"] == "lost"
    assert "no longer known to Slurm" in run["outcome"]["message"]


def test_a_task_that_was_cancelled_as_it_waited_is_stopped_and_not_lost(cluster: Cluster) -> None:
    """Slurm keeps nothing of it; the others of its array are there, and go on."""
    table = '[launchers.cluster]\nkind = "slurm"\nat_a_time = 1\n'
    (cluster.place.directory / "runslot.toml").write_text(table)
    cluster.place(*cluster.options("program.py:wait", "--seeds", "3"))
    until(cluster.notes, what="the first run has begun")
    waiting = cluster.waiting()
    subprocess.run(["scancel", f"1_[{waiting}]"], check=True)

    cluster.place.until(lambda: cluster.place.status()["counts"].get("stopped"), what="it is seen")
    assert cluster.place.status()["counts"] == {"running": 1, "queued": 1, "stopped": 1}
    run = cluster.place.status()["runs"][waiting]
    assert "cancelled as it waited" in run["outcome"]["message"]
    cluster.go()
    cluster.place.until(
        lambda: cluster.place.status()["counts"].get("succeeded") == 2, what="the others end"
    )
    assert cluster.notes() == 2


def test_a_controller_that_is_away_for_a_while_costs_nothing(cluster: Cluster) -> None:
    """That it cannot be contacted is said once; the runs go on, and so does the launch."""
    launch = cluster.place.start(*cluster.options("program.py:wait", "--wait", "--seeds", "2"))
    until(lambda: launch.poll() is None and cluster.notes() == 2, what="the runs have begun")
    (cluster.state / "away").touch()
    until(lambda: "Slurm cannot be reached" in cluster.said(), what="it is said")
    before = len(cluster.calls("squeue"))
    until(lambda: len(cluster.calls("squeue")) > before, what="it is asked again")
    (cluster.state / "away").unlink()
    cluster.go()

    assert launch.wait(120) == 0
    assert cluster.said().count("Slurm cannot be reached") == 1
    assert cluster.place.status()["counts"] == {"succeeded": 2}


def test_a_controller_that_does_not_answer_keeps_nobody_waiting(cluster: Cluster) -> None:
    """squeue hangs for ever; the ends of the runs are seen by their files."""
    (cluster.state / "hang").touch()
    cluster.go()
    launch = cluster.place.start(*cluster.options("program.py:wait", "--wait", "--seeds", "3"))

    assert launch.wait(120) == 0
    assert cluster.notes() == 3


def test_slurm_is_asked_every_ten_seconds_at_most_whoever_asks(cluster: Cluster) -> None:
    """A launcher that waits and terminals that ask for the status share one answer."""
    launch = cluster.place.start(*cluster.options("program.py:wait", "--wait"))
    until(lambda: launch.poll() is None and cluster.notes(), what="the run has begun")
    for _ in range(4):
        assert cluster.place.status()["counts"] == {"running": 1}
    until(lambda: len(cluster.calls("squeue")) >= 3, what="it was asked three times")
    cluster.go()
    launch.wait(120)

    asked = cluster.calls("squeue")
    assert min(b - a for a, b in itertools.pairwise(asked)) > 8.5, asked


def test_a_job_that_slurm_took_while_its_answer_was_lost_is_found_by_its_name(
    cluster: Cluster,
) -> None:
    """sbatch fails with a timeout, and the job is there: it is not submitted again."""
    (cluster.state / "lost-answer").touch()
    cluster.go()

    cluster.place(*cluster.options("program.py:wait", "--wait", "--seeds", "3"))

    assert cluster.notes() == 3
    assert len(cluster.tasks()) == 3


@pytest.mark.parametrize(
    ("file", "said", "meaning"),
    [
        ("away", "", "Slurm cannot be reached"),
        (
            "refuse",
            "sbatch: error: Invalid account or account/partition combination specified",
            "the account is not",
        ),
        (
            "refuse",
            "sbatch: error: Batch job submission failed: Invalid qos specification",
            "no such qos",
        ),
    ],
)
def test_what_cannot_be_submitted_is_refused_before_anything_starts(
    cluster: Cluster, file: str, said: str, meaning: str
) -> None:
    """One message names the launcher, the host, the command, and what to do; no experiment is
    left.
    """
    (cluster.state / file).write_text(said)

    done = cluster.place(*cluster.options("program.py:wait"), status=2)

    assert done.stderr.startswith("runslot: launcher cluster (Slurm), host ")
    assert meaning in done.stderr
    assert "(command: s" in done.stderr
    assert not list((cluster.place.directory / "runs").glob("*/[0-9]*"))


def test_a_machine_without_slurm_says_so(cluster: Cluster) -> None:
    """No sbatch on PATH: a login node, or `login` in the table, is what is missing."""
    (cluster.programs / "sbatch").unlink()

    done = cluster.place(*cluster.options("program.py:wait"), status=2)

    assert "there is no sbatch on PATH" in done.stderr
    assert "login = " in done.stderr
    checked = cluster.place("launchers", "check", "cluster", status=None)
    assert checked.returncode != 0
    assert "sbatch" in checked.stdout


def test_runs_beyond_what_an_account_may_submit_wait_for_a_resume(cluster: Cluster) -> None:
    """Of two arrays the second is refused: the first one's runs go on, the others are done
    later.
    """
    (cluster.state / "limit").write_text("1")
    cluster.go()

    cluster.place(*cluster.options("program.py:wait", "--wait", "--seeds", "6"), status=1)

    assert cluster.place.status()["counts"] == {"succeeded": 4, "lost": 2}
    (cluster.state / "limit").unlink()
    cluster.place("resume", str(cluster.place.experiment), "--wait")
    assert cluster.place.status()["counts"] == {"succeeded": 6}
    assert cluster.notes() == 6


@pytest.mark.parametrize("waits", [True, False])
def test_what_a_limit_of_the_user_lets_in_is_submitted_and_the_rest_follows_as_jobs_end(
    cluster: Cluster, waits: bool
) -> None:
    """Arrays are of four tasks at most, and three may be there at a time."""
    (cluster.state / "room").write_text("3")
    options = ["--wait"] if waits else []
    launched = cluster.place.start(*cluster.options("program.py:wait", "--seeds", "6", *options))
    until(lambda: cluster.notes() == 3, what="what fits has begun")
    assert cluster.place.status()["counts"] == {"running": 3, "queued": 3}
    assert launched.poll() is None
    cluster.go()
    assert launched.wait(timeout=100) == 0
    cluster.place.until(lambda: "running" not in cluster.place.status()["counts"])
    assert cluster.place.status()["counts"] == {"succeeded": 6}
    assert "3 of 6 tasks are submitted, the others follow as jobs end" in cluster.said()
    assert cluster.notes() == 6


def test_what_waits_for_room_outlasts_tasks_that_are_slow_to_leave(cluster: Cluster) -> None:
    """All runs that were let in have ended, and their tasks still count."""
    (cluster.state / "room").write_text("2")
    (cluster.state / "linger").write_text("3")
    cluster.go()

    cluster.place(*cluster.options("program.py:wait", "--seeds", "4", "--wait"))

    assert cluster.place.status()["counts"] == {"succeeded": 4}
    assert cluster.notes() == 4


def test_what_slurm_took_before_it_went_away_is_watched_and_the_rest_follows(
    cluster: Cluster,
) -> None:
    """Half of the second array fits, and then the controller is away."""
    (cluster.state / "room").write_text("6")
    (cluster.state / "leaves").write_text("2")
    launch = cluster.place.start(*cluster.options("program.py:wait", "--seeds", "8", "--wait"))
    until(lambda: cluster.notes() == 6, what="what was taken has begun")
    until(lambda: "6 of 8 tasks are submitted" in cluster.said(), what="it is said")
    assert "6 of 8 tasks are submitted, the others are tried again: " in cluster.said()
    assert "cannot be reached" in cluster.said()
    for file in ("leaves", "room"):
        (cluster.state / file).unlink()
    until(lambda: cluster.notes() == 8, what="the rest has begun before any has ended")
    cluster.go()

    assert launch.wait(120) == 0
    assert cluster.place.status()["counts"] == {"succeeded": 8}
    assert cluster.notes() == 8


def test_what_waits_for_room_is_given_up_where_slurm_will_never_take_it(cluster: Cluster) -> None:
    """The account is closed meanwhile."""
    (cluster.state / "room").write_text("2")
    launch = cluster.place.start(*cluster.options("program.py:wait", "--seeds", "4", "--wait"))
    until(lambda: cluster.notes() == 2, what="what fits has begun")
    (cluster.state / "refuse").write_text("sbatch: error: Invalid account")
    cluster.go()

    assert launch.wait(100) == 1
    assert cluster.place.status()["counts"] == {"succeeded": 2, "lost": 2}
    assert "the account is not one that you may use" in cluster.said()


def test_scripts_are_written_while_the_controller_is_away(cluster: Cluster) -> None:
    (cluster.state / "away").touch()
    written = cluster.place(*cluster.options("program.py:wait", "--seeds", "2", "--script-only"))
    assert "to submit 2 tasks: cd " in written.stdout
    assert (cluster.place.experiment / "slurm" / "0001" / "script.sh").exists()


def test_a_task_whose_setup_fails_says_what_it_printed(cluster: Cluster) -> None:
    """The job ends before the run began: the last line of its log is the reason."""
    table = '[launchers.cluster]\nkind = "slurm"\nsetup = ["echo no such environment; exit 3"]\n'
    (cluster.place.directory / "runslot.toml").write_text(table)

    cluster.place(*cluster.options("program.py:wait", "--wait"), status=1)

    (run,) = cluster.place.status()["runs"]
    assert run["outcome"]["kind"] == "lost"
    assert run["outcome"]["message"].endswith("no such environment")


def test_a_stop_cancels_what_waits_when_nobody_is_at_work(cluster: Cluster) -> None:
    """Left to Slurm, stopped from another terminal: no process of a run is alive afterwards."""
    cluster.place(*cluster.options("program.py:wait", "--seeds", "2", "--grace", "2"))
    until(lambda: cluster.notes() == 2, what="the runs have begun")
    attached = cluster.place("attach", str(cluster.place.experiment), status=2)
    assert f"`runslot resume {cluster.place.experiment} --wait` looks on" in attached.stderr

    cluster.place("stop", str(cluster.place.experiment))

    assert cluster.place.status()["counts"] == {"stopped": 2}
    alive = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(cluster.place.experiment) not in alive


def test_one_answer_is_enough_of_what_waited_and_was_cancelled(cluster: Cluster) -> None:
    """Slurm keeps nothing of it, and else is asked twice, ten seconds apart."""
    table = '[launchers.cluster]\nkind = "slurm"\nat_a_time = 1\n'
    (cluster.place.directory / "runslot.toml").write_text(table)
    cluster.place(*cluster.options("program.py:wait", "--seeds", "3"))
    until(cluster.notes, what="the first run has begun")
    waiting = cluster.waiting()
    run = cluster.place.status()["runs"][waiting]["run"]

    cluster.place("stop", str(cluster.place.experiment), run)

    (cancelled,) = cluster.calls("scancel")
    assert sum(when > cancelled for when in cluster.calls("squeue")) == 1
    outcome = cluster.place.status()["runs"][waiting]["outcome"]
    assert (outcome["kind"], outcome["message"]) == ("stopped", "stopped before it started")
    cluster.go()
    cluster.place.until(
        lambda: cluster.place.status()["counts"].get("succeeded") == 2, what="the others end"
    )
    assert cluster.notes() == 2


def test_what_a_stop_left_half_done_a_resume_does(cluster: Cluster) -> None:
    """Its task is in the queue still, and will not begin the run: that was asked of it."""
    table = '[launchers.cluster]\nkind = "slurm"\nat_a_time = 1\n'
    (cluster.place.directory / "runslot.toml").write_text(table)
    cluster.place(*cluster.options("program.py:wait", "--seeds", "2"))
    until(cluster.notes, what="the first run has begun")
    run = cluster.place.status()["runs"][cluster.waiting()]["run"]
    (cluster.state / "away").touch()
    stop = cluster.place.start("stop", str(cluster.place.experiment), run)
    until(lambda: [*cluster.place.experiment.glob("slurm/*/stopped/*")], what="it is written down")
    stop.kill()
    stop.wait()
    (cluster.state / "away").unlink()
    cluster.go()

    cluster.place("resume", str(cluster.place.experiment), "--wait")

    assert cluster.place.status()["counts"] == {"succeeded": 2}
    assert cluster.notes() == 2


def test_a_disk_that_takes_nothing_for_a_while_does_not_end_the_launch(cluster: Cluster) -> None:
    """As its tasks fail: that nobody begins their runs any more is written when it can be."""
    table = '[launchers.cluster]\nkind = "slurm"\nsetup = ["exit 3"]\n'
    (cluster.place.directory / "runslot.toml").write_text(table)
    (cluster.state / "hang").touch()
    launch = cluster.place.start(*cluster.options("program.py:wait", "--wait", "--seeds", "2"))
    until(lambda: cluster.calls("squeue"), what="both are submitted")
    takers = cluster.place.experiment / "slurm" / "0001" / "takers"
    takers.rename(takers.with_name("away"))
    (cluster.state / "hang").unlink()
    until(lambda: "it is tried again" in cluster.said(), what="it is said")
    takers.with_name("away").rename(takers)

    assert launch.wait(120) == 1
    assert cluster.place.status()["counts"] == {"lost": 2}


def test_a_stop_is_carried_out_when_a_controller_is_back(cluster: Cluster) -> None:
    """What runs would else go on to its end."""
    launch = cluster.place.start(*cluster.options("program.py:wait", "--wait", "--seeds", "2"))
    until(lambda: launch.poll() is None and cluster.notes() == 2, what="the runs have begun")
    (cluster.state / "away").touch()
    launch.send_signal(signal.SIGINT)
    until(lambda: "Slurm cannot be reached" in cluster.said(), what="it is said")
    (cluster.state / "away").unlink()

    assert launch.wait(120) == 130
    assert cluster.place.status()["counts"] == {"stopped": 2}


# ---- behind a login host -------------------------------------------------------------------------


@pytest.fixture
def behind(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The same cluster, called on a login host, which is this machine with another home; the file
    `broken` keeps transfers from it, `cut` drops the connection as sbatch ends.
    """
    home = cluster.state.parent / "far"
    home.mkdir()
    monkeypatch.setenv("FAR_HOME", str(home))
    cut = f'case "$*" in *--parsable*) [ ! -e {cluster.state}/cut ] || exit 255;; esac'
    cluster.add("ssh", f'{sys.executable} {SSH} "$@"; code=$?; {cut}; exit $code')
    broken = cluster.state / "broken"
    cluster.add("rsync", f'[ ! -e {broken} ] || exit 12\nexec /usr/bin/rsync "$@"')
    table = f'[launchers.cluster]\nkind = "slurm"\nlogin = "far1"\npython = "{sys.executable}"\n'
    (cluster.place.directory / "runslot.toml").write_text(table)
    return cluster


def test_a_run_whose_results_cannot_be_fetched_is_not_lost(behind: Cluster) -> None:
    """Slurm says that it has ended, and how it ended has yet to come home."""
    behind.place(*behind.options("program.py:done"))
    until(lambda: {task["state"] for task in behind.tasks()} == {"COMPLETED"}, what="it ends")
    (behind.state / "broken").touch()
    assert behind.place.status()["counts"] == {"running": 1}
    assert behind.place.status()["counts"] == {"running": 1}, "nor by the answer that is kept"

    (behind.state / "broken").unlink()
    behind.place.until(lambda: behind.place.status()["counts"] == {"succeeded": 1})


def test_a_stop_of_one_run_leaves_what_its_task_has_taken_since(behind: Cluster) -> None:
    """The run has ended and its task has the next one, which nobody here knows yet."""
    runslot = behind.place.directory / "runslot.toml"
    runslot.write_text(runslot.read_text() + "at_a_time = 1\n")
    launch = behind.place.start(*behind.options("program.py:turns", "--seeds", "3", "--wait"))
    until(lambda: behind.calls("squeue"), what="they are submitted")
    (behind.state / "broken").touch()
    until((behind.state / "second").exists, what="the task has a second run")
    until(lambda: "it is asked again" in behind.said(), what="nothing comes home")
    (task,) = [i for i, task in enumerate(behind.tasks()) if task["state"] == "RUNNING"]
    run = json.loads((behind.place.experiment / "runs.jsonl").read_text().splitlines()[task])
    (behind.state / "broken").unlink()
    behind.place("stop", str(behind.place.experiment), run["id"])
    (behind.state / "go").touch()

    assert launch.wait(120) == 0
    assert behind.place.status()["counts"] == {"succeeded": 3}


CALL = """
import signal, sys
from runslot.transport.ssh import Host
signal.signal(signal.SIGINT, lambda *_: None)
print(Host("far1").run(["sh", "-c", f"touch {sys.argv[1]}; sleep 1; echo well"]).stdout)
"""


def test_ctrl_c_in_the_terminal_ends_no_call_on_the_login_host(behind: Cluster) -> None:
    """All of the terminal's processes hear it; what it means, the launcher decides."""
    called = behind.state / "called"
    caller = subprocess.Popen(
        [sys.executable, "-c", CALL, called],
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    until(called.exists, what="it is under way")
    os.killpg(caller.pid, signal.SIGINT)

    assert "well" in caller.communicate(timeout=120)[0]


def test_a_job_is_found_that_was_taken_as_the_connection_broke(behind: Cluster) -> None:
    """By its name, as where Slurm's own answer was lost."""
    (behind.state / "cut").touch()
    behind.place(*behind.options("program.py:done", "--seeds", "2", "--wait"))

    assert behind.place.status()["counts"] == {"succeeded": 2}
    assert len(behind.calls("sbatch")) == 2, "one to try, and one to submit"


SCRIPT = """
from runslot import run_experiment

def experiment(variant):
    pass

if __name__ == "__main__":
    launched = run_experiment(
        experiment, mode="sss", exp_prefix="old", variant={"lr": [1, 2]}, sweep=True, time_in_mins=90,
        base_log_dir="runs",
    )
    print(launched.done, launched.directory)
"""


def test_launchkits_sss_writes_the_script_and_says_what_to_type(cluster: Cluster) -> None:
    """Nothing is submitted; the script has the time limit, and the runs their image."""
    configuration = (
        '[launchkit]\nsingularity_image = "/images/rl.sif"\n\n[launchers.slurm]\nkind ='
        ' "slurm"\npartition = "cpu"\n'
    )
    (cluster.place.directory / "runslot.toml").write_text(configuration)
    (cluster.place.directory / "old.py").write_text(SCRIPT)

    done = subprocess.run(
        [sys.executable, "old.py"],
        cwd=cluster.place.directory,
        capture_output=True,
        text=True,
        check=True,
    )

    ended, directory = done.stdout.splitlines()[-1].split()
    assert ended == "False"
    assert f"cd {directory} && sbatch slurm/0001/script.sh" in done.stdout
    assert cluster.calls("sbatch") == []
    script = Path(directory, "slurm", "0001", "script.sh").read_text()
    assert {"#SBATCH --time=90", "#SBATCH --partition=cpu", "#SBATCH --array=0-1"} <= set(
        script.splitlines()
    )
    runs = [
        json.loads(file.read_text())
        for file in (cluster.place.directory / "runs").rglob("run.json")
    ]
    containers = [(run["container"]["image"], run["container"]["engine"]) for run in runs]
    assert containers == [("/images/rl.sif", "apptainer")] * 2


def test_the_page_learns_what_only_slurm_knows(cluster: Cluster) -> None:
    """Nobody waits for the runs; the page, which reads files, sees that a node has failed."""
    cluster.place(*cluster.options("program.py:wait"))
    until(cluster.notes, what="the run has begun")
    watched = LiveRuns([cluster.place.directory / "runs"], cache=False)
    assert watched.now().results.runs["state"].to_list() == ["running"]

    cluster.fail_node()

    until(lambda: watched.now().results.runs["state"].to_list() == ["lost"], what="the run is lost")
    assert "NODE_FAIL" in cluster.place.status()["runs"][0]["outcome"]["message"]
