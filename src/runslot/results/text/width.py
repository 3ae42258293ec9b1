"""Print to a terminal in its width, and to a pipe in the width that the text needs, without padding."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType
from rich.text import Text

_UNBOUNDED = 100_000


def show(console: Console, renderable: RenderableType) -> None:
    """Print a text or a table; where the console is no terminal nothing is wrapped, cut or folded."""
    if console.is_terminal:
        console.print(renderable, highlight=False)
        return
    wide = Console(file=io.StringIO(), width=_UNBOUNDED, color_system=None, force_terminal=False)
    with wide.capture() as captured:
        wide.print(renderable, highlight=False, soft_wrap=isinstance(renderable, Text))
    for line in captured.get().splitlines():
        console.print(Text(line.rstrip()), soft_wrap=True, highlight=False)
