"""Choosing among runs, grouping them, finding the best."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from runslot.errors import InvalidInput
from runslot.results import Results, load

WriteRun = Callable[..., Path]


@pytest.fixture
def results(tmp_path: Path, write_run: WriteRun) -> Results:
    for lr in (0.1, 0.01):
        for env in ("pong", "qbert's"):
            for seed in (0, 1):
                rows = [{"Return": lr * 10 + seed + k, "loss": 1 - lr + k} for k in range(3)]
                write_run({"algo": {"lr": lr}, "env": env}, seed, rows)
    return load(tmp_path)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("algo.lr > 0.05", 4),
        ("\"algo.lr\" > 0.05 AND env = 'pong'", 2),
        ("env = 'qbert''s' OR seed = 1", 6),
        ("env LIKE 'algo.lr%'", 0),
        ("state IN ('succeeded')", 8),
        ('"final/Return" > 3.05', 4),
        (pl.col("seed") == 1, 4),
        ({"algo.lr": [0.1, 0.5]}, 4),
        ({"algo.lr": 0.01, "env": "pong"}, 2),
    ],
)
def test_where(results: Results, condition: object, count: int) -> None:
    chosen = results.where(condition)  # type: ignore[arg-type]
    assert chosen.runs.height == count
    assert chosen.progress["run"].n_unique() == count
    assert chosen.progress.height == 3 * count


def test_where_by_keyword_and_several(results: Results) -> None:
    assert results.where("algo.lr > 0.05", env="pong", seed=[0, 1]).runs.height == 2
    assert results.where().runs.height == 8


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("envv = 'pong'", r"did you mean 'env'"),
        ({"sed": 1}, r"did you mean 'seed'"),
        ("env = ", r"cannot be understood"),
        ("env > 3 + ", r"cannot be understood"),
        ("seed", r"cannot be chosen so"),
    ],
)
def test_where_refuses(results: Results, condition: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        results.where(condition)  # type: ignore[arg-type]


def test_null_is_a_value(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"a": None}, 0)
    write_run({"a": 1}, 0)
    assert load(tmp_path).where({"a": None}).runs.height == 1
    assert load(tmp_path).where({"a": [None, 1]}).runs.height == 2


def test_group_by(results: Results) -> None:
    groups = {values["env"]: group for values, group in results.group_by("env")}
    assert list(groups) == ["pong", "qbert's"]
    assert [group.runs.height for group in groups.values()] == [4, 4]
    assert groups["pong"].varying == ("algo.lr",)
    assert [values for values, _ in results.group_by()] == [
        {"algo.lr": lr, "env": env} for lr in (0.01, 0.1) for env in ("pong", "qbert's")
    ]
    with pytest.raises(InvalidInput, match="did you mean 'env'"):
        list(results.group_by("envs"))


@pytest.mark.parametrize(
    ("by", "score"),
    [("final", 4.0), ("best", 4.0), ("mean", 3.0), ("last-2", 3.5), ("last-99", 3.0)],
)
def test_best(results: Results, by: str, score: float) -> None:
    best = results.best("Return", by=by)
    assert best["score"].to_list() == pytest.approx([score])
    assert best.select("algo.lr", "seed").rows() == [(0.1, 1)]


def test_best_per_group_and_lowest(results: Results) -> None:
    best = results.best("loss", by="best", top=2, per=["env"])
    assert best.select("env", "algo.lr").rows() == [("pong", 0.1)] * 2 + [("qbert's", 0.1)] * 2
    assert results.best("loss", "max")["algo.lr"].to_list() == [0.01]
    assert results.best("return", top=3)["score"].to_list() == pytest.approx([4.0, 4.0, 3.1])


def test_no_filter_lets_nan_pass_as_a_number(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, last in enumerate((1, "nan", 3)):
        write_run({"lr": 1}, seed, [{"loss": 1}, {"loss": last}])
    results = load(tmp_path)
    loss = pl.col("final/loss")
    for condition in (
        loss > 0,
        loss >= 1,
        loss < 9,
        ~(loss < 0),
        '"final/loss" > 0',
        'NOT "final/loss" < 0',
    ):
        assert results.where(condition).runs["seed"].to_list() == [0, 2]
    assert results.where(loss.is_nan()).runs["seed"].to_list() == [1]


def test_values_that_were_no_json_go_by_the_users_key(tmp_path: Path, write_run: WriteRun) -> None:
    for lr in (1, 2):
        variant = {
            "cfg": {"$repr": f"Namespace(lr={lr})"},
            "net": {"$class": "nets.Big"},
            "opt": {"$dataclass": "optim.Adam", "lr": lr, "deep": {"$set": [1, lr]}},
        }
        write_run(variant, 0, [{"loss": 1}])
    runs = load(tmp_path).runs
    assert runs["cfg"].to_list() == ["Namespace(lr=1)", "Namespace(lr=2)"]
    assert runs["net"].to_list() == ["nets.Big"] * 2
    assert runs.select("opt", "opt.lr", "opt.deep").rows() == [
        ("optim.Adam", lr, f"[1, {lr}]") for lr in (1, 2)
    ]


def test_best_never_takes_a_run_that_does_not_count(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, (last, state) in enumerate(((1, "succeeded"), (9, "failed"), ("inf", "succeeded"))):
        write_run({"lr": 1}, seed, [{"return": 1}, {"return": last}], state=state)
    results = load(tmp_path)
    for by in ("final", "best", "mean", "last-1", "auc"):
        assert results.best("return", by=by, top=3)["seed"].to_list() == [0]
    assert results.best("return", top=3, include=["failed"])["seed"].to_list() == [1, 0]


def test_best_never_takes_a_run_that_ended_in_nan(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0, [{"loss": 0.1}, {"loss": "nan"}, {"loss": "nan"}])
    write_run({"lr": 1}, 1, [{"loss": 5}])
    write_run({"lr": 1}, 2, [{"other": 5}])
    results = load(tmp_path)
    assert math.isnan(results.runs["final/loss"][0])
    assert results.best("loss", top=9)["seed"].to_list() == [1]


@pytest.mark.parametrize("by", ["worst", "last-0", "last", ""])
def test_unknown_ways_to_judge(results: Results, by: str) -> None:
    with pytest.raises(InvalidInput, match="is not a way to judge a run"):
        results.best("Return", by=by)


def test_unknown_metric(results: Results) -> None:
    with pytest.raises(InvalidInput, match=r"did you mean 'Return'.*metrics are: Return, loss"):
        results.best("Retrun")


def test_pandas(results: Results) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = results.runs.to_pandas()
    assert frame["final/Return"].max() == pytest.approx(4.0)
    assert str(frame["started"].dtype).startswith("datetime64")


def test_a_spike_to_infinity_is_no_best_value(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, spike in enumerate((math.inf, -math.inf, 5.0)):
        rows = [{"score": 1.0}, {"score": spike}, {"score": 2.0}]
        write_run({"lr": 0.1}, seed=seed, rows=rows)
    write_run({"lr": 0.2}, seed=0, rows=[{"score": math.inf}, {"score": math.inf}])
    results = load(tmp_path, cache=False)
    assert results.runs["best/score"].to_list() == [2.0, 2.0, 5.0, math.inf]
    lowest = results.scores("score", "min", "best")["score"].to_list()
    assert lowest[:3] == [1.0, 1.0, 1.0]
    assert math.isnan(lowest[3])  # it ended there: it diverged
