"""Which experiments this user launches on this machine: a small file each, by which `runslot queue` finds them.

The files are hints. Who is at work on an experiment says its own lock; a file whose launcher is dead is removed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

from runslot.experiment.lock import lock_holder
from runslot.experiment.processes import ProcessIdentity, host_name, identify, is_alive
from runslot.experiment.rundir import ExperimentDir, read_json, write_json


def launchers_directory() -> Path:
    """Return where the files lie: `$XDG_STATE_HOME/runslot/launchers`, which every session of a user agrees on."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "runslot" / "launchers"


def enlist(experiment: ExperimentDir) -> Path | None:
    """Say that this process launches the experiment; return the file to remove when it no longer does.

    None where there is no directory to write to: the launch goes on, and is not listed.
    """
    own = identify()
    path = experiment.path.resolve()
    name = f"{own.host}-{own.pid}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}.json"
    try:
        directory = launchers_directory()
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / name, {"experiment": str(path), **dataclasses.asdict(own)})
    except (OSError, RuntimeError):  # a home that is read-only, full, or unknown
        return None
    return directory / name


def launched_here() -> list[ExperimentDir]:
    """Return the experiments that launchers of this user on this machine are at work on, oldest launch first."""
    try:
        files = sorted(launchers_directory().glob("*.json"), key=_written)
    except (OSError, RuntimeError):
        return []
    return [experiment for file in files if (experiment := _launched(file)) is not None]


def _launched(file: Path) -> ExperimentDir | None:
    value = read_json(file)
    if value is None or value["host"] != host_name():
        return None
    launcher = ProcessIdentity(value["host"], value["boot_id"], value["pid"], value["start_time"])
    if is_alive(launcher) is False:
        file.unlink(missing_ok=True)
        return None
    experiment = ExperimentDir(value["experiment"])
    return experiment if lock_holder(experiment) == launcher else None


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # its launcher has just ended
        return 0.0
