"""What has arrived of one share of an experiment: its files, each with the objects that hold its
parts; and beside it what home asks of the share's machine, whichever it is by now.

Each is one object that is replaced as a whole. What the list names is in the bucket and never
changes, so a reader who takes the list and then its objects sees a state that was there, whatever
happens meanwhile. What is asked only grows: a machine that takes another's place finds it.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from typing import Any, NamedTuple

from runslot.errors import Damaged, NewerFormat, RunslotError
from runslot.experiment.shape import FORMAT, Shape, check_format
from runslot.record import record
from runslot.transport.bucket.store import Missing, Store

PART = 16 * 2**20
"""Bytes of one object; a larger file is several."""


class DamagedObject(RunslotError):
    """An object does not hold what it should; its machine writes it anew."""

    retry = True


@record
class MachineShare:
    """What one machine pushes: the k-th of n shares, from 1, of a batch of runs that were asked
    for together.
    """

    batch: str
    number: int = 1
    of: int = 1

    @property
    def name(self) -> str:
        """Its directory in the bucket."""
        return f"{self.batch}/share-{self.number}-of-{self.of}"

    @property
    def listing(self) -> str:
        """The object with the list."""
        return f"{self.name}/list.json.gz"

    @property
    def asked(self) -> str:
        """The object with what home asks of its machine."""
        return f"{self.name}/asked.json"

    @property
    def gone(self) -> str:
        """The object in which home names the machine that SkyPilot no longer has."""
        return f"{self.name}/gone"

    @property
    def batch_shares(self) -> tuple[MachineShare, ...]:
        """The shares of all machines of the batch."""
        return tuple(MachineShare(self.batch, i, self.of) for i in range(1, self.of + 1))

    def object(self, digest: str) -> str:
        """Return the object that holds the part with this digest."""
        return f"{self.name}/parts/{digest[:2]}/{digest}"


class File(NamedTuple):
    """One file as it arrived; in the list it is a row of these."""

    size: int
    mtime: int
    """Nanoseconds since the epoch."""
    parts: tuple[str, ...]
    """SHA-256 of each part, which is also its object's name."""
    mode: int = 0o644


@record
class Inventory:
    """The list of one share."""

    machine: str = ""
    """Who writes it; another machine that takes the share over writes its own name."""
    sequence: int = 0
    """Grows with each writing; a reader who sees a lower one than before has an old copy."""
    written: float = 0.0
    """Unix time."""
    state: str = "working"
    """`working`, or how the machine's work ended: `done`, `stopped`, `deadline`, `failed`."""
    said: str = ""
    """The state in words, for people."""
    armed: float = 0.0
    """Unix time from which the life of the machine that writes is counted."""
    lived: float = 0.0
    """Seconds that it and the machines before it had lived on this share when the list was
    written.
    """
    settled: tuple[str, ...] = ()
    """Directories of runs that home asked to stop, and of which nothing further comes: their
    outcomes are the last.
    """
    runs: Mapping[str, int] = field(default_factory=dict)
    """Ids of the runs that it has taken, each with the number of its turn (`pool`)."""
    over: tuple[str, ...] = ()
    """Ids of those that have ended, and are not to be done again by another machine."""
    files: Mapping[str, File] = field(default_factory=dict)
    """By path below the directory of the runs."""

    def lived_before(self, armed: float) -> float:
        """Return the seconds that other machines had lived than the one armed at that time."""
        own_life = (
            self.written - self.armed if self.armed == armed else 0.0
        )  # its process was started again
        return max(0.0, self.lived - own_life)

    @property
    def objects(self) -> set[str]:
        """Digests of all parts that it names."""
        return {part for file in self.files.values() for part in file.parts}

    def to_bytes(self) -> bytes:
        """Return the list as it is kept."""
        text = json.dumps({"format": FORMAT, **self.__dict__}, separators=(",", ":"))
        return gzip.compress(text.encode("utf-8", "surrogateescape"), mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> Inventory:
        """Read what `to_bytes` gave; an error where it is something else."""
        with _described("a share's list in the bucket", "its machine writes it anew"):
            values = _SHAPE.values(json.loads(gzip.decompress(data)))
            files = {path: _file(*row) for path, row in values["files"].items()}
            runs = {run: int(number) for run, number in values.get("runs", {}).items()}
        return cls(**{**values, "files": files, "runs": runs})


_SHAPE = Shape.of_record(Inventory.__dataclass_fields__, {}, {})
_UNREADABLE = (
    OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, AttributeError,
    ArithmeticError, RuntimeError,
)  # fmt: skip
"""What odd bytes end in: no archive, no JSON, JSON of other types, numbers that none can be, a
depth that none has.
"""


@contextmanager
def _described(subject: str, remedy: str) -> Iterator[None]:
    """Say of an object that is read what is wrong with it."""
    try:
        yield
    except NewerFormat as error:
        raise NewerFormat(f"{subject} was {error}") from error
    except (Damaged, *_UNREADABLE) as error:
        raise DamagedObject(f"{subject} is damaged ({error}); {remedy}") from error


def _file(size: Any, mtime: Any, parts: Any, mode: Any) -> File:
    return File(int(size), int(mtime), tuple(map(str, parts)), int(mode))


# ---- what home asks of a machine -----------------------------------------------------------------


@record
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
        with _described("what was asked of a machine in the bucket", "ask again"):
            value: dict[str, Any] = json.loads(data.decode("utf-8", "surrogateescape"))
            check_format(value)
            return cls(bool(value["everything"]), frozenset(map(str, value["runs"])))


def read_stop_request(store: Store, share: MachineShare) -> StopRequest:
    """Return what was asked of the share's machine so far: nothing where there is no such object,
    or a damaged one.
    """
    try:
        return StopRequest.from_bytes(store.get(share.asked))
    except (Missing, DamagedObject):
        return StopRequest()


def read_listing(store: Store, share: MachineShare) -> Inventory:
    """Return the list of a share; an empty one where there is none, or a damaged one."""
    try:
        return Inventory.from_bytes(store.get(share.listing))
    except (Missing, DamagedObject):
        return Inventory()


def request_stop(store: Store, share: MachineShare, runs: Collection[str] | None) -> StopRequest:
    """Ask for these runs to be stopped, by their directories, or for all (None); return all that is
    asked by now.

    `Unreachable` where the bucket does not answer. Home alone asks, one launcher at a time: nobody
    writes between.
    """
    request = read_stop_request(store, share) | (
        StopRequest(everything=True) if runs is None else StopRequest(runs=frozenset(runs))
    )
    store.put(share.asked, request.to_bytes())
    return request
