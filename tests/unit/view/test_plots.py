"""Plots of a score a run, and the slots over time."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from runslot.errors import InvalidInput
from runslot.experiment.records import Run
from runslot.results import load
from runslot.results.accounts import tasks_of
from runslot.results.comparison import compare
from runslot.results.statistics import probability_of_improvement
from runslot.view.data.brush import Scale
from runslot.view.data.chart import Chart
from runslot.view.data.choices import Choices
from runslot.view.data.groups import choose
from runslot.view.data.kinds import Charts, charts
from runslot.view.data.timeline import launches
from runslot.view.plotly.charts import figure_of
from runslot.view.plotly.figure import GREY, Figure
from runslot.view.plotly.timeline import slots_figures

from .conftest import Write


def charted(path: Path, query: str) -> Charts:
    results, choices = load(path, cache=False), Choices.from_query(query)
    return charts(choose(results, choices), choices, results, quick=True)


def figures(path: Path, query: str) -> tuple[Figure, ...]:
    return tuple(map(figure_of, charted(path, query).charts))


def test_scores_are_bars_from_zero_with_an_interval_a_group_and_the_runs_as_dots(
    runs: Path,
) -> None:
    (figure,) = figures(runs, "kind=bars&y=score&series=lr&series=hidden&band=mean-std")
    bars = {t["name"]: t for t in figure["data"] if t["type"] == "bar"}
    assert bars["lr=0.1, hidden=128"]["x"] == [pytest.approx(0.1 * 128 + 41)]
    intervals = {t["y"][0]: t["error_x"] for t in figure["data"] if "error_x" in t}
    assert intervals["lr=0.1, hidden=128"]["array"] == [1.0]
    (dots,) = [t for t in figure["data"] if t["name"] == "runs"]
    assert len(dots["x"]) == 12
    assert "range" not in figure["layout"]["xaxis"]  # so that bars start at zero


def test_scores_that_lengths_do_not_tell_apart_are_points(runs: Path) -> None:
    (chart,) = charted(runs, "kind=bars&y=score&series=seed").charts
    assert chart.mark == "points"
    assert charted(runs, "kind=bars&y=score&series=seed&draw=bars").charts[0].mark == "bars"


def test_groups_that_are_hidden_are_not_drawn(runs: Path) -> None:
    for kind in ("bars", "profile", "scatter"):
        (chart,) = charted(runs, f"kind={kind}&y=score&series=hidden&hide=hidden=32").charts
        assert chart.data["label"].unique().to_list() == ["hidden=128"]


def test_the_probability_of_improvement_is_that_of_the_statistics(runs: Path) -> None:
    (chart,) = charted(runs, "kind=improvement&y=score&series=hidden").charts
    scores = {
        h: [[lr * h + 40 + seed for lr in (0.1, 0.01) for seed in range(3)]] for h in (32, 128)
    }
    expected = probability_of_improvement(scores[128], scores[32])
    assert chart.data["label"].to_list() == ["hidden=128 > hidden=32"]
    assert chart.data["value"].to_list() == [pytest.approx(expected.estimate)]
    tasks = {
        h: [[lr * h + 40 + seed for seed in range(3)] for lr in (0.1, 0.01)] for h in (32, 128)
    }
    (within,) = charted(runs, "kind=improvement&y=score&series=hidden&tasks=lr").charts
    assert within.data["value"].to_list() == [
        pytest.approx(probability_of_improvement(tasks[128], tasks[32]).estimate)
    ]
    assert within.data["value"][0] != pytest.approx(expected.estimate)
    (lower,) = charted(runs, "kind=improvement&y=score&series=hidden&mode=min").charts
    assert lower.data["label"].to_list() == ["hidden=32 > hidden=128"]
    with pytest.raises(InvalidInput, match="one group"):
        charted(runs, "kind=improvement&y=score&series=-")


def test_profiles_are_the_fraction_of_runs_above_each_score(runs: Path) -> None:
    (chart,) = charted(runs, "kind=profile&y=score&series=lr").charts
    for label, own in chart.data.group_by("label"):
        scores = [float(str(label[0])[3:]) * h + 40 + seed for h in (32, 128) for seed in range(3)]
        for x, value in own.select("x", "value").iter_rows():
            assert value == pytest.approx(sum(score > x for score in scores) / 6)


def test_profiles_over_tasks_are_scaled_within_each(runs: Path) -> None:
    drawn = charted(runs, "kind=profile&y=score&series=lr&tasks=hidden")
    assert (drawn.charts[0].data["x"].min(), drawn.charts[0].data["x"].max()) == (0, 1)
    assert any("scaled within each hidden" in note for note in drawn.notes)


def test_columns_named_like_tasks_are_tasks(write_run: Write, tmp_path: Path) -> None:
    for i, env in enumerate("ab"):
        for algo in ("x", "y"):
            variant = {"env_name": env, "algo": algo, "steps": 1}
            write_run(f"{algo}{env}", variant, {"step": [1], "score": [i]})
    assert tasks_of(load(tmp_path / "runs", cache=False)) == ("env_name",)


def test_importance_names_what_matters(runs: Path) -> None:
    pytest.importorskip("sklearn")
    (chart,) = charted(runs, "kind=importance&y=score").charts
    assert set(chart.data["label"]) == {"lr", "hidden", "lr × hidden", "seeds", "nothing of these"}
    assert chart.data["value"].sum() == pytest.approx(1, abs=0.2)


def test_runs_are_judged_by_the_area_under_their_curves(runs: Path) -> None:
    drawn = charted(runs, "kind=scatter&y=score&across=seed&series=-&by=auc&x=step")
    found = dict(drawn.charts[0].data.select("run", "value").iter_rows())
    assert found["lr=0.1,hidden=32/run_2"] == pytest.approx(3.2 + 2 + 20)
    assert "area under its curve" in drawn.notes[-1]


def test_a_heat_map_has_a_cell_for_each_pair(runs: Path) -> None:
    (figure,) = figures(runs, "kind=heat&y=score&across=lr&down=hidden")
    rows = figure["data"]
    assert [row["x"] for row in rows] == [["0.01", "0.1"]] * 2
    assert figure["layout"]["yaxis"]["ticktext"] == [row["name"] for row in rows] == ["32", "128"]
    assert [row["base"][0] for row in rows] == pytest.approx([-0.48, 0.52])
    assert rows[1]["marker"]["color"][1] == pytest.approx(0.1 * 128 + 41)
    assert rows[0]["text"][0].endswith("n=3")


def test_a_scatter_has_a_point_a_run(runs: Path) -> None:
    (figure,) = figures(runs, "kind=scatter&y=score&across=final/loss&series=hidden")
    assert [len(t["x"]) for t in figure["data"]] == [6, 6]
    with pytest.raises(InvalidInput, match="size"):
        figures(runs, "kind=scatter&across=size")


def test_a_scatter_of_very_many_runs_keeps_the_extremes() -> None:
    count = 20_000
    values = [((i * 7919) % count) / count for i in range(count)]
    schema = {"label": ["a"] * count, "colour": ["#000000"] * count, "index": [0] * count}
    data = pl.DataFrame(
        {**schema, "run": [f"r{i}" for i in range(count)], "x": list(range(count)), "value": values}
    )
    (trace,) = figure_of(Chart("scatter", "m", "", "x", "y", data, {"log": (), "order": ()}))[
        "data"
    ]
    assert len(trace["x"]) < 2200
    assert (min(trace["y"]), max(trace["y"])) == pytest.approx((min(values), max(values)), abs=1e-4)


def test_parallel_coordinates_have_a_line_a_run(runs: Path) -> None:
    (figure,) = figures(runs, "kind=parallel&y=score&series=lr&series=hidden")
    assert sum(t["x"].count(None) for t in figure["data"]) == 12
    assert figure["layout"]["xaxis"]["ticktext"] == ["lr", "hidden", "score (final)"]


def test_a_marked_range_greys_the_other_runs_and_names_those_inside(runs: Path) -> None:
    query = (
        "kind=parallel&y=score&series=lr&series=hidden&brush=lr in 0.1&brush=score from 50 to 99"
    )
    drawn = charted(runs, query)
    assert drawn.marked == {f"lr=0.1,hidden=128/run_{seed}" for seed in range(3)}
    headed = query.replace("brush=score from", "brush=score (final) from")
    assert charted(runs, headed).marked == drawn.marked, "an axis is named as it is headed, too"
    figure = figure_of(drawn.charts[0])
    grey = [t for t in figure["data"] if t["mode"] == "lines" and t["line"]["color"] == GREY]
    assert sum(t["x"].count(None) for t in grey) == 9
    assert len(figure["layout"]["shapes"]) == 2
    assert charted(runs, "kind=parallel&y=score").marked is None
    for fault in ("lr", "lr from a to b"):
        with pytest.raises(InvalidInput, match="brush"):
            charted(runs, f"kind=parallel&y=score&brush={fault}")


def test_an_axis_is_by_size_by_decades_or_by_rank_as_it_is_told(runs: Path) -> None:
    values = pl.Series("lr", [1.0, 2.0, 2.0, 10.0, 100.0, None])
    by_rank = Scale.of("lr", values, "quantile")
    assert by_rank.places(values) == [0.0, 0.375, 0.375, 0.75, 1.0, None]
    assert by_rank.place(6.0) == pytest.approx(0.375 + 0.375 * 4 / 8)
    assert Scale.of("lr", values, "log").place(10.0) == pytest.approx(0.5)
    assert Scale.of("lr", values, "linear").place(10.0) == pytest.approx(9 / 99)
    query = "kind=parallel&y=score&series=lr&series=hidden&axes=score quantile&axes=lr log"
    (figure,) = figures(runs, query)
    lr, hidden, score = figure["layout"]["meta"]["axes"]
    assert (lr["log"], lr["low"], lr["high"]) == (True, 0.01, 0.1)
    assert hidden["values"] == ["32", "128"]
    own = sorted(
        lr * hidden + 40 + seed for lr in (0.1, 0.01) for hidden in (32, 128) for seed in range(3)
    )
    assert [knot[0] for knot in score["knots"]] == pytest.approx(own)
    assert [knot[1] for knot in score["knots"]] == pytest.approx([i / 11 for i in range(12)])
    for fault, words in (("lr", "write it as 'lr log'"), ("lr cubic", "linear, log, quantile")):
        with pytest.raises(InvalidInput, match=words):
            figures(runs, f"kind=parallel&y=score&axes={fault}")


def test_very_many_parallel_lines_are_merged_or_thinned() -> None:
    lines = 10_000
    axes = [{"column": c, "name": c, "low": 0.0, "high": 1.0} for c in "abc"]
    place = [((i * 7919) % lines) / lines for i in range(lines)]
    data = pl.concat(
        pl.DataFrame(
            {
                "line": range(lines),
                "run": [f"r{i}" for i in range(lines)],
                "axis": [axis["name"]] * lines,
                "place": place if axis["name"] != "b" else place[::-1],
                "text": [""] * lines,
                "value": place,
                "brushed": [True] * lines,
            }
        )
        for axis in axes
    )
    figure = figure_of(Chart("parallel", "m", "", "", "", data, {"axes": axes, "brush": ()}))
    assert 500 < sum(t["x"].count(None) for t in figure["data"]) <= 1300
    assert len(json.dumps(figure)) < 200_000


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Write an experiment of two slots: one run that failed and ran again, one that runs, one that
    waits.
    """
    home = tmp_path / "digits"
    names = ("a", "b", "c")
    for name in names:
        (home / name).mkdir(parents=True)
        run = Run(f"id-{name}", name, {"lr": name}, name).to_json()
        file = {
            "format": 1,
            "run": run,
            "experiment": "digits",
            "work": {"command": {"argv": ["true"]}},
            "cwd": "/",
            "python": "python",
            "home": "..",
        }
        (home / name / "run.json").write_text(json.dumps(file))
    (home / "experiment.json").write_text(json.dumps({"format": 1, "name": "digits"}))

    def ended(name: str, kind: str, started: float, end: float) -> dict[str, object]:
        return {
            "time": end,
            "event": "ended",
            "run": f"id-{name}",
            "outcome": {"kind": kind, "started": started, "ended": end},
        }

    events = [
        {"time": 0.0, "event": "launcher_started", "host": "node", "slots": 2},
        {"time": 0.0, "event": "start", "run": "id-a", "attempt": 1, "slot": 0},
        ended("a", "failed", 0.0, 10.0),
        {"time": 10.0, "event": "start", "run": "id-a", "attempt": 2, "slot": 1},
        ended("a", "succeeded", 10.0, 40.0),
    ]
    (home / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return home


def test_slots_show_every_attempt_and_how_much_was_used(experiment: Path) -> None:
    results = load(experiment, cache=False)
    (launch,) = launches(results)
    assert [(s.attempt, s.slot, s.state) for s in launch.stays] == [
        (1, "node slot 0", "failed"),
        (2, "node slot 1", "succeeded"),
    ]
    assert launch.slots == 2
    assert launch.queued == 2
    assert launch.busy(1e9) == pytest.approx(40 / 80)
    titles, figures_, notes = slots_figures(results)
    assert titles == (("digits", "slots busy 50% of the time, idle 50%, 2 queued"),)
    assert sum(len(t["y"]) for t in figures_[0]["data"]) == 2
    assert notes == ()


def test_a_broken_journal_shows_no_slots(experiment: Path, runs: Path) -> None:
    (experiment / "journal.jsonl").write_text("{}\nbroken\n{}\n")
    assert slots_figures(load(experiment, cache=False))[1] == ()
    assert "journal" in slots_figures(load(runs, cache=False))[2][0]


def test_groups_of_no_run_are_no_figure(write_run: Write, tmp_path: Path) -> None:
    write_run("run_0", {"lr": 1}, {"step": [1], "score": [float("nan")]})
    (figure,) = figures(tmp_path / "runs", "kind=heat")
    assert "coloraxis" not in figure["data"][0]["marker"]
    assert figure["data"][0]["text"] == ["diverged"]


@pytest.fixture
def diverged(write_run: Write, tmp_path: Path) -> Path:
    """Write two algorithms with three seeds each; one of B's diverges."""
    for algo in "AB":
        for seed in range(3):
            last = float("nan") if (algo, seed) == ("B", 2) else 5 * (algo == "B") + seed
            write_run(
                f"{algo}/{seed}", {"algo": algo, "seed": seed}, {"step": [0, 1], "score": [0, last]}
            )
    return tmp_path / "runs"


@pytest.mark.parametrize(("treated", "value"), [("nan", None), ("drop", 5.5), ("worst", 11 / 3)])
def test_a_group_with_a_run_that_diverged_has_no_value_unless_the_rule_says_so(
    diverged: Path, treated: str, value: float | None
) -> None:
    (chart,) = charted(diverged, f"kind=bars&diverged={treated}").charts
    (row,) = chart.data.filter(part="group", label="algo=B").iter_rows(named=True)
    assert row["value"] == (None if value is None else pytest.approx(value))
    assert row["diverged"] == 1
    figure = figure_of(chart)
    assert [
        note["text"].startswith("× 1 diverged") for note in figure["layout"]["annotations"]
    ] == [True]


@pytest.mark.parametrize("kind", ["bars", "profile", "improvement", "scatter", "heat", "parallel"])
def test_every_kind_says_who_counts_and_draws_what_diverged(diverged: Path, kind: str) -> None:
    drawn = charted(diverged, f"kind={kind}&series=algo")
    assert drawn.notes[0].startswith("6 runs: 5 counted, 1 diverged; pooled over: nothing")
    assert "NaN" not in json.dumps([figure_of(chart) for chart in drawn.charts], allow_nan=True)


def test_a_run_that_diverged_loses_against_every_other_one(diverged: Path) -> None:
    (chart,) = charted(diverged, "kind=improvement").charts
    assert chart.data["value"].to_list() in ([pytest.approx(2 / 3)], [pytest.approx(1 / 3)])


def test_only_the_best_ranks_groups_never_runs(runs: Path) -> None:
    (chart,) = charted(runs, "kind=bars&top=2&y=score").charts
    assert set(chart.data["label"]) == {"lr=0.1, hidden=32", "lr=0.1, hidden=128"}
    assert chart.data.filter(part="group")["n"].to_list() == [3, 3]


def test_tasks_of_unlike_scale_are_scaled_before_they_are_pooled(
    write_run: Write, tmp_path: Path
) -> None:
    for env, scale in (("pong", 1), ("seaquest", 1000)):
        for algo in "AB":
            for seed in range(2):
                score = scale * (seed + 2 * (algo == "B"))
                write_run(
                    f"{env}{algo}{seed}",
                    {"env": env, "algo": algo, "seed": seed},
                    {"step": [0], "score": [score]},
                )
    drawn = charted(tmp_path / "runs", "kind=bars&series=algo")
    values = drawn.charts[0].data.filter(part="group")["value"].to_list()
    assert values == pytest.approx([1 / 6, 5 / 6])
    assert any("scaled within each env" in note for note in drawn.notes)


def test_profiles_of_few_runs_have_no_band_unless_one_is_chosen(
    runs: Path, write_run: Write
) -> None:
    few = charted(runs, "kind=profile&y=score")
    assert few.charts[0].data["low"].null_count() == few.charts[0].data.height
    assert any("without intervals, since no group has 5 runs" in note for note in few.notes)
    assert charted(runs, "kind=profile&y=score&band=iqm").charts[0].data["low"].null_count() == 0
    for lr in (0.01, 0.1):
        write_run(
            f"lr={lr},hidden=32/run_3",
            {"lr": lr, "hidden": 32, "seed": 3},
            {"step": [0], "score": [lr]},
        )
        write_run(
            f"lr={lr},hidden=32/run_4",
            {"lr": lr, "hidden": 32, "seed": 4},
            {"step": [0], "score": [lr]},
        )
    some = charted(runs, "kind=profile&y=score")
    banded = some.charts[0].data.filter(pl.col("low").is_not_null())["label"].unique()
    assert sorted(banded) == ["lr=0.01, hidden=32", "lr=0.1, hidden=32"]
    assert any("(of groups of 5 runs or more)" in note for note in some.notes)


def test_the_best_of_several_bars_is_said_to_be_chosen_by_its_own_seeds(
    write_run: Write, tmp_path: Path
) -> None:
    for lr, scores in enumerate(([0.1, 0.5, 0.3], [0.2, 0.6, 0.4], [0.3, 0.1, 0.35], [0.9])):
        for seed, score in enumerate(scores):
            write_run(f"{lr}_{seed}", {"lr": lr, "seed": seed}, {"step": [0], "score": [score]})
    runs = tmp_path / "runs"
    (note,) = [n for n in charted(runs, "kind=bars&y=score").notes if "best by its own seeds" in n]
    gain = compare(load(runs, cache=False), "score", "max").optimism
    assert (
        note == f"the best of 3 is best by its own seeds: expect about {gain:.2g} lower on new ones"
    )
    one = charted(runs, "kind=bars&y=score&series=-")
    assert not any("best by its own" in note for note in one.notes)
