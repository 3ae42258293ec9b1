"""A search from the command line: real runs, real kills, and what its files say afterwards."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

JOB = """
import time
from runslot import logger

def train(variant):
    best = 1 - (variant["lr"] - 0.3) ** 2 - 0.01 * variant["seed"]
    for epoch in range(1, variant.get("epochs", 3) + 1):
        time.sleep(variant.get("sleep", 0))
        logger.record_dict({"epoch": epoch, "accuracy": best * (1 - 0.5**epoch)})
        logger.save_itr_params(epoch, epoch)
        logger.dump_tabular()

def silent(variant):
    pass
"""
SEARCH = ("--search", "lr=uniform(0,1)", "--sampler", "random")
BEST = ("--metric", "accuracy", "--mode", "max")


@pytest.fixture
def job(runslot: Any) -> Any:
    (runslot.directory / "job.py").write_text(JOB)
    return runslot


def search(cli: Any, *options: str, status: int = 0) -> Path:
    """Run a search and return its directory."""
    done = cli("run", "job.py:train", *SEARCH, *BEST, *options, "-q", status=status)
    return Path(done.stdout.strip())


def events(directory: Path, name: str) -> list[dict[str, Any]]:
    """Return the events of one name of a journal."""
    lines = (directory / "journal.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == name]


def states(cli: Any, directory: Path) -> dict[str, int]:
    status = json.loads(cli("status", "--json", str(directory)).stdout)
    return dict(status["experiments"][0]["counts"])


def test_a_search_runs_its_trials_and_tests_the_winner_with_new_seeds(job):
    directory = search(job, "--trials", "6", "--seeds", "2", "--test-seeds", "2")

    trials = events(directory, "trial")
    assert [trial["trial"] for trial in trials] == list(range(6))
    values = {trial["trial"]: -((trial["params"]["lr"] - 0.3) ** 2) for trial in trials}
    winner = events(directory, "winner")[0]
    assert winner["trial"] == max(values, key=values.get)
    assert states(job, directory) == {"succeeded": 6 * 2 + 2}
    tested = sorted(
        path.name for path in directory.glob(f"lr={trials[winner['trial']]['params']['lr']}/*")
    )
    assert tested == ["run_0", "run_1", "run_2", "run_3"]


def test_a_grid_beside_the_search_is_crossed_with_it(job):
    directory = search(job, "--trials", "3", "--grid", "epochs=1,2")

    assert states(job, directory) == {"succeeded": 6}
    assert len({path.parent.parent.name for path in directory.glob("epochs=*/*/run_0")}) == 2


def test_every_variant_of_a_small_space_is_tried_once(job):
    words = ("--search", "lr=choice(0.1,0.2,0.3)", "--sampler", "random", *BEST)
    done = job("run", "job.py:train", *words, "--trials", "50", "-q")

    assert states(job, Path(done.stdout.strip())) == {"succeeded": 3}


def test_a_search_that_is_killed_again_and_again_asks_what_an_unbroken_one_asks(job, until):
    options = ("--trials", "8", "--grid", "sleep=0.05")
    whole = search(job, *options)
    started = job.start("run", "job.py:train", *SEARCH, *BEST, *options, "-q", "--root", "broken")
    until(lambda: list((job.directory / "broken").glob("job/2*/experiment.json")))
    (broken,) = (job.directory / "broken" / "job").glob("2*")
    for starts in (1, 3, 5, 6):
        until(lambda: len(events(broken, "start")) >= starts)  # noqa: B023
        started.send_signal(signal.SIGKILL)
        started.wait()
        kill_one_run(broken)
        started = job.start("resume", str(broken), "-q")
    started.wait()
    job("resume", "--failed", str(broken), "-q")

    assert [e["params"] for e in events(broken, "trial")] == [
        e["params"] for e in events(whole, "trial")
    ]
    assert states(job, broken) == {"succeeded": 8}
    assert events(broken, "winner")[-1]["trial"] == events(whole, "winner")[0]["trial"]


def kill_one_run(directory: Path) -> None:
    """Kill the keeper of a run that is under way, if one is."""
    for file in directory.glob("*/*/*/attempt.json"):
        if not (file.parent / "outcome.json").exists():
            try:
                os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)
            except (ProcessLookupError, ValueError):
                continue
            return


def test_what_a_search_cannot_do_is_refused_before_anything_starts(job):
    refused = job.refused
    run = ("run", "job.py:train")
    assert "needs metric" in refused(*run, *SEARCH, "--trials", "3")
    assert "needs an end" in refused(*run, *SEARCH, *BEST)
    assert "nothing to draw from" in refused(*run, *BEST, "--sampler", "random")
    assert "did you mean 'uniform'" in refused(*run, "--search", "lr=unifrm(0,1)", *BEST)
    assert "did you mean 'asha'" in refused(*run, *SEARCH, *BEST, "--trials", "3", "--prune", "asa")
    assert "leave one of them out" in refused(
        *run, *SEARCH, *BEST, "--trials", "3", "--grid", "lr=1,2"
    )
    assert not list(job.root.glob("job/2*"))


def test_a_metric_that_nobody_logs_ends_the_search_at_the_first_run(job):
    done = job(
        "run", "job.py:train", *SEARCH, "--metric", "accurcy", "--mode", "max", "--trials", "9",
        "-q", status=2,
    )  # fmt: skip

    assert "did you mean 'accuracy'" in done.stderr
    assert len(list(job.root.glob("job/2*/lr=*"))) < 5


def test_more_trials_continue_a_search_and_another_space_is_refused(job):
    directory = search(job, "--trials", "3")
    run = ("run", "job.py:train", *BEST, "--into", str(directory), "-q")

    assert "has had 3" in job.refused(*run, *SEARCH, "--trials", "2")
    assert "start a new search" in job.refused(
        *run, "--search", "lr=uniform(0,2)", "--sampler", "random", "--trials", "5"
    )
    job(*run, *SEARCH, "--trials", "5")

    assert states(job, directory) == {"succeeded": 5}
    assert len(events(directory, "winner")) == 2
