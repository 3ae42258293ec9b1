"""What of an experiment travels to another machine, where it lies there, and what comes home.

Used by every engine whose runs execute on another disk: hosts, clusters behind a login host, rented
machines. What must stay true: a run's `outcome.json` comes home after all that it speaks of, since
who sees it takes the others for whole (`outcome_last`). `scan` says what has changed on a host;
`bucket.order` and `bucket.pull` send and bring by way of a bucket.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from runslot.experiment.processes import host_name
from runslot.experiment.records import ExperimentFile
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.record import record
from runslot.transport.scan import stays_inside

INCOMING = ".incoming"
"""Below the experiment's directory: files on their way home."""


MADE_ON_BOTH_SIDES = ("run.json", "variant.json", "variant_config.json")
"""Files of a run that are written here and there, each with its own paths."""
OUTCOME = RunDir("").outcome_file.name
"""The file of a run that comes home last."""


def outcome_last(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which paths come home first, and which are outcomes, which come last: those of earlier
    attempts, then the run's own.

    What is deleted goes the other way round, so that no outcome ever speaks of what is not there.
    """
    first: list[str] = []
    outcomes: list[str] = []
    for path in paths:
        (outcomes if path.rpartition("/")[2] == OUTCOME else first).append(path)
    return first, sorted(outcomes, key=len, reverse=True)


def what_runs_need(
    directory: ExperimentDir, file: ExperimentFile, *further: Path | None
) -> list[Path]:
    """Return what of an experiment goes where its runs execute: what is to be executed, and
    `further` files, as far as they are there.
    """
    code = None if file.code is None else directory.path / file.code.copy
    records = (directory.experiment_file, directory.runs_file)
    by_value = (directory.function_pickle, directory.payloads)
    paths = dict.fromkeys([*records, *by_value, *further, code])
    return [path for path in paths if path is not None and path.exists()]


def clone_digest(directory: ExperimentDir, file: ExperimentFile) -> str:
    """Return what tells this experiment's clone from any other's on the same disk: of which machine
    it is, where it lies there, and when it was made.
    """
    origin = f"{host_name()}\0{directory.path.resolve()}\0{file.created}"
    return hashlib.sha256(os.fsencode(origin)).hexdigest()[:10]


@record
class HostClone:
    """An experiment's directory on a host; runs lie in it, or beside it, as they do here."""

    base: str
    """The absolute path, on the host, of what `runs_root` names here: runs' directories are
    relative to it.
    """
    experiment: str
    """The absolute path of the experiment's directory there."""
    archive: str
    """runslot as one file, there."""

    @classmethod
    def of(
        cls, directory: ExperimentDir, file: ExperimentFile, archive: str, root: str, host: str
    ) -> HostClone:
        """Return where the experiment lies below `root` on a host.

        The host's name is in the path, because several hosts may share a home directory.
        """
        name = f"{_plain(file.name)[:60]}-{clone_digest(directory, file)}"
        base = f"{root}/{_plain(host)}/{name}"
        inner = os.path.relpath(directory.path, directory.runs_base(file))
        inner_path = os.path.normpath(f"{base}/{inner}")
        return cls(base, inner_path, f"{inner_path}/{archive}")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", name).strip("-.") or "x"


STAYS_HERE = ("run.json", "attempt.json", "outcome.json", "attempt_*")
"""What of a run's directory is not brought to the host on which the run continues."""


def home_options(directory: ExperimentDir) -> list[str]:
    """Return rsync's options for what comes home: it is renamed into place from a directory of this
    launcher's own.

    Whoever cleans that directory has stopped what an earlier launcher left behind on its way.
    """
    return [f"--temp-dir={incoming(directory)}"]


def incoming(directory: ExperimentDir) -> Path:
    """Return the directory of this process's files on their way."""
    return directory.path / INCOMING / str(os.getpid())


def remove_gone(
    base: Path, directories: Mapping[str, str], removed: Iterable[tuple[str, str]]
) -> None:
    """Remove here what a run has removed there: `removed` are run ids and paths, `directories` run
    ids' directories.
    """
    for path in _inside(base, directories, removed):
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue


def _inside(
    base: Path, directories: Mapping[str, str], removed: Iterable[tuple[str, str]]
) -> Iterator[Path]:
    for run, name in removed:
        if run in directories and stays_inside(name):
            path = RunDir(base / directories[run]).path / name
            if path.parent.resolve().is_relative_to((base / directories[run]).resolve()):
                yield path
