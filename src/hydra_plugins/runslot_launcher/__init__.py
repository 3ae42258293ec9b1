"""Hydra's launcher `runslot`: what Hydra finds when it looks for plugins.

Every Hydra application of an environment loads this module, also those that launch otherwise: it
loads nothing of runslot, whose part is `runslot.hydra`, until jobs are launched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher


@dataclass
class RunslotLauncherConf:
    """What `hydra.launcher.…` may say; omegaconf reads the annotations as they stand."""

    _target_: str = "hydra_plugins.runslot_launcher.RunslotLauncher"
    # cores a job; GPUs a job; jobs that share a GPU
    cpus: Optional[int] = None  # noqa: UP045  omegaconf on Python 3.10
    gpus: Optional[int] = None  # noqa: UP045
    runs_per_gpu: int = 1
    # 8GB, 512MiB; 90 (seconds), 10m, 2h; how often a failed job is tried again
    memory: Optional[str] = None  # noqa: UP045
    timeout: Optional[str] = None  # noqa: UP045
    retries: int = 0
    # a launcher by its name, as `--on`; an image, or {image: …, engine: podman}; an interpreter, or
    # its environment's directory
    on: Optional[str] = None  # noqa: UP045
    container: Any = None
    python: Optional[str] = None  # noqa: UP045


ConfigStore.instance().store(
    group="hydra/launcher", name="runslot", node=RunslotLauncherConf, provider="runslot"
)


class RunslotLauncher(Launcher):  # type: ignore[misc]  # Hydra is untyped here
    """Launches the jobs of a multirun, each in a slot of its own."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields
        self._multirun: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Take note of what the jobs are of."""
        from runslot.hydra.launch import Multirun

        self._multirun = Multirun(hydra_context, task_function, config, self._fields)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Run the jobs and return Hydra's record of each, in their order."""
        return self._multirun.launch(job_overrides, initial_job_idx)  # type: ignore[no-any-return]
