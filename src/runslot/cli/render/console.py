"""The console of rich that commands print with: text of others does not control it, and is not
taken for markup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from runslot.terminal_text import CleanedStream, visible


class TerminalConsole(Console):
    """Writes below the cleaned stream, since what it draws with are control sequences, and cleans
    its texts itself.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, with control characters shown."""
        if isinstance(renderable, Text) and visible(renderable.plain) != renderable.plain:
            renderable = renderable.copy()
            renderable.plain = visible(
                renderable.plain
            )  # as long as before: its styles stay in place
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

    def on_broken_pipe(self) -> None:
        """Leave what is to be done to `runslot.__main__`; rich would end the process with 1."""
        raise BrokenPipeError


def console() -> TerminalConsole:
    """Return a console on the output that takes texts as they are: no markup, no emoji, nothing
    highlighted.
    """
    below = sys.stdout.rich_proxied_file if isinstance(sys.stdout, CleanedStream) else sys.stdout
    return TerminalConsole(file=below, highlight=False, markup=False, emoji=False)


def print_line(console: Console, line: Text) -> None:
    """Print a line that rich neither wraps nor cuts: what is on it can be pasted."""
    console.print(line, soft_wrap=True)
