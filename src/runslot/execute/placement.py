"""What a run gets of the machine, and the environment that tells it so: its slot, a port for each
slot and those after it, the Python environment that is active in it, the size of thread pools.

Slots of one machine share no core, so that a port made of a slot's first CPU is nobody else's;
where some other program listens there, the next block is taken. A port is only looked at, not held:
the run opens it. `engines.local.template` activates an environment for the process that imports the
function, too; the record of one is the `interpreter` of `experiment.json` and `run.json`. A new
environment changes nothing after an import: a forked process that was given more cores asks each
numerical library itself (`resize_pools`), by the entry points that threadpoolctl knows
(github.com/joblib/threadpoolctl).
"""

from __future__ import annotations

import _socket  # what the module socket adds costs every keeper a millisecond
import errno
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.experiment.current import AFFINITY_VARIABLE, ATTEMPT_VARIABLE, RUN_VARIABLE
from runslot.experiment.records import Command, PythonEnvironment, RunFile
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot
from runslot.hardware.visibility import slot_affinity, slot_environment
from runslot.record import record

if TYPE_CHECKING:
    from ctypes import CDLL

_PORTS_OF_LAUNCHERS = ("MASTER_PORT", "PET_MASTER_PORT")
"""Where torch.distributed and torchrun read the port at which the processes of one run meet."""


@record
class Placement:
    """A slot as one run of it sees it."""

    slot: Slot | None
    affinity: Any
    """rlpyt's fields: a mapping, or a list of them for several GPUs; None where the run is not
    placed.
    """
    code: str | None
    """The slot's affinity code, where the machine is divided by one."""

    @property
    def pus(self) -> tuple[int, ...]:
        """The logical CPUs that the run may use; empty: all that its parent may."""
        return () if self.slot is None else self.slot.pus

    @property
    def threads(self) -> int | None:
        """How many threads a pool in the run should have; None: leave them alone."""
        return None if self.slot is None or self.code is not None else self.slot.size


def place(file: RunFile, slot: Slot | None) -> Placement:
    """Work out what `slot` means for the run."""
    if slot is None:
        return Placement(None, None, None)
    if file.affinity_code is None:
        return Placement(slot, slot_affinity(slot), None)
    from runslot.hardware.affinity import affinity_of_code, prepend_run_slot  # rlpyt's codes alone

    code = prepend_run_slot(slot.index, file.affinity_code)
    return Placement(slot, affinity_of_code(slot, file.affinity_code), code)


