"""One launch of Hydra: its jobs become the runs of an experiment in the multirun's directory.

`hydra_plugins.runslot_launcher` comes here. Every job's configuration is composed here, before
anything starts, so that what is wrong with it is Hydra's own message. A job's output directory is
its run's directory.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.singleton import Singleton
from hydra.core.utils import (
    JobReturn,
    JobStatus,
    configure_log,
    filter_overrides,
    setup_globals,
)
from omegaconf import OmegaConf, open_dict

from runslot.engines.events import LaunchEvent
from runslot.engines.open_experiment import OpenExperiment
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.files import write_atomically
from runslot.experiment.records import Run
from runslot.experiment.rundir import ExperimentDir
from runslot.hardware.resources import Resources
from runslot.hydra.job import BATCH_KEY, JOB_KEY, read_return, run_hydra_job
from runslot.launch.create import compare, widen, write_plan
from runslot.launch.experiment import Experiment
from runslot.launch.launch import launch
from runslot.launch.plan import Plan, refuse_shared_directories
from runslot.variants import run_id, to_jsonable
from runslot.variants.encode import SEED_KEY

log = logging.getLogger(__name__)


class Multirun:
    """What jobs are of: Hydra's context, the task function and the configuration."""

    def __init__(
        self, context: Any, task_function: Any, config: Any, settings: Mapping[str, Any]
    ) -> None:
        self._context = context
        self._task_function = task_function
        self._config = config
        self._settings = dict(settings)

    def launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run these jobs, the first of which has this number, and return Hydra's records."""
        setup_globals()
        configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)
        root = Path(str(self._config.hydra.sweep.dir)).absolute()
        log.info("Launching %d jobs in slots of this machine", len(job_overrides))
        configs = {}
        for number, overrides in enumerate(job_overrides, first):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
            configs[number] = self._composed(number, overrides)
        plan = self._plan(configs, root, first)
        data = self._packed(configs)
        root.mkdir(parents=True, exist_ok=True)
        (root / BATCHES).mkdir(exist_ok=True)
        write_atomically(root / _batch(first), data)
        experiment = ExperimentDir(root)
        _record(experiment, plan)
        launch(experiment, _show)
        configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)
        return [_returned(root / run.directory, configs[run.extras[JOB_KEY]]) for run in plan.runs]

    def _composed(self, number: int, overrides: Sequence[str]) -> Any:
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def _plan(self, configs: Mapping[int, Any], root: Path, first: int) -> Plan:
        settings = self._settings
        asked = {key: settings[key] for key in ("cpus", "gpus", "memory") if settings[key]}
        experiment = Experiment(
            name=str(self._config.hydra.job.name),
            work=run_hydra_job,
            resources=Resources(**asked, runs_per_gpu=settings["runs_per_gpu"]),
            timeout=settings["timeout"],
            retries=settings["retries"],
        )
        plan = experiment.plan()
        runs = tuple(_as_run(number, config, root, first) for number, config in configs.items())
        refuse_shared_directories(runs)
        space = f"listed ×{len(runs)}"
        return replace(plan, runs=runs, file=replace(plan.file, space=space))

    def _packed(self, configs: Mapping[int, Any]) -> bytes:
        try:
            data: bytes = cloudpickle.dumps(
                {
                    "context": self._context,
                    "task_function": self._task_function,
                    "configs": dict(configs),
                    "singletons": Singleton.get_state(),
                }
            )
        except Exception as error:
            raise InvalidInput(
                f"the task function cannot travel to its jobs: {error}; make what it holds when"
                " it is called"
            ) from error
        return data


BATCHES = ".runslot"
"""Where the batches are, below the multirun's directory."""


def _batch(first: int) -> str:
    return f"{BATCHES}/batch-{first}.pkl"


def _as_run(number: int, config: Any, root: Path, first: int) -> Run:
    """Return the job as a run: its variant is what its overrides say."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        place = os.path.relpath(root / str(config.hydra.sweep.subdir), root)
        texts = list(OmegaConf.to_container(config.hydra.overrides.task))
    finally:
        HydraConfig.instance().cfg = before
    if place == "." or place.startswith(".."):
        raise InvalidInput(
            f"hydra.sweep.subdir is {str(config.hydra.sweep.subdir)!r}: every job needs a directory"
            " of its own below hydra.sweep.dir"
        )
    variant = _variant(texts)
    seed = variant.pop(SEED_KEY, None)
    extras = {
        JOB_KEY: number,
        BATCH_KEY: _batch(first),
        "hydra_home": os.path.relpath(root, root / place),
    }
    name = (
        ",".join(text for text in texts if text.lstrip("+").partition("=")[0] != SEED_KEY)
        or "defaults"
    )
    return Run(
        run_id({**variant, SEED_KEY: seed, **extras}),
        name.replace("/", "."),
        to_jsonable(variant),
        place,
        seed=seed if isinstance(seed, int) else None,
        extras=extras,
    )


def _variant(texts: Sequence[str]) -> dict[str, Any]:
    variant: dict[str, Any] = {}
    for override in OverridesParser.create().parse_overrides(list(texts)):
        value = override.value()
        plain = isinstance(value, (bool, int, float, str)) or value is None
        variant[override.get_key_element().lstrip("+~")] = (
            value if plain else override.get_value_string()
        )
    return variant


def _record(experiment: ExperimentDir, plan: Plan) -> None:
    """Write the experiment, or add these runs to that of the batches before."""
    if not experiment.experiment_file.exists():
        write_plan(experiment, plan)
        return
    widened = compare(experiment, plan)
    opened = OpenExperiment.open(experiment, {})
    try:
        widen(experiment, plan, widened)
    finally:
        opened.close()


def _returned(directory: Path, config: Any) -> JobReturn:
    if (job := read_return(directory)) is not None:
        return job
    job = JobReturn(cfg=config, status=JobStatus.FAILED)
    job.return_value = RunslotError(
        f"the job in {directory} ended without a record: see `runslot logs {directory}`"
    )
    return job


def _show(event: LaunchEvent) -> None:
    log.debug("%s", event)
