"""The current run of this process: what a function or script asks about itself.

This is the one piece of global state of runslot; `runslot exec` sets it, through the environment
for scripts. The run's directory is held open: it may be moved while the run goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runslot.experiment.files import make_below
from runslot.experiment.records import LoggerSettings, RunFile
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
        enter_run(directory, RunDir(directory).read_run())
    return _run_by_directory[directory]


def enter_run(directory: str, file: RunFile) -> None:
    """Take a run, of which `file` has been read, for this process's own."""
    affinity = os.environ.get(AFFINITY_VARIABLE)
    run = file.run
    with contextlib.suppress(OSError):  # it was moved this moment
        _hold(directory, directory)
    _run_by_directory.clear()
    _run_by_directory[directory] = CurrentRun(
        directory=Path(directory),
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


# ---- where its directory is ----------------------------------------------------------------------


_held: dict[str, int] = {}
"""By directory, a descriptor of it."""


_TRIES = 5
"""Of opening a directory that is moved between two calls."""


def hold_run(directory: str, descriptor: int) -> None:
    """Hold a run's directory open, wherever it is this moment; `descriptor` is of a file in it."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            file = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
            _hold(directory, os.path.dirname(file))  # noqa: PTH120
        if directory in _held:
            return


def _hold(directory: str, place: str) -> None:
    if directory in _held:
        return
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()
    _held[directory] = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def where_now(path: Path) -> Path:
    """Return where a file of this run lies by now; the path itself where it is no such file, or
    nobody can tell.
    """
    for directory, descriptor in _held.items():
        if path.is_relative_to(directory) and not _is_same(directory, descriptor):
            with contextlib.suppress(OSError):
                place = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
                if _is_same(place, descriptor):
                    return Path(place, path.relative_to(directory))
    return path


def _is_same(directory: str, descriptor: int) -> bool:
    try:
        status, held = os.stat(directory), os.fstat(descriptor)  # noqa: PTH116
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (held.st_dev, held.st_ino)


def make_directory(directory: Path) -> None:
    """Make a directory for what a run writes; its own, which may have been moved away, is never
    made anew.
    """
    own = os.environ.get(RUN_VARIABLE)
    if not own or not directory.is_relative_to(own):
        directory.mkdir(parents=True, exist_ok=True)
    elif directory != Path(own):
        make_below(where_now(directory), where_now(Path(own)))
