"""What each task of an array executes: `runslot.pyz task EXPERIMENT --submission N --task K`.

It is the batch script's own process, so that the system's signals reach it; it does its runs as
`runslot work` does, in slots of the job's allocation, and has itself requeued where its time ran
out and its runs can continue.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

from runslot.engines.batch.submissions import Submission, places, read_submissions, submission_of
from runslot.errors import NotFound
from runslot.experiment.claim import is_claimed
from runslot.experiment.files import write_json
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome
from runslot.experiment.rundir import ExperimentDir
from runslot.hardware.lockfile import DIRECTORY_VARIABLE
from runslot.launch.printer import Printer
from runslot.record import record
from runslot.remote.batch_job import SYSTEMS, BatchJob, JobAllocation
from runslot.remote.batch_pack import Pack
from runslot.remote.worker import UNFINISHED_STATUS, Notices, WorkItem, work

_EARLY = 90
"""Seconds beyond what was asked for by which the signal may be early, and some more for ending the
runs.
"""
_CLAIM = 120.0
"""Seconds for which a file system may keep the lock of a node that is gone."""
_END = 60.0
"""Seconds that the system has to end a task that has itself requeued."""


@record
class _Task:
    """What this process is to do."""

    directory: ExperimentDir
    submission: Submission
    index: int
    job: BatchJob
    ahead: int
    """Seconds before the time limit at which the system tells of it."""
    moved: bool
    script: str | None
    """Of this job, where it can say what its node lacks."""


def main(argv: Sequence[str]) -> int:
    """Do the runs of one task; returns as `runslot work` does."""
    turn = _turn()
    with _signals() as received, Notices() as notices:
        if os.environ.pop("RUNSLOT_TIME_UP", ""):
            os.kill(os.getpid(), signal.SIGUSR1)  # it came while the script was at work
        task = _open(argv)
        if task.submission.pack is None:
            turn()
        if task.submission.slots:
            has_more = _fly(task, notices)
        else:
            pack = Pack(task.directory, task.submission, task.index, task.job, Printer(), turn)
            status, runs = _work(task, pack, notices)
    if task.submission.slots:
        return _end_flight(task, has_more, received)
    return _end(task, status, runs, pack, received)


def _open(argv: Sequence[str]) -> _Task:
    options = _parser().parse_args(argv)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream: the task's log
    directory = ExperimentDir(os.path.abspath(options.experiment))  # noqa: PTH100  links stay as the user sees them
    job = SYSTEMS[options.system](os.environ, options.limit)
    os.environ.update(job.named_gpus())
    script = os.environ.pop("RUNSLOT_SCRIPT", None)
    for name in ("RUNSLOT_UNFIT_NODE", "RUNSLOT_UNFIT_CAUSE"):
        os.environ.pop(name, None)
    submission = submission_of(directory, options.system, options.submission)
    if submission is None:
        raise NotFound(f"{directory.path} has no submission {options.submission}")
    return _Task(directory, submission, options.task, job, options.ahead, options.moved, script)


def _work(task: _Task, pack: Pack, notices: Notices) -> tuple[int, Sequence[WorkItem]]:
    """Do the runs of a task; return the worker's status, and which they were."""
    directory, submission = task.directory, task.submission
    runs: list[WorkItem] = []
    packs = submission.pack is not None
    try:
        # First of all: a log with something in it is of a task that may have taken runs.
        print(f"task {task.index} of {submission.directory} on {host_name()}")
        runs = pack.open() if packs else _runs(directory, submission, task.index)
        if not runs:
            print("nothing to do: its runs were stopped, or are other tasks'")
            return 0, runs
        _wait_for_claims(directory, runs)
        with _own_locks():
            task.job.tell_in_time(task.ahead)
            status = work(
                directory,
                runs,
                submission.worker(task.index),
                task.moved,
                place=JobAllocation(job=task.job),
                growth=pack if packs else None,
                notices=notices,
            )
    except OSError as error:  # a full disk, no more processes: this node's
        if task.script is None or _begun(directory, runs):
            raise
        _report_unfit(task.script, str(error))
    return status, runs


