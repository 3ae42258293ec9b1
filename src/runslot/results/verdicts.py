"""Which variants are better than which, in numbers and in words: what `compare` gave, decided.

Called by `runslot results --vs`, `runslot results compare`, its JSON and LaTeX, and from Python.
Pure. What must stay true: who counts is the accounting of the comparison that it is made from;
variants are compared within their task alone; a variant of which a run diverged has no value, and
no verdict.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from runslot.errors import InvalidInput, nearest
from runslot.results.accounting import GroupAccount
from runslot.results.comparison import Comparison
from runslot.results.statistics.differences import Difference, Sample, Verdict, difference, holm
from runslot.results.statistics.power import whole_runs_needed
from runslot.results.statistics.rankings import BestInterval, RankTest, best_intervals, friedman
from runslot.results.statistics.selection import shrunken_means
from runslot.results.text.labels import label_of, texts_of

MORE_AT_MOST = 12
"""Further seeds of each variant beyond which they are not advised."""


@dataclass(frozen=True)
class VariantVerdict:
    """One variant beside the one that all are compared with."""

    label: str
    task: str
    """Empty where there are no tasks."""
    account: GroupAccount
    sample: Sample
    difference: Difference | None
    """To the reference; None for the reference itself, and where one of them has no value."""
    p: float | None
    """Of the difference, adjusted for how many are compared (Holm)."""
    verdict: Verdict | None
    """None for the reference, and where there is no difference."""
    best: BestInterval | None
    """How far it is from the best of its task, all variants taken together (Hsu)."""
    shrunken: float | None
    """What to expect of it on new seeds (Efron and Morris)."""
    more: float | None
    """How many further seeds of both would decide, if the difference is as it looks; infinite for
    more than can be told; None where that is decided or cannot be told."""


@dataclass(frozen=True)
class Verdicts:
    """All variants beside one, task by task, best first."""

    comparison: Comparison
    references: Mapping[str, str]
    """By task, the label of what all others are compared with."""
    is_best: bool
    """Whether that is the best of each task, chosen by the same runs."""
    rows: tuple[VariantVerdict, ...]
    ranks: tuple[tuple[str, ...], RankTest] | None
    """Over tasks: the variants that have a value on all of them, and the test of their ranks."""
    level: float

    @property
    def undecided(self) -> list[VariantVerdict]:
        """The rows that are not decided, but might be."""
        return [row for row in self.rows if row.verdict == "not decided"]

    @property
    def seeds_advised(self) -> tuple[int, int] | None:
        """How many further seeds each are advised, and how many of the undecided they would decide
        if the differences are as they look; None where no number up to 12 would decide any."""
        needs = sorted(row.more for row in self.undecided if row.more is not None)
        within = [need for need in needs if need <= MORE_AT_MOST]
        return (math.ceil(within[-1]), len(within)) if within else None

    def sentence(self) -> str:
        """Return the answer as a sentence: who leads, and from whom that can be told apart."""
        name = self.comparison.metric
        parts = []
        for task, label in self.references.items():
            rows = [row for row in self.rows if row.task == task]
            words = _sentence(rows, label, f"{name} " if name else "", self.is_best)
            parts.append(words.replace(label, label_in_task(label, task), 1))
        if len(parts) > 1:
            pairs = zip(self.references, parts, strict=True)
            return "; ".join(f"{task}: {part}" for task, part in pairs) + "."
        advice = self.seeds_advised
        if advice is None or not parts:
            return f"{'; '.join(parts)}."
        count, decided = advice
        whom = "" if decided == len(self.undecided) else f" {decided} of them"
        seeds = "seed" if count == 1 else "seeds"
        return f"{parts[0]}; about {count} more {seeds} each would decide{whom}."


def label_in_task(label: str, task: str) -> str:
    """Return a variant's label without the settings that name its task."""
    parts = [part for part in label.split(", ") if part not in task.split(", ")]
    return ", ".join(parts) or label


def decide_pair(comparison: Comparison, first: str, second: str) -> Verdicts:
    """Compare one variant with another, on every task that has both; who counts is said of these
    alone."""
    members = _members(comparison)
    pair = [*_named(first, members), *_named(second, members)]
    if len({id(member) for member in pair}) < len(pair):
        raise InvalidInput(f"{first!r} and {second!r} are the same variant; name two")
    groups = [
        place
        for place, account in enumerate(comparison.accounting.groups)
        if any(member.account is account for member in pair)
    ]
    runs = comparison.accounting.runs.filter(pl.col("group").is_in(groups))["run"]
    chosen = comparison.results.where(pl.col("run").is_in(runs.implode()))
    narrowed = comparison.of(dataclasses.replace(chosen, waiting={}, waiting_variants={}))
    return decide(narrowed, _named(second, members)[0].name)


