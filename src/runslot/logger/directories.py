"""launchkit's directories: how `setup_logger` names one, and the files about the code that it
writes there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from runslot.experiment.files import write_atomically
from runslot.experiment.rundir import RunDir
from runslot.logger.options import at_least


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
