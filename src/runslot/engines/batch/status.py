"""How an experiment stands, by its files and by its batch system together; nobody has to be
watching.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runslot.engines.batch.evidence import evidence_of, settle
from runslot.engines.batch.pilots import all_places, living, pilot_places, pilots_said
from runslot.engines.batch.queue import POLITE, Look, look, read_look
from runslot.engines.batch.site import fetch_begun
from runslot.engines.batch.submissions import Submission, TaskPlace, read_submissions
from runslot.engines.batch.takers import Takers
from runslot.engines.batch.task import Task, how_it_ended, task_name
from runslot.engines.batch.wait_reason import is_held, wait_lines, wait_reason
from runslot.errors import RunslotError
from runslot.experiment.processes import is_alive, keeper_of
from runslot.experiment.rundir import RunDir
from runslot.experiment.status import ExperimentStatus, RunStatus

if TYPE_CHECKING:
    from runslot.engines.batch.config import BatchConfig


def refreshed_by(config: BatchConfig, status: ExperimentStatus) -> ExperimentStatus:
    """Return the status as files and queue tell it; where that cannot be asked, by its last
    answer.
    """
    submissions = read_submissions(status.directory, config.system)
    status = replace(status, waits=(*status.waits, *unfit_lines(config, submissions)))
    takers = Takers()
    placed = all_places(status.directory, submissions, takers)
    pilots = pilot_places(submissions)
    before = read_look(status.directory, config.system)
    open_runs = {
        entry.run.id for entry in status.runs if _is_open(entry, placed.get(entry.run.id), before)
    }
    killed = {
        entry.run.id for entry in status.runs if _was_killed(entry) and entry.run.id in placed
    }
    flying = living(pilots, before)
    if not open_runs and not killed and not flying:
        return status
    open_places = {run: placed[run] for run in open_runs if run in placed}
    open_places |= {place.submission.pilot(place.task): place for place in flying}
    answer = _look(config, status, open_places, before) if open_places or open_runs else before
    uncertain = open_runs | killed
    runs = tuple(
        (
            _stands(config, status, entry, placed.get(entry.run.id), answer, takers)
            if entry.run.id in uncertain
            else entry
        )
        for entry in status.runs
    )
    counts: Counter[str] = Counter(entry.state for entry in runs)
    waiting = {entry.name for entry in runs if entry.state == "queued"}
    tasks = (task for task in answer.tasks.values() if task.waits and task.name in waiting)
    lines = [*wait_lines(tasks)]
    if flying := living(pilots, answer):
        runs, lines = _with_pilots(runs, flying, answer), [pilots_said(flying, answer), *lines]
    return replace(status, runs=runs, counts=counts, waits=(*status.waits, *lines))


def _with_pilots(
    runs: Sequence[RunStatus], flying: Sequence[TaskPlace], sight: Look
) -> tuple[RunStatus, ...]:
    """Return the runs of a search of which those that wait are its pilots' to ask for."""
    tasks = [task for place in flying if (task := sight.task(place)) is not None]
    name = tasks[0].job if tasks else flying[0].submission.number
    reason = wait_reason(tasks[0]) if tasks and all(task.waits for task in tasks) else ""
    return tuple(
        replace(run, name=name, waits_for=reason) if run.state == "queued" else run for run in runs
    )


def unfit_lines(config: BatchConfig, submissions: Iterable[Submission]) -> list[str]:
    """Return a line for each node that could not do its tasks: which, and what it lacked."""
    causes: dict[str, str] = {}
    for submission in submissions:
        causes |= submission.unfit_nodes()
    fate = "is kept off" if config.commands.excludes_nodes else "cannot do its tasks"
    return [
        f"node {node} {fate}{f': {cause}' if cause else ''}"
        for node, cause in sorted(causes.items())
    ]


def _is_open(entry: RunStatus, place: TaskPlace | None, before: Look) -> bool:
    """Tell whether the system may know better than the files how a run stands."""
    if entry.state == "running":
        return True
    if place is not None and place.submission.slots:  # its pilot says how it ended
        return False
    if entry.state in {"queued", "succeeded"} or place is None or entry.attempts < place.attempt:
        return False
    if place.submission.stopped(entry.run.id).exists():
        return False
    # A task that is requeued, or tries again, leaves outcomes that are not the last.
    task = before.task(place)
    return not (before.gone(place) or (task is not None and task.over))


def _was_killed(entry: RunStatus) -> bool:
    """Tell whether the system may know why: for its job's memory."""
    return (
        entry.state == "failed"
        and entry.ended is not None
        and entry.ended.get("signal") == signal.SIGKILL
    )


def _look(
    config: BatchConfig, status: ExperimentStatus, open_places: dict[str, TaskPlace], before: Look
) -> Look:
    try:
        cluster = config.cluster()
        try:
            answer = look(
                status.directory, cluster, list(open_places.values()), time.time() - POLITE
            )
            if config.moves and (answer.at != before.at or _any_over(open_places, answer)):
                site = config.site(status.directory, status.file, cluster)
                runs = [
                    (status.directory.run_dir(entry.run, status.file), entry.run.id, place)
                    for entry in status.runs
                    if (place := open_places.get(entry.run.id)) is not None
                ]
                fetch_begun(site, answer, runs)
            return answer
        finally:
            cluster.close()
    except RunslotError:
        answer = read_look(status.directory, config.system)
        return _without_ends(answer, open_places) if config.moves else answer


