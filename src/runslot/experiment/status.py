"""What became of each run: from the journal, and from the run's own files where the journal is
behind.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from runslot.errors import Damaged, RunslotError
from runslot.experiment.claim import Claim, claim_of, is_claimed, keeper_lives, last_sign
from runslot.experiment.journal import read_events
from runslot.experiment.lock import living_launcher
from runslot.experiment.processes import ProcessIdentity, identify, is_alive, keeper_of
from runslot.experiment.records import Attempt, ExperimentFile, Outcome, Run
from runslot.experiment.rundir import COLLECTION, ExperimentDir, RunDir
from runslot.experiment.states import State
from runslot.record import record


@record
class RunStatus:
    """What is known of one run."""

    run: Run
    state: State
    attempts: int = 0
    """How many attempts were started."""
    ended: Mapping[str, Any] | None = None
    """How the last attempt ended, as JSON; read as `outcome`."""
    started: float | None = None
    """When the attempt under way, or the last one, was started; Unix time."""
    slot: int | None = None
    attempt: Attempt | None = None
    """Who executes the run, where it runs."""
    name: str | None = None
    """The engine's own name for the attempt under way, as a job's id."""
    host: str | None = None
    """Where the attempt was started, where its engine has slots of several hosts."""
    claim: Claim | None = None
    """Whether it is executed, where its keeper is not one of this machine that can be looked at."""
    sign: float | None = None
    """When it last wrote into its directory, Unix time; given together with `claim`."""

    waits_for: str = ""
    """Why it is queued, where its engine says so."""
    is_held: bool = False
    """It waits until somebody releases it."""

    problem: str = ""
    """What of its files could not be read."""

    retry: bool = False
    """It failed, and is to be tried again, which its launcher, killed or stopped, did not come to.
    """

    @functools.cached_property
    def outcome(self) -> Outcome | None:
        """How the last attempt ended; made when it is asked for, since a list of 100,000 runs asks
        for few.
        """
        return None if self.ended is None else Outcome.from_json(self.ended)


@record
class ExperimentStatus:
    """What is known of an experiment and all its runs."""

    directory: ExperimentDir
    file: ExperimentFile
    runs: tuple[RunStatus, ...]
    launcher: ProcessIdentity | None
    """The launcher at work."""
    slots: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    paused: bool = False
    """Its launcher starts nothing further until it is told to."""
    waits: tuple[str, ...] = ()
    """Whom its launcher waits for, one sentence each."""
    problems: tuple[str, ...] = ()
    """What of its files could not be read, and hides no run."""

    @property
    def finished(self) -> bool:
        """Whether nothing runs or waits."""
        return not (self.counts.get("running") or self.counts.get("queued"))

    @property
    def foreign(self) -> tuple[RunStatus, ...]:
        """Runs that another machine, or a container, has or had, and that their claims tell of."""
        return tuple(run for run in self.runs if run.claim is not None)


@record(frozen=False)
class _Last:
    attempts: int = 0
    started: float | None = None
    slot: int | None = None
    host: str | None = None
    name: str | None = None
    outcome: Mapping[str, Any] | None = None
    halted: Mapping[str, Any] | None = None
    """The rung at which a search ended the attempt, as the journal has it."""
    retry: bool = False
    """Another attempt was to follow."""
    before: _Last | None = None
    """The attempt before, which counts where this one found its slot taken."""


def read_status(directory: ExperimentDir) -> ExperimentStatus:
    """Read what became of an experiment; right also while, and after, its launcher was killed.

    `Damaged` where the lists of what was asked and of what happened cannot be read; a run's own
    damaged file costs that run alone, which is lost.
    """
    file = directory.read()
    journal = _read_journal(directory.journal_file)
    launcher, problems = _launcher_of(directory)
    # A start that only the journal knows of is under way, unless this process now takes that
    # launcher's place.
    launched = launcher is not None and launcher != identify()
    reader = _RunReader(directory, file, launched, directory.workers.exists())
    runs = tuple(
        reader.read(run, journal.runs.get(run.id)) for run in read_all_runs(directory, file)
    )
    counts: Counter[str] = Counter(entry.state for entry in runs)
    waits = tuple(dict.fromkeys(journal.waits.values())) if launcher else ()
    paused = journal.paused and launcher is not None
    return ExperimentStatus(
        directory,
        file,
        runs,
        launcher,
        journal.slots,
        counts,
        paused,
        waits,
        (*problems, *_problems_said(journal.problems, launcher is not None)),
    )


def _problems_said(problems: Mapping[str, str], is_launched: bool) -> Iterator[str]:
    for host, why in problems.items():
        if not host:
            yield f"the search cannot go on: {why}"
        elif why and is_launched:
            yield f"{why}; it is tried again"


def _launcher_of(directory: ExperimentDir) -> tuple[ProcessIdentity | None, tuple[str, ...]]:
    try:
        return living_launcher(directory), ()
    except Damaged as error:
        return None, (f"{error}; who launches it is not known",)


def read_all_runs(directory: ExperimentDir, file: ExperimentFile) -> list[Run]:
    """Return the runs; `Damaged` where some of those that were asked for are not in the list."""
    runs = directory.read_runs()
    if file.run_count is not None and len(runs) < file.run_count:
        raise Damaged(
            f"{directory.runs_file} lists {len(runs)} of {file.run_count} runs, as after a power"
            " cut; `runslot resume` rebuilds it"
        )
    return runs


@record(frozen=False)
class _Journal:
    runs: dict[str, _Last] = field(default_factory=dict)
    slots: int | None = None
    paused: bool = False
    waits: dict[int | None, str] = field(default_factory=dict)
    """By slot."""
    problems: dict[str, str] = field(default_factory=dict)
    """By host: why it is away, or its results do not come home; by no name: why a search cannot go
    on. Empty where that is well again.
    """


def _read_journal(path: Path) -> _Journal:
    journal = _Journal()
    runs = journal.runs
    for event in read_events(path):
        match event["event"]:
            case "start":
                before = runs.get(event["run"])
                host = event.get("host")
                runs[event["run"]] = _Last(
                    event["attempt"], event["time"], event.get("slot"), host, before=before
                )
                journal.waits.pop(event.get("slot"), None)
            case "handed":
                runs.setdefault(event["run"], _Last()).name = event["name"]
            case "rung" if event.get("verdict") != "continue" and event["run"] in runs:
                runs[event["run"]].halted = event
            case "ended":
                last = runs.setdefault(event["run"], _Last())
                last.outcome, last.retry = event["outcome"], event.get("retry", False)
            case "slot_taken":
                before = runs.pop(event["run"], _Last()).before
                if before is not None:
                    runs[event["run"]] = before
                journal.waits[event.get("slot")] = event.get("by", "")
            case "waits":
                journal.waits[event["slot"]] = event["by"]
            case "launcher_started":
                journal.slots, journal.paused, journal.waits = event.get("slots"), False, {}
                journal.problems = {}
            case "recarved":
                journal.slots, journal.waits = event["slots"], {}
            case "search_problem" | "host_trouble":
                host = event["host"] if event["event"] == "host_trouble" else ""
                journal.problems[host] = event["why"]
            case "request" if event["verb"] in {"pause", "continue"}:
                journal.paused = event["verb"] == "pause"
    return journal


class _RunReader:
    """Works out how the runs of one experiment stand, each from the journal and, where that may be
    behind, its files.

    The journal is behind where its launcher was killed, or the power was cut; and workers write
    into none but their own. A run that it does not know has no directory as long as it waits: a
    look at the list of its siblings tells.
    """

    def __init__(
        self, directory: ExperimentDir, file: ExperimentFile, launched: bool, workers: bool
    ) -> None:
        self._directory = directory
        self._file = file
        self._launched = launched
        self._workers = workers
        self._siblings: dict[str, frozenset[str]] = {}

    def read(self, run: Run, last: _Last | None) -> RunStatus:
        """Return how a run stands, of which the journal has said `last`."""
        if last is None:
            if not self._workers and (self._launched or not self._has_directory(run)):
                return RunStatus(run, "queued")
            last = _Last()
        try:
            return self._read(run, last)
        except RunslotError as error:
            state: State = "running" if self._is_claimed(run) else "lost"
            number = max(last.attempts, 1)
            return RunStatus(
                run,
                state,
                number,
                None,
                last.started,
                last.slot,
                name=last.name,
                problem=str(error),
            )

    def _read(self, run: Run, last: _Last) -> RunStatus:
        directory, file, ended = self._directory, self._file, last.outcome
        certain = ended is not None and (
            ended["kind"] == "succeeded" or not (self._workers or not self._launched)
        )
        run_dir = directory.run_dir(run, file)
        attempt = None if certain else run_dir.read_attempt()
        if ended is not None and (attempt is None or attempt.attempt <= ended.get("attempt", 1)):
            late = _came_late(run_dir, ended)
            retry = last.retry and late is None
            return _ended(run, ended if late is None else late, last, retry)
        if attempt is None and not last.attempts:  # nobody has begun it
            return RunStatus(run, "queued")
        launched = self._launched or file.launcher is not None
        return _open(file, run_dir, run, attempt, last, launched)

    def _is_claimed(self, run: Run) -> bool:
        try:
            return is_claimed(self._directory.run_dir(run, self._file))
        except (RunslotError, OSError):
            return False

    def _has_directory(self, run: Run) -> bool:
        parent, _, name = run.directory.rpartition("/")
        return name in self._names(parent)

    def _names(self, parent: str) -> frozenset[str]:
        """Return what lies in a directory of runs; each is listed once, and only where the one
        above has it.
        """
        names = self._siblings.get(parent)
        if names is None:
            above, _, name = parent.rpartition("/")
            names = frozenset()
            if not parent or name in self._names(above):
                try:
                    root = self._directory.path / self._file.runs_root
                    names = frozenset(os.listdir(root / parent))  # noqa: PTH208  names are all that is wanted
                except (OSError, ValueError):
                    pass
            self._siblings[parent] = names
        return names


def _came_late(run_dir: RunDir, outcome: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the success of a run that was given up for lost, of which it has come home since: from
    another machine, or because its directory had been moved away.
    """
    late = run_dir.read_outcome() if outcome["kind"] == "lost" else None
    return late.to_json() if late is not None and late.kind == "succeeded" else None


