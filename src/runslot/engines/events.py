"""What a launch tells whoever looks on: the live table, `--json`, a notebook. Frozen, one small
record each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from runslot.experiment.records import Outcome, Run
from runslot.hardware.slots import Slot
from runslot.record import record


@record
class LaunchStarted:
    """The first word: what will run, where."""

    experiment: str
    directory: Path
    runs: tuple[Run, ...]
    """Those that will be started, or are adopted."""
    kept_count: int
    """How many are finished from before."""
    slots: tuple[Slot, ...]
    slots_said: str
    """What was chosen, in one line."""
    search: str = ""
    """What is searched for, in words, where further runs are decided by what these show."""


@record
class RunsAdded:
    """Further runs were decided on, by what the others have shown."""

    runs: tuple[Run, ...]


@record
class SearchStands:
    """How a search stands, some time after that has changed."""

    trials: int
    limit: int | None
    """How many trials there may be."""
    counts: Mapping[str, int]
    """Trials by status."""
    lines: tuple[str, ...]
    """The same, the best so far and the rungs in words, as `runslot status` has them."""


@record
class RunStarted:
    """An attempt of a run was started, or adopted from an earlier launcher."""

    run: Run
    directory: Path
    attempt: int
    slot: int | None
    adopted: bool = False


@record
class RunWaits:
    """A run's slot is held by someone else."""

    run: Run
    slot: int | None
    by: str


@record
class RunEnded:
    """An attempt ended; `retry` where another follows."""

    run: Run
    directory: Path
    outcome: Outcome
    retry: bool


@record
class RunDropped:
    """A run will not be started."""

    run: Run
    reason: str


@record
class StopNoted:
    """A stop was asked for; `kill` where grace is over."""

    kill: bool
    running: int
    grace: float
    """Seconds that runs have."""


@record
class Said:
    """Something worth a line."""

    text: str


@record
class Asks:
    """Somebody is asked something at the terminal: nothing may be drawn there until this is
    over.
    """

    text: str
    over: bool = False


@record
class LaunchEnded:
    """The last word."""

    directory: Path
    counts: dict[str, int]


@record
class LaunchLeft:
    """The last word of a launch whose runs go on in an engine's own queue."""

    directory: Path
    runs: int
    """How many wait or run there."""


LaunchEvent = (
    LaunchStarted
    | RunsAdded
    | SearchStands
    | RunStarted
    | RunWaits
    | RunEnded
    | RunDropped
    | StopNoted
    | Said
    | Asks
    | LaunchEnded
    | LaunchLeft
)


class Observer(Protocol):
    """Is told what happens, in the launcher's thread: it must be quick."""

    def __call__(self, event: LaunchEvent) -> None:
        """Take note of the event."""
