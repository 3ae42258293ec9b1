"""The keeper of a run in a container, on the side of the machine: its child is the engine's client.

The client's input is a pipe to the keeper inside the container: each byte is a signal for the run,
and its end is this process's. So no signal is lost while the container starts, and nothing runs on
in it when this keeper, or the client, is killed.
"""

from __future__ import annotations

import json
import math
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runslot.errors import InvalidInput, NotInstalled, RunslotError, nearest
from runslot.execute.container import (
    INSTALL,
    Contained,
    User,
    client_environment,
    command_line,
    name_of,
    say_end,
)
from runslot.execute.evidence import tail
from runslot.execute.keeper import Keeper
from runslot.execute.mounts import mounted_entries, mounts_of, package_place
from runslot.execute.placement import place
from runslot.execute.process import ProcessPlan
from runslot.experiment.files import read_json
from runslot.experiment.records import Container, Outcome, RunFile
from runslot.experiment.rundir import RunDir
from runslot.experiment.states import Kind
from runslot.hardware.slots import Slot

_ENGINE_TIME = 5.0
"""Seconds beyond the run's own grace until the client is killed."""
_SAID_BYTES = 4000
"""Of the end of the console, in which an engine says why it started nothing."""
_CLEANUP_TIME = 20.0
"""Seconds that an engine's own processes have to end after the client."""

_START = """\
import sys
if sys.version_info < (3, 10):
    version = (sys.executable,) + sys.version_info[:2]
    sys.exit("runslot needs Python 3.10 or newer, and %s is %d.%d" % version)
sys.path.insert(0, %r)
from runslot.__main__ import main
sys.exit(main())
"""


def contained_job(
    run_dir: RunDir,
    file: RunFile,
    slot: Slot | None,
    attempt: int,
    caller: Mapping[str, str],
    descriptors: tuple[int, ...],
) -> ProcessPlan:
    """Work out the client's command line; `NotInstalled` or `InvalidInput` where there can be
    none.
    """
    container = file.require_container()
    program = program_of(container, caller)
    spec = contained(run_dir, file, container, slot)
    arguments = inner_command(spec, ["exec", spec.run_dir, "--attempt", str(attempt)])
    if slot is not None:
        arguments += ["--slot", json.dumps(slot.to_json())]
    argv = command_line(container, program, spec, arguments)
    environment = client_environment(container, program, spec, caller)
    return ProcessPlan(run_dir, file, place(file, slot), environment, None, argv, descriptors)


def inner_command(spec: Contained, arguments: list[str]) -> list[str]:
    """Return the arguments of Python inside that call runslot there."""
    return [
        "-c",
        _START.replace("%r", repr(package_inside())),
        *arguments,
        "--inside",
        json.dumps(told(spec)),
    ]


def package_inside() -> str:
    """Return where runslot is found inside: what goes into the import path."""
    return package_place()[0]


def told(spec: Contained) -> dict[str, list[str]]:
    """Return what the run inside cannot know: which entries of the import path are there, and are
    not Python's own.
    """
    return {"path": list(spec.path), "python_path": list(spec.python_path)}


def program_of(container: Container, caller: Mapping[str, str]) -> str:
    """Return the engine's client; `NotInstalled` where there is none."""
    if container.engine not in INSTALL:
        engines = ", ".join(INSTALL)
        raise InvalidInput(
            f"there is no engine {container.engine!r}{nearest(container.engine, INSTALL)}; known:"
            f" {engines}"
        )
    names = ("apptainer", "singularity") if container.engine == "apptainer" else (container.engine,)
    for name in names:
        path = shutil.which(name, path=caller.get("PATH"))
        if path is not None:
            return path
    raise NotInstalled(
        f"image {container.image} is to run with {container.engine}, and there is no program"
        f" {names[0]!r} on PATH of {os.uname().nodename}: {INSTALL[container.engine]}"
    )


def contained(run_dir: RunDir, file: RunFile, container: Container, slot: Slot | None) -> Contained:
    """Return what the run's container is to be on this machine."""
    user = _user()
    home = os.path.normpath(run_dir.path / file.home)
    mounts = tuple(mounts_of(home, str(run_dir.path), file, container))
    settings = {} if "HOME" in container.environment or user.uid == 0 else {"HOME": "/tmp"}  # noqa: S108  inside
    settings |= {
        name: user.name
        for name in ("USER", "LOGNAME")
        if user.name and name not in container.environment
    }
    if container.engine == "docker" and slot is not None and not slot.gpus:
        settings["NVIDIA_VISIBLE_DEVICES"] = (
            "void"  # where NVIDIA's runtime is the default, images ask for all
        )
    return Contained(
        name=name_of(str(run_dir.path)),
        run_dir=str(run_dir.path),
        cwd=file.cwd,
        mounts=mounts,
        path=mounted_entries(file.path, mounts, container),
        python_path=mounted_entries((file.python_path or "").split(os.pathsep), mounts, container),
        user=user,
        slot=slot,
        all_gpus=not file.gpu_visibility,
        memory=file.policy.memory,
        shared_memory=os.sysconf("SC_PAGE_SIZE")
        * os.sysconf("SC_PHYS_PAGES")
        // 2,  # as the kernel gives /dev/shm
        settings=settings,
        pins=_may_pin(container, user),
    )


def _user() -> User:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    return User(uid, os.getgid(), tuple(os.getgroups()), name)


def _may_pin(container: Container, user: User) -> bool:
    """Tell whether the engine can limit CPUs and memory: a user's own podman needs to have been
    given both.
    """
    if container.engine != "podman" or user.uid == 0:
        return True
    controllers = Path(
        f"/sys/fs/cgroup/user.slice/user-{user.uid}.slice/user@{user.uid}.service/cgroup.controllers"
    )
    try:
        return {"cpuset", "memory"} <= set(controllers.read_text().split())
    except OSError:
        return False


