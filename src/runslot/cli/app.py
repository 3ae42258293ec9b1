"""The command line: which commands there are. What each needs is imported when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from runslot.cli import cloud, launchers
from runslot.cli.attach import attach
from runslot.cli.continue_ import continue_
from runslot.cli.hardware import hardware
from runslot.cli.logs import logs
from runslot.cli.ls import ls
from runslot.cli.pause import pause
from runslot.cli.plot import plot
from runslot.cli.pull import pull
from runslot.cli.queue import queue
from runslot.cli.results import export, results
from runslot.cli.resume import resume
from runslot.cli.run import RunCommand, run
from runslot.cli.schema import schema
from runslot.cli.selftest import selftest
from runslot.cli.status import status
from runslot.cli.stop import stop
from runslot.cli.usage import CONTEXT, is_plain_help, refusal, tidy
from runslot.cli.view import view


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """End well where the reader of the output has gone; typer would end with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(0) from None


app = typer.Typer(
    cls=_Commands,
    name="runslot",
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


def _print_version(asked: bool) -> None:
    if asked:
        from runslot import __version__

        typer.echo(f"runslot {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Launch many training runs, each in its own slot of hardware, and compare what comes out."""


app.command(cls=RunCommand)(run)
_COMMANDS = (
    resume,
    attach,
    status,
    queue,
    logs,
    stop,
    pull,
    pause,
    continue_,
    ls,
    results,
    view,
    plot,
    export,
    hardware,
    schema,
    selftest,
)
for command in _COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(launchers.app, name="launchers")
app.add_typer(cloud.app, name="cloud")


def call(arguments: Sequence[str]) -> int:
    """Carry out a command line; `RunslotError` where it is refused. Returns the exit status."""
    try:
        commands = typer.main.get_command(app)
        tidy(commands)
        status = commands(args=list(arguments), prog_name="runslot", standalone_mode=False)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # rich, where the reader of the help has gone
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
