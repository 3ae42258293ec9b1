"""Tags and notes: a file of the experiment, which results read into columns and the page shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runslot.errors import InvalidInput
from runslot.experiment.annotations import Annotation, annotate, read_annotations
from runslot.results import load
from runslot.view.data.choices import Choices
from runslot.view.data.groups import choose
from runslot.view.web.answer import document
from runslot.view.web.live_runs import LiveRuns
from runslot.view.web.texts import Texts


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Write an experiment of runslot's with 2 variants of 2 runs."""
    root = tmp_path / "experiment"
    root.mkdir()
    (root / "experiment.json").write_text(json.dumps({"format": 1, "name": "e", "run_count": 4}))
    for lr in (0.1, 0.2):
        for seed in range(2):
            directory = root / f"lr={lr}" / f"run_{seed}"
            directory.mkdir(parents=True)
            inner = {
                "format": 1,
                "id": f"{lr}-{seed}",
                "name": f"lr={lr}",
                "variant": {"lr": lr},
                "directory": f"lr={lr}/run_{seed}",
                "seed": seed,
            }
            command = {"format": 1, "argv": ["true"]}
            places = {"cwd": "/", "python": "python", "home": "../.."}
            run = {"format": 1, "run": inner, "experiment": "e", "work": {"command": command}}
            run |= places
            (directory / "run.json").write_text(json.dumps(run))
            (directory / "outcome.json").write_text(json.dumps({"kind": "succeeded"}))
            (directory / "progress.csv").write_text(f"step,score\n0,{lr + seed / 100}\n")
    return root


def tagged(root: Path) -> dict[str, str | None]:
    frame = load(root).runs
    return dict(frame.select("run", "tags").iter_rows()) if "tags" in frame.columns else {}


def test_tags_of_a_run_its_variant_and_its_experiment_add_up(experiment: Path) -> None:
    assert tagged(experiment) == {}
    annotate(experiment, [Annotation("lr=0.1", add=("keep",)), Annotation("", add=("paper",))])
    annotate(experiment, [Annotation("lr=0.1/run_1", add=("bad", "keep"))])
    assert tagged(experiment) == {
        "lr=0.1/run_0": "keep, paper",
        "lr=0.1/run_1": "bad, keep, paper",
        "lr=0.2/run_0": "paper",
        "lr=0.2/run_1": "paper",
    }
    annotate(experiment, [Annotation("lr=0.1", remove=("keep",))])
    assert tagged(experiment)["lr=0.1/run_0"] == "paper"
    assert tagged(experiment)["lr=0.1/run_1"] == "bad, keep, paper"
    assert not list(experiment.glob("*/*/annotations*"))


def test_a_note_takes_the_place_of_the_one_before(experiment: Path) -> None:
    annotate(experiment, [Annotation("lr=0.1", note="first"), Annotation("lr=0.1", note="second")])
    assert read_annotations(experiment).of("lr=0.1/run_0") == ("", "second")
    annotate(experiment, [Annotation("lr=0.1", note="")])
    assert "note" not in load(experiment).runs.columns


def test_runs_are_chosen_by_what_is_said_of_them(experiment: Path) -> None:
    annotate(experiment, [Annotation("lr=0.2", add=("keep",), note="best so far")])
    results = load(experiment)
    assert results.where("tags LIKE '%keep%'").runs["seed"].to_list() == [0, 1]
    assert choose(results, Choices(text="so far")).runs.height == 2


def test_the_page_has_them_on_its_variants_and_sees_new_ones(experiment: Path) -> None:
    runs = LiveRuns([experiment])
    before = runs.now()
    annotate(experiment, [Annotation("lr=0.2/run_0", add=("odd",), note="<b>")])
    page = document(LiveRuns([experiment]).now(), Choices(), "", Texts(runs.roots))
    by_label = {variant["label"]: variant for variant in page["variants"]}
    assert by_label["lr=0.2"]["tags"] == ["odd"]
    assert by_label["lr=0.2"]["note"] == ["<b>"]
    assert "tags" not in by_label["lr=0.1"]
    assert "tags" not in before.results.runs.columns


@pytest.mark.parametrize("word", ["", "a b", "a,b", "x" * 65])
def test_a_word_that_is_no_tag_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput, match="is no tag"):
        Annotation("", add=(word,))


def test_a_broken_file_is_said_and_hides_no_run(experiment: Path) -> None:
    (experiment / "annotations.jsonl").write_text('{"place": ""}\nnonsense\n{"place": ""}\n')
    results = load(experiment)
    assert results.runs.height == 4
    assert any("annotations.jsonl, line 2" in str(problem) for problem in results.problems)
