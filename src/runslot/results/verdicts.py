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
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.accounts import GroupAccount
from runslot.results.comparison import Comparison
from runslot.results.members import Member, label_in_task, members_of, named, runs_of
from runslot.results.results import Results
from runslot.results.statistics.decisions import (
    Decision,
    decide_beside,
    decide_differences,
    pairs_of_all,
    seeds_advised,
)
from runslot.results.statistics.differences import Difference, Sample, Verdict, difference
from runslot.results.statistics.rankings import BestInterval, RankTest, best_intervals, friedman
from runslot.results.statistics.selection import shrunken_means
from runslot.results.text.labels import texts_of

_SETTINGS_NAMED = 3
_WHOLE_FROM, _WHOLE_BELOW = 1e4, 1e15
"""Means that are written with all their digits before the point."""


@record
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
    """Of the difference, adjusted for how many might have been compared (Holm): all pairs beside
    the best, which the same runs chose."""
    verdict: Verdict | None
    """None for the reference, and where there is no difference."""
    best: BestInterval | None
    """How far it is from the best of its task, all variants taken together (Hsu)."""
    shrunken: float | None
    """What to expect of it on new seeds (Efron and Morris)."""
    more: float | None
    """How many further seeds of both would decide, if the difference is as it looks; infinite for
    more than can be told; None where that is decided or cannot be told."""


@record
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
    tasks_left_out: tuple[str, ...] = ()
    """Those that lack the variant with which all others are compared."""
    remark: str = ""
    """What else tells the two sides apart, as a sentence."""

    @property
    def undecided(self) -> list[VariantVerdict]:
        """The rows that are not decided, but might be."""
        return [row for row in self.rows if row.verdict == "not decided"]

    @property
    def seeds_advised(self) -> tuple[int, int] | None:
        """How many further seeds each are advised, and how many of the undecided they would decide
        if the differences are as they look; None where no number up to 12 would decide any."""
        return seeds_advised(row.more for row in self.undecided)

    def compared(self, task: str) -> int:
        """Return of how many comparisons together p is, in a task."""
        rows = [row for row in self.rows if row.task == task]
        if self.is_best:
            return pairs_of_all(row.sample for row in rows)
        return sum(row.p is not None for row in rows)

    def sentence(self, names: Mapping[str, str] | None = None) -> str:
        """Return the answer as a sentence: who leads, and from whom that can be told apart.

        `names` are those of variants by their labels, where they are to be called otherwise.
        """
        name = self.comparison.metric
        parts = []
        for task, label in self.references.items():
            rows = [row for row in self.rows if row.task == task]
            words = _sentence(rows, label, f"{name} " if name else "", self.is_best)
            shown = (names or {}).get(label) or label_in_task(label, task)
            parts.append(words.replace(label, shown, 1))
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


def decide_pair(comparison: Comparison, first: str, second: str) -> Verdicts:
    """Compare one variant with another, on every task that has both; who counts is said of these
    alone."""
    members = members_of(comparison)
    sides = named(first, members), named(second, members)
    tasks = {member.task for member in sides[0]} & {member.task for member in sides[1]}
    if not tasks:
        first_tasks, second_tasks = (", ".join(member.task for member in side) for side in sides)
        raise InvalidInput(
            f"{first!r} is of {first_tasks}, {second!r} of {second_tasks}: scores of different"
            " tasks have scales of their own; name two variants of one task, or on all tasks"
            " ('algo=a')"
        )
    pair, beside = ([m for m in side if m.task in tasks] for side in sides)
    if {id(member) for member in pair} & {id(member) for member in beside}:
        raise InvalidInput(f"{first!r} and {second!r} are the same variant; name two")
    runs = runs_of([*pair, *beside], comparison)
    selection = comparison.results.where(pl.col("run").is_in(runs))
    narrowed = comparison.of(_waiting_for_these(selection))
    references = set(runs_of(beside, comparison))
    both = members_of(narrowed)
    chosen_members = [m for m in both if references.issuperset(runs_of([m], narrowed))]
    return _decide(narrowed, both, {m.task: m for m in chosen_members}, is_best=False)


