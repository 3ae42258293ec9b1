"""A search from the command line: real runs, real kills, and what its files say afterwards."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runslot.experiment.rundir import RunDir
from runslot.search.rows import LoggedCurve, RunRows

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
    whole, _, _ = (directory / "journal.jsonl").read_text().rpartition("\n")
    return [event for line in whole.splitlines() if (event := json.loads(line))["event"] == name]


def at_the_gate(program: str) -> str:
    """Return a job whose runs do nothing before `go` lies in the working directory."""
    head = "def train(variant):\n"
    wait = "    from pathlib import Path\n    while not Path('go').exists():\n        time.sleep(0.02)\n"
    assert program.count(head) == 1
    return program.replace(head, head + wait)


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

    # the winner is no better known than the others by what chose it
    table = job("results", str(directory)).stdout
    assert "12 runs: 12 counted" in table
    assert "The 2 runs of lr=" in table
    assert "14 runs: 14 counted" in job("results", "--all-seeds", str(directory)).stdout


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
    assert job.status(str(broken))["search"]["is_over"]
    assert job.status(str(broken))["search"]["trials"] == job.status(str(whole))["search"]["trials"]
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
    assert "--metric needs mode: say which way is better, --mode max (or min)" in refused(
        *run, "--grid", "lr=0.1,0.2", *BEST[:2]
    )
    assert "needs an end" in refused(*run, *SEARCH, *BEST)
    assert "nothing to draw from" in refused(*run, *BEST, "--sampler", "random")
    assert "did you mean 'uniform'" in refused(*run, "--search", "lr=unifrm(0,1)", *BEST)
    assert "did you mean 'asha'" in refused(*run, *SEARCH, *BEST, "--trials", "3", "--prune", "asa")
    assert "leave one of them out" in refused(
        *run, *SEARCH, *BEST, "--trials", "3", "--grid", "lr=1,2"
    )
    assert "seeds of their own" in refused(
        *run, "--search", "seed=integers(0,9)", *BEST, "--trials", "3"
    )
    assert not list(job.root.glob("job/2*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--trials", "0"), "--trials: must be a whole number, 1 or more, not 0"),
        (("--trials", "2000000"), "--trials must be a whole number from 1 to 1000000"),
        (("--trials", "3", "--over", "median"), "--over: must be one of mean, iqm, worst"),
        (("--trials", "3", "--mode", "up"), "--mode: must be one of max, min"),
        (("--budget", "soon"), "--budget: must be a length of time"),
    ],
)
def test_an_option_that_is_refused_is_named_once(job, words, message):
    said = job.refused("run", "job.py:train", *SEARCH, *BEST, *words)
    assert said.startswith(f"runslot: {message}")
    assert said.count(words[-2].removeprefix("--")) == 1


def test_a_metric_that_nobody_logs_ends_the_search_at_the_first_run(job):
    done = job(
        "run", "job.py:train", *SEARCH, "--metric", "accurcy", "--mode", "max", "--trials", "9",
        "-q", status=1,
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
    (job.directory / "runslot.toml").write_text('[launchers.cluster]\nkind = "slurm"\n')
    assert "runs on this machine, not on slurm" in job.refused(
        *run, *SEARCH, "--trials", "5", "--on", "cluster"
    )
    spelt_otherwise = ("--search", "lr=uniform(0.0, 1.0)", "--sampler", "random")
    job(*run, *spelt_otherwise, "--trials", "5")

    assert states(job, directory) == {"succeeded": 5}
    assert len(events(directory, "winner")) == 2

    job(*run, *SEARCH, "--trials", "5", "--test-seeds", "1")
    assert states(job, directory) == {"succeeded": 6}
    assert "at least as many" in job.refused(*run, *SEARCH, "--trials", "6")
    assert states(job, directory) == {"succeeded": 6}


def test_a_setting_that_a_space_returns_twice_runs_once(job):
    (job.directory / "space.py").write_text(
        "def space(trial):\n    return {'lr': round(trial.suggest_float('lr', 0, 2)) + 0.5}\n"
    )
    words = ("--search", "space.py:space", "--sampler", "random", *BEST, "--trials", "9", "-q")
    directory = Path(job("run", "job.py:train", *words).stdout.strip())

    assert states(job, directory) == {"succeeded": 3}
    variants = [json.loads(path.read_text())["lr"] for path in directory.glob("*/*/variant.json")]
    assert sorted(variants) == [0.5, 1.5, 2.5]
    # a directory says what ran in it, not what the space asked for on the way
    assert {path.name for path in directory.glob("lr=*")} == {"lr=0.5", "lr=1.5", "lr=2.5"}


def test_an_earlier_experiment_must_have_the_metric_and_leave_something_to_try(job):
    earlier = Path(job("run", "job.py:train", "--grid", "lr=0.2,0.3", "-q").stdout.strip())
    space = ("--search", "lr=choice(0.2,0.3)", "--sampler", "random", "--trials", "3")
    words = ("run", "job.py:train", *space, "--from", str(earlier))

    assert "nothing left to try" in job.refused(*words, *BEST)
    assert "for the same metric" in job.refused(*words, "--metric", "loss", "--mode", "min")


RESUMABLE = """
import pickle, time
from runslot import current_run, logger

