"""A real Slurm of two nodes keeps the contract of every launcher, and what only Slurm does comes
out right.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runslot.testing.contract import LauncherContract, Place, until

TESTBED = Path(__file__).parent.parent / "testbeds"

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

SACCT_FORMAT = "--format=JobID,State,ExitCode,Start,End,NodeList,Reason"


def up() -> None:
    """Start Slurm, or what of it is down."""
    done = subprocess.run(
        [TESTBED / "slurm-up", "--accounting"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def down(*arguments: str) -> None:
    """End Slurm; or switch a node off, as a power cut would."""
    subprocess.run([TESTBED / "slurm-down", *arguments], check=True)


@pytest.fixture(scope="module")
def testbed() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own wants root")
    up()
    yield
    down()


@pytest.fixture
def slurm(testbed: None) -> Iterator[None]:
    """All nodes up again, whatever the test before did; afterwards no job is left."""
    up()
    yield
    subprocess.run(["scancel", "--user", "root"], check=True)


class TestOneRunATask(LauncherContract):
    entry = {"kind": "slurm"}  # noqa: RUF012

    @pytest.fixture
    def configured(self, slurm: None) -> Mapping[str, Any]:
        return self.entry

    @contextmanager
    def lose_machine(self, place: Place) -> Iterator[None]:
        until(lambda: place.alive("SLURMD_NODENAME=node1"), what="a run is on node1")
        down("node1")
        yield
        up()


class TestFourRunsATask(TestOneRunATask):
    entry = {"kind": "slurm", "runs_per_job": 4}  # noqa: RUF012


PROGRAM = '''
import json, os, signal, sys, time
from pathlib import Path

def here():
    return Path(os.environ["RUNSLOT_RUN"])

def note(text):
    with (here() / "notes.txt").open("a") as file:
        file.write(text + "\\n")

def first_waits(variant):
    """Go on until asked to end; the second attempt ends at once."""
    note("attempt " + os.environ["RUNSLOT_ATTEMPT"])
    if os.environ["RUNSLOT_ATTEMPT"] == "1":
        time.sleep(600)

def greedy(variant):
    """Hold more memory than the job has."""
    held = bytearray(600_000_000)
    time.sleep(60)

def gpu(variant):
    note(os.environ["CUDA_VISIBLE_DEVICES"])
    while len(list(here().parent.glob("run_*/notes.txt"))) < variant["beside"]:
        time.sleep(0.1)

def note_it(variant):
    note(os.environ["RUNSLOT_ATTEMPT"])

def wait(variant):
    """Go on until `go` lies beside the program."""
    note("began")
    while not Path("go").exists():
        time.sleep(0.05)

def go_on(variant):
    """The first run waits; the others end at once."""
    note(os.environ["RUNSLOT_ATTEMPT"])
    if variant["seed"] == 0 and os.environ["RUNSLOT_ATTEMPT"] == "1":
        while not Path("go").exists():
            time.sleep(0.05)

def search_it(variant):
    from runslot import logger
    wait({})
    logger.record_dict({"epoch": 1, "loss": variant["lr"]})
    logger.dump_tabular()
'''


class Sweep:
    """A directory with a program and a cluster of the name `cluster`, in which `runslot` is
    called.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "program.py").write_text(PROGRAM)
        self.place = Place(directory, "cluster", ())
        self.path: dict[str, str] = {}

    def configure(self, **entry: Any) -> None:
        lines = [
            f"{key} = {json.dumps(value)}" for key, value in {"kind": "slurm", **entry}.items()
        ]
        (self.place.directory / "runslot.toml").write_text(
            "\n".join(["[launchers.cluster]", *lines, ""])
        )

    def run(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        root = ["--root", str(self.place.directory / "runs")]
        return self.place("run", "--on", "cluster", *root, *arguments, status=status)

    def counts(self) -> dict[str, int]:
        return dict(self.place.status()["counts"])

    def wait_for(self, seconds: float = 120, **counts: int) -> None:
        """Wait until status, which nobody helps but Slurm, counts so many runs of each state."""
        try:
            self.place.until(lambda: self.counts() == counts, seconds, f"{counts}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.counts()}\n{self.evidence()}") from None

    def evidence(self) -> str:
        """Return what its files and Slurm say, for a failure's report."""
        files = [
            *self.place.experiment.glob("slurm/*/*.log"),
            *(Path(file) for file, _ in self.place.changes()),
        ]
        jobs = ",".join(self.jobs())
        slurm = [
            ["squeue", "--all", f"--jobs={jobs}"],
            ["scontrol", "show", "job", jobs.partition(",")[0]],
            ["sacct", "--duplicates", f"--jobs={jobs}", "--parsable2", SACCT_FORMAT],
        ]
        answers = [
            subprocess.run(argv, capture_output=True, text=True, check=False) for argv in slurm
        ]
        return "\n".join(
            [
                *(f"{file}:\n{file.read_text()}" for file in files),
                *(f"{' '.join(done.args)}:\n{done.stdout}{done.stderr}" for done in answers),
            ]
        )

    def notes(self) -> dict[str, list[str]]:
        experiment = self.place.experiment
        noted = self.place.noted("notes.txt")
        return {str(run.relative_to(experiment)): lines for run, lines in noted.items()}

    def jobs(self) -> list[str]:
        """Return the ids of the experiment's jobs."""
        files = sorted(self.place.experiment.glob("slurm/*/job.json"))
        return [json.loads(file.read_text())["job"] for file in files]

    def kill_task(self, run: Path) -> None:
        """Kill the task that is at a run, and what it has started, as the kernel would."""
        keeper = json.loads((run / "attempt.json").read_text())["pid"]
        task = int(Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[1])
        for pid in (task, keeper):
            os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        (self.place.directory / "go").touch()
        for process in self.place.started:
            process.kill()
            process.wait()


def slurm_says(*argv: str) -> str:
    """Call a command of Slurm as its users do."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def sweep(slurm: None, tmp_path: Path) -> Iterator[Sweep]:
    made = Sweep(tmp_path / "project")
    made.configure()
    yield made
    made.end()


def test_runs_are_left_to_slurm_and_status_tells_how_they_stand(sweep: Sweep) -> None:
    """Nobody waits: status counts what waits, what runs, what has ended; a resume finds nothing to
    do.
    """
    sweep.configure(at_a_time=1)
    said = sweep.run("program.py:wait", "--seeds", "3").stdout

    assert "3 runs go on without this terminal" in said
    until(sweep.notes, what="a run has begun")
    sweep.wait_for(running=1, queued=2)
    assert "nothing to do" not in sweep.place("resume", str(sweep.place.experiment)).stdout
    assert len(sweep.jobs()) == 1, "a resume submits nothing that Slurm has"
    (sweep.place.directory / "go").touch()
    sweep.wait_for(succeeded=3)
    assert "nothing to do" in sweep.place("resume", str(sweep.place.experiment)).stdout


def test_an_array_is_split_where_the_cluster_allows_no_larger_one(sweep: Sweep) -> None:
    """The testbed's arrays have 151 tasks at most."""
    sweep.run("--name", "many", "--seeds", "160", "--", "true")
    assert len(sweep.jobs()) == 2
    sweep.place("stop", str(sweep.place.experiment), status=None)


@pytest.mark.parametrize("resumable", [False, True])
def test_a_preempted_run_starts_again(sweep: Sweep, resumable: bool) -> None:
    """Slurm takes the node for an urgent job and requeues ours: it continues in place, or its
    directory is clean.
    """
    sweep.configure(options=["--nodelist=node1"], cpus=16)
    sweep.run("program.py:first_waits", *(["--resumable"] if resumable else []))
    until(sweep.notes, what="the run has begun")

    urgent = ("--partition=urgent", "--nodelist=node1", "--cpus-per-task=16", "--output=/dev/null")
    slurm_says("sbatch", *urgent, "--wrap=sleep 3")

    sweep.wait_for(succeeded=1)
    (run,) = sweep.place.status()["runs"]
    assert run["outcome"]["attempt"] == 2
    kept = Path(run["directory"]) / "attempt_1"
    if resumable:
        assert sweep.notes() == {"run_0": ["attempt 1", "attempt 2"]}
        assert not kept.exists()
    else:
        assert (Path(run["directory"]) / "notes.txt").read_text() == "attempt 2\n"
        assert (kept / "notes.txt").read_text() == "attempt 1\n"


def test_a_run_that_runs_out_of_time_continues_where_it_can_resume_and_else_has_timed_out(
    sweep: Sweep, tmp_path: Path
) -> None:
    """Slurm tells of the time limit ahead; the run is asked to end, and its task requeues itself.
    What cannot resume would run out of time again: it is not requeued. So it is where Slurm tells
    while the task's shell is at work, where a run has not begun, and where nobody heard it but the
    limit itself. The shortest limit is a minute, which Slurm looks at twice a minute, and tells of
    up to half a minute before it should; all wait for it together.
    """
    first = '[ -n "${SLURM_RESTART_COUNT-}" ] || '
    busy, deaf = [first + "sleep 50"], ["trap '' USR1", first + "sleep 45"]
    cases: dict[str, tuple[list[str], list[str]]] = {
        "resumable": (["--resumable"], []),
        "other": ([], []),
        "unbegun": ([], busy),
        "deaf": ([], deaf),
        "resumable deaf": (["--resumable"], deaf),
    }
    sweeps = {name: Sweep(tmp_path / name) for name in cases}
    for name, (options, setup) in cases.items():
        sweeps[name].configure(time="00:01:00", setup=setup)
        sweeps[name].run("program.py:first_waits", "--grace", "3", *options)

    for name in ("other", "unbegun", "deaf"):
        sweeps[name].wait_for(240, timed_out=1)
        (run,) = sweeps[name].place.status()["runs"]
        # Said by the task, or by Slurm, which knows it while the task is still ending.
        assert "time limit ran out" in run["outcome"]["message"], name
    assert not sweeps["unbegun"].notes()
    for name in ("resumable", "resumable deaf"):
        sweeps[name].wait_for(succeeded=1)
        assert sweeps[name].notes() == {"run_0": ["attempt 1", "attempt 2"]}, name
        assert len(sweeps[name].jobs()) == 1


def test_jobs_that_are_cancelled_from_outside_are_stopped_runs(sweep: Sweep) -> None:
    """What scancel ends, waiting or running, is stopped, and a resume does it again."""
    sweep.configure(at_a_time=1)
    sweep.run("program.py:wait", "--seeds", "2")
    until(sweep.notes, what="a run has begun")

    slurm_says("scancel", *sweep.jobs())

    sweep.wait_for(stopped=2)
    (sweep.place.directory / "go").touch()
    sweep.place("resume", str(sweep.place.experiment), "--wait")
    assert sweep.counts() == {"succeeded": 2}


def test_a_requeue_by_hand_and_a_drained_node_lose_nothing(sweep: Sweep) -> None:
    """The node is drained and the job requeued, as an administrator does: the run starts again on
    the other node.
    """
    sweep.run("program.py:first_waits")
    until(sweep.notes, what="the run has begun")
    (run,) = sweep.place.status()["runs"]
    node = slurm_says("squeue", "--noheader", "--format=%N", f"--jobs={sweep.jobs()[0]}").strip()
    slurm_says("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    try:
        slurm_says("scontrol", "requeue", f"{sweep.jobs()[0]}_0")
        sweep.wait_for(succeeded=1)
    finally:
        slurm_says("scontrol", "update", f"nodename={node}", "state=resume")
    assert (Path(run["directory"]) / "attempt_1" / "notes.txt").exists()


@pytest.mark.parametrize("lacks", ["directory", "python"])
def test_a_node_that_lacks_something_eats_no_runs_and_is_named(sweep: Sweep, lacks: str) -> None:
    """Its tasks end at once, so that it is always the one that is free: others do the sweep."""
    python = sweep.place.directory / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    sweep.configure(python=str(python), cpus=8, pack=False)  # else one task may do all runs
    down("--hide", str(python if lacks == "python" else sweep.place.directory), "node1")
    sweep.run("program.py:note_it", "--grid", "x=1,2,3,4,5,6,7,8")
    sweep.wait_for(succeeded=8)
    words = sweep.place("status", str(sweep.place.experiment)).stdout
    assert "node node1 is kept off: " in words
    assert ("Python does not start" if lacks == "python" else "it does not see") in words
    assert all(notes == ["1"] for notes in sweep.notes().values())
    down("node1")


def test_check_submits_one_task_and_tells_what_its_node_has(sweep: Sweep) -> None:
    """And leaves nothing of it; a node without the directory cannot answer, and that is said."""
    root = sweep.place.directory / "runs"
    python = sweep.place.directory / "python"
    python.symlink_to(sys.executable)
    os.environ["RUNSLOT_ROOT"] = str(root)
    try:
        sweep.configure(python=str(python), options=["--nodelist=node1"])
        words = sweep.place("launchers", "check", "cluster").stdout
        assert "ok   cluster: directory on node1: seen and writable" in words
        assert f"ok   cluster: Python on node1: {python}: 3." in words
        assert list(root.iterdir()) == []
        down("--hide", str(sweep.place.directory), "node1")
        words = sweep.place("launchers", "check", "cluster", status=1).stdout
        assert "FAIL cluster: directory on node1: its task ended as FAILED" in words
        assert "on node1" not in sweep.place("launchers", "check", "cluster", "--no-submit").stdout
    finally:
        del os.environ["RUNSLOT_ROOT"]
        down("node1")
    assert list(root.iterdir()) == []


def test_status_says_why_runs_wait_and_asks_once(sweep: Sweep) -> None:
    """One that is held is a row; the others are a line."""
    sweep.configure(cpus=16)
    sweep.run("program.py:wait", "--seeds", "4")
    (job,) = sweep.jobs()
    slurm_says("scontrol", "uhold", f"{job}_3")  # which asks for all jobs itself
    before = _requests("REQUEST_JOB")
    words = sweep.place("status", str(sweep.place.experiment)).stdout
    assert f"it is held (JobHeldUser): scontrol release {job}_3" in words
    assert "1 waits: it is held (JobHeldUser)" in words
    assert _requests("REQUEST_JOB") <= before + 1


def _requests(start: str) -> int:
    """Return how many requests of some kinds the controller has had, as any user may ask."""
    argv = ["runuser", "-u", "nobody", "--", "sdiag"]
    lines = [line.split() for line in slurm_says(*argv).splitlines()]
    return sum(
        int(line[3].partition(":")[2])
        for line in lines
        if line and line[0].startswith(start) and line[0].endswith("INFO")
    )


def test_out_of_memory_is_told_apart(sweep: Sweep) -> None:
    """The kernel kills the run for its job's memory, and the outcome says so."""
    sweep.configure(mem="200M")
    sweep.run("program.py:greedy")

    sweep.wait_for(failed=1)
    (run,) = sweep.place.status()["runs"]
    assert "memory" in run["outcome"]["message"]


def test_stop_without_a_launcher_ends_running_and_waiting_runs(sweep: Sweep) -> None:
    """Nothing of the experiment is left in the queue, and what had not begun never does."""
    sweep.configure(at_a_time=1)
    sweep.run("program.py:wait", "--seeds", "4", "--grace", "2")
    until(sweep.notes, what="a run has begun")

    sweep.place("stop", str(sweep.place.experiment))

    assert sweep.counts() == {"stopped": 4}
    assert slurm_says("squeue", "--noheader", "--states=PD,R", f"--jobs={sweep.jobs()[0]}") == ""
    assert len(sweep.notes()) == 1


def test_one_waiting_run_is_stopped_and_its_task_does_the_others(sweep: Sweep) -> None:
    """Of a task that waits one run is stopped: it never begins, the others do."""
    sweep.configure(at_a_time=1, runs_per_job=2)
    sweep.run("program.py:wait", "--seeds", "4", "--grace", "2")
    until(lambda: len(sweep.notes()) == 2, what="the first task's runs have begun")

    sweep.place("stop", str(sweep.place.experiment), sweep.place.status()["runs"][3]["run"])
    (sweep.place.directory / "go").touch()

    sweep.wait_for(succeeded=3, stopped=1)
    assert "run_3" not in sweep.notes()


@pytest.mark.parametrize("submitted", [True, False])
def test_a_launcher_that_is_killed_around_sbatch_submits_once(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, submitted: bool
) -> None:
    """Killed before Slurm's answer was noted, with the job taken or not: a resume has every run
    done once.
    """
    real = slurm_says("sh", "-c", "command -v sbatch").strip()
    script = f"""#!/bin/bash
case "$*" in *--test-only*) exec {real} "$@";; esac
{f'{real} "$@" >/dev/null' if submitted else ":"}
kill -9 $PPID
"""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(script)
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    (sweep.place.directory / "go").touch()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        sweep.run("program.py:wait", "--seeds", "2", status=-9)

    sweep.place("resume", str(sweep.place.experiment), "--wait")

    assert sweep.counts() == {"succeeded": 2}
    assert sweep.notes() == {"run_0": ["began"], "run_1": ["began"]}


@pytest.mark.parametrize(
    ("key", "value"), [("partition", "nosuch"), ("gres", "fpga:1"), ("constraint", "nosuch")]
)
def test_what_slurm_will_never_take_is_refused_before_anything_starts(
    sweep: Sweep, key: str, value: str
) -> None:
    """One message names the launcher, the host and the command; no experiment is left behind."""
    sweep.configure(**{key: value})

    done = sweep.run("--name", "refused", "--", "true", status=2)

    assert done.stderr.startswith("runslot: launcher cluster (Slurm), host ")
    assert "sbatch --test-only" in done.stderr
    assert not list((sweep.place.directory / "runs").glob("*/[0-9]*"))
    checked = sweep.place("launchers", "check", "cluster", status=None)
    assert checked.returncode != 0
    assert "a job with these options" in checked.stdout or f"partition {value}" in checked.stdout


def test_gpus_of_an_allocation_are_divided_among_its_runs(sweep: Sweep) -> None:
    """Two runs of a task have a GPU each, and not the same."""
    sweep.configure(runs_per_job=2)
    sweep.run("program.py:gpu", "--grid", "beside=2", "--seeds", "2", "--gpus-per-run", "1")

    sweep.wait_for(succeeded=2)
    seen = [notes[0] for notes in sweep.notes().values()]
    assert len(set(seen)) == 2, seen


def test_scripts_are_written_and_submitted_by_hand(sweep: Sweep) -> None:
    """--script-only submits nothing and says what to type; from then on all is as if runslot had
    submitted.
    """
    (sweep.place.directory / "go").touch()
    said = sweep.run("program.py:wait", "--seeds", "2", "--script-only").stdout
    typed = next(line.partition(": ")[2] for line in said.splitlines() if "to submit" in line)
    assert sweep.counts() == {"queued": 2}
    assert sweep.jobs() == []

    subprocess.run(typed, shell=True, check=True, capture_output=True)

    sweep.wait_for(succeeded=2)


def test_short_runs_share_tasks_and_a_long_one_holds_up_none(sweep: Sweep) -> None:
    """Two tasks at a time: one is at the long run while the other does all the rest; tasks that
    then wait for nothing are cancelled.
    """
    sweep.configure(at_a_time=2)
    sweep.run("program.py:go_on", "--seeds", "30")
    sweep.wait_for(succeeded=29, running=1)
    (sweep.place.directory / "go").touch()
    sweep.wait_for(succeeded=30)
    assert sweep.notes() == {f"run_{seed}": ["1"] for seed in range(30)}
    links = list((sweep.place.experiment / "slurm" / "0001" / "takers").iterdir())
    assert len(links) == 30
    assert len({os.readlink(link) for link in links}) < 15
    (job,) = sweep.jobs()
    until(
        lambda: slurm_says("squeue", "--noheader", "--states=PD,R,CG", f"--jobs={job}") == "",
        what="no task is left",
    )


def test_where_packing_is_not_wanted_each_run_has_its_task(sweep: Sweep) -> None:
    sweep.configure(at_a_time=2, pack=False)
    sweep.run("program.py:note_it", "--seeds", "4")
    sweep.wait_for(succeeded=4)
    logs = sorted(file.name for file in (sweep.place.experiment / "slurm" / "0001").glob("*.log"))
    assert logs == ["0.log", "1.log", "2.log", "3.log"]


def test_what_a_killed_task_had_not_begun_the_others_do(sweep: Sweep) -> None:
    """Its own run alone is lost, and nothing counts as a try; a resume has the rest."""
    sweep.configure(at_a_time=1)
    sweep.run("program.py:go_on", "--seeds", "12")
    until(sweep.notes, what="the first run has begun")
    sweep.kill_task(sweep.place.experiment / "run_0")
    sweep.wait_for(succeeded=11, lost=1)
    assert sweep.notes() == {f"run_{seed}": ["1"] for seed in range(12)}
    sweep.place("resume", str(sweep.place.experiment), "--wait")
    assert sweep.counts() == {"succeeded": 12}


def test_runs_whose_tasks_were_cancelled_are_stopped_and_not_taken(sweep: Sweep) -> None:
    """Slurm keeps nothing of a task that was cancelled as it waited: it is missing in its answer,
    and the others of its array are there.
    """
    sweep.configure(at_a_time=1)
    sweep.run("program.py:go_on", "--seeds", "6")
    until(sweep.notes, what="the first run has begun")
    (job,) = sweep.jobs()
    slurm_says("scancel", f"{job}_[2-3]")
    sweep.wait_for(running=1, queued=3, stopped=2)
    (sweep.place.directory / "go").touch()
    sweep.wait_for(succeeded=4, stopped=2)
    waiting = ("squeue", "--noheader", "--states=PD,R,CG", f"--jobs={job}")
    until(lambda: slurm_says(*waiting) == "", what="no task is left")
    assert sorted(sweep.notes()) == ["run_0", "run_1", "run_4", "run_5"]


def test_runs_that_are_expected_to_be_short_come_in_fewer_tasks_and_none_is_lost(
    sweep: Sweep,
) -> None:
    """The task that is killed had two runs: the second, which had not begun, is done as its first
    attempt.
    """
    sweep.configure(at_a_time=1)
    sweep.run("program.py:go_on", "--seeds", "70", "--expect", "1s")
    until(sweep.notes, what="the first run has begun")
    text = (sweep.place.experiment / "slurm" / "0001" / "tasks.json").read_text()
    assert len(json.loads(text)["tasks"]) == 35
    sweep.kill_task(sweep.place.experiment / "run_0")
    sweep.wait_for(succeeded=69, lost=1)
    assert all(notes == ["1"] for notes in sweep.notes().values())
    assert len(sweep.notes()) == 70


@pytest.fixture
def login(tmp_path: Path) -> Path:
    """Return an ssh configuration whose host `login` is this machine; its server is started for
    each connection.
    """
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
    if sshd is None or shutil.which("rsync") is None:
        pytest.skip("an ssh server and rsync are needed: apt install openssh-server rsync")
    Path("/run/sshd").mkdir(exist_ok=True)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for name in ("host", "client"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True
        )
    (keys / "authorized").write_text((keys / "client.pub").read_text())
    (keys / "known").write_text(f"login {(keys / 'host.pub').read_text()}")
    (keys / "sshd_config").write_text(
        f"HostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized\nStrictModes"
        " no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication"
        " no\nUsePAM no\n"
    )
    (keys / "config").write_text(
        f"Host login\n  HostName login\n  User root\n  IdentityFile {keys}/client\n  IdentitiesOnly"
        f" yes\n  UserKnownHostsFile {keys}/known\n  ProxyCommand {sshd} -i -f {keys}/sshd_config\n"
    )
    return keys / "config"


class TestFromALaptop:
    """The commands of Slurm are called on a login host; code and runs go there, results come
    home.
    """

    @pytest.fixture
    def remote(self, sweep: Sweep, login: Path, tmp_path: Path) -> Sweep:
        sweep.configure(
            login="login", config=str(login), root=str(tmp_path / "there"), python=sys.executable
        )
        return sweep

    def test_results_come_home(self, remote: Sweep, tmp_path: Path) -> None:
        """Runs execute in the clone, and what they wrote is here; nothing was executed in this
        directory.
        """
        (remote.place.directory / "go").touch()  # goes there with the code
        remote.run("program.py:wait", "--seeds", "3", "--wait")

        assert remote.counts() == {"succeeded": 3}
        assert remote.notes() == {f"run_{seed}": ["began"] for seed in range(3)}
        (clone,) = (tmp_path / "there").iterdir()
        executed = json.loads((clone / "run_0" / "run.json").read_text())
        assert executed["cwd"].startswith(str(clone)), "the code is the copy that went there"
        assert (clone / "run_0" / "notes.txt").exists()

    def test_left_to_slurm_and_stopped_from_here(self, remote: Sweep, tmp_path: Path) -> None:
        """The laptop goes away, asks how the runs stand, and stops them."""
        remote.configure(
            login="login", config=str(tmp_path / "keys" / "config"), root=str(tmp_path / "there"), at_a_time=1,
            python=sys.executable,
        )  # fmt: skip
        remote.run("program.py:wait", "--seeds", "3", "--grace", "2")
        remote.wait_for(running=1, queued=2)

        remote.place("stop", str(remote.place.experiment))

        assert remote.counts() == {"stopped": 3}
        assert (
            slurm_says("squeue", "--noheader", "--states=PD,R", f"--jobs={remote.jobs()[0]}") == ""
        )

    def test_a_login_that_is_refused_is_said_before_anything_starts(
        self, remote: Sweep, tmp_path: Path
    ) -> None:
        """An expired key, here one that the host does not know."""
        (tmp_path / "keys" / "authorized").write_text("")

        done = remote.run("program.py:wait", status=2)

        assert "login" in done.stderr
        assert "refused the login" in done.stderr
        assert not list((remote.place.directory / "runs").glob("*/[0-9]*"))


DIGITS = Path(__file__).parents[2] / "examples" / "digits.py"


def test_digits_has_the_same_table_here_and_in_slurm_with_one_and_four_runs_a_task(
    sweep: Sweep,
) -> None:
    """What comes out does not depend on where it ran."""
    grid = [
        f"{DIGITS}:train",
        "--grid",
        "lr=0.1,0.01",
        "--grid",
        "hidden=16",
        "--seeds",
        "2",
        "--quiet",
    ]
    tables = []
    for place in ("local", 1, 4):
        sweep.configure(runs_per_job=1 if place == "local" else place)
        root = ["--root", str(sweep.place.directory / f"runs-{place}")]
        where = [] if place == "local" else ["--on", "cluster", "--wait"]
        directory = sweep.place("run", *grid, *root, *where).stdout.splitlines()[-1]
        assert {run.parent.name for run in Path(directory).rglob("outcome.json")} == {
            "run_0",
            "run_1",
        }
        table = sweep.place("results", directory).stdout.replace(directory, "")
        assert "lr" in table
        tables.append(table)
    assert tables[0] == tables[1] == tables[2]


SEARCH = ("--search", "lr=uniform(0,1)", "--sampler", "random", "--metric", "loss", "--mode", "min")


def test_a_search_on_two_nodes_takes_up_what_a_cancelled_pilot_had(sweep: Sweep) -> None:
    """Nothing of runslot's is alive on the login node; one pilot is cancelled, one node fails."""
    sweep.configure(at_a_time=4, cpus=8)
    sweep.run("program.py:search_it", *SEARCH, "--trials", "8", "--grace", "2")
    until(lambda: len(sweep.notes()) >= 4, what="all pilots are busy")
    slurm_says("scancel", f"{sweep.jobs()[0]}_1")
    down("node2")
    try:
        (sweep.place.directory / "go").touch()
        sweep.place.until(
            lambda: sweep.place.status()["search"]["is_over"], what="the search is over"
        )
    finally:
        up()
    assert sweep.counts() == {"succeeded": 8}
    trials = sweep.place.status()["search"]["trials"]
    assert len({trial["params"]["lr"] for trial in trials}) == 8
    assert max(run["attempts"] for run in sweep.place.status()["runs"]) > 1
