"""`runslot work EXPERIMENT`: do runs of an experiment, or a share of them, in slots of this
machine, and end.

For engines that start a machine or a job and leave it to itself. Where each run stands is read from
its directory alone, so that several workers may serve one experiment, and a worker that was killed
may be started again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from runslot.engines.events import Observer, Said
from runslot.engines.local.config import ThisMachine
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Engine, UnderWay
from runslot.errors import InvalidInput
from runslot.experiment.claim import is_claimed, keeper_lives
from runslot.experiment.files import LARGEST_OBJECT_BYTES, read_regular
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome, Policy, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.states import UNFINISHED
from runslot.launch.printer import Printer, nothing_said
from runslot.launch.share import Share
from runslot.launch.supervisor import Supervisor
from runslot.record import record
from runslot.remote.supply import Supply
from runslot.scheduler import StopAsked
from runslot.terminal_text import one_line

if TYPE_CHECKING:
    from runslot.launch.growth import Growth

_SHARE = re.compile(r"[0-9]{1,9}/[0-9]{1,9}")
_NAME_LIMIT_BYTES = 240

UNFINISHED_STATUS = 75
"""Exit status of a worker that was asked to end before its runs had (EX_TEMPFAIL): starting it
again continues.
"""


@record
class WorkItem:
    """A run that this worker is for, and the number of the attempt that was asked for."""

    run: Run
    attempt: int = 1


@record
class Link:
    """A socket through which further runs come (`remote.supply`)."""

    descriptor: int
    most: int
    """How many this worker will have at one time at most, for the choice of slots."""


@record
class NextStep:
    """What is to be done about a run."""

    do: Literal["start", "adopt", "leave"]
    attempt: int = 1
    reason: str = ""


def next_step(run_dir: RunDir, number: int, policy: Policy) -> NextStep:
    """Return what is to be done about a run, of which attempt number `number` was asked for."""
    outcome, record = run_dir.read_outcome(), run_dir.read_attempt()
    if record is None and outcome is None:
        return NextStep("start", number)
    if outcome is not None and (record is None or outcome.attempt >= record.attempt):
        return _after(outcome, number, policy)
    assert record is not None
    lives = keeper_lives(run_dir, record)
    if lives:
        return NextStep("adopt", record.attempt)
    if lives is None and is_claimed(run_dir):
        return NextStep("leave", record.attempt, f"it runs on {record.host}")
    return NextStep("start", max(number, record.attempt + 1))


def _after(outcome: Outcome, number: int, policy: Policy) -> NextStep:
    if outcome.kind == "succeeded":
        return NextStep("leave", outcome.attempt)
    tries_left = outcome.attempt < number + policy.retries
    if outcome.kind in UNFINISHED or tries_left:
        return NextStep("start", max(number, outcome.attempt + 1))
    return NextStep("leave", outcome.attempt)


NOTICES = (signal.SIGTERM, signal.SIGUSR1)
"""An engine says that the time is up in several ways, one after the other: none shortens the
grace.
"""


class Notices:
    """Hears them from the worker's first moment to its last, not only while runs are under way."""

    def __init__(self) -> None:
        self.has_come = False
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> Notices:
        for number in NOTICES:
            signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number in NOTICES:
            signal.signal(
                number, signal.SIG_IGN
            )  # the worker ends, with a status that says what it did

    @contextmanager
    def passed_on(self, supervisor: Supervisor) -> Iterator[None]:
        """Have a supervisor stop its runs as soon as one comes, or now where one has come."""
        self._supervisor = supervisor
        if self.has_come:
            supervisor.ask(StopAsked(None))
        try:
            yield
        finally:
            self._supervisor = None

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self.has_come = True
        if self._supervisor is not None:  # it does not listen yet, or no more
            self._supervisor.ask(StopAsked(None))


