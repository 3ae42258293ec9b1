"""What a task asks of its batch system: how much time is left, what it was given, to be started
again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from runslot.engines.slurm.queue import read_time


class BatchJob(ABC):
    """The job that this process belongs to."""

    number_variables: ClassVar[tuple[str, ...]]
    """Of its environment: those that may have its id."""
    cpu_variables: ClassVar[tuple[str, ...]]
    """Those that may say how many CPUs of this node it has."""
    gpu_variables: ClassVar[tuple[str, ...]]
    """Those of which one is there where it was given GPUs."""

    def __init__(self, environment: Mapping[str, str], limit: float | None = None) -> None:
        self.environment = environment
        self.limit = limit
        """Seconds that it may take, where its script says so."""
        self.started = time.monotonic()

    def tell_in_time(self, ahead: int) -> None:
        """Send this process SIGUSR1 `ahead` seconds before the limit, where the system does not."""
        if self.limit is not None:
            timer = threading.Timer(
                max(0.0, self.limit - ahead), os.kill, (os.getpid(), signal.SIGUSR1)
            )
            timer.daemon = True
            timer.start()

    @property
    def id(self) -> str:
        """Its id; empty where there is none."""
        return next(
            (self.environment[name] for name in self.number_variables if name in self.environment),
            "",
        )

    @property
    def cpus(self) -> int | None:
        """How many CPUs of this node it has; None where it does not say."""
        values = (self.environment.get(name, "") for name in self.cpu_variables)
        return next((int(value) for value in values if value.isdigit()), None)

    @property
    def has_gpus(self) -> bool:
        """Whether it was given GPUs, or all of the node's are its own to choose from."""
        return any(name in self.environment for name in self.gpu_variables)

    def named_gpus(self) -> Mapping[str, str]:
        """Return the variables that name the GPUs it was given, where the system does so in words
        of its own.
        """
        return {}

    @abstractmethod
    def time_left(self) -> float | None:
        """Return the seconds that it has left; None where that is not known."""

    @abstractmethod
    def requeue_command(self) -> list[str]:
        """Return the command that starts this task again, and ends this process."""


class SlurmJob(BatchJob):
    """A task of Slurm."""

    number_variables = ("SLURM_JOB_ID",)
    cpu_variables = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
    gpu_variables = (
        "CUDA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "SLURM_JOB_GPUS",
        "SLURM_GPUS_ON_NODE",
    )

    def time_left(self) -> float | None:
        """Return the seconds that the job has left, as Slurm says; None where it does not."""
        lines = _printed(["squeue", "--noheader", f"--jobs={self.id}", "--format=%L"]).split()
        return read_time(lines[0]) if lines else None

    def requeue_command(self) -> list[str]:
        """Return the command that has Slurm start this task again."""
        return ["scontrol", "requeue", self.id]


def _printed(argv: Sequence[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


class PBSJob(BatchJob):
    """A task of PBS, which tells nobody how much time is left: its script says what the limit
    is.
    """

    number_variables = ("PBS_JOBID",)
    cpu_variables = ("NCPUS", "PBS_NUM_PPN")
    gpu_variables = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "PBS_GPUFILE")

    def time_left(self) -> float | None:
        """Return the seconds that the job has left; None where its script names no limit."""
        return None if self.limit is None else self.limit - (time.monotonic() - self.started)

    def named_gpus(self) -> Mapping[str, str]:
        """Return the GPUs of Torque's file, a line each: `node1-gpu2`. OpenPBS confines a job to
        its own.
        """
        file = self.environment.get("PBS_GPUFILE")
        if file is None or "CUDA_VISIBLE_DEVICES" in self.environment:
            return {}
        try:
            numbers = re.findall(r"-gpu(\d+)\s*$", Path(file).read_text(), re.MULTILINE)
        except OSError:  # the job's own GPUs are all that are seen, or none is
            return {}
        return {"CUDA_VISIBLE_DEVICES": ",".join(numbers)}

    def requeue_command(self) -> list[str]:
        """Return the command that has PBS start this task again, where it lets users do so."""
        return ["qrerun", self.id]


SYSTEMS: Mapping[str, type[BatchJob]] = {"slurm": SlurmJob, "pbs": PBSJob}
"""By the word of `--system`, which is the directory of its submissions."""
