"""The runs of a task that takes more than one: its own, then others' that have not begun.

`batch_task` makes one and gives it to the supervisor, which asks it for a run whenever a slot is
free. Nothing is estimated: a task whose run was short takes the next one, one at a time, so that no
run waits behind another while a task is free. What must stay true: a run is taken (`takers`) before
anything of it begins; a task that is killed leaves what it has not begun to the others.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runslot.engines.batch.queue import POLITE, Look, look, read_look
from runslot.engines.batch.submissions import Submission, TaskPlace
from runslot.engines.batch.takers import Takers, take
from runslot.engines.batch.wait_reason import is_held
from runslot.engines.events import Observer, RunsAdded
from runslot.errors import RunslotError
from runslot.experiment.files import write_json
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir
from runslot.remote.batch_job import BatchJob
from runslot.remote.worker import WorkItem, next_step

if TYPE_CHECKING:
    from runslot.experiment.status import ExperimentStatus

_COMMAND_TIMEOUT_S = 30.0
_FULL_TIME_S = 30.0
"""After a task's begin within which a run has all of its time."""


class Crowd:
    """The other tasks of an array, as the last answer of the queue has them, which all share."""

    def __init__(self, directory: ExperimentDir, submission: Submission) -> None:
        self._directory = directory
        self._submission = submission
        self._last_look = -POLITE
        self._sight = Look()

    def lets(self, task: int) -> bool:
        """Tell whether runs of a task may be taken: not where that was cancelled, or is held."""
        if time.monotonic() - self._last_look >= POLITE:
            self._last_look = time.monotonic()
            # It is away, or this node has not its commands: then what was seen last has to do.
            with contextlib.suppress(RunslotError, OSError):
                self._sight = self._look()
        name = self._submission.job_name
        about = self._sight.tasks.get((name, task))
        if about is None:  # Slurm keeps nothing of one that was cancelled as it waited
            return not any(job_name == name for job_name, _ in self._sight.tasks)
        return not (about.state == "CANCELLED" or is_held(about))

    def _look(self) -> Look:
        sight = read_look(self._directory, self._submission.system)
        is_new = sight.is_from(time.time() - POLITE)
        if is_new and self._submission.job_name in sight.job_names:
            return sight  # so with most tasks, which need nothing of what follows
        from runslot.engines.batch.config import BatchConfig
        from runslot.engines.registry import of_experiment

        config = of_experiment(self._directory.read())
        if not isinstance(config, BatchConfig):
            return self._sight
        cluster = replace(config, login=None).cluster()  # here is the cluster
        places = [TaskPlace(self._submission, i, 1) for i in range(len(self._submission.tasks))]
        return look(self._directory, cluster, places, time.time() - POLITE)


