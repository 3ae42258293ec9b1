"""What a pool's hosts have in common, how long one may be silent, and how its slots stand: which
someone else had, which are reserved, and whether the host can start runs at all.

Made by `engines.ssh.config`; `engines.ssh.host` asks and changes it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Taken
from runslot.record import record

_ASK_AGAIN = 1.0
"""Seconds until a slot that someone else has is asked for again: each time is a round trip."""
_UNFIT_FOR = 20.0
"""Seconds for which a host that could not start a run is left alone."""


@record
class PoolTerms:
    """What all hosts of a pool have in common."""

    pool: str
    """The launcher's name."""
    python: str
    root: str
    sync_every: float
    lost_after: float
    experiment: OpenExperiment
    archive: str
    """The name of runslot as one file in the experiment's directory, the same for all connections
    of a launch.
    """
    runs: int
    """How many runs a host's slots are cut for; 0: none are started."""
    environment: Mapping[str, str]
    """The caller's variables that the runs get."""
    by_value: str | None
    """The version of Python that what travels by value wants."""


class Silence:
    """How long a host has said nothing, while it could be heard here."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._asked = self._since = time.monotonic()

    def is_too_long(self, heard: float, now: float) -> bool:
        """Tell whether a host that was `heard` last then is to be given up; asked all the time."""
        # This process was stopped, as by Ctrl-Z: what came meanwhile has yet to be read.
        if now - self._asked > self._limit / 2:
            self._since = now
        self._asked = now
        return now - max(heard, self._since) > self._limit


class SlotStanding:
    """What is known of one host's slots, by their indexes there; asked and changed by the
    launcher's thread.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._unfit_until = 0.0
        self._unfit: Taken | None = None
        self._refusals: dict[int, tuple[float, Taken]] = {}
        self._reserved: set[int] = set()

    @property
    def fit(self) -> bool:
        """Whether runs can be started there, as far as is known."""
        return time.monotonic() >= self._unfit_until

    def clear(self) -> None:
        """Know nothing any more: the remote end that held the slots is gone."""
        self._refusals.clear()
        self._reserved.clear()

    def refusal(self, slot: int) -> Taken | None:
        """Return why the slot is not worth asking for now."""
        if not self.fit:
            return self._unfit
        until, refusal = self._refusals.get(slot, (0.0, None))
        return refusal if time.monotonic() < until else None

    def was_taken(self, slot: int) -> bool:
        """Whether someone else had it when it was last asked for: a free one is simply taken at the
        start.
        """
        return slot in self._refusals

    def note(self, slot: int, by: str | None) -> Taken | None:
        """Note who has a slot; None: it is reserved now."""
        if by is None:
            self._refusals.pop(slot, None)
            self._reserved.add(slot)
            return None
        return self.taken(slot, by)

    def taken(self, slot: int, by: str) -> Taken:
        """Note who has a slot."""
        refusal = Taken(f"{by} (host {self._host})")
        self._refusals[slot] = (time.monotonic() + _ASK_AGAIN, refusal)
        return refusal

    def used(self, slot: int) -> bool:
        """Note that a slot is no longer reserved; whether it was."""
        was = slot in self._reserved
        self._reserved.discard(slot)
        return was

    def unfit(self, reason: str) -> Taken:
        """Have no further run started there for a while."""
        self._unfit_until = time.monotonic() + _UNFIT_FOR
        self._unfit = Taken(f"host {self._host}, which cannot start runs: {reason}")
        return self._unfit
