"""Which task of an array does which run, where its tasks may take each other's.

A task is submitted with a run or a few of its own. One whose runs prove short takes further ones
that have not begun (`remote.batch_pack`), so that a start of the queue, of Python and of what the
runs import serves many. Who takes a run makes a link of the run's name in `takers/` of the
submission, which only one can, on NFS too; it is never removed. What must stay true: no run begins
without its link, and whoever writes down the end of a run that never began makes the link before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from runslot.engines.batch.submissions import Submission, TaskPlace

NOBODY = -1
"""Took a run that is not to begin any more."""


def take(link: Path, task: int) -> bool:
    """Take a run for a task, by its link; false where another one has it. `OSError` where the disk
    is full.
    """
    try:
        os.symlink(str(task), link)  # noqa: PTH211  to be made, or refused, in one step
    except FileExistsError:
        # An NFS server that is asked twice, since its first answer was lost, says so of our own;
        # but nobody else takes for the same task.
        return task != NOBODY and _taker_of(link) == task
    return True


def _taker_of(link: Path) -> int | None:
    try:
        return int(os.readlink(link))  # noqa: PTH115
    except (OSError, ValueError):
        return None


class Takers:
    """Who has taken runs of submissions, as far as this process has looked; links never change."""

    def __init__(self) -> None:
        self._by_submission: dict[Path, dict[str, int]] = {}
        self._runs_by_task: dict[tuple[Path, int], list[str]] = {}

    def of(self, submission: Submission) -> Mapping[str, int]:
        """Return by run id which task took it, `NOBODY` included, as it is now."""
        task_by_run = self._by_submission.setdefault(submission.path, {})
        if submission.pack is None:
            return task_by_run
        try:
            names = os.listdir(submission.takers)  # noqa: PTH208
        except OSError:  # on a disk that comes and goes
            return task_by_run
        for name in names:
            if name not in task_by_run and (task := _taker_of(submission.taker(name))) is not None:
                task_by_run[name] = task
                self._runs_by_task.setdefault((submission.path, task), []).append(name)
        return task_by_run

    def place(self, run: str, place: TaskPlace) -> TaskPlace:
        """Return where a run is: in the task that has taken it, or its own."""
        task = self._known(place).get(run, NOBODY)
        return place if task == NOBODY else replace(place, task=task)

    def is_open(self, run: str, place: TaskPlace) -> bool:
        """Tell whether a task may yet take a run, as far as was looked."""
        return place.submission.pack is not None and run not in self._known(place)

    def was_left(self, run: str, place: TaskPlace) -> bool:
        """Tell whether a run was not taken by its task, which has taken others: its node could do
        it.
        """
        has_taken = (place.submission.path, place.task) in self._runs_by_task
        return has_taken and self._known(place).get(run, NOBODY) == NOBODY

    def runs_of(self, place: TaskPlace) -> list[tuple[str, int]]:
        """Return the runs of a task, with the attempts that were asked for: its own but for those
        that others have taken, and what it has taken of others'.
        """
        task_by_run, tasks = self._known(place), place.submission.tasks
        own_runs = [
            (run, n)
            for run, n in tasks[place.task]
            if task_by_run.get(run, place.task) == place.task
        ]
        taken_runs = {*self._runs_by_task.get((place.submission.path, place.task), ())}
        taken_runs -= {run for run, _ in own_runs}
        if not taken_runs:  # thousands of tasks that wait are asked for theirs
            return own_runs
        return own_runs + [(run, n) for runs in tasks for run, n in runs if run in taken_runs]

    def _known(self, place: TaskPlace) -> Mapping[str, int]:
        return self._by_submission.get(place.submission.path, {})

    def look(self, places: Iterable[TaskPlace]) -> None:
        """See who has taken runs of the submissions of these places."""
        for submission in {place.submission.path: place.submission for place in places}.values():
            self.of(submission)
