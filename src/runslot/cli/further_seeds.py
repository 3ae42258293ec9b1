"""The command that runs further seeds of an experiment: the one that launched it, with `--into` and
the seeds that it has not.

Called by `results`, which prints it under verdicts that are still open. Nothing is started here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from runslot.errors import RunslotError
from runslot.experiment.files import read_json
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.results.results import Results

_DROPPED = ("--seeds", "--into", "--root", "--name")
"""Options with a value that the new command says itself, or that its experiment has already."""
_DROPPED_FLAGS = ("--detach", "--first", "--dry-run", "--json", "-q", "--quiet", "--yes")


def further_seeds_command(results: Results, count: int) -> str | None:
    """Return the command that runs `count` further seeds of each variant; None where the runs are
    not of one experiment that `runslot run` launched."""
    seeds = results.runs["seed"].drop_nulls().to_list()
    if not results.runs.height or not all(isinstance(seed, int) for seed in seeds):
        return None
    experiment = _experiment_of(results)
    if experiment is None:
        return None
    try:
        planned_seeds = [run.seed for run in experiment.read_runs() if isinstance(run.seed, int)]
        first = max([*seeds, *planned_seeds], default=-1) + 1
        span = f"{first}," if count == 1 else f"{first}-{first + count - 1}"
        words = _launching_words(experiment)
    except (RunslotError, OSError):
        return None
    if words is None:
        return None
    before, after = words
    into = ["--into", str(_near(experiment.path)), "--seeds", span]
    return shlex.join([*before, *into, *after])


def _experiment_of(results: Results) -> ExperimentDir | None:
    """Return the one experiment that all runs are of."""
    homes = set()
    for path in results.runs["path"]:
        run = Path(path)
        home = next((p for p in run.parents if ExperimentDir(p).experiment_file.is_file()), None)
        homes.add(home)
        if len(homes) > 1:
            return None
    home = homes.pop()
    return None if home is None else ExperimentDir(home)


def _launching_words(experiment: ExperimentDir) -> tuple[list[str], list[str]] | None:
    """Return the command line that launched it, without what is said anew, before and after `--`;
    None where a program did."""
    file = experiment.read()
    environment = read_json(RunDir(experiment.provenance).environment) or {}
    line = [str(word) for word in environment.get("command_line") or ()]
    is_ours = len(line) > 1 and Path(line[0]).name in {"runslot", "__main__.py"}
    if not is_ours or line[1] != "run" or file.front_door != "native" or file.search is not None:
        return None
    at = line.index("--") if "--" in line else len(line)
    return ["runslot", "run", *_kept(line[2:at])], line[at:]


def _kept(words: Sequence[str]) -> list[str]:
    words_kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _DROPPED:
            skip = True
        elif word not in _DROPPED_FLAGS and word.partition("=")[0] not in _DROPPED:
            words_kept.append(word)
    return words_kept


def _near(path: Path) -> Path:
    """Return a path relative to here where it lies below."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
