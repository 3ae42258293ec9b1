"""The entry of the `runslot` command and of `python -m runslot`.

What engines call on any machine (`exec`, `work`, `serve`) is read with argparse and needs only the standard library;
everything else is `runslot.cli`.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runslot.errors import NotInstalled, RunslotError

if TYPE_CHECKING:
    from runslot.hardware.slots import Slot


_PLAIN = {
    "work": "runslot.launch.work",
    "serve": "runslot.launch.ssh.agent",
    "task": "runslot.launch.slurm.task",
}
"""Commands for engines, in modules that need the standard library alone; each has a `main(argv)`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return its exit status: 0 well, 1 something failed, 2 refused, 130 Ctrl-C."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    gc.set_threshold(50_000, 20, 20)  # nearly all that a command makes, modules and runs, lives to its end
    try:
        return _carry_out(argv)
    finally:
        _let_go_of_output()


def _let_go_of_output() -> None:
    """Flush the output; where its reader has gone (`| head`), that is no failure of what was done."""
    import os

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _carry_out(argv: list[str]) -> int:
    try:
        if argv[:1] == ["exec"]:
            return execute(argv[1:])
        if argv[:1] and argv[0] in _PLAIN:
            return int(importlib.import_module(_PLAIN[argv[0]]).main(argv[1:]))
        return _call(argv)
    except RunslotError as error:
        print(f"runslot: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has gone, and has seen what it wanted
        return 0
    except KeyboardInterrupt:
        return 130


def _call(argv: list[str]) -> int:
    try:
        from runslot.cli import quick

        status = quick.call(argv)
        if status is not None:
            return status
        from runslot.cli.app import call
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "runslot.cli"}:
            raise
        plain = ", ".join(["exec", *_PLAIN])
        raise NotInstalled(f"this is runslot's single file, which has the commands {plain}") from None
    return call(argv)


def execute(argv: Sequence[str]) -> int:
    """Execute one run in the foreground: `runslot exec RUN_DIR [--attempt N] [--slot JSON]`.

    Returns 0 only where the run succeeded, else its exit code, or 1 where it has none. An attempt that has ended
    before is not executed again.
    """
    import os

    from runslot.execute.keeper import keep
    from runslot.experiment.rundir import RunDir

    asked = _exec_parser().parse_args(argv)
    run_dir = RunDir(os.path.abspath(asked.run_dir))  # noqa: PTH100  as the user sees it, links not followed
    run_dir.read_run()
    if asked.inside is not None:
        from runslot.execute.inside import keep_inside

        keep_inside(run_dir, asked.slot, asked.attempt, asked.inside)
        return 0  # how the run ended is written
    outcome = keep(run_dir, asked.slot, asked.attempt, dict(os.environ))
    if outcome.kind == "succeeded":
        return 0
    print(f"runslot: {run_dir.path} {outcome.kind}: {outcome.message}", file=sys.stderr)
    return outcome.exit_code or 1


def _exec_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runslot exec", description="Execute the run of a run directory, here.")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="a directory with a run.json")
    parser.add_argument("--attempt", type=int, default=1, metavar="N", help="which attempt this is; else the first")
    parser.add_argument("--slot", type=_slot, metavar="JSON", help="the share of this machine that the run gets")
    # Of the keeper outside a container: what of its import path is there, as JSON.
    parser.add_argument("--inside", type=json.loads, metavar="JSON", help=argparse.SUPPRESS)
    return parser


def _slot(text: str) -> Slot:
    from runslot.hardware.slots import Slot

    try:
        return Slot.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"not a slot, as `Slot.to_json` gives it ({error!r})") from error


if __name__ == "__main__":
    sys.exit(main())
