"""`runslot logs`: what a run printed."""

from __future__ import annotations

from typing import Annotated

import typer

from runslot.cli.options import flag


def logs(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run directory, EXPERIMENT/RUN, or a run of the newest experiment: its directory or id, or a part.",
            show_default=False,
        ),
    ],
    follow: Annotated[bool, flag("-f", "--follow", help="Go on until the run ends.")] = False,
    lines: Annotated[int | None, typer.Option("-n", "--lines", min=0, metavar="N", help="Only the last N.")] = None,
) -> None:
    """Print what a run printed (its console.log); with -f go on while it runs."""
    from runslot.cli.following import print_console
    from runslot.cli.places import find_run

    print_console(find_run(run), follow, lines)
