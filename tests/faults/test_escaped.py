"""What escaped a run whose keeper was killed is found and ended, by whoever takes over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from runslot import Experiment
from runslot.engines.local.launcher import LocalLauncher
from runslot.execute.leftovers import find_leftovers, group_of, sweep
from runslot.experiment.processes import children_of, identify, processes_with, start_time, tree_of
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.hardware.probe import probe
from runslot.hardware.slots import Slot
from runslot.launch.experiment import silent
from runslot.launch.launch import launch
from runslot.launch.stop import stop

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="processes are found through /proc"
    ),
]

LAUNCH = """
import sys
from runslot import Experiment
kind, root, program = sys.argv[1:]
work = [sys.executable, program, "{run_dir}"] if kind == "command" else program + ":train"
Experiment("escape", work, root=root).launch()
"""

PROGRAM = """
import os, sys, time

def escape(directory, environment):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
            os.execve(sys.executable, [sys.executable, "-c", code, directory + "/escaped.new"], environment)
        os._exit(0)
    os.wait()
    while not os.path.exists(directory + "/escaped.new") or not os.path.getsize(directory + "/escaped.new"):
        time.sleep(0.01)
    os.rename(directory + "/escaped.new", directory + "/escaped")

def fork_away(directory):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(directory + "/escaped.new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(directory + "/escaped.new", directory + "/escaped")
            time.sleep(600)
        os._exit(0)
    os.wait()

def train(variant, directory=None):
    directory = directory or os.environ["RUNSLOT_RUN"]
    if os.environ["RUNSLOT_ATTEMPT"] == "1":
        if os.environ["HOW"] == "forked":
            fork_away(directory)
        else:
            escape(directory, {} if os.environ["HOW"] == "clean" else dict(os.environ))
        time.sleep(600)

if __name__ == "__main__":
    train({}, sys.argv[1])
"""


class Sweep:
    """An experiment with one run, something of which has left its session; `clean`: also its
    environment.
    """

    def __init__(
        self, tmp_path: Path, kind: str, clean: bool, forked: bool = False, enclosed: bool = True
    ) -> None:
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        argv = [sys.executable, "-c", LAUNCH, kind, str(tmp_path / "runs"), str(program)]
        how = {**os.environ, "HOW": "clean" if clean else "forked" if forked else "kept"}
        self.launcher = subprocess.Popen(
            argv, env=how, stdout=subprocess.DEVNULL, start_new_session=True
        )
        (directory,) = self._until(lambda: list((tmp_path / "runs").glob("escape/2*")))
        (file,) = self._until(lambda: list(directory.glob("run_0/escaped")))
        self.directory = ExperimentDir(directory)
        self.escaped = int(file.read_text())
        (each,) = read_status(self.directory).runs
        assert each.attempt is not None
        self.keeper = each.attempt.pid
        self.group = each.attempt.cgroup
        if clean and enclosed:  # the keeper is enclosed while its first run is under way
            self._until(
                lambda: (
                    f"runslot-{self.keeper}-" in Path(f"/proc/{self.escaped}/cgroup").read_text()
                )
            )

    def _until(self, done):  # type: ignore[no-untyped-def]
        while not (found := done()):
            time.sleep(0.01)
        return found

    def kill(self, launcher_too: bool) -> None:
        if launcher_too:
            children = (
                Path(f"/proc/{self.launcher.pid}/task/{self.launcher.pid}/children")
                .read_text()
                .split()
            )
            for pid in (self.launcher.pid, *map(int, children), self.keeper):
                with suppress(ProcessLookupError):  # a child that has nothing to guard
                    os.kill(pid, signal.SIGKILL)
            self.launcher.wait()
            while start_time(self.keeper):
                time.sleep(0.01)
            assert start_time(self.escaped)
        else:
            os.kill(self.keeper, signal.SIGKILL)
            self.launcher.wait(60)

    def kill_all_but_the_template(self, keeper_first: bool) -> None:
        for pid in (
            (self.keeper, self.launcher.pid) if keeper_first else (self.launcher.pid, self.keeper)
        ):
            os.kill(pid, signal.SIGKILL)
        self.launcher.wait()


KINDS = pytest.mark.parametrize("kind", ["command", "function"])
ENCLOSES = pytest.mark.skipif(
    group_of(identify()) is None,
    reason="this user may make no control group (cgroup v2) here",
)
CLEAN = pytest.mark.parametrize(
    "clean",
    [
        False,
        pytest.param(True, marks=ENCLOSES),
    ],
    ids=["environment kept", "environment cleared"],
)


@KINDS
@CLEAN
def test_its_launcher_ends_it(until, kind: str, clean: bool, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, kind, clean)
    sweep.kill(launcher_too=False)
    until(lambda: start_time(sweep.escaped) is None)  # which the kernel may do after the kill
    assert [each.state for each in read_status(sweep.directory).runs] == ["lost"]


@KINDS
def test_its_launcher_ends_what_was_only_forked(until, kind: str, tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, kind, clean=False, forked=True)
    assert sweep.escaped in processes_with("RUNSLOT_RUN", str(sweep.directory.path / "run_0"))
    sweep.kill(launcher_too=False)
    until(lambda: start_time(sweep.escaped) is None)


@KINDS
@CLEAN
def test_a_resume_ends_it_where_the_launcher_was_killed_too(
    until, kind: str, clean: bool, tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path, kind, clean)
    sweep.kill(launcher_too=True)
    assert launch(sweep.directory, silent).all_succeeded
    until(lambda: start_time(sweep.escaped) is None)
    assert sweep.group is None or not Path(sweep.group).exists()


@CLEAN
def test_a_stop_ends_it_where_the_launcher_was_killed_too(
    until, clean: bool, tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path, "command", clean)
    sweep.kill(launcher_too=True)
    stop(sweep.directory, say=lambda _: None)
    until(lambda: start_time(sweep.escaped) is None)


@KINDS
@pytest.mark.parametrize("keeper_first", [True, False], ids=["keeper first", "launcher first"])
def test_the_template_ends_it_at_once_and_ends_itself_though_nobody_resumes(
    kind: str, keeper_first: bool, tmp_path: Path
) -> None:
    sweep = Sweep(tmp_path, kind, clean=True, enclosed=False)
    template = int(Path(f"/proc/{sweep.keeper}/stat").read_text().rpartition(")")[2].split()[1])
    sweep.kill_all_but_the_template(keeper_first)
    deadline = time.monotonic() + 60
    while start_time(sweep.escaped) or start_time(template):
        assert time.monotonic() < deadline, "it computes on cores that are free for others"
        time.sleep(0.01)


def test_a_template_stays_as_guardian_while_the_run_of_a_killed_launcher_goes_on(
    tmp_path: Path,
) -> None:
    sweep = Sweep(tmp_path, "command", clean=True, enclosed=False)
    template = int(Path(f"/proc/{sweep.keeper}/stat").read_text().rpartition(")")[2].split()[1])
    sweep.launcher.kill()
    sweep.launcher.wait()
    time.sleep(0.3)  # longer than keepers without a run have to leave
    assert start_time(sweep.escaped)
    assert start_time(template)
    assert [each.state for each in read_status(sweep.directory).runs] == ["running"]
    os.kill(sweep.keeper, signal.SIGKILL)
    while start_time(sweep.escaped) or start_time(template):
        time.sleep(0.01)


@CLEAN
def test_its_cores_are_not_given_to_others_while_it_computes_there(
    clean: bool, tmp_path: Path
) -> None:
    """The template was killed, too: nobody is left who would end it, or hold the lease."""
    sweep = Sweep(tmp_path, "command", clean)
    pus = os.sched_getaffinity(sweep.escaped)
    sweep.kill(launcher_too=True)
    topology = probe()
    (core,) = [core for core in topology.cores if not pus.isdisjoint(core.pus)][:1]
    launcher = LocalLauncher([Slot(topology.host, 0, (core,), core.pus)])
    try:
        taken = launcher.reserve(launcher.slots()[0], "other", "run_0")
        assert taken is not None
        assert f"process {sweep.escaped}, which is left of " in taken.by
        assert ", computes there: " in taken.by
        stop(sweep.directory, say=lambda _: None)
        while launcher.reserve(launcher.slots()[0], "other", "run_0") is not None:
            time.sleep(0.1)
    finally:
        launcher.close()


def test_launchers_with_other_locks_do_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(tmp_path, "command", clean=False)
    sweep.kill(launcher_too=True)
    (left,) = [left for left in find_leftovers() if left.pid == sweep.escaped]
    assert "left of " in str(left)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("RUNSLOT_LOCKS", str(tmp_path))
        assert sweep.escaped not in {left.pid for left in find_leftovers()}
    stop(sweep.directory, say=lambda _: None)


@ENCLOSES
def test_a_group_that_is_removed_as_it_is_read_has_no_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Path(str(group_of(replace(identify(), pid=1 << 30))))
    group.mkdir()
    read_text = Path.read_text

    def read(file: Path, *arguments: str) -> str:
        if file.parent != group:
            return read_text(file, *arguments)
        with file.open() as opened:
            group.rmdir()
            return opened.read()

    monkeypatch.setattr(Path, "read_text", read)
    assert isinstance(find_leftovers(), list)
    assert not group.exists()


@ENCLOSES
def test_the_group_of_a_living_keeper_stays_though_nothing_is_in_it_yet() -> None:
    living, dead = (
        Path(str(group_of(keeper))) for keeper in (identify(), replace(identify(), pid=1 << 30))
    )
    for group in (living, dead):
        group.mkdir()
    try:
        sweep()
        assert living.exists()
        assert not dead.exists()
    finally:
        living.rmdir()


NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def test_a_keeper_in_a_pid_namespace_is_not_taken_for_dead(tmp_path: Path) -> None:
    """It has named its group by its number there, which nobody has here, or somebody else."""
    can = shutil.which("unshare") and subprocess.run([*NAMESPACE, "true"], check=False)
    if not can or can.returncode or group_of(identify(os.getpid())) is None:
        pytest.skip("pid namespaces and control groups want root on Linux")
    (tmp_path / "launch.py").write_text(LAUNCH)
    (tmp_path / "program.py").write_text("import time\ntime.sleep(600)\n")
    words = [sys.executable, "launch.py", "command", str(tmp_path), "program.py"]
    launcher = subprocess.Popen([*NAMESPACE, *words], cwd=tmp_path)
    try:
        deadline, members = time.monotonic() + 60, set[int]()
        while len(members) < 2:  # the keeper, and its run
            assert time.monotonic() < deadline
            time.sleep(0.05)
            for file in tmp_path.glob("escape/2*/run_0/attempt.json"):
                group = json.loads(file.read_text() or "{}").get("cgroup") or "/none"
                tasks = Path(group, "cgroup.procs")
                members = set(map(int, tasks.read_text().split())) if tasks.exists() else members
        assert members.isdisjoint(left.pid for left in find_leftovers())
    finally:
        launcher.kill()
        launcher.wait()


def test_what_a_user_runs_by_hand_in_a_runs_place_takes_no_cores(tmp_path: Path) -> None:
    Experiment("by-hand", ["true"], root=tmp_path).launch(silent)
    (run_dir,) = tmp_path.glob("by-hand/2*/run_0")
    environment = {**os.environ, "RUNSLOT_RUN": str(run_dir)}
    by_hand = subprocess.Popen(["sleep", "600"], env=environment)
    try:
        assert by_hand.pid not in {left.pid for left in find_leftovers()}
    finally:
        by_hand.kill()
        by_hand.wait()


def test_children_of_all_threads_and_their_children_are_in_the_tree() -> None:
    code = (
        "import subprocess, sys, threading\n"
        "start = lambda: subprocess.run(['sh', '-c', 'sleep 600 & sleep 600 & wait'])\n"
        "threads = [threading.Thread(target=start) for _ in range(2)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            deadline = time.monotonic() + 60
            while len(tree := tree_of(process.pid)) < 7 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert len(tree) == 7
            assert all(children_of(pid) for pid in tree if len(tree_of(pid)) > 1)
        finally:
            for pid in tree_of(process.pid):
                os.kill(pid, signal.SIGKILL)
    assert tree_of(process.pid) == {process.pid}
