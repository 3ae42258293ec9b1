"""The answer of a sweep: its variants best first, how sure that is, and the sentence that says it.

`runslot.view.web.answer` sends it to the page that opens first, and writes it into the file that
travels. Pure. What must stay true: who counts is `runslot.results.accounts`'s rule, and variants
of one task are compared with each other alone, since tasks have scales of their own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runslot.experiment.states import UNDER_WAY
from runslot.record import record
from runslot.results.accounts import DIVERGED, Accounting, GroupAccount, tasks_of
from runslot.results.results import Results
from runslot.results.statistics.decisions import decide_beside
from runslot.results.statistics.differences import Difference, Sample, difference
from runslot.results.statistics.magnitude import divided, exponent_of, mean_of
from runslot.results.statistics.rankings import best_intervals
from runslot.results.statistics.resamples import has_numpy
from runslot.results.statistics.scores import mean_interval
from runslot.results.summary import Mode
from runslot.results.text.labels import text_of_value, texts_of
from runslot.view.data.choices import Choices
from runslot.view.data.groups import Groups, default_series, default_y, group
from runslot.view.data.ranks import account_of, mode_for, scores_of
from runslot.view.data.sentence import RankedVariant, sentence_of

_DRAWS = 4000
"""Draws of all means at once, for the probability that each is the best."""


@record
class Answer:
    """What a sweep says at one moment."""

    metric: str
    mode: Mode
    keys: tuple[str, ...]
    tasks: tuple[str, ...]
    variants: tuple[RankedVariant, ...]
    """Task by task, each best first; those without a value last."""
    sentence: str
    baseline: str
    """Label of the variant that differences are measured against; empty for the leader of each
    task."""
    accounting: Accounting
    groups: Groups
    scored: pl.DataFrame
    """The selected runs with `standing` and `score`."""
    samples: Mapping[int, Sample]
    """By place of a variant."""
    parameters: tuple[str, ...]
    """Columns of `scored` that are settings of runs."""

    def deltas_to(self, place: int, level: float) -> dict[int, Difference | None]:
        """Return by place of each variant of the same task its difference to another baseline."""
        task = next(variant.task for variant in self.variants if variant.place == place)
        rivals = [v.place for v in self.variants if v.task == task and v.place != place]
        return {
            rival: difference(self.samples[rival], self.samples[place], level=level)
            for rival in rivals
        }


def answer_of(selection: Results, everything: Results, choices: Choices, baseline: str) -> Answer:
    """Compare the variants of `selection` by the first metric of `choices`.

    Raises `InvalidInput` for a metric that no run has, or that holds text.
    """
    names = choices.y or default_y(selection.common_metrics)
    metric = selection.metric(names[0])
    keys = default_series(everything) if choices.series is None else choices.series
    groups = group(selection, keys, everything)
    tasks = tuple(task for task in tasks_of(everything) if task in groups.keys)
    accounting = account_of(selection, metric, choices, groups, scales=tasks)
    scored = scores_of(selection, metric, choices, accounting)
    states = selection.runs["state"]
    race = _Race(
        groups,
        _words(groups),
        {groups.of[run]: accounting.groups[at] for run, at in _group_rows(accounting)},
        _samples(scored, groups),
        mode_for(choices, metric),
        choices.level,
        is_under_way=bool(selection.waiting) or bool(states.is_in(list(UNDER_WAY)).any()),
    )
    place_of_label = {member.label: place for place, member in enumerate(groups.groups)}
    by_task: dict[str, list[int]] = {}
    for place in race.accounts:
        by_task.setdefault(_task(groups, race.words[place], tasks), []).append(place)
    pinned = place_of_label.get(baseline)
    variants = [v for task in sorted(by_task) for v in race.rows(task, by_task[task], pinned)]
    return Answer(
        metric,
        race.mode,
        keys,
        tasks,
        tuple(variants),
        sentence_of(variants, groups.keys, metric, race.mode),
        "" if pinned is None else baseline,
        accounting,
        groups,
        scored,
        race.samples,
        tuple(selection.parameters),
    )


@record
class _Race:
    """What the variants of all tasks are compared with, by place of a variant."""

    groups: Groups
    words: Sequence[tuple[str, ...]]
    accounts: Mapping[int, GroupAccount]
    samples: Mapping[int, Sample]
    mode: Mode
    level: float
    is_under_way: bool
    """Whether further runs are to come, so that this look is one of several."""

    def rows(self, task: str, places: Sequence[int], pinned: int | None) -> list[RankedVariant]:
        """Return the variants of one task, best first, each measured against the leader, or the
        pinned one where it is of this task."""
        samples, level = self.samples, self.level
        rivals = _ranked({place: samples[place] for place in places}, self.mode)
        leader = rivals[0]
        reference = pinned if pinned is not None and pinned in rivals else leader
        ordered = [samples[place] for place in rivals]
        decisions = decide_beside(
            ordered, 0, self.mode, level=level, is_best=True, is_under_way=self.is_under_way
        )
        to_reference = [decision.difference for decision in decisions]
        if reference != leader:
            to_reference = [
                None
                if place == reference
                else difference(samples[place], samples[reference], level=level)
                for place in rivals
            ]
        chances = best_chances([sample.scores for sample in ordered], self.mode)
        candidates = best_intervals([] if self.is_under_way else ordered, self.mode, level=level)
        may_be_best = [None if best is None else best.may_be_best for best in candidates]
        may_be_best += [None] * (len(ordered) - len(may_be_best))
        rows = []
        for i, place in enumerate(rivals):
            mean, low, high = _interval(samples[place].scores, level)
            account = self.accounts[place]
            rows.append(
                RankedVariant(
                    place=place,
                    label=self.groups.groups[place].label,
                    values=self.words[place],
                    task=task,
                    mean=mean,
                    low=low,
                    high=high,
                    n=account.n,
                    runs=account.asked,
                    standings=account.standings,
                    best_chance=chances[i],
                    delta=to_reference[i],
                    separable=decisions[i].is_decided,
                    more=decisions[i].more,
                    may_be_best=may_be_best[i],
                )
            )
        return rows


def _words(groups: Groups) -> list[tuple[str, ...]]:
    """Return of each group its values as text."""
    texts = [texts_of(values) for values in zip(*(g.values for g in groups.groups), strict=True)]
    return [
        tuple(
            text.get(value) or text_of_value(value)
            for text, value in zip(texts, member.values, strict=True)
        )
        for member in groups.groups
    ]


def _samples(scored: pl.DataFrame, groups: Groups) -> dict[int, Sample]:
    scores: dict[int, list[tuple[float, int | None]]] = {p: [] for p in range(len(groups.groups))}
    for run, seed, score in scored.select("run", "seed", "score").iter_rows():
        if score is not None:
            scores[groups.of[run]].append((score, seed))
    return {
        place: Sample(tuple(score for score, _ in pairs), tuple(seed for _, seed in pairs))
        for place, pairs in scores.items()
    }


def _group_rows(accounting: Accounting) -> list[tuple[str, int]]:
    """Return a run of each group, and the group's place in the accounting."""
    firsts = accounting.runs.unique("group", keep="first", maintain_order=True)
    return list(firsts.select("run", "group").iter_rows())