def _any_over(places: dict[str, TaskPlace], sight: Look) -> bool:
    """Tell whether a task has ended, by an answer that somebody else may have asked for, who may
    not have fetched yet what its runs wrote.
    """
    tasks = ((sight.task(place), place) for place in places.values())
    return any(sight.gone(place) if task is None else task.over for task, place in tasks)


def _without_ends(sight: Look, places: dict[str, TaskPlace]) -> Look:
    """Return an answer that says nothing of tasks that have ended: how their runs did has yet to
    come home.
    """
    open_tasks = {(place.submission.job_name, place.task) for place in places.values()}
    tasks = {
        key: task for key, task in sight.tasks.items() if not (task.over and key in open_tasks)
    }
    return replace(sight, tasks=tasks, absent={})


def _stands(
    config: BatchConfig,
    status: ExperimentStatus,
    entry: RunStatus,
    place: TaskPlace | None,
    answer: Look,
    takers: Takers,
) -> RunStatus:
    task = None if place is None else answer.task(place)
    calm = entry.attempt is None and entry.ended is None
    if place is not None and task is not None and task.waits and calm:
        return _waiting(entry, place, task)  # thousands of runs stand so: no file says more
    run_dir = status.directory.run_dir(entry.run, status.file)
    if place is None:
        return _unhanded(entry, run_dir)
    job = answer.job(place.submission)
    if job is None and task is None and place.submission.job is None:
        return _unsubmitted(entry, place)
    ended = _ended(config, status, entry, place, answer, takers)
    if ended is None and place.submission.slots and entry.ended is not None:
        ended = entry  # it was killed, and its pilot goes on with others
    if ended is not None:
        return ended
    # An answer may be some seconds old, and the task have started since.
    has_begun = entry.attempt is not None and (
        entry.attempt.started > answer.at or is_alive(keeper_of(entry.attempt))
    )
    if task is not None and task.waits and not has_begun:
        return _waiting(entry, place, task)
    number, name = max(entry.attempts, place.attempt, 1), task_name(job or "", place.task)
    return replace(entry, state="running", ended=None, attempts=number, name=name)


def _ended(
    config: BatchConfig,
    status: ExperimentStatus,
    entry: RunStatus,
    place: TaskPlace,
    answer: Look,
    takers: Takers,
) -> RunStatus | None:
    """Return how a run stands whose task goes on with it no more; None where it may."""
    run_dir = status.directory.run_dir(entry.run, status.file)
    attempt = max(1, place.attempt)
    stopped = place.submission.stopped(entry.run.id).exists()
    evidence = evidence_of(place, run_dir, answer, attempt, status.file.policy)
    outcome = how_it_ended(replace(evidence, stopped=stopped, system=config.title))
    if outcome is None:
        return None
    if outcome is not evidence.outcome and not stopped:
        if takers.is_open(entry.run.id, place) and not _bar(config, status, entry, place):
            return None  # a task has begun it meanwhile
        if outcome.kind == "lost" and takers.was_left(entry.run.id, place):
            return RunStatus(entry.run, "queued", place.attempt - 1)
    if place.submission.slots and outcome.kind == "stopped" and not stopped:
        outcome = replace(outcome, kind="lost")  # its pilot was cancelled, not the run
    settle(run_dir, outcome)
    return RunStatus(
        entry.run, outcome.kind, outcome.attempt, outcome.to_json(), entry.started, entry.slot
    )


def _bar(config: BatchConfig, status: ExperimentStatus, entry: RunStatus, place: TaskPlace) -> bool:
    """See to it that no task begins a run any more; false where one has."""
    cluster = config.cluster()
    try:
        site = config.site(status.directory, status.file, cluster)
        return site.take([place.submission.taker(entry.run.id)])[0]
    except OSError:  # a disk that may only be read, or is full: then it is only shown
        return True
    except RunslotError:  # the host is away
        return False
    finally:
        cluster.close()


def _unhanded(entry: RunStatus, run_dir: RunDir) -> RunStatus:
    """Return how a run stands that a launcher noted which was killed before it submitted it."""
    has_begun = run_dir.read_attempt() is not None or run_dir.read_outcome() is not None
    if has_begun or entry.state != "running":
        return entry
    return RunStatus(entry.run, "queued", max(0, entry.attempts - 1))


def _waiting(entry: RunStatus, place: TaskPlace, task: Task) -> RunStatus:
    """Return how a run stands whose task waits in the queue."""
    number = max(entry.attempts, place.attempt, 1)
    return RunStatus(
        entry.run,
        "queued",
        number,
        started=entry.started,
        name=task.name,
        waits_for=wait_reason(task),
        is_held=is_held(task),
    )


def _unsubmitted(entry: RunStatus, place: TaskPlace) -> RunStatus:
    """Return how a run stands whose script was written, and which the system does not have
    (yet).
    """
    if entry.name is not None:  # handed over as a script, for the user to submit
        return replace(entry, state="queued", attempt=None)
    return RunStatus(entry.run, "queued", max(0, place.attempt - 1))
