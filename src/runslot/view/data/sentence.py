"""The sentence that answers a sweep: which variant leads, with what, how sure that is, and what
would settle it; and the rows of the answer that it is made from.

Called by `runslot.view.data.answer`. Pure. What must stay true: it names a leader only where one
leads, and says "better" only where the comparison decided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from runslot.record import record
from runslot.results.accounts import DIVERGED
from runslot.results.statistics.decisions import MORE_AT_MOST, seeds_advised
from runslot.results.statistics.differences import Difference
from runslot.results.summary import Mode
from runslot.results.text.short_labels import short_labels

_ROUNDING = 1e-12
"""A width that is this small a part of its mean is what floats make of none."""
_TASKS_SAID = 3
"""Tasks whose leader the sentence names; of more it says how many."""


@record
class RankedVariant:
    """One row of the answer."""

    place: int
    """In `Groups.groups`."""
    label: str
    values: tuple[str, ...]
    """Of `Answer.keys`, as text."""
    task: str
    mean: float | None
    """None where nothing counts, or a run diverged and the rule gives its group no value."""
    low: float | None
    high: float | None
    n: int
    runs: int
    standings: Mapping[str, int]
    best_chance: float | None
    """The probability that its true mean is the best of its task."""
    delta: Difference | None
    """To the baseline; None for the baseline itself."""
    separable: bool | None
    """Whether it is decided that the leader of its task is better, all variants of the task taken
    together; None for the leader, and where that cannot be told."""
    more: float | None
    """How many further seeds of both would decide it; infinite where hardly any number would."""
    may_be_best: bool | None = None
    """By Hsu's comparison with the best, all variants of the task taken together; None where that
    cannot be told, and while runs are to come."""


def sentence_of(
    variants: Sequence[RankedVariant], keys: Sequence[str], metric: str, mode: Mode
) -> str:
    """Return the answer in words: who leads, with what, and from whom that can be told apart."""
    tasks = list(dict.fromkeys(variant.task for variant in variants))
    side = "highest" if mode == "max" else "lowest"
    if len(tasks) == 1:
        names = _names(variants, keys, is_one_task=True)
        return f"{_leader_words(variants, names, metric, side)}."
    parts = []
    for task in tasks[:_TASKS_SAID]:
        rivals = [variant for variant in variants if variant.task == task]
        names = _names(rivals, keys, is_one_task=False)
        parts.append(f"{task}: {_leader_words(rivals, names, metric, '')}")
    more = len(tasks) - _TASKS_SAID
    rest = f"; {more} more {'task' if more == 1 else 'tasks'} below" if more > 0 else ""
    return f"By {side} {metric}, {'; '.join(parts)}{rest}."


def _names(
    rivals: Sequence[RankedVariant], keys: Sequence[str], *, is_one_task: bool
) -> dict[str, str]:
    """Return by label what the sentence calls the variants of a task: by the settings in which they
    differ where there are several tasks, and by what tells them apart where those are too many."""
    places = [
        i for i in range(len(keys)) if is_one_task or len({rival.values[i] for rival in rivals}) > 1
    ]
    shown = [keys[i] for i in places]
    rows = [[rival.values[i] for i in places] for rival in rivals]
    short = short_labels(shown, rows)
    if short is not None:
        more = len(shown) - len(short.keys)
        rest = f" and {more} more {'setting' if more == 1 else 'settings'}" if more else ""
        names = [f"{label}{rest}" for label in short.labels]
    elif is_one_task or not shown:
        names = [rival.label for rival in rivals]
    else:
        names = [", ".join(f"{k}={v}" for k, v in zip(shown, row, strict=True)) for row in rows]
    return {rival.label: name for rival, name in zip(rivals, names, strict=True)}


def _leader_words(
    rivals: Sequence[RankedVariant], names: Mapping[str, str], metric: str, side: str
) -> str:
    leader = rivals[0]
    name = names[leader.label]
    if leader.mean is None:
        count = sum(rival.standings.get(DIVERGED, 0) for rival in rivals)
        reason = f": {count} {'run' if count == 1 else 'runs'} diverged" if count else " yet"
        return f"No variant has a value of {metric}{reason}"
    value = number_words(leader.mean, leader.low, leader.high)
    peers = [rival for rival in rivals[1:] if rival.mean is not None]
    if not peers:
        name = "The only variant" if len(rivals) == 1 and not rivals[0].values else name
        return f"{name} has {metric} {value}, and there is nothing to compare it with"
    alike = sum(rival.mean == leader.mean for rival in peers)
    if alike == len(peers):
        whole = "both variants have" if alike == 1 else f"all {alike + 1} variants have"
        return f"{whole[0].upper() if side else whole[0]}{whole[1:]} the same {metric}: {value}"
    return _lead_words(leader, peers, names, f"({side} {metric})" if side else "")


def _lead_words(
    leader: RankedVariant, peers: Sequence[RankedVariant], names: Mapping[str, str], metric: str
) -> str:
    value = number_words(leader.mean or 0.0, leader.low, leader.high)
    alike = sum(rival.mean == leader.mean for rival in peers)
    others = f" and {alike} {'other' if alike == 1 else 'others'} lead" if alike else " leads"
    lead = f"{names[leader.label]}{others} with {value}" + (f" {metric}" if metric else "")
    unclear = [rival for rival in peers if rival.separable is not True]
    sizes = sorted({rival.n for rival in (leader, *unclear)})
    n = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
    if not unclear:
        return f"{lead}, better than {_all_words(len(peers))} at n = {leader.n}"
    if leader.n == 1 or all(rival.n == 1 for rival in peers):
        return f"{lead}; one run each says nothing of how sure that is: run more seeds"
    advice = _hsu_words((leader, *peers), unclear) + (_advice(unclear) if metric else "")
    if len(unclear) == 1:
        rival_name = names[unclear[0].label]
        return f"{lead}, not separable from {rival_name} at {n}{advice}"
    is_all = len(unclear) == len(peers)
    whole = "either of the others" if len(peers) == 2 else f"any of the {len(peers)} others"
    whom = whole if is_all else f"{len(unclear)} others"
    return f"{lead}, not separable from {whom} at {n}{advice}"


def _hsu_words(rivals: Sequence[RankedVariant], unclear: Sequence[RankedVariant]) -> str:
    """Return how many may be the best by Hsu's comparison, where it rules out some of those that
    cannot be told apart from the leader two by two: it asks less, and one spread of all of them."""
    judged = [rival for rival in rivals if rival.may_be_best is not None]
    candidates = sum(rival.may_be_best is True for rival in judged)
    is_open = 0 < candidates <= len(unclear) and len(judged) > 2
    if not is_open or any(rival.n < 2 for rival in judged):
        return ""
    whom = "it alone" if candidates == 1 else f"{candidates} of all {len(judged)}"
    return f" (by Hsu's comparison, with one spread for all, {whom} may be the best)"


def _advice(unclear: Sequence[RankedVariant]) -> str:
    """Return how many further seeds would decide between the leader and those that cannot be told
    apart from it, if they differ as much as they seem to."""
    needs = [rival.more for rival in unclear]
    if all(need is None for need in needs):
        return ""
    advised = seeds_advised(needs)
    if advised is None:
        return f"; they differ so little that {MORE_AT_MOST} more seeds would hardly decide"
    more, decided = advised
    words = f"about {more} more {'seed' if more == 1 else 'seeds'} each would decide"
    return f"; {words}" + f" against {decided} of them" * (decided < len(unclear))


def _all_words(count: int) -> str:
    return {1: "the other one", 2: "both others"}.get(count, f"all {count} others")


def number_words(mean: float, low: float | None, high: float | None, digits: int = 6) -> str:
    """Return a mean as precise as its interval: `0.973 ± 0.015`; without one, with `digits`."""
    width = 0.0 if low is None or high is None else (high - low) / 2
    if width <= _ROUNDING * abs(mean):
        return f"{mean:.{digits}g}"
    decimals = 1 - math.floor(math.log10(width))
    if -6 <= decimals <= 9:
        places = max(decimals, 0)
        return f"{mean:.{places}f} ± {width:.{places}f}"
    further = max(0, math.floor(math.log10(abs(mean) or width)) + decimals)
    return f"{mean:.{further}e} ± {width:.1e}"
