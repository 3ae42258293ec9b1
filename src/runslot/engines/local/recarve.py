"""`runs_per_gpu = "auto"`: one run a GPU at first, then as many as fit by what it used.

Pure. `LocalLauncher` tells it each end. What must stay true: more than one share a GPU only after a
run that had one alone was looked at for long enough, and by what the largest of all used so far;
what is under way keeps what it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runslot.experiment.advice import (
    GIB,
    MEMORY_SHARE,
    RUNS_PER_GPU_LIMIT,
    SharedMemory,
    fit_on_gpu,
    gpu_memory_of_run,
)
from runslot.experiment.records import Outcome, Usage
from runslot.experiment.states import WELL
from runslot.hardware.resources import Resources
from runslot.hardware.slots import Slot, carve, describe_slots
from runslot.hardware.topology import Topology


class Recarver:
    """How many runs share a GPU, as it follows from what they used."""

    def __init__(
        self, topology: Topology, resources: Resources, runs: int | None, memory: int
    ) -> None:
        """Make one for slots carved of `topology`; `memory`: bytes of the host."""
        self._topology = topology
        self._resources = resources
        self._runs = runs
        self._memory = memory
        self._alone: list[Usage] = []
        """What runs used that had a GPU each."""
        self._whole: Slot | None = None
        """The slot of one of them."""
        self._held = 0
        """Bytes of its GPU that the largest run has held."""
        self._room = min((gpu.memory for gpu in topology.gpus if gpu.memory), default=0)
        """Bytes of the smallest GPU; 0 where nobody has said."""
        self._sharers = 1
        self._reason = ""

    def note(self, slot: Slot, outcome: Outcome) -> bool:
        """Take in what a run used; tell whether another number of them is to share a GPU."""
        usage = outcome.used
        if usage is None or len(slot.gpus) != 1:
            return False
        # One that failed held it too, perhaps for want of more.
        self._held = max(self._held, gpu_memory_of_run(usage, slot.runs_per_gpu))
        self._room = self._room or usage.gpu_total or 0
        if outcome.kind in WELL and slot.runs_per_gpu == 1:
            self._alone.append(usage)
            self._whole = slot
        before, (self._sharers, self._reason) = self._sharers, self._fitting()
        return self._sharers != before

    @property
    def obstacle(self) -> str:
        """Why runs will never share a GPU here; empty where they may."""
        gpus = self._topology.gpus
        if not gpus:
            return "runs_per_gpu is auto, and there is no GPU that runs could share"
        if all(gpu.mig is not None for gpu in gpus):
            return (
                "runs_per_gpu is auto, and of MIG devices the driver does not tell how busy they"
                " are: one run has each; give the number to have them shared"
            )
        return ""

    @property
    def sentence(self) -> str:
        """How many share a GPU from here on, and why."""
        share_text = "1 run has" if self._sharers == 1 else f"{self._sharers} runs share"
        return f"{self._reason}: from here on {share_text} a GPU"

    def describe(self, slots: Sequence[Slot]) -> str:
        """Return what was chosen at the beginning of a launch, and why, in one line."""
        return f"{describe_slots(self._topology, slots)}, since {self._reason}"

    def _fitting(self) -> tuple[int, str]:
        """Return how many fit, and why: once they share one, a larger run makes them fewer, and
        none more, since what each uses of it cannot be told any longer.
        """
        by_memory, reason = self._by_memory()
        if self._sharers > 1:
            return min(self._sharers, by_memory), reason
        if self._whole is None:
            return 1, ""
        gpus, cores = len(self._topology.gpus), self._topology.cores
        share = cores[: max(self._whole.size, len(cores) // gpus)]  # of the machine's, for a GPU
        whole = replace(self._whole, cores=share)
        fit = fit_on_gpu(self._alone, whole, SharedMemory(self._memory, gpus))
        if fit is None or not fit.reason:
            return 1, ""
        cpus = self._resources.cpus or 1
        by_cores = max(1, len(share) // cpus)
        if by_memory < min(fit.runs, by_cores):
            return by_memory, reason
        if by_cores < fit.runs:
            return by_cores, f"{fit.reason}, and a run has {cpus} of {len(share)} cores"
        return fit.runs, fit.reason

    def _by_memory(self) -> tuple[int, str]:
        """Return how many have room on the smallest GPU, as large as the largest run, and why."""
        room = self._room
        if not self._held or not room:
            return RUNS_PER_GPU_LIMIT, ""
        reason = f"a run held {self._held / GIB:.3g} of {room / GIB:.3g} GiB of its GPU"
        smallest = len({gpu.memory for gpu in self._topology.gpus}) > 1
        reason = reason.replace("its GPU", "the smallest GPU") if smallest else reason
        return max(1, int(MEMORY_SHARE * room / self._held)), reason

    def slots(self, before: Sequence[Slot]) -> tuple[Slot, ...]:
        """Return the slots from here on; no index is one of `before`."""
        first = 1 + max((slot.index for slot in before), default=-1)
        resources = replace(self._resources, runs_per_gpu=self._sharers)
        carved = carve(self._topology, resources, self._runs)
        return tuple(replace(slot, index=first + slot.index) for slot in carved)
