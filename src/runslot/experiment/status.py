"""What became of each run: from the journal, and from the run's own files where the journal is behind."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runslot.experiment.claim import Claim, claim_of, keeper_lives, last_sign
from runslot.experiment.journal import read_events
from runslot.experiment.lock import living_launcher
from runslot.experiment.processes import ProcessIdentity, identify, is_alive, keeper_of
from runslot.experiment.records import Attempt, ExperimentFile, Outcome, Run, State
from runslot.experiment.rundir import COLLECTION, ExperimentDir, RunDir

UNFINISHED: frozenset[State] = frozenset({"queued", "stopped", "lost"})
"""States that a resume runs again without being told to."""

FAILED: frozenset[State] = frozenset({"failed", "timed_out"})
"""States that a resume runs again with `--failed`."""


@dataclass(frozen=True)
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

    @functools.cached_property
    def outcome(self) -> Outcome | None:
        """How the last attempt ended; made when it is asked for, since a list of 100,000 runs asks for few."""
        return None if self.ended is None else Outcome.from_json(self.ended)


@dataclass(frozen=True)
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

    @property
    def finished(self) -> bool:
        """Whether nothing runs or waits."""
        return not (self.counts.get("running") or self.counts.get("queued"))


@dataclass
class _Last:
    attempts: int = 0
    started: float | None = None
    slot: int | None = None
    host: str | None = None
    name: str | None = None
    outcome: Mapping[str, Any] | None = None
    before: _Last | None = None
    """The attempt before, which counts where this one found its slot taken."""


def read_status(directory: ExperimentDir) -> ExperimentStatus:
    """Read what became of an experiment; right also while, and after, its launcher was killed."""
    file = directory.read()
    journal = _read_journal(directory.journal_file)
    launcher = living_launcher(directory)
    # A start that only the journal knows of is under way, unless this process now takes that launcher's place.
    launched = launcher is not None and launcher != identify()
    # Workers write into no journal but their own: then each run's own files tell.
    of_nobody = _Last() if directory.workers.exists() else None
    lasts = ((run, journal.runs.get(run.id, of_nobody)) for run in directory.read_runs())
    runs = tuple(_status(directory, file, run, last, launched, of_nobody is not None) for run, last in lasts)
    counts: Counter[str] = Counter(each.state for each in runs)
    waits = tuple(dict.fromkeys(journal.waits.values())) if launcher else ()
    paused = journal.paused and launcher is not None
    return ExperimentStatus(directory, file, runs, launcher, journal.slots, counts, paused, waits)


@dataclass
class _Journal:
    runs: dict[str, _Last] = field(default_factory=dict)
    slots: int | None = None
    paused: bool = False
    waits: dict[int | None, str] = field(default_factory=dict)
    """By slot."""


def _read_journal(path: Path) -> _Journal:
    journal = _Journal()
    runs = journal.runs
    for event in read_events(path):
        match event["event"]:
            case "start":
                before = runs.get(event["run"])
                host = event.get("host")
                runs[event["run"]] = _Last(event["attempt"], event["time"], event.get("slot"), host, before=before)
                journal.waits.pop(event.get("slot"), None)
            case "handed":
                runs.setdefault(event["run"], _Last()).name = event["name"]
            case "ended":
                runs.setdefault(event["run"], _Last()).outcome = event["outcome"]
            case "slot_taken":
                before = runs.pop(event["run"], _Last()).before
                if before is not None:
                    runs[event["run"]] = before
                journal.waits[event.get("slot")] = event.get("by", "")
            case "waits":
                journal.waits[event["slot"]] = event["by"]
            case "launcher_started":
                journal.slots, journal.paused, journal.waits = event.get("slots"), False, {}
            case "request" if event["verb"] in {"pause", "continue"}:
                journal.paused = event["verb"] == "pause"
    return journal


def _status(
    directory: ExperimentDir, file: ExperimentFile, run: Run, last: _Last | None, launched: bool, workers: bool
) -> RunStatus:
    if last is None:
        return RunStatus(run, "queued")
    done = last.outcome is not None and (not workers or last.outcome["kind"] == "succeeded")
    attempt = None if done else directory.run_dir(run, file).read_attempt()
    if last.outcome is not None and (attempt is None or attempt.attempt <= last.outcome.get("attempt", 1)):
        late = _came_late(directory.run_dir(run, file), last.outcome) if file.launcher is not None else None
        return _ended(run, last.outcome if late is None else late, last)
    if attempt is None and not last.attempts:  # no worker has begun it
        return RunStatus(run, "queued")
    launched = launched or file.launcher is not None
    return _open(file, directory.run_dir(run, file), run, attempt, last, launched)


_ALONE = frozenset({"sky", "ec2", "gcp"})
"""Kinds of launchers whose machines share nothing with this one, but perhaps its name: their processes are not here."""


def _came_late(run_dir: RunDir, outcome: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the success of a run that was given up for lost on another machine, where it has come home since."""
    found = run_dir.read_outcome() if outcome["kind"] == "lost" else None
    return found.to_json() if found is not None and found.kind == "succeeded" else None


