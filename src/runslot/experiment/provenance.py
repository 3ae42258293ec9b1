"""Where results come from: commit, branch, uncommitted changes, command line, Python, packages,
host.

Gathered once a launch into the experiment's `provenance/`; each run directory gets links to these
files, under the names that launchkit used.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from runslot.experiment.files import write_atomically, write_json
from runslot.experiment.processes import host_name
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.record import record

_PATIENCE = 20.0
"""Seconds for git, which may read a large tree from a slow disk."""

_TOLD = (
    "CONDA_DEFAULT_ENV",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "PYTHONPATH",
    "SLURM_JOB_ID",
    "VIRTUAL_ENV",
)
"""Environment variables that say how code was run; no others are recorded, since they may hold
secrets.
"""


class Python(NamedTuple):
    """An interpreter, of which it is recorded what is installed."""

    executable: str
    version: str
    path: tuple[str, ...]
    """Its `sys.path`."""


@record
class WorkTree:
    """The state of one git work tree."""

    directory: str
    commit: str
    branch: str
    unstaged: str
    """`git diff`."""
    staged: str
    """`git diff --staged`."""
    untracked: tuple[str, ...]
    """Names only."""

    @property
    def file_name(self) -> str:
        """launchkit's name for the patch of this directory."""
        return self.directory.strip("/").replace("/", "-")


def read_git(directory: Path) -> WorkTree | None:
    """Return the state of the work tree that `directory` is in; None where there is none, or no
    git.
    """
    top = _git(directory, "rev-parse", "--show-toplevel")
    if top is None:
        return None
    tree = Path(top.strip())
    return WorkTree(
        directory=str(tree),
        commit=(_git(tree, "rev-parse", "HEAD") or "no commit yet").strip(),
        branch=(_git(tree, "rev-parse", "--abbrev-ref", "HEAD") or "unknown").strip(),
        unstaged=_git(tree, "diff", "--no-ext-diff") or "",
        staged=_git(tree, "diff", "--staged", "--no-ext-diff") or "",
        untracked=tuple(
            (_git(tree, "ls-files", "--others", "--exclude-standard", "-z") or "").split("\0")[:-1]
        ),
    )


def write_provenance(
    experiment: ExperimentDir,
    code: Path,
    script: str,
    origin: str = "",
    python: Python | None = None,
) -> None:
    """Write what the launch stands on; `code` is the directory of the script or function.

    `origin` is the repository, as `URL@REF`, that it is a clone of, where the user named one;
    `python` is the interpreter of the runs, where it is not this one.
    """
    directory = experiment.provenance
    directory.mkdir(exist_ok=True)
    git = read_git(code)
    if git is not None:
        names = RunDir(directory)
        text = (
            f"directory: {git.directory}\ngit hash: {git.commit}\ngit branch name: {git.branch}\n\n"
        )
        write_atomically(names.git_infos, text)
        for suffix, patch in ((".patch", git.unstaged), ("_staged.patch", git.staged)):
            if patch:
                write_atomically(directory / f"{git.file_name}{suffix}", patch + "\n")
    write_atomically(RunDir(directory).script_name, script)
    write_json(
        RunDir(directory).environment,
        _environment(
            git, sys.argv, origin, python or Python(sys.executable, sys.version, tuple(sys.path))
        ),
    )


def link_provenance(experiment: ExperimentDir, run_dir: RunDir) -> None:
    """Give the run directory the files of the experiment's provenance, linked, or copied where
    links are not.
    """
    try:
        entries = list(experiment.provenance.iterdir())
    except FileNotFoundError:
        return
    for entry in entries:
        target = run_dir.path / entry.name
        try:
            os.link(entry, target)
        except FileExistsError:
            continue
        except OSError:
            write_atomically(target, entry.read_bytes())


def _environment(
    git: WorkTree | None, argv: Sequence[str], origin: str, python: Python
) -> dict[str, object]:
    packages = dict(filter(None, map(_name_and_version, _installed(python.path))))
    return {
        "format": 1,
        "command_line": _without_secrets(argv),
        "python": python.version,
        "executable": python.executable,
        "platform": _platform(),
        "host": host_name(),
        "user": _user(),
        "cpus": os.cpu_count(),
        "environment": {name: os.environ[name] for name in _TOLD if name in os.environ},
        **({"git_origin": origin} if origin else {}),
        "git_commit": None if git is None else git.commit,
        "git_branch": None if git is None else git.branch,
        "git_changed": git is not None and bool(git.unstaged or git.staged),
        "git_untracked": [] if git is None else list(git.untracked),
        "packages": dict(sorted(packages.items(), key=lambda item: str(item[0]).lower())),
    }


def _platform() -> str:
    """Return what `platform.platform()` does, which reads the interpreter's file and starts `uname`
    for it.
    """
    if sys.platform != "linux":
        import platform

        return platform.platform()
    system = os.uname()
    parts = [system.sysname, system.release, system.machine]
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):  # musl, and systems without that name
        library = None
    return "-".join([*parts, "with", library.replace(" ", "")] if library else parts)


def _installed(path: Sequence[str]) -> Iterator[Path]:
    """Yield the file that describes each installed package; `importlib.metadata` takes a tenth of a
    second for it.
    """
    # what is found first is written last, and counts
    for entry in map(Path, dict.fromkeys(reversed(path))):
        try:
            names = [
                file.name
                for file in os.scandir(entry)
                if file.name.endswith((".dist-info", ".egg-info"))
            ]
        except OSError:  # an archive, or not there
            continue
        for name in names:
            yield entry / name / ("METADATA" if name.endswith(".dist-info") else "PKG-INFO")


def _name_and_version(file: Path) -> tuple[str, str] | None:
    try:
        head = file.read_text(errors="replace").partition("\n\n")[0]
    except OSError:  # an egg-info that is a file, or one that is being removed
        return None
    headers = dict(
        line.split(": ", 1)
        for line in reversed(head.splitlines())
        if line.startswith(("Name: ", "Version: "))
    )
    return (headers["Name"], headers["Version"]) if len(headers) == 2 else None


def _without_secrets(argv: Sequence[str]) -> list[str]:
    """Return the command line without the notification URLs, which hold passwords and tokens."""
    command = list(argv)
    for at, argument in enumerate(argv):
        if argument.startswith("--notify="):
            command[at] = "--notify=…"
        elif at and argv[at - 1] == "--notify":
            command[at] = "…"
    return command


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        process = subprocess.run(
            ["git", "-C", directory, *arguments],
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.decode(errors="surrogateescape") if process.returncode == 0 else None
