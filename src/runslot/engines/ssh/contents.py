"""What is brought to a host before its runs start, where it lies there, and what comes home."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runslot.engines.open_experiment import OpenExperiment
from runslot.experiment.processes import host_name
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.transport.scan import stays_inside

INCOMING = ".incoming"
"""Below the experiment's directory: files on their way home."""


@dataclass(frozen=True)
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
    def of(cls, experiment: OpenExperiment, archive: str, root: str, host: str) -> HostClone:
        """Return where the experiment lies below `root` on a host.

        The host's name is in the path, because several hosts may share a home directory.
        """
        home = runs_base(experiment)
        made = f"{host_name()}\0{experiment.directory.path.resolve()}\0{experiment.file.created}"
        digest = hashlib.sha256(os.fsencode(made)).hexdigest()[:10]
        base = f"{root}/{_plain(host)}/{_plain(experiment.file.name)[:60]}-{digest}"
        there = os.path.normpath(f"{base}/{os.path.relpath(experiment.directory.path, home)}")
        return cls(base, there, f"{there}/{archive}")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", name).strip("-.") or "x"


def runs_base(experiment: OpenExperiment) -> Path:
    """Return the directory, here, that runs' directories are relative to."""
    return Path(experiment.directory.runs_base(experiment.file))


def to_bring(experiment: OpenExperiment, archive: str) -> list[str]:
    """Return what of the experiment's directory goes to a host: what is to be executed, and
    runslot's `archive`.
    """
    directory = experiment.directory
    code = [] if experiment.file.code is None else [directory.path / experiment.file.code.copy]
    wanted = [
        directory.experiment_file,
        directory.runs_file,
        directory.function_pickle,
        directory.payloads,
        directory.path / archive,
        *code,
    ]
    return [path.name for path in wanted if path.exists()]


STAYS_HERE = ("run.json", "attempt.json", "outcome.json", "attempt_*")
"""What of a run's directory is not brought to the host on which the run continues."""


def home_options(experiment: OpenExperiment) -> list[str]:
    """Return rsync's options for what comes home: it is renamed into place from a directory of this
    launcher's own.

    Whoever cleans that directory has stopped what an earlier launcher left behind on its way.
    """
    return [f"--temp-dir={incoming(experiment.directory)}"]


def incoming(directory: ExperimentDir) -> Path:
    """Return the directory of this process's files on their way."""
    return directory.path / INCOMING / str(os.getpid())


def remove_gone(
    base: Path, directories: Mapping[str, str], gone: Iterable[tuple[str, str]]
) -> None:
    """Remove here what a run has removed there: `gone` are run ids and paths, `directories` run
    ids' directories.
    """
    for path in _inside(base, directories, gone):
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue


def _inside(
    base: Path, directories: Mapping[str, str], gone: Iterable[tuple[str, str]]
) -> Iterator[Path]:
    for run, name in gone:
        if run in directories and stays_inside(name):
            path = RunDir(base / directories[run]).path / name
            if path.parent.resolve().is_relative_to((base / directories[run]).resolve()):
                yield path
