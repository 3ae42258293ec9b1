"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Directory = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR",
        help="An experiment, or a directory that holds some; the newest experiment where it is not given.",
        show_default=False,
    ),
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per event.", rich_help_panel="Output")]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print only the experiment's directory; failures go to the error output.")
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Break the lock of a launcher on another host that surely no longer runs.")
]
