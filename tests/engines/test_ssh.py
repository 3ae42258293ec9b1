"""A pool of two real ssh hosts keeps the contract of every launcher, and bears what only ssh hosts
can suffer.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from runslot.testing.contract import LauncherContract, Place, until

TESTBED = Path(__file__).parent.parent / "testbeds"
NODES = ("node1", "node2")

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROGRAM = r'''
import os, signal, subprocess, sys, time
from pathlib import Path

GO = Path("@GO@")  # seen on both hosts

def note(text):
    with open(os.path.join(os.environ["RUNSLOT_RUN"], "notes.txt"), "a") as file:
        file.write(text + "\n")

def count(variant):
    """Count to variant["steps"], a row a step, from where the attempt before left off."""
    count_on(variant["steps"], lambda: True)

def held(variant):
    """Count on until the test lets it end."""
    count_on(variant["steps"], GO.exists)

def count_on(least, may_end):
    from runslot import logger
    state = Path(os.environ["RUNSLOT_RUN"], "state.txt")
    first = step = int(state.read_text()) if state.exists() else 0
    note(f"attempt {os.environ['RUNSLOT_ATTEMPT']} on {os.uname().nodename} from {first}")
    while step < least or not may_end():
        logger.record_dict({"step": step})
        logger.dump_tabular()
        step += 1
        state.write_text(str(step))
        time.sleep(0.2)

def stubborn(variant):
    """Leave a process behind that hears nothing and belongs to nobody."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", ignore], start_new_session=True)
    note("left")
    time.sleep(600)

