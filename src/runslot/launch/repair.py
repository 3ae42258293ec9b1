"""What a power cut or a slip of the hand took from an experiment, made again from what is left of
it.

Called by a launch that holds the experiment's lock, before it looks at what is missing. An
experiment knows a run from its list, the run's own `run.json` and the journal, and an end from the
journal and `outcome.json`: one makes up for the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from runslot.engines.open_experiment import OpenExperiment, write_run
from runslot.errors import Damaged, NewerFormat, RunslotError
from runslot.experiment.files import write_json
from runslot.experiment.journal import read_events
from runslot.experiment.records import ExperimentFile, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.status import ExperimentStatus, read_all_runs


def refuse_rebuilt(experiment: OpenExperiment, error: Damaged) -> None:
    """Rebuild the list of runs where it is what `error` says is damaged, and raise `Damaged` for
    its user to look at it.
    """
    restored = restore_runs(experiment.directory, experiment.file)
    if restored:
        raise Damaged(
            f"{restored}; look at them (runslot status {experiment.directory.path}), and resume"
            " once more to go on"
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
    try:
        directory.runs_file.rename(damaged_file)
        remains = f"; what was there is {damaged_file.name}"
    except FileNotFoundError:  # it was removed
        remains = ""
    directory.append_runs(_in_order(directory, runs))
    return f"{damage}: rebuilt from the directories of its {len(runs)} runs{remains}"


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
