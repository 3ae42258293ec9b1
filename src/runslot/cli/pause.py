"""`runslot pause` and `runslot continue`: start nothing further of an experiment, and go on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AtWork = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="An experiment, or a directory that holds some.", show_default=False
    ),
]
"""What is named to be paused or continued."""


def pause(directory: AtWork) -> None:
    """Start nothing further of an experiment that is under way; what runs goes on.

    Its slots are free for other experiments as their runs end. A pause ends with its launcher:
    `runslot resume` goes on. To have the running ones end as well, use `runslot stop`.
    """
    ask(directory, paused=True)


def continue_(directory: AtWork) -> None:
    """Go on with an experiment that `runslot pause` has paused."""
    ask(directory, paused=False)


def ask(directory: Path, paused: bool) -> None:
    """Pause or continue all experiments of a directory that have a launcher; refuse where none
    has.
    """
    from runslot.cli.places import Isolation, experiments_to_act_on
    from runslot.experiment.lock import living_launcher
    from runslot.launch.pause import pause as ask_launcher

    experiments = experiments_to_act_on(directory)
    isolation = Isolation(len(experiments) == 1)
    at_work = []
    for experiment in experiments:
        with isolation.guard():
            if living_launcher(experiment):
                at_work.append(experiment)
    if not at_work and isolation.problems < len(experiments):
        at_work = experiments[-1:]  # where nobody is at work, that is what is said
    for experiment in at_work:
        with isolation.guard():
            ask_launcher(experiment, paused)
            typer.echo(f"{'paused' if paused else 'continues'}: {experiment.path}")
    if isolation.problems:
        raise typer.Exit(1)
