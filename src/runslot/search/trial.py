"""A trial of a search and its runs, as far as the study is concerned; and values as JSON has them.

Made and changed by `study` alone; `searcher` and `report` look at them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runslot.experiment.records import Run
from runslot.record import record

RunState = Literal["waiting", "running", "paused", "pruned", "succeeded", "failed", "stopped"]
Rows = Sequence[tuple[float, float]]
"""Step and value, in the order of the steps."""
Event = dict[str, Any]

Status = Literal["running", "complete", "pruned", "failed"]


STATES: Mapping[str, RunState] = {
    "succeeded": "succeeded",
    "pruned": "pruned",
    "paused": "paused",
    "stopped": "stopped",
    "lost": "stopped",
}
"""By kind of outcome; others have failed."""


@dataclass(eq=False)
class TrialRun:
    """One run of a trial, as far as the study is concerned."""

    run: Run
    trial: int
    column: int
    state: RunState = "waiting"
    rows: Rows = ()
    value: float | None = None
    """What the run is worth; given when it has ended."""
    halted: Literal["", "pause", "prune"] = ""
    """What was decided at a rung, while the run has not ended for it."""
    rung: int = -1
    """The last rung at which it was judged."""
    is_test: bool = False

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id


@dataclass(eq=False)
class Trial:
    """One setting that was asked for."""

    number: int
    params: Mapping[str, Any]
    runs: dict[int, TrialRun] = field(default_factory=dict)
    """By column."""
    tests: dict[int, TrialRun] = field(default_factory=dict)
    """By column of the test seeds."""


@record
class Move:
    """A decision, and the run that starts by it, if one does."""

    event: Event
    run: TrialRun | None = None


def text_of(value: float | None) -> float | str | None:
    """Return a value as JSON has it, which knows no nan and no infinity."""
    return value if value is None or math.isfinite(value) else repr(value)


def number_of(value: float | str | None) -> float | None:
    """Return a value that `text_of` wrote."""
    return None if value is None else float(value)
