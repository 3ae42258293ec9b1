"""Cutting machines into slots: examples, and what holds on every machine."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runslot.errors import DoesNotFit
from runslot.hardware.probe import read_topology
from runslot.hardware.resources import Resources
from runslot.hardware.slots import Slot, carve, describe_slots
from runslot.hardware.topology import Gpu


def check(topology, resources, slots):
    """What holds of every carving: nothing shared, nothing that is not allowed, slots of equal size
    in whole cores.
    """
    used = Counter(pu for slot in slots for pu in slot.pus)
    assert not [pu for pu, times in used.items() if times > 1]
    assert set(used) <= set(topology.allowed)
    assert len({slot.size for slot in slots}) == 1
    cores = Counter(core for slot in slots for core in slot.cores)
    if resources.threads != "cores":
        assert set(cores.values()) == {1}
    for slot in slots:
        assert slot.pus == tuple(sorted(slot.pus))
        assert set(slot.pus) <= {pu for core in slot.cores for pu in core.pus}
        if resources.threads == "all":
            assert set(slot.pus) == {pu for core in slot.cores for pu in core.pus} & set(
                topology.allowed
            )
        if resources.cpus is not None:
            assert slot.size == resources.cpus or slot.shares_cores or resources.threads == "cores"
        assert Slot.from_json(json.loads(json.dumps(slot.to_json()))) == slot
    gpus = Counter(gpu.uuid for slot in slots for gpu in slot.gpus)
    assert all(times <= resources.runs_per_gpu for times in gpus.values())
    assert [slot.index for slot in slots] == list(range(len(slots)))


machines = st.fixed_dictionaries(
    {
        "packages": st.integers(1, 3),
        "nodes": st.integers(1, 3),
        "cores": st.integers(1, 6),
        "smt": st.integers(1, 2),
    }
)
asked = st.builds(
    Resources,
    cpus=st.none() | st.integers(1, 9),
    runs_per_gpu=st.integers(1, 3),
    reserved_cpus=st.integers(0, 3),
    threads=st.sampled_from(["all", "one", "cores"]),
)


@st.composite
def shapes(draw, machine):
    shape = draw(machines)
    nodes = shape["packages"] * shape["nodes"]
    gpus = draw(st.lists(st.integers(0, nodes - 1), max_size=5))
    count = nodes * shape["cores"]
    kinds = draw(
        st.just(()) | st.lists(st.sampled_from(["P", "E"]), min_size=count, max_size=count)
    )
    topology = machine(**shape, gpus=gpus, kinds=tuple(kinds))
    allowed = draw(st.sets(st.sampled_from(topology.online), min_size=1))
    return replace(topology, allowed=tuple(sorted(allowed)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_slots_are_disjoint_and_as_many_as_fit(machine, data):
    topology = data.draw(shapes(machine))
    resources = data.draw(asked)
    gpus = data.draw(st.none() | st.integers(0, 2))
    resources = replace(
        resources, gpus=gpus, runs_per_gpu=1 if gpus == 0 else resources.runs_per_gpu
    )
    runs = data.draw(st.none() | st.integers(1, 30))
    try:
        slots = carve(topology, resources, runs)
    except DoesNotFit:
        return
    check(topology, resources, slots)
    allowed = set(topology.allowed)
    units = sum(
        (
            len(allowed.intersection(core.pus))
            if resources.threads == "cores"
            else bool(allowed.intersection(core.pus))
        )
        for core in topology.cores
    )
    if resources.cpus is not None:
        room = (units - resources.reserved_cpus) // resources.cpus
        per_run = gpus if gpus is not None else min(1, len(topology.gpus))
        if per_run:
            room = min(room, len(topology.gpus) // per_run * resources.runs_per_gpu)
        assert len(slots) == room
    assert describe_slots(topology, slots).startswith(f"{len(slots)} slot")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_captured_machines(capture, golden, data):
    name = data.draw(st.sampled_from(sorted(golden)))
    topology = read_topology(capture(name))
    topology = replace(topology, allowed=tuple(golden[name]["allowed"]))
    resources = data.draw(asked)
    try:
        slots = carve(topology, resources, data.draw(st.none() | st.integers(1, 300)))
    except DoesNotFit:
        assert (resources.cpus or 1) > len(
            topology.allowed
        ) - resources.reserved_cpus or resources.threads != "cores"
        return
    check(topology, resources, slots)
    node_of = {pu: node.id for node in topology.numa_nodes for pu in node.pus}
    across = [slot for slot in slots if len({node_of.get(pu) for pu in slot.pus}) > 1]
    free = Counter(core.numa for core in topology.cores if set(core.pus) & set(topology.allowed))
    if resources.cpus and resources.threads != "cores" and resources.reserved_cpus == 0:
        # A slot lies across nodes only where none had room for it alone.
        inside = Counter(slot.cores[0].numa for slot in slots if slot not in across)
        assert all(count == free[numa] // resources.cpus for numa, count in inside.items())


def pus(slots):
    return [slot.pus for slot in slots]


def test_uneven_machines_use_what_they_have(machine):
    topology = machine(cores=7)
    slots = carve(topology, Resources(cpus=2))
    assert pus(slots) == [(0, 1), (2, 3), (4, 5)]
    assert describe_slots(topology, slots) == "3 slots of 2 cores each (7 cores, 1 spare)"


def test_nothing_stated_divides_the_cores_among_the_runs(machine):
    topology = machine(cores=7)
    assert [len(carve(topology, Resources(), runs)) for runs in (None, 1, 3, 50)] == [7, 1, 3, 7]
    assert carve(topology, Resources(), 1)[0].pus == tuple(range(7))
    assert [slot.size for slot in carve(topology, Resources(), 3)] == [2, 2, 2]


def test_both_threads_one_thread_or_threads_as_cores(machine):
    topology = machine(cores=2, smt=2)
    assert pus(carve(topology, Resources(cpus=1))) == [(0, 2), (1, 3)]
    assert pus(carve(topology, Resources(cpus=1, threads="one"))) == [(0,), (1,)]
    slots = carve(topology, Resources(cpus=1, threads="cores"))
    assert pus(slots) == [(0,), (2,), (1,), (3,)]
    assert all(slot.shares_cores for slot in slots)
    assert not any(
        slot.shares_cores for slot in carve(topology, Resources(cpus=2, threads="cores"))
    )


def test_a_slot_stays_in_a_node_then_in_a_package_then_goes_near(machine):
    topology = machine(packages=2, nodes=2, cores=4)
    assert pus(carve(topology, Resources(cpus=3)))[:4] == [
        (0, 1, 2),
        (4, 5, 6),
        (8, 9, 10),
        (12, 13, 14),
    ]
    assert pus(carve(topology, Resources(cpus=8))) == [tuple(range(8)), tuple(range(8, 16))]
    ring = ((10, 30, 20), (30, 10, 20), (20, 20, 10))
    topology = machine(packages=3, cores=2, distances=ring)
    assert pus(carve(topology, Resources(cpus=4))) == [(0, 1, 4, 5)]


def test_fast_cores_first_and_kinds_apart_while_that_is_possible(machine):
    topology = machine(cores=14, kinds=("E",) * 8 + ("P",) * 6)
    slots = carve(topology, Resources(cpus=3))
    assert [{core.kind for core in slot.cores} for slot in slots] == [{"P"}, {"P"}, {"E"}, {"E"}]
    slots = carve(topology, Resources(cpus=7))
    assert [Counter(core.kind for core in slot.cores) for slot in slots] == [
        {"E": 7},
        {"P": 6, "E": 1},
    ]


def test_reserved_cores_are_slow_ones_or_left_over(machine):
    topology = machine(packages=2, cores=5)
    slots = carve(topology, Resources(cpus=2, reserved_cpus=2))
    assert all(len({core.numa for core in slot.cores}) == 1 for slot in slots)
    assert len(slots) == 4
    hybrid = machine(cores=4, kinds=("P", "P", "E", "E"))
    assert pus(carve(hybrid, Resources(cpus=1, reserved_cpus=2))) == [(0,), (1,)]


def test_gpus_come_with_their_local_cores(machine):
    # As on NCSA Delta: GPU 0 is beside node 3, GPU 3 beside node 0.
    topology = machine(packages=2, nodes=2, cores=4, gpus=(3, 2, 1, 0))
    slots = carve(topology, Resources())
    assert [(slot.gpus[0].index, slot.pus[0] // 4) for slot in slots] == [
        (0, 3),
        (1, 2),
        (2, 1),
        (3, 0),
    ]
    assert [slot.size for slot in slots] == [4, 4, 4, 4]


def test_unstated_cores_are_an_equal_share_of_those_beside_the_gpu(machine):
    topology = machine(packages=2, cores=8, gpus=(0, 0, 0, 0))
    slots = carve(topology, Resources(), 100)
    assert [slot.size for slot in slots] == [2, 2, 2, 2]
    assert all(pu < 8 for slot in slots for pu in slot.pus)
    assert (
        describe_slots(topology, slots)
        == "4 slots of 2 cores and 1 GPU each (16 cores, 8 spare; 4 GPUs)"
    )


def test_second_runs_go_on_gpus_that_have_one_already(machine):
    topology = machine(cores=8, gpus=(0, 0))
    slots = carve(topology, Resources(runs_per_gpu=2))
    assert [slot.gpus[0].index for slot in slots] == [0, 1, 0, 1]
    assert [slot.size for slot in slots] == [2, 2, 2, 2]
    assert "shared by 2 runs" in describe_slots(topology, slots)


def test_several_gpus_are_close_to_each_other(machine):
    topology = machine(packages=2, cores=4, gpus=(0, 1, 0, 1))
    slots = carve(topology, Resources(gpus=2))
    assert [[gpu.index for gpu in slot.gpus] for slot in slots] == [[0, 2], [1, 3]]
    linked = [
        replace(gpu, links=(("GPU-0003", 1),)) if gpu.index == 0 else gpu for gpu in topology.gpus
    ]
    slots = carve(replace(topology, gpus=tuple(linked)), Resources(gpus=2))
    assert [[gpu.index for gpu in slot.gpus] for slot in slots] == [[0, 3], [1, 2]]


def test_runs_without_gpus_do_not_see_them(machine):
    slots = carve(machine(cores=4, gpus=(0,)), Resources(gpus=0))
    assert len(slots) == 4
    assert all(slot.hides_gpus and not slot.gpus for slot in slots)


def test_a_lone_run_gets_the_whole_machine(machine):
    (slot,) = carve(machine(packages=2, cores=4, gpus=(0, 1)), Resources(), 1)
    assert (slot.size, len(slot.gpus)) == (8, 2)


def test_mig_devices_are_gpus_of_their_own_but_not_joined(machine):
    devices = tuple(Gpu(0, f"MIG-{i}", mig=i, visible=f"MIG-{i}") for i in range(3))
    topology = replace(machine(cores=6), gpus=devices)
    assert [slot.gpus[0].mig for slot in carve(topology, Resources(), 1)] == [0, 1, 2]
    with pytest.raises(DoesNotFit, match="one MIG device"):
        carve(topology, Resources(gpus=2))


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(cpus=5), "cpus: a run asks for 5 cores, but made-up has 4 cores"),
        (Resources(cpus=4, reserved_cpus=1), "reserved_cpus keeps 1 back"),
        (Resources(gpus=1), "gpus: a run asks for 1 GPU, but made-up has 0"),
        (Resources(memory=1 << 40), "memory: a run asks for"),
        (Resources(cpus_per_worker=8), "cpus_per_worker: a run asks for 8 cores"),
    ],
)
def test_what_does_not_fit_is_named(machine, resources, message):
    with pytest.raises(DoesNotFit, match=message):
        carve(machine(cores=4), resources)


def test_memory_limits_the_number_of_slots(machine):
    assert len(carve(machine(cores=8), Resources(cpus=1, memory=20 << 30))) == 3
    assert [slot.size for slot in carve(machine(cores=8), Resources(memory=30 << 30), 100)] == [
        4,
        4,
    ]


@pytest.mark.parametrize(
    ("quota", "resources", "runs", "sizes"),
    [
        (2, Resources(), None, [1, 1]),
        (1.5, Resources(), None, [1]),
        (0.3, Resources(), None, [1]),
        (16, Resources(), None, [1] * 8),
        (5, Resources(cpus=2), None, [2, 2]),
        (5, Resources(cpus=2, reserved_cpus=2), None, [2]),
        (6, Resources(), 2, [3, 3]),
        (3, Resources(), 1, [3]),
        (3, Resources(threads="cores"), None, [1, 1, 1]),
        (2, Resources(gpus=1), None, [1, 1]),
    ],
)
def test_a_quota_of_cpu_time_bounds_the_cores_of_all_slots(machine, quota, resources, runs, sizes):
    topology = replace(
        machine(cores=8, smt=2, gpus=(0, 0, 0, 0) if resources.gpus else ()), cpu_quota=quota
    )
    slots = carve(topology, resources, runs)
    assert [slot.size for slot in slots] == sizes
    assert ("a quota of" in describe_slots(topology, slots)) == (quota < 8)


def test_a_run_that_is_larger_than_the_quota_is_refused_with_the_quota(machine):
    with pytest.raises(
        DoesNotFit, match=r"has 2 cores that this process may use under a quota of 2\.5 CPUs"
    ):
        carve(replace(machine(cores=8), cpu_quota=2.5), Resources(cpus=4))


def test_memory_that_this_process_may_use_limits_the_number_of_slots(machine):
    topology = replace(machine(cores=8), memory=8 << 30)
    assert len(carve(topology, Resources(cpus=1, memory=3 << 30))) == 2
    with pytest.raises(DoesNotFit, match="this process may use"):
        carve(topology, Resources(memory=9 << 30))


def test_slots_counted_in_threads_are_of_one_size_where_some_threads_are_not_allowed(machine):
    topology = machine(packages=1, nodes=2, cores=2, smt=2)
    topology = replace(topology, allowed=(0, 1, 2, 3, 4))
    assert {core.pus for core in topology.cores} == {(0, 4), (1, 5), (2, 6), (3, 7)}

    slots = carve(topology, Resources(cpus=2, threads="cores"))

    assert [slot.size for slot in slots] == [2, 2]
