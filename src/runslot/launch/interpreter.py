"""The Python of the runs, where it is not the one that runslot runs on: named, looked at, described
for activation.

The command line turns `--uv`, `--conda` and the active environment into the path of an interpreter;
`Experiment.plan` has it looked at. Nothing of runslot need be installed there: what executes
functions comes as one file (`transport.zipapp`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, nearest
from runslot.execute.placement import activated
from runslot.experiment.provenance import Python
from runslot.experiment.records import Command, ExperimentFile, PythonEnvironment
from runslot.experiment.settings import path_of
from runslot.record import record

LEAST_PYTHON = (3, 10)
"""What functions need, since runslot itself runs in their process; a command's Python may be
any.
"""
_START_TIMEOUT_S = 60.0
_RECORD_TIMEOUT_S = 10.0
_SYNC_TIMEOUT_S = 1800.0
"""For uv, which may download what a project needs."""

_PYTHON_NAME = r"(python|pypy)[\d.]*"
_PROBE = """
import json, sys
print("runslot " + json.dumps([list(sys.version_info[:3]), sys.executable, sys.prefix,
    getattr(sys, "base_prefix", sys.prefix), [entry for entry in sys.path if entry]]))
"""


@record
class Interpreter:
    """An interpreter that was started once."""

    executable: str
    version: tuple[int, ...]
    prefix: str
    path: tuple[str, ...]
    """Its `sys.path`."""
    programs: str
    """The directory that stands first on PATH; empty where the interpreter is in no environment of
    its own.
    """
    variables: Mapping[str, str]
    """What activation sets beside PATH."""

    @property
    def minor(self) -> str:
        """Its version as `3.11`."""
        return ".".join(map(str, self.version[:2]))

    def __str__(self) -> str:
        """`Python 3.11.7 of /home/me/project/.venv`."""
        where = self.prefix if self.variables else self.executable
        return f"Python {'.'.join(map(str, self.version))} of {where}"

    def note(self) -> str:
        """Return what is said of it before the launch."""
        active = self.prefix in (os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX"))
        return f"the runs have {self}" + (
            ", the active environment (--python names another)" if active else ""
        )

    @property
    def environment(self) -> PythonEnvironment:
        """What the runs' files say of it."""
        return PythonEnvironment(self.programs, self.variables)

    def refuse_function(self, by_value: bool) -> None:
        """Refuse a version in which the runs of a function could not be executed."""
        if self.version[:2] < LEAST_PYTHON:
            raise InvalidInput(
                f"functions run in Python 3.10 or newer, and {self.executable} is {self.minor}:"
                " name a newer one with --python, or run the script as a command, after --"
            )
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if by_value and self.minor != here:
            raise InvalidInput(
                f"the function travels by value from Python {here}, and {self.executable} is"
                f" {self.minor}: use the same minor version, or write the function in a file and"
                " launch it as file.py:function"
            )

    @property
    def search_path(self) -> str:
        """The PATH of the runs."""
        return activated(os.environ, self.environment)["PATH"]

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Return a command in which a bare `python` is this one, also where PATH does not lead to
        it.
        """
        if not argv or argv[0] not in ("python", "python3"):
            return list(argv)
        program = shutil.which(argv[0], path=self.search_path)
        same = program is not None and Path(program).resolve() == Path(self.executable).resolve()
        return list(argv) if same and self.programs else [self.executable, *argv[1:]]


def look_at(python: str | os.PathLike[str]) -> Interpreter:
    """Start an interpreter, named by its path, by the directory of its environment, or as PATH
    finds it.
    """
    executable = _executable(python)
    version, _, prefix, base, path = _ask([executable, "-c", _PROBE], _START_TIMEOUT_S, executable)
    programs, variables = (
        os.path.dirname(executable),  # noqa: PTH120
        {},
    )
    if (Path(prefix) / "conda-meta").is_dir():
        variables = {"CONDA_PREFIX": prefix, "CONDA_DEFAULT_ENV": Path(prefix).name}
        programs = str(Path(prefix) / "bin")
        variables |= _set_by_conda(Path(prefix), PythonEnvironment(programs, variables))
    elif prefix != base:
        variables = {"VIRTUAL_ENV": prefix}
        programs = str(Path(prefix) / "bin")
    elif not _is_same(Path(programs) / "python", executable):
        programs = ""  # as /usr/bin, where `python` is another one or none
    return Interpreter(executable, tuple(version), prefix, tuple(path), programs, variables)


def python_of_runs(file: ExperimentFile) -> Python | None:
    """Return the interpreter that runs start here, where it is another one than this; None, too,
    where none answers.

    What a command starts is known where it begins with a Python's name; in an image, or on another
    machine, nothing is.
    """
    if file.container is not None or file.launcher is not None:
        return None
    executable: str | None = file.python
    if isinstance(file.work, Command):
        program = file.work.argv[0]
        path = activated(os.environ, file.interpreter).get("PATH")
        executable = (
            shutil.which(program, path=path)
            if re.fullmatch(_PYTHON_NAME, Path(program).name)
            else None
        )
    if executable is None or _place_of(executable) == _place_of(sys.executable):
        return None
    try:
        version, _, _, _, entries = _ask([executable, "-c", _PROBE], _RECORD_TIMEOUT_S, executable)
    except InvalidInput:  # it is recorded, not needed
        return None
    return Python(executable, ".".join(map(str, version)), tuple(entries))


def _place_of(executable: str) -> tuple[Path, Path]:
    """Return what tells interpreters apart: those of several environments are links to one file."""
    return Path(executable).parent.resolve(), Path(executable).resolve()


def active_environment(environment: Mapping[str, str]) -> str | None:
    """Return the interpreter of the environment that is active, where it is not runslot's own
    (pipx, uv tool).

    conda's base is active in every shell that conda has set up, which says nothing.
    """
    prefixes = [environment.get("VIRTUAL_ENV", "")]
    if environment.get("CONDA_DEFAULT_ENV") != "base":
        prefixes.append(environment.get("CONDA_PREFIX", ""))
    prefixes = [
        prefix for prefix in prefixes if prefix and (Path(prefix) / "bin" / "python").exists()
    ]
    own_prefix = Path(sys.prefix).resolve()
    if not prefixes or any(Path(prefix).resolve() == own_prefix for prefix in prefixes):
        return None
    return str(Path(prefixes[0]) / "bin" / "python")


def python_of_uv(project: str | os.PathLike[str]) -> str:
    """Return the interpreter that `uv run` has in a project, whose environment it brings up to
    date.
    """
    directory = path_of(project, "uv")
    if not directory.is_dir():
        raise InvalidInput(
            f"uv: there is no directory {directory}: write --uv=PROJECT, or --uv in the project"
        )
    uv = shutil.which("uv")
    if uv is None:
        raise InvalidInput(
            "uv is not on PATH: install it, or name the project's interpreter with --python"
        )
    argv = [uv, "run", "--quiet", "--project", str(directory.absolute()), "python", "-c", _PROBE]
    return str(
        _ask(argv, _SYNC_TIMEOUT_S, f"uv run in {directory.absolute()}", without="VIRTUAL_ENV")[1]
    )


def python_of_conda(name: str) -> str:
    """Return the interpreter of an environment of conda's, by its name or its directory."""
    prefix = path_of(name, "conda")
    if not (prefix / "conda-meta").is_dir():
        prefix = _prefix_of_conda(name)
    python = prefix / "bin" / "python"
    if not python.exists():
        raise InvalidInput(
            f"conda: the environment {prefix} has no Python: `conda install -p {prefix} python`"
            " adds it"
        )
    return str(python.absolute())


