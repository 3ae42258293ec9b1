"""One trial of a sweep, in the process of its run: its overrides from what was chosen, composed and
run as Hydra's launchers run a job.

`runslot.hydra.search` makes a `TrialApplication`, which is there in forks of Hydra's process, and
lies by value in the multirun's directory: `runslot resume` goes on with it where that was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import open_dict

from runslot.errors import InvalidInput
from runslot.experiment.current import current_run
from runslot.experiment.rundir import RunDir
from runslot.hydra.job import Application
from runslot.hydra.objective import report_return
from runslot.hydra.space import OverrideSpace
from runslot.variants.encode import SEED_KEY


class TrialApplication(Application):
    """A Hydra application as trials have it: called with a run's variant, it is that trial."""

    def __init__(
        self, context: Any, task_function: Any, config: Any, space: OverrideSpace, seed_key: str
    ) -> None:
        super().__init__(context, task_function, {})
        self._config = config
        self._space = space
        self._seed_key = seed_key
        """The key of the configuration that takes the run's seed; empty: none does."""

    def __call__(self, variant: Mapping[str, Any]) -> None:
        """Run the task function with what was chosen; an exception of its is the run's."""
        run = current_run()
        assert run is not None
        root, name = run.directory.parent, run.directory.name
        RunDir(run.directory).objective.unlink(missing_ok=True)  # of an attempt before
        report_return(self._execute(self.compose(variant, root, name), run.directory))

    def rehearse(self) -> None:
        """Do what all trials would do again, in the process that they are forked from."""
        self._rehearse(self._config)

    def compose(self, variant: Mapping[str, Any], root: Path, name: str) -> Any:
        """Return the configuration of the job of a variant, in the directory of this name."""
        overrides = self._space.overrides(variant)
        if self._seed_key:
            overrides.append(f"{self._seed_key}={variant[SEED_KEY]}")
        config = self._context.config_loader.load_sweep_config(self._config, overrides)
        with open_dict(config):
            config.hydra.job.id = name
            config.hydra.job.num = int(name.rpartition("_")[2])  # of `test_3`, too
            config.hydra.sweep.dir = str(root)
            config.hydra.sweep.subdir = name
        return config

    def probe(self, variant: Mapping[str, Any], root: Path) -> None:
        """Compose the configuration of a variant, so that Hydra says what is wrong with it."""
        config = self._context.config_loader.load_sweep_config(
            self._config, self._space.overrides(variant)
        )
        subdir = config.hydra.sweep._get_node("subdir")._value()
        if subdir != "${hydra.job.num}":
            raise InvalidInput(
                f"hydra.sweep.subdir={subdir}: the trials of a search lie in directories of their"
                " numbers; leave it out"
            )
        self.compose(variant, root, "0")
