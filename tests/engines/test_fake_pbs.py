"""PBS in both spellings, against commands that keep a little state and start the tasks as real
processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.engines.conftest import jobs_in

from runslot.testing import LauncherContract
from runslot.testing.contract import Place, until

FAKE = Path(__file__).parent.parent / "testbeds" / "pbs-fake"
PROGRAMS = ("qsub", "qstat", "qselect", "qdel", "qsig", "qrerun")

# No engine is needed, but patience: PBS is asked every ten seconds.
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
'''


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, dialect: str) -> Path:
    """Put PBS's commands in front of PATH, and return the directory of their state."""
    state, programs = directory / "state", directory / "bin"
    state.mkdir()
    programs.mkdir()
    for name in PROGRAMS:
        line = f'exec {shlex.quote(sys.executable)} {shlex.quote(str(FAKE))} {name} "$@"'
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    if dialect == "torque":
        (state / "torque").touch()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PBS", str(state))
    return state


def end_all(state: Path) -> None:
    """Kill what of the tasks is alive."""
    with jobs_in(state) as known:
        for job in known.values():
            for task in job["tasks"].values():
                for process in (task.get("daemon"), task.get("pid")):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process or 2**30, signal.SIGKILL)


class Server:
    """A server with its state, and a directory in which `runslot` is called."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
        self.state = install(directory, monkeypatch, dialect)
        (directory / "project").mkdir()
        self.place = Place(directory / "project", "cluster", ())
        (self.place.directory / "program.py").write_text(PROGRAM)
        self.configure()

    def configure(self, *lines: str) -> None:
        table = "\n".join(["[launchers.cluster]", 'kind = "pbs"', *lines, ""])
        (self.place.directory / "runslot.toml").write_text(table)

    def run(self, *arguments: str) -> list[str]:
        return ["run", "--on", "cluster", "--root", str(self.place.directory / "runs"), *arguments]

    def go(self) -> None:
        (self.place.directory / "go").touch()

    def notes(self) -> int:
        """Return how often runs have begun."""
        return sum(map(len, self.place.noted("notes.txt").values()))

    def calls(self, command: str) -> list[list[str]]:
        """Return with what a command was called."""
        return [arguments for _, name, arguments in self._calls() if name == command]

    def called_at(self, command: str) -> list[float]:
        """Return when a command was called."""
        return [moment for moment, name, _ in self._calls() if name == command]

    def _calls(self) -> list[tuple[float, str, list[str]]]:
        file = self.state / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def script(self) -> list[str]:
        return (self.place.experiment / "pbs" / "0001" / "script.sh").read_text().splitlines()


@pytest.fixture(params=["openpbs", "torque"])
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Server]:
    made = Server(tmp_path, monkeypatch, request.param)
    yield made
    made.go()
    for process in made.place.started:
        process.kill()
        process.wait()
    end_all(made.state)


@pytest.fixture
def openpbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(tmp_path, monkeypatch, "openpbs")
    yield made
    made.go()
    end_all(made.state)


class TestPBS(LauncherContract):
    """What holds for every launcher; tasks of eight runs, since all of them start at once here."""

    entry: ClassVar[Mapping[str, Any]] = {"kind": "pbs", "runs_per_job": 8}
    many = 16

    @pytest.fixture
    def configured(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Mapping[str, Any]]:
        state = install(tmp_path, monkeypatch, "openpbs")
        yield self.entry
        end_all(state)


def test_an_array_is_submitted_left_and_looked_after(server: Server) -> None:
    """Two arrays, since this server takes four tasks in one; who launched may leave, and a resume
    waits.
    """
    server.configure(
        'queue = "workq"', 'time = "1:00:00"', 'mem = "2gb"', "at_a_time = 3", "cpus = 2"
    )
    server.place(*server.run("program.py:wait", "--seeds", "5"))
    until(lambda: server.notes() == 5, what="all runs have begun")

    assert server.place.status()["counts"] == {"running": 5}
    server.go()
    server.place("resume", str(server.place.experiment), "--wait")

    assert server.place.status()["counts"] == {"succeeded": 5}
    assert server.notes() == 5
    asked = {line.removeprefix("#PBS ") for line in server.script() if line.startswith("#PBS ")}
    shared = {"-q workq", "-l walltime=1:00:00", "-r y", "-S /bin/bash"}
    torque = {"-t 0-3%3", "-l nodes=1:ppn=2", "-l mem=2gb"}
    openpbs = {"-J 0-3", "-W max_run_subjobs=3", "-l select=1:ncpus=2:mem=2gb"}
    assert shared | (torque if (server.state / "torque").exists() else openpbs) <= asked


def test_a_stop_ends_what_runs_with_its_grace_and_what_waits_when_nobody_is_at_work(
    server: Server,
) -> None:
    """Tasks that run are sent SIGTERM, so that their runs leave outcomes."""
    server.place(*server.run("program.py:wait", "--seeds", "3", "--grace", "2"))
    until(lambda: server.notes() == 3, what="the runs have begun")

    server.place("stop", str(server.place.experiment))

    assert server.place.status()["counts"] == {"stopped": 3}
    assert server.calls("qsig")[0][:2] == ["-s", "SIGTERM"]


def test_a_stop_that_kills_leaves_no_process(openpbs: Server) -> None:
    """Also none of a run that ends on no signal: its keeper is in a session that PBS need not
    know.
    """
    openpbs.place(
        *openpbs.run(
            "--name",
            "deaf",
            "--",
            "sh",
            "-c",
            "trap '' TERM; while :; do sleep 0.1; done",
            "deaf-1",
        )
    )
    openpbs.place.until(
        lambda: openpbs.place.status()["runs"][0]["state"] == "running" and _alive("deaf-1"),
        what="it runs",
    )

    openpbs.place("stop", "--kill", str(openpbs.place.experiment))

    until(lambda: not _alive("deaf-1"), 60, "it is gone")
    assert openpbs.place.status()["counts"] == {"stopped": 1}


def _alive(word: str) -> bool:
    listed = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout
    return any(line.startswith("sh -c") and line.endswith(word) for line in listed.splitlines())


def test_a_job_that_was_taken_while_the_answer_was_lost_is_found_by_its_name(
    server: Server,
) -> None:
    """qsub fails with a timeout, and the job is there: it is not submitted again."""
    (server.state / "lost-answer").touch()
    server.go()

    server.place(*server.run("program.py:wait", "--wait", "--seeds", "3"))

    assert server.notes() == 3
    assert len(server.calls("qsub")) == 1


def test_a_time_limit_that_runs_out_without_a_warning_is_a_timeout(server: Server) -> None:
    """The node kills the task and all of it; the server's number says why."""
    server.configure('time = "0:00:04"', "ahead = 0", 'setup = ["exec sleep 60"]')
    server.place(*server.run("program.py:wait", "--wait"), status=1)

    (run,) = server.place.status()["runs"]
    assert run["outcome"]["kind"] == "timed_out"
    assert "time limit" in run["outcome"]["message"]


