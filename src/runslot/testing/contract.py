"""The contract of every launcher: what a sweep may rely on, wherever it runs. A pytest class to be
subclassed.

    class TestMine(LauncherContract):
        entry = {"kind": "ssh", "hosts": ["node1"]}

Everything is done through the command line, as a user does it, and judged by files and by processes
that are alive.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

PROGRAM = '''
import os, signal, sys, time

def begin(directory, token):
    """Leave a line in the run's directory for every time that it is executed."""
    with open(os.path.join(directory, "begun.txt"), "a") as file:
        file.write(token + "\\n")

def end(how, directory, token):
    begin(directory, token)
    if how == "failed":
        print("the loss is nan")
        sys.exit(3)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "late":
        time.sleep(600)
    if how == "again" and os.environ["RUNSLOT_ATTEMPT"] == "1":
        sys.exit(4)
    if how == "long at first" and os.environ["RUNSLOT_ATTEMPT"] == "1":
        time.sleep(15)
    if how.startswith("sleep "):
        time.sleep(float(how.split()[1]))
    print("ended", how, flush=True)

def train(variant):
    """Log three rows."""
    from runslot import logger
    begin(os.environ["RUNSLOT_RUN"], "train")
    for epoch in range(3):
        logger.record_dict({"epoch": epoch, "loss": variant["lr"] / (epoch + 1) + variant["seed"]})
        logger.dump_tabular()

if __name__ == "__main__":
    end(*sys.argv[1:4])