def _open(
    file: ExperimentFile, run_dir: RunDir, run: Run, attempt: Attempt | None, last: _Last, launched: bool
) -> RunStatus:
    """Return how a run stands of whose last attempt the journal knows no end."""
    if attempt is None or attempt.attempt < last.attempts:  # between the launcher's note and the keeper's
        # What an engine was asked to start may run there, whatever became of the launcher.
        state: State = "running" if launched else "queued"
        number = last.attempts - (0 if launched else 1)
        return RunStatus(run, state, number, None, last.started, last.slot, None, last.name, last.host)
    # Asked before the outcome is read: a keeper writes that, gives the claim back, and ends.
    alive, claim = _signs_of_life(file, run_dir, attempt)
    outcome = run_dir.read_outcome()
    if outcome is not None and outcome.attempt >= attempt.attempt:
        return _ended(run, outcome.to_json(), last)
    lost = claim == "free" or (alive is False and claim != "held")
    sign = None if claim is None else last_sign(run_dir)
    record = None if lost and claim is None else attempt
    number, state = attempt.attempt, "lost" if lost else "running"
    return RunStatus(run, state, number, None, last.started, last.slot, record, last.name, last.host, claim, sign)


def _signs_of_life(file: ExperimentFile, run_dir: RunDir, attempt: Attempt) -> tuple[bool | None, Claim | None]:
    """Return whether the keeper lives, and what its claim says where that cannot be known from its process alone."""
    if file.launcher is not None:  # its directory may be a copy, whose claims nobody holds: the engine knows
        return None if file.launcher.get("kind") in _ALONE else is_alive(keeper_of(attempt)), None
    alive = keeper_lives(run_dir, attempt)
    if alive is None:
        return None, claim_of(run_dir)
    # Another machine of this one's name looks like an earlier boot of it: its claim is held.
    return alive, "held" if alive is False and claim_of(run_dir) == "held" else None


def _ended(run: Run, outcome: Mapping[str, Any], last: _Last) -> RunStatus:
    return RunStatus(run, outcome["kind"], outcome.get("attempt", 1), outcome, last.started, last.slot)


def find_experiments(path: Path) -> Iterator[ExperimentDir]:
    """Yield the experiments in `path`: itself, or all below it, oldest first where names are dates.

    Links (`latest`) and the insides of experiments are not followed; a launchkit collection keeps its experiments in
    `.runslot`.
    """
    directory = ExperimentDir(path)
    if directory.experiment_file.exists():
        yield directory
        return
    collection = path / COLLECTION
    if collection.is_dir():
        for call in sorted(collection.iterdir()):
            if ExperimentDir(call).experiment_file.exists():
                yield ExperimentDir(call)
        return
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.is_symlink() and entry.is_dir())
    except PermissionError:
        return
    for entry in entries:
        if not entry.name.startswith("."):
            yield from find_experiments(entry)
