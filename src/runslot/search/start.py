"""How a search begins: the record of it, and the runs that are decided before anything has run.

`launch.experiment` plans with it, so that what a command cannot be given, or a sampler that is not
installed, is refused before an experiment is made.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, RunslotError, nearest
from runslot.execute.functions import find_function
from runslot.experiment.records import ExperimentFile, Function, LauncherEntry, Run
from runslot.experiment.settings import default_root
from runslot.hardware.visibility import THREAD_VARIABLES
from runslot.record import record
from runslot.search.objective import Mode
from runslot.search.pruner import make_pruner
from runslot.search.race import parse_race
from runslot.search.roster import make_record, refuse_shared_keys
from runslot.search.samplers import (
    SAMPLERS,
    Asker,
    AutoSampler,
    QuasiRandomSampler,
    RandomSampler,
    Sampler,
)
from runslot.search.space import SearchSpace, is_same, parse_space
from runslot.search.spec import Search, SearchRecord
from runslot.search.study import Study
from runslot.search.trial import Event
from runslot.variants import Variant

Refer = Callable[[Any], tuple[Function, bytes | None]]
"""Says how another process finds a function (`launch.function.refer`)."""

Earlier = Callable[[SearchRecord, SearchSpace | None], list[dict[str, Any]]]
"""Reads what earlier experiments have shown (`search.sources.earlier_trials`)."""

SPACE_PICKLE = "space.pkl"
"""Where the function of a trial lies in the experiment's directory, if it travels by value."""


@record
class Opening:
    """The record of a search, and what it begins with."""

    record: SearchRecord
    runs: tuple[Run, ...]
    events: tuple[Event, ...]
    """Of the trials that these runs are of, for the journal."""
    pickle: bytes | None = None
    """The function of a trial, where it travels by value."""

    @property
    def variants(self) -> list[Variant]:
        """The variants of the first runs, in order."""
        return list({run.name: Variant(run.variant, run.name) for run in self.runs}.values())

    @property
    def most(self) -> int:
        """How many runs there may be in the end."""
        return most_runs(self.record)

    @property
    def seeds(self) -> list[int]:
        """Their seeds, in order."""
        return list(dict.fromkeys(int(run.seed or 0) for run in self.runs))

    def words(self) -> str:
        """Return the search in words: `lr, hidden by tpe: 50 trials, seeds ×3, pruned by asha`."""
        record = self.record
        names = ", ".join(word.partition("=")[0] for word in record.space)
        space = names or (
            str(record.function) if record.function else f"{len(record.variants)} variants"
        )
        parts = [f"{space} by {record.sampler}" if record.has_space else space]
        if record.trials is not None:
            parts.append(f"{record.trials} trial{'s' * (record.trials != 1)}")
        if record.has_space and record.bases > 1:
            parts.append(f"each in {record.bases} settings")
        parts.append(f"seeds {record.race}" if record.race else f"seeds ×{len(record.seeds)}")
        if record.prune != "none":
            parts.append(f"pruned by {record.prune}")
        if record.test_seeds:
            parts.append(f"test seeds ×{len(record.test_seeds)}")
        return f"{record.mode} {record.metric} over {', '.join(parts)}"


def open_search(
    search: Search,
    name: str,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    race: str,
    plain_names: bool,
    refer: Refer,
    earlier: Earlier,
) -> Opening:
    """Return how a search begins; `InvalidInput` or `NotInstalled` says what to change."""
    function, pickle, space = None, None, None
    space_function = search.function()
    if space_function is not None:
        function, pickle = refer(space_function)
        if pickle is not None:
            function = replace(function, pickle=SPACE_PICKLE)
        space = SearchSpace(
            function=space_function
            if callable(space_function)
            else find_function(function, Path.cwd())
        )
    record = make_record(search, variants, seeds, race, function, plain_names)
    record = replace(record, sources=tuple(map(_source_place, record.sources)))
    if record.space:
        space = parse_space(record.space)
    study = make_study(record, name, space)
    earlier_events: tuple[Event, ...] = ()
    if record.sources:
        earlier_events = ({"event": "earlier", "trials": earlier(record, space)},)
        study.apply(earlier_events[0])
    room = 1 if record.has_space else len(record.variants) * record.columns
    moves = study.moves(room, can_pause=False)
    if space is not None and not study.trials:
        raise InvalidInput("--from has every variant of this space: there is nothing left to try")
    if space is not None:
        refuse_shared_keys(record, study.roster.variant(0))
    runs = tuple(move.run.run for move in moves if move.run is not None)
    by_seed = sorted(
        range(len(runs)), key=lambda place: list(record.seeds).index(str(runs[place].seed))
    )
    return Opening(
        record,
        tuple(runs[place] for place in by_seed),
        (*earlier_events, *(move.event for move in moves if move.event)),
        pickle,
    )


def _source_place(source: str) -> str:
    """Return where an earlier experiment lies: here, or below the root by that name."""
    named = default_root() / source
    is_name = not os.path.exists(source) and named.exists()  # noqa: PTH110  a text, as it was given
    return os.path.abspath(named if is_name else source)  # noqa: PTH100


def record_of(file: ExperimentFile) -> SearchRecord:
    """Return what an experiment's file says of its search."""
    return SearchRecord.from_json(file.search or {})


def space_of(record: SearchRecord, home: Path) -> SearchSpace | None:
    """Return what trials are drawn from; None where the experiment's variants are the trials."""
    if record.function is not None:
        try:
            return SearchSpace(function=find_function(record.function, home))
        except RunslotError:
            raise
        except Exception as error:  # whatever the user's file raises, and where it is gone
            words = " ".join(f"{type(error).__name__}: {error}".split())
            reason = getattr(error, "strerror", None) or words
            raise InvalidInput(
                f"the space of the search, {record.function}, cannot be loaded ({reason}): put it"
                " back as it was"
            ) from error
    return parse_space(record.space) if record.space else None


