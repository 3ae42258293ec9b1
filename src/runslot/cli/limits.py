"""`--yes`, `--max-cost`, `--max-hours`: what renting machines may cost, from the command line."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from runslot.errors import Busy, InvalidInput

if TYPE_CHECKING:
    from runslot.engines.protocol import LauncherConfig
    from runslot.experiment.rundir import ExperimentDir


def agree(yes: bool) -> None:
    """Answer the question whether to rent, for this process and for a launch that goes on by itself."""
    if yes:
        os.environ["RUNSLOT_YES"] = "1"


def limited(launcher: LauncherConfig | None, max_cost: float | None, max_hours: float | None) -> LauncherConfig | None:
    """Return a launcher of rented machines with these limits; None where there are none, so that it stays as it is."""
    limits = {key: value for key, value in {"max_cost": max_cost, "max_hours": max_hours}.items() if value is not None}
    if not limits:
        return None
    if launcher is None or not set(limits) <= set(launcher.limits):
        options = " and ".join(f"--{key.replace('_', '-')}" for key in limits)
        raise InvalidInput(f"{options} is for rented machines: name them with --on, as --on ec2")
    return launcher.with_values(**limits)


def limit(directory: ExperimentDir, max_cost: float | None, max_hours: float | None) -> None:
    """Give an experiment other limits from here on; `Busy` while a launch works by the ones that it has."""
    from runslot.engines.registry import entry_of, of_experiment
    from runslot.experiment.files import write_json
    from runslot.experiment.status import read_status

    file = directory.read()
    launcher = limited(of_experiment(file), max_cost, max_hours)
    if launcher is None:
        return
    if read_status(directory).launcher is not None:
        raise Busy(f"a launch of {directory.path} is at work, by the limits that it has: `runslot stop` ends it")
    write_json(directory.experiment_file, replace(file, launcher=entry_of(launcher)).to_json())
