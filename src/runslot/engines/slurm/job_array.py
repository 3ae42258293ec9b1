"""From what a task asks for to the script of an array."""

from __future__ import annotations

from dataclasses import dataclass

from runslot.engines.batch.script import ScriptWriter, counted_cpus
from runslot.engines.slurm.queue import read_time
from runslot.engines.slurm.script import Array, Asked, script_of


@dataclass(frozen=True)
class SbatchWriter(ScriptWriter):
    """Writes scripts for sbatch."""

    asked: Asked

    submits = "sbatch"
    title = "Slurm"

    def demands(self) -> list[str]:
        """Return what a task asks for, in a few words each, the partition first."""
        asked = self.asked
        place = f"partition {asked.partition}" if asked.partition else "the default partition"
        return [
            place,
            counted_cpus(asked.cpus),
            *(part for part in (asked.gres, asked.memory, asked.time) if part),
        ]

    def text(self, job_name: str, tasks: int, directory: str) -> str:
        """Return the script of an array."""
        frame = self.frame
        array = Array(job_name, tasks, directory, frame.directory, frame.at_a_time, frame.ahead)
        return script_of(
            array, self.asked, frame.python, frame.archive, frame.modules, frame.setup, frame.moved
        )


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