'''

UNUSUAL = ("a b", "c'd\"e", "$HOME;`id`", "-x", "ü→", "*?[1]", "a,b:c=d", "..", "x" * 80, "#%&|<>")
"""Values that names are made of, and that shells, rsync and engines like to take for something
else.
"""


LOOK_PAUSE_S = 3.0
"""Between looks at an experiment where no run has begun or ended meanwhile."""


class Place:
    """A directory with a program and a configuration, in which `runslot` is called."""

    def __init__(self, directory: Path, name: str, extra: Sequence[str]) -> None:
        self.directory = directory
        self.name = name
        self.extra = tuple(extra)
        self.token = f"contract-{os.getpid()}-{time.monotonic_ns()}"
        """In the command line of every run, by which its processes are found."""
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(
        self, *arguments: str, status: int | None = 0, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Carry out a command line of runslot."""
        argv = [sys.executable, "-m", "runslot", *arguments]
        process = subprocess.run(
            argv,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        report = f"{arguments}\nexit {process.returncode}\n{process.stdout}\n{process.stderr}"
        assert status is None or process.returncode == status, report
        assert "Traceback (most recent call last)" not in process.stderr, report
        return process

    def options(self) -> list[str]:
        """Return the options that send a sweep to the launcher and wait for it there."""
        return ["--on", self.name, "--wait", "--root", str(self.directory / "runs"), *self.extra]

    def command(self, ending: str = "{how}") -> list[str]:
        """Return the command of a run that ends in this way."""
        return ["--", "python3", "program.py", ending, "{run_dir}", self.token]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command line and go on."""
        argv = [sys.executable, "-m", "runslot", *arguments]
        with (self.directory / "launch.log").open("w") as log:
            process = subprocess.Popen(
                argv,
                cwd=self.directory,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self.started.append(process)
        return process

    @property
    def experiment(self) -> Path:
        """The one experiment that was launched."""
        (directory,) = (self.directory / "runs").glob("*/[0-9]*")
        return directory

    def status(self) -> dict[str, Any]:
        """Return what `runslot status` says of it."""
        (experiment,) = json.loads(self("status", str(self.experiment), "--json").stdout)[
            "experiments"
        ]
        return dict(experiment)

    def until(self, look: Callable[[], Any], seconds: float = 120.0, what: str = "") -> Any:
        """Wait until a look for which a command is called is true, and return it. It is taken when
        a run has begun or ended, as its files tell, or some seconds have passed: each costs an
        interpreter.
        """
        last_changes: object = None
        last_look = 0.0

        def look_when_due() -> Any:
            nonlocal last_changes, last_look
            changes = self.changes()
            if changes == last_changes and time.monotonic() < last_look + LOOK_PAUSE_S:
                return None
            value = look()
            last_changes, last_look = changes, time.monotonic()
            return value

        return until(look_when_due, seconds, what or str(look))

    def changes(self) -> list[tuple[str, int]]:
        """Return what tells that a run has begun or ended: its records, and when each was made."""
        changes = []
        for directory, _, files in os.walk(self.directory / "runs"):
            for name in {"attempt.json", "outcome.json"}.intersection(files):
                with suppress(FileNotFoundError):
                    path = Path(directory, name)
                    changes.append((str(path), path.stat().st_mtime_ns))
        return sorted(changes)

    def outcomes(self) -> dict[str, Mapping[str, Any]]:
        """Return the outcome of each run, by its variant's `how`."""
        runs = self.status()["runs"]
        return {run["variant"].get("how", run["directory"]): run["outcome"] or run for run in runs}

    def begun(self) -> dict[str, int]:
        """Return how often each run was executed, by its directory, as far as that has come
        home.
        """
        return {
            str(directory.relative_to(self.experiment)): len(lines)
            for directory, lines in self.noted("begun.txt").items()
        }

    def noted(self, name: str) -> dict[Path, list[str]]:
        """Return the lines of all files of this name, by their directories; what vanishes
        meanwhile, as directories do that are made aside, is passed over.
        """
        lines: dict[Path, list[str]] = {}
        for directory, _, files in os.walk(self.directory / "runs"):
            if name in files:
                with suppress(FileNotFoundError):
                    lines[Path(directory)] = Path(directory, name).read_text().splitlines()
        return lines

    def alive(self, variable: str = "") -> list[int]:
        """Return the processes of its runs that are alive on this machine, in whatever namespace;
        of those that began with a `variable` (`NAME=value`) where one is given.
        """
        pids = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                variables = (entry / "environ").read_bytes().split(b"\0") if variable else []
            except OSError:  # ended meanwhile
                continue
            if variable and variable.encode() not in variables:
                continue
            if (
                self.token.encode() in words
                and b"program.py" in words
                and state != "Z"
                and b"runslot" not in words
            ):
                pids.append(int(entry.name))
        return pids


def until(look: Callable[[], Any], seconds: float = 120.0, what: str = "") -> Any:
    """Wait until something is true, and return it. A look that takes long, as one that starts a
    process, is followed by as long a pause: what is waited for has its share of the cores.
    """
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        value = look()
        if value:
            return value
        time.sleep(max(0.1, time.monotonic() - began))
    raise AssertionError(f"{what or look} not within {seconds:g} s")


class LauncherContract:
    """What must hold for every launcher; a subclass says which, and how a machine of it is lost."""

    entry: ClassVar[Mapping[str, Any]] = {}
    """The launcher's table in `runslot.toml`, `kind` included."""
    extra: ClassVar[Sequence[str]] = ()
    """Further options of `runslot run`."""
    many: ClassVar[int] = 200
    """How many runs a large sweep has."""

    @pytest.fixture
    def configured(self, tmp_path: Path) -> Mapping[str, Any]:
        """Return the launcher's table; a subclass whose table is known only at the test overrides
        this.
        """
        del tmp_path
        return self.entry

    @pytest.fixture
    def place(self, tmp_path: Path, configured: Mapping[str, Any]) -> Iterator[Place]:
        """Make the directory that runslot is called in; afterwards nothing of the test may be
        alive.
        """
        project = tmp_path / "project"
        project.mkdir()
        lines = [f"{key} = {_toml(value)}" for key, value in configured.items()]
        (project / "runslot.toml").write_text("\n".join(["[launchers.there]", *lines, ""]))
        (project / "program.py").write_text(PROGRAM)
        place = Place(project, "there", self.extra)
        yield place
        for process in place.started:
            process.kill()
            process.wait()
        for pid in place.alive():
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(pid, signal.SIGKILL)

    def lose_machine(self, place: Place) -> AbstractContextManager[None]:
        """Lose a machine on which a run of `place` is under way, as by a power cut, until the
        context ends; which has one may have to be waited for.
        """
        raise NotImplementedError(place)

    # ---- the contract ----------------------------------------------------------------------------

    def test_functions_run_and_their_results_come_home(self, place: Place) -> None:
        """A grid of a function over seeds succeeds, and every row that it logged is here."""
        place("run", "program.py:train", "--grid", "lr=1,2", "--seeds", "2", *place.options())

        status = place.status()
        assert status["counts"] == {"succeeded": 4}
        for run in status["runs"]:
            rows = (Path(run["directory"]) / "progress.csv").read_text().splitlines()
            assert len(rows) == 4, rows
            assert (Path(run["directory"]) / "variant.json").exists()
        assert set(place.begun().values()) == {1}
        assert not place.alive()

    def test_each_end_is_told_apart(self, place: Place) -> None:
        """Success, an exit code and a signal are three outcomes, each with what the run printed."""
        ends = ["--name", "ends", "--grid", "how=well,failed,killed"]
        place("run", *ends, *place.options(), *place.command(), status=1)

        outcomes = place.outcomes()
        assert outcomes["well"]["kind"] == "succeeded"
        assert (outcomes["failed"]["kind"], outcomes["failed"]["exit_code"]) == ("failed", 3)
        assert "the loss is nan" in outcomes["failed"]["message"]
        assert (outcomes["killed"]["kind"], outcomes["killed"]["signal"]) == (
            "failed",
            signal.SIGKILL,
        )
        assert not place.alive()

    def test_a_run_that_exceeds_its_time_limit_is_ended_and_has_timed_out(
        self, place: Place
    ) -> None:
        """With nothing left of it."""
        late = ["--name", "late", "--grid", "how=late", "--timeout", "4", "--grace", "1"]
        place("run", *late, *place.options(), *place.command(), status=1)

        assert place.outcomes()["late"]["kind"] == "timed_out"
        assert not place.alive()

    def test_a_failed_run_is_tried_again_in_a_clean_directory(self, place: Place) -> None:
        """With a retry, the second attempt's outcome counts, and the first one's files are kept."""
        again = ["--name", "again", "--grid", "how=again", "--retries", "1"]
        place("run", *again, *place.options(), *place.command())

        (run,) = place.status()["runs"]
        assert (run["outcome"]["kind"], run["outcome"]["attempt"]) == ("succeeded", 2)
        assert (Path(run["directory"]) / "attempt_1" / "outcome.json").exists()
        assert (Path(run["directory"]) / "begun.txt").read_text().count(place.token) == 1

    def test_unusual_names_arrive_as_they_are(self, place: Place) -> None:
        """Values that a shell or a copy program would take apart are arguments and directories like
        any other.
        """
        sweep = {
            "name": "unusual names",
            "command": ["python3", "program.py", "x{how}", "{run_dir}", place.token],
        }
        (place.directory / "sweep.json").write_text(
            json.dumps({**sweep, "grid": {"how": list(UNUSUAL)}})
        )

        place("run", "sweep.json", *place.options())

        status = place.status()
        assert status["counts"] == {"succeeded": len(UNUSUAL)}
        for run in status["runs"]:
            console = (Path(run["directory"]) / "console.log").read_text()
            assert console == f"ended x{run['variant']['how']}\n"

    def test_many_runs(self, place: Place) -> None:
        """A sweep of hundreds of short runs is complete, each executed once."""
        seeds = ["--seeds", str(self.many)]
        place(
            "run", "--name", "many", *seeds, *place.options(), *place.command("well"), timeout=900
        )

        assert place.status()["counts"] == {"succeeded": self.many}
        counts = place.begun()
        assert len(counts) == self.many
        assert set(counts.values()) == {1}

    def test_stop_ends_what_runs_and_starts_nothing_further(self, place: Place) -> None:
        """After `runslot stop` no process of the sweep is alive; a resume runs what was stopped."""
        long = ["--grid", "how=sleep 300", "--seeds", "40", "--grace", "2"]
        launch = place.start("run", "--name", "long", *long, *place.options(), *place.command())
        until(place.alive, what="a run is alive")

        place("stop", str(place.experiment))

        launch.wait(120)
        until(lambda: not place.alive(), 30, "all runs are gone")
        status = place.status()
        assert set(status["counts"]) <= {"stopped", "queued"}, status["counts"]
        assert status["counts"]["stopped"] >= 1

    def test_one_run_is_stopped_and_the_others_go_on(self, place: Place) -> None:
        """`runslot stop DIR RUN` ends that run alone."""
        two = ["--name", "two", "--grid", "how=sleep 300,sleep 15", "--grace", "2"]
        launch = place.start("run", *two, *place.options(), *place.command())
        until(lambda: len(place.alive()) >= 2, what="both runs are alive")
        (run,) = [
            status for status in place.status()["runs"] if status["variant"]["how"] == "sleep 300"
        ]

        place("stop", str(place.experiment), run["run"])
        launch.wait(180)

        kinds = {ending: outcome["kind"] for ending, outcome in place.outcomes().items()}
        assert kinds == {"sleep 15": "succeeded", "sleep 300": "stopped"}

    def test_runs_outlive_their_launcher_and_are_adopted(self, place: Place) -> None:
        """SIGKILL of the launcher loses nothing: a resume adopts what runs, and nothing is executed
        twice.
        """
        outlived = ["--name", "outlived", "--grid", "how=sleep 15", "--seeds", "4"]
        launch = place.start("run", *outlived, *place.options(), *place.command())
        until(place.alive, what="a run is alive")
        launch.kill()
        launch.wait()
        # They may have ended, where the machine stood still.
        assert place.status()["counts"].get("running", 0) >= 1 or not place.alive()

        place("resume", str(place.experiment), "--wait")

        assert place.status()["counts"] == {"succeeded": 4}
        assert place.begun() == {f"how=sleep_15/run_{seed}": 1 for seed in range(4)} or set(
            place.begun().values()
        ) == {1}
        again = place("resume", str(place.experiment), "--wait")
        assert "nothing to do" in again.stdout

    def test_a_lost_machine_loses_no_run(self, place: Place) -> None:
        """What ran on a machine that is gone is lost, said so, and done again elsewhere where
        retries allow it.
        """
        if type(self).lose_machine is LauncherContract.lose_machine:
            pytest.skip(f"{type(self).__name__} has no machine that it could lose")
        lost = ["--name", "lost", "--grid", "how=long at first", "--seeds", "4", "--retries", "2"]
        launch = place.start("run", *lost, *place.options(), *place.command())
        until(place.alive, what="a run is alive")

        with self.lose_machine(place):
            launch.wait(420)

        status = place.status()
        assert status["counts"] == {"succeeded": 4}
        assert max(run["outcome"]["attempt"] for run in status["runs"]) >= 2

    def test_bad_input_is_refused_before_anything_starts(self, place: Place) -> None:
        """A function that cannot be imported, a program that does not exist, are refused with one
        message.
        """
        process = place("run", "program.py:nothing", *place.options(), status=None)
        assert process.returncode != 0
        assert "nothing" in process.stderr + process.stdout


def _toml(value: Any) -> str:
    """Return a value as TOML has it; JSON's text and lists are the same, tables are inline."""
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
            + "}"
        )
    return json.dumps(value)
