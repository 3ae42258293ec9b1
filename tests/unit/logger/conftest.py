"""The process's logger, unbound, and readers of what it wrote."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from runslot import logger as module

Rows = list[dict[str, str]]


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The module, bound to nothing; runs go below `tmp_path`."""
    for name in ("RUNSLOT_RUN", "RUNSLOT_ATTEMPT", "RUNSLOT_SINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNSLOT_ROOT", str(tmp_path / "runs"))
    module.reset()
    yield module
    module.reset()


@pytest.fixture
def run_dir(logger: ModuleType, tmp_path: Path) -> Path:
    """A directory that the logger writes to."""
    directory = tmp_path / "run_0"
    directory.mkdir()
    logger.bind_run(directory)
    return directory


@pytest.fixture
def rows() -> Callable[[Path], Rows]:
    """Read a CSV file as the standard library reads it."""

    def read(path: Path) -> Rows:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read
