"""One launch of Hydra: its jobs become the runs of an experiment in the multirun's directory.

`hydra_plugins.runslot_launcher` comes here. Every job's configuration is composed before anything
starts, so that what is wrong with it is Hydra's own message. What must stay true: the fork of this
process is made before the launch has a lock or a lease.
"""

from __future__ import annotations

import inspect
import logging
import os
import pickle
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import (
    JobReturn,
    JobStatus,
    configure_log,
    filter_overrides,
    setup_globals,
)
from hydra.errors import CompactHydraException
from omegaconf import open_dict

from runslot.engines.events import LaunchEvent, LaunchStarted, RunEnded, RunWaits, Said
from runslot.engines.local.fork import end_fork, fork_here
from runslot.engines.open_experiment import OpenExperiment
from runslot.errors import Busy, InvalidInput, RunslotError, refusals
from runslot.experiment.lock import LauncherLock
from runslot.experiment.records import Function, Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.states import WELL
from runslot.experiment.status import read_status
from runslot.hydra.composition import ComposedConfigs
from runslot.hydra.fields import experiment_of
from runslot.hydra.job import JOB_KEY, Application, Untravelled, config_file, read_return
from runslot.hydra.job_run import runs_of
from runslot.launch.create import compare, widen, with_copy, write_plan
from runslot.launch.experiment import Experiment
from runslot.launch.function import by_value, digest_of_source, import_path
from runslot.launch.launch import Outcomes, launch
from runslot.launch.plan import Plan
from runslot.launch.printer import counted, outcome_said, todo_said
from runslot.launch.script_pickle import dumps
from runslot.transport.code_snapshot import find_source

log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell's."""


class Multirun:
    """What jobs are of: Hydra's context, the task function and the configuration."""

    def __init__(
        self, context: Any, task_function: Any, config: Any, fields: Mapping[str, Any]
    ) -> None:
        self._context = context
        self._task_function = task_function
        self._config = config
        self._fields = fields
        self._composed = ComposedConfigs(context.config_loader, config)
        self._has_experiment = False
        """Whether this process has made the experiment."""
        self._moves = False
        """Whether the jobs run on a disk of their own, where a copy of the code goes."""

    def launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run these jobs, the first of which has this number, and return Hydra's records."""
        setup_globals()
        configure_hydra_log(self._context, self._config)
        try:
            with refusals():
                return self._launch(job_overrides, first)
        except RunslotError as error:
            raise CompactHydraException(str(error)) from error
        finally:
            configure_hydra_log(self._context, self._config)
            self._composed.expect()

    def _launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        root = Path(str(self._config.hydra.sweep.dir)).absolute()
        request = experiment_of(job_name(self._config), self._fields)
        configs = {}
        for number, overrides in enumerate(job_overrides, first):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
            configs[number] = self._compose(number, overrides)
        self._composed.restore()
        plan = self._plan(request, configs, root)
        application = Application(self._context, self._task_function, configs)
        local = plan.file.launcher is None and plan.file.container is None
        here = local and plan.file.interpreter is None
        experiment = ExperimentDir(root)
        try:
            # First, while this process has no threads: what is recorded, one brings to the disk.
            reason = fork_here(application) if here else ""
            if reason:
                log.info(
                    "The jobs start in forks of a new interpreter, not of this one: %s", reason
                )
            plan = replace(plan, pickles=self._pickles(application, configs, needed=not here))
            fresh = not self._has_experiment
            if fresh:
                root.mkdir(parents=True, exist_ok=True)
                clear(experiment, plan.runs)
            _record(experiment, plan, self._moves)
            self._has_experiment = True
            outcomes = self._supervise(experiment, fresh)
        finally:
            end_fork()
        return self._returns(plan.runs, configs, outcomes)

    def _supervise(self, experiment: ExperimentDir, fresh: bool) -> Outcomes:
        """Launch what is recorded; a fresh experiment that is refused is removed again."""
        try:
            return launch(experiment, Narrator(), wait=True)
        except KeyboardInterrupt:
            place = shlex.quote(os.path.relpath(experiment.path))
            log.warning("Stopped: `runslot resume %s` does what is missing", place)
            raise SystemExit(INTERRUPTED) from None
        except RunslotError:
            self._has_experiment = not (fresh and _withdraw(experiment))
            raise

    def _compose(self, number: int, overrides: Sequence[str]) -> Any:
        config = self._composed.config(overrides)
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def _plan(self, request: Experiment, configs: Mapping[int, Any], root: Path) -> Plan:
        """Return the jobs as runs, without touching anything."""
        plan = request.plan()
        launcher = request.launcher()
        self._moves = launcher is not None and launcher.moves
        runs = runs_of(configs, root, self._composed.parser)
        plan = of_application(plan, self._task_function)
        space = f"listed ×{len(runs)}"
        file = replace(plan.file, space=space, batches_of=_sweeper_with_batches(self._config))
        return replace(plan, runs=runs, file=file)

    def _pickles(
        self, application: Application, configs: Mapping[int, Any], needed: bool
    ) -> dict[str, bytes]:
        """Return the application and the configurations as bytes, by their files."""
        try:
            data = by_value(application, "the Hydra application")
        except InvalidInput as error:
            reason = str(error)
            try:
                by_value(self._task_function, f"the task function {_name(self._task_function)!r}")
            except InvalidInput as culprit:
                reason = str(culprit)
            if needed:
                raise InvalidInput(reason) from error
            return {"function.pkl": dumps(Untravelled(reason))}
        files = {config_file(number): _config_bytes(config) for number, config in configs.items()}
        return {"function.pkl": data, **files}

    def _returns(
        self, runs: Sequence[Run], configs: Mapping[int, Any], outcomes: Outcomes
    ) -> list[JobReturn]:
        ends = {run.id: outcome for run, outcome in outcomes.pairs}
        return [
            _returned(
                outcomes.directory / run.directory, configs[run.extras[JOB_KEY]], ends.get(run.id)
            )
            for run in runs
        ]


