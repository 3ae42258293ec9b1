"""Variants that were run again on fresh seeds, because the best of many is partly the luckiest:
which ones, and which of an experiment's runs count from then on.

`runslot confirm` writes the record (`confirmation.json` in the experiment), a search its test seeds
(in `experiment.json`); `runslot results` reads both. What must stay true: seeds by which a variant
was chosen and seeds that test it are never pooled unsaid, and what is left out is said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from runslot.errors import Damaged, RunslotError
from runslot.experiment.files import read_json
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.shape import FORMAT, check_format
from runslot.record import record
from runslot.results.comparison import Comparison
from runslot.results.results import Results
from runslot.results.verdicts import decide


@record
class Confirmation:
    """What was confirmed, and by which seeds."""

    variants: tuple[str, ...]
    """Names."""
    seeds: tuple[int, ...]
    metric: str
    created: float

    def is_fresh(self, seed: object) -> bool:
        """Tell whether a seed chose nothing: `confirm` takes those above all that there were, and
        what is run later to decide has higher ones yet."""
        return isinstance(seed, int) and seed >= min(self.seeds)

    def to_json(self) -> dict[str, object]:
        """Return the object in `confirmation.json`."""
        return {"format": FORMAT, **dataclasses.asdict(self)}


def read_confirmation(experiment: ExperimentDir) -> Confirmation | None:
    """Return the record; None where there is none. Raises `RunslotError` where it is damaged."""
    value = read_json(experiment.confirmation_file)
    if value is None:
        return None
    try:
        check_format(value)
        return Confirmation(
            tuple(map(str, value["variants"])),
            tuple(map(int, value["seeds"])),
            str(value["metric"]),
            float(value["created"]),
        )
    except Damaged as error:
        raise type(error)(f"{experiment.confirmation_file}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RunslotError(
            f"{experiment.confirmation_file} is damaged ({error!r}); remove it to count all runs"
        ) from error


def confirmed(results: Results) -> Results:
    """Return the runs that count where an experiment of theirs was confirmed: of that, the fresh
    ones alone; of a search whose winner was tested, those by which it was chosen, as of the other
    trials. The words of what is left out are in `Results.confirmation`; those that have some are
    returned as they are."""
    if results.confirmation:
        return results
    homes = homes_of(results)
    results = _without_tests(results, homes)
    records = {
        home: record
        for home in set(homes.values())
        if (record := read_confirmation(ExperimentDir(home))) is not None
    }
    if not records:
        return results
    kept: list[str] = []
    seeds = {seed for record in records.values() for seed in record.seeds}
    by_experiment: dict[str, Confirmation] = {}
    omission_count = other_count = 0
    columns = ("run", "path", "variant", "seed", "experiment")
    for run, path, variant, seed, experiment in results.runs.select(columns).iter_rows():
        record = records.get(homes.get(path, Path()))
        if record is None:
            kept.append(run)
            continue
        by_experiment[experiment] = record
        if (variant or "") in record.variants and record.is_fresh(seed):
            kept.append(run)
            seeds.add(seed)
        else:
            omission_count += 1
            other_count += record.is_fresh(seed)
    waiting = {
        (experiment, variant): count
        for (experiment, variant), count in results.waiting_variants.items()
        if experiment not in by_experiment or variant in by_experiment[experiment].variants
    }
    counts: dict[str, int] = {}
    for (experiment, _), count in waiting.items():
        counts[experiment] = counts.get(experiment, 0) + count
    variants = sum(len(record.variants) for record in records.values())
    is_part = results.runs["experiment"].n_unique() > len(by_experiment)
    whose = f"of {', '.join(sorted(by_experiment))} " if is_part else ""
    span = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else str(min(seeds))
    others = f", and {other_count} of other variants since," if other_count else ""
    words = (
        f"Confirmed: {whose}only the runs of {variants} variant{'s' * (variants != 1)} on the fresh"
        f" seeds {span} count; the {omission_count - other_count} runs that they were chosen by"
        f"{others} are left out (--all-seeds shows them)."
    )
    words = " ".join(filter(None, [results.confirmation, words]))
    return dataclasses.replace(
        results.where(pl.col("run").is_in(kept)),
        waiting=counts,
        waiting_variants=waiting,
        confirmation=words,
    )


def _without_tests(results: Results, homes: Mapping[str, Path]) -> Results:
    """Return the runs without those on a search's test seeds: one trial alone has them."""
    test_seeds = {home: _test_seeds(ExperimentDir(home)) for home in set(homes.values())}
    if not any(test_seeds.values()):
        return results
    rows = results.runs.select("run", "path", "variant", "seed").iter_rows()
    tests = {
        run: variant
        for run, path, variant, seed in rows
        if seed in test_seeds.get(homes.get(path, Path()), ())
    }
    if not tests:
        return results
    runs = f"{len(tests)} runs" if len(tests) > 1 else "one run"
    are = "are" if len(tests) > 1 else "is"
    words = (
        f"The {runs} of {', '.join(sorted(set(tests.values())))} on seeds that chose nothing {are}"
        " left out here: runslot status says what they came to (--all-seeds pools all)."
    )
    trial_results = results.where(~pl.col("run").is_in(list(tests)))
    return dataclasses.replace(trial_results, confirmation=words)


def _test_seeds(experiment: ExperimentDir) -> frozenset[int]:
    value = read_json(experiment.experiment_file)
    search = value.get("search") if isinstance(value, dict) else None
    seeds = search.get("test_seeds") if isinstance(search, dict) else None
    words = map(str, seeds) if isinstance(seeds, list) else ()
    return frozenset(int(word) for word in words if word.isdecimal())


def homes_of(results: Results) -> Mapping[str, Path]:
    """Return by run's path the experiment that it is of."""
    homes: dict[str, Path] = {}
    by_parent: dict[Path, Path | None] = {}
    for path in results.runs["path"]:
        parent = Path(path).parent
        if parent not in by_parent:
            by_parent[parent] = next(
                (
                    p
                    for p in (parent, *parent.parents)
                    if ExperimentDir(p).experiment_file.is_file()
                ),
                None,
            )
        home = by_parent[parent]
        if home is not None:
            homes[path] = home
    return homes


def best_variants(comparison: Comparison, top: int) -> list[str]:
    """Return the names of the `top` variants that have a value, best first; of each task, where
    there are tasks."""
    accounting, runs = comparison.accounting, comparison.results.runs
    names = dict(zip(accounting.runs["group"], runs["variant"], strict=True))
    places = {id(account): place for place, account in enumerate(accounting.groups)}
    counts: dict[str, int] = {}
    best = []
    for row in decide(comparison).rows:
        if row.sample.has_value and counts.get(row.task, 0) < top:
            counts[row.task] = counts.get(row.task, 0) + 1
            best.append(str(names[places[id(row.account)]] or ""))
    return best
