"""Leaving out what processes without a lease use."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from runslot.errors import DoesNotFit
from runslot.hardware.busy import without_busy
from runslot.hardware.lease import Holder, Lease, Leases
from runslot.hardware.probe import probe
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve
from runslot.hardware.topology import GpuProcess

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="leases need Linux")


def test_busy_gpus_are_left_out_unless_a_lease_holds_them(machine, tmp_path):
    leases = Leases(tmp_path)
    free = machine(cores=4, gpus=(0, 0))
    train = GpuProcess(4242, "/usr/bin/python", compute=True)
    topology = replace(free, gpus=(replace(free.gpus[0], processes=(train,)), free.gpus[1]))
    left = without_busy(topology, "gpus", leases)
    assert [gpu.index for gpu in left.gpus] == [1]
    assert "GPU 0 is left out: process 4242 (python) computes" in left.notes[0]
    assert len(without_busy(topology, "nothing", leases).gpus) == 2
    lease = leases.try_acquire(carve(topology, Resources())[0], Holder.of("dqn", "7"))
    assert isinstance(lease, Lease)
    with lease:
        assert len(without_busy(topology, "gpus", leases).gpus) == 2


@pytest.mark.parametrize(
    "processes",
    [
        (GpuProcess(1, "/usr/lib/xorg/Xorg", compute=False, graphics=True),),
        (
            GpuProcess(1, "Xorg", compute=False, graphics=True),
            GpuProcess(2, "chromium", compute=True, graphics=True),
        ),
        (GpuProcess(1, "nvidia-cuda-mps-server"),),
    ],
    ids=["display server", "desktop program", "MPS"],
)
def test_display_servers_do_not_make_a_gpu_busy(processes, machine, tmp_path):
    free = machine(cores=4, gpus=(0,))
    topology = replace(free, gpus=(replace(free.gpus[0], processes=processes),))
    assert len(without_busy(topology, "gpus", Leases(tmp_path)).gpus) == 1


def test_without_a_gpu_left_the_refusal_says_who_has_it(machine, tmp_path):
    free = machine(cores=4, gpus=(0,))
    topology = replace(free, gpus=(replace(free.gpus[0], processes=(GpuProcess(7, "python"),)),))
    with pytest.raises(DoesNotFit, match=r"has 0; GPU 0 is left out: process 7 \(python\)"):
        carve(without_busy(topology, "gpus", Leases(tmp_path)), Resources(gpus=1))


def test_busy_cores_are_left_out_on_request_unless_a_lease_holds_them(tmp_path):
    topology, leases = probe(gpus=False), Leases(tmp_path)
    core = next(core for core in topology.cores if set(core.pus) <= set(topology.allowed))
    pin = (
        f"import os; os.sched_setaffinity(0, {set(core.pus)}); print(flush=True)\nwhile True: pass"
    )
    spinner = subprocess.Popen([sys.executable, "-c", pin], stdout=subprocess.PIPE)
    try:
        assert spinner.stdout.readline()
        busy = without_busy(topology, "all", leases)
        assert not set(core.pus) & set(busy.allowed)  # one busy thread makes the core busy
        assert without_busy(topology, "gpus", leases).allowed == topology.allowed
        slot = replace(carve(topology, Resources(cpus=1, gpus=0))[0], cores=(core,))
        lease = leases.try_acquire(slot, Holder.of("dqn", "7"))
        assert isinstance(lease, Lease)
        with lease:
            assert set(core.pus) <= set(without_busy(topology, "all", leases).allowed)
    finally:
        spinner.kill()
        spinner.communicate()