def train(variant):
    best = 1 - (variant["lr"] - 0.3) ** 2
    snapshot = current_run().directory / "params.pkl"
    start = pickle.loads(snapshot.read_bytes()) + 1 if snapshot.exists() else 1
    for epoch in range(start, 28):
        time.sleep(0.02 if epoch > 3 else 0.3)
        logger.record_dict({"epoch": epoch, "accuracy": best * (1 - 0.9**epoch)})
        if variant.get("keep", True):
            logger.save_itr_params(epoch, epoch)
        logger.dump_tabular()
"""
ASHA = ("--prune", "asha:first=1,eta=3,last=27")


def test_trials_that_lag_behind_are_pruned_and_count_as_an_end(job):
    (job.directory / "job.py").write_text(RESUMABLE)

    done = job("run", "job.py:train", *SEARCH, *BEST, "--trials", "7", *ASHA)

    (directory,) = job.root.glob("job/2*")
    counts = states(job, directory)
    said = f"7 runs: {counts['succeeded']} succeeded, {counts['pruned']} pruned by the search"
    assert said in done.stdout
    assert counts["pruned"] >= 2
    assert counts["pruned"] + counts["succeeded"] == 7
    pruned = [file for file in directory.glob("*/*/outcome.json") if '"pruned"' in file.read_text()]
    outcome = json.loads(pruned[0].read_text())
    assert outcome["rung"] in {0, 1, 2}
    assert outcome["step"] >= 1
    assert isinstance(outcome["value"], float)
    again = job("resume", str(directory))
    assert "nothing to do" in again.stdout
    report = job("status", str(directory)).stdout
    assert "finished" in report
    assert "rungs: step 1: 7" in report
    assert "pruning: " not in done.stdout + report, "some were"


LATE = """
import time
from runslot import logger

def train(variant):
    time.sleep(0.1)
    for epoch in range(1, 10):
        logger.record_dict({"epoch": epoch, "accuracy": variant["lr"] * epoch})
        logger.dump_tabular()
