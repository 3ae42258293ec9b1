"""One job of a multirun, in the process of its run: what Hydra's basic launcher does for a job.

`launch` writes what travels to it; what it leaves for `launch` is Hydra's record of the job.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals

from runslot.experiment.current import current_run

JOB_KEY, BATCH_KEY = "hydra_job", "hydra_batch"
"""What a run's extras say: the number of the job, and the file of its batch."""
RETURN_FILE = "hydra_return.pkl"
"""Hydra's record of the job, below its run's directory."""


def run_hydra_job(variant: dict[str, Any]) -> None:
    """Run the task function as one job; an exception of it is the run's."""
    run = current_run()
    assert run is not None
    record = run.directory / RETURN_FILE
    record.unlink(missing_ok=True)
    batch = pickle.loads(batch_file(run.directory, variant).read_bytes())  # noqa: S301  our own
    context, task_function = batch["context"], batch["task_function"]
    Singleton.set_state(batch["singletons"])
    setup_globals()
    job = run_job(
        hydra_context=context,
        task_function=task_function,
        config=batch["configs"][variant[JOB_KEY]],
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    temporary = record.with_suffix(".tmp")
    temporary.write_bytes(cloudpickle.dumps(job))
    temporary.replace(record)
    if job.status != JobStatus.COMPLETED:
        raise job._return_value


def batch_file(directory: Path, variant: Mapping[str, Any]) -> Path:
    """Return where the batch of the run in this directory is."""
    return directory / str(variant["hydra_home"]) / str(variant[BATCH_KEY])


def read_return(directory: Path) -> JobReturn | None:
    """Return Hydra's record of the job in this directory, or None where it left none."""
    try:
        data = (directory / RETURN_FILE).read_bytes()
    except FileNotFoundError:
        return None
    job: JobReturn = pickle.loads(data)  # noqa: S301  our own
    return job
