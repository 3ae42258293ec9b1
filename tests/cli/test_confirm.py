"""`runslot confirm`, and the command for further seeds that `runslot results --vs` prints."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask

from runslot.view.data.choices import Choices
from runslot.view.web.answer import document
from runslot.view.web.answer_routes import add_answer
from runslot.view.web.content import show
from runslot.view.web.guard import guard_for
from runslot.view.web.live_runs import LiveRuns
from runslot.view.web.texts import Texts

SCORES = """
import random, sys
from runslot import logger

def train(variant):
    \"\"\"Score by lr, with noise of the seed.\"\"\"
    noise = random.Random(f"{variant['seed']} {variant['lr']}").gauss(0, 0.1)
    logger.record_dict({"epoch": 1, "score": 1 - variant["lr"] + noise})
    logger.dump_tabular()
"""


@pytest.fixture
def swept(runslot: Any) -> Path:
    (runslot.directory / "scores.py").write_text(SCORES)
    runslot("run", "scores.py:train", "--grid", "lr=0.1,0.2,0.3,0.9", "--seeds", "2", "-q")
    newest: Path = (runslot.root / "scores" / "latest").resolve()
    return newest


def test_the_best_run_again_on_fresh_seeds_and_only_these_count(runslot: Any, swept: Path) -> None:
    planned = runslot("confirm", str(swept), "--top", "2", "--seeds", "3", "--dry-run").stdout
    assert "again on fresh seeds 2-4: 6 runs" in planned
    assert not (swept / "confirmation.json").exists()
    before = json.loads(runslot("results", str(swept), "--json").stdout)
    runslot("confirm", str(swept), "--top", "2", "--seeds", "3")
    after = json.loads(runslot("results", str(swept), "--json").stdout)
    chosen = {variant["label"] for variant in before["variants"][:2]}
    assert {variant["label"] for variant in after["variants"]} == chosen
    assert all(sorted(variant["seeds"]) == [2, 3, 4] for variant in after["variants"])
    assert after["accounting"]["counted"] == 6
    shown = runslot("results", str(swept)).stdout
    assert "6 runs: 6 counted" in shown
    assert "the 8 runs that they were chosen by are left out" in shown
    assert "14 runs: 14 counted" in runslot("results", str(swept), "--all-seeds").stdout

    page = answer_of_page(swept)
    assert {variant["label"] for variant in page["variants"]} == chosen
    assert page["accounting"].startswith("6 runs: 6 counted")
    assert page["sentence"].startswith(after["variants"][0]["label"])
    assert "the 8 runs that they were chosen by are left out" in page["notes"][0]
    assert "are left out" in runslot("results", str(swept), "--checklist").stdout
    assert "are left out" in runslot("results", str(swept), "--latex").stdout
    assert "are left out" in runslot("results", str(swept), "--csv", "-").stderr

    moment = LiveRuns([swept]).now()
    for kind in ("curves", "bars"):
        drawn = show(moment, Choices(kind=kind))  # type: ignore[arg-type]  # two of the words
        assert drawn.notes[0].startswith("6 runs: 6 counted")
        assert any("are left out" in note for note in drawn.notes)
        whole = show(moment, Choices(kind=kind, seeds="all"))  # type: ignore[arg-type]
        assert whole.notes[0].startswith("14 runs: 14 counted")

    grid = ("--grid", "lr=0.1,0.2,0.3,0.9", "--into", str(swept), "--seeds", "5,")  # as is advised
    runslot("run", "scores.py:train", *grid, "-q")
    shown = runslot("results", str(swept), "--vs", "best").stdout
    assert "8 runs: 8 counted" in shown
    assert "only the runs of 2 variants on the fresh seeds 2 to 5 count; the 8 runs that" in shown
    assert "were chosen by, and 2 of other variants since, are left out" in shown


def test_every_figure_and_file_counts_the_confirmed_runs_and_says_so(
    runslot: Any, swept: Path
) -> None:
    runslot("confirm", str(swept), "--top", "2", "--seeds", "3")
    left_out = "the 8 runs that they were chosen by are left out"
    for kind in ("curves", "bars", "scatter"):
        caption = runslot("plot", str(swept), "-o", f"{kind}.svg", "--kind", kind).stdout
        assert "6 runs: 6 counted" in caption
        assert caption.count("left out") == caption.count(left_out) == 1
    every = runslot("plot", str(swept), "-o", "every.svg", "--all-seeds").stdout
    assert "14 runs: 14 counted" in every
    assert left_out not in every

    said = runslot("export", str(swept), "--csv", "--out", "files").stderr
    assert "6 runs: 6 counted" in said
    assert left_out in said
    with (runslot.directory / "files" / "runs.csv").open() as file:
        standings = [row["standing"] for row in csv.DictReader(file)]
    assert sorted(standings) == ["chose"] * 8 + ["counted"] * 6

    runs = LiveRuns([swept])
    for kind in ("curves", "bars", "heat", "parallel"):
        page = show(runs.now(), Choices(kind=kind, y=("score",), series=("lr",)))
        assert any(left_out in note for note in page.notes), kind
        assert len(page.rows) == 6
    assert len(show(runs.now(), Choices(seeds="all")).rows) == 14
    assert len(show(runs.now(), Choices(kind="slots")).rows) == 14
    server = Flask("test")
    add_answer(server, runs, Texts(runs.roots), guard_for("127.0.0.1", 1, (), token=False))
    client = server.test_client()
    listed = client.get("/answer-runs.json").json["all"]
    assert sum(map(len, listed.values())) == 6
    whole = client.get("/answer-runs.json?seeds=all").json["all"]
    assert sum(map(len, whole.values())) == 14


def test_one_variant_is_confirmed_by_the_name_that_it_has(runslot: Any) -> None:
    (runslot.directory / "scores.py").write_text(
        SCORES.replace("variant['lr']", "0").replace('variant["lr"]', "0")
    )
    runslot("run", "scores.py:train", "--seeds", "2", "-q")
    directory = (runslot.root / "scores" / "latest").resolve()
    runslot("confirm", str(directory), "--top", "1", "--seeds", "2")
    assert "2 runs: 2 counted" in runslot("results", str(directory)).stdout


def answer_of_page(directory: Path) -> dict[str, Any]:
    """Return what the page's first view shows."""
    runs = LiveRuns([directory])
    return document(runs.now(), Choices(), "", Texts(runs.roots))


