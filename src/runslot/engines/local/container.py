"""An experiment whose runs execute in a container: what is made and checked for it before the first
run.
"""

from __future__ import annotations

import os
from pathlib import Path

from runslot.engines.local.launcher import LocalLauncher
from runslot.engines.open_experiment import OpenExperiment
from runslot.errors import InvalidInput
from runslot.execute.image import check_image
from runslot.experiment.records import Run, RunFile, travels_by_value
from runslot.transport.zipapp import experiment_archive


def check_container(experiment: OpenExperiment, launcher: LocalLauncher) -> None:
    """Refuse an image, an engine or a function that no run could execute with; for a launcher
    once.
    """
    file, home = experiment.file, experiment.directory.path
    if file.container is None:
        raise InvalidInput(f"{home} has no container")
    if travels_by_value(file.work) or experiment.directory.payloads.exists():
        experiment_archive(experiment.directory)  # for cloudpickle, which images need not have
    asked = repr((file.container, file.work, file.cwd, file.path))
    if asked in launcher.checked:
        return
    run = RunFile(
        run=Run("", "", {}, ""),
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
    slot = next(iter(launcher.slots()), None)
    check_image(Path(home), run, file.python_version, slot, experiment.environment, launcher.say)
    launcher.checked.add(asked)
