"""The loggers of RLKit and launchkit, pointed at the run directory as their own launchers did.

For functions that use libraries which write through `rlkit.core.logger` or `launchkit.logging.logger`.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from runslot.experiment.records import LoggerSettings
from runslot.experiment.rundir import RunDir
from runslot.logger.problems import Problems
from runslot.logger.progress import complete_length

PACKAGES = ("rlkit.core", "launchkit.logging")
"""Packages whose attribute `logger` is such a logger."""


def adopt_ancestor_loggers(run_dir: str | os.PathLike[str], settings: LoggerSettings | None = None) -> None:
    """Point the ancestors' loggers at `run_dir`: those that are loaded now, and later ones when they are imported.

    Rows that are in the directory are continued. Write rows through one logger in a run, theirs or ours: the file has
    one header. A logger that cannot be pointed is told on standard error; the run goes on.
    """
    release_ancestor_loggers()
    directory, chosen = Path(run_dir).absolute(), settings or LoggerSettings()

    def adopt(package: ModuleType) -> None:
        theirs = getattr(package, "logger", None)
        try:
            if theirs is not None:
                _point(theirs, directory, chosen)
        except Exception as error:  # noqa: BLE001 - a fork of the library with another logger; its rows go where it wants
            Problems.say(f"{package.__name__}.logger could not be pointed at {directory}: {error!r}")

    for name in PACKAGES:
        if name in sys.modules:
            adopt(sys.modules[name])
    sys.meta_path.insert(0, _AdoptWhenImported(adopt))


def release_ancestor_loggers() -> None:
    """Let them go: loaded ones are reset, as launchkit did before a run, and later ones are left alone."""
    finders = [finder for finder in sys.meta_path if isinstance(finder, _AdoptWhenImported)]
    for finder in finders:
        sys.meta_path.remove(finder)
    for name in PACKAGES if finders else ():
        theirs = getattr(sys.modules.get(name), "logger", None)
        if callable(getattr(theirs, "reset", None)):
            _reset(theirs)


def _point(theirs: Any, directory: Path, settings: LoggerSettings) -> None:
    """Do what launchkit's `setup_logger` did with its logger."""
    run = RunDir(directory)
    _reset(theirs)
    theirs.add_text_output(str(run.debug_log))
    if run.progress.exists() and run.progress.stat().st_size:
        _continue_rows(theirs, run.progress)
    else:
        theirs.add_tabular_output(str(run.progress))
    theirs.set_snapshot_dir(str(directory))
    theirs.set_snapshot_mode("gap_and_last" if settings.snapshot_mode == "last+gap" else settings.snapshot_mode)
    theirs.set_snapshot_gap(settings.snapshot_gap)
    theirs.set_log_tabular_only(settings.log_tabular_only)
    theirs.push_prefix(settings.prefix or f"[{directory.name}] ")


def _reset(theirs: Any) -> None:
    for files in ("_text_fds", "_tabular_fds"):  # which their own reset leaves open
        for file in getattr(theirs, files, {}).values():
            file.close()
    theirs.reset()


def _continue_rows(theirs: Any, path: Path) -> None:
    """Open the file for appending, as launchkit did for a directory that it was given, but without a second header."""
    length, lines = complete_length(path)
    os.truncate(path, length)
    theirs._add_output(str(path), theirs._tabular_outputs, theirs._tabular_fds, mode="a")
    if lines:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            theirs._tabular_keys[str(path)] = next(csv.reader(file))
        theirs._tabular_header_written.add(theirs._tabular_fds[str(path)])


class _AdoptWhenImported:
    """Calls `adopt` with one of `PACKAGES` as soon as it has been imported; finds nothing else."""

    def __init__(self, adopt: Callable[[ModuleType], None]) -> None:
        self._adopt = adopt

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in PACKAGES else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_adopt(module: ModuleType) -> None:
            execute(module)
            self._adopt(module)

        spec.loader.exec_module = execute_and_adopt  # type: ignore[method-assign]  # this loader is for this module only
        return spec
