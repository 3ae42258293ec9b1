"""`runslot launchers`: the places that runs can be sent to, and whether each works."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from runslot.cli.parameters import flag
from runslot.cli.signature import typed

if TYPE_CHECKING:
    from runslot.engines.protocol import Finding, LauncherConfig

app = typer.Typer(
    help="List the configured launchers, or check them.",
    invoke_without_command=True,
    add_completion=False,
)


@app.callback()
@typed
def launchers(
    ctx: typer.Context,
    json: Annotated[bool, flag("--json", help="Print one JSON list.")] = False,
) -> None:
    """List the launchers that runslot.toml and the user's configuration name.

    runslot launchers check NAME tries one for real, and says what to fix.
    """
    if ctx.invoked_subcommand is not None:
        return
    from rich.text import Text

    from runslot.cli.render.console import console
    from runslot.cli.render.table import print_columns
    from runslot.engines.registry import configured_launchers, entry_of, kinds_shown
    from runslot.terminal_text import shown

    entries = configured_launchers()
    if json:
        described = [
            {
                "name": name,
                "kind": entry_of(launcher).kind,
                "file": str(file),
                "settings": dict(entry_of(launcher).settings),
            }
            for name, (file, launcher) in entries.items()
        ]
        typer.echo(jsonlib.dumps(described, ensure_ascii=False, indent=1, default=str))
        return
    if not entries:
        typer.echo(
            "no launcher is configured: a [launchers.NAME] table in runslot.toml with kind = …"
            " makes one;"
        )
        typer.echo(f"kinds: {', '.join(kinds_shown())}")
        return
    rows: list[list[Text]] = []
    for name, (file, launcher) in entries.items():
        entry = entry_of(launcher)
        keys = [f"{key}={value}" for key, value in entry.settings.items() if value]
        rows.append(
            [Text(name, style="bold"), Text(entry.kind), Text(shown(file)), Text(" ".join(keys))]
        )
    print_columns(console(), ("name", "kind", "from", "settings"), rows)


@app.command()
@typed
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Which; else all.", show_default=False),
    ] = None,
    no_submit: Annotated[
        bool, typer.Option("--no-submit", help="Submit no task to a queue to try its nodes.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Submit it without asking, where that costs something.")
    ] = False,
    json: Annotated[bool, flag("--json", help="Print one JSON object a step.")] = False,
) -> None:
    """Try launchers for real, step by step: login, Python, disk, GPUs, clock; say what to fix.

    On a cluster one task of a minute shows what its nodes have.
    """
    from runslot.engines.registry import configured_launchers, launcher_named

    well = True
    for name in names or list(configured_launchers()):
        config = launcher_named(name)
        ready = _print_findings(name, config.check(), json)
        if ready and not no_submit and _may_submit(config, yes, json):
            ready = _print_findings(name, config.probe(), json)
        well = well and ready
    raise typer.Exit(0 if well else 1)


def _may_submit(config: LauncherConfig, yes: bool, as_json: bool) -> bool:
    """Tell whether a task may be submitted to try the nodes: where it costs, it is asked first."""
    if not config.probe_cost or yes:
        return True
    if not as_json and sys.stdin.isatty():
        return typer.confirm(f"{config.name}: submit a task to try a node? {config.probe_cost}")
    typer.echo(f"{config.name}: no task is submitted: {config.probe_cost}; --yes agrees", err=True)
    return False


def _print_findings(name: str, findings: Iterable[Finding], as_json: bool) -> bool:
    """Print what was tried, as it is; return whether all is well."""
    well = True
    for finding in findings:
        well = well and finding.well
        if as_json:
            values = {"well": finding.well, "seen": finding.said, "fix": finding.fix}
            step = {"launcher": name, "what": finding.what, **values}
            typer.echo(jsonlib.dumps(step, ensure_ascii=False))
            continue
        mark = (
            typer.style("ok  ", fg="green")
            if finding.well
            else typer.style("FAIL", fg="red", bold=True)
        )
        typer.echo(f"{mark} {name}: {finding.what}" + (f": {finding.said}" if finding.said else ""))
        if not finding.well and finding.fix:
            typer.echo(f"     {finding.fix}")
    return well
