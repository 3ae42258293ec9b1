"""The sbatch script of one array: what the scheduler is asked for, and the one command that each
task executes.

Pure. Every option stands in the script, so that `sbatch SCRIPT`, typed by hand, submits the same as
runslot does.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from runslot.engines.batch.config import megabytes_of
from runslot.engines.batch.script import Frame, ScriptWriter, counted_cpus, task_lines
from runslot.engines.batch.task import read_time
from runslot.errors import InvalidInput
from runslot.hardware.resources import Resources
from runslot.record import record

OURS = {
    "array": "a",
    "chdir": "D",
    "error": "e",
    "job-name": "J",
    "open-mode": "",
    "output": "o",
    "parsable": "",
    "requeue": "",
    "no-requeue": "",
    "signal": "",
    "test-only": "",
    "wait": "W",
    "wrap": "",
}
"""Options of sbatch that the script sets itself, with their letters."""

_EXCLUDED = re.compile(r"(?:--exclude=|-x\s*)(.+)")
_GPU = re.compile(r"gpu(:[^:]+)?")


@record
class Demand:
    """What one task asks of the scheduler."""

    cpus: int
    """CPUs as Slurm counts them."""
    gres: str | None = None
    memory: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    constraint: str | None = None
    options: tuple[str, ...] = ()


@record
class Array:
    """One array: its tasks, its name, and where it lies."""

    job_name: str
    tasks: int
    directory: str
    """Of the submission, relative to the experiment's."""
    experiment: str
    """The experiment's directory, as the nodes see it."""
    at_a_time: int | None = None
    ahead: int = 120
    """Seconds before the time limit at which the tasks are told."""


def gres_of(gres: str | None, resources: Resources, runs: int) -> str | None:
    """Return the generic resources of a task of `runs` runs.

    A given `gpu` or `gpu:TYPE` gets the number that the runs ask for; anything else is taken as it
    stands.
    """
    if gres is not None and not _GPU.fullmatch(gres):
        return gres
    if resources.gpus is None:
        return None if gres is None else f"{gres}:{runs}"
    gpus = math.ceil(resources.gpus * runs / resources.sharers)
    return f"{gres or 'gpu'}:{gpus}" if gpus else None


def memory_of(memory: str | None, resources: Resources, runs: int) -> str | None:
    """Return the memory of a task of `runs` runs; None: what the partition gives."""
    megabytes = megabytes_of(resources, runs)
    return memory if memory is not None or megabytes is None else f"{megabytes}M"


def check_options(options: Sequence[str]) -> None:
    """Refuse further options of sbatch that are none, or that would take runslot's own away."""
    for option in options:
        name = re.split(r"[=\s]", option, maxsplit=1)[0]
        if not name.startswith("-") or "\n" in option:
            raise InvalidInput(
                f"options: {option!r} is no option of sbatch; write each as '--name=value'"
            )
        for own_option, letter in OURS.items():
            if name == f"--{own_option}" or (letter and name[:2] == f"-{letter}"):
                raise InvalidInput(
                    f"options: {option!r} cannot be given, since runslot sets {name} itself"
                )


_UNFIT_NODES_LIMIT = 3
"""Nodes that an array keeps off by itself: where more lack the same, it is not the nodes."""


def script_of(array: Array, demand: Demand, frame: Frame) -> str:
    """Return the script's text."""
    command = [*frame.command, "--submission", array.directory.rpartition("/")[2]]
    command += ["--ahead", str(array.ahead)] + (["--moved"] if frame.moved else [])
    lines = [
        "#!/bin/bash -l" if frame.modules else "#!/bin/bash",
        *(f"#SBATCH {option}" for option in _options(array, demand)),
        "",
        *task_lines(
            frame,
            array.directory,
            array.job_name,
            command,
            '"$SLURM_ARRAY_TASK_ID"',
            _elsewhere(demand.options),
        ),
    ]
    return "\n".join(lines)


