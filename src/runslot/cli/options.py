"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def flag(*names: str, help: str, panel: str | None = None) -> Any:
    """Return an option without a value; help would show `<bool>` for one."""
    return typer.Option(*names, help=help, metavar="", rich_help_panel=panel)


Directory = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR",
        help="An experiment, or a directory that holds some; the newest experiment where it is not given.",
        show_default=False,
    ),
]
JsonLines = Annotated[bool, flag("--json", help="Print one JSON object per event.", panel="Output")]
Quiet = Annotated[
    bool,
    flag(
        "-q",
        "--quiet",
        help="Print only the experiment's directory; failures go to the error output.",
        panel="Output",
    ),
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL", help="Tell this service (of apprise) of the end, and of the first failure.", show_default=False
    ),
]
TakeOver = Annotated[
    bool, flag("--take-over", help="Break the lock of a launcher on another host that surely no longer runs.")
]
PathTemplate = Annotated[
    str | None,
    typer.Option(
        "--path",
        metavar="TEMPLATE",
        help="What the names of directories of other programs' runs mean: '{algo}/{env}_{seed}'.",
        show_default=False,
    ),
]
Logs = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="GLOB",
        help="Read these files (CSV, JSON lines) as logs, too: 'log_*.csv'.",
        show_default=False,
    ),
]
