"""The command line: which commands there are. A command's module is loaded when it is called.

`runslot.__main__` calls `call`. What must stay true: help lists the commands without loading one of
them, and what is loaded for a command is its own file and what that imports.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from runslot.cli.usage import CONTEXT, is_plain_help, refusal, tidy


@dataclass(frozen=True)
class Subcommand:
    """A command: the function that carries it out, or a `typer.Typer` of further ones, and its line
    in the help.
    """

    place: str
    """`MODULE.NAME` below `runslot.cli`."""
    summary: str
    """The first sentences of the function's docstring."""


COMMANDS: Mapping[str, Subcommand] = {
    "run": Subcommand(
        "run_command.run",
        "Run a function or a command once for every variant and seed, in slots of this machine.",
    ),
    "resume": Subcommand(
        "resume.resume",
        "Run what is missing: runs that were not started, were stopped, or were lost with their"
        " machine.",
    ),
    "attach": Subcommand(
        "attach.attach",
        "Look on at an experiment that is under way, from any terminal; Ctrl-C leaves it running.",
    ),
    "status": Subcommand(
        "status.status",
        "Show how the runs of an experiment stand: what runs, with its last row or line, and what"
        " went wrong.",
    ),
    "queue": Subcommand(
        "queue.queue",
        "Show every experiment of yours that runs or waits on this machine, from whatever terminal"
        " it was launched.",
    ),
    "logs": Subcommand(
        "logs.logs", "Print what a run printed (its console.log); with -f go on while it runs."
    ),
    "stop": Subcommand(
        "stop.stop",
        "Stop an experiment, or some of its runs: each is asked to end, and killed when its grace"
        " is over.",
    ),
    "pull": Subcommand(
        "pull.pull",
        "Bring home what rented machines have written: what has changed alone, outcomes after their"
        " data.",
    ),
    "pause": Subcommand(
        "pause.pause",
        "Start nothing further of an experiment that is under way; what runs goes on.",
    ),
    "continue": Subcommand(
        "pause.continue_", "Go on with an experiment that `runslot pause` has paused."
    ),
    "ls": Subcommand(
        "ls.ls",
        "List experiments: when they were launched, what they are, and how their runs stand.",
    ),
    "results": Subcommand(
        "results.results",
        "Compare variants: mean ± 95 % interval of final and best values over seeds, best first.",
    ),
    "view": Subcommand(
        "view.view",
        "Look at runs in a browser: curves over seeds, tables, slots; live while they run.",
    ),
    "plot": Subcommand(
        "plot.plot",
        "Draw a figure in paper size, and print its caption: who counts, and what is drawn.",
    ),
    "export": Subcommand(
        "export.export",
        "Write all runs (`runs`) and all their rows (`progress`) to files for other tools.",
    ),
    "hardware": Subcommand(
        "hardware.hardware",
        "Show this machine's packages, NUMA nodes, cores and GPUs, and the slots that runs would"
        " get.",
    ),
    "schema": Subcommand("schema.schema", "Print the JSON Schema of sweep files, for editors."),
    "selftest": Subcommand(
        "selftest.selftest",
        "Run a few hundred tiny runs while their launchers, keepers and they themselves are killed"
        " at random.",
    ),
    "launchers": Subcommand("launchers.app", "List the configured launchers, or check them."),
    "cloud": Subcommand(
        "cloud.app",
        "List the machines that runslot rented, give them back, or delete what is in the bucket.",
    ),
}


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
    module, _, member = COMMANDS[name].place.rpartition(".")
    made = getattr(importlib.import_module(f"runslot.cli.{module}"), member)
    if not isinstance(made, typer.Typer):
        single = typer.Typer(
            add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
        )
        single.command(name, cls=getattr(made, "command_class", None), context_settings=CONTEXT)(
            made
        )
        made = single
    command = typer.main.get_command(made)
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
