"""A prefix's directory is a collection: the runs of many calls lie in it, and the record of each
call in `.runslot`.

`calls` launches here whatever does not run in its own process; `Launched` is what it returns.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from runslot.engines.events import Observer
from runslot.engines.protocol import LauncherConfig
from runslot.engines.registry import entry_of, refreshed
from runslot.errors import InvalidInput
from runslot.experiment.records import Container, ExperimentFile, LoggerSettings, Run
from runslot.experiment.rundir import COLLECTION, ExperimentDir, RunDir
from runslot.experiment.status import read_status
from runslot.hardware.resources import Resources
from runslot.launch.create import make_exclusively, with_copy, write_plan
from runslot.launch.function import import_path, refer
from runslot.launch.launch import Outcomes, launch, outcomes_of
from runslot.launch.plan import Plan, payload_of
from runslot.launch.printer import Printer
from runslot.launch.session import Submitted, submit
from runslot.launchkit.here import CallRun, code_directory, save_arguments, script_path
from runslot.logger.ancestors import make_log_dir
from runslot.record import record
from runslot.transport.code_snapshot import ALL, find_source
from runslot.transport.patterns import Patterns
from runslot.variants import run_id, to_jsonable


@record
class Call:
    """What all runs of one call share."""

    function: Callable[..., Any]
    prefix: str
    root: Path
    logger: LoggerSettings
    use_gpu: bool
    unpack: bool
    instance_type: str | None
    container: Container | None = None
    launcher: LauncherConfig | None = None
    """None: this machine."""
    code: Patterns = ALL
    """Which files of the code travel, where it does."""
    home: Patterns = ALL
    """Which files of the runs come home."""

    @property
    def collection(self) -> Path:
        """The directory of the prefix."""
        return self.root / self.prefix.replace("_", "-")


def launch_call(
    call: Call, call_runs: Sequence[CallRun], space: str, skip_wait: bool, observer: Observer
) -> Launched:
    """Record the call and run it in slots of its launcher; with `skip_wait` while the script goes
    on.
    """
    now = datetime.now()
    pickles: dict[str, bytes] = {}
    file = _file(call, space, pickles)
    payloads = [payload_of(run.settings, run.name, pickles) for run in call_runs]
    experiment = ExperimentDir(
        make_exclusively(call.collection / COLLECTION, f"{now:%Y%m%d-%H%M%S}")
    )
    log_dirs: list[Path] = []
    try:
        for run in call_runs:
            log_dirs.append(_reserve(call, run, now))
            save_arguments(log_dirs[-1], _arguments(call, run))
        runs = tuple(map(_run, [call] * len(call_runs), call_runs, log_dirs, payloads))
        plan = Plan(file, runs, pickles, code_directory(call.function), script_path())
        if call.launcher is not None and call.launcher.moves:
            plan = with_copy(
                experiment, plan, find_source(plan.code, (call.root,), call.code, plan.script)
            )
        write_plan(experiment, plan)
        leaves = call.launcher is not None and call.launcher.leaves
        if skip_wait and not leaves:
            return Launched(experiment, log_dirs, submit(experiment, True, observer))
        launch(experiment, observer, fresh=True)
    except BaseException:
        _forget_unstarted(call, experiment, log_dirs)
        raise
    return Launched(experiment, log_dirs, None, leaves)


def _file(call: Call, space: str, pickles: dict[str, bytes]) -> ExperimentFile:
    function, data = refer(call.function, call.unpack)
    if data is not None and function.pickle is not None:
        pickles[function.pickle] = data
    return ExperimentFile(
        name=call.prefix,
        work=replace(function, use_gpu=call.use_gpu),
        created=time.time(),
        cwd=str(Path.cwd()),
        python=sys.executable,
        python_version=f"{sys.version_info[0]}.{sys.version_info[1]}",
        path=import_path(),
        python_path=os.environ.get("PYTHONPATH"),
        resources=Resources(gpus=1 if call.use_gpu else 0),
        logger=call.logger,
        space=space,
        runs_root="../..",
        container=call.container,
        launcher=None if call.launcher is None else entry_of(call.launcher),
        front_door="launchkit",
        fetch=call.home.include,
        no_fetch=call.home.exclude,
    )


def _reserve(call: Call, run: CallRun, now: datetime) -> Path:
    try:
        return make_log_dir(call.root, call.prefix, run.exp_id, run.seed, now)
    except OSError as error:
        raise InvalidInput(
            f"no run directory can be made in {call.collection}: {error}; give base_log_dir"
        ) from error


def _run(call: Call, run: CallRun, log_dir: Path, payload: str | None) -> Run:
    return Run(
        id=run_id(run.settings, run.seed),
        name=run.name,
        variant=to_jsonable(run.settings),
        directory=log_dir.relative_to(call.collection).as_posix(),
        seed=run.seed,
        extras=run.extras(call.prefix, call.instance_type),
        payload=payload,
    )


def _arguments(call: Call, run: CallRun) -> dict[str, Any]:
    """Return the keyword arguments with which launchkit would have called `run_experiment_here`."""
    return {
        "variant": {**run.settings, **run.extras(call.prefix, call.instance_type)},
        "exp_id": run.exp_id,
        "seed": run.seed,
        "use_gpu": call.use_gpu,
        "exp_prefix": call.prefix,
        "snapshot_mode": call.logger.snapshot_mode,
        "snapshot_gap": call.logger.snapshot_gap,
        "script_name": script_path(),
        "base_log_dir": str(call.root),
    }


def _forget_unstarted(call: Call, experiment: ExperimentDir, log_dirs: Sequence[Path]) -> None:
    """Take back what was made for a call that was refused before its first run."""
    journal = experiment.journal_file
    if journal.exists() and journal.stat().st_size:
        return
    unstarted = [log_dir for log_dir in log_dirs if not RunDir(log_dir).run_file.exists()]
    for directory in (experiment.path, *unstarted):
        shutil.rmtree(directory, ignore_errors=True)
    for directory in (experiment.path.parent, call.collection):
        with suppress(OSError):  # other calls' runs are there, or it is gone
            directory.rmdir()


class Launched:
    """The runs of one call: where they are, and how they ended."""

    def __init__(
        self,
        experiment: ExperimentDir,
        log_dirs: Sequence[Path],
        submitted: Submitted | None,
        is_left: bool = False,
    ) -> None:
        self.directory = experiment.path
        """The record of the call, below the prefix's `.runslot`: what `runslot status` and `runslot
        resume` take.
        """
        self.log_dirs = tuple(log_dirs)
        """The directory of each run, in order."""
        self._experiment = experiment
        self._submitted = submitted
        self._is_left = is_left
        """Its runs were left to an engine's own queue."""

    @property
    def done(self) -> bool:
        """Whether all its runs have ended."""
        if self._is_left:
            return refreshed(read_status(self._experiment)).finished
        return self._submitted is None or self._submitted.done

    @property
    def outcomes(self) -> Outcomes:
        """How the runs stand now: all of them, unless the call was made with `skip_wait=True`."""
        return outcomes_of(self._experiment)

    def wait(self) -> Outcomes:
        """Wait until its runs have ended and return their outcomes; Ctrl-C stops all runs of the
        script.
        """
        if self._is_left:
            return launch(self._experiment, Printer(), wait=True)
        return self.outcomes if self._submitted is None else self._submitted.wait()

    def __repr__(self) -> str:
        return (
            f"Launched({len(self.log_dirs)} runs, {'ended' if self.done else 'under way'};"
            f" {self.directory})"
        )
