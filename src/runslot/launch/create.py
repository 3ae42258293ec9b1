"""Make an experiment's directory from a plan: a new one under the root, or further runs in an
existing one.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from runslot.errors import Busy, InvalidInput, NotFound, shortage_of
from runslot.experiment.files import open_to_append, sync_soon, write_atomically, write_json
from runslot.experiment.journal import append_lines, read_events
from runslot.experiment.provenance import write_provenance
from runslot.experiment.records import Run
from runslot.experiment.rundir import LATEST, ExperimentDir
from runslot.launch.code_change import changes_between, what
from runslot.launch.interpreter import python_of_runs
from runslot.launch.plan import Plan
from runslot.record import record
from runslot.transport.code_snapshot import CodeSource, copy_source
from runslot.variants.encode import SEED_KEY, run_ids


def create(plan: Plan, root: Path, code: CodeSource | None = None) -> ExperimentDir:
    """Make `ROOT/NAME/<yyyymmdd-hhmmss>` with all its files, and with a copy of the `code` for its
    runs.
    """
    parent = root / plan.file.name
    directory = make_exclusively(
        parent, time.strftime("%Y%m%d-%H%M%S", time.localtime(plan.file.created))
    )
    experiment = ExperimentDir(directory)
    try:
        write_plan(experiment, plan if code is None else with_copy(experiment, plan, code))
    except BaseException as error:
        discard(experiment)
        if shortage := shortage_of(error):
            raise Busy(f"{directory} cannot be made: {shortage}; nothing was started") from error
        raise
    return experiment


def discard(experiment: ExperimentDir) -> None:
    """Remove a new experiment of which nothing has run, and what was made only for it."""
    shutil.rmtree(experiment.path, ignore_errors=True)
    parent = experiment.path.parent
    link = parent / LATEST
    try:
        if link.is_symlink() and not link.exists():
            link.unlink()
            before = sorted(
                path for path in parent.iterdir() if ExperimentDir(path).experiment_file.exists()
            )
            if before:
                point_latest(ExperimentDir(before[-1]))
        parent.rmdir()
    except OSError:  # there are others
        return


def with_copy(experiment: ExperimentDir, plan: Plan, code: CodeSource) -> Plan:
    """Copy the code into the experiment's directory, and return the plan whose runs use it."""
    return replace(plan, file=replace(plan.file, code=copy_source(code, experiment, plan.file.cwd)))


def make_exclusively(parent: Path, name: str) -> Path:
    """Make a directory that nobody else has: `name`, or `name-2`, `name-3`, …"""
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InvalidInput(
            f"{parent} cannot be a directory: a file is in its place; choose another --root"
        ) from None
    except OSError as error:
        reason = shortage_of(error) or error.strerror
        raise InvalidInput(f"{parent} cannot be made: {reason}; choose another --root") from error
    number = 1
    while True:
        directory = parent / (name if number == 1 else f"{name}-{number}")
        try:
            directory.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            discard(ExperimentDir(directory))
            reason = shortage_of(error) or error.strerror
            raise InvalidInput(
                f"{directory} cannot be made: {reason}; choose another --root"
            ) from error
        else:
            return directory


def _write_provenance(experiment: ExperimentDir, plan: Plan) -> None:
    origin = "" if plan.file.code is None else plan.file.code.origin
    write_provenance(experiment, plan.code, plan.script, origin, python_of_runs(plan.file))


def write_plan(experiment: ExperimentDir, plan: Plan) -> None:
    """Write a new experiment's files; `experiment.json` comes last, so that a directory with it is
    complete.
    """
    _write_pickles(experiment, plan.pickles)
    _write_provenance(experiment, plan)
    experiment.append_runs(plan.runs)
    os.close(open_to_append(experiment.journal_file))
    append_lines(
        experiment.journal_file, [{"time": plan.file.created, **event} for event in plan.events]
    )
    write_json(experiment.experiment_file, replace(plan.file, run_count=len(plan.runs)).to_json())
    _keep_from_power_cuts(experiment, plan)


@record
class Widened:
    """What a plan adds to an experiment that exists."""

    new: tuple[Run, ...]
    changes: tuple[str, ...]
    """What differs from the launch before, one sentence each."""


