"""A real NVIDIA GPU: what is found, what runs see, and two runs on one GPU (`make test-gpu`)."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from runslot.hardware.busy import without_busy
from runslot.hardware.lease import Holder, Lease, LeaseRefusal, Leases
from runslot.hardware.probe import probe
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve
from runslot.hardware.visibility import slot_affinity, slot_environment

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        shutil.which("nvidia-smi") is None, reason="there is no NVIDIA GPU (nvidia-smi is missing)"
    ),
]

SEE = """
import ctypes, time
cuda = ctypes.CDLL("libcuda.so.1")
count, device, context, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
uuid = (ctypes.c_ubyte * 16)()
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDeviceGetUuid(uuid, device) == 0
assert cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(1 << 20)) == 0
print(count.value, bytes(uuid).hex(), flush=True)
input()
"""


@pytest.fixture(scope="module")
def topology():
    found = probe()
    assert found.gpus, f"nvidia-smi is there, but no GPU was found: {found.notes}"
    return found


def start(slot) -> subprocess.Popen[str]:
    environment = {"PATH": "/usr/bin:/bin", **slot_environment(slot, slot_affinity(slot))}
    return subprocess.Popen(
        [sys.executable, "-c", SEE],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_agrees_with_nvidia_smi(topology):
    said = subprocess.run(
        ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split(", ") for line in said.splitlines()]
    whole = [gpu for gpu in topology.gpus if gpu.mig is None]
    assert {(str(gpu.index), gpu.uuid) for gpu in whole} <= {
        (index, uuid) for index, uuid, _ in rows
    }
    for gpu in whole:
        total = next(int(memory) for _, uuid, memory in rows if uuid == gpu.uuid)
        assert abs(gpu.memory / 2**20 - total) < total * 0.05


def test_a_run_sees_its_gpu_alone(topology):
    for slot in carve(topology, Resources(gpus=1)):
        run = start(slot)
        count, uuid = run.stdout.readline().split()
        run.communicate("\n")
        assert count == "1"
        if slot.gpus[0].mig is None:
            assert (
                slot.gpus[0].uuid
                == f"GPU-{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}"
            )


def test_two_runs_share_a_gpu_and_a_third_waits(topology, tmp_path):
    slots = carve(topology, Resources(runs_per_gpu=2, gpus=1))
    pair = [slot for slot in slots if slot.gpus == slots[0].gpus]
    leases = Leases(tmp_path)
    held = [leases.try_acquire(slot, Holder.of("test", str(slot.index))) for slot in pair]
    assert all(isinstance(lease, Lease) for lease in held)
    assert isinstance(leases.try_acquire(pair[0], Holder.of("test", "third")), LeaseRefusal)
    runs = [start(slot) for slot in pair]
    said = {run.stdout.readline() for run in runs}
    assert len(said) == 1, "both runs see the same GPU"
    kept = without_busy(probe(), "gpus", leases)
    assert slots[0].gpus[0].uuid in {gpu.uuid for gpu in kept.gpus}, (
        "what a lease holds is not foreign"
    )
    for run in runs:
        run.communicate("\n")
        assert run.returncode == 0
    for lease in held:
        lease.close()
