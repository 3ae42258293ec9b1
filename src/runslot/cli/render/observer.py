"""How a launch is looked at: the live table on a terminal, else a line an event; JSON lines, or nothing, on request."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from runslot.engines.events import LaunchEvent, Observer


@contextmanager
def observing(json: bool, quiet: bool) -> Iterator[Observer]:
    """Yield what is to be told of a launch."""
    if json:
        from runslot.cli.render.json_lines import JsonLines

        yield _Outlived(JsonLines(sys.stdout))
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
    """An observer without which the launch goes on: where nobody reads on (`| head`), or the disk is full."""

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
