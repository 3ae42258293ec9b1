"""The jobs of a multirun, in the processes of their runs: what Hydra's basic launcher does for one.

`runslot.hydra.launch` makes an `Application`: it is there in forks of Hydra's own process, and
travels by value to a new interpreter, as for `runslot resume`. What a job leaves is Hydra's record
of it, in its directory.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import random
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from omegaconf import OmegaConf, open_dict

from runslot.errors import InvalidInput, RunslotError
from runslot.execute.functions import unpickle
from runslot.experiment.current import current_run
from runslot.hydra.node_copy import quick_copies
from runslot.hydra.yaml_parts import YamlParts

log = logging.getLogger(__name__)

JOB_KEY, HOME_KEY = "hydra_job", "hydra_home"
"""What a run's extras say: the number of the job, and the multirun's directory from the run's."""
RETURN_FILE = "job_return.pkl"
"""Hydra's record of the job, in its run's directory."""


class Application:
    """A Hydra application as its jobs have it: called with a run's variant, it is that job."""

    def __init__(self, context: Any, task_function: Any, configs: Mapping[int, Any]) -> None:
        self._context = context
        self._task_function = task_function
        self._configs = configs
        """By the number of the job; empty in an interpreter that it has travelled to."""
        self._chance = random.getstate()
        """As the launching process, or the template, has it: Python seeds `random` in forks."""
        self._yaml = YamlParts()

    def rehearse(self) -> None:
        """Do what all jobs would do again, in the process that they are forked from."""
        for config in islice(self._configs.values(), 1):
            self._rehearse(config)

    def _rehearse(self, config: Any) -> None:
        self._yaml.learn(config)

    def __getstate__(self) -> dict[str, Any]:
        """Travel with the state of Hydra's process, and without the configurations."""
        state = {**self.__dict__, "_configs": {}, "_yaml": YamlParts()}
        return {"singletons": Singleton.get_state(), **state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Singleton.set_state(state.pop("singletons"))
        setup_globals()
        self.__dict__.update(state)
        self._chance = random.getstate()

    def __call__(self, variant: Mapping[str, Any]) -> None:
        """Run the job that the variant names; an exception of its is raised."""
        run = current_run()
        assert run is not None
        number = int(variant[JOB_KEY])
        home = Path(os.path.normpath(run.directory / str(variant[HOME_KEY])))
        config = self._configs.get(number)
        if config is None:
            config = unpickle(home / config_file(number))
        if run.seed is None:
            draw_apart(self._chance, number)
        _place(config, home)
        self._execute(config, run.directory)

    def _execute(self, config: Any, directory: Path) -> Any:
        """Run a job as Hydra's launchers do, and return its value; its record is left in the run's
        directory, in the place of an earlier attempt's, and an exception of its is raised.
        """
        (directory / RETURN_FILE).unlink(missing_ok=True)
        try:
            with quick_copies(), self._yaml.in_use():
                job = run_job(
                    hydra_context=self._context,
                    task_function=self._task_function,
                    config=config,
                    job_dir_key="hydra.sweep.dir",
                    job_subdir_key="hydra.sweep.subdir",
                )
        except Exception as error:  # Hydra's own, before or after the task function
            write_return(directory, _failed(config, error))
            raise
        write_return(directory, job)
        if job.status != JobStatus.COMPLETED:
            raise job._return_value
        return job.return_value


def _failed(config: Any, error: Exception) -> JobReturn:
    """Return Hydra's record of a job that could not be run, as of a job that has failed."""
    overrides = list(OmegaConf.to_container(config.hydra.overrides.task))
    job = JobReturn(overrides=overrides, cfg=config, status=JobStatus.FAILED)
    job.return_value = error
    return job


class Untravelled:
    """Stands for an application that cannot travel: read, it says why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, (self._reason,)


def _refuse(reason: str) -> None:
    raise InvalidInput(reason)


def config_file(number: int) -> str:
    """Return where the configuration of a job is, below the multirun's directory."""
    return f"payloads/job-{number}.pkl"


@contextmanager
def hydra_config(config: Any) -> Iterator[None]:
    """Let `${hydra:…}` inside mean this configuration."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.cfg = config  # `set_config` copies, which takes as long as all else that is done here
    try:
        yield
    finally:
        instance.cfg = before


def _place(config: Any, home: Path) -> None:
    """Have Hydra write where the run is: on another machine the multirun lies elsewhere."""
    with hydra_config(config):
        place = os.path.realpath(str(config.hydra.sweep.dir))
    if place != os.path.realpath(home):
        with open_dict(config):
            config.hydra.sweep.dir = str(home)


def draw_apart(chance: Any, number: int) -> None:
    """Give the job random numbers of its own: forks have the state of the launching process.

    The first job has that very state, as with Hydra's basic launcher; each other one a state that
    follows from it, so that what was seeded once is the same in every multirun.
    """
    random.setstate(chance)
    if number == 0:
        return
    random.seed(_seed(repr(chance).encode(), number))
    if (numpy := sys.modules.get("numpy.random")) is not None:
        numpy.seed(_seed(repr(numpy.get_state()[1].tolist()).encode(), number))
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(_seed(bytes(torch.get_rng_state().tolist()), number))


def _seed(state: bytes, number: int) -> int:
    digest = hashlib.sha256(state + f" {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


# ---- Hydra's record of a job ---------------------------------------------------------------------


class JobTraceback(Exception):
    """Where in the job's own process its exception was raised."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class JobError(RunslotError):
    """The exception of a job that cannot be brought to another process as it was."""


def write_return(directory: Path, job: JobReturn) -> None:
    """Leave Hydra's record of the job; a value that cannot travel is left as its text."""
    value = job._return_value
    failed = job.status != JobStatus.COMPLETED
    text = "".join(traceback.format_exception(value)) if failed else ""
    try:
        data = _bytes((job, text))
    except Exception as error:  # noqa: BLE001  pickling may raise anything
        kind = type(value).__name__
        if failed:
            job._return_value = JobError(f"{kind}: {value}")
        else:
            log.warning("the job's return value, a %s, cannot travel: %s", kind, error)
            job._return_value = repr(value)
        data = _bytes((job, text))
        job._return_value = value
    temporary = directory / f".{RETURN_FILE}"
    temporary.write_bytes(data)
    temporary.replace(directory / RETURN_FILE)


def _bytes(value: Any) -> bytes:
    """Pickle it so that it can be read again: by name where that is possible."""
    try:
        data = pickle.dumps(value)
    except Exception:  # noqa: BLE001  as above
        import cloudpickle

        data = bytes(cloudpickle.dumps(value))
    if isinstance(value[0]._return_value, BaseException):
        pickle.loads(data)  # noqa: S301  ours; many exceptions can be written and not be read
    return data


def read_return(directory: Path) -> JobReturn | None:
    """Return Hydra's record of the job in this directory, or None where it left none."""
    try:
        data = (directory / RETURN_FILE).read_bytes()
    except FileNotFoundError:
        return None
    job, text = pickle.loads(data)  # noqa: S301  our own
    error = job._return_value
    # Hydra 1.4 brings the traceback itself.
    if text and isinstance(error, BaseException) and not hasattr(job, "_remote_traceback"):
        error.__cause__ = JobTraceback(text)
    return job
