"""`runslot run --dry-run`: every run with its directory and command; nothing is made or started."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runslot.cli.launch import saying
from runslot.engines.events import Said
from runslot.engines.local.config import choose_slots
from runslot.engines.open_experiment import command_values
from runslot.experiment.placeholders import fill
from runslot.experiment.records import Command, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.settings import default_root, path_of
from runslot.launch.create import compare
from runslot.launch.experiment import Experiment
from runslot.launch.plan import Plan
from runslot.launch.printer import counted

_DATE = "<date-time>"


def print_plan(experiment: Experiment, as_json: bool) -> None:
    """Print what `experiment` would run, where; refused for what a launch would be refused for
    before it starts.
    """
    plan = experiment.plan()
    if experiment.into is None:
        root = (
            default_root()
            if experiment.root is None
            else path_of(experiment.root, "root").absolute()
        )
        directory, runs, present = root / plan.file.name / _DATE, plan.runs, 0
    else:
        directory = Path(os.path.realpath(path_of(experiment.into, "into")))
        runs = compare(ExperimentDir(directory), plan).new
        present = len(plan.runs) - len(runs)
    for note in plan.notes:
        saying(as_json, quiet=False)(Said(f"note: {note}"))
    slots = _where(plan)
    if as_json:
        for run in runs:
            print(json.dumps(_described(run, plan, directory)))
        return
    addition = f", {present} are in it already" if present else ""
    print(
        f"{plan.file.name}: {_counted(runs, plan)} ({plan.file.space}){addition}, in {slots};"
        " nothing is started"
    )
    print(directory)
    for run in runs:
        print(f"  {run.directory}  {_command(run, plan, directory)}")


def _counted(runs: Sequence[Run], plan: Plan) -> str:
    if plan.file.search is None:
        return f"{len(runs)} runs"
    return f"begins with {counted(len(runs), 'run')}, others are decided by what these show"


def _where(plan: Plan) -> str:
    container = plan.file.container
    inside = (
        ""
        if container is None
        else f", each in a container of {container.image} ({container.engine})"
    )
    if plan.file.launcher is not None:
        return f"what {plan.file.launcher.name} has{inside}"
    return choose_slots(plan.file, max(len(plan.runs), plan.most_runs))[1] + inside


def _described(run: Run, plan: Plan, directory: Path) -> dict[str, Any]:
    work = plan.file.work
    if isinstance(work, Command):
        work_values: dict[str, Any] = {"command": _argv(work, run, directory)}
    else:
        work_values = {"function": str(work)}
    return {
        "event": "planned",
        "run": run.id,
        "directory": str(directory / run.directory),
        "variant": run.variant,
        "seed": run.seed,
        **work_values,
    }


def _command(run: Run, plan: Plan, directory: Path) -> str:
    work = plan.file.work
    if isinstance(work, Command):
        return shlex.join(_argv(work, run, directory))
    unpacked = "**" if work.unpack else ""
    return f"{work}({unpacked}{json.dumps({**run.variant, **run.extras})})"


def _argv(command: Command, run: Run, directory: Path) -> list[str]:
    return [
        *fill(command.argv, command_values(run, RunDir(directory / run.directory))),
        *run.arguments,
    ]
