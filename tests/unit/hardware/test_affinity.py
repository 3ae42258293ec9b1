"""rlpyt's affinity codes: the calls whose results rlpyt left, and what holds of any other call."""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runslot.errors import AffinityError
from runslot.hardware.affinity import (
    affinity_from_code,
    affinity_of_code,
    code_environment,
    decode_affinity,
    encode_affinity,
    get_n_run_slots,
    hyperthread_offset,
    make_affinity,
    n_socket,
    prepend_run_slot,
    quick_affinity_code,
    remove_run_slot,
    slots_from_code,
)
from runslot.hardware.layouts import cpus_of
from runslot.hardware.probe import read_topology
from runslot.hardware.resources import Resources
from runslot.hardware.slots import Slot, carve
from runslot.hardware.topology import Gpu
from runslot.hardware.visibility import AttrDict, slot_affinity, slot_environment

DATA = Path(__file__).parents[2] / "data/affinity"
LAYOUTS = json.loads(gzip.decompress((DATA / "rlpyt_layouts.json.gz").read_bytes()))
PUBLISHED = json.loads((DATA / "published_calls.json").read_text())


def layout(kwargs):
    """Return the code, and the affinities of all slots as JSON."""
    code = encode_affinity(**kwargs)
    slots = [affinity_from_code(prepend_run_slot(i, code)) for i in range(get_n_run_slots(code))]
    return code, json.loads(json.dumps(slots))


def refusal(kwargs) -> str:
    """Return the message of the refusal of a call, nothing where it is accepted."""
    try:
        layout(kwargs)
    except AffinityError as error:
        return str(error)
    return ""


def check_sound(code, slots):
    """No core for two slots, no CPU twice, none outside the machine, no slot without CPU."""
    numbers = decode_affinity(code)
    offset = numbers.get("hto", numbers["cpu"])
    size = max(numbers["cpu"], offset)
    machine = {*range(size), *range(offset, offset + size)}
    taken: set[int] = set()
    for slot in slots:
        cpus = cpus_of(slot)
        assert cpus
        assert len(set(cpus)) == len(cpus)
        assert set(cpus) <= machine
        cores = {cpu if cpu < size else cpu - offset for cpu in cpus}
        assert not cores & taken
        taken |= cores


def test_the_data_is_all_there():
    verdicts = [call["verdict"] for call in LAYOUTS]
    assert [verdicts.count(v) for v in ("sound", "unsound", "refused")] == [1661, 157, 182]
    assert len(PUBLISHED) == 38


def test_sound_calls_give_what_rlpyt_gave():
    for call in [call for call in LAYOUTS if call["verdict"] == "sound"] + PUBLISHED:
        code, slots = layout(call["kwargs"])
        assert code == call["code"]
        assert len(slots) == call["n_run_slots"]
        assert slots == call["slots"]


def test_other_calls_are_refused_with_the_name_of_an_argument_or_become_sound():
    refused = 0
    for call in LAYOUTS:
        if call["verdict"] != "sound":
            message = refusal(call["kwargs"])
            if message:
                refused += 1
                assert any(name in message for name in call["kwargs"])
                with pytest.raises(AffinityError):
                    get_n_run_slots(call["code"])
                with pytest.raises(AffinityError):
                    affinity_from_code(prepend_run_slot(0, call["code"]))
            else:
                check_sound(*layout(call["kwargs"]))
    assert refused > 0


numbers = st.integers(-1, 9) | st.sampled_from([12, 16, 24, 40, 64])
calls = st.fixed_dictionaries(
    {
        "n_cpu_core": numbers,
        "n_gpu": numbers,
        "contexts_per_gpu": st.integers(0, 3),
        "gpu_per_run": st.integers(0, 4),
        "cpu_per_run": numbers,
        "cpu_per_worker": st.integers(0, 4),
        "cpu_reserved": st.integers(-1, 3),
        "hyperthread_offset": numbers,
        "n_socket": st.integers(0, 5),
        "async_sample": st.booleans(),
        "sample_gpu_per_run": st.integers(-1, 3),
        "optim_sample_share_gpu": st.booleans(),
        "alternating": st.booleans(),
        "set_affinity": st.booleans(),
    }
)


