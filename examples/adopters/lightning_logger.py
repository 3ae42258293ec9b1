"""`Trainer(logger=RunslotLogger())`: what Lightning modules `self.log(...)` is rows of the run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from runslot import logger


class RunslotLogger(Logger):  # type: ignore[misc]  # without Lightning installed its class has no type
    """One row for each step that logs something, written when the next one does, and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._step: int | None = None

    @property
    def name(self) -> str | None:
        """The run directory's name."""
        return None if self.log_dir is None else Path(self.log_dir).name

    @property
    def version(self) -> int:
        """A run directory has one version."""
        return 0

    @property
    def log_dir(self) -> str | None:
        """Where Lightning puts checkpoints, too."""
        return logger.get_snapshot_dir()

    root_dir = save_dir = log_dir

    @rank_zero_only  # type: ignore[untyped-decorator]  # as above
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Put values into the row of their step."""
        if step != self._step:
            logger.dump_tabular()
            self._step = step
        if step is not None:
            logger.set_iteration(step)
        logger.record_dict({**metrics, "step": step})

    @rank_zero_only  # type: ignore[untyped-decorator]  # as above
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Keep them beside the variant, of which a launcher knows already."""
        values = vars(params) if isinstance(params, Namespace) else dict(params)
        logger.save_extra_data(values, "hparams.json", mode="json")

    @rank_zero_only  # type: ignore[untyped-decorator]  # as above
    def finalize(self, status: str) -> None:
        """Write the last row."""
        logger.dump_tabular()
