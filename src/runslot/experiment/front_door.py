"""What the door through which an experiment came asks of its launch: runslot's own, rlpyt's,
launchkit's.

`ExperimentFile.front_door` is the word on disk; whoever opens or launches an experiment reads its
record here, and nobody compares words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runslot.experiment.records import ExperimentFile


@dataclass(frozen=True)
class FrontDoor:
    """What differs between the doors."""

    points_latest: bool = False
    """The link `latest` beside the experiment points to its newest launch."""
    reads_above: bool = False
    """A run's readers look into its experiment for what all its runs share."""
    counts_launched: bool = False
    """`num_launched.txt` tells how many runs have started."""
    variant_above: bool = False
    """A run's variant is its `variant_config.json`, in the directory above the run's."""
    log_dir_above: bool = False
    """A command's arguments name the directory above the run's, as `log_dir`, and the `run_ID` in
    it.
    """


_DOORS: Mapping[str, FrontDoor] = {
    "native": FrontDoor(points_latest=True, reads_above=True),
    "rlpyt": FrontDoor(counts_launched=True, variant_above=True, log_dir_above=True),
    "launchkit": FrontDoor(),
}


def front_door(file: ExperimentFile) -> FrontDoor:
    """Return what the door of an experiment asks for."""
    return _DOORS[file.front_door]
