"""The pilots of a search: tasks of an array that ask for their runs by themselves.

Which run a pilot has, its journal's `start` says; how the pilots are, the batch system. Read by
whoever looks at a search, stops it, or sends further pilots.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from runslot.engines.batch.cluster import BatchCluster
from runslot.engines.batch.queue import POLITE, Look, look
from runslot.engines.batch.submissions import (
    Submission,
    TaskPlace,
    places,
    read_submissions,
    submission_of,
)
from runslot.engines.batch.submitter import Submitter
from runslot.engines.batch.takers import Takers
from runslot.engines.events import Observer, Said
from runslot.engines.open_experiment import OpenExperiment
from runslot.errors import InvalidInput
from runslot.experiment.journal import read_events
from runslot.experiment.records import ExperimentFile, Outcome
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.turn import stop_file

if TYPE_CHECKING:
    from runslot.engines.batch.config import BatchConfig

_LOOK_PERIOD_S = 30.0
"""Between a pilot's questions how the others are."""
_SKEW_S = 1.0
"""By which the clocks of two nodes may differ."""
_TRIAL = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from runslot.remote.batch_pilot import what_is_missing; print(what_is_missing(sys.argv[2]))"
)
"""What the interpreter of the tasks is asked before any is submitted."""
_TRIAL_TIMEOUT_S = 60.0
USUAL_PILOTS = 8
"""Where the launcher's table does not say how many tasks there may be at a time."""


def all_places(
    experiment: ExperimentDir, submissions: Sequence[Submission], takers: Takers | None = None
) -> dict[str, TaskPlace]:
    """Return by run id where each run was put last, or who has taken it, those of pilots
    included.
    """
    by_run, takers = places(submissions), takers or Takers()
    takers.look(by_run.values())
    by_run = {run: takers.place(run, place) for run, place in by_run.items()}
    by_pilot = {place.submission.pilot(place.task): place for place in pilot_places(submissions)}
    if not by_pilot:
        return by_run
    for event in read_events(experiment.journal_file):
        if event["event"] == "start" and (place := by_pilot.get(event.get("pilot", ""))):
            by_run[event["run"]] = TaskPlace(place.submission, place.task, event["attempt"])
    return by_run


def pilot_places(submissions: Iterable[Submission]) -> list[TaskPlace]:
    """Return the pilots that were handed over."""
    return [
        TaskPlace(submission, task, 0)
        for submission in submissions
        if submission.slots and not submission.withdrawn
        for task in range(len(submission.tasks))
    ]


def living(pilots: Iterable[TaskPlace], sight: Look) -> list[TaskPlace]:
    """Return the pilots that run, or wait to, as far as the system was asked."""
    return [place for place in pilots if not _is_over(place, sight)]


def _is_over(place: TaskPlace, sight: Look) -> bool:
    task = sight.task(place)
    if task is None:  # or its launcher was killed before it had handed it over
        return sight.gone(place) or place.submission.job is None
    return task.over


def pilots_said(pilots: Iterable[TaskPlace], sight: Look) -> str:
    """Return how many pilots there are, in a few words: `3 pilots at work, 2 waiting`."""
    tasks = [sight.task(place) for place in pilots]
    waiting = sum(task is None or task.waits for task in tasks)
    counts = {"at work": len(tasks) - waiting, "waiting": waiting}
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"pilots: {words}" if words else ""


def sampler_of(file: ExperimentFile) -> str:
    """Return the sampler that the pilots ask; one that needs no package where nothing is drawn."""
    search = file.search or {}
    draws = search.get("space") or search.get("function")
    return str(search.get("sampler", "tpe")) if draws else "random"


class Lookout:
    """How the pilots of one experiment are, as its batch system says; asked as seldom as may be."""

    def __init__(self, directory: ExperimentDir, system: str) -> None:
        self._directory = directory
        self._system = system
        self._last_look = -_LOOK_PERIOD_S
        self._reasons: dict[str, str] = {}
        self.sight = Look()

    def look(
        self, cluster: Callable[[], BatchCluster], is_due: bool = False, oldest: float = POLITE
    ) -> list[TaskPlace]:
        """Ask how they are, where that is due, and return those that are at work, or wait; an
        answer may be `oldest` seconds old.
        """
        pilots = pilot_places(read_submissions(self._directory, self._system))
        if pilots and (is_due or time.monotonic() - self._last_look >= _LOOK_PERIOD_S):
            self._last_look = time.monotonic()
            self.sight = look(self._directory, cluster(), pilots, time.time() - oldest)
        alive = living(pilots, self.sight)
        for place in pilots:
            pilot, task = place.submission.pilot(place.task), self.sight.task(place)
            if place not in alive:
                state_text = "is no longer known" if task is None else f"is {task.state}"
                self._reasons[pilot] = f"its pilot {place.name} {state_text}"
            elif task is not None and task.waits:  # again: what it had has ended
                self._reasons[pilot] = f"its pilot {place.name} was requeued"
            else:
                self._reasons.pop(pilot, None)
        return alive

    def gone(self, pilot: str, since: float) -> str:
        """Return why a pilot that was at work at a moment (Unix time) is so no longer; empty where
        it may be, and where the answer that is here is older: one that waited then has begun.
        """
        return self._reasons.get(pilot, "") if self.sight.at > since + _SKEW_S else ""

    def is_stop_asked(self, run: str, pilot: str) -> bool:
        """Tell whether somebody asked for a run of a pilot to stop."""
        system, number, _ = (*pilot.split("/"), "", "")[:3]
        submission = None if not number else submission_of(self._directory, system, number)
        return submission is not None and submission.stopped(run).exists()


