"""What is asked and said before a launch, while no live table is drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from runslot.cli.render.observer import on_terminal
from runslot.engines.events import Observer
from runslot.launch.code_change import OnChange


def saying(json: bool, quiet: bool) -> Observer:
    """Return what prints the few lines that come before the first run."""
    if json:
        from runslot.cli.render.json_lines import JsonLines

        return JsonLines(sys.stdout)
    if quiet:
        from runslot.launch.experiment import silent

        return silent
    from runslot.launch.printer import Printer

    return Printer()


def asking(json: bool, quiet: bool) -> Callable[[Sequence[str]], bool] | None:
    """Return what asks whether to go on in spite of changes; None where nobody is there to answer."""
    if json or quiet or not on_terminal() or not sys.stdin.isatty():
        return None
    return _confirm


def _confirm(_changes: Sequence[str]) -> bool:
    import typer

    return typer.confirm("continue with the code as it is now?", default=False)


def on_change(strict: bool, accept: bool, json: bool, quiet: bool) -> OnChange:
    """Return what a resume does where code has changed."""
    return OnChange(strict, accept, asking(json, quiet))