@settings(max_examples=1000)
@given(calls)
def test_any_call_is_sound_or_refused(kwargs):
    message = refusal(kwargs)
    if message:
        assert any(name in message for name in kwargs)
        return
    code, slots = layout(kwargs)
    check_sound(code, slots)
    assert slots


def test_a_refusal_names_a_number_that_works():
    with pytest.raises(
        AffinityError, match=r"n_cpu_core=20 cannot be divided evenly .*; n_cpu_core=16 would do"
    ):
        encode_affinity(n_cpu_core=20, n_gpu=8, hyperthread_offset=0, n_socket=1)
    with pytest.raises(AffinityError, match="but the machine has 10 cores; n_socket=1 would do"):
        encode_affinity(n_cpu_core=6, n_gpu=3, hyperthread_offset=10, n_socket=2)


@pytest.mark.parametrize("value", [2.5, "2", None, True])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(AffinityError, match="n_cpu_core must be a whole number"):
        encode_affinity(n_cpu_core=value, hyperthread_offset=0, n_socket=1)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("16cpu_2gup", "'2gup' does not end in one of .*did you mean 'gpu'"),
        ("xcpu_2gpu", "'xcpu' does not begin with a whole number"),
        ("16cpu_16cpu_2gpu", "n_cpu_core .cpu. is there twice"),
        ("2gpu", "lacks n_cpu_core"),
        ("16cpu_0gpu", "lacks cpu_per_run"),
        ("", "does not end in one of"),
    ],
)
def test_broken_codes_are_named(code, message):
    with pytest.raises(AffinityError, match=message):
        get_n_run_slots(code)


def test_run_slots_are_put_before_a_code_and_taken_off():
    assert remove_run_slot(prepend_run_slot(3, "8cpu_0gpu_1cpr")) == (3, "8cpu_0gpu_1cpr")
    with pytest.raises(AffinityError, match="does not begin with a run slot"):
        affinity_from_code("8cpu_0gpu_1cpr")
    with pytest.raises(AffinityError, match="has run slots 0 to 7, not 8"):
        affinity_from_code("8slt_8cpu_0gpu_1cpr")
    with pytest.raises(AffinityError, match="run slots 0 to 1, not 2"):
        encode_affinity(n_cpu_core=2, hyperthread_offset=0, n_socket=1, run_slot=2)


def test_results_read_as_attributes_too():
    affinity = make_affinity(n_cpu_core=2, n_gpu=1, hyperthread_offset=0, n_socket=1)
    assert affinity.cuda_idx == affinity["cuda_idx"] == 0
    with pytest.raises(AttributeError, match="it has all_cpus"):
        affinity.cuda_index  # noqa: B018


@pytest.mark.parametrize(
    "copied",
    [lambda a: a.copy(), copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))],
)
def test_copies_read_as_attributes_too_and_are_apart(copied):
    affinity = affinity_from_code("0slt_4cpu_2gpu_1ass_1sgr")
    other = copied(affinity)
    assert type(other) is type(affinity)
    assert type(other.optimizer[0]) is type(affinity.optimizer[0])
    assert other == affinity
    other.all_cpus = (9,)
    del other.sampler
    assert affinity.all_cpus != (9,)
    assert hasattr(affinity, "sampler")
    with pytest.raises(AttributeError, match="no 'sampler'"):
        del other.sampler


def test_a_copy_copies_affinities_inside_and_shares_all_else_as_rlpyts():
    inside, shared = AttrDict(cpus=[1]), [1]
    affinity = AttrDict(inside=inside, shared=shared)
    assert affinity.copy().inside is not inside
    assert affinity.copy().inside == inside
    assert affinity.copy().shared is shared


def test_this_machine_gets_a_code_that_it_can_run():
    code = quick_affinity_code(n_parallel=2, use_gpu=False)
    check_sound(code, layout_of(code))
    with pytest.raises(AffinityError, match="n_parallel must be given"):
        quick_affinity_code(use_gpu=False)
    with pytest.raises(AffinityError, match="n_parallel is 0"):
        quick_affinity_code(n_parallel=0, use_gpu=False)


