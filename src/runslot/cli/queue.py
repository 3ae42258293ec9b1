"""`runslot queue`: what this user has under way on this machine, what it waits for, and how long it may take."""

from __future__ import annotations

from typing import Annotated

import typer


def queue(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show every experiment of yours that runs or waits on this machine, from whatever terminal it was launched.

    For each: its runs, those under way, whom it waits for, and about how long it will take.
    """
    from runslot.cli.queueing import print_queue, queue_json
    from runslot.experiment.launchers import launched_here

    problems: list[str] = []
    statuses = launched_here(problems)
    if json:
        typer.echo(queue_json(statuses))
    else:
        print_queue(statuses)
    for problem in problems:
        typer.echo(f"runslot: {problem}", err=True)