def decide_experiments(first: Comparison, second: Comparison, both: Comparison) -> Verdicts:
    """Compare the variants that two experiments share, the first's with the second's; where each
    has one variant, that with the other. `both` accounts for the runs of both.

    Raises `InvalidInput` where they share none.
    """
    mine = {member.account.label: member for member in _members(first)}
    theirs = {member.account.label: member for member in _members(second)}
    pairs = [(mine[label], theirs[label]) for label in mine if label in theirs]
    if not pairs and len(mine) == len(theirs) == 1:
        pairs = [(next(iter(mine.values())), next(iter(theirs.values())))]
    if not pairs:
        raise InvalidInput(
            f"the two share no variant: one has {next(iter(mine), 'none')}, the other"
            f" {next(iter(theirs), 'none')}; narrow both with --where"
        )
    own, keys = first.accounting.keys, both.accounting.keys  # `both` may have `experiment`, too
    for place, (a, b) in enumerate(pairs):
        values = dict(zip(own, a.account.values, strict=True))
        account = dataclasses.replace(a.account, values=tuple(map(values.get, keys)))
        pairs[place] = (dataclasses.replace(a, account=account), b)
    level = both.level
    deltas = [difference(a.sample, b.sample, level=level) for a, b in pairs]
    ps = holm([None if delta is None else delta.p for delta in deltas])
    compared = sum(delta is not None and delta.p is not None for delta in deltas)
    rows = [
        _verdict_of(a, delta, p, (None, None), both, compared)
        for (a, _), delta, p in zip(pairs, deltas, ps, strict=True)
    ]
    rows.sort(key=lambda row: row.task)
    references = dict.fromkeys((row.task for row in rows), second.results.base)
    return Verdicts(both, references, False, tuple(rows), None, level)


def _sentence(rows: Sequence[VariantVerdict], label: str, metric: str, is_best: bool) -> str:
    reference = next((row for row in rows if row.label == label), None)
    others = [row for row in rows if row.label != label and row.sample.has_value]
    words = {
        verdict: sum(row.verdict == verdict for row in others)
        for verdict in ("better", "worse", "not decided")
    }
    counts = ", ".join(f"{count} {word}" for word, count in words.items() if count)
    if reference is None and counts:  # another experiment
        return f"beside {label}: {counts}"
    if reference is None or not reference.sample.has_value:
        return f"{label} has no value"
    if is_best:
        return _leader_sentence(rows, reference, others, metric)
    mean = f"{reference.sample.mean:.4g}"
    if not others:
        return f"{label} has {metric}{mean}, and there is nothing to compare it with"
    return f"beside {label} ({metric}{mean}): {counts}"


def _leader_sentence(
    rows: Sequence[VariantVerdict],
    leader: VariantVerdict,
    others: Sequence[VariantVerdict],
    metric: str,
) -> str:
    label, mean = leader.label, f"{leader.sample.mean:.4g}"
    if not others:
        return f"{label} has {metric}{mean}, and there is nothing to compare it with"
    if all(row.difference is None or row.difference.p is None for row in others):
        return f"{label} leads with {metric}{mean}; one run each does not say how sure that is"
    count = sum(row.verdict == "not decided" for row in others)
    if not count:
        rest = "the other one" if len(others) == 1 else f"all {len(others)} others"
        return f"{label} leads with {metric}{mean}, better than {rest}"
    whom = f"{count} other" if count == 1 else f"{count} others"
    sizes = {len(row.sample.scores) for row in rows if row.sample.has_value}
    n = f"n = {min(sizes)}" if len(sizes) == 1 else f"n = {min(sizes)} to {max(sizes)}"
    return f"{label} leads with {metric}{mean}; not separable from {whom} at {n}"


def decide(comparison: Comparison, vs: str = "best") -> Verdicts:
    """Compare every variant with the best of its task, or with the one that `vs` names.

    A variant is named by its label (`lr=0.1, hidden=32`), its name, or as many of its settings as
    tell it from all others (of its task). Raises `InvalidInput` where nothing, or more than one, is
    named so, and where no run has a metric.
    """
    if comparison.metric is None:
        raise InvalidInput("no run has logged a metric, so that there is nothing to compare")
    members = _members(comparison)
    by_task: dict[str, list[_Member]] = {}
    for member in members:
        by_task.setdefault(member.task, []).append(member)
    chosen = {task: group[0] for task, group in by_task.items()}
    if vs != "best":
        named = _named(vs, members)
        chosen = {member.task: member for member in named}
    rows: list[VariantVerdict] = []
    for task in sorted(chosen):
        rows += _rows(by_task[task], chosen[task], comparison)
    return Verdicts(
        comparison,
        {task: chosen[task].account.label for task in sorted(chosen)},
        vs == "best",
        tuple(rows),
        _ranks(by_task, comparison),
        comparison.level,
    )


