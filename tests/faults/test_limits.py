"""Before a limit or a preemption ends a run it is told, and has its grace to save; what does not
listen is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runslot import Experiment, Outcome
from runslot.engines.events import LaunchEvent, RunStarted
from runslot.engines.local import watch
from runslot.experiment.processes import start_time
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.launch.stop import stop

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills are looked up in /proc"),
]

PROGRAM = """
import os, pathlib, signal, sys, time

def train(variant, directory=None):
    directory = pathlib.Path(directory or os.environ["RUNSLOT_RUN"])
    def note(number, frame):
        with (directory / "heard").open("a") as file:
            file.write(signal.Signals(number).name + "\\n")
        if number == signal.SIGTERM and how != "stubborn":
            time.sleep(0.5)  # to save takes a while
            (directory / "saved").touch()
            sys.exit(0)
    how = pathlib.Path(__file__).with_name("how").read_text()
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
        (tmp_path / "how").write_text(how)
        command = [sys.executable, "-S", program, "{run_dir}"]
        work = f"{program}:train" if kind == "function" else command
        self.experiment = Experiment("limits", work, root=tmp_path / "runs", **policy)
        self.run_dir = RunDir("")

    def launch_until(
        self, shown: str, meanwhile: Callable[[RunDir], None] | None = None, **limits: float
    ) -> Outcome:
        """Launch it with a time limit; with longer ones where the machine was so slow that the run
        was not up by then, or its grace was over before it came to what it does in it.
        """
        for _ in range(3):
            self.experiment = replace(self.experiment, **limits)
            outcome = self.launch(meanwhile)
            if (self.run_dir.path / shown).exists():
                break
            limits = {name: 4 * value for name, value in limits.items()}
        assert outcome.message.startswith(f"ran longer than {limits['timeout']:g} s")
        return outcome

    def launch(self, meanwhile: Callable[[RunDir], None] | None = None) -> Outcome:
        threads: list[threading.Thread] = []

        def note(event: LaunchEvent) -> None:
            if isinstance(event, RunStarted):
                self.run_dir = RunDir(event.directory)
                if meanwhile is not None:
                    threads.append(threading.Thread(target=self._when_up, args=(meanwhile,)))
                    threads[-1].start()

        (outcome,) = self.experiment.launch(note)
        for thread in threads:
            thread.join()
        return outcome

    def _when_up(self, meanwhile: Callable[[RunDir], None]) -> None:
        while not (self.run_dir.path / "up").exists():
            if self.run_dir.read_outcome() is not None:
                return
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
    place = Place(tmp_path, kind, "polite", grace=60)
    outcome = place.launch_until("saved", timeout=1.5)
    assert outcome.kind == "timed_out"
    assert place.heard == ["SIGTERM"]
    assert place.saved


@KINDS
def test_what_does_not_listen_is_killed_when_its_grace_is_over(tmp_path: Path, kind: str) -> None:
    place = Place(tmp_path, kind, "stubborn")
    outcome = place.launch_until("heard", timeout=1.5, grace=0.3)
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
def test_the_warning_of_a_preemption_reaches_the_run_which_goes_on(
    tmp_path: Path, kind: str
) -> None:
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


def stopped_again_and_again(run_dir: RunDir) -> None:
    """Stop the keeper, and whenever somebody has told it to go on, until it is gone."""
    attempt = run_dir.read_attempt()
    assert attempt is not None
    while start_time(attempt.pid) == attempt.start_time:
        with suppress(ProcessLookupError):
            os.kill(attempt.pid, signal.SIGSTOP)
        time.sleep(0.01)


def stopped_once(run_dir: RunDir) -> None:
    attempt = run_dir.read_attempt()
    assert attempt is not None
    with suppress(ProcessLookupError):
        os.kill(attempt.pid, signal.SIGSTOP)


@pytest.mark.parametrize(
    ("stopped", "shown"), [(stopped_once, "saved"), (stopped_again_and_again, "up")]
)
def test_a_keeper_that_was_stopped_does_not_keep_its_run_beyond_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: Callable[[RunDir], None], shown: str
) -> None:
    monkeypatch.setattr(watch, "MARGIN_S", 0.5)
    place = Place(tmp_path, "command", "polite")
    outcome = place.launch_until(shown, stopped, timeout=1.5, grace=1)
    assert outcome.kind == "timed_out"
    assert place.run_dir.read_outcome() == outcome
    assert (place.run_dir.path / shown).exists()


def test_a_keeper_that_was_stopped_does_not_keep_its_run_from_a_stop_that_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MARGIN_S", 0.5)
    place = Place(tmp_path, "command", "stubborn", grace=60)

    def stop_it(run_dir: RunDir) -> None:
        stopped_once(run_dir)
        stop(ExperimentDir(run_dir.path.parent), kill=True, say=lambda _: None)

    assert place.launch(stop_it).kind == "stopped"
