"""Read this machine's topology: CPUs and NUMA nodes from sysfs, GPUs from their drivers.

Plain files under any root, so that captures of other machines read the same way. Facts on old and odd kernels follow
hwloc's reading of the same files.
"""

# ruff: noqa: PTH (thousands of small files: plain strings read in a third of the time)

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from runslot.errors import InvalidInput
from runslot.hardware.topology import Core, NumaNode, Package, Topology, flat_topology


def probe() -> Topology:
    """Return this machine: its CPUs, those that this process may use, and its GPUs.

    Where there is no sysfs (macOS), every CPU counts as a core of its own.
    """
    host = socket.gethostname()
    if not sys.platform.startswith("linux"):
        return flat_topology(host, tuple(range(os.cpu_count() or 1)))
    allowed = os.sched_getaffinity(0)
    try:
        topology = read_topology()
    except InvalidInput:
        return flat_topology(host, tuple(sorted(allowed)))
    online = tuple(sorted(allowed.intersection(topology.online))) or topology.online
    return replace(topology, host=host, allowed=online)


def read_topology(root: Path = Path("/")) -> Topology:
    """Return the machine whose `sys` lies under `root`, without GPUs.

    `allowed` is what cgroups and `proc/self/status` under the root allow, all online PUs where they say nothing.
    Raises `InvalidInput` where there is no such machine.
    """
    base = f"{root}/sys/devices/system"
    online = _online(f"{base}/cpu")
    if not online:
        raise InvalidInput(f"no CPUs under {root}: expected {base}/cpu with a directory for each CPU")
    packages = _packages(f"{base}/cpu", online)
    nodes = _numa_nodes(f"{base}/node", online)
    return Topology(
        host=str(root),
        packages=packages,
        numa_nodes=nodes,
        cores=_cores(f"{base}/cpu", online, packages, nodes),
        online=tuple(sorted(online)),
        allowed=tuple(sorted(online)),
    )


def _online(cpu: str) -> set[int]:
    listed = _read(f"{cpu}/online")
    if listed:
        return set(parse_list(listed))
    numbers = _numbered(cpu, "cpu")
    return {n for n in numbers if _read(f"{cpu}/cpu{n}/online") != "0" and Path(f"{cpu}/cpu{n}/topology").is_dir()}


def _packages(cpu: str, online: set[int]) -> tuple[Package, ...]:
    packages, taken = [], set[int]()
    for pu in sorted(online):
        if pu not in taken:
            where = f"{cpu}/cpu{pu}/topology"
            members = _siblings(where, ("package_cpus", "core_siblings")) & online - taken | {pu}
            taken |= members
            number = _number(f"{where}/physical_package_id")
            packages.append(Package(None if number == -1 else number, tuple(sorted(members))))
    return tuple(packages)


def _cores(cpu: str, online: set[int], packages: Iterable[Package], nodes: Iterable[NumaNode]) -> tuple[Core, ...]:
    package_of = {pu: p.id for p in packages for pu in p.pus}
    nodes_of: dict[int, tuple[int, ...]] = {}
    for node in nodes:
        for pu in node.pus:
            nodes_of[pu] = (*nodes_of.get(pu, ()), node.id)
    cores, taken = [], set[int]()
    for pu in sorted(online):
        if pu in taken:
            continue
        where = f"{cpu}/cpu{pu}/topology"
        members = _siblings(where, ("core_cpus", "thread_siblings")) & online - taken | {pu}
        if len(members) > 1:
            # The two cores of an AMD Bulldozer module are listed as siblings, but have their own core_id.
            mine = _number(f"{where}/core_id")
            members = {m for m in members if _number(f"{cpu}/cpu{m}/topology/core_id") == mine}
        taken |= members
        numa = tuple(sorted({n for m in members for n in nodes_of.get(m, ())}))
        cores.append(Core(tuple(sorted(members)), package_of[pu], numa))
    return tuple(cores)


def _numa_nodes(node: str, online: set[int]) -> tuple[NumaNode, ...]:
    listed = _read(f"{node}/online")
    numbers = parse_list(listed) if listed else _numbered(node, "node")
    if not numbers:
        return (NumaNode(0, tuple(sorted(online))),)
    nodes = []
    for n in sorted(numbers):
        pus = _mask_or_list(f"{node}/node{n}/cpulist", f"{node}/node{n}/cpumap") & online
        nodes.append(NumaNode(n, tuple(sorted(pus)), _memory(f"{node}/node{n}/meminfo")))
    return tuple(nodes)


def _memory(path: str) -> int | None:
    for line in _read(path).splitlines():
        if "MemTotal:" in line:
            return int(line.split("MemTotal:")[1].split()[0]) * 1024
    return None


def _siblings(where: str, names: tuple[str, ...]) -> set[int]:
    for name in names:
        members = _mask_or_list(f"{where}/{name}_list", f"{where}/{name}")
        if members:
            return members
    return set()


def _mask_or_list(list_file: str, mask_file: str) -> set[int]:
    text = _read(list_file)
    return set(parse_list(text)) if text else set(parse_mask(_read(mask_file)))


def parse_list(text: str) -> list[int]:
    """Return the numbers of a kernel list such as `0-3,8,10-11`."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        if part:
            low, _, high = part.partition("-")
            numbers.extend(range(int(low), int(high or low) + 1))
    return numbers


def parse_mask(text: str) -> list[int]:
    """Return the set bits of a kernel mask such as `00000000,0000ffff`."""
    bits = int(text.replace(",", "") or "0", 16)
    return [i for i in range(bits.bit_length()) if bits >> i & 1]


def _numbered(directory: str, prefix: str) -> list[int]:
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(int(n[len(prefix) :]) for n in names if n.startswith(prefix) and n[len(prefix) :].isdigit())


def _number(path: str) -> int | None:
    text = _read(path)
    return int(text) if text.lstrip("-").isdigit() else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
