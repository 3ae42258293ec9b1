"""What matters, as data: where the variance of the scores is, what each hyperparameter does, what
diverges, and what trying more brings; task by task, since tasks have scales of their own.

Called by `runslot results --effects`, which prints it (`runslot.results.text.effects`) or writes it
as JSON. What must stay true: who counts is the comparison's rule, and nothing is scaled to a sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from runslot.errors import InvalidInput, NotInstalled
from runslot.record import record
from runslot.results.comparison import Comparison
from runslot.results.document import ACCOUNTING, accounting_of, finite_json
from runslot.results.members import samples_of
from runslot.results.statistics.importance import (
    VarianceShares,
    divergence,
    variance_components,
    variance_shares,
)
from runslot.results.statistics.magnitude import divided, exponent_of, multiplied
from runslot.results.statistics.scores import Interval
from runslot.results.statistics.selection import expected_best
from runslot.results.text.labels import task_of

VERSION = 1


@record
class Effects:
    """What matters on one task."""

    task: str
    """Empty where there are no tasks."""
    variants: int
    deviations: tuple[float, float] | None
    """Standard deviations: between the seeds of one variant, and between variants; None where no
    variant has two runs that differ."""
    shares: VarianceShares | None
    no_shares: str
    """Why there are none."""
    divergence: pl.DataFrame
    """As `runslot.results.statistics.divergence` gives it."""
    expected_best: tuple[float, ...]
    """Of 1, 2, … all of these variants."""


def effects_of(comparison: Comparison) -> list[Effects]:
    """Return what matters on each task; `InvalidInput` where no run has a metric."""
    if comparison.metric is None:
        raise InvalidInput("no run has logged a metric, so that nothing explains it")
    scales = list(comparison.accounting.scales)
    if not scales:
        return [_effects_of("", comparison)]
    effects = []
    for values, runs in comparison.results.group_by(*scales):
        effects.append(_effects_of(task_of(scales, values), comparison.of(runs)))
    return sorted(effects, key=lambda effect: effect.task)


def _effects_of(task: str, comparison: Comparison) -> Effects:
    metric, rule = comparison.metric or "", comparison.accounting.rule
    samples = [sample for sample in samples_of(comparison) if sample.has_value]
    means = [sample.mean for sample in samples]
    shares, reason = None, ""
    try:
        shares = variance_shares(comparison.results, metric, comparison.mode, rule=rule)
    except (NotInstalled, InvalidInput) as error:
        reason = str(error)
    return Effects(
        task,
        len(comparison.accounting.groups),
        _deviations([sample.scores for sample in samples]),
        shares,
        reason,
        divergence(comparison.results, metric, rule=rule, level=comparison.level),
        tuple(expected_best(means, comparison.mode)) if means else (),
    )


def _deviations(groups: list[tuple[float, ...]]) -> tuple[float, float] | None:
    exponent = exponent_of(value for group in groups for value in group)
    components = variance_components([divided(group, exponent) for group in groups])
    if components is None or math.isnan(components.seed_share):
        return None
    within, between = math.sqrt(components.within), math.sqrt(components.between)
    return multiplied(within, exponent), multiplied(between, exponent)


# ---- as JSON -------------------------------------------------------------------------------------

_NUMBER = {"type": ["number", "null"]}
_SHARE = {
    "type": "object",
    "properties": {
        "parameters": {"type": "array", "items": {"type": "string"}},
        "share": {"type": "number", "description": "Of the variance of all counted runs."},
        "low": {"type": "number", "description": "Of the range over forests."},
        "high": {"type": "number"},
    },
    "required": ["parameters", "share", "low", "high"],
}
_TASK = {
    "type": "object",
    "properties": {
        "task": {"type": "string", "description": "Empty where there are no tasks."},
        "variants": {"type": "integer"},
        "deviation_of_seeds": _NUMBER,
        "deviation_of_variants": _NUMBER,
        "shares": {"type": "array", "items": _SHARE, "description": "Parameters, then pairs."},
        "seeds_share": {**_NUMBER, "description": "Null where too few runs tell it."},
        "unexplained": _NUMBER,
        "no_shares": {"type": "string", "description": "Why there are no shares; else empty."},
        "divergence": {
            "type": "array",
            "items": {"type": "object"},
            "description": "By value of a parameter: runs, diverged, share, low, high (Wilson).",
        },
        "expected_best": {
            "type": "array",
            "items": _NUMBER,
            "description": "Of 1, 2, … of these variants (Tang et al. 2020).",
        },
    },
    "required": ["task", "variants", "shares", "no_shares", "divergence", "expected_best"],
}
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "What `runslot results --effects --json` prints",
    "description": "Version 1. Keys may be added; none changes its meaning within a version.",
    "type": "object",
    "properties": {
        "schema": {"const": "runslot.effects"},
        "version": {"const": VERSION},
        "metric": {"type": "string"},
        "mode": {"enum": ["max", "min"]},
        "level": {"type": "number"},
        "base": {"type": "string", "description": "The directory that was read."},
        "accounting": ACCOUNTING,
        "tasks": {"type": "array", "items": _TASK},
    },
    "required": ["schema", "version", "metric", "mode", "level", "accounting", "tasks"],
}


def effects_document(comparison: Comparison) -> dict[str, Any]:
    """Return the object that `SCHEMA` describes."""
    document: dict[str, Any] = finite_json(
        {
            "schema": "runslot.effects",
            "version": VERSION,
            "metric": comparison.metric,
            "mode": comparison.mode,
            "level": comparison.level,
            "base": comparison.results.base,
            "accounting": accounting_of(
                comparison.accounting, comparison.results.confirmation, "scores"
            ),
            "tasks": [_task(effect) for effect in effects_of(comparison)],
        }
    )
    return document


def _task(effect: Effects) -> dict[str, Any]:
    within, between = effect.deviations or (None, None)
    shares = effect.shares
    parts = [] if shares is None else [*((name,) for name in shares.main), *shares.pairs]
    return {
        "task": effect.task,
        "variants": effect.variants,
        "deviation_of_seeds": within,
        "deviation_of_variants": between,
        "shares": [] if shares is None else [_share(part, shares) for part in parts],
        "seeds_share": None if shares is None else shares.seeds,
        "unexplained": None if shares is None else shares.unexplained,
        "no_shares": effect.no_shares,
        "divergence": effect.divergence.to_dicts(),
        "expected_best": list(effect.expected_best),
    }


def _share(part: tuple[str, ...], shares: VarianceShares) -> dict[str, Any]:
    interval: Interval = shares.main[part[0]] if len(part) == 1 else shares.pairs[part[0], part[1]]
    return {
        "parameters": list(part),
        "share": interval.estimate,
        "low": interval.low,
        "high": interval.high,
    }