def _open(
    file: ExperimentFile,
    run_dir: RunDir,
    run: Run,
    attempt: Attempt | None,
    last: _Last,
    launched: bool,
) -> RunStatus:
    """Return how a run stands of whose last attempt the journal knows no end."""
    # between the launcher's note and the keeper's
    if attempt is None or attempt.attempt < last.attempts:
        # What an engine was asked to start may run there, whatever became of the launcher.
        state: State = "running" if launched else "queued"
        number = last.attempts - (0 if launched else 1)
        return RunStatus(
            run, state, number, None, last.started, last.slot, None, last.name, last.host
        )
    # Asked before the outcome is read: a keeper writes that, gives the claim back, and ends.
    alive, claim = _signs_of_life(file, run_dir, attempt)
    outcome = run_dir.read_outcome()
    if outcome is not None and outcome.attempt >= attempt.attempt:
        # Nobody was there to try again; elsewhere its engine is.
        retry = outcome.kind == "failed" and outcome.attempt <= file.policy.retries
        return _ended(run, outcome.to_json(), last, retry and file.launcher is None)
    lost = claim == "free" or (alive is False and claim != "held")
    sign = None if claim is None else last_sign(run_dir)
    record = None if lost and claim is None else attempt
    number, state = attempt.attempt, "lost" if lost else "running"
    return RunStatus(
        run, state, number, None, last.started, last.slot, record, last.name, last.host, claim, sign
    )


