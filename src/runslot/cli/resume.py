"""`runslot resume`: run what is missing of an experiment; its finished runs are kept."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

from runslot.cli.parameters import Directory, signed

_WHAT_REMAINS = "of its jobs, those that it had launched are run, and it adds no further ones"


@signed(
    "resume",
    [
        inspect.Parameter(
            "directory", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Directory
        )
    ],
)
def resume(
    directory: Path | None,
    failed: bool,
    take_over: bool,
    strict: bool,
    accept_code_change: bool,
    notify: Sequence[str] | None,
    detach: bool,
    wait: bool,
    yes: bool,
    max_cost: float | None,
    max_hours: float | None,
    json: bool,
    quiet: bool,
) -> None:
    """Run what is missing: runs that were not started, were stopped, or were lost with their
    machine.

    Runs that are still under way, because only their launcher died, are adopted.
    """
    from runslot.cli.launch import INTERRUPTED, agree, limit, on_change, resume_experiment, saying
    from runslot.cli.places import Isolation, experiments_to_act_on
    from runslot.engines.events import Said
    from runslot.launch.code_change import settle_resume

    agree(yes)
    worst = 0
    experiments = experiments_to_act_on(directory)
    isolation = Isolation(len(experiments) == 1)
    for experiment in experiments:
        with isolation.guard():
            limit(experiment, max_cost, max_hours)
            say = saying(json, quiet)
            settle_resume(experiment, on_change(strict, accept_code_change, json, quiet), say)
            if sweeper := experiment.read().batches_of:
                say(Said(f"note: {sweeper} is not continued: {_WHAT_REMAINS}"))
            if detach:
                from runslot.cli.launch import resume_detached

                resume_detached(experiment, failed, take_over, json, quiet, notify or ())
                continue
            worst = max(
                worst,
                resume_experiment(experiment, failed, take_over, json, quiet, notify or (), wait),
            )
        if worst == INTERRUPTED:
            break
    raise SystemExit(worst or (1 if isolation.problems else 0))
