"""What is said when a launch has ended: who failed and how to run those again, the results, and
where they are.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from runslot.cli.render.first_run import has_written
from runslot.cli.render.tails import last_lines
from runslot.cli.render.terminal import shown
from runslot.execute.import_failure import missing_module
from runslot.execute.placement import activated
from runslot.experiment.records import Command, ExperimentFile, Outcome, Run
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.states import FAILED
from runslot.launch.printer import outcome_said

if TYPE_CHECKING:
    from runslot.launch.launch import Outcomes

_NAMED = 20
"""Failed runs that are named; `runslot status` names the rest."""
_SHOWN = 3
"""Failed runs whose console is shown."""
_LINES = 8


def tell_end(outcomes: Outcomes, directory: ExperimentDir, *, quiet: bool, consoles: bool) -> None:
    """Print the summary; with `quiet` the directory alone, and what failed to the error output.

    `consoles`: with the last lines of what the first failed runs printed.
    """
    out = sys.stderr if quiet else sys.stdout
    if outcomes.failed or outcomes.not_started:
        _tell_what_is_not_well(outcomes, directory, consoles, out)
    elif not quiet:
        print(f"all {len(outcomes)} runs succeeded" if len(outcomes) > 1 else "the run succeeded")
    if quiet:
        print(directory.path)
    elif not any(outcome.kind == "succeeded" for outcome in outcomes) or not _print_results(
        directory
    ):
        print(f"what the runs wrote is in {shown(directory.place)}")


def tell_left(outcomes: Outcomes, quiet: bool) -> None:
    """Say how to look after runs that were handed to an engine with a queue of its own."""
    if not quiet:
        where = shown(outcomes.directory)
        launcher = ExperimentDir(outcomes.directory).read().launcher
        written = launcher is not None and launcher.settings.get("script_only")
        state = (
            "are written, and wait to be submitted" if written else "go on without this terminal"
        )
        print(f"{outcomes.left} runs {state}:")
        print(f"  runslot status {where}           how they stand")
        print(f"  runslot resume {where} --wait    wait for them, and run again what was lost")
        print(f"  runslot stop {where}             end them")
    print(outcomes.directory)


def _tell_what_is_not_well(
    outcomes: Outcomes, directory: ExperimentDir, consoles: bool, out: TextIO
) -> None:
    counts = Counter(outcome.kind for outcome in outcomes)
    parts = [f"{count} {kind}" for kind, count in counts.items()]
    parts += [f"{len(outcomes.not_started)} not started"] if outcomes.not_started else []
    print(f"\n{', '.join(parts)}", file=out)
    # A stop is what the user asked for: it is counted, and not named run by run.
    failed = [(run, outcome) for run, outcome in outcomes.failed if outcome.kind != "stopped"]
    _name(failed, directory, _SHOWN if consoles else 0, out)
    where = shown(directory.path)
    missing = bool(outcomes.not_started) or counts["stopped"] + counts["lost"] > 0
    if missing:
        print(f"to run what is missing:  runslot resume {where}", file=out)
    if any(counts[state] for state in FAILED):
        runs = "these again, too" if missing else "just these again"
        print(f"to run {runs}:  runslot resume {where} --failed", file=out)
    print(file=out)


def _name(
    failed: list[tuple[Run, Outcome]], directory: ExperimentDir, consoles: int, out: TextIO
) -> None:
    file = directory.read()
    for number, (run, outcome) in enumerate(failed[:_NAMED]):
        message = outcome_said(outcome)
        print(f"  {outcome.kind} {run.directory}" + (f"  {message}" if message else ""), file=out)
        if number < consoles:
            for line in last_lines(directory.run_dir(run, file).console, _LINES):
                print(f"    │ {line}", file=out)
    if len(failed) > _NAMED:
        print(
            f"  and {len(failed) - _NAMED} more: runslot status {shown(directory.path)}", file=out
        )
    if file.container is None and file.launcher is None:
        advice = (missing_module(outcome.message, _python_of(file)) for _, outcome in failed)
        for line in dict.fromkeys(filter(None, advice)):
            print(f"  {line}", file=out)


def _python_of(file: ExperimentFile) -> str:
    """Return which Python, or which program, the runs start."""
    if not isinstance(file.work, Command):
        return file.python
    program = file.work.argv[0]
    return (
        shutil.which(program, path=activated(os.environ, file.interpreter).get("PATH")) or program
    )


def _print_results(directory: ExperimentDir) -> bool:
    """Print the table of results where the runs have logged or printed numbers; it says where they
    are.
    """
    file = directory.read()
    if not any(has_written(directory.run_dir(run, file)) for run in directory.read_runs()):
        return False  # before anything is loaded that reads tables
    from runslot.cli.render.console import console
    from runslot.results.read.reader import load
    from runslot.results.text.table import print_table

    results = load(directory.path)
    if not results.metrics:
        return False
    print_table(results, console())
    return True
