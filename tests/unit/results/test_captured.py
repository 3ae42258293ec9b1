"""Logs that other programs themselves wrote (their versions: `captured/README.md`)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from runslot.results import Results, load
from runslot.view.data.groups import default_x, default_y

CAPTURED = Path(__file__).parent / "captured"


def test_lightnings_csv_logger() -> None:
    results = load(CAPTURED / "lightning")
    assert results.problems == ()
    assert results.runs.select("run", "kind", "lr", "sizes", "rows").rows() == [
        ("linear/version_0", "lightning", 0.1, "[4, 2]", 9),
        ("linear/version_1", "lightning", 0.01, "[4, 2]", 9),
    ]
    assert (default_x(results), default_y(results.metrics)) == ("step", ("val_loss",))
    assert results.progress["val_loss"].null_count() == 12  # logged in rows of its own
    assert results.best("val_loss")["run"].to_list() == ["linear/version_0"]


def test_stable_baselines3s_csv_logger_wins_over_what_lies_beside_it() -> None:
    results = load(CAPTURED / "stable-baselines3" / "ppo_1")
    assert results.problems == ()
    assert results.runs.select("kind", "rows").rows() == [("stable-baselines3", 4)]
    assert (default_x(results), default_y(results.metrics)) == (
        "time/total_timesteps",
        ("rollout/ep_rew_mean",),
    )
    assert results.progress["time/total_timesteps"].to_list() == [128, 256, 384, 512]
    assert (
        results.progress["train/loss"].null_count() == 1
    )  # no training before the first rollout's row


def test_stable_baselines3s_monitor() -> None:
    results = load(CAPTURED / "stable-baselines3" / "monitored_1")
    assert results.metrics == ("r", "l", "t")
    assert (
        results.progress["r"].to_list() == results.progress["l"].to_list()
    )  # CartPole: a point a step
    assert results.progress["t"].is_sorted()


def test_the_event_file_that_stable_baselines3_writes(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (event_file,) = (CAPTURED / "stable-baselines3" / "ppo_1").glob("events.*")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / event_file.name).write_bytes(event_file.read_bytes())
    events, rows = load(tmp_path), load(CAPTURED / "stable-baselines3" / "ppo_1")
    assert events.runs["kind"].to_list() == ["tensorboard"]
    assert events.progress["step"].to_list() == rows.progress["time/total_timesteps"].to_list()
    assert events.progress["rollout/ep_rew_mean"].to_list() == pytest.approx(
        rows.progress["rollout/ep_rew_mean"].to_list(), rel=1e-6
    )


def variants(results: Results) -> list[tuple[dict[str, Any], list[int | None]]]:
    """Return what tells the variants apart, with the seeds of each."""
    return [(values, group.runs["seed"].to_list()) for values, group in results.group_by()]


def test_hydras_multirun() -> None:
    results = load(CAPTURED / "hydra")
    assert results.problems == ()
    assert variants(results) == [({"optimizer.lr": 0.1}, [0, 1]), ({"optimizer.lr": 0.01}, [0, 1])]
    assert results.runs.select(
        "optimizer.betas", "model.act", "notes", "empty", "extra"
    ).unique().rows() == [("[0.9, 0.999]", "${act}", "a: b", "{}", 7)]


def test_sacreds_file_storage() -> None:
    results = load(CAPTURED / "sacred")
    assert results.problems == ()
    by_name = [(values["experiment.name"], len(seeds)) for values, seeds in variants(results)]
    assert by_name == [("exp_a", 2), ("exp_b", 1)]
    assert results.runs["state"].to_list() == ["succeeded"] * 3
    first = results.where(seed=1)
    assert first.progress.select("step", "acc").drop_nulls().rows() == [
        (0, 0),
        (1, 0.25),
        (2, 0.5),
        (3, 0.75),
    ]
    assert first.runs["final/loss"].to_list() == pytest.approx([0.05])


def test_ray_tunes_trials(tmp_path: Path) -> None:
    results = load(CAPTURED / "ray")
    assert results.problems == ()
    assert variants(results) == [({"lr": 0.1}, [0, 1]), ({"lr": 0.2}, [0, 1])]
    assert results.runs["fn"].unique().to_list() == ["<function helper>"]
    shutil.copytree(
        CAPTURED / "ray", tmp_path / "ray", ignore=shutil.ignore_patterns("progress.csv")
    )
    lines = load(tmp_path / "ray")
    for metric in ("score", "training_iteration", "nested/a", "done"):
        assert lines.progress[metric].to_list() == results.progress[metric].to_list()
