"""What became of a run, as its files and the journal have it: an attempt, its end, what it used.

Frozen and pure, as `records`, through which the rest of runslot takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runslot.errors import Damaged
from runslot.experiment.shape import RecordBase
from runslot.experiment.states import Kind
from runslot.hardware.slots import Slot
from runslot.record import record


@record
class Usage(RecordBase):
    """What a run used, as its keeper saw it now and then (`system.csv` has each look)."""

    looks: int
    """How often it was looked at; the other values are None where no look could tell."""
    cpus: float | None = None
    """Cores that computed for it, in the mean."""
    memory: int | None = None
    """The most that its processes held together, bytes; what they share counts in each."""
    gpu_memory: int | None = None
    """The most that it held on its GPUs, bytes."""
    gpu_total: int | None = None
    """What those GPUs have, bytes."""
    gpu_percent: float | None = None
    """Share of the time in which something computed on its GPUs: also other runs, where some share
    them.
    """
    gpu_memory_of_all: bool = False
    """`gpu_memory` counts all programs on these GPUs, as in a container: the driver did not tell
    the run's apart.
    """


@record
class Outcome(RecordBase):
    """How one attempt of a run ended (`outcome.json`)."""

    kind: Kind
    """`succeeded`, `failed`, `timed_out`, `stopped`, `lost`; of a search also `pruned`, `paused`.
    """
    attempt: int = 1
    """Which attempt it was, from 1."""
    exit_code: int | None = None
    """None where a signal ended the run, or nobody saw its end."""
    signal: int | None = None
    """The number of the signal that ended it."""
    started: float | None = None
    """Unix time, seconds."""
    ended: float | None = None
    """Unix time, seconds."""
    host: str | None = None
    """The machine that executed it."""
    slot: int | None = None
    """The slot's index there, from 0."""
    peak_memory: int | None = None
    """Largest resident set of one process of the run, bytes."""
    message: str = ""
    """Why it did not succeed, in a line; empty where it did."""
    notes: tuple[str, ...] = ()
    """What the logger or the keeper could not do, one sentence each."""
    rung: int | None = None
    """Of a run that a search pruned or paused: which rung it had come to, from 0 on, …"""
    step: float | None = None
    """… by the row of which step, …"""
    value: float | None = None
    """… and with which value of the metric; None also where that is no number."""
    used: Usage | None = None
    """None where the run ended before anybody looked, and where nobody can."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dict of JSON values, without what it has none of."""
        value = super().to_json()
        if self.rung is None:
            del value["rung"], value["step"], value["value"]
        if self.used is None:
            del value["used"]
        return value


@record
class Attempt(RecordBase):
    """The attempt under way (`attempt.json`), written by its keeper before the run starts."""

    attempt: int
    pid: int
    """The keeper's, on `host`."""
    start_time: int
    """The keeper's start in clock ticks since boot (`/proc/PID/stat`, field 22); tells a reused
    pid.
    """
    boot_id: str
    host: str
    started: float
    slot: Mapping[str, Any] | None = None
    """As JSON; read as `occupied`."""
    cgroup: str | None = None
    """Directory of the keeper's control group, where it has one of its own."""

    @property
    def occupied(self) -> Slot | None:
        """The slot; made when it is asked for, since a table of 10,000 runs asks for none."""
        if self.slot is None:
            return None
        try:
            return Slot.from_json(self.slot)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Damaged(f"'slot' does not describe one ({error!r})") from error
