"""An experiment whose directory was brought to another machine: what was asked, as this machine executes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from runslot.errors import InvalidInput
from runslot.experiment.records import Command, ExperimentFile, travels_by_value
from runslot.experiment.rundir import ExperimentDir


def as_here(
    file: ExperimentFile, directory: ExperimentDir, environment: Mapping[str, str]
) -> tuple[ExperimentFile, dict[str, str]]:
    """Return what was asked with this interpreter, its packages and the copy of the code, and the runs' environment.

    `file` points into the copy already (`from_copy`). What lay elsewhere on the launching machine is left out.
    """
    if file.code is None:
        raise InvalidInput(f"{directory.path} has no copy of the code, so it cannot be executed on another machine")
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    contained = file.container is not None  # then the image's Python counts, and is looked at in its turn
    if travels_by_value(file.work) and not contained and file.python_version not in {"", here}:
        raise InvalidInput(
            f"the function travels by value from Python {file.python_version}, and {sys.executable} is {here}: "
            "use the same minor version there, or write the function in a file of its own"
        )
    copy = directory.path.resolve() / file.code.copy
    inside = [entry for entry in file.path if Path(entry).is_relative_to(copy)]
    own_path = [entry for entry in sys.path[1:] if entry and not entry.endswith(".pyz")]
    python_paths = [
        entry for entry in (file.python_path or "").split(os.pathsep) if entry and Path(entry).is_relative_to(copy)
    ]
    cwd = file.cwd if Path(file.cwd).is_relative_to(copy) else str(copy)
    work = file.work
    if isinstance(work, Command):
        work = work.with_python(file.python, sys.executable)
    moved = replace(
        file,
        work=work,
        cwd=cwd,
        python=sys.executable,
        python_version=file.python_version if contained else here,
        path=tuple(dict.fromkeys([*inside, str(copy), *own_path])),
        python_path=os.pathsep.join(dict.fromkeys([*python_paths, *inside])) or None,
        interpreter=None,
    )
    programs = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    active = {"VIRTUAL_ENV": sys.prefix} if sys.prefix != sys.base_prefix else {}
    return moved, {**environment, **active, "PATH": programs}
