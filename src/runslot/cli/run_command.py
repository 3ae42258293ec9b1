"""`runslot run`: run a function, a command or a sweep file over its variants and seeds, in slots of
this machine.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from runslot.cli.parameters import signed
from runslot.cli.run import run_from, with_project

_COMMAND = "runslot.command"


class RunCommand(TyperCommand):
    """Takes all that follows the first `--` for the command to run, options included."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Set the command aside before options are read."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        args = with_project(args)
        ctx.allow_extra_args = (
            True  # to say what they are meant for, where the parser would only count them
        )
        words = list(args)
        try:
            rest = super().parse_args(ctx, args)
        # an option that only the command knows? typer does not export its class
        except Exception as error:
            # no such option, not --help
            if getattr(error, "option_name", None) and _COMMAND not in ctx.meta:
                from runslot.cli.arguments import refuse_bare_command

                refuse_bare_command(words)
            raise
        if ctx.args and not ctx.resilient_parsing:
            from runslot.cli.arguments import refuse_extra, refuse_spaced_values

            refuse_spaced_values(
                ctx.params.get("grid") or (), [ctx.params.get("target"), *ctx.args]
            )
            refuse_extra(ctx.params.get("target"), ctx.args, ctx.meta.get(_COMMAND) is not None)
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Show the command in the usage."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND…]"]


_TARGET = typer.Argument(
    metavar="TARGET",
    help=(
        "file.py:function, package.module:function, a sweep file (.yaml, .json); or a command"
        " after --."
    ),
    show_default=False,
)


@signed(
    "run",
    [
        inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        inspect.Parameter(
            "target",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, _TARGET],
        ),
    ],
)
def run(ctx: typer.Context, **options: Any) -> None:
    """Run a function or a command once for every variant and seed, in slots of this machine.

    runslot run train.py:train --grid lr=0.1,0.01 --seeds 3

    runslot run --grid lr=0.1,0.01 -- python train.py --lr {lr} --seed {seed} --out {run_dir}

    runslot run sweep.yaml --set grid.lr=[0.1,0.01]
    """
    raise typer.Exit(run_from(options, ctx.meta.get(_COMMAND)))


run.command_class = RunCommand  # type: ignore[attr-defined]  # for `app`, which has typer make a command of it
