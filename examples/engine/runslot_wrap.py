"""`kind = "wrap"`: runs are started through a program that takes a command somewhere, and waits.

    [launchers.flux]
    kind = "wrap"
    command = ["flux", "run", "--cores=2"]
    at_a_time = 20

`flux run`, `srun`, `bsub -K`, `condor_run` are such programs. Where the runs execute, the
experiment's directory, the code and this Python are to be seen at the same paths.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from runslot.engines.events import Observer
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import (
    Engine,
    Finding,
    Handle,
    Launcher,
    LauncherConfig,
    Placed,
    Taken,
    UnderWay,
)
from runslot.errors import InvalidInput
from runslot.experiment.claim import is_claimed
from runslot.experiment.processes import is_alive, keeper_of
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot

LOOK_PERIOD_S = 0.2  # between looks at what the runs have written


@dataclass(frozen=True)
class Wrap(LauncherConfig):
    """The table: a frozen dataclass, whose fields are its keys."""

    name: str = "wrap"
    command: tuple[str, ...] = ("env",)
    """What runs are started through: the command of a run is added to it."""
    at_a_time: int = 2
    """How many runs execute at once."""

    def __post_init__(self) -> None:
        if not self.command or self.at_a_time < 1:
            raise InvalidInput("command names a program, and at_a_time is 1 or more")

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Return the engine; without `runs` it only looks after those that are under way."""
        if runs and shutil.which(self.command[0]) is None:
            raise InvalidInput(f"there is no program {self.command[0]!r} on PATH")
        words = f"{self.at_a_time} slots of {' '.join(self.command)}"
        return Engine(WrapLauncher(self, experiment), words)

    def check(self) -> Iterator[Finding]:
        """Have the command start this Python."""
        command = [*self.command, sys.executable, "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        words = (done.stdout + done.stderr).strip()
        yield Finding(" ".join(self.command), done.returncode == 0, words)


class WrapLauncher(Launcher):
    """What the loop works with; a run executes by `runslot exec`, which writes all of it."""

    def __init__(self, config: Wrap, experiment: OpenExperiment) -> None:
        self._config = config
        self._log = experiment.directory.launcher_log
        self._commands: dict[Handle, subprocess.Popen[Any]] = {}
        self._stopped: set[Handle] = set()
        self._bell = threading.Event()

    def slots(self) -> Sequence[Slot]:
        """Return a slot for each run that may execute; their cores are the command's to choose."""
        return [Slot(self._config.name, index, (), ()) for index in range(self._config.at_a_time)]

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Start the runs, in sessions of their own, so that they outlive this process."""
        return [self._start(placed) for placed in runs]

    def _start(self, placed: Placed) -> Handle | Outcome:
        run = ["-m", "runslot", "exec", str(placed.run_dir.path), "--attempt", str(placed.attempt)]
        command = [*self._config.command, sys.executable, *run]
        start = partial(subprocess.Popen, command, start_new_session=True, stdin=subprocess.DEVNULL)
        try:
            with self._log.open("ab") as log:
                process = start(stdout=log, stderr=log, env=dict(placed.environment))
        except OSError as error:
            return Outcome("lost", placed.attempt, message=f"could not be started: {error}")
        handle = Handle(placed.run_dir, placed.attempt, str(process.pid))
        self._commands[handle] = process
        return handle

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Look after a run of an earlier launch: whoever executes a run holds its claim."""
        handle = Handle(run_dir, under_way.attempt, under_way.name or "")
        return handle if is_claimed(run_dir) else None

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | None]:
        """Return how each run ended, or None."""
        return {handle: self._outcome(handle) for handle in handles}

    def _outcome(self, handle: Handle) -> Outcome | None:
        command = self._commands.get(handle)
        if (command is not None and command.poll() is None) or is_claimed(handle.run_dir):
            return None
        outcome = handle.run_dir.read_outcome()  # after the claim, which is let go with it written
        if outcome is not None and outcome.attempt >= handle.attempt:
            return outcome
        message = "its command has ended, and left no outcome"
        is_stopped = handle in self._stopped
        return Outcome("stopped" if is_stopped else "lost", handle.attempt, message=message)

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Ask each run's keeper, or its command where that is not here, to end it; twice kills."""
        for handle in handles:
            self._stopped.add(handle)
            keeper, command = handle.run_dir.read_attempt(), self._commands.get(handle)
            is_current = keeper is not None and keeper.attempt == handle.attempt
            if keeper is not None and is_current and is_alive(keeper_of(keeper)):
                for number in (signal.SIGTERM, *([signal.SIGINT] if kill else [])):
                    os.kill(keeper.pid, number)
            elif command is not None:
                command.terminate()

    def wait(self, timeout: float | None) -> None:
        """Return when it is time to look again, or on `wake`."""
        self._bell.wait(LOOK_PERIOD_S if timeout is None else min(timeout, LOOK_PERIOD_S))
        self._bell.clear()

    def wake(self) -> None:
        """Make `wait` return."""
        self._bell.set()

    def close(self) -> None:
        """Leave the runs to themselves."""
