"""The runs of a search: from a trial's variant and a column to a `Run`, and the record that says
which columns there are.

Pure, and the same at every start: names and ids come from content alone, in the order of the
trials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runslot.errors import InvalidInput
from runslot.experiment.records import Function, Run
from runslot.search.pruner import levels_for
from runslot.search.race import parse_race
from runslot.search.spec import Search, SearchRecord
from runslot.variants import Variant, canonical, flatten, is_plain, to_jsonable
from runslot.variants.encode import SEED_KEY, run_ids
from runslot.variants.variant import folded, joined, named, overlay, part_name, plain, with_hash

HYDRA_LAYOUT = "hydra"
"""The layout of a record whose runs lie where Hydra's jobs do."""
RACE = "race:"
"""How seeds begin that are a race."""


def make_record(
    search: Search,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    race: str,
    function: Function | None,
    plain_names: bool,
) -> SearchRecord:
    """Return what `experiment.json` is to say of a search; `InvalidInput` says what it cannot
    do.
    """
    words = search.words()
    has_space = bool(words or function)
    if has_space and search.trials is None and search.budget is None:
        raise InvalidInput(
            "a search needs an end: say how many trials, as --trials 50, or a --budget, as 8h"
        )
    if not has_space and search.trials is not None:
        raise InvalidInput(
            "trials are drawn from a space, and there is none: add --search KEY=DISTRIBUTION"
        )
    if not has_space and search.sampler:
        raise InvalidInput(
            f"the sampler {search.sampler} has nothing to draw from: add --search KEY=DISTRIBUTION"
        )
    if not has_space and search.sources:
        raise InvalidInput(
            "earlier experiments are told to a sampler, and there is no space: add --search KEY=…"
        )
    if race:
        limits = parse_race(race, within=search.within)
        seeds = list(range(limits.at_most))
    elif search.within:
        raise InvalidInput(
            "within is the difference that a race of seeds passes over: add --seeds race:3..10"
        )
    first_test = max(seeds) + 1
    return SearchRecord(
        metric=search.metric,
        mode=search.mode,
        space=words,
        function=function,
        trials=search.trials,
        sampler=search.sampler or "auto",
        prune=search.prune,
        levels=levels_for(search.prune, search.trials if has_space else len(variants)),
        seeds=tuple(map(str, seeds)),
        race=race,
        test_seeds=tuple(str(first_test + number) for number in range(search.test_seeds)),
        budget=search.budget,
        sources=search.source_paths(),
        step=search.step,
        judged=search.judged,
        over_seeds=search.over_seeds,
        within=search.within,
        seed=search.seed,
        variants=_bases(variants),
        plain_names=plain_names,
        named_by_variant=function is not None,
    )


def refuse_seed(variant: Mapping[str, Any]) -> None:
    """Refuse a variant that names a seed: trials have seeds of their own."""
    if SEED_KEY in variant:
        raise InvalidInput(
            f"{SEED_KEY} is neither searched nor of a grid in a search, whose trials have seeds of"
            " their own: give them with --seeds"
        )


def _bases(variants: Sequence[Variant]) -> dict[str, Any]:
    bases: dict[str, Any] = {}
    for variant in variants:
        refuse_seed(variant)
        if not is_plain(variant):
            raise InvalidInput(
                f"the variant {variant.name!r} of a search holds what JSON cannot: use numbers,"
                " texts, lists and dicts"
            )
        bases[variant.name] = to_jsonable(plain(variant))
    return bases


class Roster:
    """Makes the runs of a search's trials."""

    def __init__(self, record: SearchRecord) -> None:
        self._record = record
        self._bases = list(record.variants)
        self._names: dict[Any, str] = {}
        """By folded name: the content of the trial that has it."""
        self._trials: dict[int, tuple[str, Mapping[str, Any]]] = {}

    def enter(self, number: int, params: Mapping[str, Any], variant: Mapping[str, Any]) -> None:
        """Note a trial, in the order of the numbers: its name is its own, also where a file system
        ignores case.

        A function may make another variant of what it asked for: what runs is what is named.
        """
        refuse_seed(variant)
        if key := next(filter(_is_described, flatten(to_jsonable(plain(variant)))), ""):
            raise InvalidInput(
                f"{key.partition('.$')[0]} of trial {number} is what JSON cannot hold: return"
                " numbers, texts, lists and dicts, and let the function that trains make the rest"
            )
        settings = variant if self._record.named_by_variant else params
        name = self._plain(named(settings) if settings is variant else part_name([*params.items()]))
        content = canonical(settings)
        if self._names.setdefault(folded(name), content) != content:
            name = with_hash(name, settings)
            self._names[folded(name)] = content
        self._trials[number] = (name, variant)

    def variant(self, number: int) -> Mapping[str, Any]:
        """Return the variant of a trial, without what it is crossed with."""
        return self._trials[number][1]

    def run(self, number: int, column: int, is_test: bool) -> Run:
        """Return the run of a trial in a column."""
        record = self._record
        base = self._bases[column % record.bases if record.has_space else number]
        seed = int((record.test_seeds if is_test else record.seeds)[column // record.bases])
        name, variant = self._trials[number] if record.has_space else ("", {})
        settings = overlay(plain(record.variants[base]), plain(variant))
        name = joined(self._plain(base), name)
        directory = f"{name}/run_{seed}" if name else f"run_{seed}"
        if record.layout == HYDRA_LAYOUT:
            directory = f"test_{column}" if is_test else str(number * record.columns + column)
        return Run(
            id=run_ids(settings)(seed),
            name=name,
            variant=to_jsonable(settings),
            directory=directory,
            seed=seed,
            run_ID=seed,
            extras={SEED_KEY: seed},
        )

    def _plain(self, name: str) -> str:
        if not self._record.plain_names:
            return name
        return "/".join(
            re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-") or "-" for part in name.split("/")
        )


def _is_described(key: str) -> bool:
    """Tell whether a value is described in JSON, rather than there: a set, a function."""
    return any(part.startswith("$") for part in key.split("."))


def refuse_shared_keys(record: SearchRecord, variant: Mapping[str, Any]) -> None:
    """Refuse a key that both the search and what it is crossed with give a value."""
    for settings in record.variants.values():
        for key in flatten(settings):
            if key in flatten(variant):
                raise InvalidInput(
                    f"{key} is searched, and has values of its own beside that: leave one of them"
                    " out"
                )
