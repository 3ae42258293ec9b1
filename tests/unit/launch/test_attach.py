"""What an onlooker is told of a launch of another process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runslot import Experiment, Outcome
from runslot.engines.events import LaunchEnded, LaunchEvent, LaunchStarted, RunEnded, RunStarted
from runslot.experiment.journal import Journal
from runslot.experiment.lock import LauncherLock
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import ExperimentStatus, read_status
from runslot.launch import attach


def test_a_run_that_starts_between_two_looks_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Experiment("x", ["true"], root=tmp_path).prepare()
    (run,) = directory.read_runs()
    LauncherLock(directory).acquire()
    journal = Journal(directory.journal_file)
    journal.write("launcher_started", 1.0, host="h", pid=1, slots=1, slots_said="1 slot", runs=1)

    def look(place: ExperimentDir) -> ExperimentStatus:
        """Read how it stands after its start, which the journal had not when that was read."""
        journal.write("start", 1.0, run=run.id, attempt=1, slot=0, directory=run.directory)
        journal.write("ended", 1.0, run=run.id, outcome=Outcome("succeeded").to_json())
        journal.write("launcher_ended", 1.0, counts={"succeeded": 1})
        status = read_status(place)
        (standing,) = status.runs
        return replace(status, runs=(replace(standing, state="running"),))

    monkeypatch.setattr(attach, "read_status", look)
    told: list[LaunchEvent] = []
    attach.attach(directory, told.append, replay=False)
    journal.close()
    assert [type(event) for event in told] == [LaunchStarted, RunStarted, RunEnded, LaunchEnded]
