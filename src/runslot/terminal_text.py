"""Text of others (names, messages, consoles, paths, hosts) as it may reach a terminal: without
control of it.

The lowest layer. `cleaned_streams` is entered once, around every command; consoles of rich
(`cli.render.console`) and `launch.printer` pass what they print through here, too, so that nobody
else has to. What must stay true: no result holds a control character but newline, tab and what
`plain` is asked to keep, and no character that turns the direction of the text around it; bytes
that go to `sys.stdout.buffer` are cleaned by who writes them.
"""

from __future__ import annotations

import io
import re
import shlex
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_FORMATS_KEPT = "\u200c\u200d\u200e\u200f\u061c\u00ad"
"""Joiners, marks of direction and soft hyphens: scripts need them, and they move nothing else."""

_SUSPECT = re.compile(r"[^\x20-\x7e\n\t]")
"""What is looked at one by one; nearly all text has none."""

_SEQUENCE = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    # OSC, DCS, SOS, PM, APC
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
"""Escape sequences of terminals, whole; one that is not closed ends with its line."""

_COLOUR = r"\x1b\[[0-9;:]*m"
RESET_COLOUR = "\x1b[0m"


def echo(text: object = "", err: bool = False, end: str = "\n") -> None:
    """Print at once, so that what goes to the two streams keeps its order in a pipe."""
    print(text, end=end, file=sys.stderr if err else sys.stdout, flush=True)


def visible(text: str) -> str:
    """Return text with its control characters shown: `␛` for an escape, `�` for what has no
    picture.

    A character stands for a character, so that styles and columns that were worked out before stay
    right. Newlines and tabs stay, and so does all that is printable, in any script.
    """
    return text if text.isascii() and text.isprintable() else _SUSPECT.sub(_shown, text)


def one_line(text: str) -> str:
    """Return text for one line of a terminal: as `visible`, and its newlines and tabs are
    blanks.
    """
    return visible(" ".join(text.split("\n")).replace("\t", " "))


def plain(text: str, *, colours: bool = False, carriage: bool = False) -> str:
    """Return what a program printed without its escape sequences, and without other control
    characters.

    With `colours` those that only colour what follows stay; with `carriage` so does `\\r`, by which
    progress bars begin their own line anew.
    """
    if text.isascii() and text.isprintable():
        return text
    parts: list[str] = []
    end = 0
    for match in re.finditer(_SEQUENCE, text):
        parts.append(_without_controls(text[end : match.start()], carriage))
        if colours and re.fullmatch(_COLOUR, match[0]):
            parts.append(match[0])
        end = match.end()
    parts.append(_without_controls(text[end:], carriage))
    return "".join(parts)


def _without_controls(text: str, carriage: bool) -> str:
    return _SUSPECT.sub(
        lambda match: "\r" if carriage and match[0] == "\r" else _dropped(match[0]), text
    )


def _dropped(character: str) -> str:
    return "" if unicodedata.category(character) == "Cc" else _picture(character)


def _shown(match: re.Match[str]) -> str:
    return _picture(match[0])


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    category = unicodedata.category(character)
    if category in {"Cc", "Cs", "Zl", "Zp"} or (
        category == "Cf" and character not in _FORMATS_KEPT
    ):
        return "\ufffd"
    return character


# ---- output streams ------------------------------------------------------------------------------


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
