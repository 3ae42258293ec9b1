"""An experiment that is moved or removed under its launcher: nothing is made in its old place,
lost, or run twice.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runslot import Experiment, Resources, Search
from runslot.engines.local.template import KeeperProcess
from runslot.engines.open_experiment import OpenExperiment
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.launch.launch import launch

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
]

MARK = (
    "echo begin $0 >> $1/marks; n=0;"
    " until [ -e $1/go-$0 -o $n = 2000 ]; do sleep 0.05; n=$((n + 1)); done;"
    " echo end $0 >> $1/marks"
)


class Sweep:
    """A launch of six runs, one after another or two at a time: each ends when it is let go on, as
    the first is.
    """

    def __init__(self, until, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.root = tmp_path / "root"
        self.output = tmp_path / "output"
        argv = [
            sys.executable,
            "-m",
            "runslot",
            "run",
            "--root",
            str(self.root),
            "--name",
            "m",
            "--seeds",
            "6",
        ]
        work = ["--cpus-per-run", "1", "--", "sh", "-c", MARK, "{seed}", str(tmp_path)]
        with self.output.open("w") as out:
            self.launcher = subprocess.Popen(
                [*argv, *work], stdout=out, stderr=out, start_new_session=True
            )
        self.let_go_on(0)
        until(lambda: self.count("end") == 1)
        (self.directory,) = self.root.glob("m/2*")
        # All slots have a run that is under way: one that starts as its root is moved is another test.
        started = json.loads((self.directory / "journal.jsonl").read_text().splitlines()[0])
        until(lambda: self.count("begin") == min(6, started["slots"] + 1))

    def let_go_on(self, *seeds: int) -> None:
        """Let these runs end, under way or to come; without seeds all."""
        for seed in seeds or range(6):
            (self.tmp_path / f"go-{seed}").touch()

    def count(self, word: str) -> int:
        """Return how many runs have begun, or ended, as they wrote themselves."""
        return self.marks().count(word)

    def marks(self) -> str:
        marks = self.tmp_path / "marks"
        return marks.read_text() if marks.exists() else ""

    def check(self, directory: Path) -> None:
        """All have succeeded, each executed once."""
        assert {each.state for each in read_status(ExperimentDir(directory)).runs} == {"succeeded"}
        assert sorted(self.marks().split()[1::2]) == sorted(
            str(seed) for seed in range(6) for _ in range(2)
        )


def runslot(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "runslot", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)


def test_a_root_that_is_moved_away_and_back_misses_nothing(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    sweep.root.rename(tmp_path / "elsewhere")
    until(lambda: "was moved to" in sweep.output.read_text())
    sweep.let_go_on()
    until(lambda: sweep.count("end") == sweep.count("begin"))
    assert sweep.count("begin") < 6
    assert not sweep.root.exists()
    (tmp_path / "elsewhere").rename(sweep.root)
    assert sweep.launcher.wait(60) == 0, sweep.output.read_text()
    assert "is back: its runs go on" in sweep.output.read_text()
    sweep.check(sweep.directory)


def test_a_root_that_stays_away_is_resumed_at_its_new_place(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    sweep.root.rename(elsewhere)
    sweep.let_go_on()
    assert sweep.launcher.wait(60) == 2, sweep.output.read_text()
    assert not sweep.root.exists()
    moved = elsewhere / sweep.directory.relative_to(sweep.root)
    assert f"`runslot resume {moved}` goes on there" in sweep.output.read_text()
    counts = read_status(ExperimentDir(moved)).counts
    assert set(counts) == {"succeeded", "queued"}
    resumed = runslot("resume", moved)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    sweep.check(moved)


LOGS = """
import sys, time
from pathlib import Path
from runslot import logger

def train(variant, directory=Path(__file__).parent):
    (directory / "begun").touch()
    wait(directory / "log")
    for epoch in range(3):
        logger.record_dict({"epoch": epoch})
        logger.dump_tabular()
    (directory / "logged").touch()
    wait(directory / "end")

def wait(file):
    end = time.monotonic() + 60
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.01)

if __name__ == "__main__":
    train(None)