@pytest.fixture
def on_machine(monkeypatch):
    """Make affinity codes look at another machine than this one."""
    return lambda topology: monkeypatch.setattr(
        "runslot.hardware.probe.probe", lambda *, gpus=True: topology
    )


def shared_cores(code, topology):
    core_of = {pu: core for core in topology.cores for pu in core.pus}
    taken = [{core_of[cpu] for cpu in cpus_of(slot)} for slot in layout_of(code)]
    return sum(map(len, taken)) - len(set().union(*taken))


@pytest.mark.parametrize("name", json.loads((DATA.parent / "topologies/golden.json").read_text()))
def test_codes_on_captured_machines_share_no_core(name, capture, on_machine):
    topology = read_topology(capture(name))
    on_machine(topology)
    for n_parallel in (1, 2, 3, 8):
        code = quick_affinity_code(n_parallel=n_parallel, use_gpu=False)
        slots = slots_from_code(code, topology)
        assert len(slots) == min(
            n_parallel, len([core for core in topology.cores if core.pus[0] in topology.allowed])
        )
        assert {pu for slot in slots for pu in slot.pus} <= set(topology.allowed)
        assert len({core for slot in slots for core in slot.cores}) == sum(
            len(slot.cores) for slot in slots
        )


def quick_code_of_rlpyt(topology, n_parallel, n_gpu, contexts_per_gpu):
    """rlpyt's rule, written anew from what psutil, torch and /proc/cpuinfo would tell it of this
    machine.
    """
    physical, logical = len(topology.cores), len(topology.online)
    offset = logical // 2 if logical != physical and logical % 2 == 0 else 0
    sockets = max(1, len({package.id for package in topology.packages} - {None}))
    gpus = min(n_parallel or n_gpu, n_gpu)
    runs = gpus * contexts_per_gpu or min(n_parallel, physical)
    cores = physical // runs * runs
    parts = [f"{cores}cpu_{gpus}gpu"]
    parts += [f"{contexts_per_gpu}cxg"] if gpus and contexts_per_gpu > 1 else []
    parts += [] if gpus else [f"{cores // runs}cpr"]
    parts += [f"{offset}hto"] if offset != cores else []
    parts += [f"{sockets}skt"] if sockets > 1 else []
    return "_".join(parts)


