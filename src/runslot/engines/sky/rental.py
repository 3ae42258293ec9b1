"""What is rented for an experiment, as its directory at home knows it (`cloud/rented.json`,
replaced by rename), and what of it has arrived: brought home share by share.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from runslot.errors import Busy, Damaged, RunslotError
from runslot.experiment.files import open_to_append, read_json, write_atomically, write_json
from runslot.experiment.records import Outcome
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.shape import Shape
from runslot.experiment.states import Kind
from runslot.experiment.status import ExperimentStatus, RunStatus
from runslot.record import record
from runslot.transport.bucket import Inventory, MachineShare, open_store, pull
from runslot.transport.bucket.pull import newest
from runslot.transport.bucket.store import Store
from runslot.transport.patterns import comes_home

END_STATES = frozenset({"done", "stopped", "deadline", "failed"})
"""States of a share's list in which its machine has nothing further to do."""
NO_OUTCOME = "the machine left no outcome"
_ROUNDS = 3
"""How often lists are read at most whose machines take runs meanwhile."""
_REASONS = {"deadline": "the machine's deadline was reached", "stopped": "it was asked to stop"}


@record
class Rented:
    """One machine of one launch, and all machines that took its place."""

    name: str
    share: MachineShare
    task: int
    runs: tuple[tuple[str, int], ...]
    """Run ids with the attempt that was asked for; of a batch's machines the first has them all."""
    infra: str
    price: float = 0.0
    """Dollars an hour."""
    what: str = ""
    """As `g4dn.xlarge, spot`."""
    launched: tuple[float, ...] = ()
    """Unix times at which it was rented, and rented anew after it was lost."""
    ended: tuple[float, ...] = ()
    """Unix times at which it was given back, or found to be lost."""
    seconds: float = 0.0
    """How long it may live."""
    managed: bool = False
    """SkyPilot's managed jobs look after it."""

    def lived(self, now: float) -> float:
        """Return the seconds for which it was rented so far."""
        ends = (*self.ended, *[now] * (len(self.launched) - len(self.ended)))
        return sum(
            max(0.0, min(end, start + self.seconds or end) - start)
            for start, end in zip(self.launched, ends, strict=True)
        )

    def given_back(self, now: float) -> Rented:
        """Return the machine as one that is no longer rented."""
        ended = (*self.ended, now)[: len(self.launched)]
        return dataclasses.replace(self, ended=ended)

    @property
    def alive(self) -> bool:
        """Whether it was rented and not given back, as far as home knows."""
        return len(self.launched) > len(self.ended)

    @property
    def handle(self) -> str:
        """The machine, and the batch that it was rented for."""
        return f"{self.name}@{self.share.batch}"


@record
class Record:
    """All that is rented for one experiment."""

    store: str
    """Where its results arrive."""
    machines: tuple[Rented, ...] = ()

    @property
    def alive(self) -> tuple[Rented, ...]:
        """The machines that were rented and not given back, as far as home knows."""
        return tuple(machine for machine in self.machines if machine.alive)

    def with_machine(self, machine: Rented) -> Record:
        """Return the record with a machine added, or in the place of what was known of it: oldest
        first, always.
        """
        machines = {other.handle: other for other in self.machines} | {machine.handle: machine}
        return dataclasses.replace(self, machines=tuple(machines.values()))

    def batch(self, handle: str) -> tuple[Rented, ...]:
        """Return the machines of the batch that a run's handle (`NAME@BATCH`) names."""
        return tuple(m for m in self.machines if m.share.batch == batch_of(handle))

    def handle_of(self, run: str) -> str | None:
        """Return the handle of a run as the newest batch with machines has it: the launch may have
        been killed before it noted that.
        """
        batches = [m.share.batch for m in self.machines if run in dict(m.runs)]
        alive = [m for m in self.alive if m.share.batch in batches[-1:]]
        return alive[0].handle if alive else None

    def runs_of(self, batch: str) -> dict[str, int]:
        """Return the runs of a batch by id, with the attempt that was asked for."""
        return dict(run for machine in self.batch(batch) for run in machine.runs)

    def spent(self, now: float) -> float:
        """Return the dollars spent so far, by the catalog's prices."""
        return sum(machine.price * machine.lived(now) for machine in self.machines) / 3600

    def committed(self, now: float) -> float:
        """Return the dollars spent so far, and those that machines which work may still spend."""
        left = sum(m.price * max(0.0, m.seconds - m.lived(now)) for m in self.alive)
        return self.spent(now) + left / 3600


