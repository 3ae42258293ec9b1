"""A race of seeds over trials: what each was worth with each seed, and drops as events of the
journal.

`study` races with it; `race` has the rule, which knows no trials. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runslot.search.objective import Objective
from runslot.search.race import Dropped, Race, dropped_of
from runslot.search.trial import Trial, TrialRun, text_of


def seed_values(
    trials: Sequence[Trial], least: int, bases: int, objective: Objective
) -> dict[int, dict[int, float | None]]:
    """Return of every trial that came through its `least` seeds what it was worth with each.

    With each seed it has `bases` runs, one for each of the settings that it is crossed with.
    """
    values: dict[int, dict[int, float | None]] = {}
    for trial in trials:
        halted = any(run.state in {"paused", "pruned"} for run in trial.runs.values())
        if halted or len(trial.runs) < least * bases:
            continue
        places: dict[int, list[TrialRun]] = {}
        for column, run in trial.runs.items():
            places.setdefault(column // bases, []).append(run)
        values[trial.number] = {
            place: _value(runs, objective)
            for place, runs in places.items()
            if all(run.state not in {"waiting", "running"} for run in runs)
        }
    return values


def out_of_race(
    trials: Sequence[Trial],
    race: Race | None,
    bases: int,
    objective: Objective,
    drops: Sequence[Dropped[int]],
) -> set[int]:
    """Return the trials that need no further seed, and cannot win."""
    if race is None:
        return set()
    scores = seed_values(trials, race.at_least, bases, objective)
    return dropped_of(scores, drops, objective.mode)


def _value(runs: Sequence[TrialRun], objective: Objective) -> float | None:
    if any(run.state != "succeeded" for run in runs):
        return None
    return objective.of_seeds([run.value for run in runs])


def as_json(drop: Dropped[int]) -> dict[str, Any]:
    """Return a drop as the journal has it."""
    return {**drop.__dict__, "difference": text_of(drop.difference), "why": drop.why}


def drop_of(value: Mapping[str, Any]) -> Dropped[int]:
    """Return a drop that `as_json` wrote."""
    numbers = (float(value["difference"]), float(value["chance"]))
    return Dropped(value["variant"], value["leader"], value["seeds"], *numbers, value["is_tied"])
