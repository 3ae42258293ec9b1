"""Of runs that a search made: which trial each is of, and how far its trial came.

`runslot results` calls `with_trials` where it has read the runs, so that tables and JSON have the
trial and its rung beside each variant. What a search decided is `runslot.search.report`'s to say.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.record import record
from runslot.results.confirmation import homes_of
from runslot.results.problems import Problem
from runslot.results.summary import Mode

if TYPE_CHECKING:
    from runslot.results.results import Results


@record
class TrialPlace:
    """A trial of a search, and how far it came."""

    trial: int
    status: str
    """`complete`, `running`, `pruned`, `stopped`, `failed`."""
    rung: int | None
    """The highest rung at which it was judged; None where there are none, or it came to none."""
    value: float | None
    """What it was worth there; None without a rung."""
    worth: float | None = None
    """What it is worth as a whole, as the search judges; None where it is not complete."""
    measure: str = ""
    """How the search judges by this metric, in words; empty where by the mean of final values."""
    metric: str = ""


def with_trials(results: Results) -> Results:
    """Return the runs with the trials that they are of; those of no search have none.

    A search that cannot be read, as one whose function of a trial is gone, is a problem among the
    others: its runs are shown without trials.
    """
    places: dict[str, TrialPlace] = {}
    problems: list[Problem] = []
    homes = homes_of(results)
    for home in sorted(set(homes.values())):
        try:
            places.update(_places(ExperimentDir(home)))
        except RunslotError as error:
            problems.append(Problem(str(home), f"its search: {error}"))
    if not places and not problems:
        return results
    runs = results.runs.select("run", "path", "id").iter_rows()
    keys = ((run, f"{homes.get(path)}/{run_id}") for run, path, run_id in runs)
    trials = {run: places[key] for run, key in keys if key in places}
    return dataclasses.replace(results, trials=trials, problems=(*results.problems, *problems))


def objective_of(results: Results) -> tuple[str | None, Mode | None]:
    """Return the metric that these runs' experiments searched by, and which way is better; None
    where they did not, or not by the same.
    """
    homes = homes_of(results)
    if len(homes) < results.runs.height:  # some are of no experiment
        return None, None
    objectives = {_objective(ExperimentDir(home)) for home in set(homes.values())}
    metric, mode = objectives.pop() if len(objectives) == 1 else (None, None)
    with contextlib.suppress(InvalidInput):  # no run has logged it
        metric = metric and results.metric(metric)
    return metric, mode


def _objective(experiment: ExperimentDir) -> tuple[str | None, Mode | None]:
    try:
        search = experiment.read().search or {}
    except RunslotError:
        search = {}
    return search.get("metric"), search.get("mode")


def _places(experiment: ExperimentDir) -> dict[str, TrialPlace]:
    """Return by experiment and run id the trials of a search; nothing of another experiment."""
    if experiment.read().search is None:
        return {}
    from runslot.search.report import read_report  # few experiments search

    search = read_report(read_status(experiment))
    report: dict[str, Any] = search.to_json()
    places = {}
    for trial in report["trials"]:
        scores = trial["scores"]
        value = float(scores[-1]["value"]) if scores and scores[-1]["value"] is not None else None
        is_whole = trial["status"] == "complete" and trial["value"] is not None
        worth = float(trial["value"]) if is_whole else None
        judged = (worth, search.measure, report["metric"])
        place = TrialPlace(trial["trial"], trial["status"], trial["rung"], value, *judged)
        places.update({f"{experiment.path}/{run}": place for run in trial["runs"] + trial["tests"]})
    return places
