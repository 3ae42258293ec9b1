"""What home asks of a share's machine, whichever it is by now: one object beside the share's list.
It only grows.

A machine looks for it every few seconds, and one that takes another's place finds what was asked
before.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from runslot.transport.bucket.inventory import DamagedObject, MachineShare
from runslot.transport.bucket.store import Missing, Store

FORMAT = 1


@dataclass(frozen=True)
class StopRequest:
    """What is to be stopped of a share."""

    everything: bool = False
    """All its runs, and the machine has nothing further to do."""
    runs: frozenset[str] = frozenset()
    """Directories of single runs, as the share's job names them."""

    def __or__(self, other: StopRequest) -> StopRequest:
        """Return what both ask for."""
        return StopRequest(self.everything or other.everything, self.runs | other.runs)

    def to_bytes(self) -> bytes:
        """Return it as it is kept."""
        value = {"format": FORMAT, "everything": self.everything, "runs": sorted(self.runs)}
        return json.dumps(value).encode("utf-8", "surrogateescape")

    @classmethod
    def from_bytes(cls, data: bytes) -> StopRequest:
        """Read what `to_bytes` gave; an error where it is something else."""
        try:
            value: dict[str, Any] = json.loads(data.decode("utf-8", "surrogateescape"))
            return cls(bool(value["everything"]), frozenset(map(str, value["runs"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedObject(
                f"what was asked of a machine is damaged in the bucket ({error}); ask again"
            ) from error


def read(store: Store, share: MachineShare) -> StopRequest:
    """Return what was asked of the share's machine so far: nothing where there is no such object,
    or a damaged one.
    """
    try:
        return StopRequest.from_bytes(store.get(share.asked))
    except (Missing, DamagedObject):
        return StopRequest()


def ask(store: Store, share: MachineShare, runs: Collection[str] | None) -> StopRequest:
    """Ask for these runs to be stopped, by their directories, or for all (None); return all that is
    asked by now.

    `Unreachable` where the bucket does not answer. Home alone asks, one launcher at a time: nobody
    writes between.
    """
    request = read(store, share) | (
        StopRequest(everything=True) if runs is None else StopRequest(runs=frozenset(runs))
    )
    store.put(share.asked, request.to_bytes())
    return request
