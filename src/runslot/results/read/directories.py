"""Find run directories of every kind below a directory: which they are, and which files say what.

Names and `stat` are read here, and of few files the first line, so that a tree of a thousand runs
costs milliseconds. What the names mean is `layouts`'.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runslot.errors import NotFound, RunslotError
from runslot.experiment.rundir import COLLECTION, PARAMS, ExperimentDir, RunDir
from runslot.record import record
from runslot.results.formats.files import first_line, read_bytes
from runslot.results.problems import Problem, Unread
from runslot.results.read import layouts
from runslot.results.read.layouts import (
    HYDRA,
    HYDRA_FILES,
    HYDRA_ITSELF,
    VARIANT_CONFIG,
    ZOO_FILES,
    Kind,
    Match,
    natural,
)
from runslot.results.read.script_logs import script_logs

Stamp = tuple[int, int, int]
"""Inode, size in bytes and time of change in nanoseconds of a file: equal as long as nobody wrote
to it."""

_RUN = RunDir("")
_EXPERIMENT = ExperimentDir("")
_RUN_FILE = _RUN.run_file.name
_EXPERIMENT_FILE, _RUNS_FILE = _EXPERIMENT.experiment_file.name, _EXPERIMENT.runs_file.name
_OURS = {_RUN.variant_file.name, _RUN.outcome_file.name, _RUN.attempt_file.name}
"""Files beside `run.json` that show without reading it that it is ours."""
_DESCRIBING = {_RUN_FILE, *_OURS, PARAMS, "hparams.yaml"}
_OWN_DIRECTORIES = {
    "code",
    *(
        place.name
        for place in (
            _EXPERIMENT.requests,
            _EXPERIMENT.workers,
            _EXPERIMENT.payloads,
            _EXPERIMENT.provenance,
            _EXPERIMENT.turns,
        )
    ),
}
"""Directories beside `experiment.json` that hold no runs."""
_KEPT_ATTEMPT = re.compile(r"attempt_\d+")
_HEADS_OF_ONE_DIRECTORY = 100
"""So many files of one directory are looked into to recognise them; a data set of thousands is no
log."""


@record
class RunFiles:
    """One run: a directory, or a file where each of several in a directory is a run."""

    path: str
    """Absolute, without symbolic links."""
    kind: Kind
    logs: tuple[str, ...]
    """Files with the metrics, relative to `directory`; none where nothing was logged yet."""
    stamps: Mapping[str, Stamp]
    """Of the files that describe the run, and of `logs`; relative to `directory`."""
    settings: tuple[str, ...] = ()
    """The files that say the parameters, the later overriding the earlier; relative to
    `directory`."""
    is_file: bool = False

    @property
    def directory(self) -> str:
        """Where the run's files lie."""
        return os.path.dirname(self.path) if self.is_file else self.path  # noqa: PTH120  # of a thousand runs

    def file(self, name: str) -> str:
        """Return the path of one of its files."""
        return f"{self.directory}/{name}"


@record
class _Above:
    """What the directories above a directory say of it."""

    root: str
    is_inside_run: bool = False
    has_variant: bool = False
    hydra: str | None = None
    """The directory of the Hydra job that it belongs to."""


