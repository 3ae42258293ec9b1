"""`runslot cloud`: the machines that are rented, and giving them back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runslot.cli.options import flag

app = typer.Typer(help="List the machines that runslot rented, or give them back.", no_args_is_help=True)

Python = Annotated[
    str | None,
    typer.Option(
        "--skypilot-python",
        metavar="PATH",
        envvar="RUNSLOT_SKYPILOT_PYTHON",
        help="An interpreter that has SkyPilot, where this one has not.",
    ),
]


@app.command()
def ls(
    json: Annotated[bool, flag("--json", help="Print one JSON object a machine.")] = False, python: Python = None
) -> None:
    """List the machines that runslot rented and that are not given back: where, since when, what they cost."""
    import json as json_module
    import time

    from runslot.launch.sky.asking import SkyPilot

    machines = SkyPilot(python).alive()
    for machine in machines:
        hours = max(0.0, time.time() - machine["since"]) / 3600
        cost = hours * machine["price"]
        if json:
            typer.echo(json_module.dumps({**machine, "hours": hours, "cost": cost}))
        else:
            typer.echo(
                f"{machine['name']}  {machine['status']}  {machine['infra']}  {hours:.1f} h × ${machine['price']:.3f} "
                f"= ${cost:.2f}"
            )
    if not machines and not json:
        typer.echo("no machine is rented")


@app.command()
def down(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME…", help="Machines, or directories of experiments.", show_default=False),
    ] = None,
    every: Annotated[bool, flag("--all", help="All machines that runslot rented.")] = False,
    python: Python = None,
) -> None:
    """Give machines back. What they have not pushed yet is lost: `runslot stop DIR` lets them push first."""
    from runslot.errors import InvalidInput, RunslotError
    from runslot.launch.sky.asking import SkyPilot

    if not names and not every:
        raise InvalidInput("name machines (`runslot cloud ls`), directories of experiments, or --all")
    sky = SkyPilot(python)
    wanted = (
        [machine["name"] for machine in sky.alive()] if every else [each for name in names or () for each in _of(name)]
    )
    well = True
    for name in wanted:
        try:
            sky.give_back(name)
        except RunslotError as error:
            well = False
            typer.echo(f"{error}", err=True)
        else:
            typer.echo(f"{name} is given back")
    if not wanted:
        typer.echo("no machine is rented")
    raise typer.Exit(0 if well else 1)


def _of(name: str) -> list[str]:
    """Return the machines of an experiment's directory that may be alive, or the name of one machine."""
    import time

    from runslot.cli.finding import experiments_at
    from runslot.launch.sky.rented import ended_now, read_record, write_record

    if not Path(name).is_dir():
        return [name]
    found = []
    for experiment in experiments_at(Path(name)):
        record = read_record(experiment)
        if record is not None:
            found += [machine.name for machine in record.machines if machine.alive]
            write_record(experiment, ended_now(record, time.time()))
    return found
