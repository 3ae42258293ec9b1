"""Launch a search whose pilots decide for themselves: send them, and leave them to their queue.

`launch` asks it where an engine has a queue of its own. The launcher decides nothing: it has run
again what was stopped or lost, in a turn of its own, and counts how many pilots are missing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from runslot.engines.events import LaunchLeft, LaunchStarted, Observer, Said
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Pilots
from runslot.errors import InvalidInput
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.experiment.turn import SharedJournal, stop_file
from runslot.launch.growth import PilotGrowth, searcher_of_pilots

_LOOK_PERIOD_S = 5.0


def send_pilots(
    experiment: OpenExperiment,
    pilots: Pilots,
    observer: Observer,
    failed: bool,
    only: Sequence[str],
) -> PilotGrowth | None:
    """Send the pilots that are missing; return what tells which runs wait, None where there was
    nothing for them to do.
    """
    directory = experiment.directory
    alive = pilots.living()
    slots_said = pilots.check()
    experiment.journal.close()
    experiment.journal = SharedJournal(directory.turns, directory.journal_file)
    pilots.withdraw_stops()
    searcher = searcher_of_pilots(experiment, observer, pilots)
    runs = searcher.wake(failed, only)
    if not runs:
        return None
    missing = min(math.ceil(runs / pilots.slots), pilots.most) - alive
    all_runs = tuple(directory.read_runs())
    file = experiment.file
    observer(LaunchStarted(file.name, directory.path, all_runs, 0, (), slots_said, file.space))
    if missing > 0:
        pilots.send(missing)
        beside = f", beside {alive} that are there" if alive else ""
        words = f"{missing} pilot{'s' * (missing != 1)}"
        observer(Said(f"{words} submitted{beside}: each asks for its runs"))
    experiment.journal.write("launcher_left", time.time(), runs=runs)
    observer(LaunchLeft(directory.path, 0))
    return searcher


def wait_for_pilots(directory: ExperimentDir, pilots: Pilots, searcher: PilotGrowth) -> None:
    """Wait until no pilot is left; `InvalidInput` where the search cannot go on.

    One that was there as pilots were sent may have decided to leave before it heard of a run: where
    a run still waits as all have gone, others are sent, once.
    """
    _wait_until_gone(pilots)
    if not stop_file(directory).exists() and (waiting := searcher.waiting()):
        pilots.send(min(math.ceil(waiting / pilots.slots), pilots.most))
        _wait_until_gone(pilots)
    if problems := read_status(directory).problems:
        raise InvalidInput("; ".join(problems))


def _wait_until_gone(pilots: Pilots) -> None:
    while pilots.living():
        time.sleep(_LOOK_PERIOD_S)
