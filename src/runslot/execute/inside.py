"""The keeper of a run inside its container: starts the run, passes signals on, and says how it
ended.

The keeper outside speaks through the standard input: each byte is a signal, the end of it is the
keeper's. Then all that runs here ends at once: nobody could account for it. So it does when the
claim on `run.json`, which the keeper outside has, is given up: an engine that was killed itself may
keep the input open.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runslot.errors import RunslotError
from runslot.execute.container import PACKAGE
from runslot.execute.functions import find_function
from runslot.execute.import_failure import describe_failure
from runslot.execute.keeper import Keeper
from runslot.execute.placement import place, run_environment
from runslot.execute.process import make_job
from runslot.execute.spawn import start_code
from runslot.experiment.files import write_json
from runslot.experiment.records import Command, Function, Outcome, RunFile
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot

Told = Mapping[str, Sequence[str]]
"""What the keeper outside says of its machine (`outside.told`)."""

_PACKAGE = str(Path(__file__).parent.parent.parent)
"""Where runslot was found in here."""


def keep_inside(run_dir: RunDir, slot: Slot | None, attempt: int, paths: Told) -> Outcome:
    """Execute the run, which the keeper outside has claimed, and write how it ended to
    `contained.json`.
    """
    file = as_inside(run_dir.read_run(), paths)
    if slot is not None:
        slot = slot_inside(slot, file)
    placement = place(file, slot)
    environment = run_environment(
        run_dir, file, attempt, placement, environment_inside(file, os.environ)
    )
    job = make_job(run_dir, file, placement, environment, None, ())
    if isinstance(file.work, Function):
        job = replace(job, argv=[sys.executable, "-c", _cold_start(paths), str(run_dir.path)])
    return InnerKeeper(job, slot, attempt, lock=-1).run()


def as_inside(file: RunFile, paths: Told) -> RunFile:
    """Return what to execute as it is in here: this interpreter, its packages, and those paths that
    are mounted.
    """
    packages = [entry for entry in sys.path if entry and not entry.startswith((PACKAGE, _PACKAGE))]
    python_path = list(paths["python_path"])
    work = file.work
    if isinstance(work, Command):
        python_path.append(_PACKAGE)  # so that a script's `import runslot` finds it
        work = _command_inside(work, file.python)
    return replace(
        file,
        work=work,
        python=sys.executable,
        path=tuple(dict.fromkeys([*paths["path"], *packages])),
        python_path=os.pathsep.join(dict.fromkeys(python_path)) or None,
        policy=replace(file.policy, timeout=None),  # the keeper outside has the clock
    )


def _command_inside(command: Command, launching: str) -> Command:
    """Return a command in which the launching interpreter, spelled out or as a bare `python`, is
    this one.
    """
    argv = list(command.with_python(launching, sys.executable).argv)
    if argv[0] in {"python", "python3"} and shutil.which(argv[0]) is None:
        argv[0] = sys.executable
    return replace(command, argv=tuple(argv))


def environment_inside(file: RunFile, image: Mapping[str, str]) -> dict[str, str]:
    """Return the image's variables; the directory of an interpreter that was chosen by its path
    comes first on PATH.
    """
    environment = dict(image)
    if os.sep in file.require_container().python:
        search_path = os.pathsep.join(
            [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
        )
        environment["PATH"] = search_path
    return environment


def slot_inside(slot: Slot, file: RunFile) -> Slot:
    """Return the slot as it is numbered in here: docker and podman show a container only its own
    NVIDIA GPUs.
    """
    all_there = file.require_container().engine == "apptainer" or not file.gpu_visibility
    gpus = []
    for number, gpu in enumerate(slot.gpus):
        named = replace(gpu, visible=gpu.uuid) if gpu.vendor == "nvidia" else gpu
        gpus.append(named if all_there or gpu.vendor != "nvidia" else replace(named, index=number))
    return replace(slot, gpus=tuple(gpus))


def _cold_start(paths: Told) -> str:
    return start_code("execute.inside", "main", dict(paths), package=_PACKAGE)


def main(paths: Told) -> None:
    """Run the function of the run directory in `sys.argv[1]`."""
    from runslot.execute.process import call_cold

    run_dir = RunDir(sys.argv[1])
    file = run_dir.read_run()
    call_cold(run_dir, _with_archive(as_inside(file, paths), run_dir.path / file.home), _PACKAGE)


def _with_archive(file: RunFile, home: Path) -> RunFile:
    """Return the file with the experiment's archive on its import path, for cloudpickle where the
    image has none.
    """
    archives = sorted(map(str, home.glob("runslot-*.pyz")))
    return replace(file, path=(*file.path, *archives[:1]))


def probe(paths: Told, home: str) -> None:
    """Import the function of the run file on the standard input; its end is what this process says
    and exits with.
    """
    from runslot.execute.process import enter_import_path

    file = _with_archive(as_inside(RunFile.from_json(json.load(sys.stdin)), paths), Path(home))
    function = file.work
    if not isinstance(function, Function) or file.policy.start == "cold":
        return
    enter_import_path(file.path, _PACKAGE)
    try:
        os.chdir(file.cwd)
        find_function(function, Path(home))
    except RunslotError as error:
        sys.exit(f"runslot-problem {error}")
    except BaseException as error:  # noqa: BLE001  the user's module may raise anything; the launcher says it
        sys.exit(f"runslot-problem {function} cannot be imported:\n" + describe_failure(error))


@dataclass
class InnerKeeper(Keeper):
    """A keeper that another one, outside, has started."""

    def release(self) -> None:
        """Leave the claim where it is: outside."""

    def _write_attempt(self) -> None:
        """Leave that to the keeper outside."""

    def _start(self) -> None:
        super()._start()
        for watch in (self._listen, self._wait_for_claim):
            threading.Thread(target=watch, daemon=True).start()

    def _listen(self) -> None:
        while True:
            byte = os.read(0, 1)
            if not byte:
                os._exit(
                    1
                )  # as the init process's child, or as the run's guard: the kernel ends the rest
            os.kill(os.getpid(), byte[0])

    def _wait_for_claim(self) -> None:
        try:
            descriptor = os.open(self.job.run_dir.run_file, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os._exit(1)
        except OSError:  # a disk without locks
            return
        os.close(
            descriptor
        )  # locks of the machine are not seen in here, as with file sharing into a virtual machine

    def _outcome(self, report: str) -> Outcome:
        outcome = super()._outcome(report)
        killed = self._killed_for_memory()
        if killed <= 0 or self.kills is None or not self.kills.of_group:
            return outcome
        limit = (
            ""
            if self.policy.memory is None
            else f", the limit is {self.policy.memory / 1e6:.0f} MB"
        )
        message = f"out of memory: the kernel killed {killed} of the run's processes{limit}"
        if outcome.kind == "failed":
            return replace(outcome, message=message)
        return replace(outcome, notes=(*outcome.notes, message))

    def _write(self, outcome: Outcome) -> OSError | None:
        try:
            write_json(self.job.run_dir.contained_file, outcome.to_json())
        except OSError as error:
            return error
        return None
