"""Hydra's sweeper `runslot`: what Hydra finds when it looks for plugins; the code is in
`runslot.hydra.sweep`, which is loaded when a sweep begins.
"""

# No `from __future__ import annotations` here: omegaconf reads the annotations as they stand.
from dataclasses import dataclass
from typing import Any, Dict, List, Optional  # noqa: UP035  omegaconf on Python 3.10

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper


@dataclass
class RunslotSweeperConf:
    """What `hydra.sweeper.…` may say."""

    _target_: str = "hydra_plugins.runslot_sweeper.RunslotSweeper"
    sampler: Optional[str] = None  # noqa: UP045
    """grid, auto, tpe, gp, cmaes, qmc, random; none: grid, or auto where n_trials is given."""
    n_trials: Optional[int] = None  # noqa: UP045
    direction: Optional[str] = None  # noqa: UP045
    """minimize or maximize; none: what is returned or reported is minimized."""
    metric: Optional[str] = None  # noqa: UP045
    """The column of what a job logs; none: what it returns, or reports."""
    prune: str = "none"
    """asha, median, hyperband or none: whether trials that lag behind end early."""
    seeds: Any = None
    """How many, a list, or race:3..10; none: the jobs are given no seed."""
    seed_key: str = "seed"
    """The key of the configuration that a job's seed goes to."""
    test_seeds: int = 0
    """How many new seeds the best is run with in the end."""
    budget: Any = None
    """After so long, as 8h, no further trial begins."""
    judged: str = "final"
    """By which rows a job is judged: final, best, last-K."""
    step: Optional[str] = None  # noqa: UP045
    """The column that counts how far a job is."""
    sampler_seed: int = 0
    """Another one gives other trials."""
    params: Optional[Dict[str, str]] = None  # noqa: UP006, UP045
    """The space, where it is not on the command line: lr: interval(0, 1)."""


ConfigStore.instance().store(
    group="hydra/sweeper", name="runslot", node=RunslotSweeperConf, provider="runslot"
)


class RunslotSweeper(Sweeper):  # type: ignore[misc]  # Hydra is untyped here
    """Runs the jobs of a multirun: a grid, or trials that learn from those before them."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._sweep: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Take note of what the jobs are of."""
        from runslot.hydra.sweep import Sweep

        self._sweep = Sweep(hydra_context, task_function, config, self._settings)

    def sweep(self, arguments: List[str]) -> Any:  # noqa: UP006
        """Run what the overrides ask for; returns Hydra's record of each job, in batches."""
        return self._sweep.run(arguments)
