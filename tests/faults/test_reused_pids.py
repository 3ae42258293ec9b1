"""A pid in an old file is someone else's now: that process is never taken for a keeper or a
launcher, nor signalled.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runslot import Experiment
from runslot.engines.events import LaunchEvent, RunStarted
from runslot.engines.open_experiment import OpenExperiment
from runslot.experiment.files import write_json
from runslot.experiment.journal import Journal
from runslot.experiment.lock import living_launcher
from runslot.experiment.processes import identify
from runslot.experiment.records import Attempt
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.launch.launch import launch
from runslot.launch.stop import stop

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="start times are read from /proc"
    ),
]


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that has nothing to do with runslot, and check that nobody ended it."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    assert process.poll() is None, "the stranger was signalled"
    process.kill()
    process.wait()


def abandoned(tmp_path: Path, stranger: int, **other: Any) -> ExperimentDir:
    """Return an experiment whose launcher and keeper were killed; their pid is the stranger's
    now.
    """
    directory = Experiment("old", [sys.executable, "-c", "pass"], root=tmp_path).prepare()
    (run,) = directory.read_runs()
    own = identify(stranger)
    old = {**own.__dict__, "start_time": own.start_time - 1000, **other}
    opened = OpenExperiment.open(directory, {})
    opened.prepare(run, 1)
    opened.close()
    journal = Journal(directory.journal_file)
    journal.write("launcher_started", 1.0, host=old["host"], pid=stranger, slots=1, runs=1)
    journal.write("start", 1.0, run=run.id, attempt=1, slot=0, directory=run.directory)
    journal.close()
    keeper = Attempt(1, stranger, old["start_time"], old["boot_id"], old["host"], 1.0)
    write_json(directory.run_dir(run, directory.read()).attempt_file, keeper.to_json())
    directory.lock_file.write_text(json.dumps(old))
    return directory


@pytest.mark.parametrize(
    "other", [{}, {"boot_id": "another boot/pid:[1]"}], ids=["start time", "boot"]
)
def test_a_reused_pid_is_nobodys_keeper(
    tmp_path: Path, stranger: subprocess.Popen[bytes], other: dict[str, str]
) -> None:
    directory = abandoned(tmp_path, stranger.pid, **other)
    assert living_launcher(directory) is None
    assert [each.state for each in read_status(directory).runs] == ["lost"]
    events: list[LaunchEvent] = []
    outcomes = launch(directory, events.append)
    assert [(outcome.kind, outcome.attempt) for outcome in outcomes] == [("succeeded", 2)]
    assert not any(event.adopted for event in events if isinstance(event, RunStarted))


def test_a_stop_does_not_signal_it(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    directory = abandoned(tmp_path, stranger.pid)
    stop(directory, kill=True, say=lambda _: None)
    assert [each.state for each in read_status(directory).runs] == ["lost"]


@pytest.mark.parametrize("kill", [False, True], ids=["stop", "stop --kill"])
def test_a_process_that_a_file_names_rightly_and_that_has_no_claim_is_no_keeper(
    tmp_path: Path, stranger: subprocess.Popen[bytes], kill: bool
) -> None:
    directory = abandoned(tmp_path, stranger.pid, start_time=identify(stranger.pid).start_time)
    assert [each.state for each in read_status(directory).runs] == ["lost"]
    directory.lock_file.unlink()
    stop(directory, kill=kill, say=lambda _: None)
    assert [each.state for each in read_status(directory).runs] == ["lost"]
