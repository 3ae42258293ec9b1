"""`runslot cloud`: the machines that are rented, giving them back, and what experiments keep in a
bucket.

`runslot pull`: bring home what rented machines have pushed since.
"""

from __future__ import annotations

import itertools
import json as jsonlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from runslot.cli.kinds import parse_seconds
from runslot.cli.parameters import Directory, flag
from runslot.cli.places import experiments_to_act_on
from runslot.cli.signature import typed
from runslot.engines.sky.client import Sight, SkyPilot
from runslot.engines.sky.cost import agree
from runslot.engines.sky.rental import (
    END_STATES,
    Record,
    Rented,
    bring,
    is_being_rented,
    read_record,
    renting,
    write_record,
)
from runslot.errors import Busy, InvalidInput, RunslotError, nearest
from runslot.experiment.launchers import launched_here
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.transport.bucket import Unreachable, open_store
from runslot.transport.bucket.store import clean as delete_all

app = typer.Typer(
    help="List the machines that runslot rented, give them back, or delete what is in the bucket.",
    no_args_is_help=True,
    add_completion=False,
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
@typed
def ls(
    json: Annotated[bool, flag("--json", help="Print one JSON object a machine.")] = False,
    python: Python = None,
) -> None:
    """List the machines that runslot rented and that are not given back: where, since when, what
    they cost.
    """
    machines = SkyPilot(python).alive()
    for machine in machines:
        hours = max(0.0, time.time() - machine.since) / 3600
        cost = hours * machine.price
        if json:
            keys = ("name", "status", "infra", "price", "since", "managed")
            values = {key: getattr(machine, key) for key in keys}
            typer.echo(jsonlib.dumps({**values, "hours": hours, "cost": cost}))
        else:
            typer.echo(
                f"{machine.name}  {machine.status}  {machine.infra}  {hours:.1f} h ×"
                f" ${machine.price:.3f} = ${cost:.2f}"
            )
    if not machines and not json:
        typer.echo("no machine is rented")


@app.command()
@typed
def down(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Machines, or directories of experiments.", show_default=False
        ),
    ] = None,
    every: Annotated[bool, flag("--all", help="All machines that runslot rented.")] = False,
    json: Annotated[bool, flag("--json", help="Print one JSON object a machine.")] = False,
    python: Python = None,
) -> None:
    """Give machines back. What they have not pushed yet is lost: `runslot stop DIR` lets them push
    first.
    """
    if not names and not every:
        raise InvalidInput(
            "name machines (`runslot cloud ls`), directories of experiments, or --all"
        )
    sky = SkyPilot(python)
    machines = _wanted(names or (), sky, every)
    well = True
    for machine, experiment in machines:
        problem = ""
        try:
            _give_back(machine, experiment, sky)
        except RunslotError as error:
            well, problem = False, str(error)
        if json:
            answer = {"name": machine.name, "given_back": not problem, "problem": problem}
            typer.echo(jsonlib.dumps(answer))
        else:
            typer.echo(problem or f"{machine.name} is given back", err=bool(problem))
    if not machines and not json:
        typer.echo("no machine is rented")
    raise typer.Exit(0 if well else 1)


def _give_back(machine: Sight | Rented, experiment: ExperimentDir | None, sky: SkyPilot) -> None:
    """Give a machine back; of an experiment also what is still rented for a launch that died, and
    write it down.
    """
    _refuse_at_work(machine.name)
    if experiment is None:
        sky.give_back(machine.name, machine.managed)
        return
    # It may come while it is just given back, or later.
    comes = is_being_rented(experiment, machine.name)
    sky.give_back(machine.name, machine.managed)
    if comes:
        with renting(experiment, machine.name):
            sky.give_back(machine.name, machine.managed)
    record = read_record(experiment) or Record("")
    for rented in record.alive:
        if rented.name == machine.name:
            record = record.with_machine(rented.given_back(time.time()))
            write_record(experiment, record)


