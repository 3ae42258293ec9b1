"""Typer's form of a command's parameters.

`app` and the commands with subcommands call `typed`. What must stay true: `plain` reads of a plain
command line what typer reads with these; `tests/cli/test_plain.py` holds the two against each
other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from runslot.cli.kinds import Notation, notation_of


def typed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a signature that typer reads; what is typer's in it stays."""

    def command(**values: Any) -> Any:
        return function(**values)

    signature = inspect.signature(function, eval_str=True)
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {}
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what inspect reads
        parameters=list(map(_typed, signature.parameters.values())),
        return_annotation=inspect.Signature.empty,
    )
    return command


def _typed(parameter: inspect.Parameter) -> inspect.Parameter:
    kind, notation = notation_of(parameter.annotation)
    if notation is None:
        return parameter
    info = _argument(notation) if notation.is_argument else _option(notation)
    return parameter.replace(annotation=Annotated[kind, info])


def _argument(notation: Notation) -> Any:
    return typer.Argument(
        metavar=notation.metavar, help=notation.help, show_default=notation.shows_default
    )


def _option(notation: Notation) -> Any:
    return typer.Option(
        *notation.names,
        metavar=notation.metavar,
        help=notation.help,
        rich_help_panel=notation.panel or None,
        min=notation.least,
        max=notation.most,
        show_default=notation.shows_default,
    )
