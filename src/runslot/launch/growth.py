"""A list of runs that grows while it is launched: what the supervisor asks of a search, and how one
is found.

`search.searcher` is the one there is. It is found by name, as engines are: a sweep that asks for no
search loads none of it, and a search may need packages that nothing beside the user's code may.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from runslot.engines.events import Observer
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Crew, LauncherConfig
from runslot.engines.registry import entry_of
from runslot.errors import InvalidInput
from runslot.experiment.records import Outcome, Run
from runslot.experiment.status import ExperimentStatus
from runslot.launch.function import refer
from runslot.launch.plan import Plan, as_space, seeds_of
from runslot.variants import variants_of

if TYPE_CHECKING:
    from runslot.search.spec import Search
    from runslot.search.start import Opening


class Growth(Protocol):
    """Says which runs are added, go on, or end early, by what the others have shown."""

    problem: str
    """Why the search cannot go on; empty where it can."""

    @property
    def most(self) -> int:
        """How many runs there may be at one time, for the choice of slots."""

    @property
    def is_over(self) -> bool:
        """Whether nothing further is to be decided: the winner is, and has been tested."""

    @property
    def expects(self) -> bool:
        """Whether what others' runs show may yet add some, though none of this launch's is left."""

    def begin(self, status: ExperimentStatus) -> Sequence[tuple[Run, int]]:
        """Take in how the runs stand; return those that are to go on, with the number of their next
        attempt.
        """

    def started(self, run: Run, attempt: int) -> None:
        """Note that an attempt of a run is under way."""

    def settle(self, run: Run, outcome: Outcome) -> Outcome:
        """Return how a run ended: one that was asked to stop at a rung was pruned, or paused, and
        its files say so.
        """

    def ended(self, run: Run, outcome: Outcome) -> None:
        """Note how a run ended that is not tried again."""

    def look(self, now: float) -> Sequence[str]:
        """Look at what the runs under way have shown; return the ids of those that are to end
        here.
        """

    def grow(self, room: int) -> Sequence[tuple[Run, int]]:
        """Return the runs that come next, up to about so many, with the number of their next
        attempt; `OSError` where the disk has no room for them, which come with a later call then.
        """

    def finish(self) -> None:
        """Say what came out so far."""


def open_growth(experiment: OpenExperiment, observer: Observer) -> Growth | None:
    """Return what decides about further runs of an experiment; None where its list of runs is
    complete.
    """
    if experiment.file.search is None:
        return None
    growth: Growth = _from_search("searcher").Searcher(experiment, observer)
    return growth


class PilotGrowth(Growth, Protocol):
    """Adds to a list of runs about which pilots decide."""

    def wake(self, failed: bool, only: Sequence[str]) -> int:
        """Begin a launch: have run again what was stopped, or lost, or (on request) failed; return
        how many runs there may be yet.
        """

    def waiting(self) -> int:
        """Return how many runs wait for a pilot."""


def searcher_of_pilots(experiment: OpenExperiment, observer: Observer, crew: Crew) -> PilotGrowth:
    """Return what decides, in turns with others, about further runs of an experiment."""
    growth: PilotGrowth = _from_search("pilot").PilotSearcher(experiment, observer, crew)
    return growth


def _from_search(module: str) -> Any:
    return importlib.import_module(f"runslot.search.{module}")


# ---- before there is an experiment ---------------------------------------------------------------


def check_search(search: Search | None, seeds: object, first: bool) -> None:
    """Refuse what is no search, and what goes with a search alone."""
    if search is None:
        if isinstance(seeds, str):
            raise InvalidInput(
                f"seeds {seeds!r} is a race, and a metric decides it: say which with --metric and"
                " --mode"
            )
        return
    from runslot.search.spec import Search

    if not isinstance(search, Search):
        raise InvalidInput(
            f"search must be Search('accuracy', 'max', {{'lr': 'loguniform(1e-5,1e-1)'}},"
            f" trials=50), not {search!r:.80}"
        )
    if first:
        raise InvalidInput("a search begins with one trial anyway: leave first out")


def opening_of(
    search: Search,
    name: str,
    variants: Any,
    seeds: Any,
    plain_names: bool,
    launcher: LauncherConfig | None,
) -> Opening:
    """Return how a search begins; refused where its runs would go to what takes no further ones."""
    from runslot.search.start import open_search

    if launcher is not None and (obstacle := launcher.search_obstacle()):
        raise InvalidInput(
            f"a search asks for its runs one after the other; {launcher.name}"
            f" ({entry_of(launcher).kind}): {obstacle}"
        )
    earlier = _from_search("sources").earlier_trials
    race = seeds if isinstance(seeds, str) else ""
    seed_list = [0] if race else seeds_of(seeds)
    return open_search(
        search, name, variants_of(as_space(variants)), seed_list, race, plain_names, refer, earlier
    )


def with_search(plan: Plan, opening: Opening) -> Plan:
    """Return the plan of a search, whose list of runs grows from what it begins with."""
    pickles = dict(plan.pickles)
    if opening.pickle is not None and opening.record.function is not None:
        pickles[str(opening.record.function.pickle)] = opening.pickle
    file = replace(plan.file, search=opening.record.to_json(), space=opening.words())
    return replace(plan, file=file, pickles=pickles, events=opening.events, most_runs=opening.most)