def test_runs_that_can_continue_are_requeued_before_the_limit(openpbs: Server) -> None:
    """The script tells itself in time, the runs end with their grace, and the task is started
    again: once for each time that ran out, however long a busy machine takes to start a run.
    """
    openpbs.configure('time = "0:00:59"', "ahead = 49")
    openpbs.place(*openpbs.run("program.py:wait", "--grace", "1", "--resumable"))
    until(lambda: openpbs.notes() >= 2, what="the run goes on in a second job")

    openpbs.go()
    openpbs.place("resume", str(openpbs.place.experiment), "--wait")

    assert openpbs.place.status()["counts"] == {"succeeded": 1}
    assert len(openpbs.calls("qsub")) == 1
    log = openpbs.place.experiment / "pbs" / "0001" / "0.log"
    requeues = log.read_text().count("the time limit is near: the task is requeued")
    assert len(openpbs.calls("qrerun")) == requeues >= 1
    began = openpbs.called_at("qsub")[0]
    for requeued in openpbs.called_at("qrerun"):
        assert requeued - began >= 10, "no sooner than its time is up"
        began = requeued


def test_where_users_may_not_requeue_a_resume_continues(openpbs: Server) -> None:
    """The task's log says so; nothing is lost."""
    (openpbs.state / "no-qrerun").touch()
    openpbs.configure('time = "0:00:50"', "ahead = 40")
    openpbs.place(*openpbs.run("program.py:wait", "--grace", "1", "--resumable"))
    log = openpbs.place.experiment / "pbs" / "0001" / "0.log"
    until(
        lambda: log.exists() and "it cannot be requeued (qrerun: Unauthorized" in log.read_text(),
        what="it is said",
    )
    openpbs.configure()
    openpbs.go()

    openpbs.place("resume", str(openpbs.place.experiment), "--wait")

    assert openpbs.place.status()["counts"] == {"succeeded": 1}


@pytest.mark.parametrize(
    ("file", "said", "meaning"),
    [
        ("away", "", "PBS cannot be reached"),
        ("refuse", "qsub: Unknown queue", "there is no such queue"),
        (
            "refuse",
            "qsub: Job violates queue and/or server resource limits",
            "a limit of the queue forbids it",
        ),
    ],
)
def test_what_cannot_be_submitted_is_refused_and_leaves_nothing(
    openpbs: Server, file: str, said: str, meaning: str
) -> None:
    """One message names the launcher, the host, the command, and what to do; no experiment is
    left.
    """
    (openpbs.state / file).write_text(said)

    done = openpbs.place(*openpbs.run("program.py:wait"), status=2)

    assert done.stderr.startswith("runslot: launcher cluster (PBS), host "), done.stderr
    assert meaning in done.stderr
    assert "(command: q" in done.stderr
    assert not list((openpbs.place.directory / "runs").glob("*/[0-9]*"))


