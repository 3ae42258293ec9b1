"""What another user made is read, and never a reason to signal, nor written through: not by root
either.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runslot import Experiment, logger
from runslot.engines.open_experiment import OddRequest, OpenExperiment
from runslot.errors import RunslotError
from runslot.execute.leftovers import end_escaped, end_group
from runslot.experiment.claim import find_holder, find_keeper
from runslot.experiment.files import open_to_append, write_json
from runslot.experiment.journal import Journal
from runslot.experiment.lock import leave_request
from runslot.experiment.owner import LeadsOut, OthersFiles
from runslot.experiment.processes import ProcessIdentity, identify, start_time
from runslot.experiment.records import Attempt
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.status import read_status
from runslot.launch.experiment import silent
from runslot.launch.launch import launch
from runslot.launch.stop import pause, stop
from runslot.transport.bucket import MachineShare, Pusher, open_store, pull

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="holders of locks are found in /proc"
    ),
]
AS_ROOT = pytest.mark.root  # only root can give files to another user
STRANGER = 64001


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process of this user that has nothing to do with runslot, and check that nobody ended
    it.
    """
    process = subprocess.Popen(["sleep", "600"])
    yield process
    assert process.poll() is None, "it was signalled"
    process.kill()
    process.wait()


def abandoned(tmp_path: Path, pid: int) -> ExperimentDir:
    """Return an experiment whose one run is under way, says its journal, under a keeper that is
    this process.
    """
    directory = Experiment("bait", ["true"], root=tmp_path / "r").prepare()
    (run,) = directory.read_runs()
    opened = OpenExperiment.open(directory, {})
    run_dir = opened.prepare(run, 1)
    opened.close()
    journal = Journal(directory.journal_file)
    journal.write("start", 1.0, run=run.id, attempt=1, slot=0, directory=run.directory)
    journal.close()
    keeper = identify(pid)
    attempt = Attempt(1, pid, keeper.start_time, keeper.boot_id, keeper.host, 1.0)
    write_json(run_dir.attempt_file, attempt.to_json())
    return directory


