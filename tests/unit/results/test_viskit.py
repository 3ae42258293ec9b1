"""viskit's rules as a reader of our directories, restated from its documentation: a run is a
directory with `progress.csv` beside `variant.json` (else `params.json`); every cell is a float, and
what is not becomes 0.0.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runslot.experiment.attempts import keep_attempt
from runslot.experiment.rundir import RunDir
from runslot.results import load

WriteRun = Callable[..., Path]


def viskit_reads(root: Path) -> dict[str, tuple[dict[str, Any], dict[str, list[float]]]]:
    """Return by directory name the flat parameters and the columns, as viskit has them."""
    runs = {}
    for path, _, files in os.walk(root):
        if "progress.csv" not in files:
            continue
        parameters = next((name for name in ("variant.json", "params.json") if name in files), None)
        if parameters is None:
            continue
        with open(os.path.join(path, "progress.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        columns: dict[str, list[float]] = {}
        for row in rows:
            for key, cell in row.items():
                try:
                    value = float(cell)
                except (TypeError, ValueError):
                    value = 0.0
                columns.setdefault(key, []).append(value)
        runs[path] = (json.loads(Path(path, parameters).read_text()), columns)
    return runs


def test_viskit_sees_the_runs_that_we_see(tmp_path: Path, write_run: WriteRun) -> None:
    for lr in (0.1, 0.01):
        for seed in (0, 1):
            write_run(
                {"lr": lr, "algo": {"gamma": 0.9}},
                seed,
                [{"Return": 1}, {"Return": 2, "loss": seed}],
            )
    write_run({"lr": 1}, 0, None, state="queued")
    retried = write_run({"lr": 1}, 1, [{"Return": 5}], state="failed")
    keep_attempt(RunDir(retried))
    RunDir(retried).progress.write_text("Return\n7\n")
    theirs, ours = viskit_reads(tmp_path), load(tmp_path)
    assert set(theirs) == set(ours.where("rows > 0").runs["path"])
    for path, (parameters, columns) in theirs.items():
        run = ours.where(path=path)
        assert parameters["seed"] == run.runs["seed"][0]
        assert parameters["lr"] == run.runs["lr"][0]
        for name, values in columns.items():
            # compared as text, because a gap is nan on both sides
            assert list(map(str, values)) == list(map(str, run.progress[name]))


def test_a_torn_line_of_a_run_in_progress_does_not_stop_either(
    tmp_path: Path, write_run: WriteRun
) -> None:
    run = write_run({"lr": 1}, 0, [{"Return": 1, "loss": 2}], state="running")
    with (run / "progress.csv").open("a") as file:
        file.write("3,")
    assert viskit_reads(tmp_path)[str(run)][1]["Return"][0] == 1.0
    assert load(tmp_path).progress["Return"].to_list() == [1.0]
