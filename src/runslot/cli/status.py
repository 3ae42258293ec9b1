"""`runslot status`: how the runs of an experiment stand."""

from __future__ import annotations

import dataclasses
import gc
import json as jsonlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from rich.text import Text

from runslot.cli.parameters import Directory, flag
from runslot.cli.places import Isolation, current_status, experiments_at
from runslot.cli.render.console import console, print_line
from runslot.cli.render.table import print_columns, row_text, state_counts
from runslot.cli.render.tails import RunTail
from runslot.errors import RunslotError
from runslot.experiment.processes import is_alive
from runslot.experiment.states import FAILED, TERMINAL_STYLES, WELL
from runslot.experiment.status import ExperimentStatus, RunStatus
from runslot.launch.foreign_host import foreign_said, silence_said
from runslot.launch.printer import duration_said, outcome_said
from runslot.terminal_text import echo, shown

if TYPE_CHECKING:
    from runslot.engines.protocol import Facts
    from runslot.search.report import SearchReport

_CALM = {"queued"} | WELL
"""States that are counted, and listed only when every run is asked for."""


def status(
    directory: Directory = None,
    every: Annotated[
        bool, flag("--all", help="List every run, also those that wait or succeeded.")
    ] = False,
    json: Annotated[bool, flag("--json", help="Print one JSON object, with every run.")] = False,
) -> None:
    """Show how the runs of an experiment stand: what runs, with its last row or line, and what went
    wrong.
    """
    gc.disable()  # a short process, which makes a few objects for each of perhaps 100,000 runs
    experiments = experiments_at(directory)
    isolation = Isolation(len(experiments) == 1)
    statuses = []
    for experiment in experiments:
        with isolation.guard():
            statuses.append(current_status(experiment))
    if json:
        echo(status_json(statuses))
    else:
        for number, standing in enumerate(statuses):
            if number:
                echo()
            with isolation.guard():
                print_status(standing, every)
    if isolation.problems:
        raise SystemExit(1)


def status_json(statuses: Sequence[ExperimentStatus]) -> str:
    """Return all that is known, as one JSON object."""
    return jsonlib.dumps({"experiments": [_experiment(status) for status in statuses]}, indent=1)


def _experiment(status: ExperimentStatus) -> dict[str, Any]:
    report, problem = _report(status)
    problems = [*status.problems, *filter(None, [problem])]
    return {
        "experiment": status.file.name,
        "directory": str(status.directory.path),
        "launcher": None if status.launcher is None else dataclasses.asdict(status.launcher),
        "slots": status.slots,
        "finished": status.finished,
        "counts": dict(status.counts),
        **({"problems": problems} if problems else {}),
        **(engine_facts.values if (engine_facts := _facts(status)) else {}),
        **({} if report is None else {"search": report.to_json()}),
        "runs": [_run(status, run) for run in status.runs],
    }


def _report(status: ExperimentStatus) -> tuple[SearchReport | None, str]:
    """Return how a search stands, None where the experiment is none; or why that cannot be told, as
    where the function of its space is gone.
    """
    if status.file.search is None:
        return None, ""
    from runslot.search.report import read_report  # few experiments search

    try:
        return read_report(status), ""
    except RunslotError as error:
        return None, f"how the search stands cannot be told: {error}"


def _facts(status: ExperimentStatus) -> Facts | None:
    if status.file.launcher is None:
        return None
    from runslot.engines.registry import (
        facts,
    )  # engines are slow to load, and most experiments have none

    return facts(status, shown(status.directory.path))


def _run(status: ExperimentStatus, run: RunStatus) -> dict[str, Any]:
    return {
        "run": run.run.id,
        "directory": str(status.directory.run_dir(run.run, status.file).path),
        "variant": run.run.variant,
        "seed": run.run.seed,
        "state": run.state,
        "attempts": run.attempts,
        "started": run.started,
        "slot": run.slot,
        "outcome": None if run.outcome is None else run.outcome.to_json(),
        **({"problem": run.problem} if run.problem else {}),
        **({"waits_for": run.waits_for} if run.waits_for else {}),
        **({} if run.claim is None else {"claim": run.claim, "last_sign": run.sign}),
    }


