"""Reading machines: 20 captures against hwloc's reading of them, and shapes that sysfs can take."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runslot.errors import InvalidInput
from runslot.hardware.probe import pci_locality, probe, read_topology

GOLDEN = json.loads((Path(__file__).parents[2] / "data/topologies/golden.json").read_text())


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def cpus(count: int, threads: int = 1) -> dict[str, str]:
    """Return the files of `count` cores in one package; the threads of a core are neighbours."""
    files = {"sys/devices/system/cpu/online": f"0-{count * threads - 1}"}
    for pu in range(count * threads):
        first = pu - pu % threads
        where = f"sys/devices/system/cpu/cpu{pu}/topology"
        files[f"{where}/thread_siblings_list"] = (
            f"{first}-{first + threads - 1}" if threads > 1 else str(pu)
        )
        files[f"{where}/core_siblings_list"] = f"0-{count * threads - 1}"
        files[f"{where}/core_id"] = str(first // threads)
        files[f"{where}/physical_package_id"] = "0"
    return files


@pytest.mark.parametrize("name", GOLDEN)
def test_agrees_with_hwloc(name, capture):
    said = GOLDEN[name]
    root = capture(name)
    seen = json.loads(json.dumps(read_topology(root).to_json()))
    assert seen["online"] == said["online"]
    assert seen["packages"] == said["packages"]
    assert [(n["id"], n["pus"]) for n in seen["numa_nodes"]] == [
        (n["id"], n["pus"]) for n in said["numa_nodes"]
    ]
    # else the memory is in proc/meminfo, which is not captured
    if (root / "sys/devices/system/node").exists():
        assert seen["numa_nodes"] == said["numa_nodes"]
    assert [{k: v for k, v in core.items() if k != "kind"} for core in seen["cores"]] == said[
        "cores"
    ]


@pytest.mark.parametrize("name", GOLDEN)
def test_kinds_of_cores_are_those_of_hwloc(name, capture):
    kinds: dict[str | None, list[int]] = {}
    for core in read_topology(capture(name)).cores:
        kinds.setdefault(core.kind, []).extend(core.pus)
    said = GOLDEN[name]["kinds"]
    if not said:
        assert list(kinds) == [None]
    else:
        assert {kind: sorted(pus) for kind, pus in kinds.items()} == {
            "E": said[0]["pus"],
            "P": said[1]["pus"],
        }


@pytest.mark.parametrize("name", GOLDEN)
def test_devices_are_beside_the_nodes_that_hwloc_says(name, capture):
    for device in GOLDEN[name]["pci"]:
        numa, pus = pci_locality(device["address"], capture(name))
        if numa:
            assert (list(numa), list(pus)) == (device["numa"], device["pus"])
        else:  # the kernel says -1 and all PUs; hwloc makes a choice there
            assert set(device["pus"]) <= set(pus)


def test_distances_are_in_the_order_of_nodes(capture):
    topology = read_topology(capture("memorysidecaches"))
    assert len(topology.distances) == 4
    assert all(row[i] == min(row) for i, row in enumerate(topology.distances))


def test_arm_kinds_follow_capacity_and_favoured_cores_are_no_kind(tmp_path):
    capacities = {
        f"sys/devices/system/cpu/cpu{pu}/cpu_capacity": c
        for pu, c in enumerate(("400", "400", "1024"))
    }
    assert [c.kind for c in read_topology(put(tmp_path / "arm", cpus(3) | capacities)).cores] == [
        "E",
        "E",
        "P",
    ]
    frequencies = {
        f"sys/devices/system/cpu/cpu{pu}/cpufreq/cpuinfo_max_freq": f
        for pu, f in enumerate(("5000000", "5200000"))
    }
    assert {
        c.kind for c in read_topology(put(tmp_path / "turbo", cpus(2) | frequencies)).cores
    } == {None}


def test_three_kinds_of_intel(tmp_path):
    kinds = {
        "sys/devices/cpu_core/cpus": "0",
        "sys/devices/cpu_atom/cpus": "1-2",
        "sys/devices/cpu_lowpower/cpus": "3",
    }
    assert [c.kind for c in read_topology(put(tmp_path, cpus(4) | kinds)).cores] == [
        "P",
        "E",
        "E",
        "E2",
    ]


def test_threads_switched_off_leave_cores_with_one_pu(tmp_path):
    files = cpus(2, threads=2) | {"sys/devices/system/cpu/online": "0,2"}
    assert [core.pus for core in read_topology(put(tmp_path, files)).cores] == [(0,), (2,)]


def test_a_masked_sysfs_has_a_core_for_each_pu(tmp_path):
    topology = read_topology(put(tmp_path, {"sys/devices/system/cpu/online": "0-2,8"}))
    assert [core.pus for core in topology.cores] == [(0,), (1,), (2,), (8,)]
    assert topology.numa_nodes[0].pus == (0, 1, 2, 8)


def test_a_kernel_for_one_cpu_and_one_that_says_little(tmp_path):
    topology = read_topology(put(tmp_path / "one", {"sys/devices/system/cpu/cpu0/uevent": ""}))
    assert (topology.online, len(topology.packages), len(topology.cores)) == ((0,), 1, 1)
    where = "sys/devices/system/cpu"
    files = {f"{where}/cpu{pu}/topology/physical_package_id": str(pu % 2) for pu in range(4)}
    topology = read_topology(put(tmp_path / "little", files))
    assert [(p.id, p.pus) for p in topology.packages] == [(0, (0, 2)), (1, (1, 3))]


def test_nodes_may_have_no_cpus_and_distances_may_be_missing(tmp_path):
    node = "sys/devices/system/node"
    files = cpus(2) | {
        f"{node}/online": "0,4",
        f"{node}/node0/cpulist": "0-1",
        f"{node}/node4/cpulist": "",
        f"{node}/node4/meminfo": "Node 4 MemTotal:       98304 kB",
    }
    topology = read_topology(put(tmp_path, files))
    assert [(n.id, n.pus, n.memory) for n in topology.numa_nodes] == [
        (0, (0, 1), None),
        (4, (), 98304 * 1024),
    ]
    assert topology.distances == ()


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/status": "Name:\tpython\nCpus_allowed_list:\t1-2"},
        {"proc/self/cgroup": "0::/user/me", "sys/fs/cgroup/user/cpuset.cpus.effective": "1-2"},
        {"sys/fs/cgroup/cpuset.cpus.effective": "1-2"},
        {
            "proc/self/cgroup": "3:cpu,cpuset:/job\n0::/x",
            "sys/fs/cgroup/cpuset/job/cpuset.cpus": "1-2",
            "sys/fs/cgroup/cpuset/cpuset.cpus": "0-3",
        },
        {
            "proc/self/cgroup": "5:cpuset:/docker/abc",
            "sys/fs/cgroup/cpuset/cpuset.effective_cpus": "1-2",
        },
    ],
    ids=[
        "affinity",
        "version 2",
        "version 2 in a container",
        "version 1",
        "version 1 in a container",
    ],
)
def test_allowed_follows_cpusets(files, tmp_path):
    topology = read_topology(put(tmp_path, cpus(4) | files))
    assert topology.allowed == (1, 2)
    assert topology.online == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        (
            {
                "proc/self/cgroup": "0::/job/step",
                "sys/fs/cgroup/job/step/cpu.max": "400000 100000",
                "sys/fs/cgroup/job/cpu.max": "200000 100000",
                "sys/fs/cgroup/cpu.max": "max 100000",
            },
            2,
        ),
        ({"sys/fs/cgroup/cpu.max": "25000 50000"}, 0.5),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n0::/",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        ({}, None),
    ],
    ids=[
        "version 2",
        "no quota",
        "of a group above",
        "in a container",
        "version 1",
        "version 1, none",
        "no groups",
    ],
)
def test_quotas_of_cpu_time_are_those_of_all_groups_above(files, quota, tmp_path):
    assert read_topology(put(tmp_path, cpus(4) | files)).cpu_quota == quota


NODES = {
    "proc/meminfo": "MemTotal:       24000000 kB",
    "sys/devices/system/node/online": "0-1",
    "sys/devices/system/node/node0/cpulist": "0-1",
    "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:       12000000 kB",
    "sys/devices/system/node/node1/cpulist": "2-3",
    "sys/devices/system/node/node1/meminfo": "Node 1 MemTotal:       12000000 kB",
}


@pytest.mark.parametrize(
    ("files", "kilobytes"),
    [
        ({}, 24_000_000),
        ({"sys/fs/cgroup/memory.max": "max"}, 24_000_000),
        (
            {"proc/self/cgroup": "0::/a", "sys/fs/cgroup/memory.max": str(4_000_000 << 10)},
            4_000_000,
        ),
        (
            {
                "proc/self/cgroup": "2:memory:/",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(1 << 62),
            },
            24_000_000,
        ),
        (
            {
                "proc/self/cgroup": "2:memory:/x",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(8_000_000 << 10),
            },
            8_000_000,
        ),
        ({"proc/self/status": "Mems_allowed_list:\t1"}, 12_000_000),
    ],
    ids=["all", "no limit", "version 2", "version 1, none", "version 1", "of one node"],
)
def test_memory_is_what_this_process_may_use(files, kilobytes, tmp_path):
    assert read_topology(put(tmp_path, cpus(4) | NODES | files)).memory == kilobytes << 10


def test_the_memory_of_a_lone_node_is_the_machines_also_where_more_was_given_later(tmp_path):
    node = "sys/devices/system/node"
    files = cpus(2) | {
        "proc/meminfo": "MemTotal:       24684092 kB",
        f"{node}/online": "0",
        f"{node}/node0/cpulist": "0-1",
        f"{node}/node0/meminfo": "Node 0 MemTotal:        7170260 kB",
    }
    topology = read_topology(put(tmp_path, files))
    assert [one.memory for one in topology.numa_nodes] == [topology.memory] == [24684092 << 10]


def test_nodes_that_claim_one_cpu_are_no_nodes(tmp_path):
    node = "sys/devices/system/node"
    files = {
        f"{node}/node0/cpulist": "0-2",
        f"{node}/node1/cpulist": "2-3",
        f"{node}/node1/distance": "20 10",
    }
    topology = read_topology(put(tmp_path, cpus(4) | NODES | files))
    assert [(one.id, one.pus) for one in topology.numa_nodes] == [(0, (0, 1, 2, 3))]
    assert {core.numa for core in topology.cores} == {(0,)}
    assert topology.distances == ()


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no CPUs under"):
        read_topology(tmp_path)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system has no affinity masks"
)
def test_this_machine():
    topology = probe(gpus=False)
    assert set(topology.allowed) == os.sched_getaffinity(0)
    assert sorted(pu for core in topology.cores for pu in core.pus) == list(topology.online)
