"""What a machine has: packages, NUMA nodes, cores with their hardware threads, GPUs with their
locality.

Pure records, filled in by `hardware.probe`. A PU is a logical CPU as the kernel numbers it; lists
of PUs are sorted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runslot.record import record


@record
class Package:
    """A socket, or what the kernel calls one."""

    id: int | None
    """The kernel's number; None where it has none. Two packages of old machines may share a
    number.
    """
    pus: tuple[int, ...]


@record
class NumaNode:
    """Memory and the PUs beside it; a node may have no PUs (memory of a GPU or of persistent
    modules).
    """

    id: int
    pus: tuple[int, ...]
    memory: int | None = None
    """Bytes, None where the kernel does not say."""


@record
class Core:
    """A physical core: the online PUs that are thread siblings."""

    pus: tuple[int, ...]
    package: int | None = None
    """Its package's id."""
    numa: tuple[int, ...] = ()
    """Ids of its NUMA nodes; empty where its node is offline."""
    kind: str | None = None
    """On hybrid machines `P` for the fastest kind, then `E`, `E2`, …; None where all cores are
    alike.
    """

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Core:
        """Make the core from `dataclasses.asdict`'s form, lists for tuples."""
        return cls(
            tuple(value["pus"]),
            value.get("package"),
            tuple(value.get("numa", ())),
            value.get("kind"),
        )


@record
class GpuProcess:
    """A process that uses a GPU."""

    pid: int
    name: str = ""
    memory: int | None = None
    """Bytes on the GPU."""
    compute: bool = True
    graphics: bool = False
    """Both are true for programs that compute and draw: some simulators, some desktop programs."""


@record
class Gpu:
    """A GPU, or one MIG device of a GPU."""

    index: int
    """The driver's number of the (parent) GPU, in PCI order."""
    uuid: str
    name: str = ""
    memory: int | None = None
    """Bytes."""
    pci: str | None = None
    """Address as in `/sys/bus/pci/devices`: `0000:3b:00.0`."""
    numa: tuple[int, ...] = ()
    """NUMA nodes beside it; empty where the kernel does not know."""
    pus: tuple[int, ...] = ()
    """Its local PUs; empty where the kernel does not know."""
    vendor: str = "nvidia"
    """`nvidia` or `amd`."""
    visible: str = ""
    """What `CUDA_VISIBLE_DEVICES` or `HIP_VISIBLE_DEVICES` must say for it: an index, or the UUID
    of a MIG device.
    """
    mig: int | None = None
    """Number of the MIG device on its GPU; None for a whole GPU."""
    processes: tuple[GpuProcess, ...] = ()
    links: tuple[tuple[str, int], ...] = ()
    """How far other GPUs are, each with its UUID: 1 where NVLink or XGMI joins them, else more."""

    @property
    def label(self) -> str:
        """`GPU 2`, or `GPU 2 MIG 0`."""
        return f"GPU {self.index}" + ("" if self.mig is None else f" MIG {self.mig}")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Gpu:
        """Make the GPU from `dataclasses.asdict`'s form, lists for tuples; unknown keys are
        ignored.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in value.items() if k in names
        }
        fields["links"] = tuple((uuid, far) for uuid, far in value.get("links", ()))
        fields["processes"] = tuple(GpuProcess(**p) for p in value.get("processes", ()))
        return cls(**fields)


@dataclass(frozen=True)
class Topology:
    """One machine."""

    host: str
    """Its name."""
    packages: tuple[Package, ...]
    """Its sockets."""
    numa_nodes: tuple[NumaNode, ...]
    """Parts of its memory, each with the cores beside it."""
    cores: tuple[Core, ...]
    """Its physical cores, with their hardware threads (PUs)."""
    gpus: tuple[Gpu, ...] = ()
    """Those that this process may see."""
    online: tuple[int, ...] = ()
    """The PUs that the kernel has switched on."""
    allowed: tuple[int, ...] = ()
    """The online PUs that this process may use (affinity mask, cgroup cpuset)."""
    distances: tuple[tuple[int, ...], ...] = ()
    """NUMA distances, rows and columns in the order of `numa_nodes`; empty where the kernel has
    none.
    """
    cpu_quota: float | None = None
    """How many CPUs' time this process may use (cgroup quota), on whichever CPUs; None: no
    quota.
    """
    memory: int | None = None
    """Bytes that this process may use (cgroup limits, memory nodes of its cpuset); None where
    nothing says.
    """
    notes: tuple[str, ...] = ()
    """What could not be read, one sentence each: a GPU that is lost, a driver that does not
    answer.
    """

    def to_json(self) -> dict[str, Any]:
        """Return what `runslot hardware --json` prints, less the slots."""
        return {
            "online": list(self.online),
            "allowed": list(self.allowed),
            "packages": [dataclasses.asdict(p) for p in self.packages],
            "numa_nodes": [dataclasses.asdict(n) for n in self.numa_nodes],
            "cores": [dataclasses.asdict(c) for c in self.cores],
            "gpus": [dataclasses.asdict(g) for g in self.gpus],
            "cpu_quota": self.cpu_quota,
            "memory": self.memory,
        }


def kind_name(rank: int) -> str:
    """Return the name of the kind of cores at `rank`, the fastest being 0: `P`, `E`, `E2`, …."""
    return "P" if rank == 0 else "E" if rank == 1 else f"E{rank}"


def kind_rank(kind: str | None) -> int:
    """Return the place of a kind by speed, 0 the fastest: the inverse of `kind_name`; 0 where cores
    are alike.
    """
    return 0 if kind is None or kind == "P" else int(kind[1:] or 1)


def flat_topology(host: str, pus: tuple[int, ...]) -> Topology:
    """Return a machine of which only the number of CPUs is known: a core each, one package, one
    node.
    """
    return Topology(
        host=host,
        packages=(Package(None, pus),),
        numa_nodes=(NumaNode(0, pus),),
        cores=tuple(Core((pu,), None, (0,)) for pu in pus),
        online=pus,
        allowed=pus,
    )
