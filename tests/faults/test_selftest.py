"""The selftest that users have: it passes here, and it notices losses, doubles and leftovers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runslot import Experiment
from runslot.experiment.rundir import ExperimentDir
from runslot.testing.chaos import PROGRAM, problems_of

pytestmark = [pytest.mark.fault]


@pytest.mark.timeout(300)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="victims are found through /proc")
def test_the_selftest_passes_and_cleans_up(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "runslot", "selftest", "--chaos", "8", "--in", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was lost, nothing was executed twice" in done.stdout
    assert " runs in " in done.stdout
    for edge in (
        "a full disk: ",
        "a stopped keeper: right",
        "a node that is gone: right",
        "a root that is moved: right",
    ):
        assert edge in done.stdout
    assert not list(tmp_path.glob("runslot-selftest-*"))


def test_a_place_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "runslot", "selftest", "--in", str(tmp_path / "no")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be written to" in done.stderr


@pytest.fixture
def sweep(tmp_path: Path) -> ExperimentDir:
    """Three runs that went well."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    work = [sys.executable, "-S", str(program), "{run_dir}"]
    return ExperimentDir(
        Experiment("sound", work, seeds=3, root=tmp_path / "runs").launch().directory
    )


def test_a_sound_sweep_has_no_problems(sweep: ExperimentDir) -> None:
    assert list(problems_of(sweep)) == []


def test_a_loss_is_noticed(sweep: ExperimentDir) -> None:
    marks = sweep.path / "marks"
    kept = [line for line in marks.read_text().splitlines() if not line.startswith("end run_1 ")]
    marks.write_text("\n".join(kept) + "\n")
    assert list(problems_of(sweep)) == ["run_1 is said to have succeeded, and never ended"]


def test_a_double_is_noticed(sweep: ExperimentDir) -> None:
    marks = sweep.path / "marks"
    begun = next(
        float(line.split()[3])
        for line in marks.read_text().splitlines()
        if line.startswith("begin run_2 ")
    )
    with marks.open("a") as file:
        file.write(f"begin run_2 1 {begun + 0.001}\nend run_2 1 {begun + 1}\n")
    assert list(problems_of(sweep)) == [
        "run_2 was executed 2 times in 1 attempts",
        "run_2 was executed twice at the same time",
    ]


def test_what_is_not_finished_and_what_is_left_behind_is_noticed(sweep: ExperimentDir) -> None:
    lines = sweep.journal_file.read_text().splitlines()
    (sweep.path / "run_0" / "outcome.json").unlink()
    run = next(run.id for run in sweep.read_runs() if run.directory == "run_0")
    kept = [line for line in lines if not (f'"run":"{run}"' in line and '"ended"' in line)]
    sweep.journal_file.write_text("\n".join(kept) + "\n")
    left = subprocess.Popen(
        ["sleep", "60"], env={**os.environ, "RUNSLOT_RUN": str(sweep.path / "run_0")}
    )
    try:
        found = list(problems_of(sweep))
    finally:
        left.kill()
        left.wait()
    assert any(said.startswith("run_0 is lost") for said in found)
    assert f"process {left.pid} of a run is alive" in found
