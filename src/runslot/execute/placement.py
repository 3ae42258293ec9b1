"""What a run gets of the machine, and the environment that tells it so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runslot.execute.activation import activated
from runslot.execute.ports import PORT_VARIABLE, free_port
from runslot.experiment.current import AFFINITY_VARIABLE, ATTEMPT_VARIABLE, RUN_VARIABLE
from runslot.experiment.records import Command, RunFile
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot
from runslot.hardware.visibility import slot_affinity, slot_environment

_PORTS_OF_LAUNCHERS = ("MASTER_PORT", "PET_MASTER_PORT")
"""Where torch.distributed and torchrun read the port at which the processes of one run meet."""


@dataclass(frozen=True)
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
