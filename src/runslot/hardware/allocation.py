"""The part of a machine that an affinity code counts: the cores that this process may use, from 0.

Pure. Inside an allocation (taskset, a cpuset, a cluster's job) core 0 of a code is the first core
that is allowed. Where all of a machine is allowed, and numbered from 0, a code's CPUs are the
kernel's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from runslot.errors import AffinityError
from runslot.hardware.topology import Core, NumaNode, Package, Topology
from runslot.hardware.visibility import Affinity, AttrDict


class AllowedCores:
    """The allowed cores of a machine, as codes number them."""

    def __init__(self, topology: Topology) -> None:
        allowed = set(topology.allowed)
        parts = [tuple(pu for pu in core.pus if pu in allowed) for core in topology.cores]
        self._cores = sorted(pus for pus in parts if pus)
        """The allowed PUs of each core."""
        self._whole = topology.allowed == topology.online == tuple(range(len(topology.online)))
        self._topology = topology

    def counted(self) -> Topology:
        """Return the machine with its PUs numbered as a code's: the first of every core, then the
        second ones.
        """
        if self._whole:
            return self._topology
        depth = max(map(len, self._cores), default=0)
        order = [pus[thread] for thread in range(depth) for pus in self._cores if len(pus) > thread]
        number = {pu: place for place, pu in enumerate(order)}
        everything = tuple(range(len(order)))
        return replace(
            self._topology,
            cores=tuple(
                Core(_renumbered(core.pus, number), core.package, core.numa, core.kind)
                for core in sorted(self._topology.cores, key=lambda core: core.pus)
                if _renumbered(core.pus, number)
            ),
            packages=tuple(
                Package(package.id, _renumbered(package.pus, number))
                for package in self._topology.packages
                if _renumbered(package.pus, number)
            ),
            numa_nodes=tuple(
                NumaNode(node.id, _renumbered(node.pus, number), node.memory)
                for node in self._topology.numa_nodes
            ),
            online=everything,
            allowed=everything,
        )

    def pus(self, cpus: Iterable[int], offset: int) -> tuple[int, ...]:
        """Return the kernel's numbers of a code's CPUs; `offset` is the code's distance of a core's
        two CPUs.

        Raises `AffinityError` for a CPU that is not there.
        """
        return tuple(self._pu(cpu, offset) for cpu in cpus)

    def _pu(self, cpu: int, offset: int) -> int:
        if self._whole:
            if cpu in self._topology.online:
                return cpu
        else:
            thread, core = divmod(cpu, offset) if offset else (0, cpu)
            if core < len(self._cores) and thread < len(self._cores[core]):
                return self._cores[core][thread]
        cores = "1 core" if len(self._cores) == 1 else f"{len(self._cores)} cores"
        raise AffinityError(
            f"uses CPU {cpu}, but this process may use {cores} of {self._topology.host}"
        )


def renumber(affinity: Affinity, pus: Mapping[int, int]) -> Affinity:
    """Return the affinity with other numbers for its CPUs: in every field whose name ends in
    `cpus`.
    """
    if isinstance(affinity, list):
        return [_renumber(part, pus) for part in affinity]
    return _renumber(affinity, pus)


def _renumber(part: Mapping[str, Any], pus: Mapping[int, int]) -> AttrDict:
    return AttrDict((name, _value(name, value, pus)) for name, value in part.items())


def _value(name: str, value: Any, pus: Mapping[int, int]) -> Any:
    if isinstance(value, Mapping):
        return _renumber(value, pus)
    if isinstance(value, (list, tuple)):
        return type(value)(_value(name, item, pus) for item in value)
    return pus[value] if name.endswith("cpus") else value


def _renumbered(pus: Iterable[int], number: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(sorted(number[pu] for pu in pus if pu in number))
