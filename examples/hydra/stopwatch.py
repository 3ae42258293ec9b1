"""A callback of Hydra's: how long a job took stands in its output directory."""

import time
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class Stopwatch(Callback):
    """Writes `seconds.txt`."""

    def __init__(self) -> None:
        self._began = 0.0

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Note when the job begins."""
        self._began = time.monotonic()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Write how long it took."""
        seconds = time.monotonic() - self._began
        Path(config.hydra.runtime.output_dir, "seconds.txt").write_text(f"{seconds:.3f}\n")
