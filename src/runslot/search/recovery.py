"""A search's journal that was damaged: what it has lost is made again from the list of runs, and
what does not fit is said.

The searcher asks for it when it finds a run that no trial explains, as after a power cut that took
the journal's end. The trial is told by the run's variant; verdicts at rungs are not made again, as
a run that a search ended says in its own files that it did. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runslot.errors import Damaged, RunslotError
from runslot.experiment.records import Run
from runslot.search.study import Study
from runslot.search.trial import Event
from runslot.variants.encode import to_jsonable


def replay(study: Study, event: Mapping[str, Any]) -> None:
    """Take in an event of a journal; `Damaged` where it does not fit those before it."""
    try:
        study.apply(event)
    except RunslotError:
        raise
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise Damaged(
            f"the journal has {event['event']!r} of {_subject(event)}, which does not fit what is"
            f" before it ({type(error).__name__}: {error}); put it back from a copy, or start a new"
            " search with --from for what this one has shown"
        ) from error


def time_of(event: Mapping[str, Any]) -> float:
    """Return when an event of a journal was; `Damaged` where it does not say."""
    moment = event.get("time")
    if isinstance(moment, bool) or not isinstance(moment, (int, float)):
        raise Damaged(f"the journal has {event['event']!r} without its time")
    return moment


def _subject(event: Mapping[str, Any]) -> str:
    return f"trial {event['trial']!r:.40}" if "trial" in event else "no trial"


def explain(study: Study, run: Run) -> list[Event]:
    """Return the decisions behind a run, taken in already; none where its variant does not tell."""
    events = _trials_until(study, run)
    for trial in study.trials if run.id not in study.runs else ():
        place = _place_of(study, trial.number, run)
        if place is not None:
            column, is_test = place
            event: Event = {"event": "further", "trial": trial.number, "column": column}
            events.append({**event, "test": True} if is_test else event)
            study.apply(events[-1])
            break
    return events


def _trials_until(study: Study, run: Run) -> list[Event]:
    """Take in the trials up to that of a run, as far as they are missing."""
    if study.space is not None:
        params = study.space.params_of(run.variant)
        if params is None or any(trial.params == params for trial in study.trials):
            return []
        events: list[Event] = [
            {"event": "trial", "trial": len(study.trials), "params": to_jsonable(params)}
        ]
    else:
        numbers = range(len(study.trials), len(study.record.variants))
        last = next((n for n in numbers if _place_of(study, n, run) is not None), -1)
        events = [{"event": "trial", "trial": number} for number in numbers if number <= last]
    for event in events:
        study.apply(event)
    return events


def _place_of(study: Study, number: int, run: Run) -> tuple[int, bool] | None:
    """Return the column of a run among those of a trial, and whether it is a test."""
    record = study.record
    for is_test, seeds in ((False, record.seeds), (True, record.test_seeds)):
        for column in range(len(seeds) * record.bases):
            if study.roster.run(number, column, is_test).id == run.id:
                return column, is_test
    return None