def _end(
    task: _Task, status: int, runs: Sequence[WorkItem], pack: Pack, received: Collection[int]
) -> int:
    """Have the task started again where its time is up and there is more for it."""
    is_done = status != UNFINISHED_STATUS and (task.submission.pack is None or pack.is_done)
    if is_done or not _time_is_up(task.job, received, task.ahead):
        return status
    if task.directory.read().policy.resumable:
        return _requeue(task.job, UNFINISHED_STATUS)
    late_ids = {item.run.id for item in runs if pack.is_late(item.run)}
    _say_timed_out(task, [item for item in runs if item.run.id not in late_ids])
    if late_ids or not (task.submission.pack is None or pack.is_done):
        return _requeue(task.job, UNFINISHED_STATUS)
    return 1


def _fly(task: _Task, notices: Notices) -> bool:
    """Be a pilot of a search; tell whether there is more for one."""
    from runslot.remote.batch_pilot import SearchMissing, fly  # most tasks have their runs

    if task.submission.withdrawn:
        return False
    try:
        with _own_locks():
            task.job.tell_in_time(task.ahead)
            return fly(
                task.directory,
                task.submission,
                task.index,
                task.job,
                task.ahead,
                task.moved,
                notices,
            )
    except SearchMissing as error:
        if task.script is None:
            raise
        _report_unfit(task.script, str(error))


def _end_flight(task: _Task, has_more: bool, received: Collection[int]) -> int:
    """Have the pilot started again where its time is up and there is more."""
    if not has_more:
        return 0
    if signal.SIGTERM in received and not _time_is_up(task.job, received, task.ahead):
        return UNFINISHED_STATUS
    return _requeue(task.job, UNFINISHED_STATUS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runslot task", description="Do the runs of one task of a job array."
    )
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", help="a directory with an experiment.json"
    )
    parser.add_argument(
        "--submission", metavar="N", required=True, help="which array: a directory below slurm/"
    )
    parser.add_argument(
        "--system",
        choices=SYSTEMS,
        default="slurm",
        help="which batch system: the directory above it",
    )
    parser.add_argument(
        "--task", type=int, metavar="K", required=True, help="which of its tasks, from 0"
    )
    parser.add_argument(
        "--limit",
        type=float,
        metavar="S",
        help="the job's time limit, where the system does not tell",
    )
    parser.add_argument(
        "--ahead", type=int, default=0, metavar="S", help="how early the time limit is told"
    )
    parser.add_argument("--moved", action="store_true", help="the directory was brought here")
    return parser


def _turn() -> Callable[[], None]:
    """Return what lets the next task of this node begin, which waits for this one (`script`)."""
    number = os.environ.pop("RUNSLOT_TURN", "")
    if not number.isdigit():
        return lambda: None
    file = open(int(number), "ab")  # noqa: SIM115, PTH123  with the shell's lock; none of a run's
    os.set_inheritable(file.fileno(), False)
    return file.close


def _runs(directory: ExperimentDir, submission: Submission, task: int) -> list[WorkItem]:
    """Return the runs of a task, less those that were stopped meanwhile, or put into another
    array.
    """
    if submission.withdrawn:
        return []
    last = places(read_submissions(directory, submission.system))
    by_id = {run.id: run for run in directory.read_runs()}
    runs = [WorkItem(by_id[run], attempt) for run, attempt in submission.tasks[task]]
    items = [item for item in runs if last[item.run.id].submission.number == submission.number]
    return [item for item in items if not submission.stopped(item.run.id).exists()]


def _wait_for_claims(directory: ExperimentDir, runs: Sequence[WorkItem]) -> None:
    """Wait until the locks of this task's last try are gone: it was ended, but its node's may
    linger on the disk.
    """
    file = directory.read()
    end = time.monotonic() + _CLAIM
    for item in runs:
        run_dir = directory.run_dir(item.run, file)
        record = run_dir.read_attempt()
        while (
            record is not None
            and record.host != host_name()
            and is_claimed(run_dir)
            and time.monotonic() < end
        ):
            time.sleep(1.0)