def test_a_confirmation_that_has_not_ended_is_resumed_not_begun_anew(
    runslot: Any, swept: Path
) -> None:
    runslot("confirm", str(swept), "--top", "1", "--seeds", "1")
    record = json.loads((swept / "confirmation.json").read_text())
    (run,) = swept.glob(f"{record['variants'][0]}/run_2")
    (run / "outcome.json").unlink()
    assert "runslot resume" in runslot.refused("confirm", str(swept))
    runslot("resume", str(swept))
    runslot("confirm", str(swept), "--top", "1", "--seeds", "1")
    assert json.loads((swept / "confirmation.json").read_text())["seeds"] == [3]


def test_what_cannot_be_confirmed_is_refused_before_anything_is_written(
    runslot: Any, swept: Path
) -> None:
    assert "no run has a metric" in runslot.refused("confirm", str(swept), "--metric", "nothing")
    assert "neither max nor min" in runslot.refused("confirm", str(swept), "--mode", "up")
    damaged = swept / "confirmation.json"
    damaged.write_text('{"format": 1}')
    assert "is damaged" in runslot.refused("results", str(swept))


def test_the_command_for_further_seeds_runs_them(runslot: Any, swept: Path) -> None:
    document = json.loads(runslot("results", str(swept), "--vs", "best", "--json").stdout)
    schema = json.loads(runslot("schema", "results").stdout)
    jsonschema.validate(document, schema)
    command = document["command"]
    if command is None:  # what the seeds decide is left to chance: ask for one
        pytest.fail("the noise of the scores leaves a difference open that few seeds decide")
    words = shlex.split(command)
    assert words[:3] == ["runslot", "run", "scores.py:train"]
    runslot(*words[1:], "-q")
    seeds = {
        seed
        for variant in json.loads(runslot("results", str(swept), "--json").stdout)["variants"]
        for seed in variant["seeds"]
    }
    first, _, last = words[-1].rstrip(",").partition("-")
    assert seeds == {0, 1, *range(int(first), int(last or first) + 1)}


def test_two_variants_and_two_experiments_are_compared(runslot: Any, swept: Path) -> None:
    table = runslot("results", "compare", "lr=0.1", "lr=0.9", str(swept)).stdout
    assert "4 runs: 4 counted" in table
    again = runslot("results", "compare", str(swept), str(swept)).stdout
    assert "not decided" in again or "one run" in again
    assert "takes two" in runslot.refused("results", "compare", "lr=0.1")
    assert "no variant is called" in runslot.refused("results", str(swept), "--vs", "lr=7")
    assert "one output each" in runslot.refused("results", str(swept), "--json", "--latex")
