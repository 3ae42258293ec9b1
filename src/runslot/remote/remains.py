"""What stays on a host of runs that have ended: files that were not to come home (`--fetch`, `--no-fetch`).

The remote end calls this when a run is home, and when it leaves for good. A directory of what is left has no
`run.json`: it is no run any more, and a further attempt begins without it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from runslot.experiment.records import ExperimentFile
from runslot.experiment.rundir import RunDir
from runslot.transport.patterns import comes_home
from runslot.transport.scan import look


def leave(run_dir: RunDir, file: ExperimentFile) -> None:
    """Remove of a run's directory what is home; all of it, unless something was not to come home."""
    if all(comes_home(file, path) for path in look(run_dir.path)):
        shutil.rmtree(run_dir.path)
        return
    for directory, _, names in os.walk(run_dir.path, topdown=False):
        for name in names:
            path = Path(directory, name)
            if comes_home(file, path.relative_to(run_dir.path).as_posix()):
                path.unlink()
        if not os.listdir(directory):  # noqa: PTH208
            Path(directory).rmdir()


def remove_all_but(base: Path, survivors: Collection[RunDir]) -> None:
    """Remove what was brought to `base` and what runs wrote there, but for what is `survivors`."""
    paths = {run_dir.path for run_dir in survivors}
    if paths:
        _remove_around(base, paths | {above for path in paths for above in path.parents}, paths)
    else:
        shutil.rmtree(base, ignore_errors=True)


def _remove_around(directory: Path, on_the_way: Collection[Path], survivors: Collection[Path]) -> None:
    for entry in list(os.scandir(directory)):
        path = Path(entry.path)
        if path in survivors:
            continue
        if path in on_the_way:
            _remove_around(path, on_the_way, survivors)
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
