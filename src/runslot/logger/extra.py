"""What `save_extra_data` keeps: where it may go, and its formats."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from runslot.errors import InvalidInput, NotInstalled, nearest
from runslot.experiment.rundir import RunDir
from runslot.logger.snapshots import dump_pickle
from runslot.variants.encode import to_jsonable

MODES = ("joblib", "pickle", "cloudpickle", "json")


def extra_path(directory: Path, file_name: str) -> Path:
    """Return where extra data goes; `InvalidInput` where that is outside the run directory or a
    file of runslot's.
    """
    path = Path(os.path.normpath(directory / file_name))
    inside = path.parent.resolve().is_relative_to(directory.resolve())
    if not inside or path == Path(os.path.normpath(directory)) or not str(file_name).strip():
        raise InvalidInput(
            f"save_extra_data: {str(file_name)!r} is no file name inside the run directory"
            f" {directory}"
        )
    run = RunDir(directory)
    if path in {
        run.run_file,
        run.attempt_file,
        run.outcome_file,
        run.progress,
        run.debug_log,
        run.console,
    }:
        raise InvalidInput(
            f"save_extra_data: {path.name} is a file that runslot writes; choose another name"
        )
    return path


def check_mode(mode: str) -> None:
    """Refuse a mode that is not one of `MODES`."""
    if mode not in MODES:
        raise InvalidInput(
            f"save_extra_data: no mode {mode!r}{nearest(str(mode), MODES)}; known:"
            f" {', '.join(MODES)}"
        )


def dump_extra(data: Any, mode: str, file: BinaryIO) -> None:
    """Write extra data in a format of launchkit's `save_extra_data`, or as JSON."""
    if mode == "joblib":
        _dump_joblib(data, file)
    elif mode == "pickle":
        dump_pickle(data, file)
    elif mode == "cloudpickle":
        try:
            import cloudpickle
        except ImportError:
            raise NotInstalled(
                "save_extra_data(mode='cloudpickle'): pip install cloudpickle, or mode='pickle'"
            ) from None
        cloudpickle.dump(data, file)
    else:
        file.write(json.dumps(to_jsonable(data), indent=2).encode() + b"\n")


def _dump_joblib(data: Any, file: BinaryIO) -> None:
    try:
        import joblib
    except ImportError:
        dump_pickle(data, file)  # which joblib.load reads as well
    else:
        joblib.dump(data, file, compress=3)
