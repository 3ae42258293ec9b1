"""Cut a machine into slots: exclusive shares, one for each run that executes at the same time.

Pure. Slots of one `carve` never share a core, nor a GPU by more runs than were asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runslot.errors import DoesNotFit
from runslot.hardware.resources import Resources
from runslot.hardware.topology import Core, Gpu, Topology


@dataclass(frozen=True)
class Slot:
    """A share of one machine that one run occupies."""

    host: str
    index: int
    cores: tuple[Core, ...]
    """Its physical cores with all their PUs, also those that the run may not use."""
    pus: tuple[int, ...]
    """The PUs that the run is pinned to, sorted."""
    gpus: tuple[Gpu, ...] = ()
    runs_per_gpu: int = 1
    shares_cores: bool = False
    """Other slots may have other hardware threads of its cores (`threads="cores"`)."""
    hides_gpus: bool = False
    """The machine has GPUs, and none is this slot's."""
    cpus_per_worker: int = 1

    @property
    def size(self) -> int:
        """How many threads its run should compute with: its cores, or its PUs where cores are shared."""
        return len(self.pus) if self.shares_cores else len(self.cores)

    def to_json(self) -> dict[str, Any]:
        """Return the slot as JSON values, for another process."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Slot:
        """Make the slot from what `to_json` gave."""
        known = {f.name for f in dataclasses.fields(cls)}
        fields = {k: v for k, v in value.items() if k in known}
        fields["cores"] = tuple(Core.from_json(c) for c in value["cores"])
        fields["gpus"] = tuple(Gpu.from_json(g) for g in value.get("gpus", ()))
        fields["pus"] = tuple(value["pus"])
        return cls(**fields)


def carve(topology: Topology, resources: Resources, runs: int | None = None) -> tuple[Slot, ...]:
    """Return as many slots as the machine has room for, at most `runs` of them where the number is known.

    What `resources` does not state follows from the machine: a GPU a run where there are GPUs, else the allowed cores
    divided evenly among the runs, at most one run a core. Raises `DoesNotFit`, which names the resource that is short.
    """
    allowed = set(topology.allowed)
    cores = [c for c in topology.cores if allowed.intersection(c.pus)][resources.reserved_cpus :]
    count = max(1, min(len(cores), runs if runs is not None else len(cores)))
    width = resources.cpus if resources.cpus is not None else max(1, len(cores) // count)
    if len(cores) < width:
        raise DoesNotFit(f"a run asks for {width} cores, but {topology.host} has {len(cores)}")
    count = min(len(cores) // width, runs if runs is not None else len(cores))
    slots = []
    for i in range(count):
        mine = tuple(cores[i * width : (i + 1) * width])
        pus = tuple(sorted(pu for core in mine for pu in core.pus if pu in allowed))
        slots.append(Slot(topology.host, i, mine, pus, cpus_per_worker=resources.cpus_per_worker))
    return tuple(slots)


def describe_slots(topology: Topology, slots: Sequence[Slot]) -> str:
    """Return what was chosen and what is left over in one line: `3 slots of 2 cores each (7 cores, 1 spare)`."""
    allowed = set(topology.allowed)
    total = sum(bool(allowed.intersection(c.pus)) for c in topology.cores)
    used = len({core.pus for slot in slots for core in slot.cores})
    size = slots[0].size
    return f"{len(slots)} slots of {size} cores each ({total} cores, {total - used} spare)"