def odd(variant):
    """Write files whose names a shell or a copy program would take for something else."""
    for name in NAMES:
        path = os.path.join(os.fsencode(os.environ["RUNSLOT_RUN"]), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(name)

def exclusive(variant):
    """Say which cores were used, from when to when."""
    began = time.time()
    time.sleep(0.5)
    for core in sorted(os.sched_getaffinity(0)):
        note(f"{os.uname().nodename}-{core} {began} {time.time()}")

def environment(variant):
    note(json.dumps(dict(os.environ)))

def heavy(variant):
    """Leave a file that takes a while to come home."""
    note(f"{time.time()} {os.uname().nodename}")
    Path(os.environ["RUNSLOT_RUN"], "weights.bin").write_bytes(os.urandom(2_000_000))
    note(f"{time.time()} ended")

def trial(lr=0.1, seed=0, epochs=3, pause=0.05):
    """Continue from a snapshot, where there is one."""
    from runslot import logger
    place = Path(os.environ["RUNSLOT_RUN"])
    note(f"attempt {os.environ['RUNSLOT_ATTEMPT']} on {os.uname().nodename}")
    snapshot = place / "state.pkl"
    done = int(snapshot.read_text()) if snapshot.exists() else 0
    for epoch in range(done + 1, int(epochs) + 1):
        time.sleep(pause)
        logger.record_dict({"epoch": epoch, "loss": (lr - 0.3) ** 2 + 0.01 * seed + 1 / epoch})
        logger.dump_tabular()
        snapshot.write_text(str(epoch))

import json
NAMES = [b"a b", b"-dash", b"new\nline", b"q'uo\"te", b"$HOME", b"*", b"#hash", b"~", b"\xff\xfe", "ü".encode(), b";x",
         b"sub dir/-f", b"a:b"]
'''


def up() -> str:
    """Switch both hosts on, and return the ssh configuration that reaches them."""
    done = subprocess.run([TESTBED / "ssh-up"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("=")[2].strip()


def down(*arguments: str) -> None:
    """Switch hosts off as a power cut would."""
    subprocess.run([TESTBED / "ssh-down", *arguments], check=True)


@pytest.fixture(scope="module")
def testbed() -> Iterator[str]:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("two ssh hosts in namespaces want root on Linux")
    yield up()
    down()


@pytest.fixture
def ssh_config(testbed: str) -> str:
    """Return the configuration, with both hosts up again, whatever the test before did to them."""
    up()
    return testbed


class TestSSH(LauncherContract):
    @pytest.fixture
    def configured(self, ssh_config: str) -> Mapping[str, Any]:
        return {
            "kind": "ssh",
            "hosts": list(NODES),
            "config": ssh_config,
            "sync_every": 1,
            "lost_after": 8,
        }

    @contextmanager
    def lose_machine(self, place: Place) -> Iterator[None]:
        until(lambda: place.alive("RUNSLOT_TESTBED_NODE=node1"), what="a run is on node1")
        down("node1")
        yield
        up()


class Project:
    """A directory with a program and a pool of hosts, in which `runslot` is called."""

    def __init__(self, directory: Path, config: str) -> None:
        directory.mkdir()
        self.place = Place(directory, "pool", ())
        self.config = config
        self.name = f"t{os.getpid()}-{directory.parent.name}"
        """Of the experiment: in the path of its runs on the hosts."""
        self._go = directory / "go"
        (directory / "program.py").write_text(PROGRAM.replace("@GO@", str(self._go)))
        self.configure()

    def configure(self, **keys: Any) -> None:
        """Write the pool's table."""
        entry = {
            "kind": "ssh",
            "hosts": list(NODES),
            "config": self.config,
            "sync_every": 0.5,
            **keys,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
        (self.place.directory / "runslot.toml").write_text(
            "\n".join(["[launchers.pool]", *lines, ""])
        )

    def arguments(self, function: str, *options: str) -> list[str]:
        """Return the command line of a sweep."""
        return [
            "run",
            f"program.py:{function}",
            "--name",
            self.name,
            "--cpus-per-run",
            "1",
            *options,
            *self.place.options(),
        ]

    def run(self, function: str, *options: str, status: int = 0) -> str:
        """Run a sweep to its end; return all that was said."""
        done = self.place(*self.arguments(function, *options), status=status)
        return done.stdout + done.stderr

    def start(self, function: str, *options: str) -> subprocess.Popen[bytes]:
        """Start a sweep and go on. Runs start cold: their processes are known by the environment
        they start with.
        """
        return self.place.start(*self.arguments(function, "--start", "cold", *options))

    def go(self) -> None:
        """Let runs of `held` end."""
        self._go.touch()

    @property
    def said(self) -> str:
        """What the started sweep has said so far."""
        return (self.place.directory / "launch.log").read_text()

    def counts(self) -> dict[str, int]:
        """Return how many runs are in which state."""
        return dict(self.place.status()["counts"])

    def notes(self) -> dict[str, list[str]]:
        """Return the lines that each run has noted, as far as they are home, by its directory's
        name.
        """
        return {
            place.name: lines
            for place, lines in self.place.noted("notes.txt").items()
            if place.is_relative_to(self.place.experiment) and "attempt_" not in str(place)
        }

    def rows(self, run: str = "run_0") -> list[str]:
        """Return the rows of a run's progress.csv, as far as they are home."""
        return self._lines(run, "progress.csv")[1:]

    def counted(self, run: str = "run_0") -> int:
        """Return to what a run that has ended has counted: each row is home, and once."""
        (state,) = self._lines(run, "state.txt")
        assert self.rows(run) == [str(step) for step in range(int(state))]
        return int(state)

    def _lines(self, run: str, name: str) -> list[str]:
        noted = self.place.noted(name).items()
        return next((lines for place, lines in noted if place.name == run), [])

    def home(self, name: str) -> list[Path]:
        """Return the files of a name that have come home, perhaps before there is an experiment."""
        return [place / name for place in self.place.noted(name)]

    def rows_of(self, run: Mapping[str, Any]) -> list[str]:
        """Return the rows of one run of `runslot status`."""
        return (Path(run["directory"]) / "progress.csv").read_text().splitlines()[1:]

    def alive(self, node: str | None = None) -> list[int]:
        """Return the processes of this experiment's runs, on one host or on both."""
        return [
            pid
            for pid, variables, _ in processes()
            if f"/{self.name}-" in variables.get("RUNSLOT_RUN", "")
            and node in {None, variables.get("RUNSLOT_TESTBED_NODE")}
        ]

    def remote_ends(self) -> list[int]:
        """Return the remote ends of this experiment, on the hosts."""
        return [pid for pid, _, argv in self._serving() if "python" in argv[0]]

    def clients(self) -> list[int]:
        """Return the ssh clients of this experiment, here: those that hold the shared connections
        too.
        """
        found = [(pid, argv) for pid, _, argv in self._serving() if argv[0] == "ssh"]
        sockets = {word for _, argv in found for word in argv if word.startswith("ControlPath=")}
        masters = [
            pid
            for pid, _, argv in processes()
            if argv[:1] == ["ssh"] and sockets & set(argv) and "-M" in argv
        ]
        return [pid for pid, _ in found] + masters

    def _serving(self) -> list[tuple[int, dict[str, str], list[str]]]:
        wanted = re.compile(rf"serve.*/{re.escape(self.name)}-")
        return [each for each in processes() if wanted.search(" ".join(each[2]))]


def processes() -> Iterator[tuple[int, dict[str, str], list[str]]]:
    """Yield the processes of this machine, those of its namespaces too: pid, environment,
    arguments.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:  # ended meanwhile
            continue
        if argv:
            yield (
                int(entry.name),
                dict(each.split("=", 1) for each in variables if "=" in each),
                argv,
            )


@pytest.fixture
def project(tmp_path: Path, ssh_config: str) -> Iterator[Project]:
    made = Project(tmp_path / "project", ssh_config)
    yield made
    for process in made.place.started:
        process.kill()
        process.wait()
    for pid in [*made.alive(), *made.remote_ends()]:
        with suppress(ProcessLookupError):  # it ended just now
            os.kill(pid, signal.SIGKILL)


def kill(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


# ---- while it runs -------------------------------------------------------------------------------


def test_results_come_home_while_runs_go_on(project: Project) -> None:
    launch = project.start("held", "--grid", "steps=5")
    until(
        lambda: project.place.noted("progress.csv"),
        what="the first rows are home",
    )
    before = len(project.rows())
    until(lambda: len(project.rows()) > before, what="further rows are home")

    assert launch.poll() is None
    (run,) = project.place.status()["runs"]
    assert run["state"] == "running"
    assert "attempt 1 on node" in (project.place.experiment / "steps=5/run_0/notes.txt").read_text()
    assert project.place("logs", str(project.place.experiment)).stdout

    project.go()
    assert launch.wait(120) == 0
    assert project.counted() > before


def test_odd_file_names_come_home(project: Project) -> None:
    project.run("odd")

    run = project.place.experiment / "run_0"
    namespace: dict[str, Any] = {}
    exec(PROGRAM, namespace)
    for name in namespace["NAMES"]:
        assert Path(os.fsdecode(os.path.join(os.fsencode(run), name))).read_bytes() == name


def test_runs_get_the_hosts_environment_and_what_was_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "named")
    monkeypatch.setenv("OTHER", "not named")
    project.configure(environment=["MINE"])

    project.run("environment")

    seen = json.loads(project.notes()["run_0"][0])
    assert seen["MINE"] == "named"
    assert "OTHER" not in seen
    assert seen["HOME"] == str(Path.home())
    assert seen["RUNSLOT_TESTBED_NODE"] in NODES


def test_nothing_stays_on_the_hosts_of_runs_that_are_home(project: Project) -> None:
    project.run("count", "--grid", "steps=1,2", "--seeds", "2")

    for node in NODES:
        found = subprocess.run(
            ["ssh", "-F", project.config, node, f"ls -d ~/.runslot/{node}/{project.name}-*"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.stdout == ""
        assert "No such file" in found.stderr
    assert not project.remote_ends()
    assert not (project.place.experiment / ".incoming").exists()


def test_launchkits_mode_ssh_with_a_function_that_travels_by_value(project: Project) -> None:
    """Its runs lie beside the call's record, not below it; two calls that do not wait go on side by
    side.
    """
    version = subprocess.run(
        [
            "ssh",
            "-F",
            project.config,
            "node1",
            "python3 -c 'import sys; print(*sys.version_info[:2])'",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    if version.stdout.split() != [str(part) for part in sys.version_info[:2]]:
        pytest.skip("python3 of the hosts is another version than this one")
    script = """
from runslot import logger, run_experiment

def function(variant):
    logger.record_dict({"loss": variant["lr"]})
    logger.dump_tabular()
    logger.save_itr_params(0, {"weights": [variant["lr"]]})

if __name__ == "__main__":
    for lr in (1.0, 2.0):
        run_experiment(function, mode="ssh", ssh_host="pool", exp_prefix="kit", prepend_date_to_exp_prefix=False,
                       variant={"lr": [lr, lr + 10]}, sweep=True, base_log_dir="data", skip_wait=True)
"""
    (project.place.directory / "script.py").write_text(script)

    subprocess.run(
        [sys.executable, "script.py"], cwd=project.place.directory, check=True, capture_output=True
    )

    runs = [file.parent for file in (project.place.directory / "data/kit").glob("*/outcome.json")]
    assert sorted((run / "progress.csv").read_text().split()[1] for run in runs) == [
        "1.0",
        "11.0",
        "12.0",
        "2.0",
    ]
    for run in runs:
        assert json.loads((run / "outcome.json").read_text())["kind"] == "succeeded"
        assert (run / "params.pkl").exists()
        assert (run / "experiment.pkl").exists()


def test_digits_gives_the_same_results_as_on_this_machine(project: Project, tmp_path: Path) -> None:
    there = subprocess.run(
        ["ssh", "-F", project.config, "node1", f"{sys.executable} -c 'import sklearn'"],
        check=False,
        capture_output=True,
    )
    if there.returncode != 0:
        pytest.skip(f"{sys.executable} cannot be seen on the hosts, whose home is their own")
    project.configure(python=sys.executable)
    digits = Path(__file__).parent.parent.parent / "examples/digits.py"
    sweep = [
        "run",
        f"{digits}:train",
        "--grid",
        "lr=0.1,0.01",
        "--grid",
        "hidden=32,64",
        "--seeds",
        "1",
    ]

    project.place(*sweep, *project.place.options())
    project.place(*sweep, "--root", str(tmp_path / "here"))

    (here,) = (tmp_path / "here").glob("*/2*")
    files = sorted(file.relative_to(here) for file in here.rglob("progress.csv"))
    assert len(files) == 4
    for file in files:
        assert (project.place.experiment / file).read_text() == (here / file).read_text()
        assert (project.place.experiment / file).with_name("params.pkl").exists()
    tables = [
        project.place("results", str(each)).stdout.splitlines()[:6]
        for each in (project.place.experiment, here)
    ]
    assert tables[0] == tables[1]


def test_the_next_run_starts_while_the_files_of_the_last_come_home(
    project: Project, tmp_path: Path
) -> None:
    """Over a link that takes four seconds for what each run leaves."""
    project.configure(hosts=["node1"], config=str(slow_config(project, tmp_path, 500_000)))
    project.run("heavy", "--seeds", "3", "--cpus-per-run", "2")

    assert project.counts() == {"succeeded": 3}
    runs = project.place.status()["runs"]
    spans = sorted((run["outcome"]["started"], run["outcome"]["ended"]) for run in runs)
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(spans)]
    journal = (project.place.experiment / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in journal]
    order = [event["event"] for event in events if event["event"] in {"start", "ended"}]
    assert order[:2] == ["start", "start"], (order, gaps)
    for run in runs:
        assert (Path(run["directory"]) / "weights.bin").stat().st_size == 2_000_000


# ---- ways to a host ------------------------------------------------------------------------------


SLOW = """
import os, select, socket, sys, time
rate, most, go, came = float(sys.argv[3]), float(sys.argv[4]), sys.argv[5], 0
link = socket.create_connection((sys.argv[1], int(sys.argv[2])))
ways = {0: link.fileno(), link.fileno(): 1}
free = dict.fromkeys(ways, 0.0)
while True:
    now = time.monotonic()
    open_ways = [way for way in ways if way == 0 or came < most or os.path.exists(go)]
    ready, _, _ = select.select([way for way in open_ways if free[way] <= now], [], [], 0.01)
    for way in ready:
        data = os.read(way, 8192)
        if not data:
            sys.exit()
        came += len(data) if way else 0
        while data:
            data = data[os.write(ways[way], data) :] if way else data[link.send(data) :]
        free[way] = max(free[way], now) + 8192 / rate
"""


def slow_config(project: Project, directory: Path, rate: int, most: str = "inf") -> Path:
    """Return an ssh configuration in which node1 is reached at so many bytes a second, each way;
    beyond `most` from there they wait for the file `go`.
    """
    program = directory / "slow.py"
    program.write_text(SLOW)
    command = f"{sys.executable} {program} %h %p {rate} {most} {directory / 'go'}"
    return own_config(project, directory, f"  ProxyCommand {command}\n")


def test_beyond_a_slow_link_rows_come_home_before_what_is_large(
    project: Project, tmp_path: Path
) -> None:
    """The connection is full for seconds, and is not taken for dead."""
    project.configure(hosts=["node1"], config=str(slow_config(project, tmp_path, 250_000, "1e6")))
    launch = project.start("heavy", "--seeds", "1", "--cpus-per-run", "2")
    until(lambda: project.home("notes.txt"), what="the notes are home")
    assert not list(project.place.experiment.rglob("weights.bin"))
    assert project.counts() == {"running": 1}
    (tmp_path / "go").touch()
    assert launch.wait(120) == 0
    (weights,) = project.place.experiment.rglob("weights.bin")
    assert weights.stat().st_size == 2_000_000
    assert "trying again" not in project.said


def test_hosts_behind_a_jump_host_and_advice_that_can_be_pasted(
    project: Project, tmp_path: Path
) -> None:
    """The jump and the key are the launcher's own options, not the configuration's."""
    config = tmp_path / "config"
    shared = re.sub(r"(?m)^  IdentityFile .*\n", "", Path(project.config).read_text())
    address = re.search(r"Host node2\n  HostName (\S+)", shared)
    assert address
    config.write_text(f"Host inner\n  HostName {address[1]}\n  Port 22022\n{shared}")
    key = Path(project.config).with_name("client")
    jump = f"ssh -F {project.config} -W %h:%p node2"
    options = [f"ProxyCommand={jump}", f"IdentityFile={key}"]
    project.configure(hosts=["inner"], config=str(config), options=options)
    project.run("count", "--grid", "steps=2", "--seeds", "2")
    assert project.counts() == {"succeeded": 2}
    assert all("on node2" in lines[0] for lines in project.notes().values())

    options[1] = f"IdentityFile={tmp_path}/no_key"
    project.configure(hosts=["inner"], config=str(config), options=options)
    said = project.run("count", "--grid", "steps=2", status=2)
    advice = re.search(r"`(ssh .*? inner)` must work", said)
    assert advice, said
    pasted = subprocess.run(
        f"{advice[1]} true", shell=True, check=False, capture_output=True, text=True
    )
    assert "Permission denied" in pasted.stderr
    mended = advice[1].replace(f"{tmp_path}/no_key", str(key))
    subprocess.run(f"{mended} true", shell=True, check=True, stdin=subprocess.DEVNULL)


def test_another_user_with_a_key_and_no_agent(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its home is another one, and runs are that user's."""
    if shutil.which("useradd") is None or not Path("/usr/bin/python3").exists():
        pytest.skip("wants useradd, and a python3 that every user can execute")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    name = f"runslot-{os.getpid()}"
    subprocess.run(["useradd", "-m", "-p", "*", "-s", "/bin/bash", name], check=True)
    try:
        project.configure(hosts=[f"{name}@node1"], python="/usr/bin/python3")
        project.run("environment")
        seen = json.loads(project.notes()["run_0"][0])
        assert seen["HOME"] == f"/home/{name}"
        assert project.counts() == {"succeeded": 1}
    finally:
        subprocess.run(["userdel", "-r", name], check=True, capture_output=True)


def test_a_host_that_is_away_at_the_start_joins_when_it_answers(project: Project) -> None:
    """Its slots are used from then on, and both are said."""
    down("node1")
    launch = project.start("held", "--grid", "steps=5", "--seeds", "12")
    until(lambda: "its slots are used when it answers" in project.said, what="it is said")
    until(lambda: project.alive("node2"), what="the other one is at work")
    up()
    until(lambda: project.alive("node1"), what="it has joined, and is at work")
    project.go()

    assert launch.wait(120) == 0
    assert "host node1 has joined, with 2 slots" in project.said
    assert "is back" not in project.said
    assert project.counts() == {"succeeded": 12}
    used = {lines[0].split()[3] for lines in project.notes().values()}
    assert used == set(NODES)


def test_a_host_that_never_answers_keeps_no_launch_waiting(project: Project) -> None:
    """An address that swallows what is sent there: neither at the start nor at the end."""
    silent = "  ProxyCommand sleep 600\n"
    config = own_config(project, project.place.directory, silent)
    project.configure(config=str(config))
    began = time.monotonic()
    project.run("count", "--grid", "steps=1", "--seeds", "2")
    assert project.counts() == {"succeeded": 2}
    assert time.monotonic() - began < 60, "as long as a login may take"


# ---- kills ---------------------------------------------------------------------------------------


def test_runs_survive_the_connection(project: Project) -> None:
    launch = project.start("held", "--grid", "steps=5", "--seeds", "4")
    until(lambda: len(project.notes()) == 4, what="all four are under way")

    kill(project.clients())
    until_rows_come(project)
    project.go()

    assert launch.wait(120) == 0
    assert project.counts() == {"succeeded": 4}
    for run, lines in project.notes().items():
        assert len(lines) == 1, (run, lines)
        assert project.counted(run) > 5


def until_rows_come(project: Project) -> None:
    """Wait until each run that is under way has further rows at home."""
    before = {run: len(project.rows(run)) for run in project.notes()}
    until(
        lambda: all(len(project.rows(run)) > rows for run, rows in before.items()),
        what="further rows of all are home",
    )


def test_runs_survive_the_remote_end(project: Project) -> None:
    launch = project.start("held", "--grid", "steps=5", "--seeds", "6")
    until(lambda: len(project.notes()) == 4, what="four are under way")

    kill(project.remote_ends())
    until_rows_come(project)
    project.go()

    assert launch.wait(120) == 0
    assert project.counts() == {"succeeded": 6}
    assert all(len(lines) == 1 for lines in project.notes().values())


def test_what_ended_without_a_launcher_is_brought_home_by_a_resume(project: Project) -> None:
    launch = project.start("held", "--grid", "steps=5", "--seeds", "4")
    until(lambda: len(project.alive()) == 4, what="all four are under way")
    launch.kill()
    launch.wait()
    project.go()
    until(lambda: not project.alive(), what="all four have ended")
    assert project.counts() == {"running": 4}

    project.place("resume", str(project.place.experiment))

    assert project.counts() == {"succeeded": 4}
    assert all(
        len(lines) == 1 and project.counted(run) >= 5 for run, lines in project.notes().items()
    )


def test_stop_reaches_runs_of_a_launcher_that_was_killed(project: Project) -> None:
    launch = project.start("count", "--grid", "steps=3000", "--seeds", "4", "--grace", "2")
    until(lambda: len(project.alive()) == 4, what="all four are under way")
    launch.kill()
    launch.wait()

    project.place("stop", str(project.place.experiment))

    assert project.counts() == {"stopped": 4}
    assert not project.alive()


def test_a_stop_leaves_no_process_on_the_hosts(project: Project) -> None:
    launch = project.start("stubborn", "--seeds", "4", "--grace", "1")
    until(lambda: len(project.alive()) >= 8, what="each has left a process behind")

    project.place("stop", str(project.place.experiment))

    launch.wait(120)
    assert not project.alive()
    assert project.counts() == {"stopped": 4}


# ---- hosts come and go ---------------------------------------------------------------------------


def test_a_host_that_was_switched_off_and_on_again(project: Project) -> None:
    launch = project.start("held", "--grid", "steps=5", "--seeds", "4", "--retries", "1")
    until(
        lambda: len(project.alive()) == 4 and len(project.notes()) == 4,
        what="all four are under way",
    )

    down("node1")
    up()
    project.go()

    assert launch.wait(180) == 0
    assert project.counts() == {"succeeded": 4}
    attempts = sorted(run["outcome"]["attempt"] for run in project.place.status()["runs"])
    assert attempts == [1, 1, 2, 2]
    assert "was switched off" in (project.place.experiment / "journal.jsonl").read_text()


def test_a_host_that_was_given_up_is_cleared_when_it_is_back(project: Project) -> None:
    """Its runs go on there, out of reach; they are done again elsewhere, and what they did
    meanwhile is not taken.
    """
    project.configure(lost_after=6)
    launch = project.start(
        "held", "--grid", "steps=5", "--seeds", "2", "--retries", "1", "--cpus-per-run", "2"
    )
    until(
        lambda: len(project.alive("node1")) == 1 and len(project.notes()) == 2,
        what="both are under way",
    )

    down("--cut", "node1")
    until(
        lambda: "was given up" in project.said or "lost" in project.said, what="node1 is given up"
    )
    given_up = project.alive("node1")
    assert given_up
    up()
    # another attempt may have begun there
    until(lambda: not {*given_up} & {*project.alive("node1")}, what="node1 is cleared")
    project.go()

    assert launch.wait(180) == 0
    assert project.counts() == {"succeeded": 2}
    for run, lines in project.notes().items():
        assert len(lines) == 1, lines  # of one attempt only
        assert project.counted(run) >= 5
    outcomes = [run["outcome"] for run in project.place.status()["runs"]]
    assert sorted(outcome["attempt"] for outcome in outcomes) == [1, 2]
    assert "has not answered for 6 s" in (project.place.experiment / "journal.jsonl").read_text()


def test_a_resumable_run_continues_elsewhere_from_what_came_home(project: Project) -> None:
    project.configure(lost_after=6)
    options = ("--seeds", "2", "--retries", "1", "--resumable", "--cpus-per-run", "2")
    launch = project.start("held", "--grid", "steps=5", *options)
    until(
        lambda: len(project.alive("node1")) == 1 and len(project.notes()) == 2,
        what="both are under way",
    )
    until(
        lambda: all(len(project.rows(run)) > 10 for run in project.notes()),
        what="ten rows of each are home",
    )

    down("node1")
    project.go()

    assert launch.wait(240) == 0
    continued = [lines for lines in project.notes().values() if len(lines) == 2]
    assert len(continued) == 1
    assert continued[0][0] == "attempt 1 on node1 from 0"
    assert re.fullmatch(r"attempt 2 on node2 from \d+", continued[0][1])
    assert (
        int(continued[0][1].split()[-1]) >= 10
    )  # the state is written after the row, and may be one behind
    for run in project.notes():
        assert len(project.rows(run)) > 10


def test_a_resume_accounts_for_runs_of_a_host_that_is_gone(project: Project) -> None:
    project.configure(lost_after=6)
    launch = project.start("held", "--grid", "steps=5", "--seeds", "4")
    until(lambda: len(project.alive()) == 4, what="all four are under way")
    launch.kill()
    launch.wait()
    down("node1")
    project.go()

    project.place("resume", str(project.place.experiment), status=1)
    assert project.counts() == {"succeeded": 2, "lost": 2}

    project.place("resume", str(project.place.experiment))
    assert project.counts() == {"succeeded": 4}


def test_two_launchers_never_share_a_core_of_a_host(
    project: Project, tmp_path: Path, ssh_config: str
) -> None:
    other = Project(tmp_path / "other", ssh_config)
    other.name += "-other"
    launches = [each.start("exclusive", "--seeds", "8") for each in (project, other)]

    assert [launch.wait(180) for launch in launches] == [0, 0]
    spans: dict[str, list[tuple[float, float]]] = {}
    for lines in [*project.notes().values(), *other.notes().values()]:
        for line in lines:
            core, began, ended = line.split()
            spans.setdefault(core, []).append((float(began), float(ended)))
    assert sum(map(len, spans.values())) == 16
    for core, times in spans.items():
        for one, two in combinations(sorted(times), 2):
            assert one[1] <= two[0], core


# ---- hosts that cannot be used -------------------------------------------------------------------


@pytest.fixture
def node1(project: Project) -> Iterator[Path]:
    """Return node1's home, to which `~/here` is added for a test, as it is on node2."""
    homes = [Path(project.config).parent / node / "home" for node in NODES]
    for home in homes:
        (home / "here").mkdir()
        (home / "here/python3").symlink_to(shutil.which("python3") or "")
    yield homes[0]
    for home in homes:
        shutil.rmtree(home / "here")


def refused(project: Project, *options: str) -> str:
    """Run a sweep of which node1 can have no part; return what was said of that."""
    said = project.run("count", "--grid", "steps=1", "--seeds", "3", *options)
    assert project.counts() == {"succeeded": 3}
    assert all("on node2" in lines[0] for lines in project.notes().values())
    (line,) = [line for line in said.splitlines() if "host node1" in line or "host nosuch" in line]
    assert "ssh pool: " in line
    assert "command: " in line
    return line


def test_a_host_without_python(project: Project, node1: Path) -> None:
    (node1 / "here/python3").unlink()
    project.configure(python="~/here/python3")
    assert "install Python 3.10" in refused(project)


def test_a_host_whose_python_is_too_old(project: Project, node1: Path) -> None:
    old = node1 / "here/python3"
    old.unlink()
    pretend = "import sys; sys.version_info = (3, 8, 18)"
    old.write_text(f'#!/bin/sh\nprogram=$3; shift 3\nexec python3 -uc "{pretend}; $program" "$@"\n')
    old.chmod(0o755)
    project.configure(python="~/here/python3")
    assert "is Python 3.8" in refused(project)


def test_a_host_whose_disk_is_full(project: Project, node1: Path) -> None:
    (node1 / "here/root").symlink_to("../full")
    project.configure(root="~/here/root")
    assert "is full" in refused(project)


def test_a_disk_that_fills_up_before_a_run_starts(project: Project, node1: Path) -> None:
    """The host's other runs wait for room there, or go elsewhere; none is lost to it."""
    launch = project.start("held", "--grid", "steps=10", "--seeds", "8")
    until(lambda: project.alive("node1"), what="a run is alive")
    clone = next((node1 / ".runslot/node1").glob(f"{project.name}-*"))
    until((clone / "steps=10").is_dir, what="its directory is there")
    ssh = ["ssh", "-F", project.config, "node1"]
    there = f"~/.runslot/node1/{clone.name}/steps=10"
    # What is being written stays reachable; what starts next finds a disk without room.
    fill = (
        f"mount -t tmpfs -o size=8k,mode=755 full {there} && head -c 8k /dev/zero > {there}/filler;"
        " true"
    )
    subprocess.run([*ssh, fill], check=True)
    project.go()

    try:
        assert launch.wait(120) in {0, 1}
    finally:
        subprocess.run([*ssh, f"umount -l {there}"], check=True)
    runs = project.place.status()["runs"]
    assert sum(run["state"] == "succeeded" for run in runs) >= 6
    assert (
        "host node1, which cannot start runs"
        in (project.place.experiment / "journal.jsonl").read_text()
    )


def test_a_key_that_is_refused(project: Project, tmp_path: Path) -> None:
    key = tmp_path / "other_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    config = own_config(project, tmp_path, f"  IdentityFile {key}\n  IdentitiesOnly yes\n")
    project.configure(config=str(config))
    assert "refused the login" in refused(project)


def test_a_host_whose_key_has_changed(project: Project, tmp_path: Path) -> None:
    key = tmp_path / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    known = Path(project.config).with_name("known_hosts").read_text().splitlines()[0].split()[0]
    (tmp_path / "known").write_text(
        f"{known} {' '.join((tmp_path / 'host_key.pub').read_text().split()[:2])}\n"
    )
    config = own_config(project, tmp_path, f"  UserKnownHostsFile {tmp_path / 'known'}\n")
    project.configure(config=str(config))
    assert "its host key has changed" in refused(project)


def own_config(project: Project, directory: Path, node1: str) -> Path:
    """Return an ssh configuration in which node1 has further settings."""
    config = directory / "ssh config"
    shared = Path(project.config).read_text().replace("  IdentityFile", "  IdentityFile", 1)
    if "IdentityFile" in node1:  # several files would all be tried
        shared = re.sub(
            r"Host \*\n  IdentityFile (\S+)", r"Host node2\n  IdentityFile \1\nHost *", shared
        )
    config.write_text(f"Host node1\n{node1}{shared}")
    return config


def test_a_host_that_does_not_exist(project: Project) -> None:
    project.configure(hosts=["nosuch.invalid", "node2"])
    assert "there is no host of that name" in refused(project)


def test_a_host_that_is_switched_off(project: Project) -> None:
    down("node1")
    assert refused(project)


def test_no_host_can_be_used(project: Project) -> None:
    project.configure(python="~/nothing/python3")

    said = project.run("count", "--grid", "steps=1", status=2)

    assert said.count("did not start") == 2
    assert not (project.place.directory / "runs" / project.name).exists() or not list(
        (project.place.directory / "runs" / project.name).glob("2*")
    )


def test_check_tries_every_host_for_real(project: Project) -> None:
    assert "node2" in project.place("launchers", "check", "pool").stdout

    project.configure(python="~/nothing/python3")
    said = project.place("launchers", "check", "pool", status=1)
    assert "install Python 3.10" in said.stdout + said.stderr


# ---- searches ------------------------------------------------------------------------------------

SEARCH = ("--search", "lr=uniform(0,1)", "--metric", "loss", "--mode", "min", "--sampler", "random")


def trials_of(project: Project) -> list[dict[str, Any]]:
    """Return the trials as the search has them, and see that each was decided and told once."""
    lines = (project.place.experiment / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    numbers = [event["trial"] for event in events if event["event"] == "trial"]
    assert numbers == list(range(len(numbers)))
    listed = (project.place.experiment / "runs.jsonl").read_text().splitlines()
    assert len({json.loads(line)["id"] for line in listed}) == len(listed)
    verdicts = Counter((e["run"], e["rung"]) for e in events if e["event"] == "rung")
    assert set(verdicts.values()) <= {1}, "no run is judged twice at a rung"
    search = project.place.status()["search"]
    assert search["is_over"]
    assert [trial["trial"] for trial in search["trials"]] == numbers
    return list(search["trials"])


def test_a_search_asks_for_trials_as_slots_of_hosts_become_free(project: Project) -> None:
    """On both of them; the winner is tested at the end."""
    project.run("trial", *SEARCH, "--trials", "8", "--test-seeds", "2")

    assert project.counts() == {"succeeded": 10}
    trials = trials_of(project)
    assert len({trial["params"]["lr"] for trial in trials}) == 8
    used = [line.split()[3] for lines in project.notes().values() for line in lines]
    assert set(used) == set(NODES) or len(used) < 4


def test_a_search_on_hosts_asks_what_one_here_asks(project: Project, tmp_path: Path) -> None:
    """Also where its launcher is killed on the way, and resumed."""
    words = ("trial", *SEARCH, "--grid", "pause=0.3", "--trials", "10")
    launch = project.start(*words)
    until(lambda: len(project.home("notes.txt")) >= 3, what="three trials are home")
    launch.kill()
    launch.wait()
    project.place("resume", str(project.place.experiment))
    assert project.counts() == {"succeeded": 10}

    here = [*project.arguments(*words)]
    at = here.index("--on")
    root = str(tmp_path / "here")
    del here[at : at + 2]
    here[here.index("--root") + 1] = root
    project.place(*here)
    (experiment,) = (tmp_path / "here").glob("*/2*")
    status = json.loads(project.place("status", str(experiment), "--json").stdout)
    local = status["experiments"][0]["search"]["trials"]
    there = trials_of(project)
    assert [t["params"] for t in there] == [t["params"] for t in local]
    assert [t["value"] for t in there] == [t["value"] for t in local]


def test_a_search_on_hosts_prunes_by_rows_on_their_way_home(project: Project) -> None:
    pruned = ("--prune", "asha:first=1,eta=3,last=12")
    # An epoch takes longer than its row does to come home from a busy machine.
    space = ("--grid", "epochs=12", "--grid", "pause=1.2", "--trials", "9")
    project.run("trial", *SEARCH, *space, *pruned)

    counts = project.counts()
    assert counts["pruned"] >= 3
    assert counts["pruned"] + counts["succeeded"] == 9
    trials_of(project)
    for run in project.place.status()["runs"]:
        if run["state"] == "pruned":
            assert len(project.rows_of(run)) < 12
    assert not project.alive()


def test_paused_trials_go_on_wherever_a_slot_is_free(project: Project) -> None:
    """From the snapshot that came home."""
    pruned = ("--prune", "asha:first=1,eta=3,last=9", "--resumable")
    space = ("--grid", "epochs=9", "--grid", "pause=0.4", "--trials", "9")
    project.run("trial", *SEARCH, *space, *pruned)

    counts = project.counts()
    assert counts["paused"] >= 4
    assert counts["succeeded"] >= 1
    trials_of(project)
    # Which are promoted, and whether at once, depends on whose rows come home first.
    for run in project.place.status()["runs"]:
        rows = project.rows_of(run)
        epochs = [row.split(",")[0] for row in rows]
        assert epochs == [str(epoch) for epoch in range(1, len(rows) + 1)], "no epoch is done twice"
        assert run["state"] == "paused" or len(rows) == 9


def test_further_trials_into_a_search_on_hosts(project: Project) -> None:
    project.run("trial", *SEARCH, "--trials", "3")
    before = trials_of(project)
    into = ("--into", str(project.place.experiment))
    argv = project.arguments("trial", *SEARCH, "--trials", "6", *into)
    del argv[argv.index("--name") : argv.index("--name") + 2]
    del argv[argv.index("--root") : argv.index("--root") + 2]
    project.place(*argv)

    assert project.counts() == {"succeeded": 6}
    assert [t["params"] for t in trials_of(project)[:3]] == [t["params"] for t in before]


@pytest.mark.fault
def test_random_kills_of_a_search_on_hosts_lose_no_trial(project: Project) -> None:
    """Launcher, connections and remote ends, in any order: each trial is told once."""
    chance = random.Random(7)
    words = (*SEARCH, "--grid", "pause=0.3", "--retries", "9")
    project.configure(lost_after=6)
    kills, wanted = 0, int(os.environ.get("RUNSLOT_TEST_KILLS", "6"))
    trials = max(12, wanted)
    launch = project.start("trial", *words, "--trials", str(trials))
    until(lambda: project.alive() or launch.poll() is not None, what="a run is under way")
    while kills < wanted:
        time.sleep(chance.uniform(0.2, 2.0))
        what = chance.choice(["launcher", "clients", "ends"])
        if what == "launcher" and launch.poll() is None:
            launch.kill()
            launch.wait()
            kills += 1
        else:
            for pid in project.clients() if what == "clients" else project.remote_ends():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        if launch.poll() is not None:
            launch = project.place.start("resume", str(project.place.experiment))
    launch.wait(240)
    project.place("resume", str(project.place.experiment))

    assert project.counts() == {"succeeded": trials}
    assert len(trials_of(project)) == trials
    for lines in project.notes().values():
        assert len(lines) == 1, "of the attempt that counts, in a directory of its own"
    assert not project.alive()


# ---- at random -----------------------------------------------------------------------------------


@pytest.mark.fault
@pytest.mark.parametrize("seed", range(2))
def test_random_kills_lose_no_run_and_execute_none_twice_at_a_time(
    project: Project, seed: int
) -> None:
    """Connections, remote ends and launchers are killed, a host's network is cut and comes back, in
    any order.
    """
    project.configure(lost_after=6)
    chance = random.Random(seed)
    launch = project.start("count", "--grid", "steps=12", "--seeds", "16", "--retries", "9")
    until(lambda: project.alive() or launch.poll() is not None, what="runs are under way")
    for _ in range(10):
        what = chance.choice(["clients", "ends", "launcher", "cut", "off"])
        if what == "launcher" and launch.poll() is None:
            launch.kill()
            launch.wait()
        elif what == "cut":
            down("--cut", chance.choice(NODES))
        elif what == "off":
            down(chance.choice(NODES))
        else:
            for pid in project.clients() if what == "clients" else project.remote_ends():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(chance.uniform(0.2, 3.0))
        up()
        if launch.poll() is not None:
            launch = project.place.start("resume", str(project.place.experiment))
    launch.wait(240)
    while set(project.counts()) != {"succeeded"}:
        project.place("resume", str(project.place.experiment), status=None)

    assert project.counts() == {"succeeded": 16}
    for run, lines in project.notes().items():
        assert len(lines) == 1, (
            run,
            lines,
        )  # of the attempt that counts, in a directory of its own
        assert project.rows(run) == [str(step) for step in range(12)]
    assert not project.alive()
