"""What typer says of the command line, in our form: help without types that say nothing, mistakes
on one line.

`app.call` tidies the commands before it carries one out, and asks for the sentence where one is
refused. typer does not export the classes of its errors, which is why they are told by what they
carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from runslot.errors import InvalidInput, nearest

_HELP_NAMES = ["-h", "--help"]
CONTEXT = {"help_option_names": _HELP_NAMES}
"""Settings of every command."""


def tidy(command: Any) -> None:
    """Let help show no `<bool>` beside flags and no `<list[Path]>` beside arguments, whose name
    says what they are.
    """
    context = typer.Context(command, help_option_names=_HELP_NAMES)
    for parameter in [*command.params, command.get_help_option(context)]:
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = _no_type
        elif parameter.is_flag and parameter.metavar is None:
            parameter.metavar = ""
    if command.help:  # typer keeps the line breaks of the source
        command.help = "\n\n".join(
            " ".join(paragraph.split()) for paragraph in command.help.split("\n\n")
        )
    for subcommand in getattr(command, "commands", {}).values():
        tidy(subcommand)


def _no_type(ctx: Any) -> None:
    del ctx


def is_plain_help(error: Any) -> bool:
    """Say whether nothing was asked for, so that help is the answer."""
    return type(error).__name__ == "NoArgsIsHelpError"


def refusal(error: Any, arguments: Sequence[str]) -> InvalidInput:
    """Return what is wrong with a command line, on one line, and where to read on."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else _command_of(arguments)
    option = getattr(error, "option_name", None)
    if option and type(error).__name__ == "NoSuchOption":
        if script := _script_before(option, arguments):
            key = option.lstrip("-")
            return InvalidInput(
                f"{option} is no option of runslot's; a command with its own goes after --, as in "
                f"`runslot run --grid {key}=V,V -- python {script} {option} {{{key}}}`"
            )
        sentence = f"there is no option {option}{nearest(option, _options_of(context))}"
    else:
        text = error.format_message().partition(". Did you mean")[0].rstrip(".")
        sentence = f"{text[:1].lower()}{text[1:]}"
        if context and text.startswith("No such command"):
            word = text.partition("'")[2].rstrip("'")
            if word == "diff":
                return InvalidInput("two runs are compared by `runslot results diff RUN RUN`")
            sentence += nearest(word, context.command.commands)
    return InvalidInput(f"{sentence}; `{command} -h` shows what there is")


def _command_of(arguments: Sequence[str]) -> str:
    """Return the command that was typed, for an error that does not say whose it is: an option
    without its value.
    """
    return (
        f"runslot {arguments[0]}" if arguments and not arguments[0].startswith("-") else "runslot"
    )


def _options_of(context: Any) -> list[str]:
    return [
        name
        for parameter in context.command.get_params(context)
        for name in parameter.opts
        if name[:2] == "--"
    ]


def _script_before(option: str, arguments: Sequence[str]) -> str | None:
    """Return the Python script of `run … script.py … --option`."""
    before = []
    for word in arguments:
        if word == "--" or word.partition("=")[0] == option:
            break
        before.append(word)
    return (
        next((word for word in before if word.endswith(".py")), None)
        if before[:1] == ["run"]
        else None
    )
