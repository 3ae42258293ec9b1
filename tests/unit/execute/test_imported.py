"""What a module makes when it is imported belongs to the template: every run has it, and none takes it away."""

from __future__ import annotations

from pathlib import Path

from runslot import Experiment

MODULE = """
import os, tempfile, weakref
from pathlib import Path

SCRATCH = tempfile.TemporaryDirectory()
Path(SCRATCH.name, "data").write_text("made by the import")

class Thing:
    pass

def train(variant):
    thing = Thing()
    thing.finalizer = weakref.finalize(thing, Path(os.environ["RUNSLOT_RUN"], "finalized").write_text, "by the run")
    Thing.kept = thing
    print(SCRATCH.name, Path(SCRATCH.name, "data").read_text())
"""


def test_finalizers_of_the_import_are_the_templates_and_those_of_a_run_its_own(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    outcomes = Experiment("i", f"{tmp_path / 'module.py'}:train", seeds=3, root=tmp_path / "runs").launch()
    assert outcomes.all_succeeded, outcomes.failed
    runs = [outcomes.directory / run.directory for run, _ in outcomes.pairs]
    said = {(run / "console.log").read_text().strip() for run in runs}
    assert len(said) == 1
    assert [(run / "finalized").read_text() for run in runs] == ["by the run"] * 3
    assert not Path(said.pop().split()[0]).exists()  # the template, when the launch was over
