"""`runslot ls`: the experiments below a directory, the newest first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runslot.cli.options import flag


def ls(
    root: Annotated[
        Path | None,
        typer.Argument(metavar="ROOT", help="Where to look; else where experiments go.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show so many.")] = 25,
    json: Annotated[bool, flag("--json", help="Print a JSON list, of all.")] = False,
) -> None:
    """List experiments: when they were launched, what they are, and how their runs stand."""
    from runslot.cli.listing import list_experiments, print_listing
    from runslot.errors import NotFound
    from runslot.experiment.settings import default_root, path_of

    directory = default_root() if root is None else path_of(root, "ROOT")
    if not directory.is_dir():
        raise NotFound(f"there is no directory {directory}, so there are no experiments in it")
    problems: list[str] = []
    listed = list_experiments(directory, problems)
    print_listing(listed, directory, None if json else limit, json)
    for problem in problems:
        typer.echo(f"runslot: {problem}", err=True)
