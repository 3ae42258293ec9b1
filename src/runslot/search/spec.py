"""What a user asks of a search (`Search`), and the record of it that stands in `experiment.json`.
Pure.

`launch.experiment` takes a `Search`, `roster` makes the record of it, and `study` decides by the
record alone: what is asked later must not depend on the script that asked first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from runslot.errors import InvalidInput, one_of, refuse_unknown_words, whole
from runslot.experiment.records import Function
from runslot.experiment.shape import PARTS, RecordBase
from runslot.record import record
from runslot.search.objective import MODES, SUMMARIES, Mode, Objective, Summary
from runslot.search.samplers import SAMPLERS
from runslot.variants.distributions import Choice, Distribution

SpaceWords = str | Sequence[str] | Mapping[str, Any] | Callable[..., Any]
"""What a search draws from: `lr=loguniform(1e-5,1e-1)` words, a dict, `file.py:space`, or a
function of a trial.
"""

PRUNERS = ("asha", "median", "hyperband", "none")
TRIALS_LIMIT = 1_000_000
"""Trials that a search may have; more is a slip of the hand."""


@dataclass(frozen=True)
class Search:
    """A search for the variant with the best value of a metric: what it draws from, how it judges,
    when it ends.

    `Experiment("digits", train, search=Search("accuracy", "max", {"lr": "loguniform(1e-5,1e-1)"},
    trials=50))`. Without a space the experiment's own variants are the trials: they are pruned,
    raced and tested in the same way.
    """

    metric: str
    """The column that is to become best."""
    mode: Mode
    """Which way is better: `max` or `min`."""
    space: SpaceWords | None = None
    """`{"lr": "loguniform(1e-5,1e-1)", "act": ["relu", "gelu"]}`, the same as words, or a function
    of a trial.
    """
    trials: int | None = None
    """How many settings are tried; those that were tried before are told without a run."""
    sampler: str = ""
    """`auto`, `tpe`, `gp`, `cmaes`, `qmc`, `random`; by default `auto`."""
    prune: str = "none"
    """`asha`, `median` or `none`: whether trials that lag behind end early."""
    test_seeds: int = 0
    """How many new seeds the winner is run with in the end, so that its value is not the
    selection's.
    """
    budget: float | None = None
    """Seconds after which no further trial begins."""
    sources: str | PurePath | Sequence[str | PurePath] = ()
    """Earlier experiments of the same parameters, whose runs are told as well."""
    step: str = ""
    """The column that counts how far a run is; by default the one that results take."""
    judged: str = "final"
    """By which rows a run is judged: `final`, `best`, or `last-K`."""
    over_seeds: Summary = "mean"
    """What is taken over a trial's seeds: `mean`, `iqm`, `worst`."""
    within: float = 0.0
    """A difference of the metric that does not matter to a race of seeds."""
    seed: int = 0
    """Another one gives other trials."""

    def __new__(cls, *_: object, **words: object) -> Search:
        """Refuse a word that is no field by the nearest one."""
        refuse_unknown_words(cls.__name__, words, [known_field.name for known_field in fields(cls)])
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not self.metric.strip():
            raise InvalidInput(
                f"metric must be the name of a column, as accuracy, not {self.metric!r:.80}"
            )
        if self.mode not in MODES:
            raise InvalidInput(
                f"mode must be max or min (is more of {self.metric} better?), not {self.mode!r:.80}"
            )
        if self.over_seeds not in SUMMARIES:
            raise InvalidInput(
                f"over_seeds must be one of {', '.join(SUMMARIES)}, not {self.over_seeds!r:.80}"
            )
        one_of(self.sampler or "auto", "sampler", SAMPLERS)
        for name in ("prune", "step", "judged"):
            if not isinstance(value := getattr(self, name), str):
                raise InvalidInput(f"{name} must be a text, not {value!r:.80}")
        one_of(self.prune.partition(":")[0], "prune", PRUNERS)
        object.__setattr__(self, "sources", self.source_paths())
        for name, least in (("trials", 1), ("test_seeds", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None or name != "trials":
                whole(value, name, least, TRIALS_LIMIT)
        for name in ("budget", "within"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not 0 <= value < math.inf
            ):
                raise InvalidInput(f"{name} must be a number of 0 or more, not {value!r:.80}")
        self.objective()

    def source_paths(self) -> tuple[str, ...]:
        """Return the directories of earlier experiments, of which one may be given alone."""
        sources: object = self.sources
        if isinstance(sources, (str, PurePath)):
            sources = (sources,)
        if not isinstance(sources, Sequence) or not all(
            isinstance(source, (str, PurePath)) for source in sources
        ):
            raise InvalidInput(f"sources must be directories, not {sources!r:.80}")
        return tuple(map(str, sources))

    def objective(self) -> Objective:
        """Return how rows become values."""
        return Objective(self.metric, self.mode, self.judged, self.over_seeds)

    def words(self) -> tuple[str, ...]:
        """Return the space as words of the command line; none where it is a function, or there is
        none.
        """
        if self.space is None or callable(self.space) or _names_function(self.space):
            return ()
        if isinstance(self.space, str):
            return (self.space,)
        if isinstance(self.space, Mapping):
            return tuple(
                f"{key}={_distribution_words(key, value)}" for key, value in self.space.items()
            )
        if not isinstance(self.space, Sequence) or not all(
            isinstance(word, str) for word in self.space
        ):
            raise InvalidInput(
                f"the space of a search is a dict of distributions by key, not {self.space!r:.80}"
            )
        return tuple(self.space)

    def function(self) -> str | Callable[..., Any] | None:
        """Return the function of a trial that is the space, or `file.py:function`; None where it is
        none.
        """
        if callable(self.space):
            return self.space
        return self.space if isinstance(self.space, str) and _names_function(self.space) else None


def _names_function(space: object) -> bool:
    """Tell whether text is `file.py:function` or `package.module:function`, rather than
    `key=distribution`.
    """
    return isinstance(space, str) and ":" in space and "=" not in space and "(" not in space


def _distribution_words(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        value = Choice(tuple(value))
    if isinstance(value, Distribution):
        try:
            return value.words()
        except InvalidInput as error:
            raise InvalidInput(f"{key}: {error}") from None
    raise InvalidInput(
        f"the space of a search has {key}: {value!r:.80}, which is neither a list of choices nor"
        " loguniform(…)"
    )


@record
class SearchRecord(RecordBase):
    """What `experiment.json` has under `search`: all that the next trial depends on, beside what
    the runs have shown.
    """

    metric: str
    mode: str
    space: tuple[str, ...] = ()
    """Words, `lr=loguniform(1e-05,0.1)`."""
    function: Function | None = None
    """The space as a function of a trial."""
    trials: int | None = None
    sampler: str = "tpe"
    prune: str = "none"
    seeds: tuple[str, ...] = ("0",)
    """Of every trial, in order; of a race all that it may come to."""
    race: str = ""
    """`race:3..10` where the seeds are a race."""
    test_seeds: tuple[str, ...] = ()
    budget: float | None = None
    sources: tuple[str, ...] = ()
    step: str = ""
    judged: str = "final"
    over_seeds: str = "mean"
    within: float = 0.0
    seed: int = 0
    variants: Mapping[str, Any] = field(default_factory=lambda: {"": {}})
    """By name, the settings that every trial is crossed with; without a space each is a trial."""
    plain_names: bool = False
    named_by_variant: bool = False
    """Trials of a function are named by the variant that it returned; older searches, by what it
    asked for.
    """
    levels: int = 4
    """Rungs below a whole run where `prune` does not say where the first is: of the number of
    trials that the search began with; older searches have four.
    """
    layout: str = ""
    """`hydra`: the runs' directories are numbers, and the best stands in a file, as sweepers of
    Hydra leave it."""

    @property
    def has_space(self) -> bool:
        """Whether trials are drawn, rather than the variants themselves."""
        return bool(self.space or self.function)

    @property
    def objective(self) -> Objective:
        """How rows become values."""
        return Objective(self.metric, self.mode, self.judged, self.over_seeds)  # type: ignore[arg-type]  # refused there

    @property
    def bases(self) -> int:
        """With how many settings every trial is crossed."""
        return len(self.variants) if self.has_space else 1

    @property
    def columns(self) -> int:
        """How many runs a trial may come to: one for each seed and each of the settings that it is
        crossed with.
        """
        return len(self.seeds) * self.bases


PARTS["Function"] = (Function.from_json, Function.to_json)
