"""The environment variables of a Python environment that is not runslot's own, as its activation
would set them.

Pure; `placement` applies it to every run, `engines.local.template` to the process that imports the
function. The record is the `interpreter` of `experiment.json` and `run.json`, which
`launch.interpreter` makes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from runslot.experiment.records import PythonEnvironment


def activated(
    environment: Mapping[str, str], interpreter: PythonEnvironment | None
) -> dict[str, str]:
    """Return the variables with this environment active in place of the one that was; None: as they
    are.
    """
    result = dict(environment)
    if interpreter is None:
        return result
    variables = interpreter.variables
    names = ["VIRTUAL_ENV", *(["CONDA_PREFIX"] if "CONDA_PREFIX" in variables else [])]
    stale = {os.path.join(result[name], "bin") for name in names if name in result}  # noqa: PTH118
    for name in (*names, "VIRTUAL_ENV_PROMPT", "PYTHONHOME"):
        result.pop(name, None)
    first = [interpreter.programs] if interpreter.programs else []
    directories = result.get("PATH", os.defpath).split(os.pathsep)
    rest = [
        directory for directory in directories if directory not in stale and directory not in first
    ]
    result["PATH"] = os.pathsep.join([*first, *rest])
    return {**result, **variables}