def work(
    directory: ExperimentDir,
    items: Sequence[WorkItem],
    name: str,
    moved: bool = False,
    observer: Observer | None = None,
    place: ThisMachine | None = None,
    growth: Growth | None = None,
    link: Link | None = None,
    notices: Notices | None = None,
) -> int:
    """Do what is missing of these runs, and return the worker's exit status. `place` chooses the
    slots, `growth` adds to the items while they are done, and so does who sits at `link`.

    For a process of its own: SIGTERM and SIGUSR1 mean from here on that its time is up; with
    `notices`, from when those were entered.
    """
    if notices is not None:
        return _work(directory, items, name, moved, observer, place, notices, growth, link)
    with Notices() as first_notices:
        return _work(directory, items, name, moved, observer, place, first_notices, growth, link)


def _work(
    directory: ExperimentDir,
    items: Sequence[WorkItem],
    name: str,
    moved: bool,
    observer: Observer | None,
    place: ThisMachine | None,
    notices: Notices,
    growth: Growth | None,
    link: Link | None,
) -> int:
    listener = observer or Printer()
    experiment = OpenExperiment.as_worker(directory, name, dict(os.environ), moved)
    come: list[WorkItem] = []
    try:
        share = _share(experiment, items, listener)
        if not share.runs and not share.adopt and link is None:
            listener(Said(nothing_said(share.kept_count, directory.path)))
            return _status(experiment, items)
        count = len(share.runs) + len(share.adopt)
        engine = (place or ThisMachine()).open(
            experiment, count if link is None else max(count, link.most), listener
        )
        try:
            if link is not None:
                growth = _supply(experiment, items, come, share, link, engine, listener)
            supervisor = Supervisor(engine.launcher, listener, notices=NOTICES)
            supervisor.add(replace(share, slots_said=engine.slots_said, growth=growth))
            with notices.passed_on(supervisor):
                supervisor.run()
        finally:
            engine.launcher.close()
        stopped = notices.has_come or supervisor.interrupted
        unfinished = stopped and any(_next_steps(experiment, (*items, *come)))
        return UNFINISHED_STATUS if unfinished else _status(experiment, (*items, *come))
    finally:
        experiment.close()


def _supply(
    experiment: OpenExperiment,
    items: Sequence[WorkItem],
    come: list[WorkItem],
    share: Share,
    link: Link,
    engine: Engine,
    observer: Observer,
) -> Supply:
    """Return what brings further runs, which join those that have `come`."""
    runs = {run.id: run for run in experiment.directory.read_runs()}

    def next_attempt(run_id: str, number: int) -> tuple[Run, int] | None:
        item = WorkItem(runs[run_id], number)
        come.append(item)
        step = next_step(experiment.run_dir(item.run), number, experiment.policy)
        return (item.run, step.attempt) if step.do == "start" else None

    os.set_inheritable(link.descriptor, False)
    end = socket.socket(fileno=link.descriptor)
    supply = Supply(end, next_attempt, engine.launcher.wake, observer)
    share_ids = {run.id for run in (*share.runs, *(run for run, _ in share.adopt))}
    supply.hold(share_ids, [item.run.id for item in items if item.run.id not in share_ids])
    return supply


def _next_steps(
    experiment: OpenExperiment, items: Sequence[WorkItem]
) -> Iterator[tuple[WorkItem, NextStep]]:
    """Yield the runs that are not done."""
    for item in items:
        step = next_step(experiment.run_dir(item.run), item.attempt, experiment.policy)
        if step.do != "leave" or step.reason:
            yield item, step


def _share(experiment: OpenExperiment, items: Sequence[WorkItem], listener: Observer) -> Share:
    runs: list[Run] = []
    attempts: dict[str, int] = {}
    adopt: list[tuple[Run, UnderWay]] = []
    for item, step in _next_steps(experiment, items):
        if step.do == "start":
            runs.append(item.run)
            if step.attempt != 1:
                attempts[item.run.id] = step.attempt
        elif step.do == "adopt":
            record = experiment.run_dir(item.run).read_attempt()
            adopt.append((item.run, UnderWay(step.attempt, record)))
        else:
            listener(Said(f"{item.run.directory} is left alone: {step.reason}"))
    kept_count = len(items) - len(runs) - len(adopt)
    return Share(experiment, tuple(runs), attempts, tuple(adopt), kept_count)


