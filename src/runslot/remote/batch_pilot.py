"""A task that is a pilot: it asks for the next run of a search, does it, and asks again.

`batch_task` becomes one where its submission says so. It ends when nothing is left for it; where
its time is nearly up and there is more, it has itself requeued. What must stay true: it may be
killed at any instant, and the others, or a resume, go on with what it had.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from dataclasses import replace

from runslot.engines.batch.cluster import BatchCluster
from runslot.engines.batch.config import BatchConfig
from runslot.engines.batch.pilots import Lookout, sampler_of
from runslot.engines.batch.submissions import Submission
from runslot.engines.batch.task import task_name
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.registry import of_experiment
from runslot.errors import NotFound, NotInstalled, RunslotError
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.printer import Printer
from runslot.launch.share import Share
from runslot.launch.supervisor import Supervisor
from runslot.remote.batch_job import BatchJob, JobAllocation
from runslot.remote.worker import NOTICES, Notices

_MARGIN_S = 30.0
"""By which a time limit is told early, or a run begins after its pilot."""


class SearchMissing(RunslotError):
    """This node's Python lacks what decides about a search."""


class BatchCrew:
    """A pilot, and the others of its search, as their batch system knows them."""

    def __init__(
        self, directory: ExperimentDir, submission: Submission, task: int, job: BatchJob, ahead: int
    ) -> None:
        self.name = submission.pilot(task)
        self.job = task_name(submission.job or submission.number, task)
        self._directory = directory
        self._lookout = Lookout(directory, submission.system)
        self._ahead = ahead
        self._began = time.monotonic()
        self._began_at = time.time()
        self._time_left = job.time_left()

    def look(self, is_due: bool = False) -> None:
        """Ask the system how the other pilots are, where that is due."""
        # it is away, or this node has not its commands: then claims and a resume have to do
        with contextlib.suppress(RunslotError, OSError):
            self._lookout.look(self._cluster, is_due)

    def _cluster(self) -> BatchCluster:
        config = of_experiment(self._directory.read())
        if not isinstance(config, BatchConfig):
            raise NotFound(f"{self._directory.path} is no longer a batch system's")
        return config.cluster()

    def gone(self, pilot: str, since: float) -> str:
        """Return why a pilot that was at work then is so no longer; empty where it may be."""
        return self._lookout.gone(pilot, since)

    def is_stop_asked(self, run: str, pilot: str) -> bool:
        """Tell whether somebody asked for a run of a pilot to stop."""
        return self._lookout.is_stop_asked(run, pilot)

    def may_begin(self, longest: float) -> bool:
        """Tell whether there is time for a run that takes as long as the longest so far."""
        seconds_left = self.time_left()
        return seconds_left is None or seconds_left > longest + self._ahead + _MARGIN_S

    @property
    def is_time_up(self) -> bool:
        """Whether the job's time limit is why its runs end."""
        seconds_left = self.time_left()
        return seconds_left is not None and seconds_left <= self._ahead + _MARGIN_S

    def time_left(self) -> float | None:
        """Return how many seconds the job has left; None where that is not known."""
        if self._time_left is None:
            return None
        return self._time_left - (time.monotonic() - self._began)

    def why_ended(self, outcome: Outcome, obstacle: str) -> Outcome:
        """Return how a run ended that ended with its pilot: lost, so that another one takes it up;
        one that had all of a pilot's time, and would begin anew, has timed out.
        """
        is_late = self.is_time_up
        began = self._began_at if outcome.started is None else outcome.started
        had_all = began - self._began_at < _MARGIN_S
        if is_late and had_all and obstacle:
            message = f"the job's time limit ran out, and the run {obstacle}"
            return replace(outcome, kind="timed_out", message=message)
        reason = "the time of its pilot was up" if is_late else "its pilot was ended"
        return replace(outcome, kind="lost", message=reason)


def fly(
    directory: ExperimentDir,
    submission: Submission,
    task: int,
    job: BatchJob,
    ahead: int,
    moved: bool,
    notices: Notices,
) -> bool:
    """Do runs of a search until nothing is left for this pilot; whether there is more for one.

    `SearchMissing` where this node's Python cannot decide.
    """
    crew = BatchCrew(directory, submission, task, job, ahead)
    listener = Printer()
    if missing := what_is_missing(sampler_of(directory.read())):
        raise SearchMissing(missing)
    search = importlib.import_module("runslot.search.pilot")
    experiment = OpenExperiment.as_worker(
        directory, submission.worker(task), dict(os.environ), moved
    )
    try:
        growth = search.PilotSearcher(experiment, listener, crew)
        engine = JobAllocation(job=job).open(experiment, submission.slots, listener)
        try:
            supervisor = Supervisor(engine.launcher, listener, notices=NOTICES)
            supervisor.add(Share(experiment, (), {}, (), 0, engine.slots_said, growth))
            with notices.passed_on(supervisor):
                supervisor.run()
        finally:
            engine.launcher.close()
    finally:
        experiment.close()
    more: bool = growth.has_more
    return more


def what_is_missing(sampler: str) -> str:
    """Return what this Python lacks to decide about a search, in a sentence; empty where it has
    all. A launcher asks the interpreter of its tasks, too (`engines.batch.pilots`).
    """
    try:
        importlib.import_module("runslot.search.pilot")
        importlib.import_module("runslot.results")
        importlib.import_module("runslot.search.start").make_sampler(sampler, "max")
    except ModuleNotFoundError as error:
        lacks = f"has no {error.name}, which a search needs"
    except NotInstalled:
        lacks = f"lacks what the sampler {sampler} needs"
    else:
        return ""
    return (
        f"Python on {host_name()} {lacks}: install runslot[search] there, or name another"
        " interpreter with `python`"
    )