@dataclass(frozen=True)
class _Member:
    account: GroupAccount
    task: str
    name: str
    """Its label without the task: the same variant on other tasks has it, too."""
    settings: Mapping[str, str]
    names: frozenset[str]
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


def _members(comparison: Comparison) -> list[_Member]:
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
            _Member(
                group,
                ", ".join(
                    f"{key}={texts[key].get(values[key], values[key])}"
                    for key in keys
                    if key in tasks
                ),
                label_of(own_keys, [values[key] for key in own_keys], texts),
                {key: str(texts[key].get(value, value)) for key, value in values.items()},
                frozenset(variant_names.get(place, ())),
                sample,
            )
        )
    sign = -1 if comparison.mode == "max" else 1

    def rank(member: _Member) -> tuple[bool, float]:
        has_value = member.sample.has_value and member.account.has_value
        return (not has_value, sign * member.sample.mean if has_value else 0.0)

    return sorted(members, key=rank)


def _named(text: str, members: Sequence[_Member]) -> list[_Member]:
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


def _with_settings(text: str, members: Sequence[_Member]) -> list[_Member]:
    settings = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals:  # the value of a setting alone, as `ppo`
            return [member for member in members if text.strip() in member.settings.values()]
        settings[key.strip()] = value.strip()

    def fits(member: _Member) -> bool:
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


def _rows(
    members: Sequence[_Member], reference: _Member, comparison: Comparison
) -> list[VariantVerdict]:
    level, mode = comparison.level, comparison.mode
    differences = [
        None if member is reference else difference(member.sample, reference.sample, level=level)
        for member in members
    ]
    ps = holm([None if delta is None else delta.p for delta in differences])
    best = best_intervals([member.sample for member in members], mode, level=level)
    shrunken = _shrunken([member.sample for member in members])
    compared = sum(delta is not None and delta.p is not None for delta in differences)
    return [
        _verdict_of(member, delta, p, (interval, expected), comparison, compared)
        for member, delta, p, interval, expected in zip(
            members, differences, ps, best, shrunken, strict=True
        )
    ]


def _verdict_of(
    member: _Member,
    delta: Difference | None,
    p: float | None,
    beside: tuple[BestInterval | None, float | None],
    comparison: Comparison,
    compared: int,
) -> VariantVerdict:
    """Return the row of a variant; `compared` is of how many differences this is one."""
    alpha = 1 - comparison.level
    verdict = None if delta is None else delta.verdict(comparison.mode, alpha, p)
    more = None
    if comparison.is_under_way:  # one look of several, as on the page
        if delta is not None and (delta.evidence or 0.0) < max(1, compared) / alpha:
            verdict = "not decided"
    elif delta is not None and verdict == "not decided" and delta.effect is not None:
        needed = whole_runs_needed(
            delta.effect, paired=delta.is_paired, alpha=alpha / max(1, compared)
        )
        more = max(1.0, needed - min(delta.sizes))
    account, label = member.account, member.account.label
    return VariantVerdict(
        label, member.task, account, member.sample, delta, p, verdict, *beside, more
    )


def _shrunken(samples: Sequence[Sample]) -> list[float | None]:
    """Return shrunken means, from the pooled variance of single runs (of which James and Stein take
    ν / (ν + 2), as it is an estimate)."""
    places = [i for i, sample in enumerate(samples) if sample.has_value]
    freedom = sum(len(samples[i].scores) - 1 for i in places)
    expected: list[float | None] = [None] * len(samples)
    if freedom < 1:
        return expected
    scale = max((abs(score) for i in places for score in samples[i].scores), default=0.0) or 1.0
    centers = {i: samples[i].mean for i in places}
    squares = math.fsum(
        ((score - center) / scale) ** 2
        for i, center in centers.items()
        for score in samples[i].scores
    )
    deviation = math.sqrt(squares / freedom * freedom / (freedom + 2)) * scale
    means = shrunken_means(
        list(centers.values()),
        [deviation / math.sqrt(len(samples[i].scores)) for i in places],
    )
    for place, mean in zip(places, means or (), strict=means is not None):
        expected[place] = mean
    return expected


def _ranks(
    by_task: Mapping[str, Sequence[_Member]], comparison: Comparison
) -> tuple[tuple[str, ...], RankTest] | None:
    if len(by_task) < 2:
        return None
    means = {
        task: {member.name: member.sample.mean for member in group if member.sample.has_value}
        for task, group in by_task.items()
    }
    first = next(iter(by_task.values()))
    names = [member.name for member in first if all(member.name in row for row in means.values())]
    if len(names) < 2:
        return None
    scores = [[row[name] for name in names] for row in means.values()]
    return tuple(names), friedman(scores, comparison.mode, level=comparison.level)
