"""What a limit of the user's kept from being submitted: which runs wait for that, and when it is
tried again. Kept by the launcher, which submits.

A run's files say that it has ended a moment before the system does, and until then its task counts
against the limit: nothing is given up before the system has let go of all tasks of this launch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection

from runslot.engines.batch.cluster import RefusedJob, SubmitLimit
from runslot.engines.batch.queue import POLITE, Look
from runslot.engines.batch.submissions import TaskPlace, Tasks, places
from runslot.engines.batch.submitter import Submitter
from runslot.engines.protocol import Handle
from runslot.errors import RunslotError
from runslot.experiment.records import Outcome


class KeptBack:
    """The runs that are still wanted and that the system does not have."""

    def __init__(self, submitter: Submitter, say: Callable[[str], None]) -> None:
        self._submitter = submitter
        self._say = say
        self.handles: dict[Handle, str] = {}
        """With their run ids."""
        self._tasks: Tasks = []
        """What to submit, some of which may no longer be wanted."""
        self._leaving: list[TaskPlace] = []
        """Tasks whose runs have ended, and which the system still has."""
        self._refused_with = (0, 0)
        """How many runs were submitted, and how many tasks leaving, when a limit let no more in."""
        self._not_before = 0.0
        self._problem = ""
        """Why the last try failed, other than for a limit."""
        self._refusal = ""
        """Why the system will never take what was due."""

    def add(self, tasks: Tasks, submitted: int) -> str:
        """Keep what the system did not take, with so many runs submitted; return when it follows,
        in words.
        """
        self._postpone([*self._tasks, *tasks], submitted)
        return "follow as jobs end" if self._is_limited else "are tried again"

    @property
    def _is_limited(self) -> bool:
        return isinstance(self._submitter.obstacle, SubmitLimit)

    def _postpone(self, tasks: Tasks, submitted: int) -> None:
        self._tasks = tasks
        self._refusal = ""
        if self._is_limited or not tasks:
            self._refused_with = submitted, len(self._leaving)
        else:  # it was away: no job has to end before it is asked again
            self._refused_with = sys.maxsize, 0
            self._not_before = time.monotonic() + POLITE

    def give_back(self, handle: Handle, run: str, attempt: int) -> None:
        """Have a run submitted anew, of which nothing has begun."""
        self.handles[handle] = run
        self._tasks = [*self._tasks, [(run, attempt)]]
        self._refused_with = sys.maxsize, 0
        self._refusal = ""

    def conclude(self, place: TaskPlace) -> None:
        """Take note that a run has ended: its task goes, where it is none that asks for others."""
        if place.submission.job is not None and not place.submission.slots:
            self._leaving.append(place)

    @property
    def leaving(self) -> Collection[TaskPlace]:
        """The tasks that the system is to be asked for on behalf of what waits."""
        return self._leaving if self.handles else ()

    def submit(self, submitted: int, sight: Look) -> dict[Handle, tuple[str, TaskPlace]]:
        """Submit what a limit kept back, once jobs have ended; return what the system has now, each
        run with its id and place.
        """
        due = self._due(submitted, sight)
        if not due:
            return {}
        try:
            submissions, rest = self._submitter.submit(due)
        except (RunslotError, OSError) as error:  # the system is away, the disk is full
            self._fail(error)
            return {}
        self._problem = ""
        places_by_run = places(submissions)
        taken = {
            handle: (run, places_by_run[run])
            for handle, run in self.handles.items()
            if run in places_by_run
        }
        for handle in taken:
            del self.handles[handle]
        self._postpone(rest, submitted + len(taken))
        return taken

    def _due(self, submitted: int, sight: Look) -> Tasks:
        """Return what is to be tried again, since a run ended or a task left; nothing where it is
        too early.
        """
        self._leaving = [place for place in self._leaving if _holds(place, sight)]
        submitted_before, leaving_before = self._refused_with
        has_room = submitted < submitted_before or len(self._leaving) < leaving_before
        if not self.handles or not has_room or time.monotonic() < self._not_before:
            return []
        run_ids = set(self.handles.values())
        tasks = [[item for item in task if item[0] in run_ids] for task in self._tasks]
        return [task for task in tasks if task]

    def _fail(self, error: RunslotError | OSError) -> None:
        """Have it tried again, politely, and said once; given up where it will never be taken."""
        if isinstance(error, RefusedJob):
            self._refusal = str(error)
        elif str(error) != self._problem:
            self._problem = str(error)
            self._say(f"{error}; it is tried again")
        self._not_before = time.monotonic() + POLITE

    def ended(self, handle: Handle, submitted: int) -> Outcome | None:
        """Return how a run ended that was not submitted: stopped, or given up where the system will
        never take it, or no job of this launch is left whose end could make room.
        """
        if handle not in self.handles:
            return Outcome("stopped", handle.attempt, message="stopped before it was submitted")
        is_alone = not submitted and not self._leaving and self._refused_with == (0, 0)
        if not (self._refusal or is_alone):
            return None
        del self.handles[handle]
        return unsubmitted(handle.attempt, self._refusal or str(self._submitter.obstacle))


def unsubmitted(attempt: int, reason: str) -> Outcome:
    """Return how a run ended that the system did not take."""
    message = f"could not be submitted: {reason}"
    return Outcome("lost", attempt, ended=time.time(), message=message)


def _holds(place: TaskPlace, sight: Look) -> bool:
    task = sight.task(place)
    return not (task.over if task is not None else sight.gone(place))
