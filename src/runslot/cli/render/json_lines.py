"""One JSON object an event, for programs that launch (`--json`); the format is in docs/cli.md."""

from __future__ import annotations

import json
import time
from typing import Any, TextIO

from runslot.engines.events import (
    Asks,
    LaunchEnded,
    LaunchEvent,
    LaunchLeft,
    LaunchStarted,
    RunDropped,
    RunEnded,
    RunsAdded,
    RunStarted,
    RunWaits,
    Said,
    SearchStands,
    StopNoted,
)


class EventLines:
    """Writes each event as a line, flushed."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: LaunchEvent) -> None:
        """Write the event's line."""
        line = json.dumps({"time": round(time.time(), 3), **as_json(event)})
        self._out.write(line + "\n")
        self._out.flush()


def as_json(event: LaunchEvent) -> dict[str, Any]:
    """Return an event as JSON values; `event` says which it is."""
    match event:
        case RunStarted() | RunWaits() | RunEnded() | RunDropped():
            return _of_run(event)
        case RunsAdded():
            values: dict[str, Any] = {"event": "runs_added", "runs": [run.id for run in event.runs]}
        case SearchStands():
            values = {"event": "search", "trials": event.trials, "limit": event.limit}
            values |= {"counts": dict(event.counts), "lines": list(event.lines)}
        case LaunchStarted():
            values = {"event": "launch_started", "experiment": event.experiment}
            values |= {"directory": str(event.directory)}
            values |= {"runs": len(event.runs), "kept": event.kept_count, "slots": len(event.slots)}
            values["slots_said"] = event.slots_said
            values |= {"search": event.search} if event.search else {}
        case StopNoted():
            values = {
                "event": "stop",
                "kill": event.kill,
                "running": event.running,
                "grace": event.grace,
            }
        case Said() | Asks():
            values = {"event": "said" if isinstance(event, Said) else "asks", **event.__dict__}
        case LaunchEnded():
            values = {
                "event": "launch_ended",
                "directory": str(event.directory),
                "counts": event.counts,
            }
        case LaunchLeft():
            values = {"event": "launch_left", "directory": str(event.directory), "runs": event.runs}
    return values


def _of_run(event: RunStarted | RunWaits | RunEnded | RunDropped) -> dict[str, Any]:
    run = {"run": event.run.id, "variant": event.run.variant, "seed": event.run.seed}
    match event:
        case RunStarted():
            word = "run_adopted" if event.adopted else "run_started"
            values: dict[str, Any] = {"attempt": event.attempt, "slot": event.slot}
            return {"event": word, **run, "directory": str(event.directory), **values}
        case RunWaits():
            return {"event": "run_waits", **run, "slot": event.slot, "by": event.by}
        case RunEnded():
            values = {"outcome": event.outcome.to_json(), "retry": event.retry}
            return {"event": "run_ended", **run, "directory": str(event.directory), **values}
        case RunDropped():
            return {"event": "run_dropped", **run, "why": event.reason}
