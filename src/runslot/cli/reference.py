"""The tables of options in docs/cli.md, from the table of options: `python -m runslot.cli.reference
docs/cli.md`.

A test holds the page equal to what this writes. What must stay true: all else on the page stays as
it is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from runslot.cli.kinds import Option
from runslot.cli.options import options_of

_MARKED = re.compile(
    r"(<!-- options of (?P<command>\w+): [^\n]*-->\n).*?(<!-- end of options -->\n)", re.DOTALL
)


def with_tables(page: str) -> str:
    """Return a page whose marked places have the tables of options."""
    return _MARKED.sub(
        lambda match: f"{match[1]}\n{option_tables(match['command'])}\n{match[3]}", page
    )


def option_tables(command: str) -> str:
    """Return the options of a command, a table for each part of its help."""
    options = options_of(command)
    panels = sorted(
        dict.fromkeys(option.panel for option in options), key=bool
    )  # what is in none goes first
    return "\n".join(
        _table(panel, [option for option in options if option.panel == panel]) for panel in panels
    )


def _table(panel: str, options: list[Option]) -> str:
    title = f"**{panel}**\n\n" if panel else ""
    keyed = any(option.word for option in options)
    heading = (
        "| option | what it says | key |\n|---|---|---|\n"
        if keyed
        else "| option | what it says |\n|---|---|\n"
    )
    return title + heading + "".join(_row(option, keyed) for option in options)


def _row(option: Option, keyed: bool) -> str:
    joint = "" if option.metavar.startswith("[") else " "
    value = joint + option.metavar if option.metavar else ""
    names = ", ".join(f"`{name}{value}`" for name in option.names)
    key = f" {f'`{option.word.key}`' if option.word else ''} |" if keyed else ""
    return f"| {names} | {option.help} |{key}\n".replace("N|LIST", "N\\|LIST")


def main(path: Path) -> None:
    """Write the tables of a page anew."""
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
