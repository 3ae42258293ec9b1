"""rlpyt's front door: what its launch scripts and training scripts import, over runslot's engine.

Names, arguments, directories, files and the order of starting are rlpyt's (astooke/rlpyt,
`utils/launching`, `utils/logging/context.py`); its asserts are errors. What launches is loaded when
it is first used, so that a training script pays only for what it reads its variant and affinity
with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runslot import logger
from runslot.hardware.affinity import (
    affinity_from_code,
    decode_affinity,
    encode_affinity,
    get_n_run_slots,
    make_affinity,
    prepend_run_slot,
    quick_affinity_code,
    remove_run_slot,
)
from runslot.logger import logger_context
from runslot.rlpyt.files import get_log_dir, load_variant, save_variant
from runslot.variants import VariantLevel, make_variants, update_config
from runslot.variants import _cross_variants as _cross_variants  # scripts of rlpyt import it

if TYPE_CHECKING:
    from runslot.rlpyt.launch import launch_experiment, run_experiments

__all__ = [
    "VariantLevel",
    "affinity_from_code",
    "decode_affinity",
    "encode_affinity",
    "get_log_dir",
    "get_n_run_slots",
    "launch_experiment",
    "load_variant",
    "logger",
    "logger_context",
    "make_affinity",
    "make_variants",
    "prepend_run_slot",
    "quick_affinity_code",
    "remove_run_slot",
    "run_experiments",
    "save_variant",
    "update_config",
]


def __getattr__(name: str) -> Any:
    if name in ("launch_experiment", "run_experiments"):
        from runslot.rlpyt import launch as launching

        return getattr(launching, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
