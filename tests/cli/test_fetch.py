"""Which files of runs on other machines come home: `--fetch`, `--no-fetch`; over rsync, with a
stand-in for ssh.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runslot.engines.batch.site import LoginSite
from runslot.experiment.records import Command, ExperimentFile, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.transport.ssh import Host

pytestmark = pytest.mark.skipif(
    shutil.which("rsync") is None, reason="there is no rsync on this machine"
)

WRITES = """
import os
from pathlib import Path
from runslot import logger

def train(variant):
    for name in ("model.pt", "notes.txt", "deep/model.pt", "deep/notes.txt", "deep/console.log"):
        path = Path(os.environ["RUNSLOT_RUN"], name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    logger.record_tabular("loss", 1)
    logger.dump_tabular()
"""
CONTINUES = """
import os
from pathlib import Path

def train(variant):
    model = Path(os.environ["RUNSLOT_RUN"], "model.pt")
    print(model.exists())
    model.touch()
    if os.environ["RUNSLOT_ATTEMPT"] == "1":
        raise SystemExit(3)
"""
CONTRACT = {"run.json", "outcome.json", "progress.csv", "console.log", "variant.json"}


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the host `far1`, which `ssh` reaches."""
    home, programs = tmp_path / "far", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    (programs / "ssh").symlink_to(Path(__file__).with_name("ssh_stand_in"))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAR_HOME", str(home))
    return home


def files_of(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "home"),
    [
        ([], {"model.pt", "notes.txt", "deep/model.pt", "deep/notes.txt", "deep/console.log"}),
        (
            [
                "--fetch",
                "deep/",
                "--no-fetch",
                "*.pt",
                "--no-fetch",
                "*.log",
                "--no-fetch",
                "*.csv",
            ],
            {"deep/notes.txt"},
        ),
    ],
)
def test_what_is_chosen_comes_home_from_an_ssh_host_and_what_tells_how_it_went(
    runslot, far, options, home
):
    (runslot.directory / "work.py").write_text(WRITES)
    (runslot.directory / "runslot.toml").write_text(
        f'[launchers.far]\nkind = "ssh"\nhosts = ["far1"]\npython = "{sys.executable}"\nsync_every'
        " = 0.5\n"
    )
    said = runslot("run", "work.py:train", "--on", "far", "--name", "w", *options).stdout
    (run,) = runslot.root.glob("w/2*/run_0")
    files = files_of(run)
    assert files >= CONTRACT
    assert (
        files & {"model.pt", "notes.txt", "deep/model.pt", "deep/notes.txt", "deep/console.log"}
        == home
    )
    assert json.loads((run / "outcome.json").read_text())["kind"] == "succeeded"
    stayed = {
        path.relative_to(far).as_posix().rpartition("/run_0/")[2]
        for path in far.rglob("*")
        if path.is_file()
    }
    everything = {"model.pt", "notes.txt", "deep/model.pt", "deep/notes.txt", "deep/console.log"}
    assert stayed - {name for name in stayed if name.startswith(".runslot/")} == everything - home
    assert ("files of 1 run that do not come home stay on host far1, below " in said) == bool(
        options
    )


LAUNCHKIT = """
from pathlib import Path
from runslot import logger, run_experiment

def train(variant):
    directory = Path(logger.get_snapshot_dir())
    (directory / "model.pt").write_text("")
    (directory / "notes.txt").write_text("")

if __name__ == "__main__":
    patterns = dict(code_exclude=["*.mp4"], no_fetch=["*.pt"])
    run_experiment(train, mode="ssh", exp_prefix="far", base_log_dir="logs", **patterns)
    run_experiment(train, exp_prefix="here", base_log_dir="logs", **patterns)
"""


def test_launchkits_call_chooses_the_code_that_travels_and_what_comes_home(tmp_path, far):
    project = tmp_path / "project"
    project.mkdir()
    (project / "work.py").write_text(LAUNCHKIT)
    (project / "video.mp4").touch()
    (project / "runslot.toml").write_text(
        f'[launchers.ssh]\nkind = "ssh"\nhosts = ["far1"]\npython = "{sys.executable}"\nsync_every'
        " = 0.5\n"
    )
    done = subprocess.run(
        [sys.executable, "work.py"], cwd=project, check=True, capture_output=True, text=True
    )
    (notes,) = project.glob("logs/*-far/*/notes.txt")
    assert not (notes.parent / "model.pt").exists()
    code = {path.name for path in project.glob("logs/*-far/.runslot/*/code/*")}
    assert "work.py" in code
    assert "video.mp4" not in code
    (local,) = project.glob("logs/*-here/*/model.pt")
    assert local.exists()
    assert (
        done.stdout.count(
            "note: code_include and code_exclude choose what is copied, and nothing is\n"
        )
        == 1
    )
    assert done.stdout.count("note: fetch and no_fetch choose what comes home") == 1


def test_a_further_attempt_finds_what_stayed_only_where_it_continues(runslot, far):
    (runslot.directory / "work.py").write_text(CONTINUES)
    (runslot.directory / "runslot.toml").write_text(
        f'[launchers.far]\nkind = "ssh"\nhosts = ["far1"]\npython = "{sys.executable}"\nsync_every'
        " = 0.5\n"
    )
    options = ["work.py:train", "--on", "far", "--no-fetch", "*.pt", "--retries", "1"]
    runslot("run", *options, "--name", "anew")
    runslot("run", *options, "--name", "on", "--resumable")
    (anew,) = runslot.root.glob("anew/2*/run_0/console.log")
    (on,) = runslot.root.glob("on/2*/run_0/console.log")
    assert anew.read_text() == "False\n"
    assert on.read_text() == "False\nTrue\n"


def test_a_login_hosts_files_are_chosen_too(far, tmp_path):
    experiment = ExperimentDir(tmp_path / "here")
    experiment.path.mkdir()
    file = ExperimentFile(
        "x", Command(("ls",)), 0.0, "/", "python", no_fetch=("*.pt", "console.log")
    )
    run = Run("1", "a b", {}, "a b/run_0")
    host = Host("far1")
    try:
        site = LoginSite(experiment, file, host, "clones")
        there = Path(site.directory, run.directory)
        (there / "deep").mkdir(parents=True)
        for name in (
            "model.pt",
            "deep/model.pt",
            "deep/console.log",
            "deep/new\nline",
            "progress.csv",
            "console.log",
        ):
            (there / name).write_text(name)
        (there / "outcome.json").write_text("{}")
        (experiment.path / run.directory).mkdir(parents=True)
        site.fetch([RunDir(experiment.path / run.directory)])
    finally:
        host.close()
    home = files_of(experiment.path / run.directory)
    assert home == {"deep/new\nline", "progress.csv", "console.log", "outcome.json"}


def test_where_nothing_has_to_come_home_that_is_said(runslot):
    said = runslot("run", "train.py:train", "--grid", "lr=1", "--no-fetch", "*.pt", "--dry-run")
    assert "note: fetch and no_fetch choose what comes home" in said.stdout + said.stderr


def test_patterns_are_refused_where_they_are_said(runslot):
    (runslot.directory / "s.yaml").write_text(
        "function: train.py:train\ngrid: {lr: 1}\nno_fetch: ['!a']\n"
    )
    assert "s.yaml, line 3: no_fetch: '!a': nothing is negated" in runslot.refused("run", "s.yaml")
    assert "--fetch: '../up' is no path" in runslot.refused(
        "run", "train.py:train", "--fetch", "../up"
    )