@contextmanager
def claimed(file: Path, user: int = 0) -> Iterator[int]:
    """Have another process hold the claim, as a user; yield its pid, and check that nobody ended
    it.
    """
    become = ["setpriv", f"--reuid={user}", "--clear-groups"] if user else []
    argv = [
        "flock",
        "--exclusive",
        "--no-fork",
        str(file),
        *become,
        "sh",
        "-c",
        "echo up; exec sleep 600",
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder.pid
        assert holder.poll() is None, "it was signalled"
        holder.kill()


def given_away(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def state_of(directory: Path) -> dict[str, tuple[int, int, int]]:
    found = {path: path.lstat() for path in (directory, *directory.rglob("*"))}
    return {
        str(path): (each.st_mtime_ns, each.st_size, each.st_ino) for path, each in found.items()
    }


ACTS = [
    pytest.param(lambda experiment: stop(experiment, say=lambda _: None), id="stop"),
    pytest.param(
        lambda experiment: stop(experiment, kill=True, take_over=True, say=lambda _: None),
        id="stop at once",
    ),
    pytest.param(lambda experiment: launch(experiment, silent, take_over=True), id="resume"),
    pytest.param(lambda experiment: leave_request(experiment, "stop"), id="request"),
]


@AS_ROOT
@pytest.mark.parametrize("act", ACTS)
def test_nothing_of_another_users_experiment_is_signalled_or_written(
    tmp_path: Path, bystander: subprocess.Popen[bytes], act: Callable[[ExperimentDir], object]
) -> None:
    directory = abandoned(tmp_path, bystander.pid)
    with claimed(directory.path / "run_0" / "run.json"):
        given_away(directory.path)
        before = state_of(directory.path)
        with pytest.raises(
            OthersFiles, match=r"belongs to user 64001, and you are root: .*RUNSLOT_TRUST=64001"
        ):
            act(directory)
        assert state_of(directory.path) == before
        assert find_keeper(RunDir(directory.path / "run_0"), bystander.pid) is None
        assert end_escaped(directory.path / "run_0") == 0


@AS_ROOT
def test_a_pause_through_another_users_launcher_is_refused(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    directory = abandoned(tmp_path, bystander.pid)
    directory.lock_file.write_text(json.dumps(identify(bystander.pid).__dict__))
    given_away(directory.path)
    with pytest.raises(OthersFiles):
        pause(directory, True)
    assert not directory.requests.exists()


@AS_ROOT
def test_another_users_experiment_is_shown(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    directory = abandoned(tmp_path, bystander.pid)
    given_away(directory.path)
    assert [each.state for each in read_status(directory).runs] == ["lost"]


@AS_ROOT
def test_whoever_is_trusted_is_taken_for_oneself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = abandoned(tmp_path, os.getpid())
    given_away(directory.path)
    monkeypatch.setenv("RUNSLOT_TRUST", f"nobody-of-that-name, {STRANGER}")
    assert launch(directory, silent).all_succeeded


@AS_ROOT
def test_a_claim_that_another_user_holds_on_a_run_of_ours_makes_nobody_signal_him(
    tmp_path: Path,
) -> None:
    directory = abandoned(tmp_path, os.getpid())
    with claimed(directory.path / "run_0" / "run.json", STRANGER) as pid:
        assert find_keeper(RunDir(directory.path / "run_0"), pid) is None


@AS_ROOT
def test_a_request_that_another_user_left_is_named_and_not_carried_out(tmp_path: Path) -> None:
    directory = abandoned(tmp_path, os.getpid())
    file = leave_request(directory, "kill")
    os.chown(file, STRANGER, STRANGER)
    opened = OpenExperiment.open(directory, {})
    (odd,) = opened.requests()
    opened.close()
    assert isinstance(odd, OddRequest)
    assert "left by user 64001" in odd.why


@AS_ROOT
def test_another_users_processes_are_not_ended_for_a_variable_that_they_have(
    tmp_path: Path,
) -> None:
    (tmp_path / "run.json").write_text("{}")
    environment = {"RUNSLOT_RUN": str(tmp_path)}
    theirs = subprocess.Popen(["sleep", "600"], env=environment, user=STRANGER)
    ours = subprocess.Popen(["sleep", "600"], env=environment)
    try:
        assert end_escaped(tmp_path) == 1
        assert ours.wait() == -signal.SIGKILL
        assert theirs.poll() is None
    finally:
        theirs.kill()
        theirs.wait()


# ---- who has the claim ---------------------------------------------------------------------------


def test_the_holder_of_a_lock_is_found_among_those_that_have_the_file_open(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.touch()
    assert find_holder(file, os.getpid()) is None
    with file.open() as opened, subprocess.Popen(["sleep", "600"], stdin=opened) as reader:
        with claimed(file) as pid:
            for hint in (pid, reader.pid, 1, None, 1 << 30):
                holder = find_holder(file, hint)
                assert holder is not None
                assert holder.pid == pid
                holder.close()
            (tmp_path / "link").symlink_to(file)
            assert find_holder(tmp_path / "link", pid) is None
            (tmp_path / "other name").hardlink_to(file)
            assert find_holder(file, pid) is None
        reader.kill()


def test_a_run_that_somebody_executes_is_left_alone_whatever_is_marked_with_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "run.json").write_text("{}")
    marked = subprocess.Popen(["sleep", "600"], env={"RUNSLOT_RUN": str(tmp_path)})
    with claimed(tmp_path / "run.json"):
        assert end_escaped(tmp_path) == 0
        assert start_time(marked.pid)
    marked.kill()
    marked.wait()


# ---- places that files name ----------------------------------------------------------------------


def problem_of(experiment: ExperimentDir) -> str:
    (run,) = read_status(ExperimentDir(experiment.path)).runs
    assert run.state == "lost"
    return run.problem


@pytest.mark.parametrize(
    "directory", ["../private", "/etc", "run_0/../../private", "", ".", "run_0//x"]
)
@pytest.mark.parametrize("act", ACTS[:3])
def test_a_run_lies_inside_its_experiment_whatever_the_list_says(
    tmp_path: Path, directory: str, act: Callable[[ExperimentDir], object]
) -> None:
    experiment = abandoned(tmp_path, os.getpid())
    private = experiment.path.parent / "private"
    private.mkdir()
    (private / "console.log").write_text("precious")
    before = state_of(private)
    run = json.loads(experiment.runs_file.read_text())
    experiment.runs_file.write_text(json.dumps({**run, "directory": directory}) + "\n")
    assert "is not inside" in problem_of(experiment)
    with pytest.raises(LeadsOut, match="is not inside"):
        act(experiment)
    assert state_of(private) == before


@AS_ROOT
@pytest.mark.parametrize("root", ["..", "../..", "/", "../../private"])
def test_the_runs_of_another_users_experiment_lie_where_they_are_of_one(
    tmp_path: Path, root: str
) -> None:
    experiment = abandoned(tmp_path, os.getpid())
    file = json.loads(experiment.experiment_file.read_text())
    experiment.experiment_file.write_text(json.dumps({**file, "runs_root": root}))
    given_away(experiment.path)
    assert "outside of the experiment" in problem_of(experiment)


@AS_ROOT
@pytest.mark.parametrize(
    "whole", [True, False], ids=["the experiment is another user's", "the link alone is"]
)
def test_a_link_that_another_user_made_is_not_followed(tmp_path: Path, whole: bool) -> None:
    experiment = abandoned(tmp_path, os.getpid())
    private = tmp_path / "private"
    (experiment.path / "run_0").rename(private)
    (experiment.path / "run_0").symlink_to(private)
    if whole:
        given_away(experiment.path)
        assert "is a link in an experiment of another user" in problem_of(experiment)
    else:
        os.chown(experiment.path / "run_0", STRANGER, STRANGER, follow_symlinks=False)
        before = state_of(private)
        (outcome,) = launch(experiment, silent)
        assert "link that another user made" in outcome.message
        assert state_of(private) == before


def test_a_link_of_ones_own_is_a_place_for_runs(tmp_path: Path) -> None:
    experiment = abandoned(tmp_path, os.getpid())
    (experiment.path / "run_0").rename(tmp_path / "large disk")
    (experiment.path / "run_0").symlink_to(tmp_path / "large disk")
    assert launch(experiment, silent).all_succeeded
    assert (tmp_path / "large disk" / "outcome.json").exists()


@pytest.mark.parametrize("where", ["outside", "through a link", "with a link inside"])
def test_a_control_group_that_a_file_names_is_one_of_the_kernels_and_ours(
    tmp_path: Path, where: str
) -> None:
    gone = ProcessIdentity("", "", 1 << 30, 5)
    group = tmp_path / f"runslot-{gone.pid}-5"
    group.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (group / "cgroup.procs").touch()
    if where == "with a link inside":
        (group / "cgroup.kill").symlink_to(precious)
    else:
        (group / "cgroup.kill").write_text("precious")
    if where == "through a link":
        (tmp_path / "link").symlink_to(tmp_path)
        group = tmp_path / "link" / group.name
    assert end_group(str(group), gone) == 0
    assert precious.read_text() == "precious"
    assert (group / "cgroup.kill").read_text() == "precious"


@AS_ROOT
@pytest.mark.parametrize(
    "name", ["journal.jsonl", "runs.jsonl", "launcher.log", "run_0/console.log"]
)
def test_nothing_is_appended_through_a_link_that_another_user_laid_for_a_file(
    tmp_path: Path, name: str
) -> None:
    experiment = Experiment("bait", ["true"], root=tmp_path / "r").prepare()
    private = tmp_path / "private"
    file = experiment.path / name
    file.parent.mkdir(exist_ok=True)
    private.write_bytes(
        (file.read_bytes() if file.exists() else b"") + b"a last line without an end"
    )
    before = private.read_bytes()
    file.unlink(missing_ok=True)
    file.symlink_to(private)
    os.chown(file, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises((OSError, RunslotError), match="another user made: nothing is written"):
        _write(experiment, name)
    assert private.read_bytes() == before


def _write(experiment: ExperimentDir, name: str) -> None:
    if name == "runs.jsonl":
        experiment.append_runs(experiment.read_runs())
    (outcome,) = launch(experiment, silent)
    raise RunslotError(outcome.message)


def others_link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)


@AS_ROOT
def test_a_run_writes_through_no_link_that_another_user_laid_for_what_it_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(_variant: dict) -> None:
        for step in range(3):
            logger.record_tabular("step", step)
            if step:
                logger.record_tabular("loss", step)  # a column more: the file is written anew
            logger.dump_tabular()
            logger.save_itr_params(step, {"weights": [step]})
            logger.log("a line")

    monkeypatch.setenv("RUNSLOT_SINKS", "jsonl")
    experiment = Experiment(
        "bait", train, root=tmp_path / "r", seeds=2, snapshot_mode="last"
    ).prepare()
    logs = ("progress.csv", "debug.log", "progress.jsonl", "params.pkl", "variant.json")
    laid = [
        *(("run_0", name) for name in logs),
        ("run_1", ".progress.csv.wider"),
        ("run_1", "logger_problems.json"),
    ]
    victims = [tmp_path / f"private {name}" for _, name in laid]
    for victim, (run, name) in zip(victims, laid, strict=True):
        victim.write_text("precious")
        others_link(experiment.path / run / name, victim)
    outcomes = launch(experiment, silent)
    # what cannot be logged fails no run
    assert [outcome.kind for outcome in outcomes] == ["succeeded"] * 2
    assert [victim.read_text() for victim in victims] == ["precious"] * len(victims)
    notes = " ".join(note for outcome in outcomes for note in outcome.notes)
    assert "progress.csv: failed" in notes
    assert "is a link that another user made" in notes


@AS_ROOT
@pytest.mark.parametrize("name", ["requests", "workers", "payloads", "cloud", "slurm"])
def test_no_directory_of_an_experiment_is_one_that_another_users_link_leads_to(
    tmp_path: Path, name: str
) -> None:
    experiment = Experiment("bait", ["true"], root=tmp_path / "r").prepare()
    private = tmp_path / "private"
    private.mkdir()
    others_link(experiment.path / name, private)
    for act in (
        lambda: launch(experiment, silent),
        lambda: leave_request(experiment, "stop"),
        lambda: work(experiment),
    ):
        with pytest.raises(LeadsOut, match=f"{name} is a link that another user made"):
            act()
    assert list(private.iterdir()) == []
    os.chown(experiment.path / name, 0, 0, follow_symlinks=False)
    assert launch(experiment, silent).all_succeeded  # one's own link is a place of one's own


def work(experiment: ExperimentDir) -> None:
    OpenExperiment.as_worker(experiment, "w", {}, moved=False)


@AS_ROOT
def test_an_earlier_attempt_is_kept_in_no_place_that_another_users_link_leads_to(
    tmp_path: Path,
) -> None:
    experiment = Experiment("bait", ["false"], root=tmp_path / "r").prepare()
    launch(experiment, silent)
    private = tmp_path / "private"
    private.mkdir()
    others_link(experiment.path / "run_0" / "attempt_1", private)
    (outcome,) = launch(experiment, silent, failed=True)
    assert outcome.kind == "lost"
    assert "attempt_1 is a link that another user made" in outcome.message
    assert list(private.iterdir()) == []


@AS_ROOT
def test_nothing_is_pulled_through_a_link_that_another_user_laid(tmp_path: Path) -> None:
    home, private = tmp_path / "home", tmp_path / "private"
    for place in (home / "lr=1", private):
        place.mkdir(parents=True)
    others_link(home / "lr=1" / "run_0", private)
    (private / "outcome.json").write_text("precious")
    machine, store, share = (
        tmp_path / "machine",
        open_store(f"file://{tmp_path}/bucket"),
        MachineShare("m", "b", 1),
    )
    (machine / "lr=1" / "run_0").mkdir(parents=True)
    (machine / "lr=1" / "run_0" / "outcome.json").write_text("{}")
    pusher = Pusher(store, share, machine, ["lr=1/run_0"], "m1")
    pusher.claim()
    pusher.push()
    with pytest.raises(
        RunslotError, match="run_0 is a link that another user made: nothing is pulled"
    ):
        pull(store, share, home)
    assert (private / "outcome.json").read_text() == "precious"


@AS_ROOT
def test_a_file_of_another_user_is_not_appended_to_and_one_of_a_trusted_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log"
    file.write_text("theirs\n")
    os.chown(file, STRANGER, STRANGER)
    with pytest.raises(OSError, match="belongs to user 64001: nothing is written into it"):
        open_to_append(file)
    monkeypatch.setenv("RUNSLOT_TRUST", str(STRANGER))
    os.close(open_to_append(file))


@AS_ROOT
def test_a_run_does_not_start_in_a_directory_that_another_user_made_for_it(tmp_path: Path) -> None:
    experiment = Experiment("bait", ["true"], root=tmp_path / "r").prepare()
    place = experiment.path / "run_0"
    place.mkdir()
    os.chown(place, STRANGER, STRANGER)
    (outcome,) = launch(experiment, silent)
    assert outcome.kind == "lost"
    assert "belongs to user 64001" in outcome.message
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", ["launcher.log", "run_0/console.log"])
def test_a_named_pipe_for_a_log_holds_nobody(tmp_path: Path, name: str) -> None:
    experiment = Experiment("bait", ["true"], root=tmp_path / "r").prepare()
    (experiment.path / name).parent.mkdir(exist_ok=True)
    (experiment.path / name).unlink(missing_ok=True)
    os.mkfifo(experiment.path / name)
    argv = [sys.executable, "-m", "runslot", "resume", "--quiet", str(experiment.path)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert name in ended.stderr or name in str(
        [each.outcome for each in read_status(experiment).runs]
    )


def test_a_log_that_leads_to_a_place_of_ones_own_is_written_there(tmp_path: Path) -> None:
    experiment = Experiment("bait", ["echo", "hello"], root=tmp_path / "r").prepare()
    (experiment.path / "run_0").mkdir()
    (experiment.path / "run_0" / "console.log").symlink_to(tmp_path / "large disk")
    assert launch(experiment, silent).all_succeeded
    assert (tmp_path / "large disk").read_text() == "hello\n"
