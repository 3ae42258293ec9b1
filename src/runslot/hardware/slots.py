"""Cut a machine into slots: exclusive shares, one for each run that executes at the same time.

Pure. Slots of one `carve` never share a core, nor a GPU by more runs than were asked for.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runslot.errors import DoesNotFit
from runslot.hardware.cores import LOCAL, REMOTE, Cores, Unit
from runslot.hardware.resources import Resources
from runslot.hardware.topology import Core, Gpu, Topology

UNLINKED = 9
"""How far GPUs are whose link is not known, on the scale of `Gpu.links`."""


@dataclass(frozen=True)
class Slot:
    """A share of one machine that one run occupies."""

    host: str
    """The machine."""
    index: int
    """From 0, among the slots of the machine."""
    cores: tuple[Core, ...]
    """Its physical cores with all their PUs, also those that the run may not use."""
    pus: tuple[int, ...]
    """The PUs that the run is pinned to, sorted."""
    gpus: tuple[Gpu, ...] = ()
    """The GPUs that the run sees."""
    runs_per_gpu: int = 1
    """How many slots have these GPUs as well, itself counted."""
    shares_cores: bool = False
    """The slots are counted in hardware threads (`threads="cores"`): others may have other threads
    of its cores.
    """
    hides_gpus: bool = False
    """The machine has GPUs, and none is this slot's."""
    cpus_per_worker: int = 1
    """Cores of each worker process of the run."""
    code_cpus: tuple[int, ...] = ()
    """For the CPUs of its affinity code, in the code's order, the PUs that they are; empty where
    the numbers agree.
    """

    @property
    def size(self) -> int:
        """How many threads its run should compute with: its cores, or its PUs where cores are
        shared.
        """
        return len(self.pus) if self.shares_cores else len(self.cores)

    def overlaps(self, other: Slot) -> bool:
        """Tell whether a run in one of them is in the way of a run in the other."""
        if self.host != other.host:
            return False
        gpus = {gpu.uuid for gpu in self.gpus} & {gpu.uuid for gpu in other.gpus}
        return bool(set(self.pus) & set(other.pus)) or (bool(gpus) and self.index == other.index)

    def shares_with(self, other: Slot) -> bool:
        """Tell whether it has a PU or a GPU in common with a slot that was carved otherwise."""
        gpus = {gpu.uuid for gpu in self.gpus} & {gpu.uuid for gpu in other.gpus}
        return bool(gpus) or not set(self.pus).isdisjoint(other.pus)

    def to_json(self) -> dict[str, Any]:
        """Return the slot as JSON values, for another process."""
        cores = [
            {**core.__dict__} for core in self.cores
        ]  # not `asdict`: this is done for every run
        return {
            **self.__dict__,
            "cores": cores,
            "gpus": [dataclasses.asdict(gpu) for gpu in self.gpus],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Slot:
        """Make the slot from what `to_json` gave."""
        names = {f.name for f in dataclasses.fields(cls)}
        fields = {k: v for k, v in value.items() if k in names}
        fields["cores"] = tuple(Core.from_json(c) for c in value["cores"])
        fields["gpus"] = tuple(Gpu.from_json(g) for g in value.get("gpus", ()))
        fields["pus"] = tuple(value["pus"])
        fields["code_cpus"] = tuple(value.get("code_cpus", ()))
        return cls(**fields)


def carve(topology: Topology, resources: Resources, runs: int | None = None) -> tuple[Slot, ...]:
    """Return as many slots as a machine has room for, close together and beside their GPUs.

    What `resources` does not state follows from the machine and from the number of `runs`, where
    that is known: one GPU a run and its share of the cores beside it where there are GPUs, else the
    cores divided evenly among the runs; one run alone gets all. Slots beyond the number of runs are
    kept: one of them may be free when others are not. Raises `DoesNotFit`, which names the resource
    that is short.
    """
    cores = Cores(topology, resources.threads)
    surplus = _beyond_quota(topology, len(cores))
    usable = len(cores) - surplus - resources.reserved_cpus
    _check_cores(topology, resources, usable)
    most = min(usable, _memory_room(topology, resources))
    alone = runs == 1 and resources.cpus is None and resources.gpus is None
    groups = _gpu_groups(topology, resources, alone)
    per_gpu = 1 if alone else resources.sharers
    if groups:
        # A second run goes on a GPU only when all have one.
        gpu_groups = [group for _ in range(per_gpu) for group in groups]
        cores.reserve(surplus + resources.reserved_cpus, resources.cpus or 1)
        width = resources.cpus or max(resources.cpus_per_worker, _share(cores, gpu_groups))
        filled = _beside_gpus(cores, gpu_groups[: min(most, usable // width)], width)
    else:
        even = usable // max(1, min(most, runs or most))
        width = resources.cpus or max(resources.cpus_per_worker, even)
        cores.reserve(surplus + resources.reserved_cpus, width)
        filled = [((), units) for units in cores.slots(width, most)]
    return _as_slots(topology, resources, filled, per_gpu)


def describe_slots(topology: Topology, slots: Sequence[Slot]) -> str:
    """Return what was chosen and what is left over in one line: `3 slots of 2 cores each (7 cores,
    1 spare)`.
    """
    allowed = set(topology.allowed)
    usable = [core for core in topology.cores if allowed.intersection(core.pus)]
    spare = len(usable) - len({core.pus for slot in slots for core in slot.cores})
    sizes = sorted({slot.size for slot in slots})
    unit = "hardware thread" if any(slot.shares_cores for slot in slots) else "core"
    size = (
        _count(sizes[-1], unit) if len(sizes) == 1 else f"{sizes[0]} to {_count(sizes[-1], unit)}"
    )
    gpus = len({gpu.uuid for slot in slots for gpu in slot.gpus})
    if gpus:
        shared = f" shared by {slots[0].runs_per_gpu} runs" if slots[0].runs_per_gpu > 1 else ""
        size += f" and {_count(len(slots[0].gpus), 'GPU')}{shared}"
    spare_note = f", {spare} spare" if spare else ""
    have = _count(len(usable), "core") + spare_note
    quota = describe_quota(topology, len(usable))
    if quota:
        have += f"; {quota}"
    if topology.gpus:
        idle = f", {len(topology.gpus) - gpus} spare" if len(topology.gpus) > gpus else ""
        have += f"; {_count(len(topology.gpus), 'GPU')}{idle}"
    return f"{_count(len(slots), 'slot')} of {size}{' each' if len(slots) > 1 else ''} ({have})"


_Filled = list[tuple[tuple[Gpu, ...], list[Unit]]]


def _check_cores(topology: Topology, resources: Resources, usable: int) -> None:
    least = max(resources.cpus or 1, resources.cpus_per_worker)
    if usable >= least:
        return
    unit = "hardware threads" if resources.threads == "cores" else "cores"
    has = (
        f"{topology.host} has {_count(usable + resources.reserved_cpus, unit[:-1])} that this"
        " process may use"
    )
    quota = describe_quota(topology, len(topology.cores))
    if quota:
        has += f" under {quota}"
    if resources.reserved_cpus:
        has += f", of which reserved_cpus keeps {resources.reserved_cpus} back"
    name = "cpus" if (resources.cpus or 1) >= least else "cpus_per_worker"
    raise DoesNotFit(
        f"{name}: a run asks for {_count(least, unit[:-1])}, but {has}{_notes(topology)}"
    )


def _beyond_quota(topology: Topology, cores: int) -> int:
    """Return how many of so many cores a quota of their time leaves no use for; one is always
    used.
    """
    return (
        0 if topology.cpu_quota is None else max(0, cores - max(1, int(topology.cpu_quota + 1e-6)))
    )


def describe_quota(topology: Topology, cores: int) -> str:
    """Return the quota of CPU time in words where so many cores go beyond it, else an empty
    string.
    """
    if not _beyond_quota(topology, cores):
        return ""
    return (
        f"a quota of {topology.cpu_quota:g} CPU{'' if topology.cpu_quota == 1 else 's'} for this"
        " process"
    )


def _memory_room(topology: Topology, resources: Resources) -> int:
    """Return how many runs the machine's memory has room for."""
    total = topology.memory or sum(node.memory or 0 for node in topology.numa_nodes)
    if resources.memory is None or not total:
        return len(topology.online)
    if resources.memory > total:
        raise DoesNotFit(
            f"memory: a run asks for {resources.memory} bytes, but this process may use {total} of"
            f" {topology.host}"
        )
    return total // resources.memory


def _gpu_groups(topology: Topology, resources: Resources, alone: bool) -> list[tuple[Gpu, ...]]:
    """Return the GPUs of each run, close to each other; nothing for runs without GPUs."""
    gpus = topology.gpus
    count = resources.gpus if resources.gpus is not None else min(1, len(gpus))
    if count == 0:
        return []
    if alone and all(gpu.mig is None for gpu in gpus):
        return [gpus]
    if count == 1 and gpus:
        return [(gpu,) for gpu in gpus]
    whole = [gpu for gpu in gpus if gpu.mig is None]
    if len(whole) < count:
        split = (
            ""
            if len(whole) == len(gpus)
            else " that are whole (CUDA gives a process one MIG device at most)"
        )
        has = f"{topology.host} has {len(whole)}{split}{_notes(topology)}"
        raise DoesNotFit(f"gpus: a run asks for {_count(count, 'GPU')}, but {has}")
    groups = []
    while len(whole) >= count:
        group = [whole.pop(0)]
        while len(group) < count:
            nearest = min(
                whole, key=lambda gpu: sum(_apart(topology, gpu, other) for other in group)
            )
            whole.remove(nearest)
            group.append(nearest)
        groups.append(tuple(group))
    return groups


def _apart(topology: Topology, a: Gpu, b: Gpu) -> float:
    """Return how far two GPUs are: by their links first, then by the NUMA nodes beside them, then
    by their numbers.
    """
    link = dict(a.links).get(b.uuid, dict(b.links).get(a.uuid, UNLINKED))
    rows = {node.id: i for i, node in enumerate(topology.numa_nodes)}
    ways = [
        topology.distances[rows[x]][rows[y]] if topology.distances else LOCAL if x == y else REMOTE
        for x in a.numa
        for y in b.numa
        if x in rows and y in rows
    ]
    return link * 1e6 + min(ways, default=LOCAL) * 1e3 + abs(a.index - b.index)


def _share(cores: Cores, gpu_groups: list[tuple[Gpu, ...]]) -> int:
    """Return how many cores each run on GPUs gets where nothing is stated: an equal share of those
    beside its GPUs.
    """
    local = [cores.local_to(group) for group in gpu_groups]
    users = Counter(domain for domains in local for domain in domains)
    shares = [int(sum(cores.count_in([d]) / users[d] for d in domains) + 1e-9) for domains in local]
    return min(shares) or max(1, len(cores) // len(gpu_groups))


def _beside_gpus(cores: Cores, gpu_groups: list[tuple[Gpu, ...]], width: int) -> _Filled:
    """Give every run its cores: those that find all beside their GPUs before others, the most
    confined first.
    """
    local = [cores.local_to(group) for group in gpu_groups]
    order = sorted(range(len(gpu_groups)), key=lambda i: cores.count_in(local[i]))
    units: dict[int, list[Unit]] = {}
    for i in order:
        if cores.count_in(local[i]) >= width:
            units[i] = cores.beside(local[i], width)
    for i in order:
        if i not in units:
            units[i] = cores.beside(local[i], width)
    return [(gpu_groups[i], units[i]) for i in range(len(gpu_groups))]


def _as_slots(
    topology: Topology, resources: Resources, filled: _Filled, runs_per_gpu: int
) -> tuple[Slot, ...]:
    slots = []
    by_threads = resources.threads == "cores" and not _in_whole_cores(set(topology.allowed), filled)
    for index, (gpus, units) in enumerate(filled):
        cores = tuple(sorted({unit.core for unit in units}, key=lambda core: core.pus))
        pus = {pu for unit in units for pu in unit.pus}
        slots.append(
            Slot(
                host=topology.host,
                index=index,
                cores=cores,
                pus=tuple(sorted(pus)),
                gpus=gpus,
                runs_per_gpu=runs_per_gpu,
                shares_cores=by_threads,
                hides_gpus=bool(topology.gpus) and not gpus,
                cpus_per_worker=resources.cpus_per_worker,
            )
        )
    return tuple(slots)


def _in_whole_cores(allowed: set[int], filled: _Filled) -> bool:
    """Tell whether all slots are of the same number of cores with all their allowed threads."""
    sizes = set()
    for _, units in filled:
        cores = {unit.core for unit in units}
        pus = {pu for unit in units for pu in unit.pus}
        if not pus.issuperset(pu for core in cores for pu in core.pus if pu in allowed):
            return False
        sizes.add(len(cores))
    return len(sizes) == 1


def _notes(topology: Topology) -> str:
    return "".join(f"; {note}" for note in topology.notes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