def _task(groups: Groups, words: Sequence[str], tasks: Sequence[str]) -> str:
    pairs = zip(groups.keys, words, strict=True)
    return ", ".join(f"{key}={word}" for key, word in pairs if key in tasks)


def _ranked(samples: Mapping[int, Sample], mode: Mode) -> list[int]:
    sign = -1 if mode == "max" else 1

    def rank(place: int) -> tuple[bool, float, int]:
        sample = samples[place]
        if not sample.has_value:
            return (True, 0.0, place)
        return (False, sign * sample.mean, place)

    return sorted(samples, key=rank)


def _interval(
    scores: Sequence[float], level: float
) -> tuple[float | None, float | None, float | None]:
    """Return mean and Student's interval; None where there is none."""
    if not scores or not all(map(math.isfinite, scores)):
        return None, None, None
    interval = mean_interval([scores], level=level)
    if not math.isfinite(interval.low):
        return interval.estimate, None, None
    return interval.estimate, interval.low, interval.high


def best_chances(
    samples: Sequence[Sequence[float]], mode: Mode, *, seed: int = 0
) -> list[float | None]:
    """Return for each sample how probable it is that its true mean is the best of all.

    Each mean is drawn from its posterior under a flat prior, m + s/√n · t(n - 1). One without a
    spread borrows the pooled one. None: no value, or no spread at all. Deterministic for a `seed`.
    """
    usable = [bool(s) and all(map(math.isfinite, s)) for s in samples]
    exponent = exponent_of(v for s, u in zip(samples, usable, strict=True) if u for v in s)
    samples = [divided(s, exponent) if u else s for s, u in zip(samples, usable, strict=True)]
    variances = [
        (_variance(s) or None) if u and len(s) > 1 else None
        for s, u in zip(samples, usable, strict=True)
    ]
    freedom = sum(len(s) - 1 for s, v in zip(samples, variances, strict=True) if v is not None)
    if not freedom:
        return [None] * len(samples)
    pooled = sum(v * (len(s) - 1) for s, v in zip(samples, variances, strict=True) if v is not None)
    posteriors = [
        (
            mean_of(s),
            math.sqrt((pooled / freedom if v is None else v) / len(s)),
            freedom if v is None else len(s) - 1,
        )
        for s, v, u in zip(samples, variances, usable, strict=True)
        if u
    ]
    shares = iter(_shares(posteriors, -1 if mode == "min" else 1, seed))
    return [next(shares) if u else None for u in usable]


