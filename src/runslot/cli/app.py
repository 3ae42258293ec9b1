"""The command line as typer reads it. A command's module is loaded when it is called.

`runslot.__main__` calls `call` for what `plain` does not read. What must stay true: help lists the
commands without loading one of them, and what is loaded for a command is its own file and what that
imports.

What typer says of the command line, in our form: help without types that say nothing, mistakes
on one line.

`app.call` tidies the commands before it carries one out, and asks for the sentence where one is
refused. typer does not export the classes of its errors, which is why they are told by what they
carry.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from runslot.cli.commands import COMMANDS
from runslot.cli.signature import typed
from runslot.errors import InvalidInput, nearest

_HELP_NAMES = ["-h", "--help"]
CONTEXT = {"help_option_names": _HELP_NAMES}
"""Settings of every command."""


class CommandGroup(TyperGroup):
    """The commands: help shows what the table says of each, and the one that is called is
    loaded.
    """

    def __init__(self, **settings: Any) -> None:
        lines = {
            name: TyperCommand(name, help=command.summary) for name, command in COMMANDS.items()
        }
        super().__init__(**{**settings, "commands": lines})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called, and the rest of its words; its module is loaded
        here.
        """
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load(name), rest

    def invoke(self, ctx: Any) -> Any:
        """End well where the reader of the output has gone; typer would end with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(0) from None


app = typer.Typer(
    cls=CommandGroup,
    name="runslot",
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


def load(name: str) -> Any:
    """Return typer's form of a command, tidied."""
    entry = COMMANDS[name].load()
    if not isinstance(entry, typer.Typer):
        single = typer.Typer(
            add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
        )
        single.command(name, cls=getattr(entry, "command_class", None), context_settings=CONTEXT)(
            typed(entry)
        )
        entry = single
    command = typer.main.get_command(entry)
    command.name = name
    tidy(command)
    return command


def _print_version(value: bool) -> None:
    if value:
        from runslot import __version__

        typer.echo(f"runslot {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Launch many training runs, each in its own slot of hardware, and compare what comes out."""


def call(arguments: Sequence[str]) -> int:
    """Carry out a command line; `RunslotError` where it is refused. Returns the exit status."""
    try:
        commands = typer.main.get_command(app)
        tidy(commands)
        status = commands(args=list(arguments), prog_name="runslot", standalone_mode=False)
    except SystemExit as ended:
        # rich, where the reader of the help has gone
        if isinstance(ended.__context__, BrokenPipeError):
            return 0
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except typer.Abort:  # a question that was left
        typer.echo("Aborted.", err=True)
        return 1
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if is_plain_help(error):
            return _show_help(error)
        raise refusal(error, arguments) from None
    return status if isinstance(status, int) else 0


def _show_help(error: Any) -> int:
    """Show the help that typer raises where nothing was asked for."""
    from typer import rich_utils

    from runslot.cli.render.console import TerminalConsole

    rich_utils.__dict__["Console"] = TerminalConsole  # the class that its boxes are drawn with
    rich_utils.rich_format_error(error)
    return int(error.exit_code)


# ---- help and usage errors -----------------------------------------------------------------------


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
        near = nearest(option, _options_of(context)) if option[:2] == "--" else ""
        sentence = f"there is no option {option}{near}"
        if command == "runslot":
            sentence += "; a command's options go after its name"
        if command == "runslot note":
            sentence += "; a text that begins with a dash goes after --"
    else:
        text = error.format_message().partition(". Did you mean")[0].rstrip(".")
        text = _REFUSED_VALUE.sub(lambda match: _with_value(match, arguments), text)
        sentence = f"{text[:1].lower()}{text[1:]}"
        if context and text.startswith("No such command"):
            word = text.partition("'")[2].rstrip("'")
            if word == "diff":
                return InvalidInput("two runs are compared by `runslot results diff RUN RUN`")
            sentence += nearest(word, context.command.commands)
    return InvalidInput(f"{sentence}; `{command} -h` shows what there is")


_REFUSED_VALUE = re.compile(
    r"(Invalid value for (?P<names>.*?): )Input should be (?P<kind>[^,]*).*"
)


def _with_value(match: re.Match[str], arguments: Sequence[str]) -> str:
    """Return pydantic's sentence of a value with the value."""
    names = re.findall(r"'(-[^']*)'", match["names"])
    words = [*arguments, ""]
    values = [
        word.partition("=")[2] or words[number + 1]
        for number, word in enumerate(arguments)
        if word.partition("=")[0] in names
    ]
    value = f", not {values[-1]!r:.60}" if values else ""
    return f"{match[1]}must be {match['kind']}{value}"


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
