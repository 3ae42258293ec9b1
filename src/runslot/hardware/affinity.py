"""Affinities: a slot in the form that a run reads, and rlpyt's affinity codes.

The fields are rlpyt's (astooke/rlpyt, `utils/launching/affinity.py`), so that its runners and samplers read them.
"""

from __future__ import annotations

import json
from typing import Any, Union

from runslot.errors import AffinityError
from runslot.hardware.slots import Slot


class AttrDict(dict[str, Any]):
    """A dict whose string keys are attributes too, as rlpyt's scripts read affinities."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the affinity has no {name!r}: it has {', '.join(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


Affinity = Union[AttrDict, list[AttrDict]]  # noqa: UP007 (evaluated when the module loads; 3.10 reads both)
"""One dict, or for a run on several GPUs one dict a GPU."""

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


def slot_affinity(slot: Slot, *, alternating: bool = False, set_affinity: bool = True) -> Affinity:
    """Return what the run in `slot` reads as its affinity; `cuda_idx` counts the GPUs that it sees, from 0."""
    cpus = list(slot.pus)
    affinity = AttrDict(
        all_cpus=cpus,
        master_cpus=cpus,
        workers_cpus=[[pu for pu in core.pus if pu in slot.pus] for core in slot.cores],
        master_torch_threads=slot.size,
        worker_torch_threads=slot.cpus_per_worker,
        alternating=alternating,
        set_affinity=set_affinity,
    )
    if slot.gpus:
        affinity["cuda_idx"] = 0
    return affinity


def slot_environment(slot: Slot, affinity: Affinity, *, gpu_visibility: bool = True) -> dict[str, str]:
    """Return the environment variables of a run in `slot`.

    The thread pools are as large as the slot, whatever the caller's environment says: that was sized for the machine.
    With `gpu_visibility` false the variables that select GPUs are left alone (rlpyt's scripts select by `cuda_idx`).
    """
    environment = {name: str(slot.size) for name in THREAD_VARIABLES}
    environment["RUNSLOT_AFFINITY"] = json.dumps(affinity)
    if slot.gpus:
        environment["EGL_DEVICE_ID"] = str(slot.gpus[0].index)
    if gpu_visibility and (slot.gpus or slot.hides_gpus):
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(g.visible for g in slot.gpus)
    return environment


class CodeSlot:
    """Placeholder until the codes land."""


def get_n_run_slots(affinity_code: str) -> int:
    """Return the number of runs that execute at the same time under a code."""
    raise AffinityError(f"affinity codes are not read yet: {affinity_code}")
