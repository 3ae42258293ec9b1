"""Read this machine's topology: CPUs and NUMA nodes from sysfs, GPUs from their drivers.

Plain files under any root, so that captures of other machines read the same way. Facts on old and
odd kernels follow hwloc's reading of the same files. What the control groups of this process
(versions 1 and 2) allow it stands at the end: a limit may stand at the group itself or at any above
it; inside a container the group is often mounted at the top. That a file is missing means no limit.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH112, PTH123, PTH208

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from runslot.errors import InvalidInput
from runslot.hardware.topology import Core, NumaNode, Package, Topology, flat_topology, kind_name

APART = 1.2
"""Kinds of cores differ in speed by this factor at least."""


def probe(*, gpus: bool = True) -> Topology:
    """Return this machine: its CPUs, those that this process may use, and its GPUs unless `gpus` is
    false.

    Where there is no sysfs (macOS), every CPU counts as a core of its own.
    """
    host = socket.gethostname()
    if not sys.platform.startswith("linux"):
        return flat_topology(host, tuple(range(os.cpu_count() or 1)))
    affinity = os.sched_getaffinity(0)
    try:
        topology = read_topology()
    except InvalidInput:
        topology = flat_topology(host, tuple(sorted(affinity)))
    allowed = tuple(sorted(affinity.intersection(topology.online))) or topology.online
    topology = replace(topology, host=host, allowed=allowed)
    if not gpus:
        return topology
    from runslot.hardware.gpus import find_gpus

    gpus_here, notes = find_gpus(pci_locality)
    return replace(topology, gpus=gpus_here, notes=notes)


def read_topology(root: Path = Path("/")) -> Topology:
    """Return the machine whose `sys` and, where it matters, `proc` lie under `root`; its GPUs are
    not in these files.

    `allowed` are the PUs that `proc/self/status` and the cpuset cgroups (version 1 or 2) under the
    root allow, all that are online where these files are missing. Raises `InvalidInput` where there
    is no machine under `root`.
    """
    base = f"{root}/sys/devices/system"
    online = _online(f"{base}/cpu")
    if not online:
        raise InvalidInput(
            f"no CPUs under {root}: expected {base}/cpu with a directory for each CPU"
        )
    packages = _packages(f"{base}/cpu", online)
    memory = _memory(f"{root}/proc/meminfo")
    nodes = _numa_nodes(f"{base}/node", online, memory) or (
        NumaNode(0, tuple(sorted(online)), memory),
    )
    kinds = _kinds(f"{root}/sys/devices", online)
    return Topology(
        host=socket.gethostname() if root == Path("/") else root.name,
        packages=packages,
        numa_nodes=nodes,
        cores=_cores(f"{base}/cpu", online, packages, nodes, kinds),
        online=tuple(sorted(online)),
        allowed=tuple(sorted(_allowed(str(root), online))),
        distances=_distances(f"{base}/node", [node.id for node in nodes]),
        cpu_quota=cpu_quota(str(root)),
        memory=_usable_memory(str(root), memory, nodes),
    )


def _online(cpu: str) -> set[int]:
    cpu_list = _read(f"{cpu}/online")
    if cpu_list:
        return set(_parse_list(cpu_list))
    present = {n for n in _numbered(cpu, "cpu") if _read(f"{cpu}/cpu{n}/online") != "0"}
    # Without `online` files, CPUs that are off have no `topology`; kernels for one CPU have it
    # nowhere.
    return {n for n in present if os.path.isdir(f"{cpu}/cpu{n}/topology")} or present


def _packages(cpu: str, online: set[int]) -> tuple[Package, ...]:
    ids = {pu: _number(f"{cpu}/cpu{pu}/topology/physical_package_id") for pu in online}
    packages, assigned = [], set[int]()
    for pu in sorted(online):
        if pu not in assigned:
            siblings = _siblings(f"{cpu}/cpu{pu}/topology", ("package_cpus", "core_siblings"))
            alike = siblings or {other for other in online if ids[other] == ids[pu]}
            members = alike & online - assigned | {pu}
            assigned |= members
            packages.append(Package(None if ids[pu] == -1 else ids[pu], tuple(sorted(members))))
    return tuple(packages)


def _cores(
    cpu: str,
    online: set[int],
    packages: Iterable[Package],
    nodes: Iterable[NumaNode],
    kinds: dict[int, str],
) -> tuple[Core, ...]:
    package_of = {pu: p.id for p in packages for pu in p.pus}
    nodes_of: dict[int, tuple[int, ...]] = {}
    for node in nodes:
        for pu in node.pus:
            nodes_of[pu] = (*nodes_of.get(pu, ()), node.id)
    cores, assigned = [], set[int]()
    for pu in sorted(online):
        if pu in assigned:
            continue
        where = f"{cpu}/cpu{pu}/topology"
        members = _siblings(where, ("core_cpus", "thread_siblings")) & online - assigned | {pu}
        if len(members) > 1:
            # The two cores of an AMD Bulldozer module are listed as siblings, but have their own
            # core_id.
            mine = _number(f"{where}/core_id")
            members = {m for m in members if _number(f"{cpu}/cpu{m}/topology/core_id") == mine}
        assigned |= members
        numa = tuple(sorted({n for m in members for n in nodes_of.get(m, ())}))
        cores.append(Core(tuple(sorted(members)), package_of[pu], numa, kinds.get(pu)))
    return tuple(cores)


def _numa_nodes(node: str, online: set[int], memory: int | None) -> tuple[NumaNode, ...]:
    """Return the nodes; nothing where two of them claim one CPU, which is the slip of a
    firmware.
    """
    node_list = _read(f"{node}/online")
    numbers = _parse_list(node_list) if node_list else _numbered(node, "node")
    nodes = []
    for n in sorted(numbers):
        pus = _mask_or_list(f"{node}/node{n}/cpulist", f"{node}/node{n}/cpumap") & online
        nodes.append(NumaNode(n, tuple(sorted(pus)), _memory(f"{node}/node{n}/meminfo")))
    if sum(len(numa_node.pus) for numa_node in nodes) > len(
        {pu for numa_node in nodes for pu in numa_node.pus}
    ):
        return ()
    # a node's own sum lacks what a virtual machine was given later
    if len(nodes) == 1 and memory is not None:
        nodes = [replace(nodes[0], memory=memory)]
    return tuple(nodes)


def _usable_memory(root: str, total: int | None, nodes: Iterable[NumaNode]) -> int | None:
    """Return the bytes that this process may use: what the machine has, and a cpuset and the
    control groups allow.
    """
    limits = [total, memory_limit(root)]
    for line in _read(f"{root}/proc/self/status").splitlines():
        if line.startswith("Mems_allowed_list:"):
            near = set(_parse_list(line.split(":")[1]))
            if any(node.memory and node.id not in near for node in nodes):
                limits.append(sum(node.memory or 0 for node in nodes if node.id in near))
    return min((limit for limit in limits if limit), default=None)


def _distances(node: str, numbers: list[int]) -> tuple[tuple[int, ...], ...]:
    rows = tuple(tuple(int(d) for d in _read(f"{node}/node{n}/distance").split()) for n in numbers)
    return rows if all(len(row) == len(numbers) for row in rows) else ()


def _kinds(devices: str, online: set[int]) -> dict[int, str]:
    """Return the kind of each PU of a hybrid machine, nothing where all are alike.

    Intel says which CPUs belong to which kind, Arm how fast each is; else the highest frequency
    tells, where groups of CPUs are well apart (favoured cores of one kind differ by a few percent).
    """
    groups = [
        set(_parse_list(_read(f"{devices}/cpu_{name}/cpus"))) & online
        for name in ("core", "atom", "lowpower")
    ]
    groups = [group for group in groups if group]
    if len(groups) < 2:
        cpu = f"{devices}/system/cpu"
        groups = _speed_groups(f"{cpu}/cpu{{}}/cpu_capacity", online)
        if len(groups) < 2:
            groups = _speed_groups(f"{cpu}/cpu{{}}/cpufreq/cpuinfo_max_freq", online)
    if len(groups) < 2:
        return {}
    return {pu: kind_name(rank) for rank, group in enumerate(groups) for pu in group}


def _speed_groups(file: str, online: set[int]) -> list[set[int]]:
    speeds = {pu: _number(file.format(pu)) for pu in online}
    groups: list[set[int]] = []
    last = None
    for pu, speed in sorted(speeds.items(), key=lambda item: -(item[1] or 0)):
        if speed is None:
            return []
        if last is None or speed * APART < last:
            groups.append(set())
        groups[-1].add(pu)
        last = speed
    return groups


def _allowed(root: str, online: set[int]) -> set[int]:
    allowed = set(online)
    for line in _read(f"{root}/proc/self/status").splitlines():
        if line.startswith("Cpus_allowed_list:"):
            allowed &= set(_parse_list(line.split(":")[1]))
    text = cpuset(root)
    if text:
        allowed &= set(_parse_list(text))
    return allowed or online


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


_V1_MOUNTS = {
    "cpuset": ("sys/fs/cgroup/cpuset", "dev/cpuset"),
    "cpu": ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"),
    "memory": ("sys/fs/cgroup/memory",),
}
_V2_MOUNTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified")


def cpuset(root: str) -> str:
    """Return the CPUs that the nearest cpuset allows, as the kernel's list; an empty string where
    there is none.
    """
    v1, v2 = (
        ("cpuset.effective_cpus", "cpuset.cpus", "cpus"),
        (
            "cpuset.cpus.effective",
            "cpuset.cpus",
        ),
    )
    for directory, version in _directories(root, "cpuset"):
        for name in v2 if version == 2 else v1:
            text = _read(f"{directory}/{name}")
            if text:
                return text
    return ""


def cpu_quota(root: str) -> float | None:
    """Return how many CPUs' time the groups allow, the least of all; None where they allow all."""
    quotas = []
    for directory, version in _directories(root, "cpu"):
        if version == 2:
            quota, _, period = _read(f"{directory}/cpu.max").partition(" ")
        else:
            quota, period = (
                _read(f"{directory}/cpu.cfs_quota_us"),
                _read(f"{directory}/cpu.cfs_period_us"),
            )
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):  # not `max`, -1
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(root: str) -> int | None:
    """Return how many bytes the groups allow, the least of all; None where they have no limit."""
    texts = [
        _read(f"{directory}/{'memory.max' if version == 2 else 'memory.limit_in_bytes'}")
        for directory, version in _directories(root, "memory")
    ]
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _directories(root: str, controller: str) -> Iterator[tuple[str, int]]:
    """Yield where the files of a controller may lie, with its version: its own group first, then
    those above.
    """
    for line in _read(f"{root}/proc/self/cgroup").splitlines() or ["0::/"]:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            mounts: tuple[str, ...] = _V2_MOUNTS
            version = 2
        elif controller in controllers.split(","):
            mounts, version = _V1_MOUNTS[controller], 1
        else:
            continue
        parts = [part for part in path.split("/") if part]
        above = ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]
        yield from ((f"{root}/{mount}/{group}", version) for mount in mounts for group in above)