def _status(experiment: OpenExperiment, items: Sequence[WorkItem]) -> int:
    outcomes = [experiment.run_dir(item.run).read_outcome() for item in items]
    return (
        0 if all(outcome is not None and outcome.kind == "succeeded" for outcome in outcomes) else 1
    )


# ---- the command ---------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> int:
    """Carry out `runslot work`; returns 0 where all its runs succeeded, 1 where some did not, 75 if
    it was stopped.
    """
    options = _parser().parse_args(argv)
    place = Path(os.path.abspath(options.experiment))  # noqa: PTH100  links stay as the user sees them
    directory = ExperimentDir(
        place.parent if place == ExperimentDir(place.parent).experiment_file else place
    )
    directory.read()
    runs = _items_of(directory, options)
    name = options.name or f"{host_name()}-{os.getpid()}"
    if (
        "/" in name
        or name != one_line(name)
        or name in {".", ".."}
        or len(os.fsencode(name)) > _NAME_LIMIT_BYTES
    ):
        raise InvalidInput(
            f"--name {name!r:.80}: a worker's name is that of its directory, in the experiment's"
            " workers"
        )
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream: into a job's log
    link = None if options.supply is None else Link(options.supply, options.most)
    return work(directory, runs, name, options.moved, link=link)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runslot work",
        description=(
            "Do runs of an experiment in slots of this machine: all of them, a share, or a task of"
            " a batch."
        ),
    )
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", help="a directory with an experiment.json"
    )
    parser.add_argument(
        "--share", metavar="K/N", help="of N workers this is number K, from 1: every N-th run"
    )
    parser.add_argument(
        "--batch",
        type=Path,
        metavar="FILE",
        help="a JSON list of tasks, a task a list of [run, attempt]",
    )
    parser.add_argument("--task", type=int, metavar="K", help="with --batch: which task, from 0")
    parser.add_argument(
        "--supply", type=int, metavar="FD", help="a socket through which further runs come"
    )
    parser.add_argument(
        "--most", type=int, default=1, metavar="N", help="with --supply: how many at one time"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="the worker's, for its journal; else of host and process"
    )
    parser.add_argument(
        "--moved",
        action="store_true",
        help="the directory was brought here: use its copy of the code, and this Python",
    )
    return parser


def _items_of(directory: ExperimentDir, options: argparse.Namespace) -> list[WorkItem]:
    runs = directory.read_runs()
    if options.batch is not None:
        return _of_batch(runs, options.batch, options.task)
    if options.task is not None:
        raise InvalidInput("--task is a task of a --batch FILE, which is missing")
    if options.share is None:
        return [WorkItem(run) for run in runs]
    number, _, of = options.share.partition("/")
    if not (_SHARE.fullmatch(options.share) and 1 <= int(number) <= int(of)):
        raise InvalidInput(f"--share {options.share}: write K/N with K from 1 to N, as 2/3")
    return [WorkItem(run) for run in runs[int(number) - 1 :: int(of)]]


def _of_batch(runs: Sequence[Run], file: Path, task: int | None) -> list[WorkItem]:
    text = read_regular(file, LARGEST_OBJECT_BYTES)
    if text is None:
        raise InvalidInput(f"there is no {file}: --batch names a list of tasks")
    try:
        tasks = json.loads(text)
        batch = [[(str(run), int(attempt)) for run, attempt in task_runs] for task_runs in tasks]
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{file} is no list of tasks, each a list of [run, attempt]") from error
    if task is None or not 0 <= task < len(batch):
        raise InvalidInput(f"{file} has {len(batch)} tasks, from 0; --task is {task}")
    runs_by_id = {run.id: run for run in runs}
    for run, _ in batch[task]:
        if run not in runs_by_id:
            raise InvalidInput(
                f"{file} asks for the run {run!r:.80}, which the experiment does not have"
            )
    return [WorkItem(runs_by_id[run], attempt) for run, attempt in batch[task]]
