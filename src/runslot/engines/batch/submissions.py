"""What an experiment keeps of its submissions: `slurm/0001/`, one for each array, written before it
is handed over.

So that whatever is killed when, it can be found out which run went into which task, and whether the
system has it. The directory is the batch system's word: `slurm`, `pbs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from runslot.engines.batch.task import task_name
from runslot.errors import Damaged
from runslot.experiment.files import read_json, write_atomically, write_json
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.shape import FORMAT, check_format
from runslot.record import record
from runslot.terminal_text import one_line

Tasks = Sequence[Sequence[tuple[str, int]]]
"""By task: the runs that it does, by their ids, and the attempt that was asked for of each."""

_TASKS = "tasks.json"
_JOB = "job.json"
_WITHDRAWN = "withdrawn"
_SCRIPT = "script.sh"
_STOPPED = "stopped"
_TAKERS = "takers"
EMPTY = "empty"
UNFIT = "unfit"
"""The directory of what nodes lacked: a file for each, which says what."""
_LINE_LIMIT = 300
"""Characters of what a task or a node says."""
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def job_name(experiment: str, token: str, longest: int = 40) -> str:
    """Return a name that people recognise and that no other job has, since `token` is in it."""
    return f"{_NO_NAME.sub('_', experiment)[:longest]}-{token}"


def is_job_name(name: object) -> bool:
    """Tell whether this is a name as `job_name` gives them."""
    start, _, token = str(name).rpartition("-")
    return not _NO_NAME.search(start) and re.fullmatch("[0-9a-f]{8}", token) is not None


@record
class PackLimits:
    """How the tasks of an array take each other's runs."""

    width: int = 1
    """Runs that a task does at the same time."""
    run_s: float = 30.0
    """What a run takes at most after which its task takes a further one."""
    task_s: float = 600.0
    """What a task may have taken at the expected end of a run of another one's that it takes."""


@record
class Submission:
    """One array, which may have been handed over."""

    path: Path
    job_name: str
    tasks: Tasks
    job: str | None = None
    """The system's id for it; None where it was not handed over, or the answer not noted."""
    withdrawn: bool = False
    """Its tasks will do nothing, should the system have them after all."""
    slots: int = 0
    """Of pilots: how many runs each has at a time, for which it asks by itself; 0 where the tasks
    have their runs.
    """
    pack: PackLimits | None = None
    """How its tasks take each other's runs; None where each does its own alone, all at once."""

    @property
    def number(self) -> str:
        """`0001`."""
        return self.path.name

    @property
    def system(self) -> str:
        """The batch system's word."""
        return self.path.parent.name

    @property
    def directory(self) -> str:
        """Where it lies, relative to the experiment."""
        return f"{self.system}/{self.number}"

    @property
    def script(self) -> Path:
        """What is submitted."""
        return self.path / _SCRIPT

    def log(self, task: int) -> Path:
        """What a task printed."""
        return self.path / f"{task}.log"

    def pilot(self, task: int) -> str:
        """Return what the journal calls the pilot that a task is."""
        return f"{self.directory}/{task}"

    def worker(self, task: int) -> str:
        """Return the name of the worker that a task is, under which it takes requests."""
        return f"{self.system}-{self.number}-{task}"

    def stopped(self, run_id: str) -> Path:
        """The file that says that a run of it is not to be started, or started again."""
        return self.path / _STOPPED / run_id

    @property
    def takers(self) -> Path:
        """The directory of who does which run, where tasks take each other's."""
        return self.path / _TAKERS

    def taker(self, run_id: str) -> Path:
        """The link that says which task does a run."""
        return self.takers / run_id

    @property
    def empty(self) -> Path:
        """The file that says that no run is left to be taken: tasks that have none end at once."""
        return self.path / EMPTY

    @property
    def withdrawal(self) -> Path:
        """The file that says that none of it is to be done."""
        return self.path / _WITHDRAWN

    def unfit_nodes(self) -> dict[str, str]:
        """Return which nodes could not do its tasks, by name, and what they lacked."""
        return {note.name: _first_line(note) for note in self._unfit_notes()}

    def unfit_tasks(self) -> set[int]:
        """Return the tasks that a node could not do, as far as they stand in its note."""
        lines = {line for note in self._unfit_notes() for line in _lines(note)[1:]}
        return {int(line) for line in lines if line.isdecimal()}

    def _unfit_notes(self) -> Iterator[Path]:
        for place in (Path.home() / ".runslot" / UNFIT / self.job_name, self.path / UNFIT):
            if place.is_dir():
                yield from (note for note in sorted(place.iterdir()) if note.suffix != ".log")

    @property
    def tasks_file(self) -> Path:
        """Which runs its tasks do."""
        return self.path / _TASKS

    def with_job(self, job: str) -> Submission:
        """Note the id that the system gave, and return the submission with it."""
        write_json(self.path / _JOB, {"format": FORMAT, "job": job})
        return replace(self, job=job)

    def noted(self) -> float | None:
        """Return when the id was noted, in Unix time."""
        try:
            return (self.path / _JOB).stat().st_mtime
        except OSError:
            return None


