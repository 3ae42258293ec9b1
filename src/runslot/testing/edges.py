"""What no kill shows: a full disk, a keeper that was stopped, a node that is gone, a root that is
moved.

Each edge is one small experiment with a witness outside it, to which its runs write a line when
they begin and when they end. Called by `runslot selftest`; what a machine cannot do is skipped, and
said.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runslot.execute.spawn import start_code
from runslot.experiment.processes import start_time
from runslot.experiment.status import RunStatus, read_status
from runslot.hardware.resources import Resources
from runslot.launch.experiment import Experiment
from runslot.testing.chaos import launcher_process

_RUNS = 6
_PATIENCE_S = 90.0
_MOMENT_S = 1.5
"""For which the disk is full, or the root elsewhere."""
_GONE = "runslot-selftest-gone"
"""The node that is no more."""
_RUN = (
    'echo "begin $0" >> "$1"; n=0;'
    ' until [ "$0" = "$3" ] || [ -e "$2" ] || [ "$n" = 2400 ]; do sleep 0.05; n=$((n + 1)); done;'
    ' echo "end $0" >> "$1"'
)
"""Ends at once where it is the first, and else when it is let go on: it is under way until then,
however slow the machine is.
"""


class Impossible(Exception):
    """This machine cannot do it; the message says what is missing."""


@dataclass(frozen=True)
class Edge:
    """One thing to try: what it is, in words, and how; problems are yielded, a sentence each."""

    name: str
    attempt: Callable[[Path, Mapping[str, str]], Iterator[str]]


class _Sweep:
    """A small experiment, its launcher, and its witness."""

    def __init__(
        self,
        place: Path,
        environment: Mapping[str, str],
        root: Path,
        first: str = "0",
        **more: float,
    ):
        """Make one; `first` is the seed of the run that waits for nothing."""
        self._environment = environment
        self._witness = place / f"witness-{root.name}"
        self._witness.touch()
        self._gate = place / f"go-{root.name}"
        work = ["sh", "-c", _RUN, "{seed}", str(self._witness), str(self._gate), first]
        cpus = max(1, (os.cpu_count() or 1) // 2)
        resources = Resources(cpus=cpus, gpus=0)
        experiment = Experiment("edge", work, seeds=_RUNS, root=root, resources=resources, **more)  # type: ignore[arg-type]
        self.directory = experiment.prepare()
        self.launcher = launcher_process(self.directory, environment)

    def wait(self, happened: Callable[[], object]) -> bool:
        """Wait until it has happened; False where it did not for a long time."""
        deadline = time.monotonic() + _PATIENCE_S
        while not happened():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def lines(self, word: str) -> list[str]:
        """Return the runs that began, or ended, as they wrote themselves."""
        return [
            line.split()[1]
            for line in self._witness.read_text().splitlines()
            if line.startswith(word)
        ]

    def begin(self) -> None:
        """Wait until the first run has ended, and another one is under way."""
        self.wait(lambda: self.lines("end") and len(self.lines("begin")) > len(self.lines("end")))

    def go_on(self) -> None:
        """Let all runs end."""
        self._gate.touch()

    def finish(self, take_over: bool = False) -> Iterator[str]:
        """Yield what is wrong once the launcher, or one that resumes, has done the rest."""
        if take_over:
            self.launcher = launcher_process(self.directory, self._environment, take_over=True)
        if not self.wait(lambda: self.launcher.poll() is not None):
            yield "its launcher hangs"
            self.launcher.kill()
        self.launcher.wait()
        for run in read_status(self.directory).runs:
            if run.state != "succeeded":
                yield f"{run.run.directory} is {run.state}"
        ended = self.lines("end")
        yield from (
            f"run {seed} ended {ended.count(seed)} times"
            for seed in map(str, range(_RUNS))
            if ended.count(seed) != 1
        )

    def once(self) -> Iterator[str]:
        """Yield which runs began more than once."""
        begins = self.lines("begin")
        yield from (
            f"run {seed} began {begins.count(seed)} times"
            for seed in sorted(set(begins))
            if begins.count(seed) > 1
        )


def full_disk(place: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Fill a small disk of its own under a sweep, for a moment: in a namespace, so that nothing
    stays mounted.
    """
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("mount") is None:
        raise Impossible("needs the programs unshare and mount")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    disk = place / "disk"
    disk.mkdir()
    inside = start_code("testing.edges", "full_disk_inside", str(place), only_ours=True, exits=True)
    argv = [
        unshare,
        *as_root,
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o size=2m none "$0" && exec "$@"',
        str(disk),
    ]
    argv += [sys.executable, "-c", inside]
    process = subprocess.run(
        argv, env=dict(environment), capture_output=True, text=True, check=False
    )
    if process.returncode not in {0, 3}:
        raise Impossible(
            f"a small disk cannot be mounted ({(process.stderr.strip().splitlines() or ['?'])[-1]})"
        )
    yield from process.stdout.splitlines()