"""


@pytest.mark.parametrize("kind", ["function", "command"])
def test_rows_of_a_run_whose_root_is_away_are_not_lost(until, tmp_path: Path, kind: str) -> None:
    program, root, elsewhere = tmp_path / "p.py", tmp_path / "root", tmp_path / "elsewhere"
    program.write_text(LOGS)
    work = [f"{program}:train"] if kind == "function" else ["--", sys.executable, str(program)]
    argv = [sys.executable, "-m", "runslot", "run", "--root", str(root), "--name", "m"]
    with (tmp_path / "output").open("w") as out:
        launcher = subprocess.Popen([*argv, *work], stdout=out, stderr=out)
    until((tmp_path / "begun").exists)
    root.rename(elsewhere)
    (tmp_path / "log").touch()
    until((tmp_path / "logged").exists)
    assert not root.exists()
    followed = len([*elsewhere.glob("m/2*/run_0/progress.csv")])
    assert followed == (kind == "function")  # a script asks where it is when it logs first
    elsewhere.rename(root)
    (tmp_path / "end").touch()
    assert launcher.wait(60) == 0, (tmp_path / "output").read_text()
    (rows,) = root.glob("m/2*/run_0/progress.csv")
    assert rows.read_text().split() == ["epoch", "0", "1", "2"]


@pytest.mark.parametrize("space", [[{}], [{"lr": 0.1}]], ids=["beside each other", "nested"])
def test_a_start_at_the_moment_of_the_move_makes_nothing_in_the_old_place(
    tmp_path: Path, space: list[dict[str, float]]
) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    directory = Experiment("m", ["true"], variants=space, seeds=2, root=root).prepare()
    experiment = OpenExperiment.open(directory, {})
    first, second = directory.read_runs()
    assert experiment.prepare(first, 1).run_file.exists()
    root.rename(elsewhere)
    with pytest.raises(FileNotFoundError):
        experiment.prepare(second, 1)
    assert not root.exists()
    experiment.close()


def test_a_launcher_is_stopped_from_the_new_place(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    sweep.root.rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / sweep.directory.relative_to(sweep.root)
    stopped = runslot("stop", moved)
    assert stopped.returncode == 0, stopped.stderr
    sweep.launcher.wait(60)
    assert not read_status(ExperimentDir(moved)).counts.get("running")
    sweep.let_go_on()
    assert runslot("resume", moved).returncode == 0
    assert not sweep.root.exists()


def test_a_root_that_is_away_as_the_last_run_ends_is_waited_for(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    sweep.let_go_on(1, 2, 3, 4)
    until(lambda: sweep.count("end") == 5 and sweep.count("begin") == 6)
    sweep.root.rename(tmp_path / "elsewhere")
    sweep.let_go_on()
    until(lambda: sweep.count("end") == 6)
    until(lambda: "was moved to" in sweep.output.read_text())
    time.sleep(0.5)
    assert sweep.launcher.poll() is None, sweep.output.read_text()
    (tmp_path / "elsewhere").rename(sweep.root)
    assert sweep.launcher.wait(60) == 0, sweep.output.read_text()
    assert "all 6 runs succeeded" in sweep.output.read_text()
    sweep.check(sweep.directory)


@pytest.mark.parametrize("word", [" in 1 slot ", " adopted "], ids=["before", "after"])
def test_a_run_to_adopt_is_not_ended_where_its_root_is_away(
    until, tmp_path: Path, word: str
) -> None:
    root, go, marks = tmp_path / "root", tmp_path / "go", tmp_path / "marks"
    command = f"echo begin >> {marks}; while ! [ -e {go} ]; do sleep 0.1; done; echo end >> {marks}"
    argv = [sys.executable, "-m", "runslot", "run", "--root", root, "--name", "m", "--", "sh", "-c"]
    with subprocess.Popen([*map(str, argv), command], stdout=subprocess.DEVNULL) as launcher:
        until(marks.exists)
        launcher.kill()
    (directory,) = root.glob("m/2*")
    with subprocess.Popen(
        [sys.executable, "-m", "runslot", "resume", str(directory)],
        stdout=subprocess.PIPE,
        text=True,
    ) as resumed:
        assert resumed.stdout is not None
        while word not in (line := resumed.stdout.readline()):
            assert line
        root.rename(tmp_path / "elsewhere")
        time.sleep(1)
        (tmp_path / "elsewhere").rename(root)
        go.touch()
        said = resumed.stdout.read()
        assert resumed.wait(60) == 0, said
    assert marks.read_text().split() == ["begin", "end"]
    (run,) = read_status(ExperimentDir(directory)).runs
    assert run.state == "succeeded"
    assert run.attempts == 1


def test_a_start_that_a_move_made_vain_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away for the moment in which its keeper begins alone, so that nobody sees it away."""
    root, vain = tmp_path / "root", []

    def start(keeper: KeeperProcess, *arguments: Any) -> None:
        if not vain:
            vain.append(keeper)
            root.rename(tmp_path / "elsewhere")
            real_start(keeper, *arguments)
            time.sleep(1)
            (tmp_path / "elsewhere").rename(root)
        else:
            real_start(keeper, *arguments)

    real_start = KeeperProcess.start
    monkeypatch.setattr(KeeperProcess, "start", start)
    outcomes = Experiment("m", ["true"], seeds=2, root=root).launch()
    assert vain
    assert [outcome.kind for outcome in outcomes] == ["succeeded", "succeeded"]
    assert [outcome.attempt for outcome in outcomes] == [1, 1]


