"""What commands take, for `Annotated`: how each parameter is written on the command line, and what
help says of it. The table of options has those of `run` and what several commands share.

`plain` reads a command line by it, `signature` makes typer's form of it. What must stay true: no
library is loaded here, so that a plain command is quick.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from runslot.cli.kinds import Notation, Option
from runslot.cli.options import option_of, options_of


def argument(metavar: str, help: str, shows_default: bool = False) -> Any:
    """Return an argument: a word without a name."""
    return Notation(help, metavar, is_argument=True, shows_default=shows_default)


def value(
    *names: str,
    metavar: str,
    help: str,
    least: float | None = None,
    most: float | None = None,
    shows_default: bool | str = True,
) -> Any:
    """Return an option with a value."""
    return Notation(help, metavar, names, least=least, most=most, shows_default=shows_default)


def flag(*names: str, help: str, panel: str = "") -> Any:
    """Return an option without a value; help would show `<bool>` for one."""
    return Notation(help, "", names, panel=panel)


def option(name: str, command: str) -> Any:
    """Return an option of the table."""
    return _notation(option_of(name, command))


def _notation(record: Option) -> Notation:
    return Notation(
        record.help,
        record.metavar,
        record.names,
        panel=record.panel,
        least=record.least,
        shows_default=record.default is not None,
    )


def signed(
    command: str, arguments: list[inspect.Parameter]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give the function the parameters `arguments`, and after them the options that the table has
    for `command`.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        parameters = [*arguments, *map(_parameter, options_of(command))]
        function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads
        return function

    return decorate


def _parameter(record: Option) -> inspect.Parameter:
    is_flag = record.type is bool
    kind: Any = types.GenericAlias(list, record.type) if record.several else record.type
    if not is_flag and record.default is None:
        kind |= None
    annotation: Any = Annotated[kind, _notation(record)]
    default = bool(record.default) if is_flag else record.default
    return inspect.Parameter(
        record.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


Directory = Annotated[
    Path | None,
    argument(
        "DIR",
        (
            "An experiment, or a directory that holds some; the newest experiment where it is not"
            " given."
        ),
    ),
]
TakeOver = Annotated[bool, option("take_over", "stop")]
JsonLines = Annotated[bool, option("json", "run")]
Quiet = Annotated[bool, option("quiet", "run")]
PathTemplate = Annotated[str | None, option("path", "results")]
Logs = Annotated[list[str] | None, option("log", "results")]
Conditions = Annotated[list[str] | None, option("where", "results")]
Include = Annotated[list[str] | None, option("include", "results")]
Diverged = Annotated[str, option("diverged", "plot")]
Level = Annotated[float, option("level", "plot")]
Places = Annotated[
    list[Path] | None,
    argument(
        "DIR",
        (
            "Experiments, collections, runs, or directories that hold some; else the newest"
            " experiment."
        ),
    ),
]
"""What is compared or drawn."""
