"""What a limit of the user's kept from being submitted: which runs wait for that, and when it is
tried again. Kept by the launcher, which submits.

A run's files say that it has ended a moment before the system does, and until then its task counts
against the limit: nothing is given up before the system has let go of all tasks of this launch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping

from runslot.engines.batch.queue import POLITE, Look
from runslot.engines.batch.submissions import TaskPlace, Tasks
from runslot.engines.protocol import Handle


class KeptBack:
    """The runs that are still wanted and that the system does not have."""

    def __init__(self) -> None:
        self.handles: dict[Handle, str] = {}
        """With their run ids."""
        self._tasks: Tasks = []
        """What to submit, some of which may no longer be wanted."""
        self._leaving: list[TaskPlace] = []
        """Tasks whose runs have ended, and which the system still has."""
        self._refused_with = (0, 0)
        """How many runs were submitted, and how many tasks leaving, when a limit let no more in."""
        self._not_before = 0.0

    def add(self, tasks: Tasks, submitted: int) -> None:
        """Keep what a limit did not let in, with so many runs submitted."""
        self.postpone([*self._tasks, *tasks], submitted)

    def postpone(self, tasks: Tasks, submitted: int) -> None:
        """Keep of what was due what a limit still does not let in."""
        self._tasks = tasks
        self._refused_with = submitted, len(self._leaving)

    def give_back(self, handle: Handle, run: str, attempt: int) -> None:
        """Have a run submitted anew, of which nothing has begun."""
        self.handles[handle] = run
        self._tasks = [*self._tasks, [(run, attempt)]]
        self._refused_with = sys.maxsize, 0

    def conclude(self, place: TaskPlace) -> None:
        """Take note that a run has ended: its task goes, where it is none that asks for others."""
        if self.handles and place.submission.job is not None and not place.submission.slots:
            self._leaving.append(place)

    @property
    def leaving(self) -> Collection[TaskPlace]:
        """The tasks that the system is to be asked for on behalf of what waits."""
        return self._leaving if self.handles else ()

    def due(self, submitted: int, sight: Look) -> Tasks:
        """Return what is to be tried again, since a run ended or a task left; nothing where it is
        too early.
        """
        self._leaving = [place for place in self._leaving if _holds(place, sight)]
        submitted_before, leaving_before = self._refused_with
        has_room = submitted < submitted_before or len(self._leaving) < leaving_before
        if not self.handles or not has_room or time.monotonic() < self._not_before:
            return []
        wanted = set(self.handles.values())
        tasks = [[item for item in task if item[0] in wanted] for task in self._tasks]
        return [task for task in tasks if task]

    def is_away(self) -> None:
        """Take note that the system could not be reached: it is tried again, politely."""
        self._not_before = time.monotonic() + POLITE

    def take(self, places: Mapping[str, TaskPlace]) -> dict[Handle, tuple[str, TaskPlace]]:
        """Take out the runs that have been submitted, with their ids and places."""
        taken = {h: (run, places[run]) for h, run in self.handles.items() if run in places}
        for handle in taken:
            del self.handles[handle]
        return taken

    def is_hopeless(self, submitted: int) -> bool:
        """Tell whether a limit let nothing in while this launch had nothing there."""
        return not submitted and not self._leaving and self._refused_with == (0, 0)


def _holds(place: TaskPlace, sight: Look) -> bool:
    task = sight.task(place)
    return not (task.over if task is not None else sight.gone(place))