def batch_of(handle: str | None) -> str:
    """Return the batch of the run that has this handle."""
    return (handle or "").rpartition("@")[2]


def record_file(experiment: ExperimentDir) -> Path:
    """Return where the record is."""
    return experiment.path / "cloud" / "rented.json"


def read_record(experiment: ExperimentDir) -> Record | None:
    """Return what is rented for an experiment; None where nothing ever was."""
    value = read_json(record_file(experiment))
    if value is None:
        return None
    try:
        store = _RECORD.values(value)["store"]
        return Record(store, tuple(_machine(machine) for machine in value["machines"]))
    except Damaged as error:
        raise type(error)(f"{record_file(experiment)}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(
            f"{record_file(experiment)} does not say what is rented ({error!r})"
        ) from error


def write_record(experiment: ExperimentDir, record: Record) -> None:
    """Replace the record."""
    machines = [
        {**machine.__dict__, "share": dataclasses.astuple(machine.share)}
        for machine in record.machines
    ]
    record_file(experiment).parent.mkdir(exist_ok=True)
    write_json(record_file(experiment), {"format": 1, "store": record.store, "machines": machines})


_RECORD = Shape({"store": "str"})
_LISTS = {"share", "runs", "launched", "ended"}
_MACHINE = Shape.of_record(
    {key: field for key, field in Rented.__dataclass_fields__.items() if key not in _LISTS}, {}, {}
)
_SHARE = Shape({"batch": "str", "number": "int", "of": "int"})
_RUN = Shape({"run": "str", "attempt": "int"})
_TIME = Shape({"time": "float"})


def _machine(value: Mapping[str, Any]) -> Rented:
    fields = _MACHINE.values(value)
    share = _SHARE.values(dict(zip(("batch", "number", "of"), value["share"], strict=True)))
    runs = tuple(_RUN.values({"run": run, "attempt": attempt}) for run, attempt in value["runs"])
    times = {
        key: tuple(_TIME.values({"time": time})["time"] for time in value[key])
        for key in ("launched", "ended")
    }
    if len(times["ended"]) > len(times["launched"]):
        raise Damaged(f"{fields['name']!r:.80} was given back more often than it was rented")
    if "/" in fields["name"] or fields["name"] in {"", ".", ".."} or "/" in share["batch"]:
        raise Damaged(
            f"{fields['name']!r:.80} of {share['batch']!r:.80} cannot be the name of a machine"
        )
    pairs = tuple((run["run"], run["attempt"]) for run in runs)
    return Rented(**{**fields, **times, "share": MachineShare(**share), "runs": pairs})


def without_machines(status: ExperimentStatus, record: Record | None) -> ExperimentStatus:
    """Return the status with runs lost that no machine has: of which no outcome came before the
    last machine of their batch was given back.

    A launch that was killed before it had written a machine down leaves runs that have started in
    no machine at all.
    """
    record = record or Record("")
    alive = {machine.share.batch for machine in record.alive}
    runs = tuple(
        (
            dataclasses.replace(run, state="lost", ended=_lost(run), attempt=None)
            if (run.state == "running" or (run.state == "queued" and run.name))
            and batch_of(run.name or record.handle_of(run.run.id)) not in alive
            else run
        )
        for run in status.runs
    )
    return dataclasses.replace(status, runs=runs, counts=Counter(run.state for run in runs))


def _lost(run: RunStatus) -> Mapping[str, Any]:
    message = (
        "its machines were given back"
        if run.name
        else "its launch ended before a machine was rented for it"
    )
    return Outcome("lost", run.attempts, message=message).to_json()


def end_of(listing: Inventory, is_stopping: bool, managed: bool) -> tuple[Kind, str] | None:
    """Return the kind of outcome of runs that have none, and why, where a machine's list says that
    it has nothing further to do.
    """
    if not listing.machine or listing.state not in END_STATES:
        return None
    if listing.state == "stopped" and managed and not is_stopping:
        return None  # the cloud takes it back, and SkyPilot lets another take its place
    is_stop = listing.state == "deadline" or is_stopping
    reason = listing.said or _REASONS.get(listing.state, NO_OUTCOME)
    return "stopped" if is_stop else "lost", reason


# ---- what comes home -----------------------------------------------------------------------------