def _elsewhere(options: Sequence[str]) -> list[str]:
    """Return the shell that submits a task anew, under the same name and index, and has the rest of
    its array keep off this node.

    The new one first: Slurm refuses it where no node is left, and then nothing is changed.
    """
    nodes = [match[1] for option in options if (match := _EXCLUDED.fullmatch(option))]
    given_count = f"$(scontrol show hostnames {shlex.quote(','.join(nodes))} | wc -l)"
    return [
        'rs_avoided="$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%x)"',
        'rs_avoided="${rs_avoided:+$rs_avoided,}$rs_node"',
        f"rs_most=$(({_UNFIT_NODES_LIMIT} + {given_count if nodes else 0}))",
        'if [ "$(scontrol show hostnames "$rs_avoided" | wc -l)" -le "$rs_most" ]; then',
        '  export RUNSLOT_UNFIT_NODE="$rs_node" RUNSLOT_UNFIT_CAUSE="$rs_cause"',
        '  if sbatch --array="$rs_task" --exclude="$rs_avoided" --comment="$rs_node: $rs_cause" \\',
        '    "$RUNSLOT_SCRIPT"; then',
        '    scontrol update jobid="$SLURM_ARRAY_JOB_ID" excnodelist="$rs_avoided" >/dev/null 2>&1',
        '    echo "this node ($rs_node) is kept off, another one does the task: $rs_cause"',
        "    exit 0",
        "  fi",
        "fi",
    ]


def _options(array: Array, demand: Demand) -> list[str]:
    last = array.tasks - 1
    throttle = f"%{array.at_a_time}" if array.at_a_time else ""
    options = [
        f"--job-name={array.job_name}",
        f"--array=0-{last}{throttle}",
        "--output=/dev/null",  # its log the script opens: without one Slurm would not start it
        "--requeue",
        f"--signal=B:USR1@{array.ahead}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={demand.cpus}",
    ]
    # else it has to be the directory in which sbatch is typed
    if not re.search(r"[\x00-\x1f]", array.experiment):
        options.insert(2, f"--chdir={quoted(array.experiment)}")
    pairs = (
        ("gres", demand.gres),
        ("mem", demand.memory),
        ("partition", demand.partition),
        ("account", demand.account),
        ("qos", demand.qos),
        ("time", demand.time),
        ("constraint", demand.constraint),
    )
    options += [f"--{name}={quoted(value)}" for name, value in pairs if value is not None]
    return options + [_as_given(option) for option in demand.options]


def _as_given(option: str) -> str:
    name, equals, value = option.partition("=")
    return f"{name}={quoted(value)}" if equals else option


def quoted(value: str) -> str:
    """Return a value as sbatch reads it from a script: in double quotes where it has something to
    protect.
    """
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./&|*\[\]-]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True)
class SbatchWriter(ScriptWriter):
    """Writes scripts for sbatch."""

    demand: Demand

    submits = "sbatch"
    title = "Slurm"

    def demands(self) -> list[str]:
        """Return what a task asks for, in a few words each, the partition first."""
        demand = self.demand
        place = f"partition {demand.partition}" if demand.partition else "the default partition"
        return [
            place,
            counted_cpus(demand.cpus),
            *(part for part in (demand.gres, demand.memory, demand.time) if part),
        ]

    def text(self, job_name: str, tasks: int, directory: str) -> str:
        """Return the script of an array."""
        frame = self.frame
        array = Array(job_name, tasks, directory, frame.directory, frame.at_a_time, frame.ahead)
        return script_of(array, self.demand, frame)


def seconds_of(time: str | None) -> float | None:
    """Return the seconds of a time limit as sbatch takes it: `90` (minutes), `1:30:00`, `2-12`,
    `2-12:30`.
    """
    if time is None:
        return None
    days, dash, rest = time.partition("-")
    if not dash:
        return float(time) * 60 if time.isdigit() else read_time(time)
    parts = [int(part) for part in rest.split(":")]
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return float(((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds)