"""


@pytest.mark.parametrize(
    ("rule", "advice"),
    [
        ("asha", ", say how long one is (--prune asha:last=9), or leave --prune out"),
        ("median:trials=2", ", say how long one is (--prune median:trials=2,last=9), or leave"),
        ("asha:first=1,last=9", "log rows while a run goes on, or leave --prune out"),
    ],
)
def test_rows_that_come_too_late_to_prune_anything_are_said(job, rule, advice):
    (job.directory / "job.py").write_text(LATE)

    words = ("--trials", "8", "--prune", rule)
    for _ in range(5):  # until no look has fallen between a run's last row and its end
        done = job("run", "job.py:train", *SEARCH, *BEST, *words)
        if "pruning: " in done.stdout:
            break

    (line,) = [line for line in done.stdout.splitlines() if "pruning: " in line]
    assert "of 8 trials lagged behind, but had ended by the time their rows were read" in line
    assert advice in line
    assert line in job("status").stdout, "a journal that is read again says the same"


def test_a_resumable_trial_pauses_at_its_rung_and_goes_on_when_it_is_promoted(job):
    (job.directory / "job.py").write_text(RESUMABLE)

    directory = search(job, "--trials", "9", *ASHA, "--resumable")

    counts = states(job, directory)
    assert set(counts) == {"succeeded", "paused"}
    promoted = {event["run"] for event in events(directory, "promoted") if "ended" not in event}
    again = [event for event in events(directory, "start") if event["attempt"] > 1]
    assert {event["run"] for event in again} <= promoted
    assert again
    judged = {event["run"] for event in events(directory, "rung") if event["rung"]}
    assert {event["run"] for event in again} & judged, "a promoted run is judged at its next rung"
    for event in again:  # it went on, rather than beginning anew
        rows = (directory / event["directory"] / "progress.csv").read_text().splitlines()[1:]
        steps = [float(row.split(",")[0]) for row in rows]
        assert steps == sorted(set(steps))


def test_a_run_that_left_no_snapshot_is_pruned_and_that_is_said_once(job):
    (job.directory / "job.py").write_text(RESUMABLE)

    done = job(
        "run", "job.py:train", *SEARCH, *BEST, "--trials", "6", *ASHA, "--resumable",
        "--grid", "keep=false",
    )  # fmt: skip

    assert done.stdout.count("left no snapshot") == 1
    (directory,) = job.root.glob("job/2*")
    assert "pruned" in states(job, directory)


def test_a_rung_that_a_killed_launcher_decided_on_is_carried_out_by_the_next(job, until):
    (job.directory / "job.py").write_text(RESUMABLE)
    launch = ("run", "job.py:train", *SEARCH, *BEST, "--trials", "6", *ASHA, "--resumable", "-q")
    started = job.start(*launch)
    until(lambda: list(job.root.glob("job/2*/experiment.json")))
    (directory,) = job.root.glob("job/2*")
    until(lambda: events(directory, "rung"))
    started.send_signal(signal.SIGKILL)
    started.wait()

    job("resume", str(directory), "-q")

    verdicts = [(event["trial"], event["rung"]) for event in events(directory, "rung")]
    assert len(verdicts) == len(set(verdicts))
    assert len(events(directory, "trial")) == 6
    assert set(states(job, directory)) == {"succeeded", "paused"}


def test_a_race_of_a_plain_grid_gives_the_worse_variants_fewer_seeds(job):
    grid = ("--grid", "lr=0.1,0.25,0.3,0.9", "--seeds", "race:3..6")
    done = job("run", "job.py:train", *grid, *BEST, "--test-seeds", "1", "-q")
    directory = Path(done.stdout.strip())

    dropped = {drop["variant"] for race in events(directory, "raced") for drop in race["dropped"]}
    assert 3 in dropped
    assert events(directory, "winner")[0]["trial"] == 2
    assert len(list(directory.glob("lr=0.9/run_*"))) == 3
    said = job("status", str(directory)).stdout
    assert "chose nothing" in said
    assert "saved" in next(line for line in said.splitlines() if line.startswith("race: "))


def test_earlier_experiments_are_told_and_none_of_their_settings_runs_again(job):
    done = job("run", "job.py:train", "--grid", "lr=0.1,0.2", *BEST, "-q")
    words = ("--search", "lr=choice(0.1,0.2,0.3)", "--sampler", "random", *BEST)
    then = job("run", "job.py:train", *words, "--trials", "9", "--from", done.stdout.strip(), "-q")

    directory = Path(then.stdout.strip())
    assert [event["params"]["lr"] for event in events(directory, "trial")] == [0.3]
    assert "no run of this space" in job.refused(
        "run", "job.py:train", "--search", "width=choice(1,2)", "--sampler", "random", *BEST,
        "--trials", "3", "--from", done.stdout.strip(),
    )  # fmt: skip


def test_trials_of_a_function_are_told_by_what_they_were_asked(job):
    """Not by their variants, in which the function has named it otherwise."""
    (job.directory / "space.py").write_text(
        "def space(trial):\n"
        "    return {'lr': trial.suggest_categorical('tenths', [1, 2]) / 10, 'epochs': 1}\n"
    )
    run = ("run", "job.py:train", "--search", "space.py:space", "--sampler", "random", *BEST)
    first = job(*run, "--trials", "2", "-q").stdout.strip()

    assert "nothing left to try" in job.refused(*run, "--trials", "1", "--from", first)


def test_a_function_of_a_trial_asks_for_what_depends_on_what_it_got(job):
    (job.directory / "space.py").write_text(
        "def space(trial):\n"
        "    kind = trial.suggest_categorical('kind', ['a', 'b'])\n"
        "    if kind == 'a':\n"
        "        trial.suggest_float('lr', 0.1, 0.2)\n"
        "    else:\n"
        "        trial.suggest_float('lr', 0.3, 0.4)\n"
    )
    words = ("--search", "space.py:space", "--sampler", "random", *BEST, "--trials", "6")
    directory = Path(job("run", "job.py:train", *words, "-q").stdout.strip())

    for event in events(directory, "trial"):
        assert (event["params"]["kind"] == "a") == (event["params"]["lr"] <= 0.2)
    assert states(job, directory) == {"succeeded": 6}


@pytest.mark.parametrize(
    "words", [(*SEARCH, "--trials", "4", "--test-seeds", "1"), ("--grid", "lr=0.1,0.3,0.7")]
)
def test_a_search_whose_journal_was_lost_is_made_again_from_its_runs(job, words):
    done = job("run", "job.py:train", *words, *BEST, "--seeds", "2", "-q")
    directory = Path(done.stdout.strip())
    before = job.status(str(directory))["search"]
    journal = directory / "journal.jsonl"
    journal.write_text("")

    job("resume", str(directory), "-q")

    after = job.status(str(directory))["search"]
    assert after == before
    assert not events(directory, "start")


def test_a_step_that_falls_ends_a_search_that_prunes_by_it(job):
    (job.directory / "job.py").write_text(
        "import time\n"
        "from runslot import logger\n"
        "def train(variant):\n"
        "    for epoch in (1, 2, 1, 2, 3):\n"
        "        logger.record_dict({'epoch': epoch, 'accuracy': variant['lr']})\n"
        "        logger.dump_tabular()\n"
        "        time.sleep(0.4)\n"
    )
    done = job("run", "job.py:train", *SEARCH, *BEST, "--trials", "9", *ASHA, "-q", status=1)
    assert "must rise" in done.stderr
    assert "--step" in done.stderr
    assert len(list(job.root.glob("job/2*/lr=*"))) < 5

    # also where the run had ended before anybody looked
    quick = (job.directory / "job.py").read_text().replace("time.sleep(0.4)", "pass")
    (job.directory / "job.py").write_text(quick)
    done = job("run", "job.py:train", *SEARCH, *BEST, "--trials", "9", *ASHA, "-q", status=1)
    assert "must rise" in done.stderr


def test_a_search_that_is_paused_waits_though_none_of_its_runs_is_left(job, until):
    words = (*SEARCH, *BEST, "--trials", "500", "--grid", "sleep=0.3", "-q")
    started = job.start("run", "job.py:train", *words)
    until(lambda: list(job.root.glob("job/2*/experiment.json")))
    (directory,) = job.root.glob("job/2*")
    until(lambda: events(directory, "start"))
    job("pause", str(directory))
    until(lambda: "running" not in job.status(str(directory))["counts"])
    count = len(events(directory, "trial"))
    assert started.poll() is None

    job("continue", str(directory))
    until(lambda: len(events(directory, "trial")) > count)
    job("stop", str(directory))

    assert "no launcher is at work" in job("status", str(directory)).stdout


def test_a_search_is_announced_as_one_and_says_how_it_stands(job):
    words = ("run", "job.py:train", *SEARCH, *BEST, "--trials", "3")
    done = job(*words)
    assert "job: search for max accuracy over lr by random, 3 trials" in done.stdout

    told = job.events(*words)
    (started,) = [event for event in told if event["event"] == "launch_started"]
    assert started["search"] in done.stdout
    stands = [event for event in told if event["event"] == "search"]
    assert (stands[-1]["trials"], stands[-1]["limit"]) == (3, 3)
    assert stands[-1]["counts"] == {"complete": 3}
    assert any("best: trial" in line for line in stands[-1]["lines"])


def test_the_time_between_two_launches_is_none_of_the_budget(job, until):
    words = (*SEARCH, *BEST, "--trials", "500", "--budget", "600s", "--grid", "sleep=0.2", "-q")
    started = job.start("run", "job.py:train", *words)
    until(lambda: list(job.root.glob("job/2*/experiment.json")))
    (directory,) = job.root.glob("job/2*")
    until(lambda: events(directory, "start"))
    started.kill()
    started.wait()
    # its runs end while no launcher is there, which the next one notes before anything else
    until(lambda: "running" not in job.status(str(directory))["counts"])
    shift_times(directory, -10_000)

    for _ in range(2):
        count = len(events(directory, "trial"))
        started = job.start("resume", str(directory), "-q")
        until(lambda: len(events(directory, "trial")) > count)  # noqa: B023
        started.kill()
        started.wait()

    assert not events(directory, "search_closed")


def shift_times(directory: Path, seconds: float) -> None:
    """Let all that a journal has so far be as long ago as is said."""
    journal = directory / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    shifted = [json.dumps({**line, "time": line["time"] + seconds}) for line in lines]
    journal.write_text("".join(f"{line}\n" for line in shifted))


def test_a_column_of_steps_that_nobody_logs_ends_the_search_at_the_first_run(job):
    words = (*SEARCH, *BEST, "--trials", "9", "--prune", "asha", "--step", "epcoh", "-q")
    done = job("run", "job.py:train", *words, status=1)

    assert "logged no 'epcoh'" in done.stderr
    assert "did you mean 'epoch'" in done.stderr
    assert len(list(job.root.glob("job/2*/lr=*"))) < 5


def test_a_metric_that_is_text_ends_the_search_and_says_so(job):
    (job.directory / "job.py").write_text(
        "from runslot import logger\n"
        "def train(variant):\n"
        "    logger.record_dict({'epoch': 1, 'accuracy': 'high'})\n"
        "    logger.dump_tabular()\n"
    )
    done = job("run", "job.py:train", *SEARCH, *BEST, "--trials", "9", "-q", status=1)

    assert "no row of it has a number as accuracy" in done.stderr
    # where the code has been mended since, its next trial is no worse for the earlier ones
    (job.directory / "job.py").write_text(JOB)
    (directory,) = job.root.glob("job/2*")
    job("resume", "--accept-code-change", str(directory), "-q")
    assert job.status(str(directory))["search"]["counts"]["complete"] >= 5


def test_a_run_without_the_metric_is_a_failed_trial_where_others_have_it(job):
    (job.directory / "job.py").write_text(
        "from runslot import logger\n"
        "def train(variant):\n"
        "    name = 'accuracy' if variant['lr'] != 2 else 'acc'\n"
        "    logger.record_dict({'epoch': 1, name: variant['lr']})\n"
        "    logger.dump_tabular()\n"
    )
    words = ("--search", "lr=choice(1,2,3)", "--sampler", "random", *BEST, "--trials", "3")
    done = job("run", "job.py:train", *words)

    (directory,) = job.root.glob("job/2*")
    report = job.status(str(directory))["search"]
    assert report["counts"] == {"complete": 2, "failed": 1}
    assert report["value"] == 3
    if events(directory, "trial")[0]["params"]["lr"] != 2:
        assert "logged no 'accuracy'" in done.stdout
        assert "counts as failed" in done.stdout


def test_a_run_that_ended_while_no_launcher_was_there_is_judged_at_its_rungs(job, until):
    (job.directory / "job.py").write_text(at_the_gate(RESUMABLE))
    launch = ("run", "job.py:train", *SEARCH, *BEST, "--trials", "3", *ASHA, "-q")
    started = job.start(*launch)
    until(lambda: list(job.root.glob("job/2*/experiment.json")))
    (directory,) = job.root.glob("job/2*")
    until(lambda: len(events(directory, "start")) >= 1)
    started.kill()
    started.wait()
    unseen = {event["run"] for event in events(directory, "start")}
    (job.directory / "go").touch()
    until(lambda: "running" not in job.status(str(directory))["counts"])

    job("resume", str(directory), "-q")

    for run in unseen:
        rungs = [event["rung"] for event in events(directory, "rung") if event["run"] == run]
        assert rungs == [0, 1, 2, 3]


def test_results_rank_trials_with_their_rungs_and_count_the_pruned_apart(job):
    (job.directory / "job.py").write_text(RESUMABLE)
    directory = search(job, "--trials", "7", *ASHA)
    report = job.status(str(directory))["search"]
    status = {trial["trial"]: trial["status"] for trial in report["trials"]}
    pruned = list(status.values()).count("pruned")
    assert pruned

    table = job("results", str(directory)).stdout
    assert f"{pruned} pruned" in table
    header = next(line for line in table.splitlines() if line.split()[0] == "lr")
    assert header.split()[:6] == ["lr", "trial", "rung", "at", "rung", "n"]

    document = json.loads(job("results", "--json", str(directory)).stdout)
    trials = [variant["trial"] for variant in document["variants"]]
    assert {trial["trial"]: trial["status"] for trial in trials} == status
    complete = [trial["status"] == "complete" for trial in trials]
    assert complete == sorted(complete, reverse=True)
    rows = job("results", "--csv", "-", str(directory)).stdout.splitlines()
    rows = job("results", "--csv", "-", str(directory)).stdout.splitlines()
    assert rows[0].split(",")[:4] == ["lr", "trial", "rung", "at_rung"]
    rungs = [int(row.split(",")[2]) for row in rows[1:]]
    assert rungs == sorted(rungs, reverse=True)


def test_a_search_whose_directory_is_moved_away_waits_until_it_is_back(job, until):
    (job.directory / "job.py").write_text(at_the_gate(JOB))
    output = job.directory / "output"
    words = (*SEARCH, *BEST, "--trials", "6")
    with output.open("w") as out:
        command = [sys.executable, "-m", "runslot", "run", "job.py:train", *words]
        launcher = subprocess.Popen(command, cwd=job.directory, stdout=out, stderr=out)
    until(lambda: list(job.root.glob("job/2*/*/run_*/attempt.json")))
    (directory,) = job.root.glob("job/2*")
    slots = job.status(str(directory))["slots"]
    until(lambda: len(list(directory.glob("*/run_*/attempt.json"))) == slots)
    elsewhere = job.directory / "elsewhere"
    job.root.rename(elsewhere)
    moved = elsewhere / directory.relative_to(job.root)
    until(lambda: "was moved to" in output.read_text())
    (job.directory / "go").touch()
    begun = len(events(moved, "start"))
    until(lambda: len(events(moved, "ended")) == begun)
    assert len(events(moved, "trial")) < 6
    elsewhere.rename(job.root)

    assert launcher.wait(60) == 0, output.read_text()
    assert "is back" in output.read_text()
    assert states(job, directory) == {"succeeded": 6}
    assert len(events(directory, "winner")) == 1


def test_a_run_is_read_from_where_it_was_left_though_it_was_looked_at_before_its_first_row(
    tmp_path,
):
    rows = RunRows(RunDir(tmp_path), "accuracy", "")
    assert not rows.read(resumed=False).rows
    with (tmp_path / "progress.csv").open("w") as file:
        print("epoch,accuracy\n1,0.5", file=file, flush=True)
        curve = rows.read(resumed=False)
        print("2,0.6", file=file, flush=True)

        assert rows.read(resumed=False) is curve
        assert curve.rows == [(1, 0.5), (2, 0.6)]


def curve_of(values: str, usual_gap: int | None = None) -> LoggedCurve:
    curve = LoggedCurve(usual_gap=usual_gap)
    for step, value in enumerate(values.split(), 1):
        curve.add(step, float(value), resumed=False)
    return curve


@pytest.mark.parametrize(
    ("values", "usual_gap", "steps", "whole"),
    [
        ("nan nan", None, [], [1, 2]),  # nobody knows how often it is taken
        ("nan nan", 2, [], [1, 2]),
        ("nan nan nan", 2, [1, 2, 3], [1, 2, 3]),
        ("nan nan 1 nan", None, [3], [3]),
        ("nan nan 1 nan nan 1 nan nan", None, [3, 6], [3, 6]),
        ("nan nan 1 nan nan 1 nan nan nan", None, [3, 6, 7, 8, 9], [3, 6, 7, 8, 9]),
        ("1 nan nan", None, [1], [1, 2, 3]),
        ("1 nan nan", 0, [1, 2, 3], [1, 2, 3]),
        ("1 nan nan", 2, [1], [1, 2, 3]),
        ("1 1 nan", None, [1, 2, 3], [1, 2, 3]),
        ("1 1 nan", 4, [1, 2], [1, 2, 3]),
        ("1 inf", None, [1, 2], [1, 2]),
    ],
)
def test_a_gap_of_a_metric_is_no_row_and_a_longer_one_has_diverged(values, usual_gap, steps, whole):
    curve = curve_of(values, usual_gap)
    assert [step for step, _ in curve.rows] == steps
    assert [step for step, _ in curve.whole] == whole


def test_what_a_snapshot_does_not_have_is_void_also_where_it_has_no_number():
    curve = curve_of("1 nan 1 nan")
    for step, value in ((3, 5.0), (4, math.nan), (5, 6.0)):
        curve.add(step, value, resumed=True)
    assert curve.rows == [(1, 1.0), (3, 5.0), (5, 6.0)]


GAPS = """
import time
from runslot import logger

