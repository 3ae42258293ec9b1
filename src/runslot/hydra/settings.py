"""The words of `hydra.sweeper.…`, checked: each one works, or is refused by its name.

`sweep` makes a `SweepSettings` of what Hydra has composed before it looks at anything else. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from runslot.cli.kinds import parse_seconds
from runslot.errors import InvalidInput, nearest
from runslot.launch.plan import seeds_of
from runslot.record import record
from runslot.search.objective import REPORTED, Mode
from runslot.search.race import parse_race
from runslot.search.roster import RACE
from runslot.search.samplers import SAMPLERS
from runslot.search.spec import Search
from runslot.variants.parse import parse_seeds

GRID = "grid"
_MODES: Mapping[str, Mode] = {"minimize": "min", "maximize": "max"}
_WORD = "hydra.sweeper."


@record
class SweepSettings:
    """What a sweep was asked for."""

    sampler: str | None
    n_trials: int | None
    mode: Mode
    metric: str | None
    prune: str
    seeds: str | Sequence[int] | None
    """A race in words, or which; None: the jobs are given none."""
    seed_key: str
    test_seeds: int
    budget: float | None
    judged: str
    step: str
    sampler_seed: int
    params: Sequence[str]
    """Overrides that stand before those of the command line."""

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> SweepSettings:
        """Read the words; `InvalidInput` names the one that cannot be meant."""
        plain = {
            name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for name, value in words.items()
        }
        sampler = plain["sampler"]
        if sampler is not None and sampler not in (GRID, *SAMPLERS):
            names = (GRID, *SAMPLERS)
            raise InvalidInput(
                f"{_WORD}sampler={sampler} is none of {', '.join(names)}{nearest(sampler, names)}"
            )
        direction = plain["direction"] or ("minimize" if plain["metric"] is None else None)
        if direction is None:
            raise InvalidInput(
                f"{_WORD}metric={plain['metric']}: say which way is better, with"
                f" {_WORD}direction=maximize or minimize"
            )
        if direction not in _MODES:
            raise InvalidInput(
                f"{_WORD}direction={direction} is neither minimize nor maximize"
                f"{nearest(str(direction), _MODES)}"
            )
        settings = cls(
            sampler=sampler,
            n_trials=plain["n_trials"],
            mode=_MODES[direction],
            metric=plain["metric"],
            prune=plain["prune"],
            seeds=_seeds(plain["seeds"]),
            seed_key=plain["seed_key"],
            test_seeds=plain["test_seeds"],
            budget=None if plain["budget"] is None else _budget(plain["budget"]),
            judged=plain["judged"],
            step=plain["step"] or "",
            sampler_seed=plain["sampler_seed"],
            params=[f"{key}={value}" for key, value in (plain["params"] or {}).items()],
        )
        settings.search(None)
        return settings

    def search(self, space: Mapping[str, Any] | None) -> Search:
        """Return the search that these words ask for, over a space, or over the grid's settings."""
        try:
            return Search(
                self.metric or REPORTED,
                self.mode,
                space,
                trials=self.n_trials,
                sampler="" if self.sampler in (None, GRID) else str(self.sampler),
                prune=self.prune,
                test_seeds=self.test_seeds,
                budget=self.budget,
                step=self.step,
                judged=self.judged,
                seed=self.sampler_seed,
            )
        except InvalidInput as error:
            word, blank, rest = str(error).partition(" ")
            word = {"trials": "n_trials", "seed": "sampler_seed"}.get(word, word)
            raise InvalidInput(f"{_WORD}{word}{blank}{rest}") from None

    @property
    def is_grid(self) -> bool:
        """Whether every combination is run, rather than so many trials."""
        if self.sampler is None:
            return self.n_trials is None and self.budget is None
        return self.sampler == GRID

    @property
    def is_search(self) -> bool:
        """Whether what the jobs show decides about further ones."""
        race = isinstance(self.seeds, str)
        rules = self.prune != "none" or race or self.test_seeds > 0 or self.budget is not None
        return not self.is_grid or rules or self.metric is not None

    @property
    def seed_list(self) -> Sequence[int]:
        """The seeds of every job of a grid; none where the jobs are given none."""
        return () if self.seeds is None or isinstance(self.seeds, str) else self.seeds


def _seeds(value: Any) -> str | Sequence[int] | None:
    if value is None:
        return None
    try:
        if isinstance(value, str) and value.startswith(RACE):
            parse_race(value)
            return value
        return parse_seeds(value) if isinstance(value, str) else seeds_of(value)
    except InvalidInput as error:
        raise InvalidInput(f"{_WORD}seeds={value}: {error}") from None


def _budget(value: Any) -> float:
    try:
        return parse_seconds(value)
    except InvalidInput as error:
        raise InvalidInput(f"{_WORD}budget {error}") from None
