"""One sweep of Hydra: a grid in one launch of any launcher, or a search, whose trials are runs of
an experiment in the multirun's directory.

`hydra_plugins.runslot_sweeper` comes here. What is wrong with a word or a configuration is said
before anything starts; `settings` reads the words, `space` the overrides, and `search` runs trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf

from runslot.errors import InvalidInput, RunslotError, refusals
from runslot.experiment.files import write_atomically
from runslot.experiment.rundir import ExperimentDir
from runslot.hydra.objective import value_of
from runslot.hydra.settings import SweepSettings
from runslot.hydra.space import OverrideSpace, read_space
from runslot.search.objective import Mode, merit
from runslot.search.report import best_yaml
from runslot.variants.space import VARIANTS_LIMIT

OUR_LAUNCHER = "hydra_plugins.runslot_launcher"


class Sweep:
    """What jobs are of: Hydra's context, the task function and the configuration."""

    def __init__(
        self, context: Any, task_function: Any, config: Any, words: dict[str, Any]
    ) -> None:
        self._context = context
        self._task_function = task_function
        self._config = config
        self._words = words
        self._root = Path(str(config.hydra.sweep.dir)).absolute()

    def run(self, arguments: Sequence[str]) -> list[Sequence[JobReturn]]:
        """Run what the overrides ask for; returns Hydra's record of each job, in batches."""
        try:
            with refusals():
                settings = SweepSettings.of(self._words)
                space = read_space([*settings.params, *arguments], self._context.config_loader)
                self._check(settings, space)
                run = self._search if settings.is_search else self._grid
                return [run(settings, space)]
        except RunslotError as error:
            raise CompactHydraException(str(error)) from error

    def _check(self, settings: SweepSettings, space: OverrideSpace) -> None:
        """Refuse words that do not go together."""
        if settings.is_grid and settings.n_trials is not None:
            raise InvalidInput(
                "hydra.sweeper.n_trials is for a sampler, and sampler=grid runs every combination:"
                " leave one of them out"
            )
        if not settings.is_grid and not space.axes:
            raise InvalidInput(
                f"hydra.sweeper.sampler={settings.sampler or 'auto'} has nothing to draw from: give"
                " a key several values, or lr=interval(0,1)"
            )
        if settings.seeds is not None and settings.seed_key in space.axes:
            raise InvalidInput(
                f"{settings.seed_key} is swept, and hydra.sweeper.seeds gives it values, too: leave"
                " one of them out"
            )
        if not settings.is_search:
            return
        launcher = str(self._config.hydra.launcher.get("_target_", ""))
        if not launcher.startswith(OUR_LAUNCHER):
            name = self._config.hydra.runtime.choices.get("hydra/launcher", launcher)
            raise InvalidInput(
                f"hydra/launcher={name} runs jobs in batches, and a search begins one whenever a"
                " slot is free: add hydra/launcher=runslot"
            )
        if "seed" in space.axes:
            raise InvalidInput(
                "seed is swept, and a search would look for the luckiest one: write"
                " hydra.sweeper.seeds=3 instead"
            )

    # ---- a grid --------------------------------------------------------------------------------

    def _grid(self, settings: SweepSettings, space: OverrideSpace) -> Sequence[JobReturn]:
        """Run every combination in one launch, with every seed."""
        combinations = self._combinations(space)
        seeds = [f"{settings.seed_key}={seed}" for seed in settings.seed_list]
        jobs = [
            [*space.overrides(values), *seed]
            for values in combinations
            for seed in ([[text] for text in seeds] or [[]])
        ]
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=self._task_function, config=self._config
        )
        for overrides in jobs:  # what is wrong is said before any of them starts
            self._context.config_loader.load_sweep_config(self._config, list(overrides))
        self._save()
        returns: Sequence[JobReturn] = launcher.launch(jobs, initial_job_idx=0)
        values = [
            job_return.return_value for job_return in returns
        ]  # the first exception of a job is raised
        if space.axes:
            _write_best(self._root, settings.mode, combinations, values)
        return returns

    def _combinations(self, space: OverrideSpace) -> list[dict[str, Any]]:
        combinations = list(islice(space.grid(), VARIANTS_LIMIT + 1))
        if len(combinations) > VARIANTS_LIMIT:
            raise InvalidInput(
                f"the grid has more than {VARIANTS_LIMIT:,} combinations: give"
                " hydra.sweeper.n_trials, and some of them are tried"
            )
        return combinations

    def _save(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self._config, self._root / "multirun.yaml")

    def _search(self, settings: SweepSettings, space: OverrideSpace) -> Sequence[JobReturn]:
        from runslot.hydra.search import TrialSearch

        combinations = self._combinations(space) if settings.is_grid else None
        search = TrialSearch(self._context, self._task_function, self._config, settings, space)
        search.check(combinations)
        self._save()
        return search.run()


def _write_best(
    root: Path, mode: Mode, combinations: Sequence[dict[str, Any]], values: Sequence[Any]
) -> None:
    """Write the best of a grid, where every job returned a number: by the mean over its seeds."""
    numbers = [value_of(value) for value in values]
    if any(number is None for number in numbers):
        return
    seeds = len(numbers) // len(combinations)
    means = [
        sum(number or 0.0 for number in numbers[first : first + seeds]) / seeds
        for first in range(0, len(numbers), seeds)
    ]
    best = max(range(len(means)), key=lambda place: merit(means[place], mode))
    write_atomically(ExperimentDir(root).best_file, best_yaml(combinations[best], means[best]))