@app.command()
@typed
def clean(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Directories of experiments.")
    ],
    yes: Annotated[bool, flag("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete all that finished experiments have in the bucket; what has not come home is brought
    first.

    What is here stays. Refused while machines are rented, or a launch is at work.
    """
    for directory in directories:
        for experiment in _renters(directory, "it has nothing in a bucket"):
            _clean(experiment, yes)


def _renters(directory: Path | None, therefore: str) -> list[ExperimentDir]:
    """Return the experiments of a directory for which machines were rented."""
    experiments = [e for e in experiments_to_act_on(directory) if read_record(e) is not None]
    if not experiments:
        where = directory or "the newest experiment"
        raise InvalidInput(f"nothing was rented for {where}, so {therefore}")
    return experiments


def _clean(experiment: ExperimentDir, yes: bool) -> None:
    record = _check_at_rest(experiment)
    store = open_store(record.store)
    path = experiment.path
    brought = bring(experiment, record, store)
    if brought.files:
        typer.echo(f"{path}: {brought.files} files, {brought.size} bytes have come home now")
    if brought.later:
        raise RunslotError(
            f"{brought.later[0]} of {path} has not come home, so nothing is deleted: `runslot pull`"
            " again"
        )
    names = store.names()
    if not names:
        typer.echo(f"{store.url}: nothing is there")
        return
    typer.echo(f"{store.url}: {len(names)} objects, {sum(names.values()) / 1e9:.2f} GB")
    if count := sum(run.state != "succeeded" for run in read_status(experiment).runs):
        runs = "1 run has" if count == 1 else f"{count} runs have"
        typer.echo(
            f"{runs} not succeeded: a resume would start from the beginning, not from snapshots"
        )
    if not yes:
        agree(
            "delete them?",
            "nothing was deleted",
            "this deletes them, and nobody is here to agree: add --yes",
        )
    _check_at_rest(experiment)  # a resume may have begun while the question stood
    delete_all(store, names)
    typer.echo(f"{store.url}: deleted")


def _check_at_rest(experiment: ExperimentDir) -> Record:
    """Refuse where something still writes to the bucket, or may do so; return what was rented."""
    path = experiment.path
    record = read_record(experiment) or Record("")
    if record.alive:
        raise Busy(
            f"{', '.join(m.name for m in record.alive)} may still be rented and write there:"
            f" `runslot resume {path}` looks after them to their end, `runslot stop {path}` ends"
            " them"
        )
    if read_status(experiment).launcher is not None:
        raise Busy(f"a launch of {path} is at work: clean when it has ended")
    return record


def _wanted(
    names: Sequence[str], sky: SkyPilot, every: bool
) -> list[tuple[Sight | Rented, ExperimentDir | None]]:
    """Return the machines that are named, and those that may be alive of the experiments whose
    directories are.

    SkyPilot is not asked where the books of the experiments say it all.
    """
    directories = [Path(name) for name in names if Path(name).is_dir()]
    machine_names = [name for name in names if not Path(name).is_dir()]
    alive = {machine.name: machine for machine in sky.alive()} if every or machine_names else {}
    machines: list[tuple[Sight | Rented, ExperimentDir | None]] = []
    for name in sorted(alive) if every else machine_names:
        if name not in alive:
            raise InvalidInput(
                f"no machine {name} is rented{nearest(name, alive)}: `runslot cloud ls` lists them"
            )
        machines.append((alive[name], None))
    for experiment in itertools.chain.from_iterable(map(experiments_to_act_on, directories)):
        experiment.require_own()
        record = read_record(experiment) or Record("")
        machines += [(machine, experiment) for machine in record.alive]
    return machines


def _refuse_at_work(name: str) -> None:
    """Refuse a machine whose launch is at work here: it would take it for lost."""
    for status in launched_here():
        if status.launcher is None:
            continue
        record = read_record(status.directory) or Record("")
        if name in {machine.name for machine in record.alive}:
            path = status.directory.path
            raise Busy(
                f"{name} works for a launch: `runslot stop {path}` ends that, `runslot stop {path}"
                " --kill` at once"
            )


# ---- pull ----------------------------------------------------------------------------------------


def pull(
    directory: Directory = None,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Pull again and again, so far apart (60, 5m), until all machines have ended.",
        ),
    ] = None,
) -> None:
    """Bring home what rented machines have written: what has changed alone, outcomes after their
    data.

    A launch that is at work does this by itself; this is for one that was left running.
    """
    pause = None if every is None else parse_seconds(every)
    remaining = _renters(directory, "there is nothing to pull")
    while remaining:
        remaining = [experiment for experiment in remaining if _pull_goes_on(experiment, every)]
        if pause is None:
            return
        if remaining:
            time.sleep(pause)


def _pull_goes_on(experiment: ExperimentDir, every: str | None) -> bool:
    """Pull once; tell whether a machine has more to come, or may."""
    try:
        brought = bring(experiment, read_record(experiment) or Record(""))
    except (Busy, Unreachable) as error:
        if every is None:
            raise
        typer.echo(f"{error}; again in {every}")
        return True
    typer.echo(f"{experiment.path}: {brought.files} files, {brought.size} bytes")
    for changed in brought.later:
        typer.echo(f"  {changed} changed meanwhile; the next pull has it")
    return any(listing.state not in END_STATES for listing in brought.listings.values())
