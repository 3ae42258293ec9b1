"""What the one decision is told, and what it says is to be done.

Made by the supervisor and by a launch's progress; `decision.step` takes events in and returns
actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runslot.experiment.records import Outcome, Policy

Key = int
SlotIndex = int

# ---- what happened -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """Further runs are to be done, in this order."""

    keys: tuple[Key, ...]
    policy: Policy = field(default_factory=Policy)
    attempts: Mapping[Key, int] = field(default_factory=dict)
    """The number of the next attempt of a run that has had some; 1 where it is not given."""


@dataclass(frozen=True)
class Adopted:
    """A run of an earlier launcher still runs; it occupies the slots that overlap with its own."""

    key: Key
    attempt: int
    occupies: tuple[SlotIndex, ...]
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True)
class Ended:
    """An attempt ended."""

    key: Key
    outcome: Outcome


@dataclass(frozen=True)
class Vanished:
    """An adopted run was lost with its machine; it is done again here, as a resume would."""

    key: Key
    outcome: Outcome


@dataclass(frozen=True)
class GivenUp:
    """None of these runs is started any more: none can be."""

    keys: tuple[Key, ...]
    reason: str


@dataclass(frozen=True)
class SlotTaken:
    """A start found its slot held by someone else's run; both wait."""

    key: Key
    retry_after: float
    """Seconds."""


@dataclass(frozen=True)
class SlotLeft:
    """A run has ended where it was, and its slot is free, though its files have yet to come."""

    key: Key


@dataclass(frozen=True)
class SlotsJoined:
    """There are further slots, as of a host that has been reached only now."""

    slots: tuple[SlotIndex, ...]


@dataclass(frozen=True)
class StopAsked:
    """The user asks these runs, or all, to stop; asked again, with `kill`, without grace."""

    keys: tuple[Key, ...] | None = None
    kill: bool = False


@dataclass(frozen=True)
class Paused:
    """Start none of these runs (or none of them again) until told otherwise; those under way go
    on.
    """

    keys: tuple[Key, ...]
    paused: bool


@dataclass(frozen=True)
class Halted:
    """What these runs have shown is enough: each is to end; a search prunes or pauses it."""

    keys: tuple[Key, ...]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Start:
    """Start attempt `attempt` of run `key` in `slot` (None: the engine decides where)."""

    key: Key
    attempt: int
    slot: SlotIndex | None


@dataclass(frozen=True)
class Stop:
    """Ask run `key`, which runs, to stop, or kill it."""

    key: Key
    kill: bool
    by_user: bool = True
    """By the user, who is told; not by what the run has shown."""


@dataclass(frozen=True)
class Drop:
    """Run `key` will not be started, or not again."""

    key: Key
    reason: str


Action = Start | Stop | Drop
