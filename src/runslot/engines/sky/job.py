"""What a rented machine is to do: one file that travels with the experiment, read by `remote.sky`.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runslot.transport.bucket.inventory import MachineShare

TASKS = "tasks.json"
EXPERIMENT = "experiment"
"""Names of files in what travels: the list for `work --batch`, the experiment's archive."""


def job_file(task: int) -> str:
    """Return the name of a machine's job in what travels."""
    return f"job-{task}.json"


@dataclass(frozen=True)
class Job:
    """The work of one machine."""

    name: str
    """The machine's."""
    experiment: str
    """The experiment's name, which its directory on the machine gets too."""
    task: int
    """Which of the tasks, from 0."""
    runs: tuple[str, ...]
    """Directories of its runs, relative to where the experiment's runs lie."""
    store: str
    """Address of the experiment's place in the bucket."""
    share: MachineShare
    earlier: tuple[MachineShare, ...] = ()
    """Shares of machines before, which may hold what its runs have done already."""
    sync_interval: float = 180.0
    """Seconds between two pushes."""
    seconds: float = 86_400.0
    """How long the machines of the share may live, one after the other, each from the arming of its
    deadline.
    """
    reserve: float = 120.0
    """How long before its deadline the machine stops its runs and pushes."""
    python: str = "python3"
    """The interpreter of the runs."""
    cloud: str = ""
    """`aws` or `gcp`, whose notices of a spot machine's end are looked for."""

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON values."""
        shares = [[each.batch, each.number, each.of] for each in (self.share, *self.earlier)]
        return {"format": 1, **self.__dict__, "share": shares[0], "earlier": shares[1:]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Job:
        """Make the job from what `to_json` gave."""
        known = {key: value[key] for key in cls.__dataclass_fields__ if key in value}
        earlier = tuple(MachineShare(*each) for each in value["earlier"])
        return cls(
            **{
                **known,
                "runs": tuple(value["runs"]),
                "share": MachineShare(*value["share"]),
                "earlier": earlier,
            }
        )
