"""`runslot queue`: what this user has under way on this machine, what it waits for, and how long it
may take.
"""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Sequence
from typing import Annotated, Any

from rich.text import Text

from runslot.cli.parameters import flag
from runslot.cli.render.console import console, print_line
from runslot.cli.render.live_table import clock
from runslot.cli.render.table import state_counts
from runslot.experiment.launchers import launched_here
from runslot.experiment.status import ExperimentStatus, RunStatus, time_left
from runslot.terminal_text import echo, shown

_SHOWN = 8
"""Runs under way that are named."""


def queue(
    json: Annotated[bool, flag("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show every experiment of yours that runs or waits on this machine, from whatever terminal it
    was launched.

    For each: its runs, those under way, whom it waits for, and about how long it will take.
    """
    problems: list[str] = []
    statuses = launched_here(problems)
    if json:
        echo(queue_json(statuses))
    else:
        print_queue(statuses)
    for problem in problems:
        echo(f"runslot: {problem}", err=True)


def seconds_left(status: ExperimentStatus, now: float) -> float | None:
    """Return about how long the experiment takes yet; None while no run has succeeded, or while it
    is paused.
    """
    if status.paused or status.launcher is None:
        return None
    outcomes = [
        run.outcome
        for run in status.runs
        if run.outcome is not None and run.outcome.kind == "succeeded"
    ]
    durations = [
        o.ended - o.started for o in outcomes if o.started is not None and o.ended is not None
    ]
    elapsed = [now - run.started for run in _running(status) if run.started is not None]
    return time_left(durations, elapsed, status.counts.get("queued", 0), status.slots or 0)


def queue_json(statuses: Sequence[ExperimentStatus]) -> str:
    """Return the queue as one JSON object."""
    return jsonlib.dumps(
        {"experiments": [_described(status, time.time()) for status in statuses]}, indent=1
    )


def print_queue(statuses: Sequence[ExperimentStatus]) -> None:
    """Print the queue, oldest launch first."""
    terminal = console()
    if not statuses:
        terminal.print("nothing of yours runs or waits on this machine")
    for number, status in enumerate(statuses):
        if number:
            terminal.print()
        for line in _lines(status, time.time()):
            print_line(terminal, line)


def _described(status: ExperimentStatus, now: float) -> dict[str, Any]:
    remaining = seconds_left(status, now)
    return {
        "experiment": status.file.name,
        "directory": str(status.directory.path),
        "launcher": None if status.launcher is None else status.launcher.pid,
        "slots": status.slots,
        "paused": status.paused,
        "counts": dict(status.counts),
        "running": [
            {
                "run": run.run.id,
                "directory": run.run.directory,
                "slot": run.slot,
                "started": run.started,
            }
            for run in _running(status)
        ],
        "waits_for": list(status.waits),
        "seconds_left": None if remaining is None else round(remaining, 1),
    }


def _lines(status: ExperimentStatus, now: float) -> list[Text]:
    lines = [Text.assemble((status.file.name, "bold"), "  ", (shown(status.directory.path), "dim"))]
    parts = [*state_counts(status.counts, at_work=True)]
    remaining = seconds_left(status, now)
    if remaining is not None:
        parts.append(Text(f"about {clock(remaining)} left", style="cyan"))
    lines.append(Text("  ") + Text(", ").join(parts))
    if status.launcher is None:
        lines.append(
            Text(
                f"  no launcher is at work: runslot resume {shown(status.directory.path)}",
                style="yellow",
            )
        )
    if status.paused:
        lines.append(
            Text(f"  paused: runslot continue {shown(status.directory.path)}", style="yellow")
        )
    lines += [Text(f"  {text}", style="yellow") for text in status.waits]
    running = _running(status)
    for run in running[:_SHOWN]:
        slot = "" if run.slot is None else f"slot {run.slot}  "
        age = "" if run.started is None else clock(now - run.started)
        lines.append(Text(f"  {slot}{age}  {run.run.directory}", style="dim"))
    if len(running) > _SHOWN:
        lines.append(Text(f"  and {len(running) - _SHOWN} more", style="dim"))
    return lines


def _running(status: ExperimentStatus) -> list[RunStatus]:
    return [run for run in status.runs if run.state == "running"]
