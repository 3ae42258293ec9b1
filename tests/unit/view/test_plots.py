"""Plots of a score a run, and the slots over time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runslot.errors import InvalidInput
from runslot.experiment.records import Run
from runslot.results import load
from runslot.view.choices import Choices
from runslot.view.figures import Figure
from runslot.view.plots import plots
from runslot.view.timeline import launches, slots_figures

from .conftest import Write


def figures(path: Path, query: str) -> tuple[Figure, ...]:
    results = load(path, cache=False)
    return plots(results, Choices.from_query(query), results)[1]


def test_scores_are_a_point_and_an_interval_a_group(runs: Path) -> None:
    (figure,) = figures(runs, "kind=bars&y=score&series=lr")
    middles = {t["name"]: t for t in figure["data"] if "error_x" in t}
    assert middles["lr=0.1"]["x"] == [pytest.approx((0.1 * 32 + 0.1 * 128) / 2 + 41)]
    dots = [t for t in figure["data"] if "error_x" not in t]
    assert [len(t["x"]) for t in dots] == [6, 6]


def test_a_heat_map_has_a_cell_for_each_pair(runs: Path) -> None:
    (figure,) = figures(runs, "kind=heat&y=score&across=lr&down=hidden")
    (cells,) = figure["data"]
    assert (cells["x"], cells["y"]) == (["0.01", "0.1"], ["32", "128"])
    assert cells["z"][1][1] == pytest.approx(0.1 * 128 + 41)
    assert cells["text"][0][0].endswith("n=3")


def test_a_scatter_has_a_point_a_run(runs: Path) -> None:
    (figure,) = figures(runs, "kind=scatter&y=score&across=final/loss&series=hidden")
    assert [len(t["x"]) for t in figure["data"]] == [6, 6]
    (hidden,) = figures(runs, "kind=scatter&y=score&across=lr&series=hidden&hide=hidden=32")
    assert [t["name"] for t in hidden["data"]] == ["hidden=128"]
    with pytest.raises(InvalidInput, match="size"):
        figures(runs, "kind=scatter&across=size")


def test_parallel_coordinates_have_a_line_a_run(runs: Path) -> None:
    (figure,) = figures(runs, "kind=parallel&y=score&series=lr&series=hidden")
    assert sum(t["x"].count(None) for t in figure["data"]) == 12
    assert figure["layout"]["xaxis"]["ticktext"] == ["lr", "hidden", "score (final)"]


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Write an experiment of two slots: one run that failed and ran again, one that runs, one that waits."""
    home = tmp_path / "digits"
    names = ("a", "b", "c")
    for name in names:
        (home / name).mkdir(parents=True)
        run = Run(f"id-{name}", name, {"lr": name}, name).to_json()
        file = {
            "format": 1,
            "run": run,
            "experiment": "digits",
            "work": {},
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
    results = load(tmp_path / "runs", cache=False)
    (figure,) = plots(results, Choices(kind="heat"), results)[1]
    assert figure["data"][0]["z"] == []
