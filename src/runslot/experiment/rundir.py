"""Every file name of an experiment and of a run, in two classes, and how such files are replaced.

Nothing else in runslot spells these names: `RunDir` is one run's directory, `ExperimentDir` an experiment's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runslot.errors import NotFound, RunslotError
from runslot.experiment.records import Attempt, Outcome, RunFile


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by rename, so that a reader, or a kill at any instant, sees the old text or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by one JSON object, indented for people."""
    write_atomically(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in `path`, or None where there is no such file; a broken file is an error that names it."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RunslotError(f"{path} is not JSON ({error}); move it away and run again") from error
    if not isinstance(value, dict):
        raise RunslotError(f"{path} does not hold a JSON object; move it away and run again")
    return value


class RunDir:
    """The directory of one run: the contract between who launches and who executes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r})"

    @property
    def run_file(self) -> Path:
        """What to execute; also the file on which a keeper holds its lock."""
        return self.path / "run.json"

    @property
    def variant_file(self) -> Path:
        """The variant, as viskit reads it."""
        return self.path / "variant.json"

    @property
    def variant_pickle(self) -> Path:
        """The variant by value, where JSON cannot hold it."""
        return self.path / "variant.pkl"

    @property
    def attempt_file(self) -> Path:
        """Who executes the run, or last did."""
        return self.path / "attempt.json"

    @property
    def outcome_file(self) -> Path:
        """How the last attempt ended."""
        return self.path / "outcome.json"

    @property
    def console(self) -> Path:
        """All that the run printed."""
        return self.path / "console.log"

    @property
    def progress(self) -> Path:
        """One row a `dump_tabular`."""
        return self.path / "progress.csv"

    @property
    def debug_log(self) -> Path:
        """What the logger was told in words."""
        return self.path / "debug.log"

    @property
    def logger_problems(self) -> Path:
        """What the logger could not write: a JSON object with a list `problems`, one sentence each."""
        return self.path / "logger_problems.json"

    @property
    def git_infos(self) -> Path:
        """Commit and branch of the code that was run."""
        return self.path / "git_infos.txt"

    @property
    def script_name(self) -> Path:
        """The script that launched."""
        return self.path / "script_name.txt"

    @property
    def environment(self) -> Path:
        """Python, packages and host."""
        return self.path / "environment.json"

    def kept_attempt(self, attempt: int) -> Path:
        """Where an earlier attempt's files are kept, under names that no reader takes for a run."""
        return self.path / f"attempt_{attempt}"

    def read_run(self) -> RunFile:
        """Read `run.json`; `NotFound` where this is no run directory."""
        value = read_json(self.run_file)
        if value is None:
            raise NotFound(f"{self.path} is not a run directory: it has no {self.run_file.name}")
        return RunFile.from_json(value)

    def read_attempt(self) -> Attempt | None:
        """Return who executes the run or last did; None before the first start."""
        value = read_json(self.attempt_file)
        return None if value is None else Attempt.from_json(value)

    def read_outcome(self) -> Outcome | None:
        """Return how the last attempt ended; None while none has."""
        value = read_json(self.outcome_file)
        return None if value is None else Outcome.from_json(value)
