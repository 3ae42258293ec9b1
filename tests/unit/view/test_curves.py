"""Curves over seeds: the right runs, the right numbers, and colours that filters do not change."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from runslot.errors import InvalidInput
from runslot.results import load
from runslot.results.comparison import compare
from runslot.results.read.steps import step_column
from runslot.view.data.alignment import Rows
from runslot.view.data.choices import Choices
from runslot.view.data.curves import Drawing, draw
from runslot.view.data.groups import axes_of, choose, default_series, default_x, default_y

from .conftest import Write


def drawn(path: Path, query: str = "") -> Drawing:
    results, choices = load(path, cache=False), Choices.from_query(query)
    return draw(choose(results, choices), Rows.of(results), choices, results)


def test_defaults_are_the_objective_over_steps_a_curve_a_variant(runs: Path) -> None:
    (panel,) = drawn(runs).panels
    assert (panel.y, panel.x) == ("score", "step")
    means = [c for c in panel.curves if not c.member]
    assert [c.label for c in means] == [
        f"lr={lr}, hidden={hidden}" for lr in (0.01, 0.1) for hidden in (32, 128)
    ]
    assert [c.runs for c in means] == [3, 3, 3, 3]
    assert sum(c.member for c in panel.curves) == 12  # under five seeds, these themselves are drawn


def test_center_and_band_are_those_of_the_seeds(runs: Path) -> None:
    (panel,) = drawn(runs, "only.lr=0.1&only.hidden=32&band=mean-std").panels
    (curve,) = panel.curves
    assert curve.points["x"].to_list() == [0, 10, 20, 30, 40]
    scores = [3.2 + seed for seed in range(3)]
    assert curve.points["center"][0] == pytest.approx(statistics.mean(scores))
    assert curve.points["high"][0] == pytest.approx(
        statistics.mean(scores) + statistics.stdev(scores)
    )
    assert curve.points["n"].to_list() == [3] * 5


def test_figures_are_split_and_curves_joined_by_any_columns(runs: Path) -> None:
    drawing = drawn(runs, "series=lr&split=hidden&y=score&y=loss&band=mean-std")
    assert [(p.y, p.split) for p in drawing.panels] == [
        (y, f"hidden={h}") for y in ("score", "loss") for h in (32, 128)
    ]
    assert {c.label for p in drawing.panels for c in p.curves} == {"lr=0.01", "lr=0.1"}
    (alone,) = drawn(runs, "series=-").panels
    assert [(c.label, c.runs) for c in alone.curves] == [("all runs", 12)]


def test_each_run_by_itself(runs: Path) -> None:
    (panel,) = drawn(runs, "band=runs&only.lr=0.1").panels
    assert len(panel.curves) == 6
    assert all(c.run is not None and c.points["low"].null_count() == 5 for c in panel.curves)
    by_run = {c.run: c.points["center"].to_list() for c in panel.curves}
    assert by_run["lr=0.1,hidden=128/run_2"] == pytest.approx(
        [14.8 + step for step in range(0, 50, 10)]
    )


def test_a_filter_changes_no_colour(runs: Path) -> None:
    every = {c.label: c.index for c in drawn(runs).panels[0].curves}
    some = {c.label: c.index for c in drawn(runs, "only.hidden=128").panels[0].curves}
    assert some == {label: every[label] for label in some}


def test_n_drops_where_runs_end_and_unequal_steps_are_aligned(
    write_run: Write, tmp_path: Path
) -> None:
    write_run("a/run_0", {"lr": 1, "seed": 0}, {"step": [0, 10, 20], "score": [0, 10, 20]})
    write_run("a/run_1", {"lr": 1, "seed": 1}, {"step": [0, 5, 10], "score": [0, 5, 10]})
    (panel,) = drawn(tmp_path / "runs").panels
    points = panel.curves[0].points
    assert points["x"].to_list() == [0, 5, 10, 20]
    assert points["n"].to_list() == [2, 2, 2, 1]
    assert points["center"].to_list() == [0, 5, 10, 20]


def test_many_unequal_steps_meet_on_a_grid_with_both_ends(write_run: Write, tmp_path: Path) -> None:
    for i in range(2):
        steps = [float(step * 3 + i) for step in range(1200)]
        write_run(f"run_{i}", {"seed": i}, {"step": steps, "score": [2 * step for step in steps]})
    points = drawn(tmp_path / "runs").panels[0].curves[0].points
    assert (points["x"][0], points["x"][-1]) == (0, 1199 * 3 + 1)
    assert points["center"].to_list() == pytest.approx([2 * x for x in points["x"]])
    assert points["n"].to_list() == [1, *[2] * (points.height - 2), 1]


def test_the_best_series_of_each_figure(runs: Path) -> None:
    assert [c.label for c in drawn(runs, "top=1&y=score&band=mean-ci").panels[0].curves] == [
        "lr=0.1, hidden=128"
    ]
    assert [
        c.label for c in drawn(runs, "top=1&y=score&mode=min&band=mean-ci").panels[0].curves
    ] == ["lr=0.01, hidden=32"]
    split = drawn(runs, "top=1&series=lr&split=hidden&band=mean-ci")
    assert [[c.label for c in p.curves] for p in split.panels] == [["lr=0.1"], ["lr=0.1"]]


@pytest.mark.parametrize(
    "query",
    [
        "where=lr > 0.05",
        "not.lr=0.01",
        "only.lr=0.1",
        "min.lr=0.05",
        "text=lr=0.1,",
        "text=LR=0.1 hidden",
    ],
)
def test_filters_choose_the_same_runs(runs: Path, query: str) -> None:
    assert [c.label for c in drawn(runs, query + "&series=lr").panels[0].curves] == ["lr=0.1"]


@pytest.mark.parametrize(
    "query",
    [
        "y=reward",
        "x=nothing",
        "series=size",
        "split=size",
        "only.size=1",
        "min.size=1",
        "max.state=1",
        "where=lr >",
        "where=__import__('os')",
    ],
)
def test_what_no_run_has_is_refused(runs: Path, query: str) -> None:
    with pytest.raises(InvalidInput):
        drawn(runs, query)


def test_smoothing_is_along_each_run_and_said(runs: Path) -> None:
    drawing = drawn(runs, "smooth=2&only.lr=0.1&only.hidden=32")
    assert drawing.panels[0].curves[0].points["center"].to_list() == pytest.approx(
        [4.2, 9.2, 19.2, 29.2, 39.2]
    )
    assert "smoothed: running mean over the last 20 of step" in drawing.notes


def test_a_quick_bootstrap_says_how_many_resamplings(runs: Path) -> None:
    results, choices = load(runs, cache=False), Choices(band="iqm", series=())
    full = draw(results, Rows.of(results), choices, results)
    words = "interquartile mean, 95 % bootstrap interval over 12 runs"
    assert full.notes == (f"12 runs: 12 counted; pooled over: lr, hidden; {words}",)
    points = full.panels[0].curves[0].points
    assert (points["low"] <= points["center"]).all()
    assert (points["center"] <= points["high"]).all()


def test_names_that_count_steps() -> None:
    assert step_column(["loss", "Epoch"]) == "Epoch"
    names = ["epoch", "exploration/num steps total", "trainer/num train calls"]
    assert step_column(names) == "exploration/num steps total"
    assert (
        step_column(["training_iteration", "timesteps_total", "episodes_total"])
        == "timesteps_total"
    )
    assert (
        step_column(["num_env_steps_sampled_lifetime", "training_iteration"])
        == "num_env_steps_sampled_lifetime"
    )
    assert step_column(["done", "training_iteration"]) == "training_iteration"
    assert step_column(["actor_steps", "walltime"]) == "actor_steps"
    assert [
        step_column([name]) for name in ("loss", "stepsize", "steps_per_second", "learner_time")
    ] == [None] * 4
    assert default_y(["epoch", "loss", "test/accuracy"]) == ("test/accuracy",)
    assert default_y([]) == ()


@pytest.mark.parametrize(
    ("columns", "x"),
    [
        ({"step": [0, 1, 2] * 3}, "row"),
        ({"epoch": [0, 0, 0, 1, 1, 1, 2, 2, 2], "step": [0, 1, 2] * 3}, "row"),
        (
            {"epoch": [0, 0, 0, 1, 1, 1, 2, 2, 2], "step": [0, 1, 2] * 3, "global_step": range(9)},
            "global_step",
        ),
        ({"epoch": [0, 0, 0, 1, 1, 1, 2, 2, 2], "step": range(9)}, "step"),
    ],
)
def test_steps_that_begin_anew_in_each_epoch_are_no_axis(
    write_run: Write, tmp_path: Path, columns: dict[str, Sequence[float]], x: str
) -> None:
    for seed in range(2):
        write_run(f"run_{seed}", {"seed": seed}, {**columns, "loss": range(9)})
    assert default_x(load(tmp_path / "runs", cache=False)) == x
    (panel,) = drawn(tmp_path / "runs").panels
    assert panel.curves[0].points["center"].to_list() == [*range(9)]


def test_what_tells_the_time_stands_first_among_axes() -> None:
    names = ["loss", "time/time_elapsed", "step", "time/fps", "Diagnostics/CumTime (s)", "seconds"]
    found = axes_of(names, "step")
    assert found[:5] == ["step", "row", "time/time_elapsed", "Diagnostics/CumTime (s)", "seconds"]
    assert found[5:] == ["loss", "time/fps"]


def test_of_many_variants_the_best_are_drawn_and_none_are_pooled(
    write_run: Write, tmp_path: Path
) -> None:
    for i in range(40):
        write_run(f"run_{i}", {"lr": i / 7, "env": "ab"[i % 2]}, {"step": [1], "score": [i]})
    results = load(tmp_path / "runs", cache=False)
    assert default_series(results) == ("lr", "env")
    drawing = drawn(tmp_path / "runs")
    (panel,) = drawing.panels
    assert sorted(c.points["center"][0] for c in panel.curves) == [*range(30, 40)]
    assert "pooled over: nothing" in drawing.notes[0]
    assert any("10 of 40 variants, best by final" in note for note in drawing.notes)
    assert len({c.index for c in panel.curves}) == 10
    pooled = drawn(tmp_path / "runs", "series=env")
    assert "pooled over: lr" in pooled.notes[0]


def test_groups_are_formed_by_value_not_by_printed_digits(write_run: Write, tmp_path: Path) -> None:
    for lr in (0.12345678, 0.123456789):
        write_run(f"{lr}", {"lr": lr}, {"step": [1], "score": [lr]})
    curves = drawn(tmp_path / "runs").panels[0].curves
    assert {c.label for c in curves} == {"lr=0.12345678", "lr=0.123456789"}


@pytest.mark.parametrize(
    ("query", "last"),
    [("", 1), ("diverged=worst", 3), ("diverged=drop", 3)],
    ids=["nan", "worst", "drop"],
)
def test_a_run_that_diverged_is_marked_and_ends_its_groups_curve_unless_it_is_dropped_or_the_worst(
    write_run: Write, tmp_path: Path, query: str, last: int
) -> None:
    nan = float("nan")
    for seed in range(3):
        score = [1.0, 2.0, 3.0, 4.0] if seed else [1.0, 2.0, nan, nan]
        write_run(f"run_{seed}", {"lr": 1, "seed": seed}, {"step": [*range(4)], "score": score})
    drawing = drawn(tmp_path / "runs", query)
    (panel,) = drawing.panels
    (mean,) = [c for c in panel.curves if not c.member]
    assert mean.points["x"].max() == last
    (mark,) = panel.marks
    assert (mark.x, mark.y) == (1.0, 2.0)
    assert "1 diverged" in drawing.notes[0]


def means_of(drawing: Drawing) -> dict[str, list[tuple[float, int, float]]]:
    """Return `x`, `n`, `center` of the mean of each series."""
    curves = [c for panel in drawing.panels for c in panel.curves if not c.member]
    return {c.label: c.points.select("x", "n", "center").rows() for c in curves}


def test_a_run_taken_for_the_worst_has_the_worst_final_value_from_where_it_diverged(
    write_run: Write, tmp_path: Path
) -> None:
    nan = float("nan")
    logs = {
        "A": [[1, 2, 3], [3, 4, 7]],
        "B": [[5, nan, nan], [7, 8, 9]],
        "C": [[nan, nan, nan], [nan, nan, nan]],
    }
    for algo, runs in logs.items():
        for seed, score in enumerate(runs):
            write_run(
                f"{algo}_{seed}", {"algo": algo, "seed": seed}, {"step": [0, 1, 2], "score": score}
            )
    drawing = drawn(tmp_path / "runs", "diverged=worst&y=score")
    means = means_of(drawing)
    assert means["algo=B"] == [(0, 2, 6), (1, 2, 5.5), (2, 2, 6)]
    assert means["algo=C"] == [(0, 2, 3), (2, 2, 3)]  # which never had a value
    table = compare(load(tmp_path / "runs", cache=False), "score", diverged="worst").table
    assert dict(table.select("algo", "final_mean").iter_rows()) == {
        a[-1]: m[-1][2] for a, m in means.items()
    }
    assert any("has the worst final value from there" in note for note in drawing.notes)


def test_the_worst_score_is_that_of_the_same_task(write_run: Write, tmp_path: Path) -> None:
    for env, scale in (("cart", 100.0), ("pendulum", -1000.0)):
        for seed in range(2):
            last = float("nan") if (env, seed) == ("cart", 1) else scale * (1 + seed)
            write_run(
                f"{env}_{seed}",
                {"env": env, "seed": seed},
                {"step": [0, 1], "score": [scale, last]},
            )
    results = load(tmp_path / "runs", cache=False)
    table = compare(results, "score", "max", diverged="worst")
    assert dict(table.table.select("env", "final_mean").iter_rows()) == {
        "cart": 100.0,
        "pendulum": -1500.0,
    }
    assert "of the same env" in " ".join(table.accounting.notes())
    assert table.rivals == 1  # nothing to choose from among one task
    for split in ("", "&series=-&split=env"):
        means = [
            own[-1][2]
            for own in means_of(
                drawn(tmp_path / "runs", f"diverged=worst&mode=max{split}")
            ).values()
        ]
        assert means[-1] == -1500.0


def test_curves_over_tasks_are_scaled_within_each_and_end_where_the_bars_do(
    write_run: Write, tmp_path: Path
) -> None:
    for env, scale in (("pong", 1), ("seaquest", 1000)):
        for algo in "AB":
            for seed in range(2):
                score = [0, scale * (seed + 2 * (algo == "B"))]
                write_run(
                    f"{env}{algo}_{seed}",
                    {"env": env, "algo": algo, "seed": seed},
                    {"step": [0, 1], "score": score},
                )
    drawing = drawn(tmp_path / "runs", "series=algo")
    assert [own[-1][2] for own in means_of(drawing).values()] == pytest.approx([1 / 6, 5 / 6])
    assert drawing.panels[0].y == "score, scaled"
    assert any("score scaled within each env" in note for note in drawing.notes)
    for query in ("", "series=algo&split=env", "series=algo&tasks=-"):
        raw = drawn(tmp_path / "runs", query)
        assert raw.panels[0].y == "score"
        assert not any("scaled" in note for note in raw.notes)


def test_a_task_whose_runs_end_alike_is_scaled_by_all_of_its_rows(
    write_run: Write, tmp_path: Path
) -> None:
    for env, scores in (("a", [4.0, 2.0]), ("b", [1.0, 1.0])):
        for algo in "AB":
            write_run(f"{env}{algo}", {"env": env, "algo": algo}, {"step": [0, 1], "score": scores})
    assert (
        list(means_of(drawn(tmp_path / "runs", "series=algo")).values())
        == [[(0, 2, 0.75), (1, 2, 0.25)]] * 2
    )


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([0, 1, 2], "values of 0 and below are not on the logarithmic y axis"),
        ([-1, -2, -3], "the y axis of score is not logarithmic, since no value is above 0"),
    ],
)
def test_what_a_logarithmic_axis_cannot_show_is_said(
    write_run: Write, tmp_path: Path, scores: list[int], words: str
) -> None:
    write_run("one", {"lr": 1}, {"step": [1, 2, 3], "score": scores})
    drawing = drawn(tmp_path / "runs", "log=y")
    assert words in drawing.notes
    assert drawing.panels[0].log == (("y",) if max(scores) > 0 else ())
    assert not any("logarithmic" in note for note in drawn(tmp_path / "runs", "log=x").notes)


def test_failed_runs_do_not_count_unless_they_are_included(
    write_run: Write, tmp_path: Path
) -> None:
    for seed in range(3):
        write_run(f"run_{seed}", {"lr": 1, "seed": seed}, {"step": [0, 1], "score": [0, seed]})
    results = load(tmp_path / "runs", cache=False)
    states = pl.Series(["succeeded", "succeeded", "failed"])
    results = dataclasses.replace(results, runs=results.runs.with_columns(state=states))
    for choices, n in (
        (Choices(), 2),
        (Choices(include=("failed",)), 3),
        (Choices(state=("failed",)), 1),
    ):
        chosen = choose(results, choices)
        drawing = draw(chosen, Rows.of(results), choices, results)
        (mean,) = [c for c in drawing.panels[0].curves if not c.member]
        assert mean.points["n"].to_list() == [n, n]
    assert "1 failed" in draw(results, Rows.of(results), Choices(), results).notes[0]


def test_a_spike_that_all_seeds_have_is_in_the_mean_whatever_their_x(
    write_run: Write, tmp_path: Path
) -> None:
    for seed in range(3):
        steps = [3 * i + seed for i in range(3000)]
        score = [100.0 if step // 3 == 2501 else 0.0 for step in steps]
        write_run(f"run_{seed}", {"lr": 1, "seed": seed}, {"step": steps, "score": score})
    results, choices = load(tmp_path / "runs", cache=False), Choices()
    (panel,) = draw(results, Rows.of(results), choices, results).panels
    (mean,) = [c for c in panel.curves if not c.member]
    assert mean.points["center"].max() == pytest.approx(100 * (1 + 2 / 3 + 1 / 3) / 3, rel=0.4)
    assert set(mean.points["x"]) <= {*range(9000)}
    assert mean.points.height < 1000


def test_a_logarithmic_axis_is_thinned_by_its_decades(write_run: Write, tmp_path: Path) -> None:
    for seed in range(2):
        steps = [*range(1, 20_000)]
        write_run(
            f"run_{seed}",
            {"lr": 1, "seed": seed},
            {"step": steps, "score": [1 / step for step in steps]},
        )
    results, choices = load(tmp_path / "runs", cache=False), Choices(log=("x",))
    (panel,) = draw(results, Rows.of(results), choices, results).panels
    (mean,) = [c for c in panel.curves if not c.member]
    decades = [
        mean.points.filter(pl.col("x").is_between(10**k, 10 ** (k + 1) - 1)).height
        for k in range(5)
    ]
    assert decades[0] == 9
    assert all(count >= 30 for count in decades[1:4])


def test_no_number_to_draw_is_a_sentence(write_run: Write, tmp_path: Path) -> None:
    write_run("run_0", {"lr": 1}, {"word": ["a", "b"]})
    with pytest.raises(InvalidInput, match="no run has logged a number"):
        drawn(tmp_path)
