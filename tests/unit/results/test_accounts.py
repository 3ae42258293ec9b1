"""Who counts: the one rule, its line and its notes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from runslot.errors import InvalidInput
from runslot.results import compare, load
from runslot.results.accounts import Rule, account
from runslot.results.text.labels import texts_of

WriteRun = Callable[..., Path]


def test_each_run_has_one_standing_and_the_line_says_how_many(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for lr in (1, 2):
        for seed in range(3):
            write_run(
                {"lr": lr}, seed, [{"loss": 1}, {"loss": "nan" if lr == 2 and seed == 2 else 2}]
            )
    write_run({"lr": 1}, 3, [{"loss": 1}], state="failed")
    write_run({"lr": 1}, 4, [{"loss": math.inf}])
    write_run({"lr": 1}, 5, [{"other": 1}])
    found = account(load(tmp_path), "loss")
    assert (
        found.line("mean")
        == "9 runs: 5 counted, 2 diverged, 1 failed, 1 without loss; pooled over: nothing; mean"
        " over 2 to 3 seeds"
    )
    assert [(group.label, group.n, group.asked, group.has_value) for group in found.groups] == [
        ("lr=1", 3, 6, False),
        ("lr=2", 2, 3, False),
    ]
    assert (
        sum(found.standings.values())
        == found.runs.height
        == sum(group.asked for group in found.groups)
    )


def test_a_diverged_run_gives_no_value_or_the_worst_or_none(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed, last in enumerate((1, 5, "nan")):
        write_run({"lr": 1}, seed, [{"loss": 1}, {"loss": last}, {"loss": last}])
    results = load(tmp_path)
    expected = {"nan": [1.0, 5.0, math.nan], "worst": [1.0, 5.0, 5.0], "drop": [1.0, 5.0, None]}
    for word, values in expected.items():
        found = account(results, "loss", rule=Rule.of(diverged=word))
        scores = found.scores(results.scores("loss"), "min").to_list()
        assert str(scores) == str(values)
        assert found.groups[0].has_value == (word != "nan")
        assert found.groups[0].n == (3 if word == "worst" else 2)
    with pytest.raises(InvalidInput, match="'best' is none of nan, worst, drop"):
        Rule.of(diverged="best")


def test_running_runs_count_in_curves_and_are_named(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0, [{"loss": 1}])
    write_run({"lr": 1}, 1, [{"loss": 1}], state="failed")
    results = load(tmp_path)
    assert account(results, "loss").line() == "2 runs: 1 counted, 1 failed; pooled over: nothing"
    included = account(results, "loss", rule=Rule.of(["failed"], curves=True))
    assert included.line() == "2 runs: 2 counted; pooled over: nothing"
    assert "running" in included.rule.states


def test_what_is_pooled_is_named_and_tasks_are_not(tmp_path: Path, write_run: WriteRun) -> None:
    for lr in (1, 2):
        for env in ("a", "b"):
            write_run({"lr": lr, "env": env}, 0)
    results = load(tmp_path)
    assert account(results, "accuracy", ()).pooled == ("lr", "env")
    assert account(results, "accuracy", ("lr",), tasks=("env",)).pooled == ()
    assert (
        account(results, "accuracy", ("lr",))
        .line("mean")
        .endswith("pooled over: env; mean over 2 runs")
    )
    assert account(results, "accuracy").pooled == ()


def test_seeds_twice_and_unequal_lengths_are_said(
    tmp_path: Path, write_run: WriteRun, write_log: WriteRun
) -> None:
    for run in range(3):
        write_log(
            f"exp_0{run}--s-0",
            **{"progress.csv": "step,loss\n0,1\n", "variant.json": {"lr": 1, "seed": 0}},
        )
    long = "step,loss\n0,1\n1,1\n"
    for seed in range(2):
        text = long if seed else "step,loss\n0,1\n"
        write_log(
            f"exp_1{seed}--s-{seed}",
            **{"progress.csv": text, "variant.json": {"lr": 2, "seed": seed}},
        )
    found = account(load(tmp_path), "loss")
    assert [dict(group.repeated) for group in found.groups] == [{0: 3}, {}]
    notes = " | ".join(found.notes())
    assert "lr=1 (seed 0 3 times)" in notes
    assert "lr=2 (1 to 2 rows)" in notes


def test_the_same_seed_of_different_variants_is_no_repetition(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for env in ("a", "b"):
        write_run({"env": env}, 0)
    assert not account(load(tmp_path), "accuracy", ()).groups[0].repeated


def test_groups_are_formed_by_value_and_labels_grow_until_they_differ(
    tmp_path: Path, write_run: WriteRun
) -> None:
    values = (0.1, 0.10000001, 0.2, 1234567.0, 1234568.0)
    for lr in values:
        write_run({"lr": lr}, 0)
    labels = {group.label for group in account(load(tmp_path), "accuracy").groups}
    assert labels == {"lr=0.1", "lr=0.10000001", "lr=0.2", "lr=1234567", "lr=1234568"}
    assert texts_of([None, True, 10**17 + 1, 1e-5]) == {
        None: "–",
        True: "true",
        10**17 + 1: "1" + "0" * 16 + "1",
        1e-5: "1e-05",
    }


def test_single_runs_are_said_to_have_no_interval(tmp_path: Path, write_run: WriteRun) -> None:
    for lr in (1, 2):
        write_run({"lr": lr}, 0)
    comparison = compare(load(tmp_path))
    line = comparison.accounting.line(comparison.statistic)
    assert line.endswith("pooled over: nothing; 1 seed each, so without ±")
    write_run({"lr": 2}, 1)
    line = compare(load(tmp_path)).accounting.line(comparison.statistic)
    assert line.endswith("mean ± 95 % t interval over 1 to 2 seeds")
