"""Kill launcher, keepers, templates and runs at random moments: no run is lost, none is executed
twice.

Each run writes a line when it begins and when it ends; whatever was killed, after the resumes every
run has ended once, and no two executions of a run overlapped.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runslot.engines.events import LaunchEvent
from runslot.experiment.processes import processes_with
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.launch.launch import launch

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

RUNS = {"launcher": 30, "keeper": 90, "template": 90, "run": 90}
"""Of one sweep."""
KILLS = 50
"""Of each kind, half of them where runs are commands, half where they are functions."""
MOST_SWEEPS = 12
"""One may be over before half of the kills are done; then there are further ones."""

LAUNCH = """
import sys
from runslot import Experiment
kind, root, program, runs = sys.argv[1:]
work = [sys.executable, "-S", program, "{run_dir}"] if kind == "command" else program + ":train"
Experiment("chaos", work, seeds=int(runs), root=root, retries=0).launch()
"""

RUN = """
import os, sys, time
def train(variant, directory=None):
    directory = directory or os.environ["RUNSLOT_RUN"]
    with open(os.path.join(os.path.dirname(directory), "marks"), "ab", buffering=0) as marks:
        name = os.path.basename(directory)
        marks.write(f"begin {name} {os.getpid()} {time.monotonic()}\\n".encode())
        time.sleep(0.05)
        marks.write(f"end {name} {os.getpid()} {time.monotonic()}\\n".encode())
if __name__ == "__main__":
    train(None, sys.argv[1])
"""


class Chaos:
    """One experiment, and the means to launch, kill and resume it."""

    def __init__(self, tmp_path: Path, kind: str, runs: int) -> None:
        self.runs = runs
        self.root = tmp_path / "chaos"
        self.program = tmp_path / "program.py"
        self.program.write_text(RUN)
        self.kind = kind
        self.launcher = self._popen(
            [sys.executable, "-c", LAUNCH, kind, self.root, self.program, str(runs)]
        )
        while not list(self.root.glob("chaos/2*/experiment.json")):
            time.sleep(0.01)
        (journal,) = self.root.glob("chaos/2*/experiment.json")
        # a launch whose function cannot be imported is refused whole
        while not (journal.parent / "marks").exists():
            time.sleep(0.01)
        self.directory = ExperimentDir(journal.parent)

    def _popen(self, argv: list[object]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(part) for part in argv], stdout=subprocess.DEVNULL, start_new_session=True
        )

    def ensure_launcher(self) -> bool:
        """Resume where no launcher is at work; False when nothing is left to do."""
        if self.launcher.poll() is None:
            return True
        if not self.unfinished():
            return False
        code = (
            "import sys; from pathlib import Path; from runslot.launch.launch import launch;"
            "from runslot.experiment.rundir import ExperimentDir;"
            "launch(ExperimentDir(Path(sys.argv[1])), lambda e: None, failed=True)"
        )
        self.launcher = self._popen([sys.executable, "-c", code, self.directory.path])
        return True

    def kill(self, whom: str, chance: random.Random, most: int) -> int:
        """Kill at random moments until the sweep is over, or it was `most` times; return how often
        that was.
        """
        killed = 0
        while killed < most and self.ensure_launcher():
            time.sleep(chance.random() * (0.4 if whom == "launcher" else 0.1))
            victims = self.victims(whom)
            if victims:
                try:
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:  # it ended by itself
                    continue
            if whom == "launcher":
                self.launcher.wait()
        return killed

    def finish(self) -> None:
        """Let the rest be done."""
        self.launcher.wait(120)
        for _ in range(5):
            if not self.unfinished():
                break
            launch(self.directory, _quietly, failed=True)

    def unfinished(self) -> list[str]:
        return [
            each.run.directory
            for each in read_status(self.directory).runs
            if each.state != "succeeded"
        ]

    def victims(self, whom: str) -> list[int]:
        if whom == "launcher":
            return [self.launcher.pid]
        children = _children(self.launcher.pid)
        if whom == "template":
            return children
        keepers = [keeper for template in children for keeper in _children(template)]
        if whom == "keeper":
            return keepers
        return [run for keeper in keepers for run in _children(keeper)]

    def check(self) -> None:
        assert self.unfinished() == []
        begun: dict[str, list[tuple[str, float]]] = {}
        ends: dict[str, int] = {}
        for line in (self.directory.path / "marks").read_text().splitlines():
            word, run, pid, moment = line.split()
            begun.setdefault(run, []).append((f"{word} {pid}", float(moment)))
            ends[run] = ends.get(run, 0) + (word == "end")
        assert sorted(ends) == sorted(f"run_{seed}" for seed in range(self.runs))
        states = {each.run.directory: each for each in read_status(self.directory).runs}
        assert {each.state for each in states.values()} == {"succeeded"}
        for run, marks in begun.items():
            pids = [mark.split()[1] for mark, _ in marks]
            # An execution that was killed leaves a begin alone; what follows it is another process.
            assert pids == sorted(pids, key=pids.index), f"executions of {run} overlap: {marks}"
            attempts = states[run].attempts
            # At most one execution an attempt: none was started twice.
            assert len(set(pids)) <= attempts, (
                f"{run}: {len(set(pids))} executions in {attempts} attempts"
            )
            assert processes_with("RUNSLOT_RUN", str(self.directory.path / run)) == []


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(each) for each in text.split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills are found through /proc")
@pytest.mark.parametrize("whom", ["launcher", "keeper", "template", "run"])
def test_nothing_is_lost_or_doubled(whom: str, tmp_path: Path) -> None:
    chance = random.Random(whom)
    killed = 0
    for number in range(MOST_SWEEPS):
        kind = ("command", "function")[number % 2]
        (tmp_path / str(number)).mkdir()
        chaos = Chaos(tmp_path / str(number), kind, RUNS[whom])
        killed += chaos.kill(whom, chance, KILLS // 2)
        chaos.finish()
        chaos.check()
        if killed >= KILLS and number > 0:
            break
    assert killed >= KILLS


def _quietly(_event: LaunchEvent) -> None:
    pass