def make_study(
    record: SearchRecord, name: str, space: SearchSpace | None, asks: bool = True
) -> Study:
    """Return a study without trials; `NotInstalled` where its sampler needs a package that is
    missing.
    """
    asker = None
    if space is not None and asks:
        digest = hashlib.sha256(f"{name}/{record.seed}".encode()).digest()
        sampler = make_sampler(record.sampler, record.objective.mode)
        asker = Asker(space, sampler, int.from_bytes(digest[:4], "big"))
    race = parse_race(record.race, within=record.within) if record.race else None
    return Study(record, space, asker, make_pruner(record.prune, record.levels), race)


def trials_limit(record: SearchRecord) -> int | None:
    """Return how many trials there may be; None where a budget alone ends them."""
    return record.trials if record.has_space else len(record.variants)


def most_runs(record: SearchRecord) -> int:
    """Return how many runs there may be in the end."""
    trials = trials_limit(record)
    return MOST_RUNS if trials is None else trials * record.columns


MOST_RUNS = 1_000_000
"""Of a search that a budget alone ends."""


def refuse_other_search(before: ExperimentFile, file: ExperimentFile, trials: int) -> None:
    """Refuse to continue an experiment by another search than its own, which has had so many
    trials.
    """
    if (before.search is None) != (file.search is None):
        kind = "lists its runs, and has no search" if before.search is None else "is a search"
        remedy = "; a new search may be told of it with --from" if before.search is None else ""
        raise InvalidInput(f"the experiment {kind}: --into continues it as it began{remedy}")
    if before.search is None:
        return
    # Who decides about a search, here or its pilots, has to know what the other has under way.
    old_place, new_place = _place_text(before.launcher), _place_text(file.launcher)
    if file.launcher is not None and old_place != new_place:
        raise InvalidInput(
            f"the experiment's search runs {old_place}, not {new_place}: leave --on out, or start a"
            " new search, and give it what this one has shown with --from"
        )
    old, new = record_of(before), record_of(file)
    if not _is_same_space(old, new):
        raise InvalidInput(
            f"the experiment searches {_space_text(old)}, not {_space_text(new)}: "
            "start a new search, and give it what this one has shown with --from"
        )
    for name in _KEPT:
        if getattr(old, name) != getattr(new, name):
            raise InvalidInput(
                f"the experiment's search has {name} {_shown(getattr(old, name))}, not "
                f"{_shown(getattr(new, name))}: --into may change trials, budget and test seeds"
                " alone"
            )
    if len(new.test_seeds) < len(old.test_seeds):
        raise InvalidInput(
            f"test seeds are {len(new.test_seeds)}, and the experiment has {len(old.test_seeds)}: "
            "give it at least as many"
        )
    if new.trials is not None and new.trials < trials:
        raise InvalidInput(
            f"trials is {new.trials}, and the experiment has had {trials}: give it at least as many"
        )


def continued(before: ExperimentFile, file: ExperimentFile) -> ExperimentFile:
    """Return the file of a search that goes on as it was asked for now; its rungs stay."""
    if before.search is None:
        return file
    return replace(file, search=replace(record_of(file), levels=record_of(before).levels).to_json())


_KEPT = (
    "metric",
    "mode",
    "sampler",
    "prune",
    "seeds",
    "race",
    "judged",
    "over_seeds",
    "step",
    "seed",
    "within",
    "variants",
    "sources",
)
"""What makes a search the same one."""


def _place_text(launcher: LauncherEntry | None) -> str:
    return "on this machine" if launcher is None else f"on {launcher.kind}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(value) or "no settings"
    return ",".join(value) if isinstance(value, tuple) else repr(value)


def _is_same_space(old: SearchRecord, new: SearchRecord) -> bool:
    """Tell whether two searches draw from the same, in the same order, however it was spelt."""
    first, second = (
        parse_space(record.space).parameters if record.space else {} for record in (old, new)
    )
    return (
        old.function == new.function
        and list(first) == list(second)
        and all(is_same(first[key], second[key]) for key in first)
    )


def _space_text(record: SearchRecord) -> str:
    return str(record.function) if record.function else " ".join(record.space) or "its variants"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the thread pools of the libraries that are imported inside have one thread.

    The cores are the runs': small matrices on all of them would be slower, and would slow the runs.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def make_sampler(name: str, mode: Mode) -> Sampler:
    """Return the sampler of a name; `NotInstalled` where a package is missing, with what installs
    it.
    """
    with one_thread():
        return _make_sampler(name, mode)


def _make_sampler(name: str, mode: Mode) -> Sampler:
    if name == "random":
        return RandomSampler()
    if name == "qmc":
        return QuasiRandomSampler()
    if name not in SAMPLERS:
        raise InvalidInput(
            f"{name!r} is not a sampler{nearest(name, SAMPLERS)}; there are {', '.join(SAMPLERS)}"
        )
    if name == "cmaes":
        from runslot.search.samplers_cmaes import CmaEsSampler

        return CmaEsSampler(mode)
    if name == "gp":
        from runslot.search.samplers_gp import GaussianProcessSampler

        return GaussianProcessSampler(mode)
    from runslot.search.samplers_optuna import TpeSampler

    return (
        TpeSampler(mode)
        if name == "tpe"
        else AutoSampler(_make_sampler("gp", mode), TpeSampler(mode))
    )
