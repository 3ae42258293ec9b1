"""Kill launchers, keepers, templates and runs at random, and see whether a run was lost or executed
twice.

The witness is what the runs themselves wrote: each adds a line to one file when it begins and when
it ends.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from runslot.execute.spawn import start_code
from runslot.experiment.claim import keeper_lives
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import ExperimentStatus, read_status
from runslot.hardware.resources import Resources
from runslot.launch.experiment import Experiment, silent
from runslot.launch.launch import launch

_START = start_code("testing.chaos", "launch_quietly", only_ours=True)
_RUNS = 120
"""Runs of one experiment."""
_MOST_SLOTS = 8
_LONGEST_PAUSE = 0.15
"""Seconds between two kills, at most."""
_LONGEST_LOOK = 2.0
"""Seconds that a victim of the chosen kind is waited for."""
_PATIENCE = 120.0
"""Seconds that a launcher has for what is left once nothing is killed any more."""
_LONGEST_SETTLING = 10.0
"""Seconds that what has ended has to be gone."""
_LAST_RESUMES = 10

PROGRAM = """
import os, sys, time

def train(variant, directory=None):
    directory = directory or os.environ["RUNSLOT_RUN"]
    run = os.path.basename(directory)
    path = os.path.join(os.path.dirname(directory), "marks")
    marks = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(marks, f"begin {run} {os.getpid()} {time.monotonic()}\\n".encode())
    time.sleep(0.03)
    os.write(marks, f"end {run} {os.getpid()} {time.monotonic()}\\n".encode())

if __name__ == "__main__":
    train({}, sys.argv[1])
"""


@dataclass
class Report:
    """What was done, and what went wrong."""

    runs: int = 0
    experiments: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By what was killed: launcher, keeper, template, run."""
    resumes: int = 0
    problems: list[str] = field(default_factory=list)
    """One sentence each; none where nothing was lost or doubled."""


def chaos(directory: Path, seconds: float, say: Callable[[str], None]) -> Report:
    """Run experiments in `directory` for about so many seconds, killing at random; at least one of
    each kind.
    """
    program = directory / "program.py"
    program.write_text(PROGRAM)
    environment = environment_at(directory)
    chance = random.Random()  # noqa: S311  where to strike, not what to hide
    report = Report()
    end = time.monotonic() + seconds
    for kind, work in _works(program):
        if report.experiments >= 2 and time.monotonic() >= end:
            break
        share = max(end - time.monotonic(), seconds / 4)
        sweep = _KilledSweep(kind, work, directory / "runs", environment, chance, report)
        sweep.survive(min(share, seconds / 2))
        say(f"{kind}s: {_RUNS} runs, so far killed {kills_said(report.kills)}")
    return report


def kills_said(kills: Mapping[str, int]) -> str:
    """Return who was killed how often, in words."""
    parts = [f"{count} {whom}{'' if count == 1 else 's'}" for whom, count in sorted(kills.items())]
    return ", ".join(parts) or "nobody"


def launch_quietly() -> None:
    """Launch what is missing of the experiment in `sys.argv[1]`: the main program of the launchers
    that are killed.
    """
    launch(ExperimentDir(sys.argv[1]), silent, failed=True, take_over=sys.argv[2:] == ["take-over"])


def launcher_process(
    directory: ExperimentDir, environment: Mapping[str, str], take_over: bool = False
) -> subprocess.Popen[bytes]:
    """Start a launcher in a process and a session of its own; what it says goes to a file of the
    experiment.
    """
    with (directory.path / "launchers.txt").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                _START,
                str(directory.path),
                *(["take-over"] if take_over else []),
            ],
            stdout=log,
            stderr=log,
            env=dict(environment),
            start_new_session=True,
        )


def environment_at(directory: Path) -> dict[str, str]:
    """Return the environment of launchers that share locks with no others; makes what it names."""
    (directory / "locks").mkdir(exist_ok=True)
    return {
        **os.environ,
        "RUNSLOT_LOCKS": str(directory / "locks"),
        "XDG_STATE_HOME": str(directory / "state"),
    }


def _works(program: Path) -> Iterator[tuple[str, list[str] | str]]:
    while True:
        yield "command", [sys.executable, "-S", str(program), "{run_dir}"]
        yield "function", f"{program}:train"


