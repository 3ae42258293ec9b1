"""A function in an interpreter of its own: the cold start, for where forking is unsafe or
unwanted.
"""

from __future__ import annotations

import os
import sys

from runslot.execute.functions import find_function
from runslot.execute.import_state import renew_travelled
from runslot.execute.placement import Placement
from runslot.execute.process import ProcessPlan, call_and_finish
from runslot.experiment.records import RunFile
from runslot.experiment.rundir import RunDir


def main(package: str) -> None:
    """Run the function of the run directory in `sys.argv[1]`; `package` is where runslot itself was
    found.
    """
    run_dir = RunDir(sys.argv[1])
    call_cold(run_dir, run_dir.read_run(), package)


def call_cold(run_dir: RunDir, file: RunFile, package: str) -> None:
    """Call the function as `file` says, and end this process."""
    enter_import_path(file.path, package)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream, at the start
    reference = file.require_function()
    function = find_function(reference, run_dir.path / file.home)
    if reference.pickle is not None:
        renew_travelled(function)
    job = ProcessPlan(run_dir, file, Placement(None, None, None), os.environ, function, ())
    code = call_and_finish(job, function, None)
    os._exit(code)


def enter_import_path(path: tuple[str, ...], package: str) -> None:
    """Give this process the import path of whoever asked for the function, with runslot itself
    still found.
    """
    if path:
        sys.path[:] = [*path] if package in path else [*path, package]
    sys.argv[:] = [path[0] if path else "", *sys.argv[1:]]