def _prefix_of_conda(name: str) -> Path:
    programs = [
        os.environ.get("CONDA_EXE"),
        os.environ.get("MAMBA_EXE"),
        "conda",
        "mamba",
        "micromamba",
    ]
    program = next((path for entry in programs if entry and (path := shutil.which(entry))), None)
    if program is None:
        raise InvalidInput(
            "conda is not on PATH: name the directory of the environment, as --conda"
            f" ~/conda/envs/{name}"
        )
    try:
        process = subprocess.run(
            [program, "env", "list", "--json"],
            capture_output=True,
            check=True,
            timeout=_START_TIMEOUT_S,
        )
        prefixes = [Path(entry) for entry in json.loads(process.stdout)["envs"]]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise InvalidInput(
            f"conda: `{program} env list --json` does not say its environments ({error})"
        ) from error
    names = {
        "base" if (entry / "condabin").is_dir() else entry.name: entry
        for entry in reversed(prefixes)
    }
    if name not in names:
        name_list = ", ".join(sorted(names)) or "none"
        raise InvalidInput(
            f"conda has no environment {name!r}{nearest(name, names)}; it has {name_list}"
        )
    return names[name]


def _set_by_conda(prefix: Path, interpreter: PythonEnvironment) -> dict[str, str]:
    """Return the variables that activation of a conda environment sets for its packages, and those
    of its owner.
    """
    variables: dict[str, str] = {}
    scripts = sorted((prefix / "etc" / "conda" / "activate.d").glob("*.sh"))
    if scripts:
        before = activated(os.environ, interpreter)
        code = 'for each; do . "$each" >&2; done; exec env -0'
        process = subprocess.run(
            ["bash", "-c", code, "bash", *map(str, scripts)],
            capture_output=True,
            check=False,
            env=before,
            timeout=_START_TIMEOUT_S,
        )
        after = dict(
            line.partition("=")[::2] for line in os.fsdecode(process.stdout).split("\0") if line
        )
        shells = ("_", "SHLVL", "PWD", "OLDPWD", "PATH")
        variables = {
            key: value
            for key, value in after.items()
            if before.get(key) != value and key not in shells
        }
    try:
        state = json.loads((prefix / "conda-meta" / "state").read_text())
        return variables | {
            str(key): str(value) for key, value in state.get("env_vars", {}).items()
        }
    except (OSError, ValueError, AttributeError):
        return variables


