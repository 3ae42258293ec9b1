"""The live table of a launch on a terminal: a row a slot, a bar, and above them what failed.

The launcher's thread notes events; drawing, and looking into the runs' files, happens in rich's
refreshing thread.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from runslot.cli.render.board import Board
from runslot.cli.render.console import console as terminal_console
from runslot.cli.render.leader import Leader
from runslot.cli.render.live_table import draw
from runslot.cli.render.tails import RunTail, last_lines
from runslot.engines.events import Asks, LaunchEvent, LaunchStarted, RunEnded, RunStarted, Said
from runslot.experiment.rundir import RunDir
from runslot.experiment.states import BAD
from runslot.launch.printer import outcome_said, todo_said
from runslot.terminal_text import shown

_PER_SECOND = 4
_LINES = 5
"""Lines of a failed run's console."""
_FROM_CONSOLE = "  │ "


class LiveView:
    """Shows a launch while it is entered; what is printed above the table stays when it is left."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or terminal_console()
        self._board = Board()
        self._lock = threading.Lock()
        self._tails: dict[str, RunTail] = {}
        self._leader = Leader()
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> LiveView:
        """Begin; the table is drawn from the launch's start on: what is asked before stands on a
        quiet terminal.
        """
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
        self._leader.close()

    def __call__(self, event: LaunchEvent) -> None:
        """Take note of the event, and print what should stay on the screen."""
        with self._lock:
            self._board.note(event, time.time())
            self._leader.note(event)
            if isinstance(event, RunStarted):
                self._began(event)
        if isinstance(event, LaunchStarted) or (isinstance(event, Asks) and event.over):
            self._live.start()
        # rich would draw over the question, and take its [y/N] for markup
        elif isinstance(event, Asks):
            self._live.stop()
        for line in _lasting(event):
            # A long line of a console is cut, since its end is in the line above; others stay
            # whole, to be pasted.
            cut = line.plain.startswith(_FROM_CONSOLE)
            self._console.print(
                line, no_wrap=cut, overflow="ellipsis" if cut else None, soft_wrap=not cut
            )

    def _began(self, event: RunStarted) -> None:
        run_dir = RunDir(event.directory)
        self._tails[event.run.id] = RunTail.of(run_dir)
        attempt = run_dir.read_attempt() if event.adopted else None
        if attempt is not None:
            under_way = self._board.running[event.run.id]
            self._board.running[event.run.id] = dataclasses.replace(
                under_way, started=attempt.started
            )

    def _draw(self) -> Group:
        with self._lock:
            board = dataclasses.replace(
                self._board, running=dict(self._board.running), waiting=dict(self._board.waiting)
            )
            tails = {run: self._tails[run] for run in board.running}
            self._tails = dict(tails)
        width, height = self._console.size
        rows = {run: tail.row_or_line() for run, tail in tails.items()}
        now = time.time()
        return Group(*draw(board, rows, width, height, now, self._leader.words(now)))


def _lasting(event: LaunchEvent) -> Iterator[Text]:
    """Yield what stays on the screen of an event."""
    match event:
        case LaunchStarted():
            text = f": {todo_said(event)}"
            yield Text.assemble((event.experiment, "bold"), text)
            yield Text(shown(event.directory), style="dim")
        case RunEnded() if event.outcome.kind in BAD:
            again = ("; it is tried again", "yellow") if event.retry else ""
            text = f"  {outcome_said(event.outcome)}"
            yield Text.assemble(
                (event.outcome.kind, "bold red"), " ", event.run.directory, (text, "dim"), again
            )
            for line in last_lines(RunDir(event.directory).console, _LINES):
                yield Text(f"{_FROM_CONSOLE}{line}", style="dim")
        case Said():
            yield Text(event.text, style="yellow")
        case _:
            pass
