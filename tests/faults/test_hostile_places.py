"""Unusual paths, full and read-only disks, directories that vanish: a clear message, and the other
runs go on.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from runslot import Experiment, InvalidInput, Resources, RunslotError, Variant
from runslot.engines.events import LaunchEvent, RunStarted
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.launch.experiment import silent

pytestmark = pytest.mark.fault

WRITE = "import sys; open(sys.argv[1] + '/made', 'w').write('x')"
ONE_AT_A_TIME = Resources(
    cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, threads="cores"
)


@pytest.mark.parametrize(
    "name", ["a b", "new\nline", "quote'\"$x", "é ü", os.fsdecode(b"not-utf8-\xff\xfe"), "n" * 200]
)
@pytest.mark.parametrize("kind", ["command", "function"])
def test_roots_of_any_name(name: str, kind: str, tmp_path: Path) -> None:
    def train(variant: dict) -> None:
        from pathlib import Path

        from runslot import current_run, logger

        run = current_run()
        assert run is not None
        logger.record_dict({"x": 1})
        logger.dump_tabular()
        (Path(run.directory) / "made").touch()

    root = tmp_path / name
    work = [sys.executable, "-c", WRITE, "{run_dir}"] if kind == "command" else train
    outcomes = Experiment("odd", work, seeds=2, root=root).launch(silent)
    assert outcomes.all_succeeded
    assert (outcomes.directory / "run_1" / "made").exists()
    assert {each.state for each in read_status(ExperimentDir(outcomes.directory)).runs} == {
        "succeeded"
    }


def test_a_variant_with_a_name_of_200_characters(tmp_path: Path) -> None:
    variant = Variant({"x": 1}, "v" * 200)
    assert (
        Experiment("long", [sys.executable, "-c", "pass"], variants=[variant])
        .launch(silent)
        .all_succeeded
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only directories")
def test_a_read_only_root_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="Permission denied"):
        Experiment("x", [sys.executable], root=tmp_path / "runs").launch(silent)


def test_a_file_in_the_roots_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="a file is in its place"):
        Experiment("x", [sys.executable], root=tmp_path / "file").launch(silent)


def test_a_run_whose_directory_is_deleted_under_it_does_not_stop_the_others(tmp_path: Path) -> None:
    program = "import sys, shutil; int(sys.argv[2]) == 1 and shutil.rmtree(sys.argv[1])"
    argv = [sys.executable, "-c", program, "{run_dir}", "{seed}"]
    outcomes = Experiment("gone", argv, seeds=4, resources=ONE_AT_A_TIME).launch(silent)
    kinds = {run.seed: outcome.kind for run, outcome in outcomes.pairs}
    assert kinds == dict.fromkeys(range(4), "succeeded")  # it ended with 0, whatever it removed


def test_an_experiment_that_is_deleted_under_its_launcher_ends_it_with_a_message(
    tmp_path: Path,
) -> None:
    def delete(event: LaunchEvent) -> None:
        if isinstance(event, RunStarted):
            shutil.rmtree(event.directory.parent, ignore_errors=True)

    with pytest.raises((RunslotError, OSError), match=r"has no experiment\.json"):
        Experiment("gone", [sys.executable, "-c", "pass"], seeds=4, root=tmp_path / "r").launch(
            delete
        )