class Narrator:
    """Logs what Hydra's user wants to hear of a launch."""

    def __init__(self) -> None:
        self._total = 0
        self._ended = 0

    def __call__(self, event: LaunchEvent) -> None:
        """Log the event, if it is worth a line."""
        match event:
            case LaunchStarted():
                self._total = len(event.runs)
                log.info("Launching %s", todo_said(event))
            case RunWaits():
                log.info("\t#%s waits: %s", event.run.extras.get(JOB_KEY), event.by)
            case RunEnded():
                self._ended += not event.retry
                self._end(event)
            case Said():
                log.info("%s", event.text)
            case _:
                pass

    def _end(self, event: RunEnded) -> None:
        outcome = event.outcome
        text = f"\t#{event.run.extras.get(JOB_KEY)} {outcome.kind}: {outcome_said(outcome)}"
        text += "; it is tried again" if event.retry else f" ({self._ended}/{self._total})"
        if outcome.kind in WELL:
            log.info("%s", text)
        else:
            log.warning("%s; %s", text, os.path.relpath(RunDir(event.directory).console))


def _config_bytes(config: Any) -> bytes:
    """Return a configuration as bytes; by value what the script defines, which takes longer."""
    try:
        data = pickle.dumps(config)
    except Exception:  # noqa: BLE001  pickling may raise anything
        return dumps(config)
    return dumps(config) if b"__main__" in data else data


def configure_hydra_log(context: Any, config: Any) -> None:
    """Have Hydra's own log as it was before a job configured that of its own."""
    words = {}
    if hasattr(context, "execution_whitelist"):  # since Hydra 1.4
        words = {"execution_whitelist": context.execution_whitelist}
    configure_log(config.hydra.hydra_logging, config.hydra.verbose, **words)


def job_name(config: Any) -> str:
    """Return the experiment's name: the application's, as a directory can have it."""
    return re.sub(r"[\x00-\x1f\x7f/]+", "-", str(config.hydra.job.name)).strip(".") or "-"


def of_application(plan: Plan, task_function: Any) -> Plan:
    """Return the plan with the application as the runs' work."""
    file = _source_of(task_function)
    digest = digest_of_source(inspect.unwrap(task_function))
    return replace(
        plan,
        code=Path.cwd() if file is None else file.parent,
        script="" if file is None else str(file),
        file=replace(
            plan.file,
            work=Function(_name(task_function), pickle="function.pkl", digest=digest),
            path=import_path() if plan.file.interpreter is None else plan.file.path,
            front_door="hydra",
        ),
    )