def _variance(values: Sequence[float]) -> float:
    mean = mean_of(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _shares(posteriors: Sequence[tuple[float, float, int]], sign: int, seed: int) -> list[float]:
    if has_numpy():
        import numpy as np

        generator = np.random.default_rng(seed)
        means, errors, freedom = (np.array(column) for column in zip(*posteriors, strict=True))
        noise = generator.standard_t(freedom, size=(_DRAWS, len(posteriors)))
        winners = (sign * (means + errors * noise)).argmax(axis=1)
        shares = np.bincount(winners, minlength=len(posteriors)) / _DRAWS
        return [float(share) for share in shares]
    plain = random.Random(seed)  # noqa: S311  # statistics, not secrets
    wins = [0] * len(posteriors)
    for _ in range(_DRAWS):
        values = [
            sign * (m + e * plain.gauss(0, 1) / math.sqrt(plain.gammavariate(f / 2, 2 / f)))
            for m, e, f in posteriors
        ]
        wins[values.index(max(values))] += 1
    return [count / _DRAWS for count in wins]


def bad_counts(standings: Mapping[str, int]) -> dict[str, int]:
    """Return the standings that a row marks: whatever did not count and is not under way."""
    return {
        word: count
        for word, count in standings.items()
        if word in {DIVERGED, "failed", "timed_out", "lost", "stopped", "without", "pruned"}
    }


def clause_of(keys: Sequence[str], values: Sequence[Any]) -> str:
    """Return the condition that chooses the runs of these values, in the language of `where`."""
    parts = []
    for key, value in zip(keys, values, strict=True):
        name = '"' + key.replace('"', '""') + '"'
        if value is None:
            parts.append(f"{name} IS NULL")
        elif isinstance(value, bool):
            parts.append(f"{name} = {str(value).lower()}")
        elif isinstance(value, int | float):
            parts.append(f"{name} = {value!r}")
        else:
            parts.append(f"{name} = '" + str(value).replace("'", "''") + "'")
    return " AND ".join(parts)
