"""What a process sees of the machine: which GPUs the caller may use, and what a run in a slot reads
as its share.

Pure; `hardware.gpus` asks for the first, `execute.placement` for the second.

CUDA reads `CUDA_VISIBLE_DEVICES` as a list of indices and UUIDs (or their beginnings) up to the
first that it does not know; HIP reads `HIP_VISIBLE_DEVICES` (else `CUDA_VISIBLE_DEVICES`) as
indices into what `ROCR_VISIBLE_DEVICES` leaves. Sources: CUDA C Programming Guide, environment
variables; ROCm documentation, GPU isolation techniques.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from runslot.hardware.slots import Slot
from runslot.hardware.topology import Core, Gpu

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""What the thread pools of numerical libraries read when they start."""


class AttrDict(dict[str, Any]):
    """A dict whose string keys are attributes too, as rlpyt's scripts read affinities."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"the affinity has no {name!r}; it has {', '.join(self)}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"the affinity has no {name!r}") from None

    def copy(self) -> AttrDict:
        """Return a copy whose own dicts of this kind are copies too, and all else the same objects,
        as rlpyt does.
        """
        return type(self)(
            (key, value.copy() if isinstance(value, AttrDict) else value)
            for key, value in self.items()
        )


Affinity = AttrDict | list[AttrDict]
"""What a run reads: one dict, or for synchronous training on several GPUs one dict a GPU."""


_Chosen = tuple[tuple[Gpu, ...], tuple[str, ...]]


def visible_nvidia(gpus: tuple[Gpu, ...], environment: Mapping[str, str]) -> _Chosen:
    """Return those of `gpus` that `CUDA_VISIBLE_DEVICES` leaves, in its order, and a note where it
    names another.
    """
    return _select(gpus, environment, "CUDA_VISIBLE_DEVICES")


def visible_amd(gpus: tuple[Gpu, ...], environment: Mapping[str, str]) -> _Chosen:
    """Return those of `gpus` that the variables of ROCm leave; what a run must be told counts from
    what ROCR leaves.
    """
    remaining, notes = _select(gpus, environment, "ROCR_VISIBLE_DEVICES")
    counted = tuple(replace(gpu, visible=str(position)) for position, gpu in enumerate(remaining))
    name = "HIP_VISIBLE_DEVICES" if "HIP_VISIBLE_DEVICES" in environment else "CUDA_VISIBLE_DEVICES"
    by_number = {gpu.visible: gpu for gpu in counted}
    if name not in environment:
        return counted, notes
    selected: dict[str, Gpu] = {}
    for entry in _entries(environment[name]):
        if entry not in by_number:
            return tuple(selected.values()), (*notes, _unknown(name, entry, "AMD"))
        selected[entry] = by_number[entry]
    return tuple(selected.values()), notes


def _select(gpus: tuple[Gpu, ...], environment: Mapping[str, str], name: str) -> _Chosen:
    if name not in environment or not gpus:
        return gpus, ()
    selected: dict[str, Gpu] = {}
    for entry in _entries(environment[name]):
        gpu = _named(gpus, entry)
        if gpu is None:
            return tuple(selected.values()), (_unknown(name, entry, gpus[0].vendor),)
        selected[gpu.uuid] = gpu
    return tuple(selected.values()), ()


def _entries(text: str) -> list[str]:
    entries = []
    for entry in text.split(","):
        if entry.strip() in {"", "-1", "NoDevFiles"}:  # ends the list
            break
        entries.append(entry.strip())
    return entries


def _named(gpus: tuple[Gpu, ...], entry: str) -> Gpu | None:
    """Return the GPU of an index (in MIG mode its first device), of a UUID, or of the beginning of
    just one UUID.
    """
    if entry.isdecimal():
        return next((gpu for gpu in gpus if gpu.index == int(entry)), None)
    for gpu in gpus:
        if gpu.uuid.lower() == entry.lower():
            return gpu
    matches = [gpu for gpu in gpus if gpu.uuid.lower().startswith(entry.lower())]
    return matches[0] if len(matches) == 1 else None


def _unknown(name: str, entry: str, vendor: str) -> str:
    return (
        f"{name} names {entry!r}, which is no usable {vendor} GPU: it and what follows it are"
        " left out"
    )


def slot_affinity(slot: Slot, *, alternating: bool = False, set_affinity: bool = True) -> Affinity:
    """Return what the run in `slot` reads as its affinity; `cuda_idx` counts the GPUs that the run
    sees, from 0.

    A run on several GPUs gets a list, one affinity a GPU with its share of the cores, as rlpyt's
    does.
    """
    shares = max(1, len(slot.gpus))
    width = len(slot.cores) // shares
    parts = [
        _slot_part(slot, slot.cores[i * width : (i + 1) * width], alternating, set_affinity)
        for i in range(shares)
    ]
    for cuda_idx, part in enumerate(parts):
        if slot.gpus:
            part["cuda_idx"] = cuda_idx
    return parts[0] if shares == 1 else parts


def _slot_part(
    slot: Slot, cores: tuple[Core, ...], alternating: bool, set_affinity: bool
) -> AttrDict:
    core_pus = [[pu for pu in core.pus if pu in slot.pus] for core in cores]
    if slot.shares_cores:  # hardware threads count as cores
        core_pus = [[pu] for pus in core_pus for pu in pus]
    groups = [
        core_pus[i : i + slot.cpus_per_worker]
        for i in range(0, len(core_pus), slot.cpus_per_worker)
    ]
    whole = [group for group in groups if len(group) == slot.cpus_per_worker]
    # two halves of the workers take turns, on the two threads of a core where it has them
    if alternating:
        workers = [
            [pus[min(half, len(pus) - 1)] for pus in group] for half in (0, 1) for group in whole
        ]
    else:
        workers = [
            [pu for thread in zip_longest(*group) for pu in thread if pu is not None]
            for group in whole
        ]
    cpus = [pus[0] for pus in core_pus] + [pu for pus in core_pus for pu in pus[1:]]
    return AttrDict(
        all_cpus=cpus,
        master_cpus=cpus,
        workers_cpus=workers,
        master_torch_threads=len(core_pus),
        worker_torch_threads=slot.cpus_per_worker,
        alternating=alternating,
        set_affinity=set_affinity,
    )


def slot_environment(
    slot: Slot, affinity: Affinity, *, gpu_visibility: bool = True
) -> dict[str, str]:
    """Return the environment variables of a run in `slot`.

    The thread pools are as large as the slot, whatever the caller's environment says: that was
    meant for the machine. With `gpu_visibility` false the variables that select GPUs are left alone
    (rlpyt's scripts select by `cuda_idx`).
    """
    environment = {name: str(slot.size) for name in THREAD_VARIABLES}
    environment["RUNSLOT_AFFINITY"] = json.dumps(affinity)
    if slot.gpus:  # EGL counts all GPUs of the machine, whatever CUDA sees
        environment |= dict.fromkeys(
            ("EGL_DEVICE_ID", "MUJOCO_EGL_DEVICE_ID"), str(slot.gpus[0].index)
        )
    if gpu_visibility:
        environment |= visible_gpus(slot)
    return environment


def import_environment(slots: Sequence[Slot]) -> dict[str, str]:
    """Return what a process that imports for runs in these slots is told of GPUs: as many as a run
    has.

    torch then looks for GPUs through the management library, which leaves CUDA to the forks.
    """
    visible = visible_gpus(slots[0]) if slots else {}
    asks = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"} if "CUDA_VISIBLE_DEVICES" in visible else {}
    return {**visible, **asks}


def visible_gpus(slot: Slot) -> dict[str, str]:
    """Return the variables that select the slot's GPUs; none where the machine has none."""
    if slot.hides_gpus:
        return {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}
    names = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "HIP_VISIBLE_DEVICES"}
    visible = {
        name: ",".join(gpu.visible for gpu in slot.gpus if gpu.vendor == vendor)
        for vendor, name in names.items()
        if any(gpu.vendor == vendor for gpu in slot.gpus)
    }
    if "CUDA_VISIBLE_DEVICES" in visible:
        visible["CUDA_DEVICE_ORDER"] = (
            "PCI_BUS_ID"  # NVML's indices; CUDA would count the fastest first
        )
    return visible