STEPS = """
import time
from runslot import logger

def train(variant):
    kept = logger.load_itr_params()
    for epoch in range(kept["epoch"] + 1 if kept else 1, 10):
        time.sleep(0.05)
        logger.save_itr_params(epoch, {"epoch": epoch})
        logger.record_dict({"epoch": epoch, "loss": variant["lr"] / epoch})
        logger.dump_tabular()
"""


def test_a_search_outlives_moves_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each third time that a search has found where its runs are, they are elsewhere until the
    next.
    """
    program, root, elsewhere = tmp_path / "p.py", tmp_path / "root", tmp_path / "elsewhere"
    program.write_text(STEPS)
    looks, real_place, said = itertools.count(), OpenExperiment.place, []

    def place(experiment: OpenExperiment) -> Path | None:
        if elsewhere.exists():
            elsewhere.rename(root)
        found = real_place(experiment)
        asks = sys._getframe(1).f_code.co_filename
        if asks.endswith("searcher.py") and next(looks) % 3 == 0:
            root.rename(elsewhere)
        return found

    search = Search(
        "loss",
        "min",
        {"lr": "loguniform(1e-3,1)"},
        trials=5,
        sampler="random",
        prune="asha:first=1,last=9",
    )
    experiment = Experiment(
        "m",
        f"{program}:train",
        search=search,
        resumable=True,
        root=root,
        resources=Resources(cpus=1),
    )
    directory = experiment.prepare()
    monkeypatch.setattr(OpenExperiment, "place", place)
    outcomes = launch(directory, lambda event: said.append(str(event)))
    assert {outcome.kind for outcome in outcomes} <= {"succeeded", "paused"}
    assert len(outcomes) == 5
    assert "left no snapshot" not in "".join(said)


def test_an_experiment_that_is_removed_ends_its_launcher_when_its_runs_have_ended(
    until,
    tmp_path: Path,
) -> None:
    sweep = Sweep(until, tmp_path)
    while sweep.root.exists():  # a file of the launch may come in between
        shutil.rmtree(sweep.root, ignore_errors=True)
    sweep.let_go_on()
    assert sweep.launcher.wait(60) == 2
    last = sweep.output.read_text().splitlines()[-1]
    assert "was removed" in last or "it has no experiment.json" in last  # files go one by one
    assert "Traceback" not in sweep.output.read_text()
    assert not sweep.root.exists()


def test_a_copy_in_the_old_place_is_another_experiment(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    sweep.root.rename(tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "elsewhere", sweep.root, symlinks=True)
    before = sorted(sweep.root.rglob("*"))
    sweep.let_go_on()
    assert sweep.launcher.wait(60) == 2
    assert sorted(sweep.root.rglob("*")) == before