class _KilledSweep:
    """One experiment whose processes are killed."""

    def __init__(
        self,
        kind: str,
        work: list[str] | str,
        root: Path,
        environment: Mapping[str, str],
        chance: random.Random,
        report: Report,
    ) -> None:
        resources = Resources(cpus=max(1, (os.cpu_count() or 1) // _MOST_SLOTS), gpus=0)
        experiment = Experiment(
            kind, work, seeds=_RUNS, root=root, resources=resources, retries=2, backoff=0.05
        )
        self._directory = experiment.prepare()
        self._environment = environment
        self._chance = chance
        self._report = report
        self._launcher = self._launch()

    def survive(self, seconds: float) -> None:
        """Kill for so long, or until all runs have succeeded; then let the rest be done, and
        check.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._launcher.poll() is not None:
                if not self._unfinished():
                    break
                self._resume()
            time.sleep(self._chance.random() * _LONGEST_PAUSE)
            self._kill_someone()
        for _ in range(_LAST_RESUMES):
            self._wait()
            if not self._unfinished():
                break
            self._resume()
        self._settle()
        self._report.experiments += 1
        self._report.runs += _RUNS
        self._report.problems += [
            f"{self._directory.path}: {problem}" for problem in problems_of(self._directory)
        ]

    def _launch(self) -> subprocess.Popen[bytes]:
        return launcher_process(self._directory, self._environment)

    def _resume(self) -> None:
        self._report.resumes += 1
        self._launcher = self._launch()

    def _wait(self) -> None:
        try:
            self._launcher.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._report.problems.append(f"{self._directory.path}: its launcher hangs")
            self._launcher.kill()
            self._launcher.wait()

    def _settle(self) -> None:
        # A keeper writes how its run ended before it gives the claim back: a launcher that adopted
        # it may be over first.
        deadline = time.monotonic() + _LONGEST_SETTLING
        while any(_left_behind(read_status(self._directory))) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _unfinished(self) -> bool:
        return any(run.state != "succeeded" for run in read_status(self._directory).runs)

    def _kill_someone(self) -> None:
        # A launcher takes long to start: were it killed as often as the others, little else would
        # happen.
        weights = {"launcher": 1, "template": 2, "keeper": 4, "run": 4}
        whom = self._chance.choices(list(weights), list(weights.values()))[0]
        victims: list[int] = []
        deadline = time.monotonic() + _LONGEST_LOOK
        while not victims and time.monotonic() < deadline and self._launcher.poll() is None:
            victims = self._victims(whom)
            time.sleep(self._chance.random() * 0.01)
        if not victims:
            return
        try:
            os.kill(self._chance.choice(victims), signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself
            return
        self._report.kills[whom] += 1

    def _victims(self, whom: str) -> list[int]:
        pids = [self._launcher.pid]
        for generation in ("launcher", "template", "keeper", "run"):
            if generation == whom:
                break
            pids = [child for parent in pids for child in _children(parent)]
        return pids


def problems_of(directory: ExperimentDir) -> Iterator[str]:
    """Yield what is wrong with an experiment of `PROGRAM` that ought to have succeeded: losses,
    doubles, orphans.
    """
    status = read_status(directory)
    executions = _executions(directory)
    for entry in status.runs:
        run = entry.run.directory
        if entry.state != "succeeded":
            yield f"{run} is {entry.state}, and was resumed {_LAST_RESUMES} times"
        elif not any(ended for _, ended in executions.get(run, {}).values()):
            yield f"{run} is said to have succeeded, and never ended"
        yield from _doubled(run, executions.get(run, {}), entry.attempts)
    yield from _left_behind(status)


_Execution = tuple[float, float | None]
"""When it began, and when it ended, on the monotonic clock; None where it was killed."""


def _executions(directory: ExperimentDir) -> dict[str, dict[int, _Execution]]:
    """Return the executions of each run, by pid."""
    executions: dict[str, dict[int, _Execution]] = {}
    marks = directory.path / "marks"
    for line in marks.read_text().splitlines() if marks.exists() else ():
        word, run, pid, moment = line.split()
        of_run = executions.setdefault(run, {})
        if word == "begin":
            of_run[int(pid)] = (float(moment), None)
        elif int(pid) in of_run:
            of_run[int(pid)] = (of_run[int(pid)][0], float(moment))
    return executions


def _doubled(run: str, executions: Mapping[int, _Execution], attempts: int) -> Iterator[str]:
    if len(executions) > attempts:
        yield f"{run} was executed {len(executions)} times in {attempts} attempts"
    ordered = sorted(executions.values())
    for (_, ended), (start, _) in pairwise(ordered):
        if ended is not None and start < ended:
            yield f"{run} was executed twice at the same time"


def _left_behind(status: ExperimentStatus) -> Iterator[str]:
    for run in status.runs:
        attempt = status.directory.run_dir(run.run, status.file).read_attempt()
        if attempt is not None and keeper_lives(
            status.directory.run_dir(run.run, status.file), attempt
        ):
            yield f"{run.run.directory} has a keeper still, process {attempt.pid}"
    marker = b"RUNSLOT_RUN=" + os.fsencode(status.directory.path) + b"/"
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            is_marked = marker in environment.read_bytes()
        except OSError:  # ended meanwhile, or another user's
            continue
        if is_marked:
            yield f"process {environment.parent.name} of a run is alive"


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it has ended, or this system has no /proc: then launchers alone are killed
        return []
    return [int(word) for word in text.split()]