def train(variant):
    for epoch in range(1, 9):
        logger.record_dict({"epoch": epoch})
        if epoch % 3 == 0:
            logger.record_dict({"accuracy": variant["lr"] / epoch})
        logger.dump_tabular()
        time.sleep(0.1)
"""


def test_a_metric_that_is_taken_every_third_row_is_pruned_by_what_there_is(job):
    (job.directory / "job.py").write_text(GAPS)
    words = ("--search", "lr=choice(0.1,0.2,0.3,0.4,0.5)", "--sampler", "random", *BEST)
    rule = ("--prune", "asha:first=2,eta=3,last=6")
    printed = job("run", "job.py:train", *words, "--trials", "5", *rule, "-q").stdout
    directory = Path(printed.strip())

    assert {event["step"] for event in events(directory, "rung")} == {3, 6}
    assert all(event["value"] != "nan" for event in events(directory, "rung"))
    assert job.status(str(directory))["search"]["value"] == pytest.approx(0.5 / 6)


def test_pruning_by_a_single_row_ends_the_search_and_says_what_to_log(job):
    words = (*SEARCH, *BEST, "--trials", "9", *ASHA, "--grid", "epochs=1", "-q")
    done = job("run", "job.py:train", *words, status=1)

    assert "logged one row" in done.stderr
    assert len(list(job.root.glob("job/2*/*/*/run.json"))) < 5


def test_an_earlier_search_that_went_the_other_way_is_refused(job):
    earlier = search(job, "--trials", "2")
    said = job.refused(
        "run", "job.py:train", *SEARCH, "--metric", "accuracy", "--mode", "min", "--trials", "3",
        "--from", str(earlier),
    )  # fmt: skip
    assert "one of the two modes is wrong" in said


PEAKED = """
from runslot import logger

