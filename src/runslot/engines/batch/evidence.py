"""What an experiment's files and its batch system together say of a run, and what is written down
of it; for the launcher, and for whoever else looks.
"""

from __future__ import annotations

from collections import Counter

from runslot.engines.batch.cluster import BatchCluster
from runslot.engines.batch.queue import Look
from runslot.engines.batch.submissions import TaskPlace, last_line
from runslot.engines.batch.task import SAYING, RunEvidence, Task
from runslot.experiment.files import see_anew, write_json
from runslot.experiment.records import Attempt, Outcome, Policy
from runslot.experiment.rundir import RunDir

_UNFIT_ENDS_LIMIT = 3
"""After which a run is lost whose node, each time, could not do its task."""


def settle(run_dir: RunDir, outcome: Outcome) -> None:
    """Leave an outcome in the run's directory, for all who read it, where the task could not or
    knew less.
    """
    present = run_dir.read_outcome()
    if present is not None and (present.attempt > outcome.attempt or present == outcome):
        return
    try:
        write_json(run_dir.outcome_file, outcome.to_json())
    except OSError:  # deleted, read-only, a full disk: the next one to look concludes the same
        pass


def evidence_of(
    place: TaskPlace, run_dir: RunDir, sight: Look, attempt: int, policy: Policy
) -> RunEvidence:
    """Return what is known of a run in a task: from its directory, and from its system."""
    task, (record, outcome) = sight.task(place), _files_of(run_dir)
    is_over = sight.gone(place) or (task is not None and task.over)
    if is_over and (outcome is None or outcome.kind != "succeeded"):
        see_anew(run_dir.path)  # what is concluded now, nobody looks at again
        record, outcome = _files_of(run_dir)
    # Many servers of PBS know nothing of a job that has ended: its log and its node's note remain.
    says = is_over and outcome is None and (task is None or task.state in SAYING)
    return RunEvidence(
        attempt,
        place.attempt + policy.retries,
        outcome,
        task,
        sight.gone(place),
        last_line=_last_word(place, task) if says else "",
        latest=0 if record is None else record.attempt,
        unfit=says and place.task in place.submission.unfit_tasks(),
        resumable=policy.resumable or place.submission.slots > 0,  # others go on with a search's
        dropped=sight.dropped(place) and not place.submission.log(place.task).exists(),
    )


def _files_of(run_dir: RunDir) -> tuple[Attempt | None, Outcome | None]:
    record = run_dir.read_attempt()  # before the outcome: one that is newer is then seen as well
    return record, run_dir.read_outcome()


class UnfitEnds:
    """How often nodes could not do the tasks of runs, where the system can keep off no node: such a
    run is submitted anew, and the node's hold-off (`script`) lets others get it.
    """

    def __init__(self, cluster: BatchCluster) -> None:
        self._limit = 0 if cluster.excludes_nodes else _UNFIT_ENDS_LIMIT
        self._count_by_run: Counter[str] = Counter()

    def count(self, run: str, evidence: RunEvidence) -> bool:
        """Tell whether a run is to be submitted anew, whose task has ended."""
        if not evidence.unfit or evidence.latest >= evidence.attempt:
            return False
        self._count_by_run[run] += 1
        return self._count_by_run[run] <= self._limit


def _last_word(place: TaskPlace, task: Task | None) -> str:
    """Return what a task printed last, or what its node lacked, where it could print nothing."""
    words = last_line(place.submission.log(place.task))
    return words or ("" if task is None else place.submission.unfit_nodes().get(task.node, ""))
