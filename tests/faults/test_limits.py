"""Before a limit or a preemption ends a run it is told, and has its grace to save; what does not listen is killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runslot import Experiment, Outcome
from runslot.experiment.rundir import RunDir
from runslot.launch.events import LaunchEvent, RunStarted

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills are looked up in /proc"),
]

PROGRAM = """
import os, pathlib, signal, subprocess, sys, time

def train(variant, directory=None):
    directory = pathlib.Path(directory or os.environ["RUNSLOT_RUN"])
    def note(number, frame):
        with (directory / "heard").open("a") as file:
            file.write(signal.Signals(number).name + "\\n")
        if number == signal.SIGTERM and how != "stubborn":
            time.sleep(0.5)  # to save takes a while
            (directory / "saved").touch()
            sys.exit(0)
    how = (directory.parent / "how").read_text()
    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGUSR1, note)
    bytes_held = bytearray(how == "large" and 300_000_000)
    bytes_held[::4096] = b"x" * len(bytes_held[::4096])
    (directory / "up").touch()
    while not (directory / "go").exists():
        time.sleep(0.01)

if __name__ == "__main__":
    train({}, sys.argv[1])
"""


class Place:
    """An experiment of one run of `PROGRAM`, which does as it is told."""

    def __init__(self, tmp_path: Path, kind: str, how: str, **policy: Any) -> None:
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        command = [sys.executable, program, "{run_dir}"]
        work = f"{program}:train" if kind == "function" else command
        self.experiment = Experiment("limits", work, root=tmp_path / "runs", **policy)
        self.how = how
        self.run_dir = RunDir("")

    def launch(self, meanwhile: Callable[[RunDir], None] | None = None) -> Outcome:
        threads: list[threading.Thread] = []

        def note(event: LaunchEvent) -> None:
            if isinstance(event, RunStarted):
                self.run_dir = RunDir(event.directory)
                (event.directory.parent / "how").write_text(self.how)
                if meanwhile is not None:
                    threads.append(threading.Thread(target=self._when_up, args=(meanwhile,)))
                    threads[-1].start()

        (outcome,) = self.experiment.launch(note)
        for thread in threads:
            thread.join()
        return outcome

    def _when_up(self, meanwhile: Callable[[RunDir], None]) -> None:
        while not (self.run_dir.path / "up").exists():
            time.sleep(0.01)
        meanwhile(self.run_dir)

    @property
    def heard(self) -> list[str]:
        return (self.run_dir.path / "heard").read_text().split()

    @property
    def saved(self) -> bool:
        return (self.run_dir.path / "saved").exists()


KINDS = pytest.mark.parametrize("kind", ["command", "function"])


@KINDS
def test_a_run_that_takes_too_long_is_asked_first_and_can_save(tmp_path: Path, kind: str) -> None:
    place = Place(tmp_path, kind, "polite", timeout=1.5, grace=60)
    outcome = place.launch()
    assert outcome.kind == "timed_out"
    assert "longer than 1.5 s" in outcome.message
    assert place.heard == ["SIGTERM"]
    assert place.saved


@KINDS
def test_what_does_not_listen_is_killed_when_its_grace_is_over(tmp_path: Path, kind: str) -> None:
    place = Place(tmp_path, kind, "stubborn", timeout=1.5, grace=0.3)
    outcome = place.launch()
    assert (outcome.kind, outcome.signal) == ("timed_out", signal.SIGKILL)
    assert place.heard == ["SIGTERM"]


@KINDS
def test_a_run_over_its_memory_is_asked_first_and_can_save(tmp_path: Path, kind: str) -> None:
    from runslot import Resources

    place = Place(tmp_path, kind, "large", grace=60, resources=Resources(memory=150_000_000))
    outcome = place.launch()
    assert outcome.kind == "failed"
    assert "the limit is 150 MB" in outcome.message
    assert place.saved


@KINDS
def test_the_warning_of_a_preemption_reaches_the_run_which_goes_on(tmp_path: Path, kind: str) -> None:
    def warn(run_dir: RunDir) -> None:
        attempt = run_dir.read_attempt()
        assert attempt is not None
        os.kill(attempt.pid, signal.SIGUSR1)  # as a scheduler warns who keeps the run
        while not (run_dir.path / "heard").exists():
            time.sleep(0.01)
        (run_dir.path / "go").touch()

    place = Place(tmp_path, kind, "polite")
    assert place.launch(warn).kind == "succeeded"
    assert place.heard == ["SIGUSR1"]
