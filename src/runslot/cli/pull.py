"""`runslot pull`: bring home what rented machines have pushed since."""

from __future__ import annotations

from typing import Annotated

import typer

from runslot.cli.parameters import Directory


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
    import time

    from runslot.cli.kinds import parse_seconds
    from runslot.cli.places import experiments_to_act_on
    from runslot.engines.sky.rental import END_STATES, bring, read_record
    from runslot.errors import Busy, InvalidInput
    from runslot.transport.bucket import Unreachable

    pause = None if every is None else parse_seconds(every)
    remaining = {experiment.path: experiment for experiment in experiments_to_act_on(directory)}
    records = {path: read_record(experiment) for path, experiment in remaining.items()}
    remaining = {
        path: experiment for path, experiment in remaining.items() if records[path] is not None
    }
    if not remaining:
        raise InvalidInput(
            f"nothing was rented for {directory or 'the newest experiment'}, so there is nothing to"
            " pull"
        )
    while remaining:
        for path, experiment in list(remaining.items()):
            record = read_record(experiment)
            assert record is not None
            try:
                brought = bring(experiment, record)
            except (Busy, Unreachable) as error:
                if pause is None:
                    raise
                typer.echo(f"{error}; again in {every}")
                continue
            typer.echo(f"{path}: {brought.files} files, {brought.size} bytes")
            for changed in brought.later:
                typer.echo(f"  {changed} changed meanwhile; the next pull has it")
            states = {name: listing.state for name, listing in brought.listings.items()}
            if all(state in END_STATES for state in states.values()):
                del remaining[path]
        if pause is None:
            return
        if remaining:
            time.sleep(pause)
