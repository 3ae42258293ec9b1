"""Make an experiment's directory from a plan: a new one under the root, or further runs in an existing one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, NotFound
from runslot.experiment.provenance import write_provenance
from runslot.experiment.records import ExperimentFile, Run
from runslot.experiment.rundir import ExperimentDir, write_json
from runslot.launch.planning import Plan

LATEST = "latest"
"""Link in an experiment's name directory to its newest launch."""


def create(plan: Plan, root: Path) -> ExperimentDir:
    """Make `ROOT/NAME/<yyyymmdd-hhmmss>` with all its files."""
    parent = root / plan.file.name
    directory = make_exclusively(parent, time.strftime("%Y%m%d-%H%M%S", time.localtime(plan.file.created)))
    experiment = ExperimentDir(directory)
    write_plan(experiment, plan)
    return experiment


def make_exclusively(parent: Path, name: str) -> Path:
    """Make a directory that nobody else has: `name`, or `name-2`, `name-3`, …"""
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InvalidInput(f"{parent} cannot be a directory: a file is in its place; choose another --root") from None
    except OSError as error:
        raise InvalidInput(f"{parent} cannot be made: {error.strerror}; choose another --root") from error
    number = 1
    while True:
        directory = parent / (name if number == 1 else f"{name}-{number}")
        try:
            directory.mkdir()
        except FileExistsError:
            number += 1
        else:
            return directory


def write_plan(experiment: ExperimentDir, plan: Plan) -> None:
    """Write a new experiment's files; `experiment.json` comes last, so that a directory with it is complete."""
    _write_pickles(experiment, plan.pickles)
    write_provenance(experiment, plan.code, plan.script)
    experiment.append_runs(plan.runs)
    experiment.journal_file.touch()
    write_json(experiment.experiment_file, plan.file.to_json())


@dataclass(frozen=True)
class Widened:
    """What a plan adds to an experiment that exists."""

    new: tuple[Run, ...]
    changes: tuple[str, ...]
    """What differs from the launch before, one sentence each."""


def compare(experiment: ExperimentDir, plan: Plan) -> Widened:
    """Hold a plan against an experiment; `InvalidInput` where it is another command or function."""
    if not experiment.experiment_file.exists():
        raise NotFound(f"{experiment.path} is no experiment: --into continues one that `runslot run` made before")
    before = experiment.read()
    known = {run.id: run for run in experiment.read_runs()}
    if _what(before) != _what(plan.file):
        raise InvalidInput(
            f"{experiment.path} runs {_what(before)}, not {_what(plan.file)}; start a new experiment (without --into)"
        )
    new = tuple(run for run in plan.runs if run.id not in known)
    taken = {run.directory.casefold(): run for run in known.values()}
    for run in new:
        if run.directory.casefold() in taken:
            raise InvalidInput(f"{run.directory!r} in {experiment.path} is another variant's directory; rename it")
    return Widened(new, tuple(_changes(before, plan.file)))


def widen(experiment: ExperimentDir, plan: Plan, widened: Widened) -> None:
    """Record the further runs and what changed; the caller holds the experiment's lock."""
    _write_pickles(experiment, plan.pickles)
    if widened.changes:
        write_provenance(experiment, plan.code, plan.script)
    experiment.append_runs(widened.new)
    before = experiment.read()
    file = replace(plan.file, created=before.created, runs_root=before.runs_root, name=before.name)
    write_json(experiment.experiment_file, file.to_json())


def _what(file: ExperimentFile) -> str:
    command: Mapping[str, Any] | None = file.work.get("command")
    if command is not None:
        return "the command " + " ".join(command["argv"])
    function = file.work["function"]
    where = function.get("file") or function.get("module")
    return f"the function {where}:{function['name']}" if where else f"the function {function['name']}"


def _changes(before: ExperimentFile, after: ExperimentFile) -> Sequence[str]:
    changes = []
    one, other = before.work.get("function"), after.work.get("function")
    if one and other and one.get("digest") != other.get("digest"):
        changes.append(f"the code of {_what(after)} has changed")
    if before.cwd != after.cwd:
        changes.append(f"the working directory was {before.cwd}, now {after.cwd}")
    if before.python != after.python:
        changes.append(f"Python was {before.python}, now {after.python}")
    return changes


def _write_pickles(experiment: ExperimentDir, pickles: Mapping[str, bytes]) -> None:
    for name, data in pickles.items():
        path = experiment.path / name
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(data)
        temporary.replace(path)


def point_latest(experiment: ExperimentDir) -> None:
    """Let the link `latest` beside the experiment point to it."""
    parent, name = experiment.path.parent, experiment.path.name
    temporary = parent / f".{LATEST}.{os.getpid()}"
    try:
        temporary.symlink_to(name)
        temporary.replace(parent / LATEST)
    except OSError:  # no links on this file system, or something else of that name: the date in the name will do
        temporary.unlink(missing_ok=True)
