"""What is advised of what runs used."""

from __future__ import annotations

import pytest

from runslot.experiment.advice import SharedMemory, gpu_advice, idle_advice, of_last_launch
from runslot.experiment.records import Outcome, Usage
from runslot.hardware.slots import Slot
from runslot.hardware.topology import Core, Gpu

GIB = 1 << 30


def slot(cores: int = 8, gpus: int = 1, runs_per_gpu: int = 1) -> Slot:
    return Slot(
        "here",
        0,
        tuple(Core((i,)) for i in range(cores)),
        tuple(range(cores)),
        tuple(Gpu(i, f"GPU-{i}", memory=24 * GIB) for i in range(gpus)),
        runs_per_gpu,
    )


def used(percent: float | None, gib: float, cpus: float = 1.0, looks: int = 10) -> Usage:
    return Usage(looks, cpus, GIB, int(gib * GIB), 24 * GIB, percent)


@pytest.mark.parametrize(
    ("usages", "place", "sentence"),
    [
        ([used(31, 6)], slot(), "a run used 31 % of the GPU, 6 of 24 GiB: --runs-per-gpu 3 would fit"),
        ([used(10, 5), used(10, 11)], slot(), "a run used 10 % of the GPU, 11 of 24 GiB: --runs-per-gpu 2 would fit"),
        ([used(10, 1, cpus=3.5)], slot(), "a run used 10 % of the GPU, 1 of 24 GiB and 3.5 of 8 cores: --runs-per-gpu 2 would fit"),
        ([used(60, 2)], slot(runs_per_gpu=2), "2 runs at a time used 60 % of the GPU, 2 of 24 GiB each: --runs-per-gpu 3 would fit"),
        ([used(60, 6)], slot(), ""),
        ([used(10, 13)], slot(), ""),
        ([used(31, 6)], slot(cores=1), ""),
        ([used(31, 6, looks=2)], slot(), ""),
        ([used(31, 6)], slot(gpus=2), ""),
        ([used(None, 6)], slot(), ""),
        ([used(0, 0)], slot(), "no run used its GPU: --gpus-per-run 0 runs as many at a time as there are cores for"),
    ],
)  # fmt: skip
def test_what_would_fit_on_a_gpu(usages, place, sentence):
    assert gpu_advice(usages, place, SharedMemory(64 * GIB, 1)) == sentence


def test_what_would_fit_counts_the_memory_of_the_host():
    usages = [used(10, 1)]  # a GiB of memory each
    shared = SharedMemory(int(5.5 * GIB), 2)  # two GPUs
    sentence = "a run used 10 % of the GPU, 1 of 24 GiB and 1 of 5.5 GiB of memory"
    assert gpu_advice(usages, slot(), shared) == f"{sentence}: --runs-per-gpu 2 would fit"
    assert gpu_advice(usages, slot(), SharedMemory(3 * GIB, 2)) == ""
    assert "if its host has the memory, which is not known here" in gpu_advice(usages, slot())


def test_what_earlier_launches_used_is_no_matter_of_the_last_one():
    first, last = [run(0, 0, 60), run(1, 0, 60)], [run(0, 9000, 9060), run(1, 9001, 9060)]
    assert of_last_launch([*last, *first]) == last
    assert of_last_launch([]) == []


def run(place: int, started: float, ended: float) -> Outcome:
    return Outcome("succeeded", started=started * 60, ended=ended * 60, host="here", slot=place)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (
            [run(0, 0, 60), run(1, 0, 20), run(2, 0, 25)],
            "slots were idle for 1.2 of 3.0 slot-hours:"
            " the last run ended 40 min after the first slot had nothing left to do",
        ),
        (
            [run(0, 0, 10), run(0, 50, 60), run(1, 0, 60)],
            "slots were idle for 0.7 of 2.0 slot-hours",
        ),
        ([run(0, 0, 60), run(1, 0, 55)], ""),
        ([run(0, 0, 60), run(1, 0, 60), run(0, 9000, 9060), run(1, 9000, 9060)], ""),
        ([run(0, 0, 10), run(1, 0, 2)], ""),
        ([run(0, 0, 60)], ""),
        ([], ""),
    ],
)
def test_idle_slots_are_counted_with_the_reason(runs, sentence):
    assert idle_advice(runs) == sentence
