"""Runs of launchkit's kind, written for tests of what is drawn from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> Write:
    """Return a function that writes one run below `tmp_path / "runs"`, and returns its
    directory.
    """

    def write(name: str, variant: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> Path:
        directory = tmp_path / "runs" / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "variant.json").write_text(json.dumps(variant))
        rows = [
            ",".join(columns),
            *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
        ]
        (directory / "progress.csv").write_text("\n".join(rows) + "\n")
        return directory

    return write


@pytest.fixture
def runs(tmp_path: Path, write_run: Write) -> Path:
    """Write 2 learning rates × 2 sizes × 3 seeds, whose curves are known: `score` is lr·hidden +
    step + seed.
    """
    for lr in (0.1, 0.01):
        for hidden in (32, 128):
            for seed in range(3):
                steps = range(0, 50, 10)
                scores = [lr * hidden + step + seed for step in steps]
                columns = {
                    "step": list(steps),
                    "score": scores,
                    "loss": [1 / (1 + s) for s in scores],
                }
                write_run(
                    f"lr={lr},hidden={hidden}/run_{seed}",
                    {"lr": lr, "hidden": hidden, "seed": seed},
                    columns,
                )
    return tmp_path / "runs"
