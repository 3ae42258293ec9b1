"""`runslot resume`: run what is missing of an experiment; its finished runs are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from runslot.cli.options import Directory, JsonLines, Quiet, TakeOver


def resume(
    directory: Directory = None,
    failed: Annotated[bool, typer.Option("--failed", help="Also run again what failed or ran out of time.")] = False,
    take_over: TakeOver = False,
    json: JsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Run what is missing: runs that were not started, were stopped, or were lost with their machine.

    Runs that are still under way, because only their launcher died, are adopted.
    """
    from runslot.cli.finding import experiments_at
    from runslot.cli.launched import INTERRUPTED, resume_experiment

    worst = 0
    for experiment in experiments_at(directory):
        status = resume_experiment(experiment, failed, take_over, json, quiet)
        worst = max(worst, status)
        if status == INTERRUPTED:
            break
    raise typer.Exit(worst)