class BatchPilots:
    """Sends the pilots of one experiment, counts them, and ends them; decides beside them (`Crew`)
    for a launcher, which has no runs.
    """

    name = job = ""

    def __init__(self, experiment: OpenExperiment, config: BatchConfig, observer: Observer) -> None:
        self._experiment = experiment
        self._config = config
        self._observer = observer
        self._cluster = config.cluster(experiment)
        self._lookout = Lookout(experiment.directory, self._cluster.word)

    def look(self, is_due: bool = False) -> None:
        """Ask the system how the pilots are."""
        del is_due
        self.living()

    def living(self) -> int:
        """Return how many there are, as the system says; `BatchError` where it cannot be asked."""
        return len(self._lookout.look(lambda: self._cluster, is_due=True, oldest=0.0))

    def gone(self, pilot: str, since: float) -> str:
        """Return why a pilot that was at work then is so no longer; empty where it may be."""
        return self._lookout.gone(pilot, since)

    def is_stop_asked(self, run: str, pilot: str) -> bool:
        """Tell whether somebody asked for a run of a pilot to stop."""
        return self._lookout.is_stop_asked(run, pilot)

    @property
    def is_time_up(self) -> bool:
        """Whether a time limit is why runs end: none runs here."""
        return False

    def may_begin(self, longest: float) -> bool:
        """Tell that no run begins here."""
        del longest
        return False

    def why_ended(self, outcome: Outcome, obstacle: str) -> Outcome:
        """Return the outcome as it is: no run ends here."""
        del obstacle
        return outcome

    @property
    def most(self) -> int:
        """How many there are at a time, at most."""
        return self._config.at_a_time or USUAL_PILOTS

    @property
    def slots(self) -> int:
        """How many runs each has at a time."""
        return self._config.runs_per_job

    def check(self) -> str:
        """Have all brought that pilots need; return what each has, in one line. `InvalidInput`
        where the system would not take them.
        """
        self._site, self._writer = self._config.writer_for(
            self._experiment, self._cluster, self._observer
        )
        self._try_python()
        return self._writer.said()

    def _try_python(self) -> None:
        """Refuse an interpreter of the tasks that cannot decide, where it is another one than this
        and can be asked here; what a task's `setup` may bring is not refused, but said.
        """
        frame, sampler = self._writer.frame, sampler_of(self._experiment.file)
        if frame.python == sys.executable:
            return
        command = [frame.python, "-c", _TRIAL, frame.archive, sampler]
        try:
            process = subprocess.run(
                command, capture_output=True, text=True, timeout=_TRIAL_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.SubprocessError):  # on the nodes alone, perhaps
            process = None
        if process is None or process.returncode:
            self._say(
                f"note: {frame.python} cannot be asked here whether it has what a search needs;"
                " a node that lacks it is named by `runslot status`"
            )
        elif missing := process.stdout.strip():
            if not (frame.setup or frame.modules):
                raise InvalidInput(missing)
            self._say(f"note: {missing}, unless `setup` or `modules` bring it")

    def send(self, count: int) -> None:
        """Submit so many pilots, which `check` has prepared."""
        submitter = Submitter(self._experiment, self._cluster, self._site, self._writer, self._say)
        submissions, rest = submitter.submit([()] * count, self.slots)
        if not submissions and submitter.obstacle is not None:
            raise submitter.obstacle
        if rest:
            self._say(f"{count - len(rest)} of {count} pilots are submitted: {submitter.obstacle}")

    def withdraw_stops(self) -> None:
        """Forget which runs were to stop: they are asked for again."""
        for submission in read_submissions(self._experiment.directory, self._cluster.word):
            for file in submission.stopped("").iterdir() if submission.slots else ():
                file.unlink(missing_ok=True)

    def stop(self, kill: bool) -> None:
        """Have them ask for nothing further, and end them: also those that wait."""
        directory = self._experiment.directory
        directory.turns.mkdir(exist_ok=True)
        stop_file(directory).touch()
        tasks: dict[str, list[int]] = {}
        jobs: dict[str, str | None] = {}
        for place in self._lookout.look(lambda: self._cluster, is_due=True, oldest=0.0):
            task, submission = self._lookout.sight.task(place), place.submission
            jobs[submission.job_name] = submission.job
            # A task may have been submitted anew, from its node.
            job = self._lookout.sight.job(submission) if task is None else task.job
            if job is not None:
                tasks.setdefault(job, []).append(place.task)
        if tasks:
            self._cluster.cancel(tasks, jobs, kill)

    def close(self) -> None:
        """Leave them to the system."""
        self._cluster.close()

    def _say(self, text: str) -> None:
        self._observer(Said(text))
