"""A batch system as an engine: runs are handed over in job arrays; how they end, their files and
the queue tell.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

from runslot.engines.batch.backlog import KeptBack, unsubmitted
from runslot.engines.batch.cluster import BatchCluster
from runslot.engines.batch.evidence import UnfitEnds, evidence_of, settle
from runslot.engines.batch.pilots import all_places
from runslot.engines.batch.queue import POLITE, Look, look, recent_look
from runslot.engines.batch.script import ScriptWriter
from runslot.engines.batch.setbacks import Setbacks
from runslot.engines.batch.site import Site, fetch_begun
from runslot.engines.batch.submissions import (
    TaskPlace,
    Tasks,
    in_batches,
    places,
    read_submissions,
)
from runslot.engines.batch.submitter import Submitter
from runslot.engines.batch.takers import Takers
from runslot.engines.batch.task import how_it_ended
from runslot.engines.bell import Bell
from runslot.engines.events import Observer, Said
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Handle, Launcher, Placed, Taken, UnderWay
from runslot.errors import RunslotError
from runslot.experiment.files import see_anew
from runslot.experiment.lock import leave_request
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir
from runslot.experiment.turn import stop_file
from runslot.hardware.slots import Slot

_FILES = 1.0
"""Seconds between looks at the files of runs, at most, unless there are many."""
_MANY = 500
"""Runs beyond which they are looked at less often, in proportion: they may lie on a network
disk.
"""
_LEAST_FILES_S = 0.1
_FILES_SHARE = 20
"""A look at the files may take one part in so many of the time: a quick disk is looked at often."""


@dataclass
class _Watch:
    run: str
    """Its id."""
    place: TaskPlace
    stopped: bool = False
    """It was asked to stop."""
    stopped_at: float = 0.0
    """When what bars its start was in place; Unix time."""
    is_withdrawn: bool = False
    """Its task waited, and the system took the order to cancel it."""
    barred: bool = False
    """No task can begin it any more."""
    was_stopped: bool = False
    """An earlier launch asked it to stop: its task will not begin it."""

    @property
    def task(self) -> tuple[str, int]:
        return self.place.submission.number, self.place.task


class BatchLauncher(Launcher):
    """Hands runs to a batch system, and watches them for as long as it is asked to."""

    def __init__(
        self,
        experiment: OpenExperiment,
        cluster: BatchCluster,
        site: Site,
        writer: ScriptWriter,
        observer: Observer,
    ) -> None:
        self._experiment = experiment
        self._cluster = cluster
        self._site = site
        self._writer = writer
        self._observer = observer
        self._policy = experiment.policy
        self._watched: dict[Handle, _Watch] = {}
        self._look = Look()
        self._last_look = 0.0
        self._looking: threading.Thread | None = None
        self._again = False
        self._problem = ""
        self._files_seen = 0.0
        self._files_took = 0.0
        self._look_used = 0.0
        """When the answer was given by which runs were judged last."""
        self._stopping = False
        self._bell = Bell()
        self._submitted = False
        self._submitter = Submitter(experiment, cluster, site, writer, self._say)
        self._setbacks = Setbacks(self._say)
        self._waiting = KeptBack(self._submitter, self._say)
        self._places: dict[str, TaskPlace] = {}
        """Where earlier launchers put runs, by run id."""
        self._runs: dict[str, Run] = {}
        self._takers = Takers()
        self._unfit_ends = UnfitEnds(cluster)

    # ---- slots: the queue is the system's --------------------------------------------------------

    def slots(self) -> Sequence[Slot] | None:
        """Return None: the system decides what runs when and where."""
        return None

    # ---- handing over ----------------------------------------------------------------------------

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Submit the runs, as one array where it is large enough; `BatchError` where not even the
        first is taken.
        """
        if not runs:
            return []
        self._submitter.withdraw({placed.run.id for placed in runs})
        attempts = [(placed.run.id, placed.attempt) for placed in runs]
        answers: dict[str, TaskPlace | str] = {}
        frame = self._writer.frame
        rest: list[Sequence[tuple[str, int]]] = []
        arrays = in_batches(attempts, frame.runs_a_task(len(attempts)), frame.array_size)
        for tasks in arrays:
            if rest:
                rest += tasks
                continue
            try:
                submissions, left_over = self._submitter.submit(tasks)
            except RunslotError as error:
                if not self._submitted:
                    raise
                self._say(str(error))
                answers |= {run: str(error) for task in tasks for run, _ in task}
                continue
            rest += left_over
            answers |= places(submissions)
            self._submitted = self._submitted or bool(submissions)
            if not self._submitted and self._submitter.obstacle is not None:
                raise self._submitter.obstacle
        handles = [self._answer_start(placed, answers.get(placed.run.id)) for placed in runs]
        self._postpone(rest, sum(map(len, arrays)))
        return handles

    def _answer_start(self, placed: Placed, answer: TaskPlace | str | None) -> Handle | Outcome:
        if isinstance(answer, str):
            return unsubmitted(placed.attempt, answer)
        handle = Handle(placed.run_dir, placed.attempt, "" if answer is None else answer.name)
        if answer is None:
            self._waiting.handles[handle] = placed.run.id
        else:
            self._watched[handle] = _Watch(placed.run.id, answer)
        return handle

    @property
    def backlog(self) -> int:
        """How many runs wait until a limit of the user's lets them be submitted."""
        return len(self._waiting.handles)

    def _postpone(self, rest: Tasks, total: int) -> None:
        if not rest:
            return
        follow = self._waiting.add(rest, len(self._watched))
        self._say(
            f"{total - len(rest)} of {total} tasks are submitted, the others {follow}: "
            f"{self._submitter.obstacle}"
        )

    def _submit_rest(self) -> None:
        """Submit what a limit kept back, once jobs have ended."""
        taken = self._waiting.submit(len(self._watched), self._look)
        self._watched |= {handle: _Watch(run, place) for handle, (run, place) in taken.items()}

    # ---- what an earlier launcher handed over ----------------------------------------------------

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Watch a run that was handed over; None where no submission has it."""
        if not self._places:
            directory = self._experiment.directory
            self._places = all_places(directory, read_submissions(directory, self._cluster.word))
        place = self._places.get(run.id)
        if place is None:
            return None
        if place.submission.job is None:
            place = self._found_by_name(place)
        handle = Handle(run_dir, max(under_way.attempt, place.attempt), place.name)
        was_stopped = place.submission.stopped(run.id).exists()
        self._watched[handle] = _Watch(run.id, place, was_stopped=was_stopped)
        self._submitted = True
        return handle

    def _found_by_name(self, place: TaskPlace) -> TaskPlace:
        """Note the job that the system has under a submission's name, where the launcher was killed
        before it could.
        """
        if not self._look.at:
            places = list(self._places.values())
            self._look = look(self._experiment.directory, self._cluster, places, 0.0)
        job = self._look.job(place.submission)
        if job is None:
            return place
        submission = place.submission.with_job(job)
        self._places = {
            run: (
                replace(other, submission=submission)
                if other.submission.path == submission.path
                else other
            )
            for run, other in self._places.items()
        }
        return replace(place, submission=submission)

    # ---- how they stand --------------------------------------------------------------------------

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | None]:
        """Return how each run ended, or None while its task may go on with it."""
        self._begin_look(POLITE)
        most = _FILES * max(1.0, len(handles) / _MANY)
        period = min(most, max(_LEAST_FILES_S, _FILES_SHARE * self._files_took))
        answered = self._stopping and self._look.at > self._look_used  # somebody waits for it
        if time.monotonic() - self._files_seen < period and not answered:
            return dict.fromkeys(handles)
        self._files_seen, self._look_used = time.monotonic(), self._look.at
        self._find_takers()
        for again, kill in self._setbacks.due(self._look.at):
            if left := [handle for handle in again if handle in self._watched]:
                self.stop(left, kill)
        answers = {handle: self._ended(handle) for handle in handles if handle in self._watched}
        for handle, outcome in answers.items():
            if outcome is not None:
                self._conclude(handle, outcome)
        self._submit_rest()
        kept_back = [h for h in handles if h not in answers and h not in self._watched]
        answers |= {h: self._waiting.ended(h, len(self._watched)) for h in kept_back}
        self._files_took = time.monotonic() - self._files_seen
        return {**dict.fromkeys(handles), **answers}

    def _find_takers(self) -> None:
        """Note which tasks have taken runs of others."""
        self._takers.look(watch.place for watch in self._watched.values())
        for watch in self._watched.values():
            watch.place = self._takers.place(watch.run, watch.place)

    def _ended(self, handle: Handle) -> Outcome | None:
        watch, sight = self._watched[handle], self._look
        task = sight.task(watch.place)
        is_over = sight.gone(watch.place) or (task is not None and task.over)
        # The one question of a run that goes on: hundreds are looked at ten times a second.
        if not (is_over or watch.stopped or os.path.exists(handle.run_dir.outcome_file)):  # noqa: PTH110
            return None
        # Here one answer is enough: a task that began is in it, or has left a run's attempt.
        is_out = watch.is_withdrawn and task is None and sight.at > watch.stopped_at
        if is_out:
            see_anew(handle.run_dir.path)
        evidence = evidence_of(watch.place, handle.run_dir, sight, handle.attempt, self._policy)
        is_out = is_out and evidence.latest < evidence.attempt
        unsubmitted = watch.stopped and watch.place.submission.job is None and task is None
        waits_still = sight.waits(watch.place) and sight.at > watch.stopped_at > 0
        outcome = how_it_ended(
            replace(
                evidence,
                gone=evidence.gone or unsubmitted,
                stopped=watch.stopped,
                barred=watch.barred or is_out or (watch.stopped and waits_still),
                system=self._cluster.title,
            )
        )
        if outcome is None or outcome is evidence.outcome or watch.stopped:
            return outcome
        if self._takers.is_open(watch.run, watch.place) and not self._bar(watch):
            return None  # a task has begun it; else none can any more
        was_left = watch.was_stopped and evidence.latest < evidence.attempt
        if outcome.kind == "lost":
            was_left = was_left or self._takers.was_left(watch.run, watch.place)
            was_left = was_left or self._unfit_ends.count(watch.run, evidence)
        if not was_left:
            return outcome
        watch = self._watched.pop(handle)
        self._waiting.give_back(handle, watch.run, watch.place.attempt)
        return None  # it is submitted anew

    def _bar(self, watch: _Watch) -> bool:
        """See to it that no task begins a run any more; false where one has, or that cannot be seen
        to yet.
        """
        try:
            return self._site.take([watch.place.submission.taker(watch.run)])[0]
        except (RunslotError, OSError) as error:  # the login host is away, the disk is full
            self._setbacks.say(f"{error}; it is tried again")
            return False

    def _conclude(self, handle: Handle, outcome: Outcome) -> None:
        """Leave the outcome in the run's directory, and watch it no longer."""
        watch = self._watched.pop(handle)
        self._waiting.conclude(watch.place)
        if watch.stopped and outcome.started is None and handle.run_dir.read_attempt() is None:
            return  # it never began: the journal has it, and thousands of files say no more
        settle(handle.run_dir, outcome)

    def _begin_look(self, period: float, new: bool = False) -> None:
        """Ask the system in a thread, so that a slow controller keeps nobody waiting."""
        if self._looking is not None and self._looking.is_alive():
            self._again = self._again or new
            return
        asks = self._watched or self._waiting.leaving
        if not asks or time.monotonic() - self._last_look < period:
            return
        self._last_look = time.monotonic()
        oldest = time.time() - (0.0 if new else POLITE - 1)
        self._looking = threading.Thread(target=self._ask, args=(oldest,), daemon=True)
        self._looking.start()

    def _ask(self, oldest: float) -> None:
        watched = [
            (handle.run_dir, watch.run, watch.place)
            for handle, watch in list(self._watched.items())
        ]
        places = [*(place for _, _, place in watched), *self._waiting.leaving]
        try:
            sight = look(self._experiment.directory, self._cluster, places, oldest)
            fetch_begun(self._site, sight, watched)
            self._look = sight
            self._problem = ""
        except (RunslotError, OSError) as error:
            if not self._problem:
                self._say(f"{error}; the runs go on, and it is asked again")
            self._problem = str(error)
        if self._again:  # a stop came meanwhile
            self._again = False
            self._ask(time.time())
        self._bell.ring()

    # ---- stopping --------------------------------------------------------------------------------

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Cancel tasks whose runs are all to stop; of other tasks ask the workers, and ask at once
        what came.
        """
        watches = [self._watched[handle] for handle in handles if handle in self._watched]
        for handle in handles:
            self._waiting.handles.pop(handle, None)
        for watch in watches:
            watch.stopped = self._stopping = True
        caught = partial(self._setbacks.caught, handles, kill)
        # First what keeps a task from starting, or from starting again, a run that is to stop.
        with caught():
            self._site.touch([watch.place.submission.stopped(watch.run) for watch in watches])
        with caught():  # then which task has taken what, since the last look
            if self._site.moved:
                self._site.fetch((), {watch.place.submission.path for watch in watches})
        self._find_takers()
        places_of = {watch.task: watch.place for watch in watches}
        stopping = {watch.run for watch in watches}
        going_on = {task for task, place in places_of.items() if self._goes_on(place, stopping)}
        with caught():
            recent = recent_look(self._experiment.directory, self._cluster.word, self._look)
            idle = {task: place for task, place in places_of.items() if task not in going_on}
            waiting = {task for task, place in idle.items() if recent.waits(place)}
            self._cancel(idle, kill)
            for watch in watches:
                watch.is_withdrawn = watch.task in waiting
        unbegun = [
            watch
            for watch in watches
            if watch.task in going_on and self._takers.is_open(watch.run, watch.place)
        ]
        links = [watch.place.submission.taker(watch.run) for watch in unbegun]
        with caught():
            for watch, is_barred in zip(unbegun, self._site.take(links), strict=True):
                watch.barred = is_barred
        for watch in watches:
            watch.stopped_at = time.time()
        by_worker = kill and not self._cluster.kills_all
        with caught():
            self._ask_workers([w for w in watches if by_worker or w.task in going_on], kill)
        self._last_look = 0.0
        self._files_seen, self._look_used = time.monotonic(), time.time()
        self._begin_look(0.0, new=True)

    def _goes_on(self, place: TaskPlace, stopping: Set[str]) -> bool:
        """Tell whether a task has a run left that was not asked to stop, also one that this
        launcher does not watch.
        """
        if place.submission.slots:  # a pilot asks for further runs
            return not stop_file(self._experiment.directory).exists()
        for run, attempt in self._takers.runs_of(place):
            if run in stopping or place.submission.stopped(run).exists():
                continue
            if not self._runs:
                self._runs = {run.id: run for run in self._experiment.directory.read_runs()}
            outcome = self._experiment.run_dir(self._runs[run]).read_outcome()
            if outcome is None or outcome.attempt < attempt or outcome.kind in {"stopped", "lost"}:
                return True
            if outcome.kind != "succeeded" and outcome.attempt < attempt + self._policy.retries:
                return True
        return False

    def _cancel(self, tasks: Mapping[tuple[str, int], TaskPlace], kill: bool) -> None:
        by_job: dict[str, list[int]] = {}
        for place in tasks.values():
            task = self._look.task(place)  # which may have been submitted anew, from its node
            job = task.job if task is not None else self._look.job(place.submission)
            if job is not None:
                by_job.setdefault(job, []).append(place.task)
        jobs = {place.submission.job_name: place.submission.job for place in tasks.values()}
        self._cluster.cancel(by_job, jobs, kill)

    def _ask_workers(self, watches: Sequence[_Watch], kill: bool) -> None:
        by_worker: dict[str, list[str]] = {}
        for watch in watches:
            by_worker.setdefault(watch.place.submission.worker(watch.place.task), []).append(
                watch.run
            )
        verb = "kill" if kill else "stop"
        requests = [
            leave_request(self._experiment.directory, verb, runs, worker)
            for worker, runs in by_worker.items()
        ]
        self._site.send(requests)

    # ---- waiting ---------------------------------------------------------------------------------

    def wait(self, timeout: float | None) -> None:
        """Return when the system has said something, on `wake`, or after `timeout` seconds."""
        patience = max(_LEAST_FILES_S, min(_FILES, _FILES_SHARE * self._files_took))
        self._bell.wait(patience if timeout is None else min(timeout, patience))

    def wake(self) -> None:
        """Make `wait` return."""
        self._bell.ring()

    def close(self) -> None:
        """Leave the runs to the system."""
        if self._looking is not None:
            self._looking.join(timeout=1.0)
        self._cluster.close()

    def _say(self, text: str) -> None:
        self._observer(Said(text))
