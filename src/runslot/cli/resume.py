"""`runslot resume`: run what is missing of an experiment; its finished runs are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from runslot.cli import run_options
from runslot.cli.options import Directory, JsonLines, Notify, Quiet, TakeOver, flag


def resume(
    directory: Directory = None,
    failed: Annotated[bool, flag("--failed", help="Also run again what failed or ran out of time.")] = False,
    take_over: TakeOver = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse where code has changed.")] = False,
    accept_code_change: Annotated[
        bool, typer.Option("--accept-code-change", help="Go on where code has changed, without asking.")
    ] = False,
    notify: Notify = None,
    detach: Annotated[bool, flag("--detach", help="Go on without this terminal.")] = False,
    wait: Annotated[
        bool, flag("--wait", help="Where an engine queues the runs: wait for them, instead of leaving.")
    ] = False,
    yes: run_options.Yes = False,
    max_cost: run_options.MaxCost = None,
    max_hours: run_options.MaxHours = None,
    json: JsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Run what is missing: runs that were not started, were stopped, or were lost with their machine.

    Runs that are still under way, because only their launcher died, are adopted.
    """
    from runslot.cli.launch import INTERRUPTED, resume_experiment
    from runslot.cli.limits import agree, limit
    from runslot.cli.places import EachAlone, experiments_to_act_on
    from runslot.cli.render.observer import on_change, saying
    from runslot.launch.code_change import settle_resume

    agree(yes)
    worst = 0
    experiments = experiments_to_act_on(directory)
    each_alone = EachAlone(len(experiments) == 1)
    for experiment in experiments:
        with each_alone.guard():
            limit(experiment, max_cost, max_hours)
            settle_resume(experiment, on_change(strict, accept_code_change, json, quiet), saying(json, quiet))
            if detach:
                from runslot.cli.launch import resume_detached

                resume_detached(experiment, failed, take_over, json, quiet, notify or ())
                continue
            worst = max(worst, resume_experiment(experiment, failed, take_over, json, quiet, notify or (), wait))
        if worst == INTERRUPTED:
            break
    raise typer.Exit(worst or (1 if each_alone.problems else 0))
