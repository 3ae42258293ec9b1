"""What travels to the machines: the experiment without what its runs wrote, the one-file runslot,
each one's job.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from runslot.engines.sky.tasks import EXPERIMENT, TASKS, Job, job_file
from runslot.experiment.rundir import ExperimentDir
from runslot.transport.zipapp import experiment_archive


def stage(
    experiment: ExperimentDir,
    code: str,
    tasks: Sequence[Sequence[tuple[str, int]]],
    jobs: Sequence[Job],
) -> Path:
    """Make the directory that travels, and return it: `code` is the name of the copy of the code.

    Machines of one launch share it; each reads its own job in it.
    """
    batch = jobs[0].share.batch
    place = experiment.path / "cloud" / batch
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    archive = experiment_archive(experiment)
    shutil.copy2(archive, place / archive.name)
    (place / TASKS).write_text(json.dumps(tasks))
    for job in jobs:
        (place / job_file(job.task)).write_text(json.dumps(job.to_json(), indent=1))
    with tarfile.open(place / f"{EXPERIMENT}.tar.gz", "w:gz", compresslevel=6) as packed:
        for path in _what_runs_need(experiment, code):
            packed.add(path, path.relative_to(experiment.path).as_posix())
    return place


def _what_runs_need(experiment: ExperimentDir, code: str) -> list[Path]:
    wanted = [
        experiment.experiment_file,
        experiment.runs_file,
        experiment.function_pickle,
        experiment.payloads,
        experiment.provenance,
        experiment.path / code,
    ]
    return [path for path in wanted if path.exists()]
