"""Which experiments this user launches on this machine: a small file each, by which `runslot queue`
finds them.

The files are hints: who is at work on an experiment says its own lock, and what still runs there
say its runs' files. A file is removed by its launcher at the end, or by a reader that finds neither
a launcher nor runs any more.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from runslot.errors import Damaged, NotFound
from runslot.experiment.files import read_json, write_json
from runslot.experiment.lock import read_identity
from runslot.experiment.processes import host_name, identify, is_alive
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import ExperimentStatus, read_status


def launchers_directory() -> Path:
    """Return where the files lie: `$XDG_STATE_HOME/runslot/launchers`, which every session of a
    user agrees on.
    """
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "runslot" / "launchers"


def enlist(experiment: ExperimentDir) -> Path | None:
    """Say that this process launches the experiment; return the file to remove when it no longer
    does.

    None where there is no directory to write to: the launch goes on, and is not listed.
    """
    import hashlib  # with OpenSSL, which workers need not load

    identity = identify()
    path = experiment.path.resolve()
    name = (
        f"{identity.host}-{identity.pid}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}.json"
    )
    try:
        directory = launchers_directory()
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / name, {"experiment": str(path), **dataclasses.asdict(identity)})
    except (OSError, RuntimeError):  # a home that is read-only, full, or unknown
        return None
    return directory / name


def launched_here(problems: list[str] | None = None) -> list[ExperimentStatus]:
    """Return how the experiments stand that this user launched on this machine and that run or
    wait, oldest first.

    Those whose files cannot be read are named in `problems`.
    """
    try:
        files = sorted(launchers_directory().glob("*.json"), key=_written)
    except (OSError, RuntimeError):
        return []
    # one that was resumed has the file of its dead launcher as well
    statuses: dict[Path, ExperimentStatus] = {}
    for file in files:
        try:
            status = _under_way(file)
        except Damaged as error:
            if problems is not None:
                problems.append(str(error))
            continue
        if status is not None:
            statuses.setdefault(status.directory.path, status)
    return list(statuses.values())


def _under_way(file: Path) -> ExperimentStatus | None:
    launcher = read_identity(file)
    if launcher is None or launcher.host != host_name():
        return None
    place = (read_json(file) or {}).get("experiment")
    if not isinstance(place, str):
        raise Damaged(f"{file} names no experiment")
    experiment = ExperimentDir(place)
    try:
        status = read_status(experiment)
    except NotFound:  # it was deleted
        status = None
    if status is not None and (status.launcher == launcher or status.counts.get("running")):
        return status
    if is_alive(launcher) is False:
        file.unlink(missing_ok=True)
    return None


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # its launcher has just ended
        return 0.0
