"""Typer's form of the table of options: the signature of `run`, and the parameters that several
commands share.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from runslot.cli.kinds import Option
from runslot.cli.options import option_of, options_of


def flag(*names: str, help: str, panel: str | None = None) -> Any:
    """Return an option without a value; help would show `<bool>` for one."""
    return typer.Option(*names, help=help, metavar="", rich_help_panel=panel)


def option(name: str, command: str) -> Any:
    """Return what typer is to know of an option of the table, for `Annotated`."""
    return _typer_option(option_of(name, command))


def _typer_option(record: Option) -> Any:
    return typer.Option(
        *record.names,
        metavar=record.metavar,
        help=record.help,
        rich_help_panel=record.panel or None,
        min=record.least,
        show_default=record.default is not None,
    )


def signed(
    command: str, arguments: list[inspect.Parameter]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Have typer see `arguments`, and after them the options that the table has for `command`."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        parameters = [*arguments, *map(_parameter, options_of(command))]
        function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads
        return function

    return decorate


def _parameter(record: Option) -> inspect.Parameter:
    is_flag = record.type is bool
    value: Any = types.GenericAlias(list, record.type) if record.several else record.type
    if not is_flag and record.default is None:
        value |= None
    annotation: Any = Annotated[value, _typer_option(record)]
    default = bool(record.default) if is_flag else record.default
    return inspect.Parameter(
        record.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


Directory = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR",
        help=(
            "An experiment, or a directory that holds some; the newest experiment where it is not"
            " given."
        ),
        show_default=False,
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
    typer.Argument(
        metavar="DIR",
        help=(
            "Experiments, collections, runs, or directories that hold some; else the newest"
            " experiment."
        ),
        show_default=False,
    ),
]
"""What is compared or drawn."""
