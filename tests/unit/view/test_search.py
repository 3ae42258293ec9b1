"""A search on the page: what its journal and its runs say, and that nothing of a user's runs for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runslot.view.web.live_runs import LiveRuns
from runslot.view.web.search_routes import importance_document, search_document

TRAIN = """
import time
from runslot import logger

def train(variant):
    for step in range(1, 4):
        time.sleep(0.05)
        logger.record_dict({"step": step, "loss": abs(variant["lr"] - 0.3) + 1 / step})
        logger.dump_tabular()
"""
SPACE = """
from pathlib import Path

def space(trial):
    Path(__file__).with_name("called").touch()
    trial.suggest_float("lr", 0, 1)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "fit.py").write_text(TRAIN)
    (tmp_path / "space.py").write_text(SPACE)
    return tmp_path


def runslot(place: Path, *words: str) -> str:
    environment = {**os.environ, "XDG_STATE_HOME": str(place), "XDG_CACHE_HOME": str(place)}
    command = [sys.executable, "-m", "runslot", *words]
    done = subprocess.run(
        command,
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def searched(place: Path, space: str, *words: str) -> dict[str, Any]:
    goal = ("--metric", "loss", "--mode", "min", "--sampler", "random", "--trials", "8")
    runslot(place, "run", "fit.py:train", "--search", space, *goal, *words, "-q")
    moment = LiveRuns([place / "runs"], cache=False).now()
    assert len(moment.searches) == 1
    return search_document(moment, "")


def test_the_page_says_of_a_search_what_status_says(place: Path) -> None:
    prune = ("--prune", "asha:first=1,eta=2,last=3", "--test-seeds", "1")
    page = searched(place, "lr=uniform(0,1)", *prune)
    (experiment,) = json.loads(runslot(place, "status", "runs", "--json"))["experiments"]
    status = experiment["search"]
    assert page["message"] is None
    for mine, its in zip(page["trials"], status["trials"], strict=True):
        assert (mine["trial"], mine["status"], mine["rung"]) == (
            its["trial"],
            its["status"],
            its["rung"],
        )
        assert mine["value"] == pytest.approx(its["value"])
        assert mine["numbers"] == [its["params"]["lr"]]
    assert page["best"] == status["best"]
    assert page["tested"] == pytest.approx(status["tested"])
    complete = [t["value"] for t in page["trials"] if t["status"] == "complete"]
    assert page["trials"][-1]["best"] == pytest.approx(min(complete))
    checklist = runslot(place, "results", "runs", "--checklist")
    assert "by random, 8 trials" in checklist
    assert "drawn from lr=uniform(0,1)" in checklist  # the range, not what was tried alone
    first = page["rungs"][0]["arrivals"]
    assert {one["trial"] for one in first} == {t["trial"] for t in page["trials"]}
    pruned = {t["trial"] for t in page["trials"] if t["status"] == "pruned"}
    fates = {
        one["trial"] for r in page["rungs"] for one in r["arrivals"] if one["fate"] == "pruned"
    }
    assert fates == pruned


def test_a_space_that_is_a_function_is_never_called_by_the_page(place: Path) -> None:
    page = searched(place, "space.py:space")
    (place / "called").unlink()
    moment = LiveRuns([place / "runs"], cache=False).now()
    page = search_document(moment, "")
    assert [t["status"] for t in page["trials"]] == ["complete"] * 8
    assert all(t["run"] for t in page["trials"])
    assert not (place / "called").exists()
    shares = importance_document(moment, page["name"])
    assert {row["label"] for row in shares["shares"]} >= {"lr"} or shares["message"]
    assert not (place / "called").exists()


def test_a_damaged_journal_is_said_and_breaks_nothing_else(place: Path) -> None:
    searched(place, "lr=uniform(0,1)")
    journal = next(p for p in (place / "runs").rglob("journal.jsonl") if "latest" not in p.parts)
    journal.write_text('{"event": "trial", "trial": 5, "params": {"lr": 0.1}}\n')
    page = search_document(LiveRuns([place / "runs"], cache=False).now(), "")
    assert "trial 5" in page["message"]


def test_what_is_no_search_says_so(runs: Path) -> None:
    moment = LiveRuns([runs], cache=False).now()
    assert moment.searches == {}
    assert "No experiment here is a search" in search_document(moment, "")["message"]
