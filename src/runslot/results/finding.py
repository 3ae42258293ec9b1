"""Find run directories of every kind below a directory: which they are, and which files say what.

Only names and `stat` are read here, so that a tree of a thousand runs costs milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runslot.errors import NotFound
from runslot.experiment.rundir import COLLECTION, ExperimentDir, RunDir
from runslot.results.problems import Problem

Kind = Literal["runslot", "launchkit", "rlpyt", "stable-baselines3", "lightning", "tensorboard"]

Stamp = tuple[int, int, int]
"""Inode, size in bytes and time of change in nanoseconds of a file: equal as long as nobody wrote to it."""

_RUN = RunDir("")
_EXPERIMENT = ExperimentDir("")
_RUN_FILE, _PROGRESS = _RUN.run_file.name, _RUN.progress.name
_EXPERIMENT_FILE, _RUNS_FILE = _EXPERIMENT.experiment_file.name, _EXPERIMENT.runs_file.name
_DESCRIBING = {
    _RUN_FILE,
    _RUN.variant_file.name,
    _RUN.outcome_file.name,
    _RUN.attempt_file.name,
    "params.json",
    "hparams.yaml",
}
_OWN_DIRECTORIES = {"code", _EXPERIMENT.requests.name, _EXPERIMENT.payloads.name, _EXPERIMENT.provenance.name}
"""Directories beside `experiment.json` that hold no runs."""
_KEPT_ATTEMPT = re.compile(r"attempt_\d+")
_MONITOR = re.compile(r"(?:\d+\.)?monitor\.csv")
_EVENTS = re.compile(r"events\.out\.tfevents\..+")


@dataclass(frozen=True)
class Found:
    """One run directory."""

    path: str
    """Absolute, without symbolic links."""
    kind: Kind
    logs: tuple[str, ...]
    """Files with the metrics, relative to `path`; none where nothing was logged yet."""
    stamps: Mapping[str, Stamp]
    """Of the files that describe the run, and of `logs`; relative to `path`."""


def roots_of(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return `paths` resolved (a link that is named, such as `latest`, is followed), each once, and none in another."""
    roots: list[str] = []
    for path in paths:
        if not Path(path).is_dir():
            what = "is not a directory" if Path(path).exists() else "does not exist"
            raise NotFound(f"{path} {what}; name an experiment, a collection, a run, or a directory that holds some")
        root = os.path.realpath(path)
        if root not in roots:
            roots.append(root)
    return [r for r in roots if not any(r != other and Path(r).is_relative_to(other) for other in roots)]


def find(roots: Sequence[str], problems: list[Problem], lists: dict[str, Stamp] | None = None) -> list[Found]:
    """Return the runs below `roots`, in the natural order of their paths; symbolic links are not followed.

    Experiments that list the runs they asked for are put into `lists`, with the stamp of that list.
    """
    return [run for root in roots for run in _walk(root, False, problems, {} if lists is None else lists)]


def _walk(path: str, inside_run: bool, problems: list[Problem], lists: dict[str, Stamp]) -> Iterator[Found]:
    try:
        with os.scandir(path) as entries:
            files, directories = _split(entries)
    except OSError as error:
        problems.append(Problem(path, f"cannot be listed ({error.strerror})"))
        return
    if _RUN_FILE in files:
        yield _our_run(path, files, directories)
        return
    if kind := _kind(path, files):
        logs = _logs(kind, files)
        wanted = [name for name in files if name in _DESCRIBING] + list(logs)
        yield Found(path, kind, logs, {name: _stamp(files[name]) for name in wanted})
    if _EXPERIMENT_FILE in files and _RUNS_FILE in files:
        lists[path] = _stamp(files[_RUNS_FILE])
    if COLLECTION in directories:
        lists |= _calls(f"{path}/{COLLECTION}")
    skipped = _OWN_DIRECTORIES if _EXPERIMENT_FILE in files else set()
    for name in sorted(directories, key=natural):
        if name.startswith(".") or name in skipped or ((kind or inside_run) and _KEPT_ATTEMPT.fullmatch(name)):
            continue
        yield from _walk(f"{path}/{name}", inside_run, problems, lists)


def _calls(path: str) -> dict[str, Stamp]:
    """Return the experiments that a collection records, whose runs lie beside it."""
    found = {}
    with contextlib.suppress(OSError), os.scandir(path) as calls:
        for call in calls:
            if call.is_dir(follow_symlinks=False):
                with os.scandir(call.path) as entries:
                    files, _ = _split(entries)
                if _EXPERIMENT_FILE in files and _RUNS_FILE in files:
                    found[call.path] = _stamp(files[_RUNS_FILE])
    return found


def _split(entries: Iterator[os.DirEntry[str]]) -> tuple[dict[str, os.DirEntry[str]], list[str]]:
    files: dict[str, os.DirEntry[str]] = {}
    directories = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            directories.append(entry.name)
        elif entry.is_file(follow_symlinks=False):
            files[entry.name] = entry
    return files, directories


def _our_run(path: str, files: Mapping[str, os.DirEntry[str]], directories: Sequence[str]) -> Found:
    """Return one of our runs; what another library logged deeper inside it stands in for a missing `progress.csv`."""
    stamps = {name: _stamp(files[name]) for name in files if name in _DESCRIBING}
    logs: tuple[str, ...] = ()
    for kind in ("launchkit", "lightning", "stable-baselines3", "tensorboard"):
        logs = logs or _logs(kind, files)
    if logs:
        return Found(path, "runslot", logs, stamps | {name: _stamp(files[name]) for name in logs})
    deeper = [
        found
        for name in sorted(directories, key=natural)
        if not name.startswith(".") and not _KEPT_ATTEMPT.fullmatch(name)
        for found in _walk(f"{path}/{name}", True, [], {})
        if found.logs
    ]
    if deeper:
        last = deeper[-1]
        prefix = last.path[len(path) + 1 :]
        logs = tuple(f"{prefix}/{name}" for name in last.logs)
        stamps |= {f"{prefix}/{name}": last.stamps[name] for name in last.logs}
    return Found(path, "runslot", logs, stamps)


def _kind(path: str, files: Mapping[str, object]) -> Kind | None:
    if _PROGRESS in files:
        if _RUN.variant_file.name in files:
            return "launchkit"
        has_level = Path(path).parent.joinpath(VARIANT_CONFIG).is_file()
        return "rlpyt" if "params.json" in files or has_level else "stable-baselines3"
    if "metrics.csv" in files and ("hparams.yaml" in files or Path(path).name.startswith("version_")):
        return "lightning"
    if any(_MONITOR.fullmatch(name) for name in files):
        return "stable-baselines3"
    return "tensorboard" if any(_EVENTS.fullmatch(name) for name in files) else None


VARIANT_CONFIG = "variant_config.json"
"""rlpyt's file with the variant, in the directory above the runs."""


def _logs(kind: Kind, files: Mapping[str, object]) -> tuple[str, ...]:
    if kind == "lightning":
        return ("metrics.csv",) if "metrics.csv" in files else ()
    if kind == "tensorboard":
        return tuple(sorted(name for name in files if _EVENTS.fullmatch(name)))
    if _PROGRESS in files:
        return (_PROGRESS,)
    return tuple(sorted((n for n in files if _MONITOR.fullmatch(n)), key=natural)) if kind != "launchkit" else ()


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    status = entry.stat(follow_symlinks=False)
    return status.st_ino, status.st_size, status.st_mtime_ns


def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """Return a key that sorts numbers in names by value: `run_9` before `run_10`, `lr=0.5` before `lr=2`."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple((0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts))
