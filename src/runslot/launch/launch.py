"""Launch an experiment that is on disk: open its engine, work out which runs are missing, and
supervise them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

from runslot.engines.events import Observer, Said
from runslot.engines.local.config import ThisMachine, end_lost
from runslot.engines.open_experiment import OpenExperiment, front_door
from runslot.engines.protocol import Engine, LauncherConfig, LeftRunning, Pilots, UnderWay
from runslot.engines.registry import of_entry, refreshed
from runslot.errors import Busy, Damaged, InvalidInput, SearchStuck, shortage_of
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.states import FAILED, UNFINISHED, WELL
from runslot.experiment.status import ExperimentStatus, read_status
from runslot.launch.create import discard, is_newest, point_latest
from runslot.launch.foreign_host import refuse_unknown, take_over_said
from runslot.launch.hold import once_there
from runslot.launch.printer import nothing_said, notifying
from runslot.launch.share import Share
from runslot.launch.supervisor import Supervisor
from runslot.record import record

if TYPE_CHECKING:
    from runslot.launch.growth import Growth


class Outcomes(Sequence[Outcome]):
    """How each run of an experiment ended, in the order of its runs; runs without an attempt are
    left out.
    """

    def __init__(
        self,
        directory: Path,
        pairs: Sequence[tuple[Run, Outcome]],
        not_started: Sequence[Run] = (),
        left: int = 0,
    ) -> None:
        self.directory = directory
        """The experiment's directory."""
        self.pairs = tuple(pairs)
        """Each run with its outcome."""
        self.not_started = tuple(not_started)
        """Runs without an outcome."""
        self.left = left
        """How many runs were handed to an engine, which goes on with them."""

    @overload
    def __getitem__(self, index: int) -> Outcome: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Outcome]: ...

    def __getitem__(self, index: int | slice) -> Outcome | Sequence[Outcome]:
        return [outcome for _, outcome in self.pairs][index]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Outcome]:
        return iter([outcome for _, outcome in self.pairs])

    @property
    def all_succeeded(self) -> bool:
        """Whether every run of the experiment succeeded, or was ended early by a search."""
        return not self.not_started and all(outcome.kind in WELL for outcome in self)

    @property
    def failed(self) -> tuple[tuple[Run, Outcome], ...]:
        """Runs that ended otherwise than well."""
        return tuple((run, outcome) for run, outcome in self.pairs if outcome.kind not in WELL)

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for outcome in self:
            counts[outcome.kind] = counts.get(outcome.kind, 0) + 1
        if self.not_started:
            counts["not started"] = len(self.not_started)
        text = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no runs"
        return f"Outcomes({text}; {self.directory})"


@record
class Todo:
    """Which runs of an experiment a launch is about."""

    start: tuple[Run, ...]
    attempts: Mapping[str, int]
    adopt: tuple[tuple[Run, UnderWay], ...]
    kept_count: int

    def share(self, experiment: OpenExperiment, slots_said: str, growth: Growth | None) -> Share:
        """Return it as what the supervisor is to do."""
        return Share(
            experiment, self.start, self.attempts, self.adopt, self.kept_count, slots_said, growth
        )

    def with_runs(self, runs: Sequence[tuple[Run, int]]) -> Todo:
        """Return it with further runs, each with the number of its next attempt."""
        attempts = {run.id: attempt for run, attempt in runs if attempt > 1}
        start = (*self.start, *(run for run, _ in runs))
        return replace(self, start=start, attempts={**self.attempts, **attempts})