def test_a_job_whose_variables_break_the_json_is_read_as_text(openpbs: Server) -> None:
    """As of versions that do not quote them."""
    (openpbs.state / "bad-json").touch()
    openpbs.place(*openpbs.run("program.py:wait", "--seeds", "2"))
    until(lambda: openpbs.notes() == 2, what="the runs have begun")
    assert openpbs.place.status()["counts"] == {"running": 2}


def test_scripts_alone_are_written_and_what_to_type_is_said(openpbs: Server) -> None:
    """Submitted by hand, they do the runs."""
    done = openpbs.place(*openpbs.run("program.py:wait", "--script-only", "--seeds", "2"))

    assert openpbs.calls("qsub") == []
    assert "&& qsub pbs/0001/script.sh" in done.stdout + done.stderr


def test_a_check_tries_a_job_that_is_held_and_deleted(server: Server) -> None:
    """Nothing is left of it."""
    server.configure('queue = "workq"')

    said = server.place("launchers", "check", "cluster").stdout

    assert "arrays of up to 4 tasks" in said
    assert "a job with these options: was taken, held" in said
    assert len(server.calls("qdel")) == 1
    assert "seen and writable" in said, "one task has shown what its node has"
    assert not list((server.place.directory / "runs").glob(".runslot-check*"))
    server.configure('queue = "nowhere"')
    assert (
        "there is no such queue" in server.place("launchers", "check", "cluster", status=1).stdout
    )


def test_a_check_asks_before_an_account_is_charged(server: Server) -> None:
    server.configure('account = "lab"')
    done = server.place("launchers", "check", "cluster")
    assert "no task is submitted: a minute is charged to the account lab" in done.stderr
    assert "on here" not in done.stdout
    paid = server.place("launchers", "check", "cluster", "--yes")
    assert "Python on" in paid.stdout
    assert len(server.calls("qsub")) == 3, "two that were held, and one that ran"


def test_short_runs_share_tasks(server: Server) -> None:
    """What one task had to do another has done; each run is done once."""
    server.go()
    server.place(*server.run("program.py:wait", "--seeds", "8", "--wait"))
    assert server.place.status()["counts"] == {"succeeded": 8}
    assert server.notes() == 8
    links = [*server.place.experiment.glob("pbs/*/takers/*")]
    assert len(links) == 8


