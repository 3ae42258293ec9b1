"""`runslot status`: how the runs of an experiment stand."""

from __future__ import annotations

import dataclasses
import gc
import json as jsonlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from runslot.cli.parameters import Directory, flag
from runslot.cli.places import EachAlone, current_status, experiments_at
from runslot.cli.render.console import console, print_line
from runslot.cli.render.row import row_said
from runslot.cli.render.states import state_counts
from runslot.cli.render.table import print_columns
from runslot.cli.render.tails import RunTail
from runslot.cli.render.terminal import shown
from runslot.experiment.processes import is_alive
from runslot.experiment.states import TERMINAL_STYLES
from runslot.experiment.status import ExperimentStatus, RunStatus
from runslot.launch.foreign_host import foreign_said, silence_said
from runslot.launch.printer import duration_said, outcome_said

if TYPE_CHECKING:
    from runslot.engines.protocol import Facts

_CALM = {"queued", "succeeded"}
"""States that are counted, and listed only when every run is asked for."""


def status(
    directory: Directory = None,
    every: Annotated[bool, flag("--all", help="List every run, also those that wait or succeeded.")] = False,
    json: Annotated[bool, flag("--json", help="Print one JSON object, with every run.")] = False,
) -> None:
    """Show how the runs of an experiment stand: what runs, with its last row or line, and what went wrong."""
    gc.disable()  # a short process, which makes a few objects for each of perhaps 100,000 runs
    experiments = experiments_at(directory)
    each_alone = EachAlone(len(experiments) == 1)
    statuses = []
    for experiment in experiments:
        with each_alone.guard():
            statuses.append(current_status(experiment))
    if json:
        typer.echo(status_json(statuses))
    else:
        for number, each in enumerate(statuses):
            if number:
                typer.echo()
            with each_alone.guard():
                print_status(each, every)
    if each_alone.problems:
        raise typer.Exit(1)


def status_json(statuses: Sequence[ExperimentStatus]) -> str:
    """Return all that is known, as one JSON object."""
    return jsonlib.dumps({"experiments": [_experiment(status) for status in statuses]}, indent=1)


def _experiment(status: ExperimentStatus) -> dict[str, Any]:
    return {
        "experiment": status.file.name,
        "directory": str(status.directory.path),
        "launcher": None if status.launcher is None else dataclasses.asdict(status.launcher),
        "slots": status.slots,
        "finished": status.finished,
        "counts": dict(status.counts),
        **({"problems": list(status.problems)} if status.problems else {}),
        **(engine_facts.values if (engine_facts := _facts(status)) else {}),
        "runs": [_run(status, each) for each in status.runs],
    }


def _facts(status: ExperimentStatus) -> Facts | None:
    if status.file.launcher is None:
        return None
    from runslot.engines.registry import facts  # engines are slow to load, and most experiments have none

    return facts(status, shown(status.directory.path))


def _run(status: ExperimentStatus, each: RunStatus) -> dict[str, Any]:
    return {
        "run": each.run.id,
        "directory": str(status.directory.run_dir(each.run, status.file).path),
        "variant": each.run.variant,
        "seed": each.run.seed,
        "state": each.state,
        "attempts": each.attempts,
        "started": each.started,
        "slot": each.slot,
        "outcome": None if each.outcome is None else each.outcome.to_json(),
        **({"problem": each.problem} if each.problem else {}),
        **({} if each.claim is None else {"claim": each.claim, "last_sign": each.sign}),
    }


def print_status(status: ExperimentStatus, every: bool) -> None:
    """Print the experiment in a few lines, and its runs: those that run or went wrong, or every one."""
    terminal = console()
    lines = [Text(f"{status.file.name}  {shown(status.directory.path)}", style="bold"), _counts(status)]
    lines.append(Text(_launcher(status), style="dim"))
    lines += [Text(text, style="yellow") for text in status.waits]
    lines += [Text(text, style="red") for text in status.problems]
    if (engine_facts := _facts(status)) and engine_facts.line:
        lines.append(Text(engine_facts.line, style="dim"))
    for line in lines:
        print_line(terminal, line)
    runs = [each for each in status.runs if every or each.state not in _CALM]
    if runs:
        terminal.print()
        rows = [_row(status, each) for each in runs]
        print_columns(terminal, ("state", "run", "try", "slot", "time", ""), rows, right=("try", "slot", "time"))


def _counts(status: ExperimentStatus) -> Text:
    runs = Text(f"{len(status.runs)} runs")
    counts = [*state_counts(status.counts, status.launcher is not None)]
    return runs + Text(": ") + Text(", ").join(counts) if counts else runs


def _launcher(status: ExperimentStatus) -> str:
    where = shown(status.directory.path)
    if status.launcher is not None:
        slots = f", {status.slots} slots" if status.slots else ""
        paused = f"; paused: runslot continue {where}" if status.paused else ""
        said = f"launcher: process {status.launcher.pid} on {status.launcher.host}{slots}{paused}"
        return said + (silence_said(status) if is_alive(status.launcher) is None else "")
    if status.file.launcher is not None and any(_under_way(each) for each in status.runs):
        name = status.file.launcher.name
        return f"on {name}; runslot resume {where} --wait looks after them, runslot stop {where} ends them"
    if status.counts.get("succeeded", 0) == len(status.runs):
        return f"finished: runslot results {where}"
    missing = len(status.runs) - sum(status.counts.get(s, 0) for s in ("succeeded", "failed", "timed_out"))
    if missing:
        return f"no launcher is at work: runslot resume {where}"
    return f"finished; what failed runs again with: runslot resume {where} --failed"


def _under_way(each: RunStatus) -> bool:
    return each.state == "running" or (each.state == "queued" and each.name is not None)


def _row(status: ExperimentStatus, each: RunStatus) -> list[Text]:
    return [
        Text(each.state, style=TERMINAL_STYLES[each.state]),
        Text(each.run.directory),
        Text(str(each.attempts or "")),
        Text("" if each.slot is None else str(each.slot)),
        Text(_time(each)),
        Text(_said(status, each), style="dim" if each.outcome is None else ""),
    ]


def _time(each: RunStatus) -> str:
    if each.outcome is not None and each.outcome.started is not None and each.outcome.ended is not None:
        return duration_said(each.outcome.ended - each.outcome.started)
    return duration_said(time.time() - each.started) if each.state == "running" and each.started is not None else ""


def _said(status: ExperimentStatus, each: RunStatus) -> str:
    if each.problem:
        return each.problem
    if each.outcome is not None:
        return outcome_said(dataclasses.replace(each.outcome, started=None))
    if each.claim is not None:
        return foreign_said(each)
    if each.state != "running":
        return ""
    return row_said(RunTail.of(status.directory.run_dir(each.run, status.file)).row_or_line())
