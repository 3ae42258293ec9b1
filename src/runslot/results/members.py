"""The variants of a comparison as they are compared: their scores by seed, their task, and which
one a text names.

Called by `runslot.results.verdicts`, `document` and `effects`. Pure. What must stay true: a text
names one variant of a task, or is refused with what it may have meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput, nearest
from runslot.record import record
from runslot.results.accounts import GroupAccount
from runslot.results.comparison import Comparison
from runslot.results.statistics.differences import Sample
from runslot.results.text.labels import label_of, task_of, texts_of
from runslot.results.text.short_labels import short_names


@record
class Member:
    """A variant, on one task."""

    account: GroupAccount
    task: str
    """Empty where there are no tasks."""
    name: str
    """Its label without the task: the same variant on other tasks has it, too."""
    settings: Mapping[str, str]
    """As text, its task among them."""
    names: frozenset[str]
    """Those that its runs have in their directories."""
    sample: Sample


def samples_of(comparison: Comparison) -> list[Sample]:
    """Return for each group of the accounting the scores that its statistic is over."""
    accounting, results = comparison.accounting, comparison.results
    name = comparison.metric
    if name is None:
        return [Sample(()) for _ in accounting.groups]
    scored = results.scores(name, comparison.mode, "final")
    table = accounting.runs.select("group").with_columns(
        accounting.scores(scored, comparison.mode).alias("score"), results.runs["seed"]
    )
    pairs: list[list[tuple[float, Any]]] = [[] for _ in accounting.groups]
    for group, score, seed in table.filter(pl.col("score").is_not_null()).iter_rows():
        pairs[group].append((score, seed))
    return [
        Sample(tuple(score for score, _ in group), tuple(seed for _, seed in group))
        for group in pairs
    ]


def members_of(comparison: Comparison) -> list[Member]:
    """Return the variants, best first, those without a value last."""
    accounting, results = comparison.accounting, comparison.results
    keys, tasks = accounting.keys, accounting.scales
    texts = {key: texts_of(results.runs[key].unique()) for key in keys}
    variant_names: dict[int, set[str]] = {}
    pairs = zip(accounting.runs["group"], results.runs["variant"], strict=True)
    for place, name in pairs:
        variant_names.setdefault(place, set()).add(name or "")
    members = []
    samples = samples_of(comparison)
    for place, (group, sample) in enumerate(zip(accounting.groups, samples, strict=True)):
        values = dict(zip(keys, group.values, strict=True))
        own_keys = [key for key in keys if key not in tasks]
        members.append(
            Member(
                group,
                task_of([key for key in keys if key in tasks], values, texts),
                label_of(own_keys, [values[key] for key in own_keys], texts),
                {key: str(texts[key].get(value, value)) for key, value in values.items()},
                frozenset(variant_names.get(place, ())),
                sample,
            )
        )
    sign = -1 if comparison.mode == "max" else 1

    def rank(member: Member) -> tuple[bool, float]:
        has_value = member.sample.has_value and member.account.has_value
        return (not has_value, sign * member.sample.mean if has_value else 0.0)

    return sorted(members, key=rank)


def named(text: str, members: Sequence[Member]) -> list[Member]:
    """Return the members that a text names: one a task."""
    for label in (
        lambda m: {m.account.label, m.name},
        lambda m: m.names,
        lambda m: {m.account.label.replace(" ", "")},
        lambda m: {m.name.replace(" ", "")},
    ):
        exact = [m for m in members if text in label(m) or text.replace(" ", "") in label(m)]
        if exact:
            break
    else:
        exact = _with_settings(text, members)
    tasks = [member.task for member in exact]
    if exact and len(set(tasks)) == len(tasks):
        return exact
    labels = [member.account.label for member in members]
    if not exact:
        hint = nearest(text, labels) or f"; there are {'; '.join(labels[:3])}"
        raise InvalidInput(f"no variant is called {text!r}{hint}")
    both = "; ".join(member.account.label for member in exact[:3])
    raise InvalidInput(f"{text!r} names {len(exact)} variants ({both}); add a setting")


def _with_settings(text: str, members: Sequence[Member]) -> list[Member]:
    settings = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals:  # the value of a setting alone, as `ppo`
            return [member for member in members if text.strip() in member.settings.values()]
        settings[key.strip()] = value.strip()
    by_name = {name: key for key, name in short_names(list(members[0].settings)).items()}
    settings = {by_name.get(key, key): value for key, value in settings.items()}

    def fits(member: Member) -> bool:
        return all(
            key in member.settings and _alike(member.settings[key], value)
            for key, value in settings.items()
        )

    return [member for member in members if fits(member)]


def _alike(text: str, value: str) -> bool:
    if text == value:
        return True
    try:
        return float(text) == float(value)
    except ValueError:
        return False


def label_in_task(label: str, task: str) -> str:
    """Return a variant's label without the settings that name its task."""
    parts = [part for part in label.split(", ") if part not in task.split(", ")]
    return ", ".join(parts) or label


def runs_of(members: Sequence[Member], comparison: Comparison) -> list[str]:
    """Return the runs of these variants, whether they count or not."""
    accounts = {id(member.account) for member in members}
    groups = [i for i, g in enumerate(comparison.accounting.groups) if id(g) in accounts]
    runs = comparison.accounting.runs.filter(pl.col("group").is_in(groups))["run"]
    return list(runs)
