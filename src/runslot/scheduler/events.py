"""What the one decision is told, and what it says is to be done.

Made by the supervisor and by a launch's progress; `decision.step` takes events in and returns
actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from runslot.experiment.records import Outcome, Policy
from runslot.record import record

Key = int
SlotIndex = int

# ---- what happened -------------------------------------------------------------------------------


@record
class Added:
    """Further runs are to be done, in this order."""

    keys: tuple[Key, ...]
    policy: Policy = field(default_factory=Policy)
    attempts: Mapping[Key, int] = field(default_factory=dict)
    """The number of the next attempt of a run that has had some; 1 where it is not given."""


@record
class Adopted:
    """A run of an earlier launcher still runs; it occupies the slots that overlap with its own."""

    key: Key
    attempt: int
    occupies: tuple[SlotIndex, ...]
    policy: Policy = field(default_factory=Policy)


@record
class Ended:
    """An attempt ended."""

    key: Key
    outcome: Outcome


@record
class Vanished:
    """An adopted run was lost with its machine; it is done again here, as a resume would."""

    key: Key
    outcome: Outcome


@record
class GivenUp:
    """None of these runs is started any more: none can be."""

    keys: tuple[Key, ...]
    reason: str


@record
class SlotTaken:
    """A start found its slot held by someone else's run; both wait."""

    key: Key
    retry_after: float
    """Seconds."""


@record
class SlotLeft:
    """A run has ended where it was, and its slot is free, though its files have yet to come."""

    key: Key


@record
class SlotsJoined:
    """There are further slots, as of a host that has been reached only now."""

    slots: tuple[SlotIndex, ...]


@record
class StopAsked:
    """The user asks these runs, or all, to stop; asked again, with `kill`, without grace."""

    keys: tuple[Key, ...] | None = None
    kill: bool = False


@record
class Paused:
    """Start none of these runs (or none of them again) until told otherwise; those under way go
    on.
    """

    keys: tuple[Key, ...]
    paused: bool


@record
class Halted:
    """What these runs have shown is enough: each is to end; a search prunes or pauses it."""

    keys: tuple[Key, ...]


@record
class Recarved:
    """Other slots take the place of those that were there; a run under way occupies those that
    overlap with its own, until it ends.
    """

    slots: tuple[SlotIndex, ...]
    occupied: Mapping[Key, tuple[SlotIndex, ...]]


Event = (
    Added
    | Adopted
    | Ended
    | Vanished
    | SlotTaken
    | SlotLeft
    | SlotsJoined
    | GivenUp
    | StopAsked
    | Paused
    | Halted
    | Recarved
)

# ---- what to do ----------------------------------------------------------------------------------


@record
class Start:
    """Start attempt `attempt` of run `key` in `slot` (None: the engine decides where)."""

    key: Key
    attempt: int
    slot: SlotIndex | None


@record
class Stop:
    """Ask run `key`, which runs, to stop, or kill it."""

    key: Key
    kill: bool
    by_user: bool = True
    """By the user, who is told; not by what the run has shown."""


@record
class Drop:
    """Run `key` will not be started, or not again."""

    key: Key
    reason: str


Action = Start | Stop | Drop
