"""Runs in containers keep the contract of every launcher, with a real Docker daemon and with
podman.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runslot.execute.container import name_of
from runslot.experiment.rundir import RunDir
from runslot.testing.contract import LauncherContract, Place, until
from runslot.transport.zipapp import one_file

TESTBED = Path(__file__).parent.parent / "testbeds"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
IMAGE = "runslot-test"
ENGINES = ("docker", "podman")

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROGRAM = r"""
import os, signal, sys, time
from pathlib import Path

HERE = Path(os.environ["RUNSLOT_RUN"])

def note(text):
    with open(HERE / "notes.txt", "a") as file:
        file.write(text + "\n")

def polite():
    signal.signal(signal.SIGTERM, lambda *_: (note("asked to stop"), sys.exit(0)))
    signal.signal(signal.SIGUSR1, lambda *_: note("heard USR1"))

def main(how):
    if how == "polite":
        polite()
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "eats":
        held = []
        while True:
            held.append(bytearray(b"x" * (4 << 20)))
    if how == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "once" and os.environ["RUNSLOT_ATTEMPT"] == "1":
        note("ready")
        sys.exit(3)
    if how == "forks":
        if os.fork() == 0:
            os.setsid()
    note("ready")
    while how == "gated" and not Path("go").exists():
        time.sleep(0.1)
    until = float(sys.argv[3]) if len(sys.argv) > 3 else 300
    time.sleep(until)

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.fixture(scope="session")
def testbed() -> dict[str, str]:
    """Start the engines and return the variables by which they are found."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("the engines are set up by root on Debian")
    done = subprocess.run([TESTBED / "containers-up"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(word.split("=", 1) for word in done.stdout.split()[1:])


@pytest.fixture(autouse=True)
def _engines(testbed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in testbed.items():
        monkeypatch.setenv(name, value)


class TestDocker(LauncherContract):
    entry: ClassVar = {"kind": "local"}
    extra: ClassVar = ("--container", IMAGE, "--engine", "docker")
    many: ClassVar = 40


class TestPodman(LauncherContract):
    entry: ClassVar = {"kind": "local"}
    extra: ClassVar = ("--container", IMAGE, "--engine", "podman")
    many: ClassVar = 40


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path, engine: str) -> Iterator[Place]:
    yield from make_place(tmp_path / "project", engine)


def make_place(directory: Path, engine: str) -> Iterator[Place]:
    directory.mkdir(parents=True)
    (directory / "runslot.toml").write_text('[launchers.there]\nkind = "local"\n')
    (directory / "program.py").write_text(PROGRAM)
    place = Place(
        directory, "there", ("--container", IMAGE, "--engine", engine, "--cpus-per-run", "1")
    )
    yield place
    for process in place.started:
        process.kill()
        process.wait()
    kill(place.alive())


def launch(place: Place, how: str, *options: str, seconds: str = "300") -> subprocess.Popen[bytes]:
    """Start one run that ends as `how` says, and wait until it is under way."""
    command = ["--", "python3", "program.py", how, place.token, seconds]
    process = place.start(
        "run", "--name", "one", "--grid", "a=1", *options, *place.options(), *command
    )
    until(
        lambda: process.poll() is not None or notes(place) or how in {"eats", "dies"},
        what="the run is under way",
    )
    return process


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it went with one of the others
            os.kill(pid, signal.SIGKILL)


def run_dir(place: Place) -> Path:
    return place.experiment / "a=1" / "run_0"


def notes(place: Place) -> list[str]:
    return next(iter(place.noted("notes.txt").values()), [])


def outcome(place: Place) -> dict[str, Any]:
    return json.loads((run_dir(place) / "outcome.json").read_text())


def keeper_of(place: Place) -> int:
    return int(json.loads((run_dir(place) / "attempt.json").read_text())["pid"])


def clients_of(place: Place) -> list[int]:
    """Return the client's processes: in the session that the keeper began for its run."""
    name = name_of(str(run_dir(place))).encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"run" in words and name in words and b"conmon" not in words[0]:
            found.append(int(entry.name))
    return found


