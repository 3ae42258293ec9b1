"""What a figure says of itself is true: who is compared, of how many runs a middle is, what a cell
pools."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from runslot.__main__ import main
from runslot.experiment.files import write_json
from runslot.experiment.records import Command, ExperimentFile
from runslot.results import load
from runslot.results.comparison import compare
from runslot.view.data.alignment import Rows
from runslot.view.data.choices import Choices
from runslot.view.data.curves import Drawing, draw
from runslot.view.data.groups import choose
from runslot.view.data.kinds import Charts, charts
from runslot.view.web.content import show
from runslot.view.web.live_runs import LiveRuns

from .conftest import Write


def charted(path: Path, query: str) -> Charts:
    results, choices = load(path, cache=False), Choices.from_query(query)
    return charts(choose(results, choices), choices, results)


def drawn(path: Path, query: str) -> Drawing:
    results, choices = load(path, cache=False), Choices.from_query(query)
    return draw(choose(results, choices), Rows.of(results), choices, results)


@pytest.fixture
def tasks(write_run: Write, tmp_path: Path) -> Path:
    """Write three algorithms on two tasks of unlike scales, three seeds each, whose noise is large
    beside what they differ."""
    for env, scale in (("pong", 1.0), ("qbert", 1000.0)):
        for place, algo in enumerate("cab"):
            for seed in range(3):
                end = scale * (3 + 0.3 * place + (1.5, 0.0, -1.4)[seed] * (1 + place))
                rows = {"step": [0, 1], "score": [0.0, end]}
                write_run(f"{env}/{algo}_{seed}", {"env": env, "algo": algo, "seed": seed}, rows)
    return tmp_path / "runs"


def test_improvement_is_of_groups_of_one_task(tasks: Path) -> None:
    view = charted(tasks, "kind=improvement&y=score")
    labels = view.charts[0].data["label"].to_list()
    assert len(labels) == 6
    for label in labels:
        first, second = label.split(" > ")
        assert ("env=pong" in first) == ("env=pong" in second)
    assert "compared within each env" in view.notes


@pytest.mark.parametrize("kind", ["curves", "bars"])
def test_the_best_few_are_those_of_each_task(tasks: Path, kind: str) -> None:
    view = (drawn if kind == "curves" else charted)(tasks, f"kind={kind}&y=score&top=2")
    labels = {view.series.groups[place].label for place in view.colours}
    assert labels == {"env=pong, algo=b", "env=qbert, algo=b"}
    assert any("2 of 6 variants, best by final within each env" in note for note in view.notes)


def test_how_far_the_best_is_too_good_is_said_of_each_task_and_of_all_it_was_chosen_from(
    tasks: Path,
) -> None:
    gains = {c.task: c.optimism for c in compare(load(tasks, cache=False), "score").choices}
    words = "the best of 3 is best by its own seeds: expect about"
    for query in ("", "&top=2"):  # what is not drawn was a rival, too
        notes = charted(tasks, f"kind=bars&y=score{query}").notes
        for task, gain in gains.items():
            assert f"{task}: {words} {gain:.2g} lower on new ones" in notes


def test_of_how_many_runs_a_middle_is_is_said_of_each_figure(tasks: Path) -> None:
    curves = drawn(tasks, "y=score&series=algo&split=env")
    assert curves.notes[0].endswith("mean and each run over 3 seeds")
    assert {curve.runs for panel in curves.panels for curve in panel.curves if not curve.run} == {3}
    assert {str(tally) for tally in curves.tallies.values()} == {"n=6 in 2 figures"}
    bars = charted(tasks, "kind=bars&y=score&series=algo&split=env")
    assert bars.notes[0].endswith("mean and each run over 3 seeds")
    profiles = charted(tasks, "kind=profile&y=score&series=algo&split=env")
    assert any("since no group has 5 runs" in note for note in profiles.notes)
    whole = charted(tasks, "kind=bars&y=score&series=algo")  # over both tasks: no seeds of one
    assert "mean ± 95 % t interval within each env over 6 runs" in whole.notes[0]


def test_a_heat_map_says_what_its_cells_pool_and_scales_tasks(tasks: Path) -> None:
    view = charted(tasks, "kind=heat&y=score&across=algo&down=seed")
    assert "pooled over: env; mean over 2 runs" in view.notes[0]
    assert any("scores scaled within each env" in note for note in view.notes)
    assert view.charts[0].data["value"].is_between(0, 1).all()
    apart = charted(tasks, "kind=heat&y=score&across=algo&down=env")
    assert "pooled over: nothing; mean over 3 seeds" in apart.notes[0]
    assert apart.charts[0].data["value"].max() == pytest.approx(3600 + 300 * 0.1, rel=0.1)


def test_importance_is_of_each_task(tasks: Path) -> None:
    pytest.importorskip("sklearn")
    view = charted(tasks, "kind=importance&y=score")
    assert [chart.split for chart in view.charts] == ["env=pong", "env=qbert"]
    for chart in view.charts:
        assert "env" not in chart.data["label"].to_list()
    assert "pooled over" not in view.notes[0]


def test_a_run_that_never_had_a_number_ends_its_groups_curve_before_it_begins(
    write_run: Write, tmp_path: Path
) -> None:
    for lr in (0.1, 0.2):
        for seed in range(3):
            scores = ["nan"] * 3 if (lr, seed) == (0.1, 2) else [0.0, 1.0, 2.0 + seed]
            columns = {"step": [0, 1, 2], "score": scores}
            write_run(f"{lr}_{seed}", {"lr": lr, "seed": seed}, columns)
    drawing = drawn(tmp_path / "runs", "y=score")
    means = {curve.group for curve in drawing.panels[0].curves if curve.run is None}
    assert means == {"lr=0.2"}  # the mean of the two others would flatter it
    assert any("its group's curve ends" in note for note in drawing.notes)
    dropped = drawn(tmp_path / "runs", "y=score&diverged=drop")
    assert {c.group for c in dropped.panels[0].curves if c.run is None} == {"lr=0.1", "lr=0.2"}


def test_what_is_said_of_small_groups_is_what_is_drawn_where_a_run_diverged(
    write_run: Write, tmp_path: Path
) -> None:
    for lr in (0.1, 0.2):
        for seed in range(5):
            scores = [0.0, "nan", "nan"] if seed == 4 else [0.0, 1.0, 2.0 + seed]
            write_run(
                f"{lr}_{seed}", {"lr": lr, "seed": seed}, {"step": [0, 1, 2], "score": scores}
            )
    drawing = drawn(tmp_path / "runs", "y=score")
    assert not any(curve.member for curve in drawing.panels[0].curves)  # bands, as of five runs
    assert "mean ± 95 % t interval over 4 seeds" in drawing.notes[0]
    bars = charted(tmp_path / "runs", "kind=bars&y=score").charts[0].data.filter(part="group")
    assert set(bars.select("value", "n").iter_rows()) == {(None, 4)}


def test_a_run_that_diverged_loses_also_against_very_large_scores(
    write_run: Write, tmp_path: Path
) -> None:
    for lr in (0.1, 0.2):
        for seed in range(2):
            scores = ["nan", "nan"] if (lr, seed) == (0.1, 0) else [1e200, 1e200]
            write_run(f"{lr}_{seed}", {"lr": lr, "seed": seed}, {"step": [0, 1], "score": scores})
    view = charted(tmp_path / "runs", "kind=improvement&y=score")
    assert view.charts[0].data.select("label", "value").row(0) == ("lr=0.2 > lr=0.1", 0.75)


def test_the_best_is_that_of_the_way_that_the_runs_were_searched_by(
    write_run: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="figures need runslot[plot]")
    for lr in (0.1, 0.2, 0.3):  # `f` says no way: higher would be taken
        for seed in range(2):
            columns = {"step": [0, 1], "f": [1, lr + seed / 100], "accuracy": [0.5, lr]}
            write_run(f"{lr}_{seed}", {"lr": lr, "seed": seed}, columns)
    home, command = tmp_path / "runs", Command(("python", "train.py"))
    asked = ExperimentFile("fit", command, created=0.0, cwd="/", python="python")
    search = {"metric": "f", "mode": "min"}
    write_json(home / "experiment.json", {**asked.to_json(), "search": search})
    moment = LiveRuns([home], cache=False).now()
    assert moment.goal == ("f", "min")
    view = show(moment, Choices(kind="improvement", y=("f",)))
    assert any("(lower is better)" in note for note in view.notes)
    file = tmp_path / "best.png"
    main(["plot", str(home), "-o", str(file), "--kind", "bars", "--top", "1", "--data"])
    assert "1 of 3 variants, best by final" in capsys.readouterr().out
    bars = pl.read_csv(file.with_suffix(".csv")).filter(pl.col("part") == "group")
    assert bars.select("label", "value").rows() == [("lr=0.1", pytest.approx(0.105))]
    main(["plot", str(home), "-o", str(file), "--kind", "bars", "--y", "accuracy", "--top", "1"])
    assert "best by final" in capsys.readouterr().out
