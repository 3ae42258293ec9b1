"""The loggers of RLKit, launchkit and rlpyt, pointed at the run directory as their own launchers
did.

For code that uses libraries which write through `rlkit.core.logger`, `launchkit.logging.logger` or
the functions of `rlpyt.utils.logging.logger`. `adopt_ancestor_loggers` is called for every run of a
function, and by `setup_logger` and `logger_context`; what must stay true is that at most one
directory has them at a time.

launchkit's directories: how `setup_logger` names one, and the files about the code that it
writes there.
"""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from runslot.experiment.files import write_atomically
from runslot.experiment.records import LoggerSettings
from runslot.experiment.rundir import RunDir
from runslot.first_import import FirstImport
from runslot.logger.problems import Problems, at_least
from runslot.logger.progress import complete_length
from runslot.record import record

_ATTRIBUTES = {
    "rlkit.core": "logger",
    "launchkit.logging": "logger",
    "rlpyt.utils.logging.logger": "",
}
"""Modules that are such a logger, or have one under this name."""


@record
class _Target:
    """Where their rows, words and snapshots go."""

    directory: Path
    text: Path
    rows: Path
    settings: LoggerSettings
    fresh: bool
    summary_writer: bool

    @property
    def prefix(self) -> str:
        """What begins every line of theirs."""
        return self.settings.prefix or f"[{self.directory.name}] "


class _Adoption:
    """The loggers that write into one directory, from now or from their import on, until it
    ends.
    """

    def __init__(self, target: _Target) -> None:
        self._target = target
        self._adopted: list[Any] = []
        self._hook = FirstImport({name: partial(self._adopt, name) for name in _ATTRIBUTES})

    def _adopt(self, name: str, module: ModuleType) -> None:
        attribute = _ATTRIBUTES[name]
        logger = getattr(module, attribute, None) if attribute else module
        if logger is None:
            return
        try:
            _point(logger, self._target)
        except Exception as error:  # noqa: BLE001  a fork of the library with another logger; its rows go where it wants
            name_shown = f"{name}.{attribute}".rstrip(".")
            Problems.say(
                f"{name_shown} could not be pointed at {self._target.directory}: {error!r}"
            )
        else:
            self._adopted.append(logger)

    def end(self) -> None:
        """Leave later imports alone, and take the directory from those that have it."""
        self._hook.remove()
        for logger in self._adopted:
            _let_go(logger, self._target)


_adoptions: list[_Adoption] = []
"""The one under way, if any."""


def adopt_ancestor_loggers(
    run_dir: str | os.PathLike[str],
    settings: LoggerSettings | None = None,
    *,
    text_log_file: str | None = None,
    tabular_log_file: str | None = None,
    fresh: bool = False,
    summary_writer: bool = False,
) -> None:
    """Point the ancestors' loggers at `run_dir`: those that are loaded now, and later ones when
    they are imported.

    Rows that are in the directory are continued, unless the file is to begin `fresh`. Write rows
    through one logger in a run, theirs or ours: the file has one header. `summary_writer`: rlpyt's
    sends them to TensorBoard too. A logger that cannot be pointed is told on standard error; the
    run goes on.
    """
    release_ancestor_loggers()
    run = RunDir(Path(run_dir).absolute())
    text = run.path / text_log_file if text_log_file else run.debug_log
    rows = run.path / tabular_log_file if tabular_log_file else run.progress
    target = _Target(run.path, text, rows, settings or LoggerSettings(), fresh, summary_writer)
    _adoptions.append(_Adoption(target))


def release_ancestor_loggers() -> None:
    """Let them go: loaded ones are reset, as launchkit did before a run, and later ones are left
    alone.
    """
    while _adoptions:
        _adoptions.pop().end()


def _point(module: Any, target: _Target) -> None:
    """Do what launchkit's `setup_logger` and rlpyt's `logger_context` did with their loggers."""
    _reset(module)
    module.add_text_output(str(target.text))
    module.set_snapshot_dir(str(target.directory))
    if not target.fresh and target.rows.exists() and target.rows.stat().st_size:
        _continue_rows(module, target.rows)
    else:
        module.add_tabular_output(str(target.rows))
    mode = target.settings.snapshot_mode
    if mode in ("last+gap", "gap_and_last"):  # rlpyt's word, and RLKit's
        mode = "last+gap" if isinstance(module, ModuleType) else "gap_and_last"
    _set(module, "snapshot_mode", mode)
    _set(module, "snapshot_gap", target.settings.snapshot_gap)
    _set(module, "log_tabular_only", target.settings.log_tabular_only)
    if target.summary_writer and hasattr(module, "set_tf_summary_writer"):
        from torch.utils.tensorboard import SummaryWriter  # as rlpyt, which needs torch

        module.set_tf_summary_writer(SummaryWriter(str(target.directory)))
    module.push_prefix(target.prefix)


