"""Where the cluster finds the experiment: where it is, on a disk that nodes share, or in a clone at
a login host.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from runslot.engines.batch.queue import Look
from runslot.engines.batch.submissions import TaskPlace
from runslot.engines.batch.takers import NOBODY, Takers, take
from runslot.experiment.records import ExperimentFile
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.transport.contents import MADE_ON_BOTH_SIDES, OUTCOME, clone_digest
from runslot.transport.patterns import comes_home
from runslot.transport.ssh import Host


def fetch_begun(site: Site, sight: Look, runs: Iterable[tuple[RunDir, str, TaskPlace]]) -> None:
    """Bring home what was written for runs, each with its id and place, whose tasks are not known
    to wait: who has taken which first, so that a run is looked for where it is.
    """
    if not site.moved:
        return
    runs, takers = list(runs), Takers()
    site.fetch((), {place.submission.path for _, _, place in runs})
    takers.look(place for _, _, place in runs)
    tasks = [(run_dir, sight.task(takers.place(run, place))) for run_dir, run, place in runs]
    site.fetch([run_dir for run_dir, task in tasks if task is None or not task.waits])


def leave_files(paths: Sequence[Path]) -> None:
    """Leave empty files here."""
    for directory in {path.parent for path in paths}:
        directory.mkdir(parents=True, exist_ok=True)
    for path in paths:  # there may be thousands
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))


class Site(Protocol):
    """An experiment's directory as the cluster has it."""

    moved: bool
    """Whether it is a clone, whose results have to be brought home."""

    @property
    def directory(self) -> str:
        """Its path there."""

    def send(self, paths: Iterable[Path]) -> None:
        """Bring files and directories of the experiment there."""

    def touch(self, paths: Sequence[Path]) -> None:
        """Leave empty files there, and here."""

    def take(self, links: Sequence[Path]) -> list[bool]:
        """Take runs for nobody, by their links in `takers`; by link whether no task has it."""

    def fetch(self, run_dirs: Sequence[RunDir], further: Iterable[Path] = ()) -> None:
        """Bring what runs wrote home, outcomes last; and other files and directories of the
        experiment.
        """


class SharedSite:
    """The nodes see the directory where it is."""

    moved = False

    def __init__(self, experiment: ExperimentDir) -> None:
        self._experiment = experiment

    @property
    def directory(self) -> str:
        """Where it is."""
        return str(self._experiment.path.resolve())

    def send(self, paths: Iterable[Path]) -> None:
        """Do nothing: it is there."""

    def touch(self, paths: Sequence[Path]) -> None:
        """Leave empty files."""
        leave_files(paths)

    def take(self, links: Sequence[Path]) -> list[bool]:
        """Take them, as far as no task has."""
        return [take(link, NOBODY) for link in links]

    def fetch(self, run_dirs: Sequence[RunDir], further: Iterable[Path] = ()) -> None:
        """Do nothing: it is here."""


class LoginSite:
    """A clone below `root` of the login host, whose files the nodes share; runs lie in it, or
    beside it, as here.
    """

    moved = True

    def __init__(
        self, experiment: ExperimentDir, file: ExperimentFile, host: Host, root: str
    ) -> None:
        self._host = host
        self._home = experiment.path
        self._base = Path(experiment.runs_base(file))
        self._inner = os.path.relpath(experiment.path, self._base)
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", file.name)[:60]
        self._file = file
        self._place = f"{root}/{name}-{clone_digest(experiment, file)}"
        self._remote_home: str | None = None

    @property
    def base(self) -> str:
        """The absolute path, there, of what runs' directories are relative to; it is made at
        first.
        """
        if self._remote_home is None:
            answer = self._host.check(
                ["sh", "-c", 'mkdir -p "$1" && cd "$1" && pwd', "sh", self._place]
            )
            self._remote_home = answer.decode(errors="replace").splitlines()[-1]
        return self._remote_home

    @property
    def directory(self) -> str:
        """The experiment's absolute path there."""
        return os.path.normpath(f"{self.base}/{self._inner}")

    def send(self, paths: Iterable[Path]) -> None:
        """Bring files and directories there, where they differ."""
        self._host.check(["mkdir", "-p", self.directory])
        self._host.push(self._base, self.base, self._relative(paths), ["--relative"])

    def touch(self, paths: Sequence[Path]) -> None:
        """Leave empty files on both sides."""
        leave_files(paths)
        self._host.check(
            [
                "mkdir",
                "-p",
                *{f"{self.base}/{name}" for name in self._relative(p.parent for p in paths)},
            ]
        )
        self.send(paths)

    def take(self, links: Sequence[Path]) -> list[bool]:
        """Take them there, as far as no task has; those that were taken come home with a fetch."""
        if not links:
            return []
        names = [f"{self.base}/{name}" for name in self._relative(links)]
        script = 'for link do ln -s -- "$0" "$link" 2>/dev/null && echo 1 || echo 0; done'
        printed = self._host.check(["sh", "-c", script, str(NOBODY), *names])
        return [word == b"1" for word in printed.split()[-len(links) :]]

    def fetch(self, run_dirs: Sequence[RunDir], further: Iterable[Path] = ()) -> None:
        """Bring home what differs; an outcome is put in place after all that it speaks of."""
        names = self._relative(run_dir.path for run_dir in run_dirs)
        outcomes = [f"{name}/{OUTCOME}" for name in names]
        apart = [f"--exclude={name}" for name in (*MADE_ON_BOTH_SIDES, OUTCOME)]
        with tempfile.TemporaryDirectory(dir=self._home, prefix=".incoming-") as aside:
            # Outcomes first: what is fetched after them is at least as new.
            self._host.pull(self.base, Path(aside), outcomes)
            files = self._chosen(names) if self._file.fetch or self._file.no_fetch else names
            self._host.pull(self.base, self._base, [*files, *self._relative(further)], apart)
            for name in outcomes:
                fetched = Path(aside, name)
                if fetched.exists() and self._base.joinpath(name).parent.is_dir():
                    fetched.replace(self._base / name)

    def _chosen(self, names: Sequence[str]) -> list[str]:
        """Return the files of these runs' directories that are to come home, as they lie there
        now.
        """
        listing = (
            'cd "$1" && shift && for run do find "$run" ! -type d -print0; done 2>/dev/null; true'
        )
        printed = self._host.check(["sh", "-c", listing, "sh", self.base, *names])
        files = [os.fsdecode(name) for name in printed.split(b"\0") if name]
        return [
            file
            for name in names
            for file in files
            if file.startswith(f"{name}/") and comes_home(self._file, file[len(name) + 1 :])
        ]

    def _relative(self, paths: Iterable[Path]) -> list[str]:
        return [path.relative_to(self._base).as_posix() for path in paths]
