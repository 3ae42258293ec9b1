"""Where the directory of a run is by now, to its own process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runslot.experiment import current

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def test_a_run_that_begins_as_its_directory_is_away_knows_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "_held", {})
    run, elsewhere = tmp_path / "root" / "run_0", tmp_path / "elsewhere"
    run.mkdir(parents=True)
    with (run / "run.json").open("w") as claimed:
        run.parent.rename(elsewhere)
        current.hold_run(str(run), claimed.fileno())
    assert current.where_now(run / "progress.csv") == elsewhere / "run_0" / "progress.csv"
    run.mkdir(parents=True)  # what takes the old place is another directory
    assert current.where_now(run / "progress.csv") == elsewhere / "run_0" / "progress.csv"
    run.rmdir()
    run.parent.rmdir()
    elsewhere.rename(run.parent)
    assert current.where_now(run / "progress.csv") == run / "progress.csv"
    assert current.where_now(tmp_path / "a.csv") == tmp_path / "a.csv"