def compare(experiment: ExperimentDir, plan: Plan) -> Widened:
    """Hold a plan against an experiment; `InvalidInput` where it is another command or function."""
    if not experiment.experiment_file.exists():
        raise NotFound(
            f"{experiment.path} is no experiment: --into continues one that `runslot run` made"
            " before"
        )
    before = experiment.read()
    earlier = {run.id: run for run in experiment.read_runs()}
    if what(before) != what(plan.file):
        raise InvalidInput(
            f"{experiment.path} runs {what(before)}, not {what(plan.file)}; start a new experiment"
            " (without --into)"
        )
    new = tuple(run for run in plan.runs if run.id not in earlier)
    if before.search is not None or plan.file.search is not None:
        from runslot.search.start import refuse_other_search  # few launches search

        refuse_other_search(before, plan.file, count_trials(experiment.journal_file))
        new = ()  # a search asks for what comes next when it is launched
    directories = {run.directory.casefold(): run for run in earlier.values()}
    for run in new:
        if run.directory.casefold() in directories:
            raise InvalidInput(
                f"{run.directory!r} in {experiment.path} is another variant's directory; rename it"
            )
    return Widened(new, tuple(changes_between(before, plan.file)))


def count_trials(journal: Path) -> int:
    """Return how many trials a search has had."""
    return sum(event["event"] == "trial" for event in read_events(journal))


def widen(experiment: ExperimentDir, plan: Plan, widened: Widened) -> None:
    """Record the further runs and what changed; the caller holds the experiment's lock."""
    _write_pickles(experiment, plan.pickles)
    if widened.changes:
        _write_provenance(experiment, plan)
    experiment.append_runs(widened.new)
    before = experiment.read()
    file = replace(plan.file, created=before.created, runs_root=before.runs_root, name=before.name)
    file = replace(file, run_count=len(experiment.read_runs()))
    if file.search is not None:
        from runslot.search.start import continued  # few launches search

        file = continued(before, file)
    # The place stays what it was, unless another one is asked for.
    file = replace(
        file,
        launcher=file.launcher or before.launcher,
        container=file.container or before.container,
    )
    if not (file.fetch or file.no_fetch):
        file = replace(file, fetch=before.fetch, no_fetch=before.no_fetch)
    write_json(experiment.experiment_file, file.to_json())
    _keep_from_power_cuts(experiment, plan)


def add_seeds(
    experiment: ExperimentDir, names: Sequence[str], seeds: Sequence[int]
) -> tuple[Run, ...]:
    """Record further runs of an experiment, of the variants of these names with these seeds; the
    caller holds its lock.

    The first seed of every variant comes before the second of any. Raises `InvalidInput` where a
    variant has its seed among its settings.
    """
    earlier = experiment.read_runs()
    firsts: dict[str, Run] = {}
    for run in earlier:
        firsts.setdefault(run.name, run)
    runs = []
    for seed in seeds:
        for name in names:
            first = firsts[name]
            if SEED_KEY in first.variant:
                raise InvalidInput(
                    f"variant {name!r} has its seed among its settings, so that there is no other"
                )
            place = PurePosixPath(first.directory).parent / f"run_{seed}"
            runs.append(
                replace(
                    first,
                    id=run_ids(first.variant)(seed),
                    directory=str(place),
                    seed=seed,
                    run_ID=seed,
                    extras={**first.extras, SEED_KEY: seed},
                )
            )
    earlier_ids = {run.id for run in earlier}
    new = tuple(run for run in runs if run.id not in earlier_ids)
    experiment.append_runs(new)
    file = experiment.read()
    write_json(
        experiment.experiment_file, replace(file, run_count=len(earlier) + len(new)).to_json()
    )
    sync_soon([experiment.runs_file, experiment.experiment_file, experiment.path])
    return new


def _keep_from_power_cuts(experiment: ExperimentDir, plan: Plan) -> None:
    pickles = [experiment.path / name for name in list(plan.pickles)[:_PICKLES_SYNCED]]
    above = (
        experiment.payloads,
        experiment.path,
        experiment.path.parent,
        experiment.path.parent.parent,
    )
    sync_soon([experiment.runs_file, experiment.experiment_file, *pickles, *above])


_PICKLES_SYNCED = 100
"""Functions and variants by value that are brought to the disk at once; where there are thousands,
the rest follow when the system writes them, in half a minute.
"""


def _write_pickles(experiment: ExperimentDir, pickles: Mapping[str, bytes]) -> None:
    for name, data in pickles.items():
        path = experiment.path / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, data)


def is_newest(experiment: ExperimentDir) -> bool:
    """Tell whether `latest` should be this one: its first launcher may have been killed before it
    said so.
    """
    link = experiment.path.parent / LATEST
    return not link.is_symlink() or link.readlink().name < experiment.path.name


def point_latest(experiment: ExperimentDir) -> None:
    """Let the link `latest` beside the experiment point to it."""
    parent, name = experiment.path.parent, experiment.path.name
    temporary = parent / f".{LATEST}.{os.getpid()}"
    try:
        temporary.symlink_to(name)
        temporary.replace(parent / LATEST)
    # no links on this file system, or something else of that name: the date in the name will do
    except OSError:
        temporary.unlink(missing_ok=True)
