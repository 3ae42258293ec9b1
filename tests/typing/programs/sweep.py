"""What a user writes, from the sweep to the figure's numbers: both checkers are to see its types as
they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from runslot import (
    EC2,
    GCP,
    PBS,
    SSH,
    Busy,
    Container,
    CurrentRun,
    Experiment,
    InvalidInput,
    Outcome,
    Outcomes,
    Resources,
    Run,
    Search,
    Sky,
    Slurm,
    Space,
    Variant,
    VariantLevel,
    current_run,
    grid,
    integers,
    levels,
    logger,
    logintegers,
    loguniform,
    results,
    sample,
    union,
    zipped,
)
from runslot.launchkit import run_experiment_here
from runslot.results.statistics import bootstrap
from runslot.rlpyt import encode_affinity, make_variants

if TYPE_CHECKING:
    from typing_extensions import assert_type


def train(variant: dict[str, Any], run_dir: Path) -> None:
    """Log a row, and keep a snapshot."""
    run = current_run()
    assert_type(run, CurrentRun | None)
    assert_type(run.directory if run else run_dir, Path)
    with logger.prefix("[train] "):
        logger.log("begins")
    logger.record_tabular("loss", float(variant["lr"]))
    logger.dump_tabular()
    logger.save_itr_params(0, {"weights": [0.0]})


def spaces() -> Iterator[Space]:
    """Yield a space of each kind."""
    yield grid({"lr": [0.1, 0.01], "hidden": 32})
    yield zipped({"lr": [0.1, 0.01], "hidden": [32, 64]})
    yield sample({"lr": loguniform(1e-4, 1e-1)}, n=8, seed=1)
    yield union(grid({"lr": [0.1]}), grid({"lr": [0.2]}))
    yield levels(VariantLevel(keys=[("agent", "lr")], values=[[0.1], [0.2]], dir_names=["a", "b"]))


def launch(function: bool) -> Outcomes:
    """Launch a sweep: a function here, or a command on hosts, a cluster, rented machines."""
    lab = SSH("lab", hosts=("ada", "ben@grace"), lost_after=60.0)
    cluster = Slurm(partition="gpu", time="4:00:00", runs_per_job=2)
    queue = PBS(queue="gpu", properties=("gpu_model=a100",))
    rented = EC2(bucket="s3://mine", spot=True, max_price=0.5)
    further: list[Sky] = [rented, GCP(bucket="gs://mine"), Sky(infra="kubernetes")]
    try:
        first = Experiment(
            "digits",
            train,
            variants=grid({"lr": [0.1, 0.01]}),
            seeds=3,
            resources=Resources(cpus=2),
        )
        here = first.launch()
        assert_type(here, Outcomes)
        assert_type(here[0], Outcome)
        assert_type(here.failed, tuple[tuple[Run, Outcome], ...])
        for engine in (lab, cluster, queue, *further):
            command = ["python", "train.py", "--lr", "{lr}"]
            Experiment(
                "digits", command, variants=[{"lr": 0.1}], seeds=[1, 2], on=engine, retries=1
            ).launch(wait=False)
        return Experiment(
            "digits", "train.py:train", container=Container("torch:2.4"), into=here.directory
        ).launch()
    except (InvalidInput, Busy) as refusal:
        assert_type(refusal, InvalidInput | Busy)
        raise SystemExit(str(refusal)) from refusal


def search(trials: int) -> Outcome:
    """Search for the best, with a race of seeds and the winner's test."""
    settings = {
        "lr": loguniform(1e-5, 1e-1),
        "hidden": logintegers(16, 256),
        "layers": integers(1, 4),
        "act": ["relu", "tanh"],
    }
    by_words = Search("accuracy", "max", {"lr": "loguniform(1e-5,1e-1)"}, sampler="random")
    assert_type(by_words.trials, int | None)
    best = Search("accuracy", "max", settings, trials=trials, prune="asha", test_seeds=5)
    outcomes = Experiment("digits", "train.py:train", search=best, seeds="race:3..10").launch()
    return max(outcomes, key=lambda outcome: outcome.value or 0.0)


def figure(directory: Path) -> list[float]:
    """Read what came out."""
    runs = results.load(directory).where("lr > 0.01", state="succeeded")
    assert_type(runs, results.Results)
    assert_type(runs.runs, pl.DataFrame)
    assert_type(runs.best("loss", "min", top=3), pl.DataFrame)
    comparison = results.compare(runs, "loss", "min")
    assert_type(comparison, results.Comparison)
    assert_type(comparison.states, dict[str, int])
    for keys, group in runs.group_by("lr"):
        assert_type(keys, dict[str, Any])
        assert_type(group.metrics, tuple[str, ...])
    band = bootstrap([[1.0, 2.0, 3.0]])
    return [float(band.low), float(band.high)]


def of_the_ancestors() -> None:
    """Call what scripts of rlpyt and RLKit call."""
    variants, log_dirs = make_variants(
        VariantLevel(keys=[("lr",)], values=[[0.1]], dir_names=["a"])
    )
    print(variants[0], log_dirs[0], encode_affinity(n_cpu_core=4, n_gpu=0))
    run_experiment_here(train, variant={"lr": 0.1}, exp_prefix="digits")


def names(space: Space) -> list[str]:
    """Return the names of the variants of a space."""
    every = list(space)
    assert_type(every, list[Variant])
    return [variant.name for variant in every]