def work_out(
    status: ExperimentStatus,
    failed: bool = False,
    only: Sequence[str] = (),
    take_over: bool = False,
) -> Todo:
    """Return what is missing: what never ended, what was lost or stopped, or was to be tried again,
    and on request what failed.

    `only` names run ids; the others are left as they are. With `take_over` a run is lost that
    another machine may have, unless its claim is held; else such a run is `Busy`.
    """
    if status.foreign and not take_over:
        refuse_unknown(status)
    again = UNFINISHED | (FAILED if failed else frozenset())
    candidates = [entry for entry in status.runs if not only or entry.run.id in only]
    # One that waits in its engine's own queue is under way as well.
    under_way = [
        entry
        for entry in candidates
        if entry.state == "running" or (entry.state == "queued" and entry.name)
    ]
    under_way = [entry for entry in under_way if entry.claim != "unknown"]
    adopt = tuple((entry.run, UnderWay.of(entry)) for entry in under_way)
    adopted = {run.id for run, _ in adopt}
    missing = [
        entry
        for entry in candidates
        if entry.state in again or entry.claim == "unknown" or entry.retry
    ]
    missing = [entry for entry in missing if entry.run.id not in adopted]
    start = tuple(entry.run for entry in missing)
    attempts = {entry.run.id: entry.attempts + 1 for entry in missing if entry.attempts}
    return Todo(start, attempts, adopt, len(status.runs) - len(start) - len(adopt))


def launch(
    directory: ExperimentDir,
    observer: Observer,
    *,
    environment: Mapping[str, str] | None = None,
    failed: bool = False,
    only: Sequence[str] = (),
    take_over: bool = False,
    fresh: bool = False,
    notify: Sequence[str] = (),
    wait: bool = False,
) -> Outcomes:
    """Do what is missing of an experiment that is on disk, and return how all its runs stand.

    `notify` are URLs of services (apprise's), told of the end and of the first failure. An engine
    with a queue of its own is left the runs, unless this is to `wait` for them. Raises
    KeyboardInterrupt after Ctrl-C stopped them, and `Busy` where another launcher is at work. A
    `fresh` experiment that is refused before its first run is removed again.
    """
    experiment = _open(directory, environment, take_over, fresh)
    try:
        observer = notifying(observer, notify)
        config = ThisMachine() if (e := experiment.file.launcher) is None else of_entry(e)
        if experiment.file.search is not None and (pilots := config.pilots(experiment, observer)):
            return _leave_to_pilots(experiment, pilots, observer, failed, only, wait)
        growth = _growth(experiment, observer)
        status = _standing(experiment, config, fresh, observer)
        todo = work_out(status, failed, only, take_over)
        if growth is not None:
            todo = todo.with_runs(growth.begin(status))
        for line in take_over_said(status) if status.foreign else ():
            observer(Said(line))
        if not todo.start and not todo.adopt and (growth is None or growth.is_over):
            observer(Said(nothing_said(todo.kept_count, directory.path)))
            config.give_back(experiment, observer)
            experiment.close()
            return outcomes_of(directory)
        experiment.starting = len(todo.start)
        # Of all its runs, not of the missing ones: a run that is made good gets the share that its
        # siblings had.
        most = len(status.runs) if growth is None else max(len(status.runs), growth.most)
        engine = config.open(experiment, most, observer)
    except BaseException as error:
        refuse_fresh(experiment, fresh)
        if reason := shortage_of(error):
            raise Busy(f"no run could be started: {reason}") from error
        raise
    supervisor = Supervisor(engine.launcher, observer)
    try:
        share = todo.share(experiment, engine.slots_said, growth)
        leaves = _supervise(supervisor, share, engine, config.leaves and not wait, fresh)
    except InvalidInput:  # the engine takes not even the first run
        _refuse_unstarted(directory, fresh)
        raise
    if supervisor.interrupted and not leaves:
        raise KeyboardInterrupt
    _raise_problem(experiment, supervisor, growth, fresh)
    return outcomes_of(directory, are_left=leaves)


def _raise_problem(
    experiment: OpenExperiment, supervisor: Supervisor, growth: Growth | None, fresh: bool
) -> None:
    """Raise what kept a launch from its runs: none could start, or its search cannot go on."""
    if reason := supervisor.problem(experiment):
        _refuse_unstarted(experiment.directory, fresh)
        raise Busy(reason)
    if growth is not None and growth.problem:
        raise SearchStuck(growth.problem)


