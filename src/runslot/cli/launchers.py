"""`runslot launchers`: the places that runs can be sent to, and whether each works."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="List the configured launchers, or check them.", invoke_without_command=True)


@app.callback()
def launchers(ctx: typer.Context) -> None:
    """List the launchers that runslot.toml and the user's configuration name.

    runslot launchers check NAME tries one for real, and says what to fix.
    """
    if ctx.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from runslot.cli.ending import shown
    from runslot.launch.configured import configured_launchers, entry_json

    found = configured_launchers()
    if not found:
        typer.echo("no launcher is configured: a [launchers.NAME] table in runslot.toml with kind = … makes one")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("name", "kind", "settings", "from"):
        table.add_column(title, overflow="fold")
    for name, (file, launcher) in found.items():
        entry = entry_json(launcher)
        keys = [f"{key}={value}" for key, value in entry.items() if value and key not in {"name", "kind", "format"}]
        table.add_row(Text(name, style="bold"), entry["kind"], Text(" ".join(keys)), Text(shown(file)))
    console = Console()
    console.print(table, width=None if console.is_terminal else 100_000)


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME…", help="Which; else all.", show_default=False)
    ] = None,
) -> None:
    """Try launchers for real, step by step: login, Python, disk, GPUs, clock; say what to fix."""
    from runslot.launch.configured import configured_launchers, launcher_named

    well = True
    for name in names or list(configured_launchers()):
        for finding in launcher_named(name).check():
            mark = typer.style("ok  ", fg="green") if finding.well else typer.style("FAIL", fg="red", bold=True)
            typer.echo(f"{mark} {name}: {finding.what}" + (f": {finding.said}" if finding.said else ""))
            if not finding.well:
                well = False
                if finding.fix:
                    typer.echo(f"     {finding.fix}")
    raise typer.Exit(0 if well else 1)