@dataclass
class ContainedKeeper(Keeper):
    """A keeper whose run is in a container."""

    line: int | None = None
    """The writing end of the client's input."""
    killing: bool = False
    inner: Outcome | None = None
    """Once the run has ended: how, as the keeper inside says, where it could say it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.limit, self.policy = (
            self.policy.memory,
            replace(self.policy, memory=None),
        )  # the keeper inside counts
        self.container = self.job.file.require_container()

    def _start(self) -> None:
        if self.attempt > 1:  # what an earlier attempt left, whose keeper and launcher were killed
            self._end_container()
        read, self.line = os.pipe()
        self.job = replace(self.job, stdin=read)
        super()._start()
        self.next_look = math.inf  # the keeper inside looks: the client here uses nothing
        os.close(read)

    def release(self) -> None:
        """Give back the claim, and the line to the keeper inside, which has ended."""
        super().release()
        if self.line is not None:
            os.close(self.line)
            self.line = None

    def _signal_run(self, number: int) -> None:
        if self.line is None or number == signal.SIGKILL:
            super()._signal_run(number)
            return
        try:
            os.write(self.line, bytes([number]))
        except BrokenPipeError:  # the client has ended
            pass

    def _ask(self, kind: Kind, reason: str) -> None:
        super()._ask(kind, reason)
        self._allow(
            self.policy.grace + _ENGINE_TIME
        )  # the keeper inside kills when the grace is over

    def _kill(self) -> None:
        if self.killing:
            super()._kill()
            return
        self.killing = True
        self._signal_run(signal.SIGTERM)  # the keeper inside, asked twice, kills
        self._allow(_ENGINE_TIME)

    def _allow(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def _settle(self) -> None:
        """Read how the run ended inside."""
        self.inner = self._inner_outcome()

    def _end_leftovers(self) -> None:
        """Make sure that the container has ended; the engine's own processes, which tidy up, end by
        themselves.
        """
        if self.status != 0 or self.inner is None:
            problem = self._end_container()
            if problem:
                self.notes.append(problem)
        self._wait_for_engine()
        notes_before = list(self.notes)
        super()._end_leftovers()
        self.notes[:] = notes_before

    def _end_container(self) -> str:
        return end_container(
            self.container, self.job.environment, name_of(str(self.job.run_dir.path))
        )

    def _wait_for_engine(self) -> None:
        until = time.monotonic() + _CLEANUP_TIME
        while self._reap() and time.monotonic() < until:
            time.sleep(0.01)

    def _inner_outcome(self) -> Outcome | None:
        try:
            value = None if self.run_dir is None else read_json(self.run_dir.contained_file)
            outcome = None if value is None else Outcome.from_json(value)
        # the run can write there, too: then the client's exit status tells
        except (
            RunslotError,
            OSError,
            TypeError,
        ):
            return None
        return outcome if outcome is not None and outcome.attempt == self.attempt else None

    def _outcome(self, report: str) -> Outcome:
        outer = super()._outcome(report)
        inner = self.inner
        if inner is None:
            message = outer.message if self.reason else self._say_end()
            return replace(outer, peak_memory=None, message=message)
        notes = tuple(dict.fromkeys((*inner.notes, *outer.notes)))
        whole = replace(
            inner,
            started=outer.started,
            ended=outer.ended,
            host=outer.host,
            slot=outer.slot,
            notes=notes,
        )
        if self.end_kind is not None:
            return replace(whole, kind=self.end_kind, message=self.reason)
        return whole

    def _say_end(self) -> str:
        code = os.waitstatus_to_exitcode(self.status or 0)
        output = "" if self.run_dir is None else tail(self.run_dir.console, _SAID_BYTES)
        return say_end(self.container, code, output, self.limit)

    def _write(self, outcome: Outcome) -> OSError | None:
        problem = super()._write(outcome)
        if problem is None and self.run_dir is not None:
            self.run_dir.contained_file.unlink(missing_ok=True)
        return problem


def end_container(container: Container, environment: Mapping[str, str], name: str) -> str:
    """Kill and remove the container of this name; return what could not be made sure of, if
    anything.

    Apptainer's containers are processes of the client, and end with it.
    """
    if container.engine == "apptainer":
        return ""
    try:
        program = program_of(container, environment)
    except NotInstalled as error:
        return str(error)
    until = time.monotonic() + _CLEANUP_TIME
    while True:
        _client(environment, program, "kill", name)
        _client(environment, program, "rm", "--force", name)
        code, state = _client(
            environment, program, "container", "inspect", "--format", "{{.State.Status}}", name
        )
        if code != 0 and "no such container" in state.lower():
            return ""
        if time.monotonic() > until:
            return f"container {name} may still be there: {state.strip()[-200:]}"
        time.sleep(0.1)


def end_run_of_killed_keeper(run_dir: RunDir, file: RunFile, caller: Mapping[str, str]) -> str:
    """End what a run's keeper that was killed has left of its container, before anyone takes the
    run for lost.
    """
    return end_container(file.require_container(), caller, name_of(str(run_dir.path)))


def _client(environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    # A keeper has one thread, and blocks the signals that it waits for; a launcher may have
    # threads, and blocks none.
    blocks = bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    try:
        process = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env=environment,
            timeout=_CLEANUP_TIME,
            preexec_fn=_unblock_signals if blocks else None,
        )
    except subprocess.TimeoutExpired:
        return -1, f"{arguments[0]} did not answer within {_CLEANUP_TIME:g} s"
    return process.returncode, process.stdout.decode(errors="replace")


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
