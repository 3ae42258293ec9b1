"""What a power cut or a slip of the hand took from an experiment, made again from what is left of
it.

Called by a launch that holds the experiment's lock, before it looks at what is missing. An
experiment knows a run from its list, the run's own `run.json` and the journal, and an end from the
journal and `outcome.json`: one makes up for the other.

Runs that were started on a machine, or in a container, that cannot be asked from here: what is
said of them.

Whether one is executed, its claim tells (`experiment.claim`), as far as the disk shows other
machines' locks. Called by `status`, and by `resume` and `stop`, whose `--take-over` is the user's
word that such a machine is gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from runslot.engines.open_experiment import OpenExperiment, write_run
from runslot.errors import Busy, Damaged, NewerFormat, RunslotError
from runslot.experiment.files import write_json
from runslot.experiment.journal import read_events
from runslot.experiment.processes import host_name
from runslot.experiment.records import ExperimentFile, Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.status import ExperimentStatus, RunStatus, read_all_runs, read_status


def read_repaired(directory: ExperimentDir, file: ExperimentFile) -> ExperimentStatus:
    """Return how the runs stand; `Damaged` also where their list had to be rebuilt, which its user
    is to look at.
    """
    try:
        return read_status(directory)
    except Damaged as error:
        restored = restore_runs(directory, file)
        if not restored:
            raise
        raise Damaged(
            f"{restored}; look at them (runslot status {directory.path}), and resume once more to"
            " go on"
        ) from error


def restore_runs(directory: ExperimentDir, file: ExperimentFile) -> str:
    """Rebuild a list of runs that cannot be read; return what was done, in a line, or nothing.

    `Damaged` where not all its runs have directories to rebuild it from.
    """
    try:
        read_all_runs(directory, file)
    except NewerFormat:
        raise
    except Damaged as error:
        damage = str(error).partition(";")[0]
    else:
        return ""
    run_count = file.run_count or max(_counts_launched(directory), default=0)
    runs = {run.id: run for run in _runs_on_disk(directory, file)}
    if not run_count or len(runs) < run_count:
        count = (
            f"{len(runs)} of its {run_count}"
            if run_count
            else f"{len(runs)} of nobody knows how many"
        )
        raise Damaged(
            f"{damage}; {count} runs can be rebuilt from their directories, which is not all: "
            "put the file back from a copy, or launch a new experiment"
        )
    damaged_file = directory.runs_file.with_suffix(".damaged")
    directory.runs_file.rename(damaged_file)
    directory.append_runs(_in_order(directory, runs))
    return (
        f"{damage}: rebuilt from the directories of its {len(runs)} runs; what was there is"
        f" {damaged_file.name}"
    )


def restore_ends(experiment: OpenExperiment, status: ExperimentStatus) -> str:
    """Write again what runs that have ended lack of their files; return what was done, in a line,
    or nothing.
    """
    restored = 0
    for entry in status.runs:
        if entry.ended is None:
            continue
        run_dir = experiment.run_dir(entry.run)
        if not os.path.isdir(run_dir.path):  # noqa: PTH112  removed by its user, or not to be entered
            continue
        if _is_empty(run_dir.outcome_file):
            write_json(run_dir.outcome_file, dict(entry.ended))
            restored += 1
        if _is_empty(run_dir.run_file):
            write_run(run_dir, entry.run, experiment.file, experiment.directory.path)
            restored += 1
    files = "1 file" if restored == 1 else f"{restored} files"
    return (
        f"written again for runs that have ended: {files} that had been lost or empty"
        if restored
        else ""
    )


def _is_empty(file: Path) -> bool:
    try:
        return os.lstat(file).st_size == 0
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _counts_launched(directory: ExperimentDir) -> Iterator[int]:
    for event in read_events(directory.journal_file):
        if event["event"] == "launcher_started":
            yield event.get("runs", 0)


def _runs_on_disk(directory: ExperimentDir, file: ExperimentFile) -> Iterator[Run]:
    """Yield the runs of this experiment that lie below where its runs are."""
    base = directory.runs_base(file)
    home = os.path.realpath(directory.path)
    for place, _, names in os.walk(base):
        if RunDir(place).run_file.name not in names:
            continue
        try:
            record = RunDir(place).read_run()
            run = record.run
        except (RunslotError, OSError):
            continue  # damaged as well: the count tells that it is missing
        at_its_place = os.path.normpath(os.path.join(base, run.directory)) == os.path.normpath(  # noqa: PTH118
            place
        )
        if at_its_place and os.path.realpath(os.path.join(place, record.home)) == home:  # noqa: PTH118
            yield run


def _in_order(directory: ExperimentDir, runs: dict[str, Run]) -> list[Run]:
    """Return the runs in the order of their first starts; those that the journal does not know
    after them.
    """
    started = [
        event["run"] for event in read_events(directory.journal_file) if event["event"] == "start"
    ]
    return [runs[id_] for id_ in dict.fromkeys([*started, *sorted(runs)]) if id_ in runs]


# ---- runs of other hosts -------------------------------------------------------------------------


_LEASE = (
    "a claim of a node that died is released by NFS 4 after its lease, about 90 s, by NFS 3 when"
    " the node is back"
)


def place_said(status: RunStatus) -> str:
    """Return where the run was started: `on node7`, or `in another container`."""
    host = host_name() if status.attempt is None else status.attempt.host
    return "in another container of this machine" if host == host_name() else f"on {host}"


def foreign_said(status: RunStatus) -> str:
    """Return how a run stands that another machine has or had; empty for one of this machine."""
    if status.claim is None:
        return ""
    if status.claim == "held":
        return f"runs {place_said(status)}: its claim is held, last sign {_clock(status.sign)}"
    word = "lost" if status.state == "lost" else "perhaps lost"
    return f"{word} {place_said(status)}: no sign since {_clock(status.sign)}"


def silence_said(status: ExperimentStatus) -> str:
    """Return what is said behind a launcher that cannot be asked from here: since when nothing was
    heard of it.
    """
    moments = [run.sign for run in status.runs if run.sign is not None]
    try:
        moments.append(status.directory.journal_file.stat().st_mtime)
    except OSError:
        pass
    since = _clock(max(moments, default=None))
    return (
        f", which cannot be asked from here: no sign since {since}; if it is gone, resume with"
        " --take-over"
    )


def take_over_said(status: ExperimentStatus) -> Iterator[str]:
    """Yield a line for each place whose runs are waited for, or done again."""
    for held in (True, False):
        runs = [
            run for run in status.runs if run.claim is not None and (run.claim == "held") is held
        ]
        for place in dict.fromkeys(map(place_said, runs)):
            runs_there = [run for run in runs if place_said(run) == place]
            count = f"{len(runs_there)} run{'s' * (len(runs_there) != 1)}"
            sign = _clock(
                max((run.sign for run in runs_there if run.sign is not None), default=None)
            )
            if held:
                yield (
                    f"{count} {place}: the claim on run.json is held, last sign {sign}; waits for"
                    f" its end ({_LEASE})"
                )
            else:
                yield (
                    f"{count} {place}: lost, no sign since {sign}, and nobody holds the claim on"
                    " run.json; done again"
                )


def refuse_unknown(status: ExperimentStatus) -> None:
    """Raise `Busy` where a run may go on elsewhere, and this disk cannot tell."""
    unknown = [run for run in status.runs if run.state == "running" and run.claim == "unknown"]
    if unknown:
        raise Busy(
            f"{unknown[0].run.directory} of {status.directory.path} was started"
            f" {place_said(unknown[0])}, which cannot be asked from here: no sign since"
            f" {_clock(unknown[0].sign)}; if it is certain that it no longer runs, add --take-over"
        )


def refuse_held(status: ExperimentStatus, runs: Iterable[RunStatus]) -> None:
    """Raise `Busy` where a run is executed that cannot be signalled from here."""
    for run in runs:
        if run.claim == "held":
            raise Busy(
                f"{run.run.directory} of {status.directory.path} {foreign_said(run)}; stop it there"
            )


def lost_outcome(run: RunStatus, now: float) -> Outcome:
    """Return the outcome of a run that the user gave up together with its machine."""
    attempt = run.attempt
    started, host = (None, None) if attempt is None else (attempt.started, attempt.host)
    ended = max(now, started or 0.0)
    return Outcome(
        "lost", run.attempts, started=started, ended=ended, host=host, message=foreign_said(run)
    )


def _clock(moment: float | None) -> str:
    if moment is None:
        return "its start"
    then = time.localtime(moment)
    today = time.strftime("%F", then) == time.strftime("%F")
    return time.strftime("%H:%M" if today else "%F %H:%M", then)
