"""`study.log`: a search's trials in the form of Optuna's journal, for optuna-dashboard.

A copy for others to look at, written whole and replaced by rename; nothing of runslot reads it, so
that one which was torn or removed costs nothing. The searcher writes it, also where Optuna is not
installed.
"""

from __future__ import annotations

import json
import math
from typing import Any

from runslot.search.study import Study
from runslot.search.trial import Trial
from runslot.variants.distributions import (
    Choice,
    Distribution,
    Integers,
    LogIntegers,
    LogUniform,
    Uniform,
)

_CREATE_STUDY, _CREATE_TRIAL = 0, 4
"""Of the operations of Optuna's journal, those that a finished picture needs."""
_STATES = {"running": 0, "complete": 1, "pruned": 2, "failed": 3}
_DIRECTIONS = {"min": 1, "max": 2}
_WORKER = "runslot"
_ROWS_SHOWN = 200
"""Of a trial's first run: Optuna's page draws each."""


def optuna_log(study: Study, name: str) -> str:
    """Return the trials of a study as the lines of Optuna's journal."""
    direction = _DIRECTIONS[study.objective.mode]
    lines: list[dict[str, Any]] = [
        {"op_code": _CREATE_STUDY, "study_name": name, "directions": [direction]}
    ]
    lines += [_trial(study, trial) for trial in study.trials]
    return "".join(json.dumps({"worker_id": _WORKER, **line}) + "\n" for line in lines)


def _trial(study: Study, trial: Trial) -> dict[str, Any]:
    status, value = study.status_of(trial), study.value_of(trial)
    if value is not None and not math.isfinite(value):
        status, value = "failed", None
    proposed = None if study.space is None else study.space.replay(trial.number, trial.params)
    distributions = {} if proposed is None else proposed.distributions
    rows = next(iter(trial.runs.values())).rows
    sampled_rows = rows[:: max(1, math.ceil(len(rows) / _ROWS_SHOWN))]
    return {
        "op_code": _CREATE_TRIAL,
        "study_id": 0,
        "datetime_start": None,
        "state": _STATES[status],
        "params": {key: _code(distributions[key], value) for key, value in trial.params.items()},
        "distributions": {
            key: _distribution(distribution) for key, distribution in distributions.items()
        },
        "user_attrs": {"runs": [run.run.directory for run in trial.runs.values()]},
        "system_attrs": {},
        "intermediate_values": {
            str(int(step)): number
            for step, number in sampled_rows
            if math.isfinite(number) and math.isfinite(step)
        },
        **({} if value is None or status == "failed" else {"values": [value]}),
    }


def _code(distribution: Distribution, value: Any) -> float:
    """Return a value as Optuna keeps it: a choice by its place."""
    if isinstance(distribution, Choice):
        return float(distribution.index(value) or 0)
    return float(value)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _distribution(distribution: Distribution) -> str:
    match distribution:
        case Choice():
            plain = (bool, int, float, str, type(None))
            choices = [v if isinstance(v, plain) else _text(v) for v in distribution.options]
            return json.dumps(
                {"name": "CategoricalDistribution", "attributes": {"choices": choices}}
            )
        case Uniform() | LogUniform():
            name, log = "FloatDistribution", isinstance(distribution, LogUniform)
        case Integers() | LogIntegers():
            name, log = "IntDistribution", isinstance(distribution, LogIntegers)
        case _:
            raise AssertionError(f"{distribution!r} is no distribution of a search")
    step = getattr(distribution, "step", None)
    step = (step or 1) if name == "IntDistribution" else step
    limits = {"low": distribution.low, "high": distribution.high}
    return json.dumps({"name": name, "attributes": {"log": log, "step": step, **limits}})
