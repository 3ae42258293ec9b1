"""The current run of this process: what a function or script asks about itself.

This is the one piece of global state of runslot; `runslot exec` sets it, through the environment
for scripts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runslot.experiment.records import LoggerSettings
from runslot.experiment.rundir import RunDir

RUN_VARIABLE = "RUNSLOT_RUN"
"""Environment variable of every process of a run: its directory."""
ATTEMPT_VARIABLE = "RUNSLOT_ATTEMPT"
AFFINITY_VARIABLE = "RUNSLOT_AFFINITY"
"""Environment variable with the run's affinity as JSON."""


@dataclass(frozen=True)
class CurrentRun:
    """What a run may know of itself."""

    directory: Path
    """Where it writes."""
    id: str
    """Made of the variant and the seed: the same in every launch."""
    name: str
    """The variant's name."""
    variant: Mapping[str, Any]
    """JSON values; the function's own argument has the real ones."""
    seed: int | str | None
    """None where the space itself has the seeds."""
    run_ID: int | None
    """The number of the run of its variant, from 0."""
    attempt: int
    """Which attempt this is, from 1."""
    affinity: Mapping[str, Any] | list[Mapping[str, Any]] | None
    """rlpyt's fields; a list where the slot has several GPUs; None where the run is not placed."""
    resumable: bool
    """Whether a further attempt goes on in the same directory, from its snapshot."""
    logger: LoggerSettings
    """How the run's logger starts."""


_run_by_directory: dict[str, CurrentRun] = {}


def current_run() -> CurrentRun | None:
    """Return the run that this process belongs to, or None outside a run.

    Costs one reading of `run.json` the first time.
    """
    directory = os.environ.get(RUN_VARIABLE)
    if not directory:
        return None
    if directory not in _run_by_directory:
        _run_by_directory.clear()
        _run_by_directory[directory] = _read(Path(directory))
    return _run_by_directory[directory]


def _read(directory: Path) -> CurrentRun:
    file = RunDir(directory).read_run()
    affinity = os.environ.get(AFFINITY_VARIABLE)
    run = file.run
    return CurrentRun(
        directory=directory,
        id=run.id,
        name=run.name,
        variant={**run.variant, **run.extras},
        seed=run.seed,
        run_ID=run.run_ID,
        attempt=int(os.environ.get(ATTEMPT_VARIABLE, "1")),
        affinity=json.loads(affinity) if affinity else None,
        resumable=file.policy.resumable,
        logger=file.logger,
    )
