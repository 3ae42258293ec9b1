"""`runslot export`: what came out of experiments, as files for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runslot.cli.parameters import Conditions, Include, Logs, PathTemplate, option
from runslot.cli.results import PLACES
from runslot.errors import InvalidInput

if TYPE_CHECKING:
    from runslot.results.export import FileFormat


def export(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="DIR", help=PLACES + ".", show_default=False)
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory for the files; else NAME-export here."),
    ] = None,
    metric: Annotated[str | None, option("metric", "export")] = None,
    where: Conditions = None,
    include: Include = None,
    long: Annotated[
        bool, typer.Option("--long", help="Progress with a row a number, not a column a metric.")
    ] = False,
    path: PathTemplate = None,
    log: Logs = None,
) -> None:
    """Write all runs (`runs`) and all their rows (`progress`) to files for other tools."""
    from runslot.cli.places import places_of
    from runslot.results.comparison import compare
    from runslot.results.export import export as write
    from runslot.results.read.reader import load
    from runslot.results.text.sources import sources_line, unread_line

    if not (csv or parquet):
        raise InvalidInput("nothing says what to write: add --csv, --parquet, or both")
    read = load(places_of(paths), path=path, log=log or ()).where(*(where or ()))
    accounting = compare(read, metric, include=include or ()).accounting
    directory = out or Path(f"{Path(read.base).name}-export")
    for problem in read.problems:
        typer.echo(f"not read: {problem}", err=True)
    for line in (sources_line(read), unread_line(read)):
        if line:
            typer.echo(line, err=True)
    for kind in ("csv", "parquet"):
        if csv if kind == "csv" else parquet:
            form: FileFormat = "csv" if kind == "csv" else "parquet"
            for file in write(read, directory, form, long=long, accounting=accounting):
                typer.echo(file)
    by = f"by {accounting.metric}: " if accounting.metric else ""
    typer.echo(f"{by}{accounting.line()} (column standing)", err=True)