@dataclass
class Survey:
    """What lies below some roots."""

    globs: Sequence[str] = ()
    """Logs that the user named."""
    heads: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    """First lines that were read, kept from one survey to the next."""
    runs: list[RunFiles] = field(default_factory=list)
    """In the natural order of their paths."""
    lists: dict[str, Stamp] = field(default_factory=dict)
    """Experiments that list the runs they asked for, with the stamp of that list."""
    unread: list[Unread] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def look(self, roots: Sequence[str]) -> Survey:
        """Walk through the roots; symbolic links are not followed."""
        for root in roots:
            job = _job_around(Path(root))
            above = _Above(
                root, has_variant=Path(root).parent.joinpath(VARIANT_CONFIG).is_file(), hydra=job
            )
            self.runs += self._walk(root, above)
        return self

    def _walk(self, path: str, above: _Above) -> Iterable[RunFiles]:
        try:
            with os.scandir(path) as entries:
                files, directories = _split(entries)
        except OSError as error:
            self.problems.append(Problem(path, f"cannot be listed ({error.strerror})"))
            return ()
        head = self._head(path, files)
        if _RUN_FILE in files and (
            _OURS & files.keys() or layouts.is_ours(self._whole(path, files[_RUN_FILE]))
        ):
            return (self._our_run(path, files, directories, above),)
        if HYDRA in directories:
            above = _Above(above.root, above.is_inside_run, above.has_variant, path)
        below = path[len(above.root) :].lstrip("/")
        matches = layouts.matches_of(
            below or path.rpartition("/")[2], files.keys(), above.has_variant, self.globs, head
        )
        runs = [self._foreign(path, match, files, directories, above) for match in matches]
        if _EXPERIMENT_FILE in files and _RUNS_FILE in files:
            self.lists[path] = _stamp(files[_RUNS_FILE])
        elif _EXPERIMENT_FILE not in files:
            self._note_unread(path, files, runs, head)
        if COLLECTION in directories:
            self.lists |= _calls(f"{path}/{COLLECTION}")
        skipped = _OWN_DIRECTORIES if _EXPERIMENT_FILE in files else set()
        within = _Above(above.root, above.is_inside_run, VARIANT_CONFIG in files, above.hydra)
        for name in sorted(directories, key=natural) if directories else ():
            if name.startswith(".") or name in skipped:
                continue
            if (runs or above.is_inside_run) and _KEPT_ATTEMPT.fullmatch(name):
                continue
            runs += self._walk(f"{path}/{name}", within)
        if HYDRA not in directories:
            return runs
        return self._without_copies(runs) or [self._job(path, files, directories, above)]

    def _job(
        self,
        path: str,
        files: Mapping[str, os.DirEntry[str]],
        directories: Sequence[str],
        above: _Above,
    ) -> RunFiles:
        """Return a Hydra job whose program wrote no log that is known: what it logged in words, if
        anything."""
        logs = layouts.hydra_logs(files.keys(), lambda: _job_name(path))
        return self._foreign(path, Match("hydra", logs), files, directories, above)

    def _foreign(
        self,
        path: str,
        match: Match,
        files: Mapping[str, os.DirEntry[str]],
        directories: Sequence[str],
        above: _Above,
    ) -> RunFiles:
        """Return a run of another program, with the files that say its parameters."""
        settings = _settings_elsewhere(path, directories, above)
        beside = [name for name in layouts.SETTINGS if name in files]
        settings |= {name: _stamp(files[name]) for name in beside}
        describing = [name for name in files if name in _DESCRIBING and name not in settings]
        stamps = {name: _stamp(files[name]) for name in (*describing, *match.logs)} | settings
        where = f"{path}/{match.logs[0]}" if match.is_file else path
        return RunFiles(where, match.kind, match.logs, stamps, tuple(settings), match.is_file)

    def _our_run(
        self,
        path: str,
        files: Mapping[str, os.DirEntry[str]],
        directories: Sequence[str],
        above: _Above,
    ) -> RunFiles:
        """Return one of our runs; what another library logged deeper in it stands in for a missing
        `progress.csv`."""
        stamps = {name: _stamp(files[name]) for name in files if name in _DESCRIBING}
        logs = layouts.our_logs(path[len(above.root) :], files.keys(), self.globs)
        if logs:
            return RunFiles(
                path, "runslot", logs, stamps | {name: _stamp(files[name]) for name in logs}
            )
        inside = Survey(self.globs, self.heads)
        deeper = [
            run
            for name in sorted(directories, key=natural)
            if not name.startswith(".") and not _KEPT_ATTEMPT.fullmatch(name)
            for run in inside._walk(f"{path}/{name}", _Above(above.root, is_inside_run=True))
            if run.logs and run.kind != "hydra"
        ]
        if deeper:
            last = deeper[-1]
            prefix = last.directory[len(path) + 1 :]
            logs = tuple(f"{prefix}/{name}" for name in last.logs)
            stamps |= {f"{prefix}/{name}": last.stamps[name] for name in last.logs}
        if not logs:
            logs = script_logs(path, files.keys(), directories)
            with contextlib.suppress(OSError):
                stamps |= {log: _stamp_of(f"{path}/{log}") for log in logs}
        return RunFiles(path, "runslot", tuple(log for log in logs if log in stamps), stamps)

    def _without_copies(self, runs: list[RunFiles]) -> list[RunFiles]:
        """Return the runs of one Hydra job without those that another logger of the same job wrote
        a second time."""
        originals = [run for run in runs if run.kind != "tensorboard" and run.logs]
        if not originals:
            return runs
        for run in runs:
            if run.kind == "tensorboard":
                reason = (
                    "the job is read from"
                    f" {os.path.relpath(originals[0].file(originals[0].logs[0]), run.path)}"
                )
                self.unread.append(Unread(run.file(run.logs[0]), reason, len(run.logs)))
        return [run for run in runs if run.kind != "tensorboard"]

    def _note_unread(
        self,
        path: str,
        files: Mapping[str, os.DirEntry[str]],
        runs: Sequence[RunFiles],
        head: Callable[[str], str],
    ) -> None:
        """Name the files that may hold numbers and are no run's log, once for each reason."""
        logs = {log for run in runs for log in run.logs}
        read = logs.union(*(run.settings for run in runs))
        if any(run.kind == "sacred" for run in runs):
            read.add(_RUN_FILE)
        reasons: dict[str, list[str]] = {}
        for name in sorted(files.keys() - read):
            reason = layouts.why_unread(name, logs, head)
            if reason is not None:
                reasons.setdefault(
                    re.sub(r"--log '.*'", f"--log '*{Path(name).suffix}'", reason), []
                ).append(name)
        self.unread += [
            Unread(f"{path}/{names[0]}", reason, len(names)) for reason, names in reasons.items()
        ]

    def _head(self, path: str, files: Mapping[str, os.DirEntry[str]]) -> Callable[[str], str]:
        """Return what reads the first line of a file of one directory, of so many of them at
        most."""
        budget = _HEADS_OF_ONE_DIRECTORY

        def head(name: str) -> str:
            nonlocal budget
            if name not in files or budget <= 0:
                return ""
            budget -= 1
            file, stamp = f"{path}/{name}", _stamp(files[name])
            remembered = self.heads.get(file)
            if remembered is None or remembered[0] != stamp:
                remembered = self.heads[file] = (stamp, first_line(file, layouts.FIRST_LINE_BYTES))
            return remembered[1]

        return head

    def _whole(self, path: str, entry: os.DirEntry[str]) -> str:
        file, stamp = f"{path}/{entry.name}", _stamp(entry)
        remembered = self.heads.get(file)
        if remembered is None or remembered[0] != stamp:
            text = ""
            with contextlib.suppress(OSError, RunslotError):
                text = (read_bytes(file) or b"").decode("utf-8", "replace")
            # What is remembered for the next survey is the answer, not the text.
            remembered = self.heads[file] = (stamp, "" if layouts.is_ours(text) else "{}")
        return remembered[1]