def _sweeper_with_batches(config: Any) -> str:
    """Return the sweeper, where one launch need not have all its jobs."""
    sweeper = config.hydra.sweeper
    target = str(sweeper.get("_target_", ""))
    is_whole = target.endswith(".BasicSweeper") and sweeper.get("max_batch_size") is None
    if is_whole or target.startswith("hydra_plugins.runslot_sweeper."):
        return ""
    return f"hydra/sweeper={config.hydra.runtime.choices.get('hydra/sweeper') or target}"


def _name(task_function: Any) -> str:
    return str(getattr(task_function, "__qualname__", type(task_function).__qualname__))


def _source_of(task_function: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(inspect.unwrap(task_function))
    except TypeError:
        return None
    return None if file is None or not os.path.isfile(file) else Path(file).absolute()  # noqa: PTH113


def _record(experiment: ExperimentDir, plan: Plan, copies: bool) -> None:
    """Write the experiment, or add these runs to those of the batches before."""
    if not experiment.experiment_file.exists():
        if copies:
            source = find_source(plan.code, (experiment.path,), script=plan.script)
            plan = with_copy(experiment, plan, source)
        write_plan(experiment, plan)
        return
    widened = compare(experiment, plan)
    opened = OpenExperiment.open(experiment, {})
    try:
        widen(
            experiment, replace(plan, file=replace(plan.file, code=experiment.read().code)), widened
        )
    finally:
        opened.close()


def clear(experiment: ExperimentDir, runs: Sequence[Run]) -> None:
    """Make way for these runs where an earlier multirun has used the directory.

    As with Hydra's basic launcher the jobs write over what is there; `Busy` where jobs still run.
    """
    if not experiment.experiment_file.exists():
        _remove_records(experiment)
        return
    lock = LauncherLock(experiment)
    lock.acquire()
    try:
        under_way = [
            run for run in read_status(experiment).runs if run.state == "running" or run.name
        ]
        if under_way:
            place = shlex.quote(str(experiment.path))
            raise Busy(
                f"{counted(len(under_way), 'job')} of an earlier multirun in {experiment.path}"
                f" still run: `runslot stop {place}` ends them, or take another hydra.sweep.dir"
            )
        log.warning("%s has an earlier multirun, which is written over", experiment.path)
        _remove_records(experiment)
        for run in runs:
            _remove_attempts(RunDir(experiment.path / run.directory))
    finally:
        lock.release()


def _withdraw(experiment: ExperimentDir) -> bool:
    """Remove an experiment of which nothing has run; tell whether that is so."""
    if read_status(experiment).counts.keys() != {"queued"}:
        return False
    _remove_records(experiment)
    return True


def _remove_records(experiment: ExperimentDir) -> None:
    for file in (
        experiment.experiment_file,
        experiment.runs_file,
        experiment.journal_file,
        experiment.launcher_log,
        experiment.function_pickle,
        *experiment.path.glob("runslot-*.pyz"),
    ):
        file.unlink(missing_ok=True)
    for directory in (experiment.payloads, experiment.provenance, experiment.requests):
        shutil.rmtree(directory, ignore_errors=True)


def _remove_attempts(run_dir: RunDir) -> None:
    """Remove what says that a run was executed here, and what its logger would add to."""
    for file in (
        run_dir.run_file,
        run_dir.variant_file,
        run_dir.outcome_file,
        run_dir.attempt_file,
        run_dir.console,
        run_dir.progress,
        run_dir.system,
    ):
        file.unlink(missing_ok=True)
    for attempt_dir in run_dir.path.glob("attempt_*"):
        shutil.rmtree(attempt_dir, ignore_errors=True)


def _returned(directory: Path, config: Any, outcome: Outcome | None) -> JobReturn:
    """Return Hydra's record of a job; one of which there is none has failed, unless it exited."""
    if outcome is None or outcome.kind in WELL or outcome.kind == "failed":
        job = read_return(directory)
        if job is not None:
            return job
    job = JobReturn(
        overrides=list(config.hydra.overrides.task),
        cfg=config,
        status=JobStatus.COMPLETED
        if outcome is not None and outcome.kind in WELL
        else JobStatus.FAILED,
    )
    if job.status == JobStatus.FAILED:
        end = "has not ended" if outcome is None else f"{outcome.kind}: {outcome_said(outcome)}"
        job.return_value = CompactHydraException(f"the job in {directory} {end}")
    return job