def train(variant):
    for epoch, error in enumerate((1 - variant["lr"], 0.5, variant["lr"]), 1):
        logger.record_dict({"epoch": epoch, "error": error, "accuracy": 1})
        logger.dump_tabular()
"""


def test_results_rank_trials_by_what_the_search_judges_by(job):
    (job.directory / "job.py").write_text(PEAKED)
    words = ("--search", "lr=choice(0.1,0.3,0.6)", "--sampler", "random", "--metric", "Error")
    run = ("run", "job.py:train", *words, "--mode", "max", "--trials", "3")
    printed = job(*run, "--by", "best", "--seeds", "2", "--over", "worst").stdout

    (directory,) = job.root.glob("job/2*")
    table = job("results", str(directory)).stdout
    assert table.splitlines() == printed.splitlines()[-len(table.splitlines()) :]
    rows = [line.split() for line in table.splitlines()[1:5]]
    assert rows[0] == ["lr", "trial", "worth", "n", "final", "best"]
    assert [f"{row[0]} {row[2]}" for row in rows[1:]] == ["0.1 0.9", "0.3 0.7", "0.6 0.6"]
    assert "worth: of a trial, as its search judges: best row, worst over seeds" in table
    trials = json.loads(job("results", "--json", str(directory)).stdout)["variants"]
    assert {trial["trial"]["worth"] for trial in trials} == {0.9, 0.7, 0.6}
    # by another metric that is none of its business
    assert "worth" not in job("results", "--metric", "accuracy", str(directory)).stdout


def test_what_is_below_a_search_is_compared_by_its_metric_and_its_way(job):
    (job.directory / "job.py").write_text(PEAKED)
    words = ("--search", "lr=choice(0.1,0.3)", "--sampler", "random", "--metric", "error")
    run = ("run", "job.py:train", *words, "--mode", "max", "--trials", "2", "-q")
    directory = Path(job(*run).stdout.strip())

    for place in (directory, directory / "lr=0.3", directory / "lr=0.3" / "run_0", job.root):
        assert "error, higher is better" in job("results", str(place)).stdout


def test_a_copy_of_the_study_that_was_torn_is_made_anew_by_a_resume(job):
    directory = search(job, "--trials", "3")
    copy = directory / "study.log"
    whole = copy.read_text()
    assert len([json.loads(line) for line in whole.splitlines()]) == 4
    copy.write_text(whole[:100])
    job("resume", str(directory), "-q")
    assert copy.read_text() == whole
    copy.unlink()
    job("resume", str(directory), "-q")
    assert copy.read_text() == whole


def test_a_journal_that_does_not_fit_is_said_in_one_line(job):
    directory = search(
        job, "--trials", "3", "--prune", "asha:first=1,last=3", "--grid", "sleep=0.1"
    )
    journal = directory / "journal.jsonl"
    whole = journal.read_text().splitlines()
    for name, key, value in (
        ("trial", "params", [1]),
        ("winner", "trial", 99),
        ("rung", "run", "nobody"),
        ("rung", "rung", "x"),
        ("rung", "run", {}),
        ("launcher_started", "time", "noon"),
        ("trial", "trial", None),
    ):
        lines = [json.loads(line) for line in whole]
        next(line for line in lines if line["event"] == name)[key] = value
        journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

        said = job("resume", str(directory), status=2)
        assert said.stderr.count("\n") == 1
        assert "journal" in said.stderr
    assert "cannot be told: the journal has" in job("status", str(directory)).stdout
    assert "its search: the journal has" in job("results", str(directory)).stdout


def test_a_search_whose_metric_nobody_logs_has_not_succeeded_however_often_resumed(job):
    words = (*SEARCH, "--metric", "acuracy", "--mode", "max", "--trials", "2", "-q")
    done = job("run", "job.py:train", *words, status=1)
    assert "logged no 'acuracy' (did you mean 'accuracy'?)" in done.stderr
    (directory,) = job.root.glob("job/2*")
    for _ in range(3):  # a script that is mended may log it in the trials that are left
        job("resume", str(directory), "-q", status=1)
    assert job.status(str(directory))["counts"] == {"succeeded": 2}


def test_an_earlier_search_is_named_as_below_the_root(job):
    search(job, "--trials", "3", "--name", "before")
    again = search(job, "--trials", "1", "--name", "after", "--from", "before")
    (event,) = events(again, "earlier")
    assert len(event["trials"]) == 3