def is_sound_on(code, topology):
    """Whether the slots of a code share no core of the machine, and have the CPUs of each of theirs
    as it says.
    """
    core_of = {pu: core.pus for core in topology.cores for pu in core.pus}
    threads = max(len(core.pus) for core in topology.cores)
    try:
        slots = [cpus_of(affinity) for affinity in layout_of(code)]
    except AffinityError:  # rlpyt's asserts, or CPUs that two runs would share
        return False
    taken = [cpu for cpus in slots for cpu in cpus]
    if not taken or not set(taken) <= core_of.keys():
        return False
    return all(
        core_of[cpus[i]] == cpus[i :: len(cpus) // threads]
        for cpus in slots
        for i in range(len(cpus) // threads)
    )


@pytest.mark.parametrize("name", json.loads((DATA.parent / "topologies/golden.json").read_text()))
def test_the_quick_code_is_rlpyts_wherever_that_is_sound(name, capture, on_machine):
    topology = read_topology(capture(name))
    equal = 0
    for n_gpu, n_parallel, contexts in itertools.product(
        (0, 1, 2, 4), (None, 1, 2, 3, 4, 8), (1, 2)
    ):
        if n_parallel is None and n_gpu == 0:
            continue
        code = quick_code_of_rlpyt(topology, n_parallel, n_gpu, contexts)
        if not is_sound_on(code, topology):
            continue
        on_machine(
            replace(topology, gpus=tuple(Gpu(i, f"GPU-{i}", visible=str(i)) for i in range(n_gpu)))
        )
        assert quick_affinity_code(n_parallel, bool(n_gpu), contexts) == code
        equal += 1
    neighbours = (
        "fakecpuid1f-64intel64-2p4d2n2c2t",
        "20em64t-hybrid-1p6c2t+2ca4co1t",
        "8ia64-2s2c2t",
    )
    uneven = ("16amd64-8n2c-cpusets",)  # 15 cores on 8 sockets, which rlpyt's own asserts refuse
    assert (equal == 0) == (name in (*neighbours, *uneven))


def test_inside_an_allocation_core_0_of_a_code_is_the_first_allowed_core(
    machine, on_machine, monkeypatch
):
    topology = machine(packages=2, cores=4, smt=2, allowed=(2, 3, 6, 10, 11, 14))
    on_machine(topology)
    code = encode_affinity(n_cpu_core=3, cpu_per_run=1)
    assert (
        code == "3cpu_0gpu_1cpr_2skt"
    )  # the second threads are three further on, as the allocation counts
    slots = slots_from_code(code, topology)
    assert [slot.pus for slot in slots] == [(2, 10), (3, 11), (6, 14)]
    assert [affinity_of_code(slot, code).workers_cpus for slot in slots] == [
        ((2, 10),),
        ((3, 11),),
        ((6, 14),),
    ]
    assert [Slot.from_json(json.loads(json.dumps(slot.to_json()))) for slot in slots] == list(slots)

    assert affinity_from_code(f"1slt_{code}").all_cpus == (1, 4)
    for name, value in code_environment(slots[1], code).items():
        monkeypatch.setenv(name, value)
    assert affinity_from_code(f"1slt_{code}").all_cpus == (3, 11)  # in the run of that slot
    assert affinity_from_code(f"2slt_{code}").all_cpus == (2, 5)


def test_an_offset_of_the_whole_machine_means_the_second_threads_of_an_allocation_too(machine):
    topology = machine(packages=2, cores=4, smt=2, allowed=(2, 3, 10, 11))
    assert [slot.pus for slot in slots_from_code("2cpu_0gpu_1cpr_8hto", topology)] == [
        (2, 10),
        (3, 11),
    ]
    assert [slot.pus for slot in slots_from_code("2cpu_0gpu_1cpr_0hto", topology)] == [(2,), (3,)]
    with pytest.raises(
        AffinityError, match="uses CPU 2, but this process may use 2 cores of made-up"
    ):
        slots_from_code("4cpu_0gpu_1cpr_8hto", topology)


def test_asynchronous_affinities_are_renumbered_in_every_part(machine):
    topology = machine(cores=8, gpus=(0, 0), allowed=(4, 5, 6, 7))
    (slot,) = slots_from_code("4cpu_2gpu_0hto_1ass_1sgr", topology)
    affinity = affinity_of_code(slot, "4cpu_2gpu_0hto_1ass_1sgr")
    assert affinity.optimizer[0].cpus == (4,)
    assert affinity.sampler[0].all_cpus == (5, 6, 7)
    assert affinity.sampler[0].workers_cpus == ((5,), (6,), (7,))
    assert (affinity.optimizer[0].cuda_idx, affinity.sampler[0].cuda_idx) == (0, 1)


def test_the_quick_code_keeps_to_a_quota(machine, on_machine):
    on_machine(replace(machine(cores=8), cpu_quota=2.5))
    assert get_n_run_slots(quick_affinity_code(n_parallel=8, use_gpu=False)) == 2


def test_threads_that_are_neighbours_are_taken_for_cores_where_runs_keep_apart(capture, on_machine):
    topology = read_topology(capture("fakecpuid1f-64intel64-2p4d2n2c2t"))
    on_machine(topology)
    code = encode_affinity(n_cpu_core=64, n_gpu=4)
    assert code == "64cpu_4gpu_0hto"
    assert shared_cores(code, topology) == 0
    with pytest.raises(AffinityError, match="hyperthread_offset=0"):
        encode_affinity(n_cpu_core=64, cpu_per_run=1)
    assert (
        encode_affinity(n_cpu_core=64, cpu_per_run=1, hyperthread_offset=0, n_socket=1)
        == "64cpu_0gpu_1cpr_0hto"
    )


def layout_of(code):
    return [affinity_from_code(prepend_run_slot(i, code)) for i in range(get_n_run_slots(code))]


@pytest.mark.parametrize(
    ("name", "offset", "sockets"),
    [
        ("32intel64-2p8co2t+8ve", 16, 2),
        ("16amd64-8n2c", 0, 8),
        ("2arm-2c", 0, 1),
        ("fakecpuid1f-64intel64-2p4d2n2c2t", None, 4),
        ("20em64t-hybrid-1p6c2t+2ca4co1t", None, 1),
        ("memorysidecaches", 40, 2),
    ],
)
def test_offset_and_sockets_come_from_the_machine(name, offset, sockets, capture):
    topology = read_topology(capture(name))
    if offset is None:
        with pytest.raises(AffinityError, match=r"0, 1 are one.*Resources\(cpus=…\)"):
            hyperthread_offset(topology)
    else:
        assert hyperthread_offset(topology) == offset
        assert n_socket(topology) == sockets


def test_slots_of_a_code_have_the_machines_cores_and_gpus(machine):
    topology = machine(cores=4, smt=2, gpus=(0, 0))
    slots = slots_from_code("4cpu_2gpu", topology)
    assert [slot.pus for slot in slots] == [(0, 1, 4, 5), (2, 3, 6, 7)]
    assert [slot.gpus[0].index for slot in slots] == [0, 1]
    assert not any(slot.shares_cores for slot in slots)
    by_thread = slots_from_code("8cpu_0gpu_1cpr_0hto", machine(cores=4, smt=2))
    assert [slot.pus for slot in by_thread] == [(i,) for i in range(8)]
    assert all(slot.shares_cores for slot in by_thread)


def test_a_code_for_a_larger_machine_is_refused(machine):
    with pytest.raises(
        AffinityError,
        match="uses CPU 4, but this process may use 4 cores of made-up: lower n_cpu_core",
    ):
        slots_from_code("8cpu_0gpu_4cpr_0hto", machine(cores=4))
    with pytest.raises(AffinityError, match="uses GPU 1, but made-up has 1"):
        slots_from_code("4cpu_2gpu_0hto", machine(cores=4, gpus=(0,)))


def test_a_slot_reads_as_rlpyts_affinity(machine):
    (slot,) = carve(machine(cores=4, smt=2, gpus=(0,)), Resources(cpus=4, cpus_per_worker=2))
    rlpyts = make_affinity(
        n_cpu_core=4, n_gpu=1, cpu_per_worker=2, hyperthread_offset=4, n_socket=1
    )
    assert json.loads(json.dumps(slot_affinity(slot))) == json.loads(json.dumps(rlpyts))
    turns = make_affinity(
        n_cpu_core=4, n_gpu=1, cpu_per_worker=2, hyperthread_offset=4, n_socket=1, alternating=True
    )
    assert json.loads(json.dumps(slot_affinity(slot, alternating=True))) == json.loads(
        json.dumps(turns)
    )


def test_a_slot_with_several_gpus_reads_as_a_list(machine):
    (slot,) = carve(machine(cores=4, gpus=(0, 0)), Resources(gpus=2))
    rlpyts = make_affinity(n_cpu_core=4, n_gpu=2, gpu_per_run=2, hyperthread_offset=0, n_socket=1)
    assert json.loads(json.dumps(slot_affinity(slot))) == json.loads(json.dumps(rlpyts))


def test_environment_of_a_slot(machine):
    slots = carve(machine(cores=8, gpus=(0, 0)), Resources())
    environment = slot_environment(slots[1], slot_affinity(slots[1]))
    assert environment["OMP_NUM_THREADS"] == "4"
    assert environment["CUDA_VISIBLE_DEVICES"] == environment["EGL_DEVICE_ID"] == "1"
    assert json.loads(environment["RUNSLOT_AFFINITY"])["cuda_idx"] == 0
    assert "CUDA_VISIBLE_DEVICES" not in slot_environment(
        slots[1], slot_affinity(slots[1]), gpu_visibility=False
    )


def test_gpus_are_hidden_from_slots_without_and_left_alone_where_none_is_known(machine):
    hidden = carve(machine(cores=8, gpus=(0,)), Resources(gpus=0))[0]
    assert slot_environment(hidden, slot_affinity(hidden))["CUDA_VISIBLE_DEVICES"] == ""
    unknown = carve(machine(cores=8), Resources())[0]
    assert "CUDA_VISIBLE_DEVICES" not in slot_environment(unknown, slot_affinity(unknown))
