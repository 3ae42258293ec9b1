"""Bring home what has arrived of an experiment: each share's changes, then what became of the
shares.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runslot.engines.sky.rental import Record
from runslot.errors import Busy, RunslotError
from runslot.experiment.files import open_to_append, write_atomically
from runslot.experiment.rundir import ExperimentDir
from runslot.transport.bucket import Inventory, MachineShare, open_store, pull
from runslot.transport.bucket.store import Store
from runslot.transport.patterns import comes_home


@dataclass(frozen=True)
class Brought:
    """What a pull of all shares brought."""

    files: int
    size: int
    """Bytes."""
    listings: dict[str, Inventory]
    """By the share's name: what had arrived of it."""
    later: tuple[str, ...] = ()


def bring(experiment: ExperimentDir, record: Record, store: Store | None = None) -> Brought:
    """Pull what has changed of every share; `Busy` while another process does, `Unreachable`
    without a bucket.
    """
    experiment.require_own()
    store = store or open_store(record.store)
    root = Path(experiment.runs_base(experiment.read()))
    files = size = 0
    listings: dict[str, Inventory] = {}
    later: list[str] = []
    with _alone(experiment):
        newest = _owners(record)
        for machine in record.machines:
            share = machine.share
            owned = {run for run, handle in newest.items() if handle == machine.handle}
            wanted = _OfRuns(experiment, owned)
            before = _known(experiment, share)
            brought = pull(store, share, root, before, wanted)
            if brought.listing.sequence and not brought.later:
                _remember(experiment, share, brought.listing)
            files, size = files + brought.files, size + brought.size
            listings[share.name] = brought.listing
            later += brought.later
    return Brought(files, size, listings, tuple(later))


def _owners(record: Record) -> dict[str, str]:
    """Return, by run id, the handle of the machine that had the run last: an older one's files are
    history.
    """
    return {run: machine.handle for machine in record.machines for run, _ in machine.runs}


class _OfRuns:
    """Whether a path lies in one of these runs' directories and is to come home, or belongs to no
    run.
    """

    def __init__(self, experiment: ExperimentDir, owned: set[str]) -> None:
        runs = experiment.read_runs()
        self._file = experiment.read()
        self._owned = tuple(f"{run.directory}/" for run in runs if run.id in owned)
        self._others = tuple(f"{run.directory}/" for run in runs if run.id not in owned)

    def __call__(self, path: str) -> bool:
        if not path.startswith(self._owned):
            return not path.startswith(self._others)
        if not (self._file.fetch or self._file.no_fetch):
            return True
        own = next(run for run in self._owned if path.startswith(run))
        return comes_home(self._file, path[len(own) :])


def _list_file(experiment: ExperimentDir, share: MachineShare) -> Path:
    return experiment.path / "cloud" / "pulled" / f"{share.name.replace('/', '-')}.json.gz"


def _known(experiment: ExperimentDir, share: MachineShare) -> Inventory:
    try:
        return Inventory.from_bytes(_list_file(experiment, share).read_bytes())
    except (FileNotFoundError, RunslotError):
        return Inventory()


def _remember(experiment: ExperimentDir, share: MachineShare, listing: Inventory) -> None:
    file = _list_file(experiment, share)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, listing.to_bytes())


@contextmanager
def _alone(experiment: ExperimentDir) -> Iterator[None]:
    place = experiment.path / "cloud"
    place.mkdir(exist_ok=True)
    with os.fdopen(open_to_append(place / "pull.lock"), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"another process pulls {experiment.path} at this moment; its results arrive as"
                " well"
            ) from None
        yield
