"""What a batch system says of an experiment's tasks: one query for all, every ten seconds at most,
whoever asks.

The last answer is kept in the experiment's directory, so that a launcher, `runslot status` and the
page share it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING

from runslot.engines.batch.submissions import Submission, TaskPlace, queue_file
from runslot.engines.batch.task import Task
from runslot.errors import RunslotError
from runslot.experiment.files import open_to_append, read_json, write_json
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.shape import FORMAT
from runslot.record import record

if TYPE_CHECKING:
    from runslot.engines.batch.cluster import BatchCluster

POLITE = 10.0
"""Seconds between two queries."""
_WAIT = 15.0
"""Seconds for which another's question is waited for; then the answer before it has to do."""
_LONG_AGO = 60.0
"""Seconds after which an answer that has no trace of a job can no longer be too early for it."""

_RECENT_S = 60.0
"""An answer that is no older says what waits."""

Key = tuple[str, int]
"""A job's name, which is its submission's, and the index in the array."""


@record
class Look:
    """What the system said, and when."""

    at: float = 0.0
    tasks: Mapping[Key, Task] = field(default_factory=dict)
    absent: Mapping[Key, float] = field(default_factory=dict)
    """Since when it has known nothing of a task that was handed to it; Unix time."""
    job_names: frozenset[str] = frozenset()
    """The names of the jobs that were asked for."""
    present: frozenset[str] = frozenset()
    """The names of those that the system knew then."""

    def is_from(self, oldest: float) -> bool:
        """Tell whether it is from `oldest` on (Unix time); what a host wrote whose clock is ahead
        may be of any age.
        """
        return oldest <= self.at <= time.time()

    def tells_of(self, places: Collection[TaskPlace]) -> bool:
        """Tell whether the system was asked for all of these tasks."""
        return all(
            place.submission.job_name in self.job_names
            and (place.submission.job is None or key in self.tasks or key in self.absent)
            for key, place in _by_key(places)
        )

    def task(self, place: TaskPlace) -> Task | None:
        """Return the task of a place, where the system knows it."""
        return self.tasks.get((place.submission.job_name, place.task))

    def waits(self, place: TaskPlace) -> bool:
        """Tell whether a task waits to be started."""
        task = self.task(place)
        return task is not None and task.waits

    def gone(self, place: TaskPlace) -> bool:
        """Tell whether the system was asked often enough to be sure that it knows nothing of a
        task.
        """
        since = self.absent.get((place.submission.job_name, place.task))
        return since is not None and self.at - since >= POLITE

    def dropped(self, place: TaskPlace) -> bool:
        """Tell whether the system has others of a task's array, and nothing of the task: so it is
        in Slurm with one that was cancelled as it waited.
        """
        return place.submission.job_name in self.present and self.gone(place)

    def job(self, submission: Submission) -> str | None:
        """Return the id of a submission's job, where the system knows it by its name."""
        jobs = (task.job for (name, _), task in self.tasks.items() if name == submission.job_name)
        return submission.job or next(jobs, None)


def look(
    experiment: ExperimentDir,
    cluster: BatchCluster,
    open_places: Collection[TaskPlace],
    oldest: float,
) -> Look:
    """Return what the system says of the tasks in `open_places`; an answer from `oldest` on (Unix
    time) is new enough.

    `BatchError` where it cannot be asked.
    """
    names = {place.submission.job_name for place in open_places}
    with _turn(experiment, cluster.word) as mine:
        before = read_look(experiment, cluster.word)
        if (before.is_from(oldest) and before.tells_of(open_places)) or not mine:
            return before
        return _ask(experiment, cluster, open_places, names, before)


@contextmanager
def _turn(experiment: ExperimentDir, system: str) -> Iterator[bool]:
    """Wait for whoever is asking at this moment, whose answer will do; false where that takes
    long.
    """
    try:
        file = os.fdopen(open_to_append(queue_file(experiment, system).with_suffix(".lock")), "ab")
    except OSError:  # a disk that may only be read
        yield True
        return
    with file:
        end = time.monotonic() + _WAIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    yield False
                    return
                time.sleep(0.05)
            except OSError:  # a file system without locks
                break
            else:
                break
        yield True


