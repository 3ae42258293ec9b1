"""Hands tasks to the batch system: in arrays as large as it takes, each once; used by the launcher.

What an array consists of is on disk before the system hears of it. Where a limit of the user's lets
no further job in, the rest is given back, to be handed over as jobs end.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence

from runslot.engines.batch.cluster import BatchCluster, SubmitLimit
from runslot.engines.batch.script import ScriptWriter
from runslot.engines.batch.site import Site
from runslot.engines.batch.submissions import (
    Submission,
    Tasks,
    add_submission,
    read_submissions,
    write_script,
)
from runslot.engines.open_experiment import OpenExperiment
from runslot.errors import RunslotError


class Submitter:
    """Submits the tasks of one experiment."""

    def __init__(
        self,
        experiment: OpenExperiment,
        cluster: BatchCluster,
        site: Site,
        writer: ScriptWriter,
        say: Callable[[str], None],
    ) -> None:
        self._experiment = experiment
        self._cluster = cluster
        self._site = site
        self._writer = writer
        self._say = say
        self.obstacle: Exception | None = None
        """Why the system took no more the last time: a limit of the user's, or it was away."""

    def submit(self, tasks: Tasks, slots: int = 0) -> tuple[list[Submission], Tasks]:
        """Submit as many tasks as a limit of the user's lets, in their order; return the arrays,
        and the rest.

        An array is taken as a whole or not at all, and what is left of a limit cannot be asked for
        everywhere: smaller ones are tried. With `slots` the tasks are pilots. An error is raised
        where none was submitted; else the rest is what it kept back.
        """
        submissions: list[Submission] = []
        rest, size = list(tasks), len(tasks)
        while rest and size:
            try:
                submissions.append(self._submit_array(rest[:size], slots))
            except SubmitLimit as error:
                self.obstacle, size = error, size // 2
            except (RunslotError, OSError) as error:  # the system is away, the disk is full
                if not submissions:
                    raise
                self.obstacle = error
                break
            else:
                rest = rest[size:]
                size = min(size, len(rest))
        return submissions, rest

    def _submit_array(self, tasks: Tasks, slots: int) -> Submission:
        job_name = self._cluster.job_name(self._experiment.file.name)
        directory = self._experiment.directory
        alone = slots or sum(map(len, tasks)) == 1
        pack = None if alone else self._writer.frame.pack
        submission = add_submission(directory, self._cluster.word, job_name, tasks, slots, pack)
        write_script(submission, self._writer.script(submission))
        try:
            self._site.send([submission.path])
            if self._writer.frame.script_only:
                self._say(f"to submit {len(tasks)} tasks: {self._writer.to_type(submission)}")
                return submission
            job = self._cluster.submit(
                f"{submission.directory}/script.sh", submission.job_name, self._site.directory
            )
        except SubmitLimit:  # it is certain that the system does not have it
            shutil.rmtree(submission.path, ignore_errors=True)
            raise
        except BaseException:
            submission.withdrawal.touch()
            with contextlib.suppress(
                RunslotError, OSError
            ):  # else before its runs are submitted anew
                self._site.send([submission.withdrawal])
            raise
        return submission.with_job(job)

    def withdraw(self, runs: set[str]) -> None:
        """Make sure that no earlier submission, whose end was not noted, does these runs as
        well.
        """
        submissions = [
            submission
            for submission in read_submissions(self._experiment.directory, self._cluster.word)
            if submission.job is None and not runs.isdisjoint(_runs_of(submission.tasks))
        ]
        if withdrawn := [earlier.withdrawal for earlier in submissions if earlier.withdrawn]:
            self._site.send(withdrawn)
        unnoted = [submission for submission in submissions if not submission.withdrawn]
        if not unnoted:
            return
        self._site.touch([submission.withdrawal for submission in unnoted])
        # It may have been taken at the last moment: what has started since then ends, and is
        # started anew.
        jobs: dict[str, str | None] = {submission.job_name: None for submission in unnoted}
        late = {task.job for task in self._cluster.queue(jobs)}
        self._cluster.cancel(dict.fromkeys(sorted(late), ()), jobs)


def _runs_of(tasks: Tasks) -> Sequence[str]:
    return [run for task in tasks for run, _ in task]
