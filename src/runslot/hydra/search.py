"""The search of a sweep: its trials are runs of an experiment in the multirun's directory, and one
begins whenever a slot is free.

`sweep` comes here. `runslot.search` decides about trials; the application is there in a fork of
Hydra's process for each, or by value, as for `launch`. What must stay true: all that goes on with
the search lies in the directory, so that `runslot resume` does.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from omegaconf import OmegaConf

from runslot.engines.events import LaunchEvent, LaunchStarted, RunEnded, Said
from runslot.engines.local.fork import end_fork, fork_here
from runslot.errors import InvalidInput
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.states import WELL
from runslot.hydra.fields import experiment_of
from runslot.hydra.job import Untravelled, read_return
from runslot.hydra.launch import (
    INTERRUPTED,
    clear,
    configure_hydra_log,
    job_name,
    of_application,
)
from runslot.hydra.settings import SweepSettings
from runslot.hydra.space import OverrideSpace
from runslot.hydra.trial import TrialApplication
from runslot.launch.create import write_plan
from runslot.launch.function import by_value
from runslot.launch.launch import launch
from runslot.launch.plan import Plan
from runslot.launch.printer import outcome_said, todo_said
from runslot.launch.script_pickle import dumps
from runslot.search.roster import HYDRA_LAYOUT
from runslot.search.start import make_study, record_of, space_of

log = logging.getLogger(__name__)

PROBES_LIMIT = 200
"""Configurations that are composed before a search begins, to see that they can be."""


class TrialSearch:
    """A search over the space of a multirun."""

    def __init__(
        self,
        context: Any,
        task_function: Any,
        config: Any,
        settings: SweepSettings,
        space: OverrideSpace,
    ) -> None:
        self._context = context
        self._task_function = task_function
        self._config = config
        self._settings = settings
        self._space = space
        self._root = Path(str(config.hydra.sweep.dir)).absolute()
        seed_key = "" if settings.seeds is None else settings.seed_key
        self._application = TrialApplication(context, task_function, config, space, seed_key)
        self._plan: Plan | None = None

    def check(self, combinations: Sequence[Mapping[str, Any]] | None) -> None:
        """Plan it, of these settings alone where they are a grid; refuse what cannot be run."""
        setup_globals()
        self._plan = self._planned(combinations)
        first = self._plan.runs[0].seed
        for values in islice(self._space.probes(), PROBES_LIMIT):
            self._application.probe({**values, "seed": first}, self._root)

    def run(self) -> Sequence[JobReturn]:
        """Run the trials; returns Hydra's record of each that came to its end."""
        configure_hydra_log(self._context, self._config)
        plan = self._plan
        assert plan is not None
        here = plan.file.container is None and plan.file.interpreter is None
        experiment = ExperimentDir(self._root)
        try:
            # First, while this process has no threads: what is recorded, one brings to the disk.
            reason = fork_here(self._application) if here else ""
            if reason:
                log.info(
                    "The trials start in forks of a new interpreter, not of this one: %s", reason
                )
            plan = replace(plan, pickles={**plan.pickles, **self._pickles(needed=not here)})
            earlier = experiment.read_runs() if experiment.runs_file.exists() else []
            clear(experiment, [*earlier, *plan.runs])
            write_plan(experiment, plan)
            log.info("Search: %s", plan.file.space)
            launch(experiment, _narrate, wait=True)
        except KeyboardInterrupt:
            place = shlex.quote(os.path.relpath(self._root))
            log.warning("Stopped: `runslot resume %s` goes on with the search", place)
            raise SystemExit(INTERRUPTED) from None
        finally:
            end_fork()
            configure_hydra_log(self._context, self._config)
        return self._returns(experiment)

    def _planned(self, combinations: Sequence[Mapping[str, Any]] | None) -> Plan:
        launcher = OmegaConf.to_container(self._config.hydra.launcher, resolve=True)
        assert isinstance(launcher, dict)
        fields = {str(key): value for key, value in launcher.items() if key != "_target_"}
        base = experiment_of(job_name(self._config), fields)
        if base.launcher() is not None:
            raise InvalidInput(
                f"hydra.launcher.on={fields['on']}: a search composes each trial when it begins,"
                " here: leave hydra.launcher.on out, or run a grid there (list values, without"
                " n_trials)"
            )
        axes = self._space.axes
        distributions = {key: axis.distribution for key, axis in axes.items()}
        experiment = replace(
            base,
            variants=combinations,
            seeds=[0] if self._settings.seeds is None else self._settings.seeds,
            search=self._settings.search(distributions if combinations is None else None),
        )
        return numbered(of_application(experiment.plan(), self._task_function))

    def _pickles(self, needed: bool) -> dict[str, bytes]:
        try:
            return {"function.pkl": by_value(self._application, "the Hydra application")}
        except InvalidInput as error:
            if needed:
                raise
            return {"function.pkl": dumps(Untravelled(str(error)))}

    def _returns(self, experiment: ExperimentDir) -> list[JobReturn]:
        """Return Hydra's record of each job that came to its end."""
        records = [read_return(self._root / run.directory) for run in experiment.read_runs()]
        returns = [job for job in records if job is not None]  # who was ended early left none
        if returns and all(job.status != JobStatus.COMPLETED for job in returns):
            error = returns[0]._return_value
            raise InvalidInput(
                f"none of {len(returns)} trials succeeded; the first: {type(error).__name__}:"
                f" {error} ({os.path.relpath(RunDir(self._root / '0').console)})"
            ) from error
        return returns


def numbered(plan: Plan) -> Plan:
    """Return the plan of a search with its runs where Hydra has its jobs, in numbers."""
    record = replace(record_of(plan.file), layout=HYDRA_LAYOUT)
    study = make_study(record, plan.file.name, space_of(record, Path.cwd()), asks=False)
    for event in plan.events:
        study.apply(event)
    file = replace(plan.file, search=record.to_json())
    return replace(plan, file=file, runs=tuple(study.runs[run.id].run for run in plan.runs))


def _narrate(event: LaunchEvent) -> None:
    """Log what Hydra's user wants to hear of a search."""
    match event:
        case LaunchStarted():
            log.info("Launching %s", todo_said(event))
        case Said():
            log.info("%s", event.text)
        case RunEnded():
            outcome = event.outcome
            value = last_value(RunDir(event.directory).objective)
            text = f"\t#{event.run.directory} : {event.run.name} {outcome.kind}"
            text += f", {value}" if value else ""
            text += f" ({outcome_said(outcome)}{'; it is tried again' if event.retry else ''})"
            level = logging.INFO if outcome.kind in WELL else logging.WARNING
            log.log(level, "%s", text)
        case _:
            pass


def last_value(file: Path) -> str:
    """Return what a job reported last, as it stands; empty where it reported nothing."""
    try:
        return file.read_text().splitlines()[-1].partition(",")[2]
    except (OSError, IndexError):
        return ""