def containers(engine: str) -> str:
    """Return what the engine still has, also of containers that ended, of any runslot's run."""
    argv = [
        engine,
        "ps",
        "--all",
        "--filter",
        "label=runslot.run",
        "--format",
        "{{.Names}} {{.Status}}",
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def nothing_left(place: Place, engine: str) -> bool:
    return not place.alive() and name_of(str(run_dir(place))) not in containers(engine)


# ---- kills ---------------------------------------------------------------------------------------


def test_a_killed_client_takes_its_container_with_it(place: Place, engine: str) -> None:
    process = launch(place, "stubborn")
    kill(clients_of(place))

    assert process.wait(120) == 1
    assert nothing_left(place, engine)
    ended = outcome(place)
    assert ended["kind"] == "failed"
    assert (
        ended["message"]
        == f"the {engine} client was killed by signal 9, and the run's container with it"
    )


def test_a_killed_keeper_takes_its_container_with_it_before_its_run_is_lost(
    place: Place, engine: str
) -> None:
    process = launch(place, "forks")
    os.kill(keeper_of(place), signal.SIGKILL)

    process.wait(120)
    assert nothing_left(place, engine)
    assert outcome(place)["kind"] == "lost"


def test_a_killed_launcher_leaves_its_runs_which_are_adopted(place: Place, engine: str) -> None:
    process = launch(place, "gated", seconds="0")
    process.kill()
    process.wait()
    assert place.alive()

    resume = place.start("resume", str(place.experiment), "--wait")
    log = place.directory / "launch.log"
    until(lambda: "adopted" in log.read_text(), what="it is adopted")
    (place.directory / "go").touch()
    assert resume.wait(120) == 0
    assert outcome(place)["kind"] == "succeeded"
    assert notes(place) == ["ready"]
    assert nothing_left(place, engine)


def test_all_of_runslot_killed_at_once_leaves_nothing_running(place: Place, engine: str) -> None:
    process = launch(place, "forks")
    keeper, clients = keeper_of(place), clients_of(place)
    kill((process.pid, keeper, *clients))
    process.wait()

    until(lambda: nothing_left(place, engine), 60, "nothing is left")
    assert place.status()["counts"] == {"lost": 1}


def test_a_later_attempt_ends_what_the_one_before_left(place: Place, engine: str) -> None:
    """A container of the run's name that stands in the way, as after a power cut, is removed."""
    process = launch(place, "once", seconds="0")
    process.wait(120)
    name = name_of(str(run_dir(place)))
    left = [
        engine,
        "run",
        "--detach",
        "--init",
        "--name",
        name,
        "--network",
        "none",
        IMAGE,
        "sleep",
        "300",
    ]
    subprocess.run(left, check=True, capture_output=True)

    place("resume", str(place.experiment), "--failed", "--wait")
    assert (outcome(place)["kind"], outcome(place)["attempt"]) == ("succeeded", 2)
    assert nothing_left(place, engine)


@pytest.mark.parametrize("engine", ["docker"])
def test_a_killed_daemon_leaves_nothing_running(
    place: Place, engine: str, testbed: dict[str, str]
) -> None:
    """The engine itself, with SIGKILL: its shims keep the container's input open, but the run's
    claim is given up.
    """
    process = launch(place, "forks")
    daemon = Path(testbed["CONTAINERS_CONF"]).with_name("docker.pid")
    os.kill(int(daemon.read_text()), signal.SIGKILL)
    try:
        assert process.wait(120) == 1
        until(lambda: not place.alive(), 60, "the run is gone")
        ended = outcome(place)
        assert ended["message"].startswith(f"docker gave up the run's container (image {IMAGE}): ")
        assert "may still be there: Cannot connect to the Docker daemon" in ended["notes"][0]
    finally:
        subprocess.run([TESTBED / "containers-up"], check=True, capture_output=True)
    until(lambda: nothing_left(place, engine), 60, "nothing is left")


# ---- ends ----------------------------------------------------------------------------------------


def test_ends_are_told_apart(place: Place, engine: str) -> None:
    process = launch(place, "dies")
    assert process.wait(120) == 1
    ended = outcome(place)
    assert (ended["signal"], ended["message"]) == (signal.SIGKILL, "killed by SIGKILL")
    assert not (run_dir(place) / "contained.json").exists()


def test_out_of_memory_is_said(place: Place, engine: str) -> None:
    process = launch(place, "eats", "--memory-per-run", "100MB")
    assert process.wait(120) == 1
    ended = outcome(place)
    assert ended["kind"] == "failed"
    kernel = r"out of memory: the kernel killed 1 of the run's processes, the limit is 100 MB"
    assert re.fullmatch(
        rf"{kernel}|used \d+ MB of memory, the limit is 100 MB", ended["message"]
    ), ended
    assert 20e6 < ended["peak_memory"] < 120e6
    assert nothing_left(place, engine)


def test_the_kernel_enforces_the_memory_limit(place: Place, engine: str) -> None:
    """What takes the memory at once is ended by the kernel, which is told apart from other
    kills.
    """
    grab = "held = bytes(300 << 20) + b'x' * (300 << 20)"
    limit = ("--memory-per-run", "100MB")
    command = ("--", "python3", "-c", grab)
    place("run", "--name", "one", "--grid", "a=1", *limit, *place.options(), *command, status=1)
    assert outcome(place)["message"].startswith(
        "out of memory: the kernel killed 1 of the run's processes"
    )
    assert outcome(place)["signal"] == signal.SIGKILL


def test_a_container_killed_from_outside_is_said(place: Place, engine: str) -> None:
    process = launch(place, "stubborn")
    subprocess.run([engine, "kill", name_of(str(run_dir(place)))], check=True, capture_output=True)
    assert process.wait(120) == 1
    said = f"the run's container ({engine}, image {IMAGE}) was killed from outside"
    assert (outcome(place)["kind"], outcome(place)["message"]) == ("failed", said)
    assert nothing_left(place, engine)


def test_signals_and_a_stop_with_grace_reach_the_run(place: Place, engine: str) -> None:
    process = launch(place, "polite", "--grace", "60")
    os.kill(keeper_of(place), signal.SIGUSR1)
    until(lambda: "heard USR1" in notes(place), 60, "the signal is there")
    place("stop", str(place.experiment))
    process.wait(120)
    assert notes(place) == ["ready", "heard USR1", "asked to stop"]
    ended = outcome(place)
    assert (ended["kind"], ended["exit_code"], ended["message"]) == (
        "stopped",
        0,
        "stopped on request",
    )
    assert nothing_left(place, engine)


def test_what_does_not_stop_is_killed_after_its_grace(place: Place, engine: str) -> None:
    process = launch(place, "stubborn", "--grace", "1")
    place("stop", str(place.experiment))
    process.wait(120)
    assert (outcome(place)["kind"], outcome(place)["signal"]) == ("stopped", signal.SIGKILL)
    assert nothing_left(place, engine)


# ---- what a run gets -----------------------------------------------------------------------------


LOOK = r"""
import json, os
from pathlib import Path
import runslot
FILES = ["/sys/fs/cgroup/cpuset.cpus.effective", "/sys/fs/cgroup/cpuset/cpuset.cpus"]
sets = [p.read_text().strip() for p in map(Path, FILES) if p.exists()]
Path(os.environ["RUNSLOT_RUN"], "seen.json").write_text(json.dumps({
    "pus": sorted(os.sched_getaffinity(0)), "cpuset": sets[0], "threads": os.environ["OMP_NUM_THREADS"],
    "cwd": os.getcwd(), "run": os.environ["RUNSLOT_RUN"], "init": Path("/proc/1/comm").read_text().strip(),
    "named": os.environ.get("NAMED"), "other": os.environ.get("OTHER"), "shm": os.statvfs("/dev/shm").f_blocks > 0,
    "data": Path("DATA", "there").read_text(), "writable": os.access("DATA", os.W_OK),
}))
"""


def test_a_run_gets_its_slot_its_mounts_and_the_variables_that_were_named(
    place: Place, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMED", "a value\nof two lines")
    monkeypatch.setenv("OTHER", "stays outside")
    data = tmp_path / "da,ta"
    data.mkdir()
    (data / "there").write_text("data")
    (place.directory / "look.py").write_text(LOOK.replace("DATA", str(data)))
    container = {
        "image": IMAGE,
        "engine": engine,
        "mounts": [f"{data}:ro"],
        "environment": ["NAMED"],
    }
    sweep = {
        "name": "one",
        "command": ["python", "look.py"],
        "container": container,
        "grid": {"a": [1, 2]},
    }
    (place.directory / "sweep.json").write_text(json.dumps({**sweep, "resources": {"cpus": 1}}))

    place("run", "sweep.json", "--root", "runs")

    for found in place.experiment.rglob("seen.json"):
        seen = json.loads(found.read_text())
        slot = RunDir(found.parent).read_attempt().slot
        assert seen["pus"] == slot["pus"]
        assert seen["cpuset"].replace("-", ",").split(",")[0] == str(slot["pus"][0])
        assert seen["threads"] == "1"
        assert (seen["cwd"], seen["run"]) == (str(place.directory), str(found.parent))
        assert seen["init"] in {"docker-init", "podman-init"}
        assert (seen["named"], seen["other"]) == ("a value\nof two lines", None)
        assert (seen["data"], seen["writable"]) == ("data", False)


def test_a_run_has_its_niceness(place: Place, engine: str) -> None:
    command = ["--name", "one", "--grid", "a=1", "--nice", "7", *place.options(), "--", "nice"]
    assert place.start("run", *command).wait() == 0
    assert (run_dir(place) / "console.log").read_text().split() == ["7"]
    assert outcome(place)["notes"] == []


@pytest.mark.parametrize(
    "name", ["sp ace,com'ma", 'co:lon "quoted"', "new\nline", "=x,target=/etc"]
)
def test_directories_of_any_name_are_mounted(name: str, engine: str, tmp_path: Path) -> None:
    for place in make_place(tmp_path / name, engine):
        place(
            "run",
            "--name",
            "one",
            "--grid",
            "a=1",
            *place.options(),
            "--",
            "python3",
            "program.py",
            "x",
            "t",
            "0",
        )
        assert notes(place) == ["ready"]


def test_files_belong_to_the_user_who_launched(testbed: dict[str, str]) -> None:
    """Another user than root, who may use the Docker daemon, with groups of its own."""
    socket = Path(testbed["DOCKER_HOST"].removeprefix("unix://"))
    directory = Path(tempfile.mkdtemp(prefix="runslot-user-", dir="/var/tmp"))
    try:
        archive = one_file(directory)
        run = directory / "run"
        run.mkdir()
        code = (
            "import os; print(os.getuid(), os.getgid(), sorted(os.getgroups()),"
            " os.environ['HOME']); open('made', 'w')"
        )
        container = {"image": IMAGE, "engine": "docker"}
        record = {"id": "r", "name": "", "variant": {}, "directory": "run"}
        file = {
            "run": record,
            "experiment": "e",
            "cwd": str(run),
            "python": "",
            "container": container,
        }
        (run / "run.json").write_text(
            json.dumps({**file, "work": {"command": {"argv": ["python3", "-c", code]}}})
        )
        for path in (directory, run, run / "run.json"):
            os.chown(path, 1234, 1235)
        done = subprocess.run(
            ["/usr/bin/python3", archive, "exec", run],
            user=1234, group=1235, extra_groups=[socket.stat().st_gid, 1236],
            capture_output=True, text=True, check=False, cwd=run, env={**os.environ, "HOME": "/nowhere"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        groups = sorted({1235, 1236, socket.stat().st_gid})
        assert (run / "console.log").read_text() == f"1234 1235 {groups} /tmp\n"
        made = (run / "made").stat()
        assert (made.st_uid, made.st_gid) == (1234, 1235)
    finally:
        shutil.rmtree(directory)


def test_podman_under_the_name_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text(f'#!/bin/sh\nexec {shutil.which("podman")} "$@"\n')
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    for place in make_place(tmp_path / "project", "docker"):
        process = launch(place, "stubborn")
        assert name_of(str(run_dir(place))) in containers("podman")
        kill(clients_of(place))
        assert process.wait(120) == 1
        assert nothing_left(place, "podman")


def test_the_same_results_as_without_a_container(tmp_path: Path, engine: str) -> None:
    said, rows = [], []
    sweep = [
        f"{EXAMPLES}/digits.py:train",
        "--grid",
        "lr=0.1,0.01",
        "--grid",
        "hidden=32",
        "--seeds",
        "1",
    ]
    for name, options in (("here", []), ("there", ["--container", IMAGE, "--engine", engine])):
        root = str(tmp_path / name)
        runslot("run", *sweep, "--root", root, *options)
        said.append(
            [line for line in runslot("results", root).splitlines() if not line.startswith("in ")]
        )
        rows.append(metrics_of(tmp_path / name))
    assert said[0] == said[1]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 2


def runslot(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "runslot", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def metrics_of(root: Path) -> dict[str, str]:
    return {
        str(file.parent.relative_to(file.parents[2])): file.read_text()
        for file in root.rglob("progress.csv")
    }


# ---- refusals ------------------------------------------------------------------------------------


def refused(place: Place, container: dict[str, Any], work: dict[str, Any] | None = None) -> str:
    """Return the message with which a sweep is refused; nothing of it is left."""
    work = work or {"command": ["python3", "program.py", "polite"]}
    (place.directory / "sweep.json").write_text(
        json.dumps({"name": "one", "container": container, "seeds": 2, **work})
    )
    argv = [sys.executable, "-m", "runslot", "run", "sweep.json", "--root", "runs"]
    done = subprocess.run(argv, cwd=place.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert not list((place.directory / "runs").glob("*/[0-9]*")), "an experiment was left"
    return done.stderr.strip()


def test_an_image_that_does_not_exist(place: Place, engine: str) -> None:
    said = refused(place, {"image": "localhost:1/nobody/nothing", "engine": engine})
    host = os.uname().nodename
    assert (
        f"{engine} on {host} has no image 'localhost:1/nobody/nothing', and cannot pull it: "
        in said
    )


def test_an_image_without_the_interpreter(place: Place, engine: str) -> None:
    said = refused(place, {"image": IMAGE, "engine": engine, "python": "python9"})
    assert f"no run was started: {engine} cannot run python9 in image {IMAGE}: " in said
    assert said.endswith(
        "use an image with Python 3.10 or newer, or name its interpreter as the container's python"
    )


def test_an_interpreter_that_is_too_old(place: Place, engine: str) -> None:
    old = place.directory / "python3.8"
    old.write_text("#!/bin/sh\necho runslot-python 3.8\nexit 1\n")
    old.chmod(0o755)
    said = refused(place, {"image": IMAGE, "engine": engine, "python": str(old)})
    assert (
        f"{old} in image {IMAGE} ({engine}) is Python 3.8, and runslot needs 3.10 or newer" in said
    )


def test_a_function_by_value_wants_the_same_python(place: Place) -> None:
    other = place.directory / "python3.99"
    other.write_text('#!/bin/sh\npython3 "$@" | sed "s/^runslot-python .*/runslot-python 3.99/"\n')
    other.chmod(0o755)
    script = f"""
from runslot import Container, Experiment
def train(variant): print("never")
Experiment("one", train, root="runs", container=Container({IMAGE!r}, python={str(other)!r})).launch()
"""
    (place.directory / "script.py").write_text(script)
    argv = [sys.executable, "script.py"]
    done = subprocess.run(argv, cwd=place.directory, capture_output=True, text=True, check=False)
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert (
        f"the function travels by value from Python {mine}, and {other} in image {IMAGE}"
        in done.stderr
    )
    assert not list((place.directory / "runs").glob("*/[0-9]*"))


def test_a_function_by_value_needs_no_cloudpickle_in_the_image(place: Place, engine: str) -> None:
    image = subprocess.run(
        [engine, "run", "--rm", IMAGE, "python3", "-V"], capture_output=True, text=True, check=True
    )
    if f"Python {sys.version_info[0]}.{sys.version_info[1]}." not in image.stdout:
        pytest.skip(f"the image has {image.stdout.strip()}")
    script = f"""
from runslot import Container, Experiment, logger
offset = 3
def train(variant):
    logger.record_tabular("x", variant["x"] + offset)
    logger.dump_tabular()
container = Container({IMAGE!r}, engine={engine!r})
outcomes = Experiment("one", train, {{"x": [1, 2]}}, root="runs", container=container).launch()
assert outcomes.all_succeeded, outcomes.failed
"""
    (place.directory / "script.py").write_text(script)
    argv = [sys.executable, "script.py"]
    done = subprocess.run(argv, cwd=place.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = sorted(file.read_text().split()[-1] for file in place.experiment.rglob("progress.csv"))
    assert rows == ["4", "5"]


def test_a_function_that_the_image_cannot_import(place: Place, engine: str) -> None:
    (place.directory / "needs.py").write_text("import not_in_the_image\ndef train(variant): pass\n")
    said = refused(place, {"image": IMAGE, "engine": engine}, {"function": "needs.py:train"})
    assert said.startswith(
        f"runslot: no run was started in image {IMAGE} ({engine}): {place.directory}/needs.py:train"
    )
    assert 'needs.py", line 1' in said
    assert said.endswith("ModuleNotFoundError: No module named 'not_in_the_image'")


def test_an_engine_that_is_not_installed(place: Place) -> None:
    said = refused(place, {"image": IMAGE, "engine": "apptainer"})
    assert "is to run with apptainer, and there is no program 'apptainer' on PATH" in said
    assert said.endswith("install Apptainer, or choose engine docker or podman")


def test_a_daemon_that_does_not_answer(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nobody/listens.sock")
    said = refused(place, {"image": IMAGE, "engine": "docker"})
    assert f"image {IMAGE} cannot be run: docker does not answer on {os.uname().nodename} (" in said


def test_options_that_the_engine_does_not_know(place: Place, engine: str) -> None:
    said = refused(place, {"image": IMAGE, "engine": engine, "options": ["--no-such-option"]})
    assert f"no run was started: {engine} could not start a container of image {IMAGE}: " in said
    assert "--no-such-option" in said


def test_a_mount_that_does_not_exist(place: Place, engine: str) -> None:
    said = refused(place, {"image": IMAGE, "engine": engine, "mounts": ["/no/such/data:ro"]})
    assert "mounts: '/no/such/data' is no directory of" in said


def test_an_image_that_vanishes_during_the_sweep_is_said_by_each_run(
    place: Place, engine: str
) -> None:
    copy = f"localhost/runslot-vanishing-{engine}:{os.getpid()}"
    subprocess.run([engine, "tag", IMAGE, copy], check=True)
    script = f"import subprocess; subprocess.run([{engine!r}, 'rmi', {copy!r}], check=True)"
    place.extra = (
        "--container",
        copy,
        "--engine",
        engine,
        "--cpus-per-run",
        str(len(os.sched_getaffinity(0))),
    )
    process = place.start(
        "run",
        "--name",
        "one",
        "--grid",
        "a=1,2",
        *place.options(),
        "--",
        "python3",
        "program.py",
        "gated",
        "t",
        "0",
    )
    until(lambda: notes(place), what="the first run is under way")
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    (place.directory / "go").touch()
    assert process.wait(120) == 1
    (failed,) = [
        each["outcome"] for each in place.status()["runs"] if each["outcome"]["kind"] != "succeeded"
    ]
    assert f"{engine} could not start a container of image {copy}: " in failed["message"]


# ---- doors, and other machines -------------------------------------------------------------------


def test_launchkits_mode_local_docker(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "word").write_text("there")
    (tmp_path / "runslot.toml").write_text(f'[launchkit]\ndocker_image = "{IMAGE}"\n')
    (tmp_path / "task.py").write_text(
        "from pathlib import Path\nfrom runslot import logger\n\ndef train(variant):\n   "
        ' logger.save_extra_data([Path("/mnt/in/word").read_text(),'
        ' Path("/proc/1/comm").read_text()], "seen.json", mode="json")\n'
    )
    (tmp_path / "script.py").write_text(
        "from runslot.launchkit import run_experiment\nfrom task import train\ngiven ="
        f" dict(local_input_dir_to_mount_point_dict={{{str(data)!r}: '/mnt/in'}},"
        " base_log_dir='runs')\ngiven |= {'mode': 'local_docker', 'skip_wait': True}\ncalls ="
        " [run_experiment(train, variant={'x': x}, **given) for x in (1, 2)]\nassert"
        " all(call.wait().all_succeeded for call in calls), calls[0].outcomes.failed\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = [json.loads(file.read_text()) for file in (tmp_path / "runs").rglob("seen.json")]
    assert seen == [["there", "docker-init\n"]] * 2


@pytest.mark.together
def test_containers_on_ssh_hosts(place: Place, engine: str) -> None:
    """With podman: the Docker daemon of the testbed does not see the files of its ssh hosts, and
    says so.
    """
    done = subprocess.run([TESTBED / "ssh-up"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (config,) = re.findall(r"RUNSLOT_SSH_CONFIG=(\S+)", done.stdout)
    entry = f'kind = "ssh"\nhosts = ["node1", "node2"]\nconfig = "{config}"\n'
    named = 'environment = ["DOCKER_HOST", "CONTAINERS_CONF"]\n'
    (place.directory / "runslot.toml").write_text(f"[launchers.there]\n{entry}{named}")
    (place.directory / "task.py").write_text(
        "import socket\nfrom runslot import logger\n\ndef train(variant):\n   "
        ' logger.save_extra_data([variant["x"], open("/proc/1/comm").read()], "seen.json",'
        ' mode="json")\n'
    )
    place.extra = ("--container", IMAGE, "--engine", engine)
    options = ["--grid", "x=1,2", "--seeds", "2", *place.options()]
    status = 0 if engine == "podman" else 2
    done = place("run", "task.py:train", *options, status=status)
    if engine == "docker":
        assert f"docker could not start a container of image {IMAGE}" in done.stderr
        return
    seen = sorted(json.loads(file.read_text()) for file in place.experiment.rglob("seen.json"))
    assert seen == [[x, "podman-init\n"] for x in (1, 1, 2, 2)]


def test_a_search_in_containers_pauses_trials_and_goes_on(place: Place) -> None:
    """Rows are read from outside, a rung ends the container, and its snapshot is taken up again."""
    (place.directory / "task.py").write_text(
        "import os, pathlib, time\nfrom runslot import logger\n\n"
        "def train(lr=0.1, seed=0):\n"
        '    state = pathlib.Path(os.environ["RUNSLOT_RUN"], "state.pkl")\n'
        "    done = int(state.read_text()) if state.exists() else 0\n"
        "    for epoch in range(done + 1, 5):\n"
        "        time.sleep(0.4)\n"
        '        logger.record_dict({"epoch": epoch, "loss": lr + 1 / epoch})\n'
        "        logger.dump_tabular()\n"
        "        state.write_text(str(epoch))\n"
    )
    search = ["--search", "lr=uniform(0,1)", "--metric", "loss", "--mode", "min"]
    search += ["--sampler", "random", "--trials", "6", "--prune", "asha:first=1,eta=2,last=4"]
    place("run", "task.py:train", *search, "--resumable", *place.options())

    status = place.status()
    assert status["search"]["is_over"]
    assert status["counts"]["paused"] + status["counts"]["succeeded"] == 6
    assert status["counts"]["paused"] >= 1
    continued = [run for run in status["runs"] if run["attempts"] > 1]
    for run in continued:
        rows = (Path(run["directory"]) / "progress.csv").read_text().splitlines()
        assert len(rows) == len(set(rows))


@pytest.mark.together
def test_containers_in_slurm_jobs(place: Place, engine: str) -> None:
    done = subprocess.run([TESTBED / "slurm-up"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (place.directory / "runslot.toml").write_text('[launchers.there]\nkind = "slurm"\n')
    (place.directory / "task.py").write_text(
        "import os\nfrom runslot import logger\n\ndef train(variant):\n"
        '    seen = [variant["x"], open("/proc/1/comm").read(), sorted(os.sched_getaffinity(0))]\n'
        '    logger.save_extra_data(seen, "seen.json", mode="json")\n'
    )
    place.extra = ("--container", IMAGE, "--engine", engine, "--cpus-per-run", "1")
    place("run", "task.py:train", "--grid", "x=1,2", *place.options())
    found = list(place.experiment.rglob("seen.json"))
    assert len(found) == 2
    for file in found:
        slot = RunDir(file.parent).read_attempt().slot
        assert json.loads(file.read_text())[1:] == [f"{engine}-init\n", slot["pus"]]