def full_disk_inside(place: str) -> int:
    """Do so where the disk is mounted; print the problems, and return 3 where there are any."""
    disk = Path(place, "disk")
    sweep = _Sweep(Path(place), os.environ, disk / "full")
    sweep.begin()
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(512)):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    sweep.go_on()
    time.sleep(_MOMENT_S)
    filling.unlink()
    problems = [*sweep.finish(), *sweep.once()]
    for problem in problems:
        print(problem)
    return 3 if problems else 0


def stopped_keeper(place: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Stop the keeper of a run with a time limit: the limit holds all the same."""
    if not Path("/proc/self/stat").exists():
        raise Impossible("needs /proc")
    sweep = _Sweep(place, environment, place / "stopped", first="", timeout=2.0, grace=0.5)
    if sweep.wait(lambda: sweep.lines("begin")):
        run_dir = sweep.directory.path / f"run_{sweep.lines('begin')[0]}"
        with contextlib.suppress(ProcessLookupError):  # on a slow machine all are over by now
            os.kill(json.loads((run_dir / "attempt.json").read_text())["pid"], signal.SIGSTOP)
        over = {"timed_out", "lost"}
        if not sweep.wait(lambda: _state_of(sweep, run_dir.name) in over):
            yield "a stopped keeper let its run go on beyond the time limit"
    else:
        yield "no run began"
    sweep.launcher.send_signal(signal.SIGTERM)
    if not sweep.wait(lambda: sweep.launcher.poll() is not None):
        yield "its launcher hangs"
        sweep.launcher.kill()
    sweep.launcher.wait()


def _state_of(sweep: _Sweep, run: str) -> str:
    return next(
        entry.state for entry in read_status(sweep.directory).runs if entry.run.directory == run
    )


def foreign_host(place: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Kill launcher and keepers, and let their files name a node that is no more: a take-over does
    the rest.
    """
    sweep = _Sweep(place, environment, place / "foreign")
    sweep.begin()
    sweep.launcher.kill()
    sweep.launcher.wait()
    _rename_host(sweep.directory.lock_file)

    # A keeper that the launcher sent off as it died comes to its attempt after that, and what a
    # kill ends holds its claim until the kernel has done so: looked at until nothing runs.
    running: list[RunStatus] = []
    killed: set[int] = set()

    def gone() -> bool:
        status = read_status(sweep.directory)
        running[:] = [run for run in status.runs if run.state == "running"]
        for run in running:
            if run.attempt is not None and run.attempt.host != _GONE:
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.kill(run.attempt.pid, signal.SIGKILL)
                killed.add(run.attempt.pid)
                _rename_host(status.directory.run_dir(run.run, status.file).attempt_file)
        return not running and all(start_time(pid) is None for pid in killed)

    if not sweep.wait(gone):
        yield f"{len(running)} runs of a node that is gone are said to run"
    sweep.go_on()
    yield from sweep.finish(take_over=True)


def _rename_host(file: Path) -> None:
    if file.exists():
        file.write_text(json.dumps({**json.loads(file.read_text()), "host": _GONE}))


def moved_root(place: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Move the root away under its launcher, and back."""
    if not Path("/proc/self/fd").exists():
        raise Impossible("needs /proc")
    root, elsewhere = place / "moved", place / "elsewhere"
    sweep = _Sweep(place, environment, root)
    sweep.begin()
    root.rename(elsewhere)
    sweep.go_on()
    time.sleep(_MOMENT_S)
    if root.exists():
        yield "its old place was made again"
        shutil.rmtree(root)
    elsewhere.rename(root)
    yield from sweep.finish()
    yield from sweep.once()


EDGES = (
    Edge("a full disk", full_disk),
    Edge("a stopped keeper", stopped_keeper),
    Edge("a node that is gone", foreign_host),
    Edge("a root that is moved", moved_root),
)