def _waiting_for_these(selection: Results) -> Results:
    """Return some runs with what is still to come of their variants alone: while it is, a look at
    them is one of several."""
    names = set(selection.runs.select("experiment", "variant").unique().iter_rows())
    names = {(experiment, variant or "") for experiment, variant in names}
    variants = {k: count for k, count in selection.waiting_variants.items() if k in names}
    waiting: dict[str, int] = {}
    for (experiment, _), count in variants.items():
        waiting[experiment] = waiting.get(experiment, 0) + count
    return dataclasses.replace(selection, waiting=waiting, waiting_variants=variants)


def decide_experiments(first: Comparison, second: Comparison, both: Comparison) -> Verdicts:
    """Compare the variants that two experiments share, the first's with the second's; where each
    has one variant, that with the other. `both` accounts for the runs of both.

    Raises `InvalidInput` where they share none.
    """
    first_members = {member.account.label: member for member in members_of(first)}
    second_members = {member.account.label: member for member in members_of(second)}
    pairs = [
        (first_members[label], second_members[label])
        for label in first_members
        if label in second_members
    ]
    if not pairs and len(first_members) == len(second_members) == 1:
        pairs = [(next(iter(first_members.values())), next(iter(second_members.values())))]
    if not pairs:
        raise InvalidInput(
            f"the two share no variant: one has {next(iter(first_members), 'none')}, the other"
            f" {next(iter(second_members), 'none')}; narrow both with --where"
        )
    first_keys = first.accounting.keys
    keys = both.accounting.keys  # `both` may have `experiment`, too
    for place, (a, b) in enumerate(pairs):
        values = _settings_of_all(first.results) | dict(
            zip(first_keys, a.account.values, strict=True)
        )
        account = dataclasses.replace(a.account, values=tuple(map(values.get, keys)))
        pairs[place] = (dataclasses.replace(a, account=account), b)
    level, under_way = both.level, both.is_under_way
    rows: list[VariantVerdict] = []
    for task in sorted({a.task for a, _ in pairs}):
        rivals = [(a, b) for a, b in pairs if a.task == task]
        deltas = [difference(a.sample, b.sample, level=level) for a, b in rivals]
        decisions = decide_differences(deltas, both.mode, level=level, is_under_way=under_way)
        rows += [
            _verdict_of(a, decision, None, None)
            for (a, _), decision in zip(rivals, decisions, strict=True)
        ]
    references = dict.fromkeys((row.task for row in rows), second.results.base)
    remark = _settings_apart(first.results, second.results)
    return Verdicts(both, references, False, tuple(rows), None, level, remark=remark)


def _settings_of_all(results: Results) -> dict[str, Any]:
    """Return the settings that all these runs have alike."""
    runs = results.runs
    return {name: runs[name][0] for name in results.parameters if runs[name].n_unique() == 1}


def _settings_apart(first: Results, second: Results) -> str:
    """Return in which settings that no variant tells the runs of two experiments differ; they are
    compared as the same variants all the same."""
    both = _settings_of_all(first), _settings_of_all(second)
    names = dict.fromkeys((*both[0], *both[1]))
    words = []
    for name in names:
        if any(name in side.varying for side in (first, second)):
            continue
        one, other = (settings.get(name) for settings in both)
        texts = texts_of([one, other])
        if texts.get(one) != texts.get(other):
            words.append(f"{name} ({texts.get(one)} beside {texts.get(other)})")
    more = len(words) - _SETTINGS_NAMED
    rest = f" and {more} more" if more > 0 else ""
    named_words = ", ".join(words[:_SETTINGS_NAMED])
    return f"The two experiments differ in {named_words}{rest}." if words else ""


def _sentence(rows: Sequence[VariantVerdict], label: str, metric: str, is_best: bool) -> str:
    reference = next((row for row in rows if row.label == label), None)
    rivals = [row for row in rows if row.label != label and row.sample.has_value]
    words = {
        verdict: sum(row.verdict == verdict for row in rivals)
        for verdict in ("better", "worse", "not decided")
    }
    counts = ", ".join(f"{count} {word}" for word, count in words.items() if count)
    if reference is None and counts:  # another experiment
        return f"beside {label}: {counts}"
    if reference is None or not reference.sample.has_value:
        return "no variant has a value" if is_best and len(rows) > 1 else f"{label} has no value"
    if is_best:
        return _leader_sentence(rows, reference, rivals, metric)
    mean = _mean_words(reference.sample.mean)
    if not rivals:
        return f"{label} has {metric}{mean}, and there is nothing to compare it with"
    return f"beside {label} ({metric}{mean}): {counts}"


