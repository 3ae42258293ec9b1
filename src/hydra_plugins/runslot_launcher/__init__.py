"""Hydra's launcher `runslot`: what Hydra finds when it looks for plugins; the code is in
`runslot.hydra`, which is loaded when jobs are launched.
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
    cpus: Optional[int] = None  # noqa: UP045  omegaconf on Python 3.10
    gpus: Optional[int] = None  # noqa: UP045
    runs_per_gpu: int = 1
    memory: Optional[str] = None  # noqa: UP045
    timeout: Optional[float] = None  # noqa: UP045
    retries: int = 0


ConfigStore.instance().store(
    group="hydra/launcher", name="runslot", node=RunslotLauncherConf, provider="runslot"
)


class RunslotLauncher(Launcher):  # type: ignore[misc]  # Hydra is untyped here
    """Launches the jobs of a multirun, each in a slot of this machine."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._parts: tuple[Any, Any, Any] | None = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Take note of what the jobs are of."""
        self._parts = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Run the jobs and return Hydra's record of each, in their order."""
        assert self._parts is not None
        from runslot.hydra.launch import Multirun

        return Multirun(*self._parts, self._settings).launch(job_overrides, initial_job_idx)
