"""Which cores go together: slots of so many cores each, close to each other and to their GPUs.

Pure. A domain is the part of a NUMA node that lies in one package, the smallest place that has
memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from runslot.hardware.resources import Threads
from runslot.hardware.topology import Core, Gpu, Topology, kind_rank
from runslot.record import record

LOCAL, REMOTE = 10, 20
"""NUMA distances within a node and to another one where the kernel gives none (ACPI's values)."""


@record
class Unit:
    """What counts as one core: a physical core with the PUs that its run gets, or one hardware
    thread.
    """

    core: Core
    pus: tuple[int, ...]
    rank: int
    """Of its kind: 0 is the fastest."""
    domain: int


@record
class Domain:
    """A part of a NUMA node inside one package."""

    node: int | None
    package: int
    """Position in `Topology.packages`."""


class Cores:
    """The free cores of a machine, handed out a slot at a time."""

    def __init__(self, topology: Topology, threads: Threads) -> None:
        self._domains, self._domain_of = _domains(topology)
        self._distance = _distances(topology, self._domains)
        self._free: dict[tuple[int, int], list[Unit]] = {}  # by rank and domain
        for unit in _units(topology, threads, self._domain_of):
            self._free.setdefault((unit.rank, unit.domain), []).append(unit)

    def __len__(self) -> int:
        return sum(map(len, self._free.values()))

    def reserve(self, count: int, width: int) -> None:
        """Take `count` cores out, of the slowest kind and where slots of `width` would leave some
        over.
        """
        for _ in range(count):
            slowest = max((rank for (rank, _), units in self._free.items() if units), default=None)
            if slowest is None:
                return
            places = [
                (key, units) for key, units in self._free.items() if key[0] == slowest and units
            ]
            _, units = max(places, key=lambda place: (len(place[1]) % width, -place[0][1]))
            units.pop(0)

    def slots(self, width: int, count: int) -> list[list[Unit]]:
        """Return up to `count` slots of `width` cores: of one kind first, inside nodes, then
        packages, then beyond.
        """
        slots: list[list[Unit]] = []
        ranks = sorted({rank for rank, _ in self._free})
        for kinds in [*([rank] for rank in ranks), ranks]:
            for place in self._places():
                for domains in _grouped(range(len(self._domains)), place):
                    while len(slots) < count and self._has(kinds, domains) >= width:
                        slots.append(self._gather(kinds, domains, width))
        return slots

    def beside(self, domains: frozenset[int], width: int) -> list[Unit]:
        """Return a slot of `width` cores in or as near as possible to `domains`, of one kind while
        that is possible.
        """
        ranks = sorted({rank for rank, _ in self._free})
        everywhere = range(len(self._domains))
        for where in (domains, everywhere):
            for kinds in [*([rank] for rank in ranks), ranks]:
                if self._has(kinds, where) >= width:
                    return self._gather(kinds, where, width, domains)
        return []

    def count_in(self, domains: Iterable[int]) -> int:
        """Return how many free cores `domains` have."""
        return self._has(sorted({rank for rank, _ in self._free}), domains)

    def local_to(self, gpus: Iterable[Gpu]) -> frozenset[int]:
        """Return the domains beside `gpus` that have cores; all of them where the machine does not
        say.
        """
        occupied = [d for d in range(len(self._domains)) if self.count_in([d])]
        domains: set[int] = set()
        for gpu in gpus:
            near = {self._domain_of[pu] for pu in gpu.pus if pu in self._domain_of}.intersection(
                occupied
            )
            near = near or {d for d in occupied if self._domains[d].node in gpu.numa}
            if not near and gpu.numa:  # its node has no core that we may use
                seeds = [d for d, domain in enumerate(self._domains) if domain.node in gpu.numa]
                far = {
                    d: min((self._distance[d][seed] for seed in seeds), default=0) for d in occupied
                }
                near = {d for d in occupied if far[d] == min(far.values())}
            domains |= near
        return frozenset(domains or occupied)

    def _places(self) -> list[Callable[[int], Hashable]]:
        return [
            lambda d: d,
            lambda d: self._domains[d].node,
            lambda d: self._domains[d].package,
            lambda _: None,
        ]

    def _has(self, kinds: Iterable[int], domains: Iterable[int]) -> int:
        domains = list(domains)
        return sum(len(self._free.get((rank, d), ())) for rank in kinds for d in domains)

    def _gather(
        self,
        kinds: list[int],
        domains: Iterable[int],
        width: int,
        start: frozenset[int] = frozenset(),
    ) -> list[Unit]:
        """Take `width` cores out of `domains`: from as few as possible, each the nearest to those
        before.
        """
        counts = {d: n for d in domains if (n := self._has(kinds, [d]))}
        far = {d: min((self._distance[d][s] for s in start), default=0.0) for d in counts}
        units: list[Unit] = []
        while len(units) < width:
            need = width - len(units)
            # The nearest; then the one that is just large enough, else the largest.
            best = min(counts, key=lambda d: (far[d], counts[d] < need, abs(counts[d] - need), d))
            del counts[best]
            for rank in kinds:
                candidates = self._free.get((rank, best), [])
                part = candidates[: width - len(units)]
                del candidates[: len(part)]
                units += part
            for d in counts:  # how far each is from all that were taken
                far[d] += self._distance[d][best]
        return units


def _domains(topology: Topology) -> tuple[list[Domain], dict[int, int]]:
    """Return the domains of a machine, and the number of each PU's."""
    package_of = {pu: i for i, package in enumerate(topology.packages) for pu in package.pus}
    domains: dict[Domain, int] = {}
    domain_of: dict[int, int] = {}
    for core in topology.cores:
        domain = Domain(core.numa[0] if core.numa else None, package_of.get(core.pus[0], 0))
        number = domains.setdefault(domain, len(domains))
        domain_of.update(dict.fromkeys(core.pus, number))
    return list(domains), domain_of


def _distances(topology: Topology, domains: list[Domain]) -> list[list[float]]:
    rows: dict[int | None, int] = {node.id: i for i, node in enumerate(topology.numa_nodes)}

    def between(a: Domain, b: Domain) -> float:
        if a == b:
            return 0
        if topology.distances and a.node in rows and b.node in rows:
            apart = topology.distances[rows[a.node]][rows[b.node]]
        else:
            apart = LOCAL if a.node == b.node else REMOTE
        return apart + (0 if a.package == b.package else 0.5)

    return [[between(a, b) for b in domains] for a in domains]


def _units(topology: Topology, threads: Threads, domain_of: dict[int, int]) -> list[Unit]:
    allowed = set(topology.allowed)
    units = []
    for core in topology.cores:
        pus = tuple(pu for pu in core.pus if pu in allowed)
        if not pus:
            continue
        groups = (
            [(pu,) for pu in pus] if threads == "cores" else [pus[:1] if threads == "one" else pus]
        )
        units += [
            Unit(core, group, kind_rank(core.kind), domain_of[core.pus[0]]) for group in groups
        ]
    return units


def _grouped(domains: Iterable[int], place: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for domain in domains:
        groups.setdefault(place(domain), []).append(domain)
    return list(groups.values())
