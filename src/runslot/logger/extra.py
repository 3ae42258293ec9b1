"""What `save_extra_data` keeps: where it may go, and its formats."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, NotInstalled, nearest
from runslot.experiment.rundir import RunDir
from runslot.logger.snapshots import pickled
from runslot.variants.encode import to_jsonable

MODES = ("joblib", "pickle", "cloudpickle", "json")


def extra_path(directory: Path, file_name: str) -> Path:
    """Return where extra data goes; `InvalidInput` where that is outside the run directory or a file of runslot's."""
    path = Path(os.path.normpath(directory / file_name))
    inside = path.parent.resolve().is_relative_to(directory.resolve())
    if not inside or path == Path(os.path.normpath(directory)) or not str(file_name).strip():
        raise InvalidInput(f"save_extra_data: {str(file_name)!r} is no file name inside the run directory {directory}")
    run = RunDir(directory)
    if path in {run.run_file, run.attempt_file, run.outcome_file, run.progress, run.debug_log, run.console}:
        raise InvalidInput(f"save_extra_data: {path.name} is a file that runslot writes; choose another name")
    return path


def check_mode(mode: str) -> None:
    """Refuse a mode that is not one of `MODES`."""
    if mode not in MODES:
        raise InvalidInput(f"save_extra_data: no mode {mode!r}{nearest(str(mode), MODES)}; known: {', '.join(MODES)}")


def extra_bytes(data: Any, mode: str) -> bytes:
    """Return extra data in a format of launchkit's `save_extra_data`, or as JSON."""
    if mode == "joblib":
        return _joblib_bytes(data)
    if mode == "pickle":
        return pickled(data)
    if mode == "cloudpickle":
        try:
            import cloudpickle
        except ImportError:
            raise NotInstalled(
                "save_extra_data(mode='cloudpickle') needs cloudpickle: pip install cloudpickle"
            ) from None
        return bytes(cloudpickle.dumps(data))
    return json.dumps(to_jsonable(data), indent=2).encode() + b"\n"


def _joblib_bytes(data: Any) -> bytes:
    try:
        import joblib
    except ImportError:  # joblib.load reads a plain pickle as well
        return pickled(data)
    buffer = io.BytesIO()
    joblib.dump(data, buffer, compress=3)
    return buffer.getvalue()
