"""Results as one JSON object, for programs: its schema, and what fills it.

Called by `runslot results --json` and `runslot schema results`. What must stay true: the object is
as `SCHEMA` says, keys are added and never change their meaning under one version, and a number that
is none (nan, ±inf) is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from runslot.results.accounts import Accounting
from runslot.results.comparison import Comparison, trials_of
from runslot.results.members import samples_of
from runslot.results.statistics.magnitude import deviation_of
from runslot.results.statistics.scores import mean_interval
from runslot.results.trials import TrialPlace
from runslot.results.verdicts import VariantVerdict, Verdicts

VERSION = 1


def _nullable(kind: str, meaning: str) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": meaning}


_INTERVAL = {
    "type": "object",
    "description": "Mean over the runs that count, and Student's interval of `level`.",
    "properties": {
        "mean": _nullable("number", "Null where a run diverged, or none counts."),
        "low": _nullable("number", "Null for one run."),
        "high": _nullable("number", "Null for one run."),
        "std": _nullable("number", "Of the sample (n - 1)."),
    },
    "required": ["mean", "low", "high", "std"],
}
_BESIDE = {
    "type": ["object", "null"],
    "description": "The difference to the reference; null for that one, or without a value.",
    "properties": {
        "to": {"type": "string", "description": "The reference's label."},
        "difference": {"type": "number"},
        "low": _nullable("number", "Of the interval of this difference by itself."),
        "high": _nullable("number", "Its other end."),
        "test": {"enum": ["paired by seed", "Welch's t"]},
        "p": _nullable("number", "Of the t test, by itself."),
        "p_adjusted": _nullable(
            "number", "Of all together (Holm); beside the best, no less than of all pairs."
        ),
        "p_exact": _nullable("number", "Of all signs, or all orders of the runs."),
        "effect": _nullable("number", "In standard deviations."),
        "evidence": _nullable("number", "The anytime-valid e-value; 20 decides at 5 %."),
        "verdict": {"enum": ["better", "worse", "not decided"]},
        "more_seeds": _nullable("number", "Further seeds of both that would decide (80 %)."),
    },
}
_TRIAL = {
    "type": ["object", "null"],
    "description": "The trial of a search that it is; null where no search made the runs.",
    "properties": {
        "trial": {"type": "integer"},
        "status": {"enum": ["complete", "running", "pruned", "stopped", "failed"]},
        "rung": _nullable("integer", "The highest at which it was judged, from 0 on."),
        "value": _nullable("number", "What it was worth at that rung."),
        "worth": _nullable("number", "What it is worth as a whole, as the search judges."),
    },
    "required": ["trial", "status", "rung", "value"],
}
ACCOUNTING: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "line": {"type": "string", "description": "Who counts, in words."},
        "runs": {"type": "integer"},
        "counted": {"type": "integer"},
        "standings": {
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "description": "How many runs stand how.",
        },
        "not_started": {"type": "integer"},
        "pooled": {"type": "array", "items": {"type": "string"}},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["line", "runs", "counted", "standings", "not_started", "pooled", "notes"],
}
"""Of `accounting_of`."""
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "What `runslot results --json` prints",
    "description": "Version 1. Keys may be added; none changes its meaning within a version.",
    "type": "object",
    "properties": {
        "schema": {"const": "runslot.results"},
        "version": {"const": VERSION},
        "metric": _nullable("string", "What is compared; null where no run logged a number."),
        "mode": {"enum": ["max", "min"]},
        "at": {"type": "string", "description": "The step of the values; empty: the last row."},
        "level": {"type": "number"},
        "base": {"type": "string", "description": "The directory that was read."},
        "accounting": ACCOUNTING,
        "sentence": {"type": "string", "description": "The answer in words; empty without one."},
        "reference": {"type": "object", "additionalProperties": {"type": "string"}},
        "command": _nullable("string", "Runs the seeds that would decide more."),
        "optimism": _nullable(
            "number", "By how much the first variant is expected to be too good."
        ),
        "remark": {
            "type": "string",
            "description": "Of two experiments, what else they differ in; empty without any.",
        },
        "optimality_gap": {
            "type": "object",
            "description": "With --gap: how far variants stay behind it, the nearest first.",
            "properties": {
                "target": {"type": "number"},
                "variants": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "n": {"type": "integer"},
                            "gap": _nullable("number", "Null without a value on some task."),
                            "low": _nullable("number", "Of the bootstrap interval."),
                            "high": _nullable("number", "Its other end."),
                        },
                        "required": ["name", "n", "gap", "low", "high"],
                    },
                },
            },
            "required": ["target", "variants"],
        },
        "ranks": {
            "type": ["object", "null"],
            "description": "Over tasks: Friedman's test and Nemenyi's critical difference.",
        },
        "variants": {
            "type": "array",
            "description": "Best first (task by task where there are tasks).",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "task": {"type": "string"},
                    "settings": {"type": "object"},
                    "n": {"type": "integer", "description": "Runs that count."},
                    "asked": {"type": "integer"},
                    "standings": {"type": "object"},
                    "final": _INTERVAL,
                    "scores": {"type": "array", "items": {"type": ["number", "null"]}},
                    "seeds": {"type": "array"},
                    "shrunken": _nullable("number", "Expected on new seeds (Efron and Morris)."),
                    "may_be_best": _nullable("boolean", "By Hsu's comparison with the best."),
                    "beside": _BESIDE,
                    "trial": _TRIAL,
                },
                "required": ["label", "settings", "n", "asked", "final", "scores", "beside"],
            },
        },
    },
    "required": ["schema", "version", "metric", "mode", "level", "accounting", "variants"],
}


def document_of(
    comparison: Comparison, verdicts: Verdicts | None, *, command: str | None = None
) -> dict[str, Any]:
    """Return the object that `SCHEMA` describes; without `verdicts` no run has a metric."""
    accounting = comparison.accounting
    document: dict[str, Any] = {
        "schema": "runslot.results",
        "version": VERSION,
        "metric": comparison.metric,
        "mode": comparison.mode,
        "at": comparison.results.at,
        "level": comparison.level,
        "base": comparison.results.base,
        "accounting": accounting_of(
            accounting, comparison.results.confirmation, _statistic(comparison)
        ),
        "sentence": "" if verdicts is None else verdicts.sentence(),
        "reference": {} if verdicts is None else dict(verdicts.references),
        "command": command,
        "optimism": comparison.optimism,
        "remark": "" if verdicts is None else verdicts.remark,
        "ranks": None if verdicts is None else _ranks(verdicts),
    }
    places = trials_of(comparison.results, accounting)
    trials = {id(group): place for group, place in zip(accounting.groups, places, strict=True)}
    if verdicts is None:
        rows = [
            _variant(account.label, "", account, sample, comparison)
            | _trial(trials.get(id(account)))
            for account, sample in zip(accounting.groups, samples_of(comparison), strict=True)
        ]
    else:
        rows = [
            _with_verdict(row, verdicts, comparison) | _trial(trials.get(id(row.account)))
            for row in verdicts.rows
        ]
    finished: dict[str, Any] = finite_json({**document, "variants": rows})
    return finished


def _statistic(comparison: Comparison) -> str:
    return comparison.statistic if comparison.metric else ""


def accounting_of(accounting: Accounting, confirmation: str, statistic: str = "") -> dict[str, Any]:
    """Return who counts: the line under a table, and what it is made of; `confirmation` says which
    runs are left out since they chose the variants."""
    return {
        "line": accounting.line(statistic),
        "runs": accounting.total,
        "counted": accounting.counted().height,
        "standings": dict(accounting.standings),
        "not_started": accounting.waiting,
        "pooled": list(accounting.pooled),
        "notes": [*filter(None, [confirmation]), *accounting.notes()],
    }


def _variant(label: str, task: str, account: Any, sample: Any, comparison: Comparison) -> Any:
    interval = mean_interval([sample.scores], level=comparison.level) if sample.has_value else None
    has_deviation = interval is not None and len(sample.scores) > 1
    deviation = deviation_of(sample.scores) if has_deviation else None
    return {
        "label": label,
        "task": task,
        "settings": dict(zip(comparison.accounting.keys, account.values, strict=False)),
        "n": account.n,
        "asked": account.asked,
        "standings": dict(account.standings),
        "final": {
            "mean": None if interval is None else interval.estimate,
            "low": None if interval is None else interval.low,
            "high": None if interval is None else interval.high,
            "std": deviation,
        },
        "scores": list(sample.scores),
        "seeds": list(sample.seeds),
        "shrunken": None,
        "may_be_best": None,
        "beside": None,
    }


def _trial(place: TrialPlace | None) -> dict[str, Any]:
    if place is None:
        return {"trial": None}
    names = ("trial", "status", "rung", "value", "worth")
    return {"trial": {name: getattr(place, name) for name in names}}


def _with_verdict(row: VariantVerdict, verdicts: Verdicts, comparison: Comparison) -> Any:
    variant = _variant(row.label, row.task, row.account, row.sample, comparison)
    delta = row.difference
    beside = None
    if delta is not None:
        beside = {
            "to": verdicts.references.get(row.task, ""),
            "difference": delta.estimate,
            "low": delta.low,
            "high": delta.high,
            "test": delta.test,
            "p": delta.p,
            "p_adjusted": row.p,
            "p_exact": delta.exact_p,
            "effect": delta.effect,
            "evidence": delta.evidence,
            "verdict": row.verdict,
            "more_seeds": None if row.more is None or math.isinf(row.more) else math.ceil(row.more),
        }
    may = None if row.best is None else row.best.may_be_best
    return {**variant, "shrunken": row.shrunken, "may_be_best": may, "beside": beside}


def _ranks(verdicts: Verdicts) -> dict[str, Any] | None:
    if verdicts.ranks is None:
        return None
    names, test = verdicts.ranks
    return {
        "mean_ranks": dict(zip(names, test.ranks, strict=True)),
        "tasks": test.tasks,
        "chi_square": test.chi_square,
        "f": test.f,
        "p": test.p,
        "critical_difference": test.critical_difference,
    }


def finite_json(value: Any) -> Any:
    """Return a value as JSON has it: null for nan and ±inf, text for what it has no kind for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite_json(inner) for inner in value]
    return value if isinstance(value, str | int | bool | None) else str(value)
