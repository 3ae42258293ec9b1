"""What an experiment's files and its batch system together say of a run, and what is written down
of it; for the launcher, and for whoever else looks.
"""

from __future__ import annotations

from runslot.engines.batch.queue import Look
from runslot.engines.batch.submissions import TaskPlace, last_line
from runslot.engines.batch.task import SAYING, RunEvidence, Task
from runslot.experiment.files import write_json
from runslot.experiment.records import Outcome
from runslot.experiment.rundir import RunDir


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
    place: TaskPlace, run_dir: RunDir, sight: Look, attempt: int, retries: int
) -> RunEvidence:
    """Return what is known of a run in a task: from its directory, and from its system."""
    record = run_dir.read_attempt()  # before the outcome: one that is newer is then seen as well
    outcome, task = run_dir.read_outcome(), sight.task(place)
    says = task is not None and task.state in SAYING and outcome is None
    return RunEvidence(
        attempt,
        place.attempt + retries,
        outcome,
        task,
        sight.gone(place),
        last_line=_last_word(place, task) if says else "",
        latest=0 if record is None else record.attempt,
        dropped=sight.dropped(place) and not place.submission.log(place.task).exists(),
    )


def _last_word(place: TaskPlace, task: Task | None) -> str:
    """Return what a task printed last, or what its node lacked, where it could print nothing."""
    words = last_line(place.submission.log(place.task))
    return words or ("" if task is None else place.submission.unfit_nodes().get(task.node, ""))