def roots_of(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return `paths` resolved (a link that is named, such as `latest`, is followed), each once, and
    none in another."""
    roots: list[str] = []
    for path in paths:
        if not Path(path).is_dir():
            fault = "is not a directory" if Path(path).exists() else "does not exist"
            raise NotFound(
                f"{path} {fault}; name an experiment, a collection, a run, or a directory that"
                " holds some"
            )
        root = os.path.realpath(path)
        if root not in roots:
            roots.append(root)
    return [
        r for r in roots if not any(r != other and Path(r).is_relative_to(other) for other in roots)
    ]


def _job_around(root: Path) -> str | None:
    """Return the Hydra job that a directory lies in; the nearest few directories upward are looked
    at."""
    return next((str(path) for path in (*root.parents[:4],) if (path / HYDRA).is_dir()), None)


def _job_name(job: str) -> str:
    """Return the name of a Hydra job, by which its log is named; empty where nothing says it."""
    with contextlib.suppress(OSError, RunslotError):
        text = (read_bytes(Path(job, HYDRA, HYDRA_ITSELF)) or b"").decode("utf-8", "replace")
        if match := re.search(r"^  job:\n(?:    .*\n)*?    name: (\S+)$", text, re.MULTILINE):
            return match[1]
    return ""


def _settings_elsewhere(path: str, directories: Sequence[str], above: _Above) -> dict[str, Stamp]:
    """Return the files of parameters that do not lie beside the log: above it, in `.hydra`, in RL
    Zoo's directory."""
    places: list[str] = []
    if above.has_variant:
        places.append(f"../{VARIANT_CONFIG}")
    if above.hydra is not None:
        home = os.path.relpath(above.hydra, path)
        places += [f"{'' if home == '.' else f'{home}/'}{HYDRA}/{name}" for name in HYDRA_FILES]
    last = path.rpartition("/")[2]
    places += [
        f"{name}/{file}"
        for name in directories
        if last.startswith(f"{name}_")
        for file in ZOO_FILES
    ]
    stamps: dict[str, Stamp] = {}
    for place in places:
        with contextlib.suppress(OSError):
            stamps[place] = _stamp_of(f"{path}/{place}")
    return stamps


def _calls(path: str) -> dict[str, Stamp]:
    """Return the experiments that a collection records, whose runs lie beside it."""
    lists = {}
    with contextlib.suppress(OSError), os.scandir(path) as calls:
        for call in calls:
            if call.is_dir(follow_symlinks=False):
                with os.scandir(call.path) as entries:
                    files, _ = _split(entries)
                if _EXPERIMENT_FILE in files and _RUNS_FILE in files:
                    lists[call.path] = _stamp(files[_RUNS_FILE])
    return lists


def _split(entries: Iterator[os.DirEntry[str]]) -> tuple[dict[str, os.DirEntry[str]], list[str]]:
    files: dict[str, os.DirEntry[str]] = {}
    directories = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            directories.append(entry.name)
        elif entry.is_file(follow_symlinks=False):
            files[entry.name] = entry
    return files, directories


def _stamp_of(path: str) -> Stamp:
    status = os.stat(path, follow_symlinks=False)  # noqa: PTH116  # of a thousand runs
    return status.st_ino, status.st_size, status.st_mtime_ns


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    status = entry.stat(follow_symlinks=False)
    return status.st_ino, status.st_size, status.st_mtime_ns
