"""An experiment whose runs execute in a container: what is made and checked for it before the first run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from runslot.errors import InvalidInput
from runslot.execute.image import check_image
from runslot.experiment.records import RunFile
from runslot.hardware.slots import Slot
from runslot.launch.onefile import experiment_archive
from runslot.launch.opened import OpenExperiment


def check_container(experiment: OpenExperiment, slot: Slot | None, say: Callable[[str], None]) -> None:
    """Refuse an image, an engine or a function that no run could execute with; `slot` is any of the runs'."""
    file, home = experiment.file, experiment.directory.path
    if file.container is None:
        raise InvalidInput(f"{home} has no container")
    if "function" in file.work:
        experiment_archive(experiment.directory)  # for cloudpickle, which images need not have
    run = RunFile(
        run={},
        experiment=file.name,
        work=file.work,
        cwd=file.cwd,
        python=file.python,
        path=file.path,
        python_path=file.python_path,
        home=os.curdir,
        policy=file.policy,
        gpu_visibility=file.gpu_visibility,
        container=file.container,
    )
    check_image(Path(home), run, file.python_version, slot, experiment.environment, say)
