"""Stops from another terminal and from the keyboard, with a launcher and without: afterwards
nothing is alive.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from runslot.engines.events import LaunchEvent, RunStarted
from runslot.errors import Busy
from runslot.experiment.processes import processes_with, start_time
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.launch.experiment import silent
from runslot.launch.launch import launch
from runslot.launch.stop import stop

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

LAUNCH = """
import sys
from runslot import Experiment
root, program, runs = sys.argv[1:]
work = [sys.executable, "-S", program, "{run_dir}"]
Experiment("sleep", work, seeds=int(runs), root=root, grace=0.5).launch()
"""

STUBBORN = """
import os, signal, subprocess, sys, time
if os.path.exists(os.path.join(os.path.dirname(sys.argv[1]), "be-quick")):
    sys.exit()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
daemon = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(1000)"
subprocess.Popen([sys.executable, "-S", "-c", daemon]).wait()
open(sys.argv[1] + "/up", "w").close()
time.sleep(1000)
"""


class Sweep:
    def __init__(self, until, tmp_path: Path, runs: int = 5) -> None:
        program = tmp_path / "stubborn.py"
        program.write_text(STUBBORN)
        root = tmp_path / "sweep"
        argv = [sys.executable, "-c", LAUNCH, str(root), str(program), str(runs)]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True)
        at_once = min(runs, len(os.sched_getaffinity(0)))
        until(lambda: len(list(root.glob("sleep/2*/run_*/up"))) == at_once)
        (path,) = root.glob("sleep/2*")
        self.directory = ExperimentDir(path)

    def alive(self) -> list[int]:
        found = []
        for run in self.directory.read_runs():
            found += processes_with("RUNSLOT_RUN", str(self.directory.path / run.directory))
        return [pid for pid in found if start_time(pid)]

    def states(self) -> set[str]:
        return {each.state for each in read_status(self.directory).runs}


def test_interrupt_asks_and_then_kills_and_nothing_is_left(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    assert len(sweep.alive()) >= 3
    sweep.process.send_signal(signal.SIGINT)
    sweep.process.wait(60)
    assert sweep.process.returncode != 0
    assert sweep.alive() == []
    assert sweep.states() == {"stopped", "queued"}


def test_a_second_interrupt_does_not_wait_for_grace(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    sweep.process.send_signal(signal.SIGINT)
    sweep.process.send_signal(signal.SIGTERM)
    sweep.process.wait(60)
    assert sweep.alive() == []


def test_stop_from_another_terminal(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    outcomes = stop(sweep.directory, say=lambda _: None)
    assert (
        sweep.process.wait(60) == 0
    )  # the script's own choice; the command line returns another status
    assert {outcome.kind for outcome in outcomes} == {"stopped"}
    assert sweep.alive() == []
    assert sweep.states() == {"stopped", "queued"}


def test_a_template_that_was_stopped_keeps_no_launcher_from_its_end(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path, runs=1)
    (run,) = sweep.directory.read_runs()
    attempt = sweep.directory.run_dir(run, sweep.directory.read()).read_attempt()
    assert attempt is not None
    template = int(Path(f"/proc/{attempt.pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert template != sweep.process.pid
    for pid in (attempt.pid, template):
        os.kill(pid, signal.SIGSTOP)
    stop(sweep.directory, kill=True, say=lambda _: None)
    sweep.process.wait(60)
    until(lambda: start_time(template) is None)
    assert sweep.alive() == []
    assert sweep.states() == {"stopped"}


def test_stop_of_one_run_leaves_the_others(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path, runs=1)
    (run,) = sweep.directory.read_runs()
    (sweep.directory.path / "be-quick").touch()
    outcomes = stop(sweep.directory, [run.id], kill=True, say=lambda _: None)
    assert [outcome.kind for outcome in outcomes] == ["stopped"]
    sweep.process.wait(60)
    assert sweep.alive() == []


def test_stop_when_the_launcher_was_killed(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    sweep.process.kill()
    sweep.process.wait()
    assert sweep.alive()  # runs survive their launcher
    assert "running" in sweep.states()
    stop(sweep.directory, say=lambda _: None)
    assert sweep.alive() == []
    assert sweep.states() == {"stopped", "queued"}


def test_resume_adopts_what_still_runs(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    sweep.process.kill()
    sweep.process.wait()
    running = {each.run.id for each in read_status(sweep.directory).runs if each.state == "running"}
    (sweep.directory.path / "be-quick").touch()
    adopted = []

    def note(event: LaunchEvent) -> None:
        if isinstance(event, RunStarted) and event.adopted:
            adopted.append(event.run.id)
            if len(adopted) == len(running):
                for pid in sweep.alive():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    outcomes = launch(sweep.directory, note)
    assert set(adopted) == running
    kinds = {run.id: outcome.kind for run, outcome in outcomes.pairs}
    assert {kinds[run_id] for run_id in running} == {"failed"}
    assert {kind for run_id, kind in kinds.items() if run_id not in running} == {"succeeded"}


def test_two_launchers_of_one_experiment_are_refused(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path)
    with pytest.raises(Busy, match="held by its launcher"):
        launch(sweep.directory, silent)
    stop(sweep.directory, kill=True, say=lambda _: None)
    sweep.process.wait(60)


def test_a_lock_of_another_host_is_broken_only_when_told(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path, runs=1)
    sweep.process.kill()
    sweep.process.wait()
    stop(sweep.directory, kill=True, say=lambda _: None)
    sweep.directory.lock_file.write_text(
        '{"host": "elsewhere", "boot_id": "x", "pid": 1, "start_time": 1}'
    )
    (sweep.directory.path / "be-quick").touch()
    with pytest.raises(Busy, match="--take-over"):
        launch(sweep.directory, silent)
    assert launch(sweep.directory, silent, take_over=True).all_succeeded


def test_a_killed_keeper_takes_its_run_with_it_and_the_run_is_lost(until, tmp_path: Path) -> None:
    sweep = Sweep(until, tmp_path, runs=1)
    (each,) = read_status(sweep.directory).runs
    assert each.attempt is not None
    os.kill(each.attempt.pid, signal.SIGKILL)
    sweep.process.wait(60)
    assert sweep.alive() == []
    assert sweep.states() == {"lost"}
    (sweep.directory.path / "be-quick").touch()
    outcomes = launch(sweep.directory, silent)
    assert [(outcome.kind, outcome.attempt) for outcome in outcomes] == [("succeeded", 2)]
