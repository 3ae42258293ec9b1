"""`runslot cloud`: the machines that are rented, giving them back, and what experiments keep in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runslot.cli.options import flag

if TYPE_CHECKING:
    from runslot.experiment.rundir import ExperimentDir
    from runslot.launch.sky.rented import Record

app = typer.Typer(
    help="List the machines that runslot rented, give them back, or delete what is in the bucket.",
    no_args_is_help=True,
)

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


@app.command()
def clean(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Directories of experiments.")],
    yes: Annotated[bool, flag("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete all that finished experiments have in the bucket; what has not come home is brought first.

    What is here stays. Refused while machines are rented, or a launch is at work.
    """
    from runslot.cli.finding import experiments_at
    from runslot.errors import InvalidInput
    from runslot.launch.sky.rented import read_record

    for directory in directories:
        found = [(each, read_record(each)) for each in experiments_at(directory)]
        rented = [(experiment, record) for experiment, record in found if record is not None]
        if not rented:
            raise InvalidInput(f"nothing was rented for {directory}, so it has nothing in a bucket")
        for experiment, record in rented:
            _clean(experiment, record, yes)


def _clean(experiment: ExperimentDir, record: Record, yes: bool) -> None:
    from runslot.errors import Busy, RunslotError
    from runslot.experiment.status import read_status
    from runslot.launch.bucket import open_store
    from runslot.launch.bucket.clean import clean
    from runslot.launch.sky.bringing import bring

    path = experiment.path
    alive = [machine.name for machine in record.machines if machine.alive]
    if alive:
        raise Busy(
            f"{', '.join(alive)} may still be rented and write there: `runslot resume {path}` looks after them to "
            f"their end, `runslot stop {path}` ends them"
        )
    if read_status(experiment).launcher is not None:
        raise Busy(f"a launch of {path} is at work: clean when it has ended")
    store = open_store(record.store)
    brought = bring(experiment, record, store)
    if brought.files:
        typer.echo(f"{path}: {brought.files} files, {brought.size} bytes have come home now")
    if brought.later:
        raise RunslotError(
            f"{brought.later[0]} of {path} has not come home, so nothing is deleted: `runslot pull` again"
        )
    names = store.names()
    if not names:
        typer.echo(f"{store.url}: nothing is there")
        return
    _agreed(f"{store.url}: {len(names)} objects, {sum(names.values()) / 1e9:.2f} GB", _unfinished(experiment), yes)
    clean(store, names)
    typer.echo(f"{store.url}: deleted")


def _unfinished(experiment: ExperimentDir) -> str:
    from runslot.experiment.status import read_status

    count = sum(run.state != "succeeded" for run in read_status(experiment).runs)
    runs = "1 run has" if count == 1 else f"{count} runs have"
    return f"{runs} not succeeded: a resume would start from the beginning, not from snapshots" if count else ""


def _agreed(what: str, warning: str, yes: bool) -> None:
    """Say what is deleted, and ask; `InvalidInput` where the answer is no, or where nobody can be asked."""
    import sys

    from runslot.errors import InvalidInput

    typer.echo(what)
    if warning:
        typer.echo(warning)
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise InvalidInput("this deletes them, and nobody is here to agree: add --yes")
    if input("delete them? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise InvalidInput("nothing was deleted")


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