def print_status(status: ExperimentStatus, every: bool) -> None:
    """Print the experiment in a few lines, and its runs: those that run or went wrong, or every
    one.
    """
    terminal = console()
    report, problem = _report(status)
    lines = [
        Text(f"{status.file.name}  {shown(status.directory.path)}", style="bold"),
        _counts(status),
    ]
    lines.append(Text(_launcher(status, report), style="dim"))
    lines += [Text(text, style="yellow") for text in status.waits]
    lines += [Text(text, style="red") for text in (*status.problems, problem) if text]
    if (engine_facts := _facts(status)) and engine_facts.line:
        lines.append(Text(engine_facts.line, style="dim"))
    for line in lines:
        print_line(terminal, line)
    for text in [] if report is None else report.lines():
        print_line(terminal, Text(text))
    runs = [run for run in status.runs if every or run.state not in _CALM or run.is_held]
    if runs:
        terminal.print()
        rows = [_row(status, run) for run in runs]
        print_columns(
            terminal,
            ("state", "run", "try", "slot", "time", ""),
            rows,
            right=("try", "slot", "time"),
        )


def _counts(status: ExperimentStatus) -> Text:
    runs = Text(f"{len(status.runs)} runs")
    counts = [*state_counts(status.counts, status.launcher is not None)]
    return runs + Text(": ") + Text(", ").join(counts) if counts else runs


def _launcher(status: ExperimentStatus, report: SearchReport | None) -> str:
    where = shown(status.directory.path)
    if status.launcher is not None:
        slots = f", {status.slots} slots" if status.slots else ""
        paused = f"; paused: runslot continue {where}" if status.paused else ""
        sentence = (
            f"launcher: process {status.launcher.pid} on {status.launcher.host}{slots}{paused}"
        )
        return sentence + (silence_said(status) if is_alive(status.launcher) is None else "")
    if status.file.launcher is not None and any(_under_way(run) for run in status.runs):
        name = status.file.launcher.name
        return (
            f"on {name}; runslot resume {where} --wait looks after them, runslot stop {where} ends"
            " them"
        )
    ended = sum(status.counts.get(state, 0) for state in WELL)
    is_over = report is None or report.is_over
    if ended == len(status.runs) and is_over:
        return f"finished: runslot results {where}"
    missing = len(status.runs) - ended - sum(status.counts.get(state, 0) for state in FAILED)
    missing += not is_over
    if missing:
        return f"no launcher is at work: runslot resume {where}"
    return f"finished; what failed runs again with: runslot resume {where} --failed"


def _under_way(run: RunStatus) -> bool:
    return run.state == "running" or (run.state == "queued" and run.name is not None)


def _row(status: ExperimentStatus, run: RunStatus) -> list[Text]:
    return [
        Text(run.state, style=TERMINAL_STYLES[run.state]),
        Text(run.run.directory),
        Text(str(run.attempts or "")),
        Text("" if run.slot is None else str(run.slot)),
        Text(_time(run)),
        Text(_said(status, run), style="dim" if run.outcome is None else ""),
    ]


def _time(run: RunStatus) -> str:
    if (
        run.outcome is not None
        and run.outcome.started is not None
        and run.outcome.ended is not None
    ):
        return duration_said(run.outcome.ended - run.outcome.started)
    return (
        duration_said(time.time() - run.started)
        if run.state == "running" and run.started is not None
        else ""
    )


def _said(status: ExperimentStatus, run: RunStatus) -> str:
    if run.problem:
        return run.problem
    if run.outcome is not None:
        return outcome_said(dataclasses.replace(run.outcome, started=None))
    if run.claim is not None:
        return foreign_said(run)
    if run.state != "running":
        return run.waits_for
    return row_text(RunTail.of(status.directory.run_dir(run.run, status.file)).row_or_line())