def _signs_of_life(
    file: ExperimentFile, run_dir: RunDir, attempt: Attempt
) -> tuple[bool | None, Claim | None]:
    """Return whether the keeper lives, and what its claim says where that cannot be known from its
    process alone.
    """
    # its directory may be a copy, whose claims nobody holds: the engine knows
    if file.launcher is not None:
        return is_alive(keeper_of(attempt)) if file.launcher.shares_machine else None, None
    alive = keeper_lives(run_dir, attempt)
    if alive is None:
        return None, claim_of(run_dir)
    # Another machine of this one's name looks like an earlier boot of it: its claim is held.
    return alive, "held" if alive is False and claim_of(run_dir) == "held" else None


def _ended(run: Run, outcome: Mapping[str, Any], last: _Last, retry: bool) -> RunStatus:
    if outcome["kind"] == "stopped" and last.halted is not None:  # its launcher died before it said
        kind = "paused" if last.halted["verdict"] == "pause" else "pruned"
        outcome = {**outcome, "kind": kind, "message": f"at rung {last.halted['rung']}"}
    number = outcome.get("attempt", 1)
    return RunStatus(run, outcome["kind"], number, outcome, last.started, last.slot, retry=retry)


def find_experiments(path: Path, problems: list[str] | None = None) -> Iterator[ExperimentDir]:
    """Yield the experiments in `path`: itself, or all below it, oldest first where names are dates.

    Links (`latest`) and the insides of experiments are not followed; a launchkit collection keeps
    its experiments in `.runslot`. Directories that cannot be listed are named in `problems`.
    """
    waiting = [os.fspath(path)]
    while waiting:
        place = waiting.pop()
        if _is_experiment(place):
            yield ExperimentDir(place)
            continue
        calls = os.path.join(place, COLLECTION)  # noqa: PTH118  texts, of which there may be many
        if os.path.isdir(calls):  # noqa: PTH112
            directories = [f"{calls}/{name}" for name in _directories(calls, problems)]
            yield from (ExperimentDir(call) for call in directories if _is_experiment(call))
            continue
        names = _directories(place, problems)
        waiting += [
            os.path.join(place, name)  # noqa: PTH118
            for name in reversed(names)
            if not name.startswith(".")
        ]


def _is_experiment(place: str) -> bool:
    return os.path.lexists(
        ExperimentDir(place).experiment_file
    )  # a link to nowhere is a damaged one


def _directories(place: str, problems: list[str] | None) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        if problems is not None:
            problems.append(f"{place} cannot be listed: {error.strerror}")
        return []


def time_left(
    durations: Sequence[float], elapsed: Sequence[float], queued: int, slots: int
) -> float | None:
    """Return about how many seconds it takes until all runs have ended.

    `durations` are those of runs that have ended, `elapsed` the ages of those under way; each is
    expected to take the mean, or to end now where it has taken longer.
    """
    if not durations:
        return None
    mean = sum(durations) / len(durations)
    rests = [max(0.0, mean - age) for age in elapsed]
    together = (sum(rests) + queued * mean) / max(1, min(slots or len(rests), queued + len(rests)))
    return max([together, *rests])
