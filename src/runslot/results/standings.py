"""The one rule by which runs enter a statistic, and each run's standing by it. Pure.

Called by `runslot.results.accounts`, which counts the standings of each group and says them. What
must stay true: each run has exactly one standing.

A standing is, in this order:

1. the run's state, where that state does not count (`failed`, `lost`, `running`, …): by default
   succeeded runs and those whose directories do not tell count, in curves also running ones;
   `Rule.include` adds states;
2. `without`: the run has no number of the metric (or only text);
3. `diverged`: the metric's last value is nan or ±inf. By default its group has no value and ranks
   last in either direction; `Rule.diverged` says `nan` (so), `worst` (it counts with the worst
   score of the others) or `drop`;
4. `counted`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import polars as pl

from runslot.errors import InvalidInput, nearest
from runslot.experiment.states import ENDED, STATES
from runslot.results.summary import FINAL

if TYPE_CHECKING:
    from runslot.results.results import Results

Diverged = Literal["nan", "worst", "drop"]
"""What a run that diverged does to its group: no value, the worst score of all that count, or
nothing."""
COUNTED, DIVERGED, WITHOUT = "counted", "diverged", "without"
"""Standings that are no states."""
_ORDER = (
    COUNTED,
    DIVERGED,
    *(state for state in ENDED if state != "succeeded"),
    "running",
    "queued",
    WITHOUT,
)


@dataclass(frozen=True)
class Rule:
    """What the user chose of who counts: `--include`, `--diverged`, and whether curves are
    drawn."""

    include: frozenset[str] = frozenset()
    """Further states that count."""
    diverged: Diverged = "nan"
    curves: bool = False
    """Running runs count as well: their rows so far are true."""

    @classmethod
    def of(
        cls, include: Collection[str] = (), diverged: str = "nan", *, curves: bool = False
    ) -> Rule:
        """Return the rule; `all` includes every state. Raises `InvalidInput` for a word that is
        none."""
        for state in include:
            if state not in (*STATES, "all"):
                words = ", ".join((*STATES, "all"))
                raise InvalidInput(
                    f"{state!r} is not a state of runs{nearest(state, STATES)}; choose among"
                    f" {words}"
                )
        if diverged not in get_args(Diverged):
            raise InvalidInput(f"diverged={diverged!r} is none of {', '.join(get_args(Diverged))}")
        states = frozenset(STATES) if "all" in include else frozenset(include)
        return cls(states, diverged, curves)  # type: ignore[arg-type]  # one of its words, as just checked

    @property
    def states(self) -> frozenset[str]:
        """The states that count."""
        return self.include | {"succeeded"} | ({"running"} if self.curves else set())


def standing_of(results: Results, metric: str | None, rule: Rule) -> pl.Series:
    """Return the standing of each run by a metric; None where none was logged."""
    state = pl.col("state")
    counts = state.is_null() | state.is_in(list(rule.states))
    final = pl.col(FINAL + metric) if metric else pl.lit(0.0)
    standing = (
        pl.when(~counts)
        .then(state)
        .when(final.is_null())
        .then(pl.lit(WITHOUT))
        .when(~final.is_finite())
        .then(pl.lit(DIVERGED))
        .otherwise(pl.lit(COUNTED))
    )
    return results.runs.select(standing=standing).to_series()


def standings_used(rule: Rule) -> list[str]:
    """Return the standings that a statistic is over."""
    return [COUNTED, DIVERGED] if rule.diverged == "worst" else [COUNTED]


def in_order(counts: Counter[str]) -> dict[str, int]:
    """Return counts of standings in the order in which they are said."""
    order = {standing: place for place, standing in enumerate(_ORDER)}
    return dict(sorted(counts.items(), key=lambda item: order.get(item[0], len(order))))
