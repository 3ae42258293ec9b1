"""Which GPUs the caller may use, by the variables that CUDA and HIP read; pure.

CUDA reads `CUDA_VISIBLE_DEVICES` as a list of indices and UUIDs (or their beginnings) up to the
first that it does not know; HIP reads `HIP_VISIBLE_DEVICES` (else `CUDA_VISIBLE_DEVICES`) as
indices into what `ROCR_VISIBLE_DEVICES` leaves. Sources: CUDA C Programming Guide, environment
variables; ROCm documentation, GPU isolation techniques.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runslot.hardware.topology import Gpu

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
