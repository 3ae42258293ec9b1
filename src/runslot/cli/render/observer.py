"""Who is told of a launch: a live table on a terminal, else a line an event; JSON lines, or
nothing, on request.

`cli.launch` and the commands that launch call this: `saying` before the first run, `observing`
while there are runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from runslot.engines.events import LaunchEvent, Observer
from runslot.launch.code_change import OnChange


@contextmanager
def observing(json: bool, quiet: bool) -> Iterator[Observer]:
    """Yield what is to be told of a launch."""
    if json:
        from runslot.cli.render.json_lines import EventLines

        yield _Outlived(EventLines(sys.stdout))
    elif quiet:
        from runslot.launch.experiment import silent

        yield silent
    elif on_terminal():
        from runslot.cli.render.live_view import LiveView

        with LiveView() as view:
            yield view
    else:
        from runslot.launch.printer import Printer

        yield _Outlived(Printer())


class _Outlived:
    """An observer without which the launch goes on: where nobody reads on (`| head`), or the disk
    is full.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer | None = observer

    def __call__(self, event: LaunchEvent) -> None:
        """Pass the event on, until that fails."""
        try:
            if self._observer is not None:
                self._observer(event)
        except OSError:
            self._observer = None


def on_terminal() -> bool:
    """Tell whether the output is a terminal on which lines can be drawn over."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def saying(json: bool, quiet: bool) -> Observer:
    """Return what prints the few lines that come before the first run."""
    if json:
        from runslot.cli.render.json_lines import EventLines

        return EventLines(sys.stdout)
    if quiet:
        from runslot.launch.experiment import silent

        return silent
    from runslot.launch.printer import Printer

    return Printer()


def asking(json: bool, quiet: bool) -> Callable[[Sequence[str]], bool] | None:
    """Return what asks whether to go on in spite of changes; None where nobody is there to
    answer.
    """
    if json or quiet or not on_terminal() or not sys.stdin.isatty():
        return None
    return _confirm


def _confirm(_changes: Sequence[str]) -> bool:
    import typer

    return typer.confirm("continue with the code as it is now?", default=False)


def on_change(strict: bool, accept: bool, json: bool, quiet: bool) -> OnChange:
    """Return what a resume does where code has changed."""
    return OnChange(strict, accept, asking(json, quiet))
