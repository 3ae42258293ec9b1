"""`runs_per_gpu = "auto"`: how many runs share a GPU follows from what they used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runslot.engines.local.recarve import Recarver
from runslot.errors import InvalidInput
from runslot.experiment.records import Outcome, Usage
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve

GIB = 1 << 30
AUTO = Resources(gpus=1, runs_per_gpu="auto")


def run_that_used(percent: float, held: int, looks: int = 6, kind: str = "succeeded") -> Outcome:
    usage = Usage(looks, 1.0, GIB, gpu_memory=held * GIB, gpu_total=24 * GIB, gpu_percent=percent)
    return Outcome(kind, 1, used=usage)


def test_as_many_as_fit_share_each_gpu_and_have_its_cores_between_them(machine):
    topology = machine(nodes=2, cores=8, gpus=(0, 1))
    before = carve(topology, AUTO, 20)
    recarver = Recarver(topology, AUTO, 20, 256 * GIB)
    assert [slot.size for slot in before] == [8, 8]
    assert recarver.note(before[0], run_that_used(31, 6))
    assert "31 % of the GPU, 6 of 24 GiB: from here on 3 runs share a GPU" in recarver.sentence

    slots = recarver.slots(before)
    assert [slot.index for slot in slots] == [2, 3, 4, 5, 6, 7], "no number is used twice"
    for gpu in topology.gpus:
        sharing = [slot for slot in slots if slot.gpus == (gpu,)]
        assert len(sharing) == 3
        assert {pu for slot in sharing for pu in slot.pus} <= set(gpu.pus)
        assert all(slot.shares_with(before[gpu.index]) for slot in sharing)
    assert not any(slot.shares_with(before[1]) for slot in slots if slot.gpus == before[0].gpus)


def test_nothing_is_packed_by_too_little_or_by_a_run_that_failed(machine):
    topology = machine(cores=8, gpus=(0,))
    (slot,) = carve(topology, AUTO, 20)
    recarver = Recarver(topology, AUTO, 20, 256 * GIB)
    assert not recarver.note(slot, run_that_used(31, 6, looks=2))
    assert not recarver.note(slot, run_that_used(31, 6, kind="failed"))
    assert not recarver.note(slot, Outcome("succeeded", 1))
    assert recarver.note(slot, run_that_used(31, 6, looks=3)), "five looks together"


def test_a_larger_run_makes_them_fewer_and_none_makes_them_more(machine):
    topology = machine(cores=8, gpus=(0,))
    (slot,) = carve(topology, AUTO, 20)
    recarver = Recarver(topology, AUTO, 20, 256 * GIB)
    assert recarver.note(slot, run_that_used(10, 4))
    shared = recarver.slots((slot,))
    assert len(shared) == 5
    assert not recarver.note(shared[0], run_that_used(90, 4)), "what others do is in the percent"
    assert recarver.note(shared[0], run_that_used(90, 11))
    assert "a run held 11 of 24 GiB of its GPU" in recarver.sentence
    assert len(recarver.slots(shared)) == 2
    assert not recarver.note(shared[0], run_that_used(1, 1))


def test_stated_cores_and_the_machines_memory_bound_it(machine):
    topology = machine(cores=8, gpus=(0,))
    resources = Resources(cpus=3, gpus=1, runs_per_gpu="auto")
    (slot,) = carve(topology, resources, 20)
    recarver = Recarver(topology, resources, 20, 256 * GIB)
    assert recarver.note(slot, run_that_used(10, 1))
    assert [slot.size for slot in recarver.slots((slot,))] == [3, 3]

    recarver = Recarver(topology, AUTO, 20, 4 * GIB)
    (slot,) = carve(topology, AUTO, 20)
    assert recarver.note(slot, run_that_used(10, 1))
    assert len(recarver.slots((slot,))) == 3, "a run holds 1 GiB of the machine's 4"


def with_memory(topology, *gibs):
    """Return the machine with GPUs of these sizes."""
    gpus = [replace(gpu, memory=gib * GIB) for gpu, gib in zip(topology.gpus, gibs, strict=True)]
    return replace(topology, gpus=tuple(gpus))


def test_of_gpus_that_differ_the_smallest_says_how_many_fit(machine):
    topology = with_memory(machine(nodes=2, cores=8, gpus=(0, 1)), 80, 24)
    large, _ = carve(topology, AUTO, 20)
    recarver = Recarver(topology, AUTO, 20, 256 * GIB)
    usage = Usage(6, 1.0, GIB, gpu_memory=10 * GIB, gpu_total=80 * GIB, gpu_percent=5)
    assert recarver.note(large, Outcome("succeeded", 1, used=usage)), "eight would fit on this one"
    assert "held 10 of 24 GiB of the smallest GPU: from here on 2 runs" in recarver.sentence


def test_a_run_that_failed_for_want_of_memory_makes_them_fewer(machine):
    topology = machine(cores=8, gpus=(0,))
    (slot,) = carve(topology, AUTO, 20)
    recarver = Recarver(topology, AUTO, 20, 256 * GIB)
    assert recarver.note(slot, run_that_used(10, 6))
    shared = recarver.slots((slot,))
    assert len(shared) == 3
    assert recarver.note(shared[0], run_that_used(90, 11, kind="failed"))
    assert "2 runs share a GPU" in recarver.sentence


def test_what_all_hold_together_is_no_single_run(machine):
    """In a container the driver names no process: the memory is that of all on the GPU."""
    topology = machine(cores=8, gpus=(0,))
    (slot,) = carve(topology, AUTO, 20)
    recarver = Recarver(topology, AUTO, 20, 256 * GIB)
    assert recarver.note(slot, run_that_used(31, 6))
    shared = recarver.slots((slot,))
    all_three = run_that_used(93, 18)
    all_three = replace(all_three, used=replace(all_three.used, gpu_memory_of_all=True))
    assert not recarver.note(shared[0], all_three), "three times six GiB"
    assert recarver.note(shared[0], run_that_used(93, 18))


def test_where_no_gpu_is_nothing_is_decided(machine):
    topology = machine(cores=4)
    resources = Resources(runs_per_gpu="auto")
    recarver = Recarver(topology, resources, 4, 16 * GIB)
    for slot in carve(topology, resources, 4):
        assert not recarver.note(slot, run_that_used(31, 6))
    assert "there is no GPU" in recarver.obstacle


def test_of_mig_devices_it_is_said_that_none_is_shared(machine):
    topology = machine(cores=4, gpus=(0,))
    assert not Recarver(topology, AUTO, 4, 16 * GIB).obstacle
    devices = tuple(replace(gpu, mig="1g.10gb") for gpu in topology.gpus)
    recarver = Recarver(replace(topology, gpus=devices), AUTO, 4, 16 * GIB)
    assert "MIG" in recarver.obstacle


def test_runs_of_several_gpus_are_refused():
    with pytest.raises(InvalidInput, match="runs_per_gpu is auto, which is for runs of one GPU"):
        Resources(gpus=2, runs_per_gpu="auto")


def test_what_few_cores_allow_is_said(machine):
    topology = machine(cores=2, gpus=(0,))
    (slot,) = carve(topology, AUTO, 20)
    recarver = Recarver(topology, AUTO, 20, 256 * GIB)
    idle = run_that_used(31, 6)
    assert recarver.note(slot, replace(idle, used=replace(idle.used, cpus=0.1)))
    assert "and 2 cores are beside it: from here on 2 runs share a GPU" in recarver.sentence
    slots = recarver.slots(())
    assert recarver.describe(slots).startswith("2 slots of 1 core and 1 GPU shared by 2 runs each")