def _executable(python: str | os.PathLike[str]) -> str:
    path = path_of(python, "python")
    if path.is_dir():
        directory, path = path, path / "bin" / "python"
        if not path.exists():
            raise InvalidInput(
                f"python: {directory} is a directory without bin/python: it is no environment of"
                " Python"
            )
    # Without a / it is looked for on PATH, as a shell would; `pathlib` forgets the one of
    # `./python`.
    program = shutil.which(
        path.absolute() if os.sep in os.fspath(python) or path.is_absolute() else path
    )
    if program is None:
        state = "cannot be executed" if path.exists() else "is not there"
        raise InvalidInput(
            f"python: {path} {state}: name an interpreter, or the directory of an environment"
        )
    return str(Path(program).absolute())


def _ask(argv: Sequence[str], timeout_s: float, subject: str, without: str = "") -> list[Any]:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", without)
    }
    try:
        process = subprocess.run(
            argv, capture_output=True, check=False, timeout=timeout_s, env=environment
        )
    except OSError as error:
        raise InvalidInput(f"{subject} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise InvalidInput(f"{subject} has not answered within {timeout_s:.0f} s") from None
    for line in process.stdout.decode(errors="replace").splitlines():
        if line.startswith("runslot "):
            return list(json.loads(line.partition(" ")[2]))
    error_lines = process.stderr.decode(errors="replace").strip().splitlines()
    raise InvalidInput(
        f"{subject} does not say which Python it is (exit code {process.returncode}):"
        f" {(error_lines or [''])[-1]}"
    )


def _is_same(path: Path, other_path: str) -> bool:
    try:
        return path.samefile(other_path)
    except OSError:
        return False
