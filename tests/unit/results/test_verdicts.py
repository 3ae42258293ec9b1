"""Verdicts over runs: who is compared with whom, what is said, and the same as JSON, LaTeX and a
checklist.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from runslot.errors import InvalidInput
from runslot.results import compare, load
from runslot.results.confirmation import confirmed
from runslot.results.document import SCHEMA, document_of
from runslot.results.effects import SCHEMA as EFFECTS_SCHEMA
from runslot.results.effects import effects_document, effects_of
from runslot.results.step import results_at
from runslot.results.text.checklist import checklist_of
from runslot.results.text.effects import print_effects
from runslot.results.text.gap import gaps_of, print_gaps
from runslot.results.text.latex import latex_of
from runslot.results.text.verdicts import print_verdicts
from runslot.results.verdicts import decide, decide_experiments, decide_pair

NOISE = (0.01, -0.02, 0.015, -0.01, 0.02, -0.015)


@pytest.fixture
def sweep(tmp_path: Path, write_run: Any) -> Callable[..., Path]:
    """Write a sweep of three learning rates: 0.1 leads, 0.01 is close behind, 0.001 is far off."""

    def write(seeds: int = 6, experiment: str = "digits", shift: float = 0.0) -> Path:
        for number, (lr, mean) in enumerate(((0.1, 0.9), (0.01, 0.896), (0.001, 0.5))):
            for seed in range(seeds):
                accuracy = mean + shift * (1 + NOISE[seed]) + NOISE[seed] + NOISE[seed - number] / 2
                rows = [
                    {"step": 10, "accuracy": accuracy / 2},
                    {"step": 20, "accuracy": accuracy},
                ]
                write_run({"lr": lr}, seed=seed, rows=rows, experiment=experiment)
        return tmp_path / experiment

    return write


def words_of(
    verdicts: Any, width: int = 80, command: str | None = None, limit: int | None = None
) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    print_verdicts(verdicts, console, command=command, limit=limit)
    return file.getvalue()


def test_every_variant_is_compared_with_the_best(sweep: Any) -> None:
    verdicts = decide(compare(load(sweep())))
    assert [(row.label, row.verdict) for row in verdicts.rows] == [
        ("lr=0.1", None),
        ("lr=0.01", "not decided"),
        ("lr=0.001", "worse"),
    ]
    assert all(row.difference.is_paired for row in verdicts.rows[1:] if row.difference)
    assert "lr=0.1 leads with accuracy" in verdicts.sentence()
    assert "not separable from 1 other at n = 6" in verdicts.sentence()


def test_a_variant_is_named_by_its_label_its_name_or_some_of_its_settings(sweep: Any) -> None:
    comparison = compare(load(sweep()))
    for name in ("lr=0.001", "lr=1e-3", " lr = 0.001"):
        verdicts = decide(comparison, name)
        assert verdicts.references == {"": "lr=0.001"}
        assert {row.verdict for row in verdicts.rows} == {"better", None}
    with pytest.raises(InvalidInput, match=r"no variant is called 'lr=0\.2'"):
        decide(comparison, "lr=0.2")


def test_a_name_that_several_variants_have_is_refused(write_run: Any, tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        for hidden in (32, 64):
            write_run({"lr": lr, "hidden": hidden})
    with pytest.raises(InvalidInput, match="names 2 variants"):
        decide(compare(load(tmp_path)), "lr=0.1")


def test_a_variant_of_which_a_run_diverged_has_no_verdict(
    sweep: Any, write_run: Any, tmp_path: Path
) -> None:
    home = sweep(seeds=3)
    for seed in range(3):
        accuracy = "nan" if seed == 1 else 0.99
        write_run({"lr": 1.0}, seed=seed, rows=[{"step": 20, "accuracy": accuracy}])
    verdicts = decide(compare(load(home)))
    last = verdicts.rows[-1]
    assert (last.label, last.verdict, last.difference) == ("lr=1", None, None)
    assert verdicts.references == {"": "lr=0.1"}
    assert "no value" in words_of(verdicts)
    assert "1 diverged" in words_of(verdicts)


def test_tasks_are_compared_within_and_ranked_over(write_run: Any, tmp_path: Path) -> None:
    for env, scale in (("pong", 1.0), ("qbert", 1000.0), ("tennis", 50.0)):
        for number, algo in enumerate(("a", "b", "c")):
            for seed in range(4):
                value = scale * (3 - number + NOISE[seed])
                write_run({"env": env, "algo": algo}, seed=seed, rows=[{"score": value}])
    verdicts = decide(compare(load(tmp_path), "score"))
    assert verdicts.references == {
        "env=pong": "env=pong, algo=a",
        "env=qbert": "env=qbert, algo=a",
        "env=tennis": "env=tennis, algo=a",
    }
    assert verdicts.ranks is not None
    names, ranks = verdicts.ranks
    assert dict(zip(names, ranks.ranks, strict=True)) == {"algo=a": 1, "algo=b": 2, "algo=c": 3}
    assert "env=pong: algo=a leads" in verdicts.sentence()
    pair = decide_pair(compare(load(tmp_path), "score"), "a", "c")
    assert [row.label for row in pair.rows if row.difference] == [
        f"env={env}, algo=a" for env in ("pong", "qbert", "tennis")
    ]
    assert "as of all 3 pairs of each task together" in " ".join(words_of(verdicts).split())
    words = " ".join(words_of(decide(compare(load(tmp_path), "score"), "algo=b")).split())
    assert "of the 2 comparisons of each task together" in words
    named = decide(compare(load(tmp_path), "score"), "algo=b")
    assert set(named.references.values()) == {
        f"env={env}, algo=b" for env in ("pong", "qbert", "tennis")
    }


def test_two_variants_alone_are_accounted_for_alone(sweep: Any) -> None:
    verdicts = decide_pair(compare(load(sweep())), "lr=0.01", "lr=0.001")
    assert [(row.label, row.verdict) for row in verdicts.rows] == [
        ("lr=0.01", "better"),
        ("lr=0.001", None),
    ]
    assert verdicts.comparison.accounting.line().startswith("12 runs: 12 counted")
    with pytest.raises(InvalidInput, match="the same variant"):
        decide_pair(compare(load(sweep(experiment="again"))), "lr=0.01", "lr=1e-2")


def test_two_experiments_are_compared_variant_by_variant(sweep: Any) -> None:
    before, after = sweep(experiment="before"), sweep(experiment="after", shift=0.1)
    verdicts = decide_experiments(
        compare(load(after)), compare(load(before)), compare(load([before, after]))
    )
    assert [row.verdict for row in verdicts.rows] == ["better"] * 3
    assert all(row.difference.is_paired for row in verdicts.rows if row.difference)
    assert verdicts.comparison.accounting.total == 36
    assert verdicts.sentence().endswith("/before: 3 better.")
    document = json.loads(json.dumps(document_of(verdicts.comparison, verdicts)))
    assert [variant["settings"]["lr"] for variant in document["variants"]]
    assert latex_of(verdicts)


def test_the_words_fit_80_columns_and_say_who_counts(sweep: Any) -> None:
    verdicts = decide(compare(load(sweep(seeds=3))))
    text = words_of(verdicts, command="runslot run train.py:train --into runs/digits --seeds 3-8")
    assert max(map(len, text.splitlines())) <= 80
    assert "9 runs: 9 counted" in text
    assert "paired by seed" in text
    # Of three pairs the signs alone have p = 0.25, which the t test's own p is below.
    assert "0.25" in text


def test_single_runs_have_no_verdict_and_say_so(sweep: Any) -> None:
    verdicts = decide(compare(load(sweep(seeds=1))))
    assert "one run each does not say how sure that is" in verdicts.sentence()
    assert verdicts.seeds_advised is None
    assert "one run" in words_of(verdicts)


def test_the_document_is_as_its_schema_says(sweep: Any, write_run: Any, tmp_path: Path) -> None:
    home = sweep(seeds=3)
    write_run({"lr": 1.0}, seed=0, rows=[{"step": 20, "accuracy": "inf"}])
    write_run({"lr": 2.0}, seed=0, state="failed")
    comparison = compare(load(home))
    document = document_of(comparison, decide(comparison), command=None)
    text = json.dumps(document, allow_nan=False)
    jsonschema.Draft202012Validator.check_schema(dict(SCHEMA))
    jsonschema.validate(json.loads(text), SCHEMA)
    assert document["accounting"]["standings"] == {"counted": 9, "diverged": 1, "failed": 1}
    first = document["variants"][0]
    assert (first["label"], first["settings"], first["beside"]) == ("lr=0.1", {"lr": 0.1}, None)
    assert document["variants"][2]["beside"]["verdict"] == "worse"
    without = document_of(comparison, None)
    jsonschema.validate(json.loads(json.dumps(without, allow_nan=False)), SCHEMA)


def test_latex_prints_bold_what_is_not_worse_than_the_best(sweep: Any) -> None:
    text = latex_of(decide(compare(load(sweep()))))
    rows = [line for line in text.splitlines() if line.startswith("    0.")]
    assert [("mathbf" in row) for row in rows] == [True, True, False]
    assert "18 runs: 18 counted" in text
    assert "Holm's correction for all pairs" in text
    assert "$n = 6$" in text


def test_latex_of_one_variant_or_of_single_runs_names_no_test(sweep: Any) -> None:
    results = load(sweep())
    alone = latex_of(decide(compare(results.where("lr = 0.1"))))
    assert "test" not in alone
    assert "mathbf" not in alone
    single = latex_of(decide(compare(results.where("seed = 0"))))
    assert "One run each does not tell what is worse than the best." in single
    assert "mathbf" not in single


def test_latex_escapes_what_it_would_read(write_run: Any, tmp_path: Path) -> None:
    for value in ("a_b", "50%", "x&y", r"\input"):
        write_run({"my_key": value}, rows=[{"test_acc": 0.5}])
    text = latex_of(decide(compare(load(tmp_path))))
    for escaped in (r"my\_key", r"a\_b", r"50\%", r"x\&y", r"\textbackslash{}input", r"test\_acc"):
        assert escaped in text


def test_the_checklist_is_of_the_records(sweep: Any) -> None:
    text = checklist_of(compare(load(sweep(seeds=3))))
    for words in ("9 asked for, 9 succeeded", "0 to 2; 3 seeds", "lr in {0.001, 0.01, 0.1}"):
        assert words in text
    assert "0.0312 hours (1.9 minutes) of these 9 runs together" in text


def test_the_checklist_takes_no_number_of_a_run_for_its_seed(sweep: Any) -> None:
    root = sweep(seeds=3)
    for file in root.rglob("run.json"):
        record = json.loads(file.read_text())
        record["run"] |= {"run_ID": record["run"]["seed"], "seed": None}
        file.write_text(json.dumps(record))
    text = checklist_of(compare(load(root)))
    assert (
        "**Seeds:** not recorded: the script sets its own; run_ID 0 to 2; 3 runs a variant" in text
    )


class TestAtAStep:
    def test_runs_are_judged_by_what_they_had_there(self, sweep: Any) -> None:
        results = load(sweep())
        there = results_at(results, "step=15", "accuracy")
        whole = compare(results).table["final_mean"][0]
        assert compare(there).table["final_mean"][0] == pytest.approx(0.75 * whole)

    def test_a_run_that_diverged_before_it_is_still_diverged(
        self, write_run: Any, tmp_path: Path
    ) -> None:
        write_run({"lr": 1.0}, rows=[{"step": 1, "acc": 0.5}, {"step": 2, "acc": "nan"}])
        write_run({"lr": 2.0}, rows=[{"step": 1, "acc": 0.5}, {"step": 9, "acc": 0.9}])
        write_run({"lr": 3.0}, rows=[{"step": 1, "acc": 0.5}, {"step": 2, "acc": 0.6}])
        there = compare(results_at(load(tmp_path), "step=5", "acc"))
        assert dict(there.accounting.standings) == {"counted": 1, "diverged": 1, "without": 1}

    @pytest.mark.parametrize("at", ["step", "step=far", "step=nan", "step=1e9", "epochs=3"])
    def test_a_step_that_is_none_is_refused(self, sweep: Any, at: str) -> None:
        with pytest.raises(InvalidInput):
            results_at(load(sweep(seeds=1)), at, "accuracy")


def test_a_shrunken_mean_lies_between_the_mean_and_the_middle(
    write_run: Any, tmp_path: Path
) -> None:
    for number in range(6):
        for seed in range(3):
            write_run({"lr": number}, seed=seed, rows=[{"acc": 0.1 * number + 5 * NOISE[seed]}])
    verdicts = decide(compare(load(tmp_path)))
    first = verdicts.rows[0]
    assert first.shrunken is not None
    assert math.fsum(row.sample.mean for row in verdicts.rows) / 6 < first.shrunken
    assert first.shrunken < first.sample.mean


def test_effects_tell_seeds_from_settings_and_what_diverges(write_run: Any, tmp_path: Path) -> None:
    for lr in (0.1, 0.2, 0.4):
        for hidden in (1, 2):
            for seed in range(4):
                score = "nan" if lr == 0.4 and seed < 3 else lr + NOISE[seed]
                write_run({"lr": lr, "hidden": hidden}, seed=seed, rows=[{"score": score}])
    file = io.StringIO()
    print_effects(compare(load(tmp_path), "score"), Console(file=file, width=80))
    text = file.getvalue()
    assert "between the seeds of one variant" in text
    assert "6 of 8" in text  # of lr = 0.4
    assert "The best of so many of these variants, expected: 1: 0.1487, 2: " in text
    assert "24 runs: 18 counted, 6 diverged" in text
    document = effects_document(compare(load(tmp_path), "score"))
    jsonschema.validate(json.loads(json.dumps(document, allow_nan=False)), EFFECTS_SCHEMA)
    assert document["accounting"]["standings"] == {"counted": 18, "diverged": 6}
    assert document["tasks"][0]["expected_best"][0] == pytest.approx(0.14875)
    write_run({"lr": 1.0}, rows=None, experiment="empty")
    nothing = compare(load(tmp_path / "empty"))
    with pytest.raises(InvalidInput, match="no run has logged a metric"):
        print_effects(nothing, Console(file=file))


def test_effects_are_of_each_task_by_itself(write_run: Any, tmp_path: Path) -> None:
    for env, scale in (("pong", 1.0), ("qbert", 1e6)):
        for lr in (1.0, 2.0, 3.0):
            for seed in range(3):
                score = scale * (lr + NOISE[seed])
                write_run({"env": env, "lr": lr}, seed=seed, rows=[{"score": score}])
    comparison = compare(load(tmp_path), "score")
    pong, qbert = effects_of(comparison)
    assert (pong.task, qbert.task) == ("env=pong", "env=qbert")
    assert pong.deviations is not None
    assert qbert.deviations is not None
    assert [1e6 * d for d in pong.deviations] == pytest.approx(qbert.deviations)
    assert pong.shares is not None
    assert list(pong.shares.main) == ["lr"]
    file = io.StringIO()
    print_effects(comparison, Console(file=file, width=80))
    assert file.getvalue().index("env=pong: 3 variants") < file.getvalue().index("env=qbert: 3")


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e-320])
def test_scores_of_any_magnitude_have_a_table_verdicts_and_effects(
    write_run: Any, tmp_path: Path, scale: float
) -> None:
    for lr in (1.0, 2.0, 3.0):
        for seed in range(3):
            write_run({"lr": lr}, seed=seed, rows=[{"score": scale * (lr + 10 * NOISE[seed])}])
    comparison = compare(load(tmp_path), "score")
    verdicts = decide(comparison)
    assert "lr=3 leads" in verdicts.sentence()
    assert words_of(verdicts)
    json.dumps(document_of(comparison, verdicts), allow_nan=False)
    json.dumps(effects_document(comparison), allow_nan=False)
    assert latex_of(verdicts)
    print_effects(comparison, Console(file=io.StringIO(), width=80))


def test_an_optimality_gap_is_what_runs_lack_and_nothing_makes_up_for(
    write_run: Any, tmp_path: Path
) -> None:
    for env, best in (("pong", 1.5), ("qbert", 0.5)):
        for seed in range(3):
            write_run({"env": env, "algo": "a"}, seed=seed, rows=[{"score": best}])
            write_run({"env": env, "algo": "b"}, seed=seed, rows=[{"score": 0.1 * seed}])
    write_run({"env": "pong", "algo": "c"}, rows=[{"score": 1.0}])
    comparison = compare(load(tmp_path), "score")
    gaps = {gap.name: gap for gap in gaps_of(comparison, 1.0)}
    assert gaps["algo=a"].gap.estimate == pytest.approx(0.25)  # what is above 1 is no more than 1
    assert gaps["algo=b"].gap.estimate == pytest.approx(0.9)
    assert math.isnan(gaps["algo=c"].gap.estimate)  # it lacks a task
    lower = {gap.name: gap for gap in gaps_of(compare(load(tmp_path), "score", "min"), 0.05)}
    assert lower["algo=b"].gap.estimate == pytest.approx((0.05 + 0.15) / 3)
    file = io.StringIO()
    print_gaps(comparison, 1.0, Console(file=file, width=80))
    assert "no value" in file.getvalue()
    assert "16 runs" not in file.getvalue()
    assert "13 runs: 13 counted" in file.getvalue()


def test_variants_of_different_tasks_are_not_compared_and_a_task_without_one_is_named(
    write_run: Any, tmp_path: Path
) -> None:
    for env in ("pong", "qbert"):
        for algo in ("a", "b", "c"):
            for seed in range(3) if (env, algo) != ("qbert", "c") else ():
                score = ord(algo) + NOISE[seed]
                write_run({"env": env, "algo": algo}, seed=seed, rows=[{"score": score}])
    comparison = compare(load(tmp_path), "score")
    with pytest.raises(InvalidInput, match="have scales of their own; name two variants of one"):
        decide_pair(comparison, "env=pong, algo=a", "env=qbert, algo=b")
    pair = decide_pair(comparison, "a", "c")  # on the one task that has both
    assert [row.label for row in pair.rows] == ["algo=c", "algo=a"]
    assert pair.comparison.accounting.total == 6
    words = " ".join(words_of(decide(comparison, "c")).split())
    assert "Not compared, since there is no such variant: env=qbert." in words
    assert "Without a value on some task, and no rank: algo=c." in words


def test_variants_that_have_no_value_are_said_to_have_none(write_run: Any, tmp_path: Path) -> None:
    for lr in (1.0, 2.0):
        write_run({"lr": lr}, rows=[{"loss": "nan"}])
    comparison = compare(load(tmp_path), "loss")
    assert decide(comparison).sentence() == "no variant has a value."
    write_run({"lr": 3.0}, rows=[{"loss": 0.5}])
    verdicts = decide(compare(load(tmp_path), "loss"))
    assert verdicts.sentence() == "lr=3 has loss 0.5, and no other variant has a value."


def test_only_what_diverged_has_nan_for_its_mean(write_run: Any, tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run({"lr": 1}, seed, [{"loss": 1 + seed}])
        write_run({"lr": 2}, seed, [{"loss": "nan"}])
        write_run({"lr": 3}, seed, [{"loss": 9}], state="pruned")
    words = words_of(decide(compare(load(tmp_path), "loss", "min"), "best"))
    assert re.search(r"^ *2 +0/2 +nan ", words, re.MULTILINE)
    assert re.search(r"^ *3 +0/2 +– ", words, re.MULTILINE)


def test_a_column_that_no_variant_of_two_launches_has_is_left_out(sweep: Any) -> None:
    before, after = sweep(experiment="before"), sweep(experiment="after", shift=0.1)
    verdicts = decide_experiments(
        compare(load(after)), compare(load(before)), compare(load([before, after]))
    )
    assert "experiment" not in words_of(verdicts)


def test_equal_means_have_no_leader_and_large_ones_all_their_digits(
    tmp_path: Path, write_run: Any
) -> None:
    for lr in (0.1, 0.2, 0.3):
        for seed in (0, 1):
            write_run({"lr": lr}, seed, [{"score": 0.5, "steps": 1234567 + seed + lr * 10}])
    results = load(tmp_path)
    alike = decide(compare(results, "score"))
    assert alike.sentence() == "all 3 variants have the same score 0.5."
    assert "leads with steps 1234570" in decide(compare(results, "steps")).sentence()


def test_what_stands_alone_or_has_no_value_is_called_so(write_run: Any, tmp_path: Path) -> None:
    for seed in range(3):
        write_run({"lr": 1}, seed=seed, rows=[{"loss": seed}], experiment="one")
    words = words_of(decide(compare(load(tmp_path / "one"))))
    assert "the only variant has loss 1, and there is nothing to compare it with." in words
    for lr in range(2):
        for seed in range(3):
            write_run({"lr": lr}, seed=seed, rows=[{"loss": "nan"}], experiment="none")
    words = words_of(decide(compare(load(tmp_path / "none"))))
    assert "no variant has a value" in words
    rows = [line for line in words.splitlines() if " 0/3 " in line]
    assert ["no value" in row for row in rows] == [True, True]
    assert "reference" not in words
    for seed in range(3):
        write_run({"lr": 2}, seed=seed, rows=[{"loss": seed}], experiment="none")
    words = words_of(decide_pair(compare(load(tmp_path / "none")), "lr=2", "lr=0"))
    assert "lr=0 has no value." in words
    assert "not compared" in words


def test_mean_ranks_stand_best_first(write_run: Any, tmp_path: Path) -> None:
    for task in range(6):
        for place, algo in enumerate("bca"):
            for seed in range(3):
                score = 10**task * (1 + place + NOISE[seed])
                write_run({"env": f"e{task}", "algo": algo}, seed=seed, rows=[{"score": score}])
    words = " ".join(words_of(decide(compare(load(tmp_path), "score"))).split())
    assert "Mean ranks over 6 tasks: algo=a 1.00, algo=c 2.00, algo=b 3.00." in words
    assert "p < .001 (Iman and Davenport)" in words


def test_two_variants_are_looked_at_again_while_runs_of_theirs_are_to_come(sweep: Any) -> None:
    results = load(sweep())
    pair = ("lr=0.1", "lr=0.01")

    def waiting_for(variant: str) -> Any:
        key = (results.runs["experiment"][0], variant)
        waiting = {key[0]: 4}
        return dataclasses.replace(results, waiting=waiting, waiting_variants={key: 4})

    theirs = decide_pair(compare(waiting_for("lr=0.01")), *pair)
    assert theirs.comparison.is_under_way
    assert "16 runs: 12 counted, 4 not started yet" in theirs.comparison.accounting.line()
    others = decide_pair(compare(waiting_for("lr=0.001")), *pair)
    assert not others.comparison.is_under_way
    assert others.comparison.accounting.line().startswith("12 runs: 12 counted")


def test_two_experiments_are_compared_within_each_task_and_say_what_else_differs(
    write_run: Any, tmp_path: Path
) -> None:
    for experiment, hidden in (("before", 32), ("after", 64)):
        for env, scale in (("pong", 1.0), ("qbert", 1000.0)):
            for seed in range(6):
                score = scale * (1 + NOISE[seed] + (NOISE[seed - 1] - 0.01) * (hidden == 64))
                variant = {"env": env, "hidden": hidden}
                write_run(variant, seed=seed, rows=[{"score": score}], experiment=experiment)
    before, after = load(tmp_path / "before"), load(tmp_path / "after")
    both = load([tmp_path / "before", tmp_path / "after"])
    verdicts = decide_experiments(compare(after), compare(before), compare(both))
    for row in verdicts.rows:  # one comparison in each task
        assert row.difference is not None
        assert row.p == row.difference.p
    assert verdicts.remark == "The two experiments differ in hidden (64 beside 32)."
    assert verdicts.remark in " ".join(words_of(verdicts).split())
    assert verdicts.remark in latex_of(verdicts)
    document = document_of(verdicts.comparison, verdicts)
    jsonschema.validate(json.loads(json.dumps(document, allow_nan=False)), SCHEMA)
    assert document["remark"] == verdicts.remark
    assert {variant["settings"]["hidden"] for variant in document["variants"]} == {64}


def test_variants_that_a_limit_hides_are_counted(sweep: Any) -> None:
    assert "2 more variants not shown (--limit)." in words_of(
        decide(compare(load(sweep()))), limit=1
    )


def test_an_experiment_that_was_not_confirmed_counts_whole_beside_one_that_was(
    sweep: Any, tmp_path: Path
) -> None:
    sweep(experiment="plain", seeds=3)
    home = sweep(experiment="again", seeds=6)
    record = {"format": 1, "variants": ["lr=0.1"], "seeds": [4, 5], "metric": "accuracy"}
    (home / "confirmation.json").write_text(json.dumps({**record, "created": 0.0}))
    results = load([tmp_path / "plain", home])
    waiting = {("plain", "lr=0.001"): 2, ("again", "lr=0.1"): 1, ("again", "lr=0.001"): 3}
    asked = dataclasses.replace(results, waiting={}, waiting_variants=waiting)
    counted = confirmed(asked)
    assert counted.runs.height == 9 + 2
    assert counted.waiting == {"plain": 2, "again": 1}
    assert counted.confirmation.startswith(
        "Confirmed: of again only the runs of 1 variant on the fresh seeds 4 to 5 count; the 12 runs"
    )
