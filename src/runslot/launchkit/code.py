"""Which code a call runs: the script, and the state of its git work tree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from runslot.experiment.provenance import read_git

GitTuple = tuple[str, str, str, str, str]
"""launchkit's `GitInfo`: directory, unstaged diff, staged diff, commit, branch."""


def script_path() -> str:
    """Return the script that this process runs; empty in a REPL or a notebook."""
    return str(getattr(sys.modules.get("__main__"), "__file__", None) or "")


def code_directory(function: Any) -> Path:
    """Return where the code lies: the directory of the script, else of the function's file, else the current one."""
    for file in (script_path(), getattr(getattr(function, "__code__", None), "co_filename", "")):
        if file and Path(file).is_file():
            return Path(file).absolute().parent
    return Path.cwd()


def git_infos_of(directory: Path) -> list[GitTuple]:
    """Return the state of the work tree that `directory` is in, as `setup_logger` takes it."""
    git = read_git(directory)
    return [] if git is None else [(git.directory, git.unstaged, git.staged, git.commit, git.branch)]