def run_environment(
    run_dir: RunDir, file: RunFile, attempt: int, placement: Placement, caller: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of the run: the caller's, and on top of it what the slot and the run
    say.
    """
    environment = activated(caller, file.interpreter)
    if file.python_path is not None:
        environment["PYTHONPATH"] = file.python_path
    environment.setdefault(
        "PYTHONUNBUFFERED", "1"
    )  # so that `runslot logs -f` shows a line when it is printed
    if placement.slot is not None and placement.code is None:
        environment |= slot_environment(
            placement.slot, placement.affinity, gpu_visibility=file.gpu_visibility
        )
    if placement.slot is not None and file.affinity_code is not None:
        from runslot.hardware.affinity import code_environment

        environment |= code_environment(placement.slot, file.affinity_code)
    environment |= file.env  # after the slot's: how many threads a run starts is the user's to say
    if placement.affinity is not None:
        environment[AFFINITY_VARIABLE] = json.dumps(placement.affinity)
    if (
        file.set_egl_device
        and isinstance(placement.affinity, Mapping)
        and "cuda_idx" in placement.affinity
    ):
        environment["EGL_DEVICE_ID"] = str(placement.affinity["cuda_idx"])
    if placement.slot is not None and file.affinity_code is None:
        port = str(free_port(placement.slot.pus))
        environment |= {PORT_VARIABLE: port}
        for name in _PORTS_OF_LAUNCHERS:
            environment.setdefault(name, port)
    if file.affinity_code is None:  # scripts of rlpyt get what they got from rlpyt
        for name, value in _names_for_loggers(run_dir, file):
            environment.setdefault(name, value)
    environment[RUN_VARIABLE] = str(run_dir.path)
    environment[ATTEMPT_VARIABLE] = str(attempt)
    return environment


def _names_for_loggers(run_dir: RunDir, file: RunFile) -> tuple[tuple[str, str], ...]:
    """Return how W&B and MLflow, where a script uses them, name the run: as here, with W&B's files
    beside its own.
    """
    return (
        ("WANDB_RUN_GROUP", file.experiment),
        ("WANDB_NAME", file.run.directory or run_dir.path.name),
        ("WANDB_DIR", str(run_dir.path)),
        ("MLFLOW_EXPERIMENT_NAME", file.experiment),
    )


def arguments(command: Command, placement: Placement) -> list[str]:
    """Return the run's command line."""
    argv = list(command.argv)
    if command.slot_code_at is not None:
        argv[command.slot_code_at] = placement.code or ""
    return argv


def activated(
    environment: Mapping[str, str], interpreter: PythonEnvironment | None
) -> dict[str, str]:
    """Return the variables with this environment active in place of the one that was; None: as they
    are.
    """
    result = dict(environment)
    if interpreter is None:
        return result
    variables = interpreter.variables
    names = ["VIRTUAL_ENV", *(["CONDA_PREFIX"] if "CONDA_PREFIX" in variables else [])]
    stale = {os.path.join(result[name], "bin") for name in names if name in result}  # noqa: PTH118
    for name in (*names, "VIRTUAL_ENV_PROMPT", "PYTHONHOME"):
        result.pop(name, None)
    first = [interpreter.programs] if interpreter.programs else []
    directories = result.get("PATH", os.defpath).split(os.pathsep)
    rest = [
        directory for directory in directories if directory not in stale and directory not in first
    ]
    result["PATH"] = os.pathsep.join([*first, *rest])
    return {**result, **variables}


PORT_VARIABLE = "RUNSLOT_PORT"
PORTS_PER_SLOT = 8
"""The port and seven neighbours."""
FIRST_PORT, BLOCKS = 20_000, 1_500
"""Below the range from which the kernel gives ports to connections (32768 on Linux)."""
_TRIES = 20
_STRIDE = 97
"""From one block to the next one that is tried; prime to `BLOCKS`."""


def free_port(pus: Sequence[int]) -> int:
    """Return the first port of a slot that has these logical CPUs; nobody listened there when it
    was looked at.
    """
    block = (min(pus) if pus else 0) % BLOCKS
    for number in range(_TRIES):
        first = FIRST_PORT + (block + number * _STRIDE) % BLOCKS * PORTS_PER_SLOT
        if _is_free(first):
            return first
    return FIRST_PORT + block * PORTS_PER_SLOT


def _is_free(port: int) -> bool:
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        # As servers do: a connection of the run before, which lingers in TIME_WAIT, is in nobody's
        # way.
        probe.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        probe.bind(("", port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    finally:
        probe.close()
    return True


# ---- thread pools of libraries that are loaded already -------------------------------------------


_SETTERS = {
    "openblas": (
        "openblas_set_num_threads",
        "openblas_set_num_threads64_",
        "scipy_openblas_set_num_threads",
        "scipy_openblas_set_num_threads64_",
    ),
    "libmkl_rt": ("MKL_Set_Num_Threads",),
    "libblis": ("bli_thread_set_num_threads",),
    "libgomp": ("omp_set_num_threads",),
    "libiomp": ("omp_set_num_threads",),
    "libomp": ("omp_set_num_threads",),
}


def resize_pools(threads: int) -> None:
    """Give every loaded BLAS and OpenMP runtime, and torch, `threads` threads."""
    for setter in find_pools():
        setter(threads)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(threads)


@functools.cache
def find_pools() -> tuple[Callable[[int], object], ...]:
    """Return what sets the number of threads of each runtime that is loaded when this is first
    called.

    A template asks before it forks: to look through the memory map of a process with torch takes
    milliseconds. What is loaded later reads the environment.
    """
    import ctypes  # here and below: no keeper of a command needs it

    pools = []
    for library, names in _loaded():
        for name in names:
            setter = getattr(library, name, None)
            if setter is not None:
                setter.argtypes = (ctypes.c_int,)
                pools.append(setter)
    return tuple(pools)


def _loaded() -> Iterator[tuple[CDLL, tuple[str, ...]]]:
    try:
        maps = Path("/proc/self/maps").read_text(errors="surrogateescape")
    except OSError:
        return
    paths = {
        line.split(maxsplit=5)[5] for line in maps.splitlines() if line.count("/") and ".so" in line
    }
    for path in paths:
        for mark, names in _SETTERS.items():
            if mark in Path(path).name:
                import ctypes

                yield ctypes.CDLL(path), names