@record
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
    with _alone(experiment):
        before_lists = {
            machine.share: _known(experiment, machine.share) for machine in record.machines
        }
        for _ in range(_ROUNDS):
            lists = {share: newest(store, share, before) for share, before in before_lists.items()}
            owners = _owners(record, lists)
            listings: dict[str, Inventory] = {}
            later: list[str] = []
            is_settled = True
            for share, before in before_lists.items():
                owned = {run for run, owner in owners.items() if owner == share}
                of_runs = _OfRuns(experiment, owned)
                brought = pull(store, share, root, before, of_runs, lists[share])
                # An outcome here is of the attempt before.
                for run in of_runs.turned_over(brought.listing):
                    RunDir(root / run).outcome_file.unlink(missing_ok=True)
                if brought.listing.sequence and not brought.later:
                    _remember(experiment, share, brought.listing)
                files, size = files + brought.files, size + brought.size
                later += brought.later
                # A list that was read anew may have runs that nobody was to bring: what it says of
                # its machine's end counts once they are here.
                has_same_runs = brought.listing.runs == lists[share].runs
                listings[share.name] = brought.listing if has_same_runs else lists[share]
                is_settled = is_settled and has_same_runs
            if is_settled:
                break
    return Brought(files, size, listings, tuple(later))


def _owners(record: Record, lists: Mapping[MachineShare, Inventory]) -> dict[str, MachineShare]:
    """Return, by run id, the share that had the run last: what others have of it is history."""
    owners: dict[str, tuple[MachineShare, int]] = {}
    for machine in record.machines:
        share = machine.share
        # A batch has its runs from its beginning; which of its machines has one, the lists say.
        turns = {**dict.fromkeys((run for run, _ in machine.runs), 0), **lists[share].runs}
        for run, number in turns.items():
            owner = owners.get(run)
            if owner is None or owner[0].batch != share.batch or number > owner[1]:
                owners[run] = share, number
    return {run: share for run, (share, _) in owners.items()}


class _OfRuns:
    """Whether a path lies in one of these runs' directories and is to come home, or belongs to no
    run.
    """

    def __init__(self, experiment: ExperimentDir, owned: set[str]) -> None:
        runs = experiment.read_runs()
        self._file = experiment.read()
        self._runs = [run for run in runs if run.id in owned]
        self._owned = tuple(f"{run.directory}/" for run in runs if run.id in owned)
        self._others_runs = tuple(f"{run.directory}/" for run in runs if run.id not in owned)

    def turned_over(self, listing: Inventory) -> Iterator[str]:
        """Yield the directories of runs that another machine had before, and that are under way."""
        for run in self._runs:
            is_taken_over = listing.runs.get(run.id, 1) > 1
            has_begun = is_taken_over and any(
                path.startswith(f"{run.directory}/") for path in listing.files
            )
            if has_begun and str(RunDir(run.directory).outcome_file) not in listing.files:
                yield run.directory

    def __call__(self, path: str) -> bool:
        if not path.startswith(self._owned):
            return not path.startswith(self._others_runs)
        if not (self._file.fetch or self._file.no_fetch):
            return True
        directory = next(run for run in self._owned if path.startswith(run))
        return comes_home(self._file, path[len(directory) :])


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
    with _lock_file(experiment, "pull.lock") as lock:
        if not _takes_lock(lock):
            raise Busy(
                f"another process pulls {experiment.path} at this moment; its results arrive as"
                " well"
            )
        yield


# ---- who rents -----------------------------------------------------------------------------------


def is_being_rented(experiment: ExperimentDir, name: str) -> bool:
    """Tell whether somebody rents a machine at this moment, who may outlive the launch that wants
    it.
    """
    with _lock_file(experiment, f"{name}.renting") as lock:
        return not _takes_lock(lock)


@contextmanager
def renting(experiment: ExperimentDir, name: str) -> Iterator[int]:
    """Wait until nobody rents a machine, and be who does. Yields a descriptor: others who hold it
    open rent on when we have died.
    """
    with _lock_file(experiment, f"{name}.renting") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _lock_file(experiment: ExperimentDir, name: str) -> IO[str]:
    place = experiment.path / "cloud"
    place.mkdir(exist_ok=True)
    return os.fdopen(open_to_append(place / name), "a")


def _takes_lock(file: IO[str]) -> bool:
    """Tell whether nobody holds the lock of a file; it is ours then, until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