def _begun(directory: ExperimentDir, runs: Sequence[WorkItem]) -> bool:
    """Tell whether an attempt that was asked for has begun."""
    file = directory.read()
    records = [(directory.run_dir(item.run, file).read_attempt(), item) for item in runs]
    return any(record and record.attempt >= item.attempt for record, item in records)


def _report_unfit(script: str, cause: str) -> NoReturn:
    """Become the script again, which notes what this node lacks, and may have another do the
    task.
    """
    sys.stdout.flush()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until the script listens
    os.execve("/bin/bash", ["bash", script], {**os.environ, "RUNSLOT_UNFIT": cause})  # noqa: S606


@contextmanager
def _own_locks() -> Iterator[None]:
    """Have locks of this job's own: its share of the node is the system's to divide, and nobody's
    to wait for.
    """
    locks = _temporary_directory()
    before = os.environ.get(DIRECTORY_VARIABLE)
    os.environ[DIRECTORY_VARIABLE] = locks
    try:
        yield
    finally:
        if before is not None:
            os.environ[DIRECTORY_VARIABLE] = before
        import shutil  # not at a start, of which it would be a fiftieth

        shutil.rmtree(locks, ignore_errors=True)


def _temporary_directory() -> str:
    """Return a new directory of this user's own."""
    parent = os.path.abspath(os.environ.get("TMPDIR") or "/tmp")  # noqa: PTH100, S108
    place = f"{parent}/runslot-job-{os.getpid()}-{time.time_ns():x}"
    try:
        os.mkdir(place, 0o700)  # noqa: PTH102
    except OSError:  # as where TMPDIR is another machine's
        import tempfile

        return tempfile.mkdtemp(prefix="runslot-job-")
    return place


@contextmanager
def _signals() -> Iterator[bytearray]:
    """Note the numbers of the signals that come, whoever handles them."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    received = bytearray()
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGUSR1,)}
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield received
    finally:
        signal.set_wakeup_fd(before)
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)
        try:
            received += reader.recv(4096)
        except BlockingIOError:
            pass
        reader.close()
        writer.close()


def _time_is_up(job: BatchJob, received: Collection[int], ahead: int) -> bool:
    """Tell whether the job's own time limit is why the runs were asked to end: not a cancellation,
    nor a preemption. Where the system told of it before this process listened, the limit itself
    comes as a SIGTERM.
    """
    if not received:
        return False
    seconds = job.time_left()
    if seconds is None:
        return signal.SIGUSR1 in received and signal.SIGTERM not in received
    if signal.SIGTERM in received:
        return seconds <= 0
    return seconds <= ahead + _EARLY


def _requeue(job: BatchJob, status: int) -> int:
    """Have the system start this task again; it ends this process."""
    print("the time limit is near: the task is requeued, and its runs continue", flush=True)
    # Ignored since the worker ended: the system's would be waited for, half a minute.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    process = subprocess.run(job.requeue_command(), capture_output=True, text=True, check=False)
    if process.returncode != 0:
        print(
            f"it cannot be requeued ({process.stderr.strip()}); `runslot resume` continues the"
            " runs",
            file=sys.stderr,
        )
        return status
    time.sleep(_END)
    return status


def _say_timed_out(task: _Task, runs: Sequence[WorkItem]) -> None:
    """Say why the runs ended, or never began, which started anew would run out of time again."""
    file = task.directory.read()
    for item in runs:
        run_dir = task.directory.run_dir(item.run, file)
        outcome, record = run_dir.read_outcome(), run_dir.read_attempt()
        latest = max(0 if part is None else part.attempt for part in (outcome, record))
        if task.submission.stopped(item.run.id).exists():
            continue
        if latest < item.attempt:
            message = "the job's time limit ran out before the run began"
            outcome = Outcome("timed_out", item.attempt, message=message)
        elif outcome is not None and outcome.kind == "stopped":
            message = "the job's time limit ran out, and the run is not resumable"
            outcome = replace(outcome, kind="timed_out", message=message)
        else:
            continue
        write_json(run_dir.outcome_file, outcome.to_json())
