"""Finalizers of what a module makes when it is imported: the template's, or those of each run that
starts cold.
"""

from __future__ import annotations

from pathlib import Path

from runslot import Experiment

TEMPORARY = """
import tempfile
from pathlib import Path

SCRATCH = tempfile.TemporaryDirectory()
Path(SCRATCH.name, "data").write_text("made by the import")

def train(variant):
    print(SCRATCH.name, Path(SCRATCH.name, "data").read_text())
"""

FINALIZED = """
import os, weakref
from pathlib import Path

class Thing:
    pass

def end():
    with Path(__file__).with_name("ended").open("a") as file:
        print("by the import's", file=file)

MADE = Thing()
FINALIZER = weakref.finalize(MADE, end)

def train(variant):
    thing = Thing()
    thing.finalizer = weakref.finalize(thing, Path(os.environ["RUNSLOT_RUN"], "finalized").write_text, "by the run")
    Thing.kept = thing
"""


def _runs(tmp_path: Path, code: str) -> list[Path]:
    (tmp_path / "module.py").write_text(code)
    outcomes = Experiment(
        "i", f"{tmp_path / 'module.py'}:train", seeds=3, root=tmp_path / "runs"
    ).launch()
    assert outcomes.all_succeeded, outcomes.failed
    return [outcomes.directory / run.directory for run, _ in outcomes.pairs]


def test_finalizers_of_the_import_are_the_templates_and_those_of_a_run_its_own(
    tmp_path: Path,
) -> None:
    runs = _runs(tmp_path, FINALIZED)
    assert [(run / "finalized").read_text() for run in runs] == ["by the run"] * 3
    # the template's, when the launch was over
    assert (tmp_path / "ended").read_text() == "by the import's\n"


def test_a_temporary_directory_of_the_import_is_each_runs_own_and_ends_with_it(
    tmp_path: Path,
) -> None:
    words = [(run / "console.log").read_text().split() for run in _runs(tmp_path, TEMPORARY)]
    assert [line[1:] for line in words] == [["made", "by", "the", "import"]] * 3
    directories = {Path(line[0]) for line in words}
    assert len(directories) == 3
    assert not any(directory.exists() for directory in directories)
