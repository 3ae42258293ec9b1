"""Slurm as an engine: job arrays, submitted and left, whose tasks execute runs as `runslot work`
does.

Its record is loaded when it is asked for: each task of an array imports this package, and needs the
half of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runslot.engines.slurm.config import Slurm as Slurm


def __getattr__(name: str) -> Any:
    if name == "Slurm":
        from runslot.engines.slurm.config import Slurm

        return Slurm
    raise AttributeError(name)