def _leave_to_pilots(
    experiment: OpenExperiment,
    pilots: Pilots,
    observer: Observer,
    failed: bool,
    only: Sequence[str],
    wait: bool,
) -> Outcomes:
    """Have a search go on by itself in its engine's queue."""
    from runslot.launch.pilots import send_pilots, wait_for_pilots  # a sweep loads none of it

    directory = experiment.directory
    try:
        _status_of(experiment)
        searcher = send_pilots(experiment, pilots, observer, failed, only)
        if searcher is not None and is_newest(directory):
            point_latest(directory)
        experiment.close()
        if searcher is None:
            observer(Said(nothing_said(len(directory.read_runs()), directory.path)))
        elif wait:
            wait_for_pilots(directory, pilots, searcher)
    finally:
        pilots.close()
    outcomes = outcomes_of(directory)
    if searcher is not None and not wait:
        outcomes.left = max(1, len(outcomes.not_started))
    return outcomes


def _growth(experiment: OpenExperiment, observer: Observer) -> Growth | None:
    """Return what makes a search's list of runs grow; a list that is damaged is rebuilt before."""
    if experiment.file.search is None:
        return None
    from runslot.launch.growth import open_growth  # a sweep loads none of it

    _status_of(experiment)
    return open_growth(experiment, observer)


def _status_of(experiment: OpenExperiment) -> ExperimentStatus:
    """Return how the runs stand; a list of runs that cannot be read is rebuilt, and that is
    refused once, for its user to look at.
    """
    try:
        return read_status(experiment.directory)
    except Damaged as error:
        from runslot.launch.repair import refuse_rebuilt

        refuse_rebuilt(experiment, error)
        raise


def _standing(
    experiment: OpenExperiment, config: LauncherConfig, fresh: bool, observer: Observer
) -> ExperimentStatus:
    """Return how the runs stand, with files that a power cut took written again, and ends that
    nobody wrote.
    """
    status = _status_of(experiment)
    if experiment.file.launcher is not None:
        return config.refresh(status)
    end_lost(status)
    if not fresh:
        from runslot.launch.repair import restore_ends

        if ends := restore_ends(experiment, status):
            observer(Said(ends))
    return status


def _supervise(
    supervisor: Supervisor, share: Share, engine: Engine, leaves: bool, fresh: bool
) -> bool:
    """See the runs through, or hand them over where that is all; returns whether they were left to
    the engine.
    """
    experiment = share.experiment
    try:
        if front_door(experiment.file).points_latest and (fresh or is_newest(experiment.directory)):
            point_latest(experiment.directory)
        supervisor.add(share)
        (supervisor.hand_over if leaves else supervisor.run)()
    except LeftRunning:
        return True
    finally:
        engine.launcher.close()
        experiment.release()
    return leaves


def _open(
    directory: ExperimentDir, environment: Mapping[str, str] | None, take_over: bool, fresh: bool
) -> OpenExperiment:
    environment = dict(os.environ if environment is None else environment)
    try:
        return OpenExperiment.open(directory, environment, take_over)
    except OSError as error:
        if fresh:
            discard(directory)
        if shortage := shortage_of(error):
            raise Busy(
                f"{directory.path} cannot be opened: {shortage}; nothing was started"
            ) from error
        raise


def _refuse_unstarted(directory: ExperimentDir, fresh: bool) -> None:
    """Remove a fresh experiment again of which nothing could be started."""
    if (
        fresh
        and directory.experiment_file.exists()
        and refreshed(read_status(directory)).counts.keys() == {"queued"}
    ):
        discard(directory)


def refuse_fresh(experiment: OpenExperiment, fresh: bool) -> None:
    """Give an experiment back that cannot be launched; a fresh one, of which nothing has run, is
    removed.
    """
    experiment.close()
    if fresh:
        discard(experiment.directory)


def outcomes_of(directory: ExperimentDir, are_left: bool = False) -> Outcomes:
    """Return how the runs of an experiment stand; `are_left` where they were left to an engine's
    queue.
    """
    status = once_there(directory, lambda: read_status(directory))
    pairs = [(run.run, run.outcome) for run in status.runs if run.outcome is not None]
    not_started = [run.run for run in status.runs if run.outcome is None]
    return Outcomes(directory.path, pairs, not_started, len(not_started) if are_left else 0)
