"""What a logger prints: the table of a row, one line for a row, and the rows of a run as one
growing table.

Pure but for `write`, which never raises: a closed or full console must not end a training.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence

from runslot.errors import InvalidInput, nearest
from runslot.logger.cells import Plain, cell

COLORS = ("gray", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "crimson")
"""The colours of rlpyt's `log(…, color=…)`; code 30 and up."""

MODES = ("table", "line", "quiet", "silent")
"""What is printed: a table a row, a line a row, no rows but what is logged in words, or nothing."""

_CLEAR = "\x1b[2J\x1b[H"


def colored(text: str, color: str) -> str:
    """Return text in bold and `color`, for a terminal."""
    if color not in COLORS:
        raise InvalidInput(
            f"log: no colour {color!r}{nearest(color, COLORS)}; known: {', '.join(COLORS)}"
        )
    return f"\x1b[{30 + COLORS.index(color)};1m{text}\x1b[0m"


def shown(value: Plain) -> str:
    """Return a value as people read it: six digits of a fraction, all of an integer."""
    if type(value) is float:
        return f"{value:g}"
    return value if isinstance(value, str) else cell(value)


def table(row: Mapping[str, Plain]) -> list[str]:
    """Return the lines of the table that the ancestors print: keys left, numbers aligned at the
    point.
    """
    texts = {key: shown(value).replace("\n", " ") for key, value in row.items()}
    parts = {key: text.partition(".") for key, text in texts.items() if type(row[key]) is not str}
    width = max((len(whole) for whole, _, _ in parts.values()), default=0)
    for key, (whole, point, fraction) in parts.items():
        texts[key] = f"{whole:>{width}}{point}{fraction}"
    keys = max(map(len, texts))
    rule = f"{'-' * keys}  {'-' * max(map(len, texts.values()))}"
    return [rule, *[f"{key:<{keys}}  {text}" for key, text in texts.items()], rule]


def one_line(row: Mapping[str, Plain], iteration: int) -> str:
    """Return the row on one line."""
    return f"itr {iteration}  " + "  ".join(f"{key}={shown(value)}" for key, value in row.items())


class GrowingTable:
    """The rows so far under one header, redrawn on a terminal, a line a row elsewhere
    (`log_tabular_only`).
    """

    def __init__(self) -> None:
        self._rows: list[list[str]] = []
        self._keys: Sequence[str] = ()

    def add(self, row: Mapping[str, Plain], terminal: bool) -> str:
        """Return what to print for one more row."""
        keys = list(row)
        begins = keys != self._keys
        if begins:
            self._keys, self._rows = keys, []
        self._rows.append([shown(value) for value in row.values()])
        if terminal:
            self._rows = self._rows[-max(shutil.get_terminal_size().lines - 3, 1) :]
            return _CLEAR + "\n".join(_columns([keys, *self._rows])) + "\n"
        self._rows = self._rows[-1:]
        widths = [max(len(key), 12) for key in keys]
        lines = [keys, self._rows[-1]] if begins else self._rows[-1:]
        return "".join(_padded(line, widths) + "\n" for line in lines)


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [_padded(line, widths) for line in lines]


def _padded(texts: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))


def write(text: str) -> OSError | ValueError | None:
    """Print text as it is, and return the error where there is no console to take it."""
    stream = sys.stdout
    if stream is None:
        return None
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except (OSError, ValueError) as error:
        return error
    return None


def is_terminal() -> bool:
    """Tell whether standard output is a terminal."""
    try:
        return sys.stdout is not None and sys.stdout.isatty()
    except ValueError:
        return False