def _let_go(module: Any, target: _Target) -> None:
    """Undo `_point`, by their own names where they are a module, which has no `reset`."""
    if callable(getattr(module, "reset", None)):
        _reset(module)
        return
    undo: list[tuple[str, tuple[str, ...]]] = [
        ("remove_tabular_output", (str(target.rows),)),
        ("remove_text_output", (str(target.text),)),
        ("pop_prefix", ()),
    ]
    for name, arguments in undo:
        try:
            getattr(module, name)(*arguments)
        except Exception as error:  # noqa: BLE001  the script has undone it itself
            Problems.say(f"{getattr(module, '__name__', module)}.{name} failed: {error!r}")


def _set(module: Any, name: str, value: Any) -> None:
    setter: Callable[[Any], None] | None = getattr(module, f"set_{name}", None)
    if setter is not None:  # older and smaller copies of these loggers lack some
        setter(value)


def _reset(module: Any) -> None:
    if not callable(getattr(module, "reset", None)):
        return
    for files in ("_text_fds", "_tabular_fds"):  # which their own reset leaves open
        for file in getattr(module, files, {}).values():
            file.close()
    module.reset()


def _continue_rows(module: Any, path: Path) -> None:
    """Open the file for appending, as launchkit did for a directory that it was given, but without
    a second header.
    """
    # a logger of another make: it may open a file in whatever way it likes
    if not hasattr(module, "_add_output"):
        module.add_tabular_output(str(path))
        return
    length, lines = complete_length(path)
    os.truncate(path, length)
    module._add_output(str(path), module._tabular_outputs, module._tabular_fds, mode="a")
    if not lines:
        return
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header = next(csv.reader(file))
    for names in ("_tabular_keys", "_tabular_headers"):  # launchkit's and rlpyt's
        if hasattr(module, names):
            getattr(module, names)[str(path)] = header
    module._tabular_header_written |= {str(path), module._tabular_fds[str(path)]}


# ---- their directories ---------------------------------------------------------------------------


def log_dir_name(exp_prefix: str, exp_id: int | str, seed: int | str, now: datetime) -> str:
    """Return launchkit's name of a run's directory: `<exp_prefix>_<time>_<exp_id, 4
    digits>--s-<seed>`.
    """
    return (
        f"{exp_prefix}_{now:%Y_%m_%d_%H_%M_%S}_{at_least('exp_id', int(exp_id), 0):04d}--s-{seed}"
    )


def make_log_dir(
    root: Path,
    exp_prefix: str,
    exp_id: int,
    seed: int | str,
    now: datetime,
    include_exp_prefix_sub_dir: bool = True,
) -> Path:
    """Make and return `<root>/<exp_prefix, _ -> ->/<exp_prefix>_<time>_<exp_id, 4
    digits>--s-<seed>`.

    Made exclusively: two calls in one second get two directories, the second ending in `-2`, so
    that no two share one.
    """
    parent = root / exp_prefix.replace("_", "-") if include_exp_prefix_sub_dir else root
    name = log_dir_name(exp_prefix, exp_id, seed, now)
    for count in itertools.count(1):
        path = parent / (name if count == 1 else f"{name}-{count}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def write_code_state(
    directory: Path, git_infos: Iterable[Any] | None, script_name: str | None
) -> None:
    """Write launchkit's `git_infos.txt`, `<directory>.patch`, `<directory>_staged.patch`,
    `script_name.txt`.

    `git_infos`: tuples of directory, diff, staged diff, commit hash, branch name. What a launcher
    wrote there stays.
    """
    run = RunDir(directory)
    lines = []
    for directory_of_code, diff, staged_diff, commit, branch in git_infos or ():
        code_directory = directory_of_code.rstrip("/")
        name = code_directory[1:].replace("/", "-")
        for suffix, patch in ((".patch", diff), ("_staged.patch", staged_diff)):
            if patch:
                _write_new(directory / f"{name}{suffix}", patch + "\n")
        lines.append(
            f"directory: {code_directory}\ngit hash: {commit}\ngit branch name: {branch}\n\n"
        )
    if lines:
        _write_new(run.git_infos, "".join(lines))
    if script_name is not None:
        _write_new(run.script_name, script_name)


def _write_new(path: Path, text: str) -> None:
    if not path.exists():
        write_atomically(path, text)
