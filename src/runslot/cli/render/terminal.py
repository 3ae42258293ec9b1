"""The command line's output streams, through which no text of others controls the terminal.

`cleaned_streams` is entered once, around every command. What must stay true: all of `runslot.cli`
prints by `print`, `typer.echo` or a console of `cli.console`; bytes that go to `sys.stdout.buffer`
are cleaned by who writes them.
"""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from runslot.terminal_text import visible


class CleanedStream(io.TextIOBase):
    """A text stream that shows control characters instead of passing them on.

    Consoles of rich write to what is below it: their control sequences are their own, not those of
    others.
    """

    def __init__(self, below: TextIO) -> None:
        self.rich_proxied_file = below
        """The stream that is written to; rich looks for it by this name."""

    def write(self, text: str) -> int:
        """Write the text with its control characters shown."""
        self.rich_proxied_file.write(visible(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream below."""
        self.rich_proxied_file.flush()

    def isatty(self) -> bool:
        """Tell whether the stream below is a terminal."""
        return self.rich_proxied_file.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream below."""
        return self.rich_proxied_file.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base has attributes, which are None
        """The encoding of the stream below."""
        return self.rich_proxied_file.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What the stream below does about what it cannot encode."""
        return self.rich_proxied_file.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def cleaned_streams() -> Iterator[None]:
    """Let what is printed to the output and the error output be cleaned while this is entered."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (CleanedStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def shown(path: Path) -> str:
    """Return a path as a word of a command line: relative where it lies below the working
    directory.
    """
    return shlex.quote(
        str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    )
