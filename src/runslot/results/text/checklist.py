"""What a paper has to say of its runs, from their records: Markdown, an item a line.

Called by `runslot results --checklist`. Nothing is asked of the user and nothing is guessed: what
no record tells is said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from runslot.errors import RunslotError
from runslot.experiment.files import read_json
from runslot.experiment.records import ExperimentFile
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.results.accounts import COUNTED, DIVERGED
from runslot.results.comparison import Comparison
from runslot.results.text.labels import text_of_value
from runslot.results.text.table import many, way_words

_VALUES_LISTED = 8
_SECONDS_AN_HOUR = 3600
_NOT_RECORDED = "not recorded"


def checklist_of(comparison: Comparison) -> str:
    """Return the checklist as Markdown."""
    results, accounting = comparison.results, comparison.accounting
    experiments = _experiments(results.runs["path"].to_list())
    items: list[tuple[str, str]] = [
        ("Runs", _runs(comparison)),
        ("Who counts", accounting.line(comparison.statistic if comparison.metric else "")),
        ("Seeds", _seeds(comparison)),
        ("Selection metric", _metric(comparison)),
        ("Interval", f"{comparison.statistic}; two-sided tests at {1 - comparison.level:.3g}"),
        ("Search space", _space(comparison, experiments)),
        ("Variants compared", many(comparison.table.height, "variant")),
        ("Hardware", _hardware(results.runs, experiments)),
        ("Compute", _compute(results.runs, experiments)),
        ("Code", _code(experiments)),
        ("Software", _software(experiments)),
    ]
    lines = [f"- **{name}:** {text}" for name, text in items]
    sentences = [*filter(None, [results.confirmation]), *accounting.notes()]
    notes = [f"- **Note:** {note}" for note in sentences]
    return "\n".join([*lines, *notes])


_Launch = tuple[ExperimentFile, Mapping[str, Any]]
"""What was asked, and the environment in which it was."""


def _experiments(paths: Sequence[str]) -> list[_Launch]:
    homes: dict[Path, None] = {}
    for path in paths:
        for parent in Path(path).parents:
            if parent in homes:
                break
            if ExperimentDir(parent).experiment_file.is_file():
                homes[parent] = None
                break
    launches: list[_Launch] = []
    for home in homes:
        experiment = ExperimentDir(home)
        try:
            file = experiment.read()
            environment = read_json(RunDir(experiment.provenance).environment) or {}
        except (RunslotError, OSError):
            continue
        launches.append((file, environment))
    return launches


def _runs(comparison: Comparison) -> str:
    accounting = comparison.accounting
    states = comparison.states
    parts = [f"{accounting.total} asked for"]
    parts += [f"{count} {state.replace('_', ' ')}" for state, count in states.items()]
    if accounting.waiting:
        parts.append(f"{accounting.waiting} not started")
    if comparison.metric:
        parts.append(f"{accounting.standings.get(DIVERGED, 0)} diverged (nan or ±inf at the end)")
    parts.append(f"{accounting.standings.get(COUNTED, 0)} counted")
    return ", ".join(parts)


def _seeds(comparison: Comparison) -> str:
    seeds = comparison.results.runs["seed"].drop_nulls().unique().sort().to_list()
    if not seeds:
        return _NOT_RECORDED
    if all(isinstance(seed, int) for seed in seeds) and seeds == list(
        range(seeds[0], seeds[-1] + 1)
    ):
        named = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    else:
        named = _listed(seeds)
    evidence = comparison.accounting.evidence()
    if all(map(_is_numbered_alone, comparison.results.runs["path"])):
        runs = evidence.replace("seed", "run")
        return f"{_NOT_RECORDED}: the script sets its own; run_ID {named}; {runs} a variant"
    return f"{named}; {evidence} a variant"


def _is_numbered_alone(path: str) -> bool:
    """Tell whether a run was given no seed, but a number (`run_ID`, in rlpyt's manner), which the
    table takes in its place."""
    try:
        run = (read_json(RunDir(path).run_file) or {}).get("run")
    except (RunslotError, OSError):
        return False
    if not isinstance(run, dict) or run.get("run_ID") is None:
        return False
    return run.get("seed") is None and "seed" not in (run.get("variant") or {})


def _metric(comparison: Comparison) -> str:
    if comparison.metric is None:
        return "none: no run has logged a number"
    at = comparison.results.at
    where = f"value at {at}" if at else "last value of each run"
    choice = f" ({comparison.chosen})" if comparison.chosen else ""
    return f"{comparison.metric}, {way_words(comparison.mode)}, {where}{choice}"


def _space(comparison: Comparison, experiments: Sequence[_Launch]) -> str:
    runs = comparison.results.runs
    parts = []
    for key in comparison.results.varying:
        values = runs[key].unique().sort().to_list()
        parts.append(f"{key} in {{{_listed(values)}}}")
    spaces = list(dict.fromkeys(_asked_space(file) for file, _ in experiments if file.space))
    request = f" (asked for as: {'; '.join(spaces)})" if spaces else ""
    return (", ".join(parts) or "one variant") + request


def _asked_space(file: ExperimentFile) -> str:
    """Return what was asked for; of a search also from which ranges it draws."""
    ranges = (file.search or {}).get("space") or []
    range_words = (
        f", drawn from {', '.join(map(str, ranges))}" if isinstance(ranges, list) and ranges else ""
    )
    return f"{file.space}{range_words}"


def _listed(values: Sequence[Any]) -> str:
    texts = [text_of_value(value) for value in values]
    if len(texts) > _VALUES_LISTED:
        return f"{', '.join(texts[:3])}, …, {texts[-1]}: {len(texts)} values"
    return ", ".join(texts)


def _hardware(runs: pl.DataFrame, experiments: Sequence[_Launch]) -> str:
    hosts = runs["host"].drop_nulls().unique().sort().to_list()
    parts = [f"hosts {_listed(hosts)}"] if hosts else []
    for file, environment in experiments[:1]:
        resources = file.resources
        amounts = [(resources.cpus, "core"), (resources.gpus, "GPU")]
        words = [many(count, word) for count, word in amounts if count is not None]
        if words:
            parts.append(f"{', '.join(words)} a run")
        if environment.get("cpus"):
            parts.append(
                f"launched on {environment.get('cpus')} CPUs, {environment.get('platform')}"
            )
    memory = runs["peak_memory"].max()
    if isinstance(memory, int | float):
        parts.append(f"peak memory of a run {memory / 2**20:.0f} MiB")
    return "; ".join(parts) or _NOT_RECORDED


def _compute(runs: pl.DataFrame, experiments: Sequence[_Launch]) -> str:
    seconds = runs["seconds"].drop_nulls()
    if not len(seconds):
        return _NOT_RECORDED
    whole = float(seconds.sum())
    hours = whole / _SECONDS_AN_HOUR
    words = f"{hours:.3g} hours" if hours >= 1 else f"{hours:.3g} hours ({whole / 60:.2g} minutes)"
    missing = runs.height - len(seconds)
    rest = f"; of {many(missing, 'run')} no time is recorded" if missing else ""
    gpus = _gpu_hours(runs, experiments)
    whose = f"of these {many(runs.height, 'run')} together"
    return f"{words} {whose}{gpus} (the last attempt of each){rest}"


def _gpu_hours(runs: pl.DataFrame, experiments: Sequence[_Launch]) -> str:
    """Return the hours of GPUs, where the runs asked for the same number of them."""
    shares = {(f.resources.gpus, f.resources.runs_per_gpu) for f, _ in experiments}
    if len(shares) != 1:
        return ""
    count, runs_per_gpu = shares.pop()
    if not count or isinstance(runs_per_gpu, str):  # how many shared one, nobody has written
        return ""
    hours = float(runs["seconds"].sum()) / _SECONDS_AN_HOUR * count / runs_per_gpu
    return f", {hours:.3g} of GPUs"


def _code(experiments: Sequence[_Launch]) -> str:
    commits = list(
        dict.fromkeys(
            f"{environment['git_commit']}"
            + (
                " with uncommitted changes (kept as patches)"
                if environment.get("git_changed")
                else ""
            )
            for _, environment in experiments
            if environment.get("git_commit")
        )
    )
    return "; ".join(commits) or _NOT_RECORDED


def _software(experiments: Sequence[_Launch]) -> str:
    pythons = dict.fromkeys(
        str(environment["python"]).split()[0]
        for _, environment in experiments
        if environment.get("python")
    )
    if not pythons:
        return _NOT_RECORDED
    return f"Python {', '.join(pythons)}; packages with versions in provenance/environment.json"
