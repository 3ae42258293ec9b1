"""`runslot status`: how the runs of an experiment stand."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from runslot.cli.options import Directory, flag
from runslot.experiment.status import ExperimentStatus


def as_the_engine_knows(status: ExperimentStatus) -> ExperimentStatus:
    """Return the status, of an experiment on an engine with what that knows better."""
    if status.file.launcher is None:
        return status
    from runslot.engines.registry import refreshed

    return refreshed(status)


def status(
    directory: Directory = None,
    every: Annotated[bool, flag("--all", help="List every run, also those that wait or succeeded.")] = False,
    json: Annotated[bool, flag("--json", help="Print one JSON object, with every run.")] = False,
) -> None:
    """Show how the runs of an experiment stand: what runs, with its last row or line, and what went wrong."""
    from runslot.cli.places import EachAlone, experiments_at
    from runslot.cli.reporting import print_status, status_json
    from runslot.experiment.status import read_status

    gc.disable()  # a short process, which makes a few objects for each of perhaps 100,000 runs
    experiments = experiments_at(directory)
    each_alone = EachAlone(len(experiments) == 1)
    statuses = []
    for experiment in experiments:
        with each_alone.guard():
            statuses.append(as_the_engine_knows(read_status(experiment)))
    if json:
        typer.echo(status_json(statuses))
    else:
        for number, each in enumerate(statuses):
            if number:
                typer.echo()
            with each_alone.guard():
                print_status(each, every)
    if each_alone.problems:
        raise typer.Exit(1)