def _mean_words(mean: float) -> str:
    """Return a mean in four digits; of larger ones, as of steps, all before the point."""
    return f"{mean:.0f}" if _WHOLE_FROM <= abs(mean) < _WHOLE_BELOW else f"{mean:.4g}"


def _leader_sentence(
    rows: Sequence[VariantVerdict],
    leader: VariantVerdict,
    rivals: Sequence[VariantVerdict],
    metric: str,
) -> str:
    label, mean = leader.label, _mean_words(leader.sample.mean)
    if not rivals:
        if len(rows) == 1:
            return f"the only variant has {metric}{mean}, and there is nothing to compare it with"
        return f"{label} has {metric}{mean}, and no other variant has a value"
    if all(row.sample.mean == leader.sample.mean for row in rivals):
        whole = "both variants have" if len(rivals) == 1 else f"all {len(rivals) + 1} variants have"
        return f"{whole} the same {metric}{mean}"
    if all(row.difference is None or row.difference.p is None for row in rivals):
        return f"{label} leads with {metric}{mean}; one run each does not say how sure that is"
    count = sum(row.verdict == "not decided" for row in rivals)
    if not count:
        rest = {1: "the other one", 2: "both others"}.get(len(rivals), f"all {len(rivals)} others")
        return f"{label} leads with {metric}{mean}, better than {rest}"
    whom = f"{count} other" if count == 1 else f"{count} others"
    sizes = {len(row.sample.scores) for row in rows if row.sample.has_value}
    n = f"n = {min(sizes)}" if len(sizes) == 1 else f"n = {min(sizes)} to {max(sizes)}"
    return f"{label} leads with {metric}{mean}; not separable from {whom} at {n}"


def decide(comparison: Comparison, vs: str = "best") -> Verdicts:
    """Compare every variant with the best of its task, or with the one that `vs` names.

    A variant is named by its label (`lr=0.1, hidden=32`), its name, or as many of its settings as
    tell it from all others (of its task). Raises `InvalidInput` where nothing, or more than one, is
    named so, and where no run is left or has a metric.
    """
    if comparison.metric is None:
        results = comparison.results
        is_filtered = results.runs.is_empty() and results.metrics
        why = "passes the filters" if is_filtered else "has logged a metric"
        raise InvalidInput(f"no run {why}, so that there is nothing to compare")
    members = members_of(comparison)
    if vs == "best":
        references: dict[str, Member] = {}
        for member in members:
            references.setdefault(member.task, member)
    else:
        references = {member.task: member for member in named(vs, members)}
    return _decide(comparison, members, references, is_best=vs == "best")


def _decide(
    comparison: Comparison,
    members: Sequence[Member],
    references: Mapping[str, Member],
    *,
    is_best: bool,
) -> Verdicts:
    """Compare each of the members, best first, with the one chosen of its task."""
    by_task: dict[str, list[Member]] = {}
    for member in members:
        by_task.setdefault(member.task, []).append(member)
    rows: list[VariantVerdict] = []
    for task in sorted(references):
        rows += _rows(by_task[task], references[task], comparison, is_best=is_best)
    return Verdicts(
        comparison,
        {task: references[task].account.label for task in sorted(references)},
        is_best,
        tuple(rows),
        _ranks(by_task, comparison),
        comparison.level,
        tuple(sorted(set(by_task) - set(references))),
    )


def _rows(
    members: Sequence[Member], reference: Member, comparison: Comparison, *, is_best: bool
) -> list[VariantVerdict]:
    level, mode = comparison.level, comparison.mode
    samples = [member.sample for member in members]
    decisions = decide_beside(
        samples,
        next(place for place, member in enumerate(members) if member is reference),
        mode,
        level=level,
        is_best=is_best,
        is_under_way=comparison.is_under_way,
    )
    best = best_intervals(samples, mode, level=level)
    parts = zip(members, decisions, best, _shrunken(samples), strict=True)
    return [_verdict_of(*part) for part in parts]


def _verdict_of(
    member: Member, decision: Decision, best: BestInterval | None, shrunken: float | None
) -> VariantVerdict:
    account = member.account
    return VariantVerdict(
        account.label,
        member.task,
        account,
        member.sample,
        decision.difference,
        decision.p,
        decision.verdict,
        best,
        shrunken,
        decision.more,
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
    by_task: Mapping[str, Sequence[Member]], comparison: Comparison
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