@pytest.mark.parametrize(("failures", "is_kept"), [(2, True), (1, False)])
def test_a_run_whose_node_could_do_nothing_is_submitted_anew_and_no_try_is_spent(
    openpbs: Server, failures: int, is_kept: bool
) -> None:
    """PBS can be told to keep off no node, whose Python does not start at first; and many servers
    do not keep jobs that have ended.
    """
    if not is_kept:
        (openpbs.state / "forget").touch()
    python, trials = openpbs.place.directory / "python", openpbs.state / "trials"
    python.write_text(
        f"#!/bin/sh\necho >>{trials}\n[ $(wc -l <{trials}) -gt {failures} ] || exit 7\n"
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    sleep = openpbs.state.parent / "bin" / "sleep"  # the node's hold-off
    sleep.write_text(f'#!/bin/sh\necho "$1" >>{openpbs.state}/pauses\n')
    sleep.chmod(0o755)
    openpbs.configure(f'python = "{python}"')
    openpbs.go()

    openpbs.place(*openpbs.run("program.py:wait", "--wait"))

    status = openpbs.place.status()
    assert status["counts"] == {"succeeded": 1}
    assert status["runs"][0]["outcome"]["attempt"] == 1
    assert len(openpbs.calls("qsub")) == failures + 1
    assert (openpbs.state / "pauses").read_text() == failures * "10\n"
    words = openpbs.place("status", str(openpbs.place.experiment)).stdout
    assert f"cannot do its tasks: Python does not start ({python})" in words


def test_a_run_whose_nodes_can_do_nothing_is_lost_with_the_cause(openpbs: Server) -> None:
    """After it was submitted anew three times; a resume does it when they can."""
    sleep = openpbs.state.parent / "bin" / "sleep"
    sleep.write_text("#!/bin/sh\n")
    sleep.chmod(0o755)
    python = openpbs.place.directory / "python"
    openpbs.configure(f'python = "{python}"')

    openpbs.place(*openpbs.run("program.py:wait", "--wait"), status=1)

    (run,) = openpbs.place.status()["runs"]
    assert run["outcome"]["kind"] == "lost"
    assert f"Python does not start ({python})" in run["outcome"]["message"]
    assert len(openpbs.calls("qsub")) == 4
    python.symlink_to(sys.executable)
    openpbs.go()
    openpbs.place("resume", str(openpbs.place.experiment), "--wait")
    assert openpbs.place.status()["counts"] == {"succeeded": 1}


# ---- searches ------------------------------------------------------------------------------------

SEARCH = (
    "--search", "lr=uniform(0,1)", "--metric", "loss", "--mode", "min", "--sampler", "random", "-q",
)  # fmt: skip
TRIALS = """
import os, time
from pathlib import Path
from runslot import logger

def train(lr, seed=0):
    for epoch in range(1, 4):
        time.sleep(0.05)
        while Path("hold").exists():
            time.sleep(0.05)
        logger.record_dict({"epoch": epoch, "loss": (lr - 0.3) ** 2 + 0.01 * seed + 1 / epoch})
        logger.dump_tabular()
"""


def search(server: Server, *words: str) -> None:
    (server.place.directory / "program.py").write_text(TRIALS)
    server.place(*server.run("program.py:train", *SEARCH, *words))


def until_over(server: Server) -> dict[str, Any]:
    server.place.until(
        lambda: server.place.status()["search"]["is_over"], what="the search is over"
    )
    return server.place.status()


def jobs(server: Server) -> dict[str, Any]:
    with jobs_in(server.state) as known:
        return known


def events(server: Server, name: str) -> list[dict[str, Any]]:
    text = (server.place.experiment / "journal.jsonl").read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half-written
    return [event for line in lines if (event := json.loads(line))["event"] == name]


def test_pilots_of_a_search_ask_for_its_trials_and_test_the_winner(server: Server) -> None:
    """The launch ends at once; nothing has to stay alive where it was made."""
    server.configure("at_a_time = 2")
    search(server, "--trials", "5", "--test-seeds", "1")

    assert until_over(server)["counts"] == {"succeeded": 6}
    assert len({event["run"] for event in events(server, "ended")}) == 6
    assert len(events(server, "ended")) == 6
    (job,) = jobs(server).values()
    assert len(job["tasks"]) == 2


def test_a_pilot_whose_walltime_is_up_starts_again_where_users_may_do_so(openpbs: Server) -> None:
    """Where they may not, it ends, and a resume sends another one."""
    openpbs.configure("at_a_time = 1", 'time = "0:00:30"')
    (openpbs.state / "no-qrerun").touch()
    search(openpbs, "--trials", "3")
    until(lambda: openpbs.calls("qrerun"), what="it wants to start again")
    until(
        lambda: all(
            t["state"] == "X" for job in jobs(openpbs).values() for t in job["tasks"].values()
        ),
        what="it has ended",
    )
    assert openpbs.place.status()["counts"].get("succeeded") == 1

    (openpbs.state / "no-qrerun").unlink()
    openpbs.place("resume", str(openpbs.place.experiment))
    assert until_over(openpbs)["counts"] == {"succeeded": 3}
    assert len(openpbs.calls("qrerun")) == 2


def test_a_run_whose_pilot_was_killed_is_done_by_another(openpbs: Server) -> None:
    """PBS knows that the job is gone, and no trial is asked twice."""
    openpbs.configure("at_a_time = 2")
    (openpbs.place.directory / "hold").touch()
    search(openpbs, "--trials", "3")
    openpbs.place.until(
        lambda: openpbs.place.status()["counts"].get("running") == 2, what="both are at work"
    )
    with jobs_in(openpbs.state) as known:
        task = known["1"]["tasks"]["0"]
        os.kill(task["daemon"], signal.SIGKILL)
        tree = descendants(task["pid"])
        for number in (signal.SIGSTOP, signal.SIGKILL):  # else a keeper may say how its run ended
            for process in tree:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
        task["state"] = "X"
    openpbs.place.until(
        lambda: openpbs.place.status()["counts"].get("lost") == 1, what="its run is lost"
    )
    (openpbs.place.directory / "hold").unlink()
    openpbs.place("resume", str(openpbs.place.experiment), "--wait")

    assert until_over(openpbs)["counts"] == {"succeeded": 3}
    assert [event["trial"] for event in events(openpbs, "trial")] == [0, 1, 2]
    assert Counter(e["outcome"]["kind"] for e in events(openpbs, "ended"))["lost"] == 1


def descendants(process: int) -> list[int]:
    """Return a process and all below it, the lowest first."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except FileNotFoundError:
        return []
    return [*(below for child in text.split() for below in descendants(int(child))), process]
