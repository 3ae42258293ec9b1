"""What a job was given, as slots for its runs: its own cores and GPUs, whatever the node has
besides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from runslot.engines.events import Observer, Said
from runslot.engines.local.config import ThisMachine, check_function, local_launcher
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Engine
from runslot.hardware.probe import probe
from runslot.hardware.resources import Resources
from runslot.hardware.slots import Slot, carve, describe_slots
from runslot.hardware.topology import Gpu, Topology
from runslot.remote.batch_job import BatchJob


@dataclass(frozen=True)
class JobAllocation(ThisMachine):
    """The share of a node that a job has, divided among the runs of its task."""

    name: str = "allocation"
    job: BatchJob = field(kw_only=True)

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Divide what this process may use among the runs."""
        topology = with_gpus_named(probe(), os.environ)
        for note in topology.notes:
            observer(Said(note))
        resources = experiment.file.resources
        if not resources.gpus and not self.job.has_gpus:
            topology = replace(topology, gpus=())  # the node's, which are others'
        turn = self.job.id.partition(".")[0].partition("[")[0]
        slots = divide(topology, resources, runs, self.job.cpus, int(turn) if turn.isdigit() else 0)
        launcher = local_launcher(experiment, slots, observer)
        try:
            check_function(launcher, experiment)
        except BaseException:
            launcher.close()
            raise
        return Engine(launcher, describe_slots(topology, slots))


def divide(
    topology: Topology, resources: Resources, runs: int, cpus: int | None, turn: int = 0
) -> tuple[Slot, ...]:
    """Return a slot for each of `runs` runs, of all that the job has.

    Where the node leaves open which CPUs a job uses (`cpus` are fewer than this process may use),
    runs are not pinned, as nothing else of such a job is: whatever they were pinned to, another job
    might be using it. `turn` differs from job to job, so that programs that pin themselves do not
    all choose the same cores.
    """
    wanted = replace(
        resources, cpus=None, memory=None, reserved_cpus=0, threads="all", cpus_per_worker=1
    )
    usable = [core for core in topology.cores if set(core.pus) & set(topology.allowed)]
    is_open = cpus is not None and len(topology.allowed) > cpus
    if len(usable) < runs:
        wanted = replace(wanted, threads="cores")
    slots = carve(topology, wanted, runs)[:runs]
    if not is_open or cpus is None:
        return tuple(
            replace(slot, cpus_per_worker=min(resources.cpus_per_worker, slot.size or 1))
            for slot in slots
        )
    width = max(1, cpus // runs)
    order = usable[turn % len(usable) :] + usable[: turn % len(usable)]
    return tuple(
        replace(
            slot,
            cores=tuple((order * runs)[slot.index * width : (slot.index + 1) * width]),
            pus=topology.allowed,
            shares_cores=False,
            cpus_per_worker=min(resources.cpus_per_worker, width),
        )
        for slot in slots
    )


def with_gpus_named(topology: Topology, environment: Mapping[str, str]) -> Topology:
    """Return the topology with the GPUs that the system names, where no driver could be asked for
    them.
    """
    named = [
        name
        for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if name and name != "NoDevFiles"
    ]
    if topology.gpus or not named:
        return topology
    return replace(
        topology,
        gpus=tuple(Gpu(index=i, uuid=name, name="", visible=name) for i, name in enumerate(named)),
    )
