"""A search as the page shows it: its trials in their order, the best so far, who came to which rung
and was pruned there. Pure.

The study is replayed from the journal, as `runslot status` does it, but what runs are worth comes
from the results that were read already, and a space that is a function is never called: the page
runs nothing of a user's. `runslot.view.web.search_routes` reads the files and sends it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from runslot.experiment.states import UNDER_WAY
from runslot.record import record
from runslot.results.text.labels import text_of_value
from runslot.search.objective import merit
from runslot.search.recovery import replay
from runslot.search.space import Proposed, SearchSpace, parse_space
from runslot.search.spec import SearchRecord
from runslot.search.start import make_study, trials_limit
from runslot.search.study import Study
from runslot.search.trial import Trial


@record
class RunEnd:
    """What is known of one run of a search."""

    variant: str
    """Its name."""
    seed: int | None
    state: str | None
    value: float | None
    """By the search's metric and the way that it judges; None where nothing was logged."""


class _PastSpace(SearchSpace):
    """A space of which the journal alone says what was drawn."""

    def replay(self, number: int, params: Mapping[str, Any]) -> Proposed | None:  # noqa: ARG002
        """Return the parameters as they stand in the journal."""
        return Proposed(params, {}, self.variant_of(params))


def study_of(
    record: SearchRecord, name: str, events: Iterable[Mapping[str, Any]], runs: Iterable[RunEnd]
) -> Study:
    """Return the study of a search as its journal and its runs have it.

    Raises `Damaged` for a journal that lacks a trial.
    """
    space: SearchSpace | None = None
    if record.function is not None:
        space = _PastSpace()
    elif record.space:
        space = parse_space(record.space)
    study = make_study(record, name, space, asks=False)
    for event in events:
        replay(study, event)
    places = {(run.run.name, run.run.seed): run.id for run in study.runs.values()}
    for run in runs:
        run_id = places.get((run.variant, run.seed))
        if run_id is None or run.state is None or run.state in UNDER_WAY:
            continue
        if run.state == "paused" and study.runs[run_id].state == "waiting":
            continue  # it is about to go on, which stands in the journal alone
        study.note_end(run_id, run.state, run.value)
    return study


def outline(study: Study) -> dict[str, Any]:
    """Return what the page draws of a study, as JSON values."""
    objective = study.objective
    keys = list(dict.fromkeys(key for trial in study.trials for key in trial.params))
    best, trials = -math.inf, []
    for trial in study.trials:
        status, value = study.status_of(trial), study.value_of(trial)
        first = next((run.run for run in trial.runs.values()), None)
        number = value if value is not None and math.isfinite(value) else None
        if status == "complete":
            best = max(best, merit(value, objective.mode))
        trials.append(
            {
                "trial": trial.number,
                "name": "" if first is None else first.name,
                "seed": None if first is None else first.seed,
                "values": [_words(trial, key) for key in keys],
                "numbers": [_number(trial, key) for key in keys],
                "status": status,
                "value": number,
                "diverged": value is not None and number is None,
                "rung": study.rung_of(trial),
                "best": _signed(best, objective.mode),
            }
        )
    winner = study.best or study.best_now()
    test = study.test_value()
    return {
        "metric": objective.metric,
        "mode": objective.mode,
        "sampler": study.record.sampler,
        "prune": study.record.prune,
        "keys": keys,
        "limit": trials_limit(study.record),
        "trials": trials,
        "best": None if winner is None else winner.number,
        "is_over": study.is_over,
        "tested": test if test is not None and math.isfinite(test) else None,
        "rungs": _rungs(study),
        "drops": [
            {"trial": drop.variant, "seeds": drop.seeds, "why": drop.why} for drop in study.drops
        ],
    }


def _words(trial: Trial, key: str) -> str:
    return text_of_value(trial.params[key]) if key in trial.params else ""


def _number(trial: Trial, key: str) -> float | None:
    value = trial.params.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None


def _signed(best: float, mode: str) -> float | None:
    if not math.isfinite(best):
        return None
    return best if mode == "max" else -best


def _rungs(study: Study) -> list[dict[str, Any]]:
    """Return of each rung its step, and of each trial that came there its value and what was
    decided: gone on, paused, or pruned."""
    if study.ladder is None or study.ladder.table is None:
        return []
    table, rungs = study.ladder.table, []
    for rung, scores in enumerate(table.scores):
        arrivals = []
        for trial, score in sorted(scores.items()):
            went = study.ladder.rung_of(trial)
            fate = "went on" if went is not None and went > rung else _fate(study, trial)
            number = score.value if math.isfinite(score.value) else None
            arrivals.append({"trial": trial, "value": number, "fate": fate})
        rungs.append({"step": table.rungs.level(rung), "arrivals": arrivals})
    return rungs


def _fate(study: Study, number: int) -> str:
    """Return what became of a trial at the last rung that it came to."""
    trial = study.trials[number]
    states = {run.state for run in trial.runs.values()}
    if "pruned" in states:
        return "pruned"
    if "paused" in states:
        return "paused"
    return {"complete": "whole", "running": "running"}.get(study.status_of(trial), "failed")
