"""The table, its choices and its notes; the commands; differences; exports."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from runslot.cli.results import export, results
from runslot.cli.signature import typed
from runslot.errors import InvalidInput
from runslot.experiment.records import Command, ExperimentFile
from runslot.results import load
from runslot.results.comparison import compare
from runslot.results.document import document_of
from runslot.results.summary import default_metric, mode_of
from runslot.results.text.difference import difference
from runslot.results.text.table import notes_of, print_table
from runslot.results.verdicts import decide
from runslot.view.data.answer import answer_of
from runslot.view.data.choices import Choices

WriteRun = Callable[..., Path]
WriteLog = Callable[..., Path]


def printed(path: Path, width: int | None = None, **options: object) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=width is not None, width=width or 80, color_system=None
    )
    print_table(path, console, **options)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def sweep(write_run: WriteRun) -> None:
    for lr, base in ((0.1, 0.5), (0.01, 0.9)):
        for seed in range(3):
            rows = [
                {"epoch": k, "train_loss": 2 - k, "test_accuracy": base + seed / 100 + k / 10}
                for k in range(2)
            ]
            state = "failed" if lr == 0.1 and seed == 2 else "succeeded"
            write_run({"lr": lr, "batch": 32}, seed, rows, state)


def test_variants_best_first_with_what_varies(tmp_path: Path, write_run: WriteRun) -> None:
    sweep(write_run)
    lines = printed(tmp_path / "digits").splitlines()
    assert lines[0] == "2 variants, 6 runs · test_accuracy, higher is better"
    assert [line.split() for line in lines[1:4]] == [
        ["lr", "n", "final", "best", "failed"],
        ["0.01", "3", "1.010", "±", "0.025", "1.010", "±", "0.025"],
        ["0.1", "2/3", "0.605", "±", "0.064", "0.605", "±", "0.064", "1"],
    ]
    notes = "\n".join(lines[4:])
    line = (
        "6 runs: 5 counted, 1 failed; pooled over: nothing; mean ± 95 % t interval over 2 to 3"
        " seeds"
    )
    assert line in notes
    assert "Only succeeded runs count: 1 failed left out" in notes
    assert "test_accuracy was chosen by its name" in notes
    assert lines[-1] == f"in {tmp_path / 'digits'}"


def test_include_counts_other_states(tmp_path: Path, write_run: WriteRun) -> None:
    sweep(write_run)
    text = printed(tmp_path, include=["failed"])
    assert "0.610 ± 0.025" in text
    assert "left out" not in text
    assert "6 runs: 6 counted;" in text
    assert "0.610 ± 0.010" in printed(tmp_path, include=["failed"], spread="mean-std")
    assert "0.6100 ± 0.0058" in printed(tmp_path, include=["failed"], spread="mean-sem")
    assert "mean ± 50 % t interval" in printed(tmp_path, level=0.5)
    with pytest.raises(InvalidInput, match="'faild' is not a state"):
        printed(tmp_path, include=["faild"])


def test_lower_is_better_for_a_loss_and_mode_turns_it(tmp_path: Path, write_run: WriteRun) -> None:
    for lr in (1, 2):
        write_run({"lr": lr}, 0, [{"loss": lr}, {"loss": lr + 1}])
    assert compare(load(tmp_path)).table.select("lr", "final_mean", "best_mean").rows() == [
        (1, 2, 1),
        (2, 3, 2),
    ]
    turned = compare(load(tmp_path), "loss", "max")
    assert turned.table.select("lr", "final_mean", "best_mean").rows() == [(2, 3, 3), (1, 2, 2)]
    assert turned.chosen == ""


def test_a_diverged_variant_is_last_and_said_so(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0, [{"loss": 1}, {"loss": "nan"}, {"loss": "nan"}])
    write_run({"lr": 1}, 1, [{"loss": 1}])
    write_run({"lr": 2}, 0, [{"loss": 9}])
    text = printed(tmp_path)
    assert "1 run ended in nan" in text
    assert "3 runs: 2 counted, 1 diverged; pooled over: nothing" in text
    results = load(tmp_path)
    for mode in ("min", "max"):
        table = compare(results, "loss", mode).table  # type: ignore[arg-type]
        assert table["lr"].to_list() == [2, 1]
        assert table.select("n", "runs", "diverged").rows() == [(1, 1, 0), (1, 2, 1)]
    worst = compare(results, "loss", diverged="worst").table
    assert worst.select("lr", "n", "final_mean").rows() == [(1, 2, 5.0), (2, 1, 9.0)]
    dropped = compare(results, "loss", diverged="drop").table
    assert dropped.select("lr", "n", "final_mean").rows() == [(1, 1, 1.0), (2, 1, 9.0)]


def test_what_did_not_count_is_said_of_the_states_that_did_not(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed, state in enumerate(("succeeded", "failed", "stopped")):
        write_run({"lr": 1}, seed, state=state)
    text = printed(tmp_path, include=["failed"])
    assert "Only succeeded and failed runs count: 1 stopped left out" in text
    assert "3 runs: 2 counted, 1 stopped" in text


def test_each_row_has_the_digits_that_its_own_interval_is_worth(
    tmp_path: Path, write_run: WriteRun
) -> None:
    sizes = {
        "small": (1e-2, 1e-3),
        "smaller": (3e-12, 1e-13),
        "large": (2000, 100),
        "whole": (1234567, 0),
    }
    for name, (mean, std) in sizes.items():
        for seed in range(3):
            write_run({"v": name}, seed, [{"loss": mean + (seed - 1) * std, "row_of": seed}])
    rows = {line.split()[0]: line.split()[2:5] for line in printed(tmp_path).splitlines()[2:6]}
    assert rows == {
        "smaller": ["3.00e-12", "±", "2.5e-13"],
        "small": ["0.0100", "±", "0.0025"],
        "large": ["2000", "±", "248"],
        "whole": ["1234567", "±", "0"],
    }


def test_single_runs_that_differ_read_differently(tmp_path: Path, write_run: WriteRun) -> None:
    for lr, loss in ((1, 0.12345678), (2, 0.12345679), (3, 20_000_001)):
        write_run({"lr": lr}, 0, [{"loss": loss}])
    assert [line.split()[2] for line in printed(tmp_path).splitlines()[2:5]] == [
        "0.12345678",
        "0.12345679",
        "20000001",
    ]


def test_an_experiment_that_has_started_nothing_has_a_table(tmp_path: Path) -> None:
    (tmp_path / "experiment.json").write_text("{}")
    (tmp_path / "runs.jsonl").write_text('{"id": "a", "name": "lr=1"}\n')
    text = printed(tmp_path)
    assert text.startswith("0 variants, 1 run")
    assert "1 run: 1 not started yet; pooled over: nothing" in text


def test_hyperparameters_may_have_the_names_of_our_columns(
    tmp_path: Path, write_run: WriteRun
) -> None:
    names = ("n", "runs", "group", "standing", "len", "diverged", "failed", "final_mean", "score")
    for value in (1, 2):
        for seed in range(2):
            write_run(dict.fromkeys(names, value), seed, [{"loss": value + seed}])
    table = compare(load(tmp_path)).table
    assert table.select(
        "variant.n", "variant.diverged", "standing", "score", "n", "final_mean"
    ).rows() == [(value, value, value, value, 2, value + 0.5) for value in (1, 2)]
    assert "4 runs: 4 counted; pooled over: nothing" in printed(tmp_path)


def test_a_value_that_is_nan_or_missing_is_a_value(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(2):
        for lr in (float("nan"), 0.1, None):
            write_run({"lr": lr}, seed)
    rows = [line.split()[:2] for line in printed(tmp_path).splitlines()[2:5]]
    assert sorted(rows) == [["0.1", "2"], ["nan", "2"], ["–", "2"]]


def test_the_metric_taken_is_one_that_nearly_all_runs_have(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(10):
        write_run({"lr": 1}, seed, [{"loss": 1.0}])
    write_run({"lr": 2}, 0, [{"loss": 1.0, "accuracy": 0.5}])
    assert compare(load(tmp_path)).metric == "loss"


def test_a_metric_of_text_is_named_as_text(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0, [{"phase": "warm"}, {"phase": "done"}])
    assert "No run has logged a metric, only text: phase." in printed(tmp_path)
    with pytest.raises(InvalidInput, match="'phase' holds text, not numbers"):
        printed(tmp_path, metric="phase")


def test_runs_that_logged_text_where_others_have_numbers_are_named(
    tmp_path: Path, write_log: WriteLog
) -> None:
    for name, last in (("a", "0.5"), ("b", "50%"), ("c", "0x10")):
        write_log(f"runs/{name}", **{"progress.csv": f"step,acc\n0,{last}\n1,{last}\n"})
    write_log("runs/d", **{"progress.csv": "step,acc,device\n0,tensor(1),cpu\n"})
    text = printed(tmp_path / "runs", metric="acc")
    assert "4 runs: 1 counted, 3 without acc" in text
    assert "Text, not a number, for acc: b; c; d." in text


def test_runs_of_a_variant_with_equal_logs_are_named(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run({"lr": 1}, seed, [{"loss": 1.5 - seed // 2}, {"loss": 0.25}])
    write_run({"lr": 2}, 0, [{"loss": 1.5}, {"loss": 0.25}])
    assert "Equal logs, number by number: lr=1/run_0, run_1." in printed(tmp_path / "digits")


def test_the_best_of_several_variants_is_said_to_be_chosen_by_its_own_seeds(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for lr in range(5):
        for seed in range(3):
            write_run({"lr": lr}, seed, [{"accuracy": (seed * 7 + lr * 3) % 5 / 10}])
    text = printed(tmp_path)
    assert re.search(
        r"First of 5 by its own seeds: on new ones expect its final about 0\.\d+ lower", text
    )
    for lr in range(2):
        write_run({"one": lr}, 0, [{"accuracy": 0.5}], experiment="other")
    assert "by its own seeds" not in printed(tmp_path / "other")


def test_a_mean_whose_seeds_agree_has_the_places_of_the_other_rows(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        write_run({"lr": 1}, seed, [{"accuracy": 0.97777777}])
        write_run({"lr": 2}, seed, [{"accuracy": 0.9 + seed / 100}])
    assert re.search(r" 1 +3 +0\.978 ± 0 ", printed(tmp_path))
    for seed in range(3):
        write_run({"lr": 3}, seed, [{"accuracy": 0.97777778}])
    assert "0.97777777 ± 0" in printed(tmp_path), "two that differ look different"


def test_two_launches_of_one_sweep_are_not_mixed(tmp_path: Path, write_run: WriteRun) -> None:
    for experiment in ("first", "second"):
        for seed in (0, 1):
            write_run({"lr": 1}, seed, experiment=experiment)
    table = compare(load(tmp_path)).table
    assert table.select("experiment", "n").rows() == [("first", 2), ("second", 2)]


def test_where_no_run_passes_the_filters_that_is_said_rather_than_that_none_has_logged(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run({"lr": 1}, 0)
    none = compare(load(tmp_path).where("lr > 5"))
    text = "\n".join(note.plain for note in notes_of(none, 0))
    assert "No run passes the filters." in text
    assert "logged" not in text
    with pytest.raises(InvalidInput, match="no run passes the filters"):
        decide(none, "best")


def test_runs_without_metrics(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0, None, state="queued")
    text = printed(tmp_path)
    assert "No run has logged a metric." in text
    assert "1 queued left out" in text


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_is_never_overrun(tmp_path: Path, write_run: WriteRun, width: int) -> None:
    for i in (1, 2):
        write_run({f"a.long.name.of.a.parameter.{k}": f"{'value' * 4}{i}" for k in range(4)}, i)
    lines = printed(tmp_path, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "0.5" in "".join(lines)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_value_or_name_of_a_parameter_is_broken_in_a_narrow_terminal(
    tmp_path: Path, write_run: WriteRun, width: int
) -> None:
    texts = {
        "optimizer_class": ["adamw", "sgd_momentum"],
        "env_id": ["HalfCheetah-v4", "InvertedDoublePendulum-v4"],
    }
    for seed, lr in enumerate((0.001234, 0.1)):
        words = {key: values[seed] for key, values in texts.items()}
        algorithm = {"discount": 0.99 + seed / 200, "policy_lr": lr}
        write_run(
            {**words, **{f"algo_kwargs.{k}": v for k, v in algorithm.items()}},
            0,
            [{"accuracy": seed}],
        )
    lines = printed(tmp_path / "digits", width).splitlines()
    assert max(map(len, lines)) <= width
    for word in (
        "adamw",
        "sgd_momentum",
        "HalfCheetah-v4",
        "InvertedDoublePendulum-v4",
        "0.001234",
        "0.995",
    ):
        assert any(word in line.replace("=", " ").replace(",", " ").split() for line in lines), (
            word,
            lines,
        )
    text = " ".join(" ".join(lines).split())
    assert ("Short for algo_kwargs.discount, algo_kwargs.policy_lr." in text) == (width < 140)


def test_piped_text_is_whole(tmp_path: Path, write_run: WriteRun) -> None:
    for i in (1, 2):
        write_run({f"parameter.{k}": f"{'value' * 9}{i}" for k in range(4)}, i)
    lines = printed(tmp_path).splitlines()
    assert f"{'value' * 9}2" in lines[2] + lines[3]
    assert lines[1].split()[:5] == ["parameter.0", "parameter.1", "parameter.2", "parameter.3", "n"]


def test_markup_in_names_is_only_text(tmp_path: Path, write_run: WriteRun) -> None:
    for i in (1, 2):
        write_run({"[red]x": f"[bold]{i}"}, i, [{"[blink]acc": 1}])
    text = printed(tmp_path, 100)
    assert "[red]x" in text
    assert "[bold]1" in text
    assert "[blink]acc" in text


@pytest.mark.parametrize(
    ("metrics", "chosen"),
    [
        (["epoch", "train/loss", "test/loss"], "test/loss"),
        (["loss", "train_acc", "val_acc"], "val_acc"),
        (
            [
                "Epoch",
                "exploration/Returns Mean",
                "evaluation/Returns Std",
                "evaluation/Returns Mean",
            ],
            "evaluation/Returns Mean",
        ),
        (["Diagnostics/Iteration", "ReturnStd", "ReturnAverage", "loss"], "ReturnAverage"),
        (["l", "r", "t"], "r"),
        (["step", "something"], "something"),
        (["accumulated", "timestep"], "accumulated"),
        ([], None),
    ],
)
def test_default_metric(metrics: Sequence[str], chosen: str | None) -> None:
    assert default_metric(metrics) == chosen


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("testLoss", "min"),
        ("MSE", "min"),
        ("AverageReturn", "max"),
        ("confidence", None),
        ("ep_rew_mean", "max"),
    ],
)
def test_mode_by_name(metric: str, mode: str | None) -> None:
    assert mode_of(metric) == mode


class TestDifference:
    def test_what_is_not_equal(self, tmp_path: Path, write_run: WriteRun) -> None:
        left = write_run({"lr": 0.1, "same": 1}, 0, [{"acc": 1, "nan": "nan"}])
        right = write_run({"lr": 0.2, "same": 1}, 1, [{"acc": 2, "nan": "nan"}], state="failed")
        (left / "git_infos.txt").write_text("commit a\n")
        (right / "git_infos.txt").write_text("commit b\n")
        (left / "work.patch").write_text("+x = 1\n")
        (right / "environment.json").write_text(
            json.dumps({"python": "3.12", "packages": {"torch": "2.9"}})
        )
        parts = difference(left, right).parts
        assert parts["variant"] == {"lr": (0.1, 0.2)}
        assert parts["run"]["seed"] == ("0", "1")
        assert parts["run"]["state"] == ("succeeded", "failed")
        assert parts["code"] == {
            "git_infos.txt": ("commit a\n", "commit b\n"),
            "uncommitted changes": ("+x = 1\n", None),
        }
        assert parts["environment"] == {"python": (None, "3.12"), "packages.torch": (None, "2.9")}
        assert parts["metrics"] == {"acc": (1.0, 2.0)}

    def test_more_than_one_run_is_refused(self, tmp_path: Path, write_run: WriteRun) -> None:
        run = write_run({"lr": 0.1}, 0)
        write_run({"lr": 0.1}, 1)
        with pytest.raises(InvalidInput, match="holds 2 runs"):
            difference(run, tmp_path)


class TestCommands:
    def call(self, *arguments: object) -> Result:
        app = typer.Typer()
        app.command()(typed(results))
        app.command()(typed(export))
        return CliRunner().invoke(
            app, [str(argument) for argument in arguments], catch_exceptions=False
        )

    def test_table_and_files(self, tmp_path: Path, write_run: WriteRun) -> None:
        sweep(write_run)
        called = self.call(
            "results", tmp_path, "--metric", "train_loss", "--where", "lr < 0.05", "--csv", tmp_path / "t.csv",
            "--parquet", tmp_path / "t.parquet",
        )  # fmt: skip
        assert called.exit_code == 0
        assert "train_loss, lower is better" in called.output
        assert pl.read_csv(tmp_path / "t.csv").select("n", "final_mean").rows() == [(3, 1.0)]
        assert pl.read_parquet(tmp_path / "t.parquet").height == 1

    def test_csv_to_the_output(self, tmp_path: Path, write_run: WriteRun) -> None:
        sweep(write_run)
        called = self.call("results", tmp_path, "--csv", "-")
        assert pl.read_csv(called.stdout.encode())["lr"].to_list() == [0.01, 0.1]
        assert called.stderr.startswith("6 runs: 5 counted, 1 failed;")

    def test_options_say_who_counts(self, tmp_path: Path, write_run: WriteRun) -> None:
        sweep(write_run)
        write_run({"lr": 0.01, "batch": 32}, 3, [{"test_accuracy": 1}, {"test_accuracy": "inf"}])
        interval = "pooled over: nothing; mean ± 95 % t interval over 2 to 3 seeds"
        deviation = "pooled over: nothing; mean ± standard deviation over 2 to 4 seeds"
        for words, line in (
            ((), f"7 runs: 5 counted, 1 diverged, 1 failed; {interval}"),
            (("--include", "failed"), "7 runs: 6 counted, 1 diverged; pooled over: nothing"),
            (
                ("--diverged", "drop", "--level", "0.9"),
                "1 failed; pooled over: nothing; mean ± 90 % t interval",
            ),
            (
                ("--diverged", "worst", "--band", "mean-std"),
                f"1 diverged (as the worst), 1 failed; {deviation}",
            ),
        ):
            assert line in self.call("results", tmp_path, *words).output
        for words in (
            ("--band", "iqm"),
            ("--diverged", "no"),
            ("--level", "95"),
            ("--include", "faild"),
        ):
            with pytest.raises(InvalidInput):
                self.call("results", tmp_path, *words)

    def test_diff(self, tmp_path: Path, write_run: WriteRun) -> None:
        a, b = write_run({"lr": 0.1}, 0), write_run({"lr": 0.2}, 0)
        called = self.call("results", "diff", a, b)
        assert "lr       0.1   0.2" in called.output
        assert "no difference in: code, environment, metrics" in called.output
        with pytest.raises(InvalidInput, match="1 were named"):
            self.call("results", "diff", a)

    def test_diff_of_runs_by_name_and_by_id(
        self, tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = [
            {
                "id": f"abc{i}",
                "name": f"lr={i}",
                "variant": {"lr": i},
                "directory": f"lr={i}/run_0",
                "run_ID": 0,
            }
            for i in (1, 2)
        ]
        for i in (1, 2):
            write_run({"lr": i}, 0)
        experiment = ExperimentFile("digits", Command(("true",)), 0.0, "/", "python").to_json()
        (tmp_path / "digits" / "experiment.json").write_text(json.dumps(experiment))
        (tmp_path / "digits" / "runs.jsonl").write_text(
            "".join(f"{json.dumps(run)}\n" for run in runs)
        )
        monkeypatch.setenv("RUNSLOT_ROOT", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        for names in (("digits/lr=1", "digits/lr=2/run_0"), ("lr=1/run_0", "abc2")):
            assert "lr       1     2" in self.call("results", "diff", *names).output

    def test_export(
        self, tmp_path: Path, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sweep(write_run)
        monkeypatch.chdir(tmp_path)
        called = self.call("export", "digits", "--csv", "--parquet")
        line = (
            "by test_accuracy: 6 runs: 5 counted, 1 failed; pooled over: nothing (column standing)"
        )
        assert called.stderr.strip() == line
        assert called.stdout.split() == [
            f"digits-export/{name}.{kind}"
            for kind in ("csv", "parquet")
            for name in ("runs", "progress")
        ]
        standings = pl.read_csv("digits-export/runs.csv")["standing"].to_list()
        assert sorted(standings) == ["counted"] * 5 + ["failed"]
        progress = pl.read_parquet("digits-export/progress.parquet")
        assert progress.columns == ["run", "row", "epoch", "train_loss", "test_accuracy"]
        self.call("export", "digits", "--parquet", "--long", "--out", "long")
        assert pl.read_parquet("long/progress.parquet").height == 6 * 2 * 3

    def test_bad_options(self, tmp_path: Path, write_run: WriteRun) -> None:
        write_run({"lr": 0.1}, 0)
        with pytest.raises(InvalidInput, match="neither max nor min"):
            self.call("results", tmp_path, "--mode", "best")
        with pytest.raises(InvalidInput, match="add --csv, --parquet"):
            self.call("export", tmp_path)


def test_what_counts_the_steps_is_no_objective_where_runs_name_theirs_differently(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(8):
        metric = "loss" if seed < 5 else "val/custom"
        write_run({"lr": 0.1}, seed, [{"step": k, metric: 1 / (k + 1)} for k in range(3)])
    assert compare(load(tmp_path)).metric == "loss"


def test_a_deviation_of_huge_values_is_a_number(tmp_path: Path, write_run: WriteRun) -> None:
    for lr, values in ((0.1, (9e300, 0.1, 0.2)), (0.2, (1.0, 2.0, 3.0))):
        for seed, value in enumerate(values):
            write_run({"lr": lr}, seed, [{"loss": value}])
    table = compare(load(tmp_path)).table.sort("lr")
    assert table["final_std"].to_list() == pytest.approx([9e300 / 3**0.5, 1.0])
    assert table.select((pl.col("final_high") - pl.col("final_mean")).is_finite().all()).item()


def test_the_first_by_one_seed_is_said(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run({"lr": 0.1}, seed, [{"accuracy": seed / 10}])
    write_run({"lr": 0.2}, 0, [{"accuracy": 0.9}])
    assert "First by one seed: how it would do on others is not known." in printed(tmp_path)


def test_the_page_and_the_table_take_the_same_objective(
    tmp_path: Path, write_run: WriteRun
) -> None:
    from runslot.view.data.groups import default_y

    write_run({"lr": 0.1}, 0, [{"step": 0, "count": 1}])
    results = load(tmp_path)
    assert (compare(results).metric, default_y(results.common_metrics)) == ("count", ("count",))


def test_a_deviation_of_values_that_vanish_is_no_zero(tmp_path: Path, write_run: WriteRun) -> None:
    for lr in (1.0, 2.0):
        for seed in range(3):
            write_run({"lr": lr}, seed, [{"loss": lr * (1 + seed) * 1e-300}])
    table = compare(load(tmp_path)).table
    assert table["final_std"].to_list() == pytest.approx([1e-300, 2e-300], rel=1e-9, abs=0)


def test_of_names_that_say_nothing_one_that_differs_between_runs_is_taken(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        write_run({"lr": seed}, seed, [{"ステップ": k, "精度": seed * k} for k in range(3)])
    assert compare(load(tmp_path)).metric == "精度"
    assert "精度 was chosen though no name says what runs are for (--metric)" in printed(tmp_path)


def test_a_value_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    for number in range(2):
        directory = tmp_path / f"v{number}" / "run_0"
        directory.mkdir(parents=True)
        (directory / "progress.csv").write_text(f"step,score\n1,{number}\n")
        variant = {"prompt": f"a\tb\nline {number}"}
        (directory / "variant.json").write_text(json.dumps(variant))
    for width in (None, 80):
        assert [line for line in printed(tmp_path, width).splitlines() if "a b line 1" in line]


def of_two_tasks(write_run: WriteRun) -> None:
    """Scores of tasks on unlike scales: on both algo=b leads, and algo=c is last."""
    for env, scale in (("qbert", 1000.0), ("pong", 1.0)):
        for place, algo in enumerate("cab"):
            for seed in range(3):
                score = scale * (place + (1.5, 0.2, -1.0)[seed] * (1 + 0.1 * place))
                write_run({"env": env, "algo": algo}, seed=seed, rows=[{"score": score}])


def test_tasks_stand_one_after_the_other_since_their_scales_differ(
    tmp_path: Path, write_run: WriteRun
) -> None:
    of_two_tasks(write_run)
    results = load(tmp_path / "digits", cache=False)
    comparison = compare(results, "score", "max")
    order = [*comparison.table.select("env", "algo").iter_rows()]
    assert order == [(env, algo) for env in ("pong", "qbert") for algo in "bac"]
    labels = [row.account.values for row in decide(comparison).rows]
    assert labels == order  # the verdicts stand in the same order
    text = printed(tmp_path / "digits", metric="score", mode="max", limit=1)
    assert [line.split()[:2] for line in text.splitlines()[2:4]] == [["pong", "b"], ["qbert", "b"]]
    assert "4 more variants not shown" in text
    assert "Best first within each env, whose scores have a scale of their own." in text
    gains = {choice.task: choice.optimism for choice in comparison.choices}
    assert gains["env=qbert"] == pytest.approx(1000 * gains["env=pong"])  # type: ignore[operator]
    assert comparison.optimism == gains["env=pong"] > 0  # type: ignore[operator]
    words = (
        f"env=pong about {gains['env=pong']:.2g} lower; env=qbert about {gains['env=qbert']:.2g}"
    )
    assert f"First of a task by their own seeds: on new ones expect their finals {words}" in text


@pytest.mark.parametrize(
    "ends",
    [
        ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1)),
        ((1.7e308,) * 3, (1.6e308,) * 3),
        ((0.2, 0.2, 0.2), (0.1, 0.1, 0.1)),
    ],
)
def test_the_means_of_table_and_verdicts_are_the_same_to_the_last_digit(
    tmp_path: Path, write_run: WriteRun, ends: Sequence[Sequence[float]]
) -> None:
    for place, scores in enumerate(ends):
        for seed, score in enumerate(scores):
            write_run({"lr": place}, seed=seed, rows=[{"score": score}])
    comparison = compare(load(tmp_path / "digits", cache=False), "score", "max")
    means = [row.sample.mean for row in decide(comparison).rows]
    assert comparison.table["final_mean"].to_list() == means
    assert means[0] == max(ends[0][0], 0.2)  # three times 0.2 are 0.2, not 0.20000000000000004
    document = document_of(comparison, decide(comparison))
    assert [variant["final"]["mean"] for variant in document["variants"]] == means
    page = answer_of(comparison.results, comparison.results, Choices(y=("score",)), "")
    assert [variant.mean for variant in page.variants] == means
