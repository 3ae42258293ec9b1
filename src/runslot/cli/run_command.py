"""`runslot run`: run a function, a command or a sweep file over its variants and seeds, in slots of this machine."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from runslot.cli import run_options as options
from runslot.cli.options import JsonLines, Notify, Quiet
from runslot.cli.quick import with_project

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
        ctx.allow_extra_args = True  # to say what they are meant for, where the parser would only count them
        given = list(args)
        try:
            rest = super().parse_args(ctx, args)
        except Exception as error:  # an option that only the command knows? typer does not export its class
            if getattr(error, "option_name", None) and _COMMAND not in ctx.meta:  # no such option, not --help
                from runslot.cli.arguments import refuse_bare_command

                refuse_bare_command(given)
            raise
        if ctx.args and not ctx.resilient_parsing:
            from runslot.cli.arguments import refuse_extra, refuse_spaced_values

            refuse_spaced_values(ctx.params.get("grid") or (), [ctx.params.get("target"), *ctx.args])
            refuse_extra(ctx.params.get("target"), ctx.args, ctx.meta.get(_COMMAND) is not None)
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Show the command in the usage."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND…]"]


def run(
    ctx: typer.Context,
    target: options.Target = None,
    name: options.Name = None,
    root: options.Root = None,
    grid: options.Grid = None,
    zip: options.Zip = None,
    sample: options.Sample = None,
    samples: options.Samples = None,
    where: options.Where = None,
    exclude: options.Exclude = None,
    seeds: options.Seeds = None,
    cpus_per_run: options.Cpus = None,
    gpus_per_run: options.Gpus = None,
    runs_per_gpu: options.RunsPerGpu = None,
    memory_per_run: options.Memory = None,
    threads: options.Threads = None,
    retries: options.Retries = None,
    timeout: options.Timeout = None,
    grace: options.Grace = None,
    resumable: options.Resumable = False,
    start: options.Start = None,
    env: options.Env = None,
    metrics: options.Metrics = None,
    max_failures: options.MaxFailures = None,
    reserved_cpus: options.ReservedCpus = None,
    avoid_busy: options.AvoidBusy = False,
    on: options.On = None,
    container: options.Image = None,
    engine: options.Engine = None,
    python: options.Python = None,
    uv: options.Uv = None,
    conda: options.Conda = None,
    wait: options.Wait = False,
    script_only: options.ScriptOnly = False,
    yes: options.Yes = False,
    max_cost: options.MaxCost = None,
    max_hours: options.MaxHours = None,
    into: options.Into = None,
    strict: options.Strict = False,
    accept_code_change: options.AcceptCodeChange = False,
    snapshot_code: options.SnapshotCode = False,
    code: options.Code = None,
    code_include: options.CodeInclude = None,
    code_exclude: options.CodeExclude = None,
    fetch: options.Fetch = None,
    no_fetch: options.NoFetch = None,
    plain_names: options.PlainNames = False,
    first: options.First = False,
    detach: options.Detach = False,
    notify: Notify = None,
    set_: options.Set = None,
    dry_run: options.DryRun = False,
    json: JsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Run a function or a command once for every variant and seed, in slots of this machine.

    runslot run train.py:train --grid lr=0.1,0.01 --seeds 3

    runslot run --grid lr=0.1,0.01 -- python train.py --lr {lr} --seed {seed} --out {run_dir}

    runslot run sweep.yaml --set grid.lr=[0.1,0.01]
    """
    options_said = dict(locals())  # the options by name
    from runslot.cli.run import run_as_said

    raise typer.Exit(run_as_said(options_said, ctx.meta.get(_COMMAND)))


run.command_class = RunCommand  # type: ignore[attr-defined]  # for `app`, which has typer make a command of it