class Pack:
    """The runs of one task, as they come (a `Growth`)."""

    problem = ""
    is_over = True
    expects = False

    def __init__(
        self,
        directory: ExperimentDir,
        submission: Submission,
        task: int,
        job: BatchJob,
        observer: Observer,
        turn: Callable[[], None] = lambda: None,
    ) -> None:
        """Make one; `turn` lets the next task of this node begin, when a run of this one has."""
        self.items: list[WorkItem] = []
        """What this task has taken."""
        self.began = time.monotonic()
        self._directory = directory
        self._submission = submission
        self._task = task
        self._job = job
        self._observer = observer
        self._turn = turn
        self._shortage: OSError | None = None
        self._takers = Takers()
        self._runs = {run.id: run for run in directory.read_runs()}
        self._file = directory.read()
        self._owners = {
            run: owner for owner, runs in enumerate(submission.tasks) for run, _ in runs
        }
        self._attempts = dict(run for runs in submission.tasks for run in runs)
        self._started: dict[str, float] = {}
        self._longest = 0.0
        self._crowd = Crowd(directory, submission)
        self._is_short = False
        """The run that ended last allows another one."""

    @property
    def most(self) -> int:
        """How many runs there may be at one time."""
        return 1 if self._submission.pack is None else self._submission.pack.width

    @property
    def is_done(self) -> bool:
        """Whether each of this task's own runs has been taken, by whoever it was."""
        return not any(self._own(self._takers.of(self._submission)))

    def is_late(self, run: Run) -> bool:
        """Tell whether a run was cut off, or had not begun, that had only a part of the task's
        time.
        """
        run_dir = self._directory.run_dir(run, self._file)
        outcome = run_dir.read_outcome()
        is_cut = outcome is None or outcome.kind == "stopped"
        began = self._started.get(run.id, time.monotonic() if outcome is None else self.began)
        return is_cut and began - self.began > _FULL_TIME_S and not self._is_stopped(run.id)

    def open(self) -> list[WorkItem]:
        """Return what the task begins with: what it has taken before, if it was started again, and
        its own; others' where those are gone.
        """
        takers = self._takers.of(self._submission)
        self.items = [self._item(run) for run, task in takers.items() if task == self._task]
        policy = self._file.policy
        steps = [
            next_step(self._directory.run_dir(item.run, self._file), item.attempt, policy)
            for item in self.items
        ]
        under_way = sum(step.do != "leave" for step in steps)
        self._is_short = True
        self._grow(max(0, self.most - under_way))
        self._is_short = False
        if self._shortage is not None and not self.items:
            raise self._shortage
        return self.items

    def grow(self, room: int) -> Sequence[tuple[Run, int]]:
        """Take further runs, up to so many, and return them with the number of their attempt."""
        starts = self._grow(room)
        if starts:
            self._observer(RunsAdded(tuple(run for run, _ in starts)))
        return starts

    def _grow(self, room: int) -> Sequence[tuple[Run, int]]:
        starts: list[tuple[Run, int]] = []
        while len(starts) < room and (item := self._take()) is not None:
            self.items.append(item)
            run_dir = self._directory.run_dir(item.run, self._file)
            step = next_step(run_dir, item.attempt, self._file.policy)
            if step.do == "start":
                starts.append((item.run, step.attempt))
        return starts

    def _take(self) -> WorkItem | None:
        """Take the run that comes next; None where there is none for this task."""
        if self._submission.withdrawal.exists():
            return None
        takers = self._takers.of(self._submission)
        for run in itertools.chain(self._own(takers), self._others(takers)):
            try:
                is_taken = take(self._submission.taker(run), self._task)
            except OSError as error:  # a full disk: it is left to another one
                self._shortage = error
                return None
            if is_taken and not self._is_stopped(run):
                return self._item(run)
            if is_taken:  # in that very moment
                self._say_stopped(self._item(run))
            self._takers.of(self._submission)
        return None

    def _say_stopped(self, item: WorkItem) -> None:
        outcome = Outcome("stopped", item.attempt, message="stopped before it started")
        run_dir = self._directory.run_dir(item.run, self._file)
        write_json(run_dir.outcome_file, outcome.to_json())

    def _own(self, takers: Mapping[str, int]) -> Iterator[str]:
        """Yield which runs of this task nobody has taken."""
        for run, _ in self._submission.tasks[self._task]:
            if run not in takers and not self._is_stopped(run):
                yield run

    def _others(self, takers: Mapping[str, int]) -> Iterator[str]:
        """Yield which runs of other tasks this one may take, in their order."""
        pack = self._submission.pack
        elapsed = time.monotonic() - self.began
        if pack is None or not self._is_short or elapsed + self._longest > pack.task_s:
            return
        is_empty = True
        for run, owner in self._owners.items():
            if run in takers or self._is_stopped(run):
                continue
            is_empty = False
            if owner != self._task and self._crowd.lets(owner):
                yield run
        if is_empty:
            self._dismiss(takers)

    def _dismiss(self, takers: Mapping[str, int]) -> None:
        """Have tasks that wait for nothing end, once."""
        try:
            self._submission.empty.touch(exist_ok=False)
        except OSError:  # another task did, or the disk is full
            return
        tasks = set(range(len(self._submission.tasks))).difference(takers.values())
        command = self._job.dismissal(sorted(tasks)) if tasks else []
        if command:
            # Where it fails, each ends as soon as it has started.
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    command, capture_output=True, timeout=_COMMAND_TIMEOUT_S, check=False
                )

    def _is_stopped(self, run: str) -> bool:
        return self._submission.stopped(run).exists()

    def _item(self, run: str) -> WorkItem:
        return WorkItem(self._runs[run], self._attempts[run])

    # ---- what the supervisor tells ---------------------------------------------------------------

    def begin(self, status: ExperimentStatus) -> Sequence[tuple[Run, int]]:
        """Return nothing: the task has begun with its runs."""
        del status
        return ()

    def started(self, run: Run, attempt: int) -> None:
        """Note that an attempt of a run is under way."""
        del attempt
        self._started[run.id] = time.monotonic()
        self._turn()

    def settle(self, run: Run, outcome: Outcome) -> Outcome:
        """Return how a run ended, which its keeper knows."""
        del run
        return outcome

    def ended(self, run: Run, outcome: Outcome) -> None:
        """Note how a run ended. After one that did not succeed the task takes no further ones: it
        may be the node.
        """
        took = time.monotonic() - self._started.get(run.id, self.began)
        self._longest = max(self._longest, took)
        pack = self._submission.pack
        self._is_short = outcome.kind == "succeeded" and pack is not None and took <= pack.run_s

    def look(self, now: float) -> Sequence[str]:
        """Return no run: none is to end early."""
        del now
        return ()

    def finish(self) -> None:
        """Say nothing: the task says how its runs ended."""