# ---- files of the kernel: one that cannot be read says nothing -----------------------------------


def pci_locality(address: str, root: Path = Path("/")) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the NUMA nodes and the PUs beside a PCI device (`0000:3b:00.0`); empty where the
    kernel does not know.
    """
    where = f"{root}/sys/bus/pci/devices/{address.lower()}"
    node = _number(f"{where}/numa_node")
    pus = _mask_or_list(f"{where}/local_cpulist", f"{where}/local_cpus")
    return (() if node is None or node < 0 else (node,)), tuple(sorted(pus))


def _number(path: str) -> int | None:
    """Return the whole number in a file; None where there is none."""
    text = _read(path)
    return int(text) if text.lstrip("-").isdigit() else None


def _mask_or_list(list_file: str, mask_file: str) -> set[int]:
    """Return the numbers that a list names, or the mask of an older kernel."""
    text = _read(list_file)
    return set(_parse_list(text)) if text else set(_parse_mask(_read(mask_file)))


def _parse_list(text: str) -> list[int]:
    """Return the numbers of a kernel list such as `0-3,8,10-11`."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        if part:
            low, _, high = part.partition("-")
            numbers.extend(range(int(low), int(high or low) + 1))
    return numbers


def _parse_mask(text: str) -> list[int]:
    """Return the set bits of a kernel mask such as `00000000,0000ffff`."""
    bits = int(text.replace(",", "") or "0", 16)
    return [i for i in range(bits.bit_length()) if bits >> i & 1]


def _read(path: str) -> str:
    """Return the text of a kernel's file, or an empty string where it cannot be read."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _numbered(directory: str, prefix: str) -> list[int]:
    """Return the numbers behind a prefix among the names of a directory: `cpu0`, `cpu1`, …"""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(
        int(n[len(prefix) :]) for n in names if n.startswith(prefix) and n[len(prefix) :].isdigit()
    )