@record
class TaskPlace:
    """Where a run stands: in which task of which submission."""

    submission: Submission
    task: int
    attempt: int
    """The one that was asked for."""

    @property
    def name(self) -> str:
        """What the journal calls it: `12345_7`, or before the system has it `0001_7`."""
        return task_name(self.submission.job or self.submission.number, self.task)


def add_submission(
    experiment: ExperimentDir,
    system: str,
    job_name: str,
    tasks: Tasks,
    slots: int = 0,
    pack: PackLimits | None = None,
) -> Submission:
    """Record an array that is about to be submitted; its script comes next."""
    place = experiment.path / system
    place.mkdir(exist_ok=True)
    number = 1 + max(
        (int(entry.name) for entry in place.iterdir() if entry.name.isdecimal()), default=0
    )
    path = place / f"{number:04}"
    path.mkdir()
    (path / _STOPPED).mkdir()
    (path / UNFIT).mkdir()
    submission = Submission(path, job_name, tasks, slots=slots, pack=pack)
    if pack is not None:
        submission.takers.mkdir()
    content = {
        "format": FORMAT,
        "job_name": submission.job_name,
        "tasks": [list(map(list, task)) for task in tasks],
        **({"slots": slots} if slots else {}),
        **({"pack": asdict(pack)} if pack is not None else {}),
    }
    write_json(path / _TASKS, content)
    return submission


def write_script(submission: Submission, text: str) -> None:
    """Write the script of an array."""
    write_atomically(submission.script, text)


def read_submission(path: Path) -> Submission | None:
    """Return the submission that lies in `path`; None where its record was never completed."""
    value = read_json(path / _TASKS)
    if value is None:
        return None
    try:
        check_format(value)
        name = str(value["job_name"])
        tasks = [[(str(run), int(attempt)) for run, attempt in task] for task in value["tasks"]]
        slots = int(value.get("slots", 0))
        pack = None if value.get("pack") is None else _read_pack(value["pack"])
    except Damaged as error:
        raise type(error)(f"{path / _TASKS}: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Damaged(
            f"{path / _TASKS} does not say which runs its tasks do ({error!r})"
        ) from error
    if not is_job_name(name):
        raise Damaged(
            f"{path / _TASKS} names the job {name!r:.80}, which is none that runslot submits"
        )
    record = read_json(path / _JOB) or {}
    try:
        check_format(record)
    except Damaged as error:
        raise type(error)(f"{path / _JOB}: {error}") from error
    job = record.get("job")
    if not isinstance(job, str | None):
        raise Damaged(f"{path / _JOB} names the job {job!r:.80}, which is no text")
    return Submission(path, name, tasks, job, (path / _WITHDRAWN).exists(), slots, pack)


def _read_pack(value: Mapping[str, Any]) -> PackLimits:
    return PackLimits(int(value["width"]), float(value["run_s"]), float(value["task_s"]))


def submission_of(experiment: ExperimentDir, system: str, number: str) -> Submission | None:
    """Return a submission by its number, `0001`."""
    return read_submission(experiment.path / system / number)


def read_submissions(experiment: ExperimentDir, system: str) -> list[Submission]:
    """Return all submissions, the oldest first."""
    place = experiment.path / system
    if not place.is_dir():
        return []
    submissions = (
        read_submission(path) for path in sorted(place.iterdir()) if path.name.isdecimal()
    )
    return [submission for submission in submissions if submission is not None]


def places(submissions: Iterable[Submission]) -> dict[str, TaskPlace]:
    """Return by run id where each run was put last."""
    return {
        run: TaskPlace(submission, task, attempt)
        for submission in submissions
        if not submission.withdrawn
        for task, runs in enumerate(submission.tasks)
        for run, attempt in runs
    }


def queue_file(experiment: ExperimentDir, system: str) -> Path:
    """Where the system's last answer is kept, so that all who look at an experiment ask but
    once.
    """
    return experiment.path / system / "queue.json"


def in_batches(runs: Sequence[tuple[str, int]], runs_per_job: int, most_tasks: int) -> list[Tasks]:
    """Divide runs, in their order, into tasks, and tasks into arrays of at most `most_tasks`."""
    tasks = [
        tuple(runs[first : first + runs_per_job]) for first in range(0, len(runs), runs_per_job)
    ]
    return [tasks[first : first + most_tasks] for first in range(0, len(tasks), most_tasks)]


def last_line(log: Path) -> str:
    """Return the last line that a task printed, at most 300 characters of it; empty where there is
    none.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4000))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    printed = [line.strip() for line in lines if line.strip()]
    return printed[-1][:_LINE_LIMIT] if printed else ""


def _first_line(note: Path) -> str:
    return next(iter(_lines(note)), "")


def _lines(note: Path) -> list[str]:
    try:
        with note.open(errors="replace") as file:
            return [one_line(line.strip()[:_LINE_LIMIT]) for line in file]
    except OSError:  # on a disk that comes and goes
        return []
