"""Directories as runslot and the loggers that it reads write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runslot.experiment.files import write_json
from runslot.experiment.records import Attempt, Command, ExperimentFile, Outcome, Run, RunFile
from runslot.experiment.rundir import RunDir

Rows = Sequence[Mapping[str, object]]
WriteRun = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


def csv_of(rows: Rows) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [
        ",".join(columns),
        *(",".join(str(row.get(c, "nan")) for c in columns) for row in rows),
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write one run of ours below `tmp_path / experiment`."""

    def write(
        variant: Mapping[str, Any],
        seed: int = 0,
        rows: Rows | None = ({"epoch": 0, "accuracy": 0.5},),
        state: str = "succeeded",
        experiment: str = "digits",
        attempt: Attempt | None = None,
    ) -> Path:
        home = tmp_path / experiment
        name = ",".join(f"{key}={value}" for key, value in variant.items())
        directory = home / name / f"run_{seed}"
        directory.mkdir(parents=True)
        run = RunDir(directory)
        command = Command(("python", "train.py"))
        asked = ExperimentFile(experiment, command, created=1700000000.0, cwd="/", python="python")
        write_json(home / "experiment.json", asked.to_json())
        record = Run(f"id-{name}-{seed}", name, variant, f"{name}/run_{seed}", seed, seed)
        work = Command(("true",))
        file = RunFile(record, experiment, work, "/", "python", home="../..")
        write_json(run.run_file, file.to_json())
        run.write_variant({**variant, "seed": seed})
        if rows is not None:
            run.progress.write_text(csv_of(rows))
        if attempt is not None:
            write_json(run.attempt_file, attempt.to_json())
        if state not in {"queued", "running"}:
            outcome = Outcome(state, started=1000.0, ended=1012.5, host="node", slot=1)  # type: ignore[arg-type]
            write_json(run.outcome_file, outcome.to_json())
        return directory

    return write


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., Path]:
    """Write one directory of another logger: its files by name, dicts as JSON."""

    def write(directory: str, **files: str | Mapping[str, Any]) -> Path:
        path = tmp_path / directory
        path.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (path / name).write_text(text)
        return path

    return write