def _ask(
    experiment: ExperimentDir,
    cluster: BatchCluster,
    open_places: Collection[TaskPlace],
    names: Collection[str],
    before: Look,
) -> Look:
    now = time.time()
    now_known = (
        cluster.queue({p.submission.job_name: p.submission.job for p in open_places})
        if names
        else []
    )
    tasks = {
        key: task for key, task in before.tasks.items() if task.over
    }  # it forgets, and they do not come back
    # A task that its node could not do is there twice, the second time in a later job.
    now_known = sorted(now_known, key=lambda task: (len(task.job), task.job))
    tasks |= {(task.job_name, task.index): task for task in now_known}
    missing = [
        p for p in open_places if p.submission.job and (p.submission.job_name, p.task) not in tasks
    ]
    if missing:
        tasks |= _remembered(cluster, missing)
    absent = {key: min(since, now) for key, since in before.absent.items() if key not in tasks}
    absent |= {
        key: _since(before, key, place, now) for key, place in _by_key(missing) if key not in tasks
    }
    present = frozenset(task.job_name for task in now_known)
    sight = Look(now, tasks, absent, frozenset(names), present)
    _keep(experiment, cluster.word, sight)
    return sight


def _by_key(places: Iterable[TaskPlace]) -> Iterable[tuple[Key, TaskPlace]]:
    return (((place.submission.job_name, place.task), place) for place in places)


def _remembered(cluster: BatchCluster, missing: Sequence[TaskPlace]) -> dict[Key, Task]:
    """Return what the accounts say of tasks that the queue has forgotten; they lag behind in what
    is alive.
    """
    names = {place.submission.job: place.submission.job_name for place in missing}
    history = cluster.history(sorted(job for job in names if job))
    keys = {key for key, _ in _by_key(missing)}
    ended = {
        (names[task.job], task.index): task for task in history if task.over and task.job in names
    }
    return {key: task for key, task in ended.items() if key in keys}


def _since(before: Look, key: Key, place: TaskPlace, now: float) -> float:
    since = before.absent.get(key)
    if since is not None:
        return min(since, now)
    noted_at = place.submission.noted()
    long_ago = noted_at is not None and now - noted_at > _LONG_AGO and now - before.at > _LONG_AGO
    return now - _LONG_AGO if long_ago else now


def recent_look(experiment: ExperimentDir, system: str, last: Look) -> Look:
    """Return the last answer, else the one that somebody got before this launcher was there (as
    `runslot stop` does); an empty one where it is old.
    """
    answer = last if last.at else read_look(experiment, system)
    return answer if answer.is_from(time.time() - _RECENT_S) else Look()


def read_look(experiment: ExperimentDir, system: str) -> Look:
    """Return the last answer, or an empty one."""
    try:
        value = read_json(queue_file(experiment, system))
    except RunslotError:
        value = None
    if value is None:
        return Look()
    try:
        tasks = [
            Task(str(job), int(index), *map(str, rest)) for job, index, *rest in value["tasks"]
        ]
        absent = {(str(name), int(index)): float(since) for name, index, since in value["absent"]}
        at, names = float(value["at"]), frozenset(map(str, value["asked"]))
        present = frozenset(map(str, value.get("present", ())))
    except (KeyError, TypeError, ValueError, OverflowError):  # the system is asked again
        return Look()
    return Look(at, {(task.job_name, task.index): task for task in tasks}, absent, names, present)


def _keep(experiment: ExperimentDir, system: str, sight: Look) -> None:
    value = {
        "format": FORMAT,
        "at": sight.at,
        "asked": sorted(sight.job_names),
        "present": sorted(sight.present),
        "absent": [[*key, since] for key, since in sight.absent.items()],
        "tasks": [
            [t.job, t.index, t.state, t.job_name, t.node, t.reason, t.begin]
            for t in sight.tasks.values()
        ],
    }
    try:
        write_json(queue_file(experiment, system), value)
    except OSError:  # read-only, or full: the next one asks for itself
        pass
