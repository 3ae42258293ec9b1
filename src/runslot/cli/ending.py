"""What is said when a launch has ended: who failed and how to run those again, the results, and where they are."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TextIO

from runslot.cli.tails import last_lines
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.launching import Outcomes
from runslot.launch.printing import outcome_said

_NAMED = 20
"""Failed runs that are named; `runslot status` names the rest."""
_SHOWN = 3
"""Failed runs whose console is shown."""
_LINES = 8


def tell_end(outcomes: Outcomes, directory: ExperimentDir, quiet: bool) -> None:
    """Print the summary; with `quiet` the directory alone, and what failed to the error output."""
    out = sys.stderr if quiet else sys.stdout
    if outcomes.failed or outcomes.not_started:
        _tell_failed(outcomes, directory, out)
    elif not quiet:
        print(f"all {len(outcomes)} runs succeeded" if len(outcomes) > 1 else "the run succeeded")
    if quiet:
        print(directory.path)
        return
    _print_results(directory)
    print(f"results are in {shown(directory.path)}")


def shown(path: Path) -> str:
    """Return a path as a word of a command line: relative where it lies below the working directory."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _tell_failed(outcomes: Outcomes, directory: ExperimentDir, out: TextIO) -> None:
    file = directory.read()
    counts = Counter(outcome.kind for outcome in outcomes)
    said = [f"{count} {kind}" for kind, count in counts.items()]
    said += [f"{len(outcomes.not_started)} not started"] if outcomes.not_started else []
    print(f"\n{', '.join(said)}", file=out)
    # A stop is what the user asked for; it is counted, and not named run by run.
    failed = [(run, outcome) for run, outcome in outcomes.failed if outcome.kind != "stopped"]
    for number, (run, outcome) in enumerate(failed[:_NAMED]):
        print(f"  {run.directory}  {failure_said(outcome)}", file=out)
        if number < _SHOWN:
            for line in last_lines(directory.run_dir(run, file).console, _LINES):
                print(f"      {line}", file=out)
    if len(failed) > _NAMED:
        print(f"  and {len(failed) - _NAMED} more: runslot status {shown(directory.path)}", file=out)
    _tell_commands(outcomes, failed, directory, out)


def _tell_commands(
    outcomes: Outcomes, failed: list[tuple[Run, Outcome]], directory: ExperimentDir, out: TextIO
) -> None:
    where = shown(directory.path)
    lost = any(outcome.kind in {"stopped", "lost"} for _, outcome in outcomes.failed)
    again = any(outcome.kind in {"failed", "timed_out"} for _, outcome in failed)
    if lost or outcomes.not_started:
        print(f"to run what is missing:      runslot resume {where}", file=out)
    if again:
        more = ", and what failed" if lost or outcomes.not_started else " again"
        what = f"{more}:" if more.startswith(",") else " just those that failed again:"
        print(f"to run{what:<22} runslot resume {where} --failed", file=out)
    print(file=out)


def failure_said(outcome: Outcome) -> str:
    """Return how an attempt ended, in a few words."""
    said = outcome_said(outcome)
    return f"{outcome.kind}: {said}" if said else outcome.kind


def _print_results(directory: ExperimentDir) -> None:
    """Print the table of results, where the runs have logged some."""
    from rich.console import Console

    from runslot.results.reader import load
    from runslot.results.table import print_table

    results = load(directory.path)
    if results.metrics:
        print_table(results, Console())
