"""What earlier experiments have shown (`--from`), as trials of this search's space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, NotFound
from runslot.experiment.journal import read_events
from runslot.experiment.records import ExperimentFile
from runslot.experiment.status import ExperimentStatus, find_experiments, read_status
from runslot.search.rows import RunRows
from runslot.search.space import SearchSpace
from runslot.search.spec import SearchRecord
from runslot.search.trial import text_of
from runslot.variants.encode import canonical


def _refuse_other_mode(record: SearchRecord, file: ExperimentFile, source: str) -> None:
    """Refuse a search of the same metric that went the other way: one of the two is a mistake."""
    earlier = file.search or {}
    if earlier.get("metric") == record.metric and earlier.get("mode") != record.mode:
        raise InvalidInput(
            f"{source} searched for {earlier.get('mode')} {record.metric}, and this search is for"
            f" {record.mode}: one of the two modes is wrong"
        )


def _params_by_run(status: ExperimentStatus) -> dict[str, Mapping[str, Any]]:
    """Return by run id what the trials of an earlier search were asked; empty where it is none.

    The variant need not tell: a function may have made another one of what it asked for.
    """
    by_run: dict[str, Mapping[str, Any]] = {}
    trials: dict[int, Mapping[str, Any]] = {}
    for event in read_events(status.directory.journal_file) if status.file.search else ():
        if event["event"] == "trial":
            trials[event["trial"]] = event.get("params", {})
        if event["event"] in {"trial", "further"}:
            runs = event.get("runs") or [event.get("run", "")]
            by_run |= dict.fromkeys(runs, trials.get(event["trial"], {}))
    return by_run


def _params_of(
    space: SearchSpace | None, params: Mapping[str, Any] | None, variant: Mapping[str, Any]
) -> dict[str, Any] | None:
    if space is None:
        return None
    if params and space.replay(0, params) is not None:
        return dict(params)
    return space.params_of(variant)


def earlier_trials(record: SearchRecord, space: SearchSpace | None) -> list[dict[str, Any]]:
    """Return the trials below the sources, under numbers from -1 down; runs of other parameters are
    passed over.

    `NotFound` where a source has no experiment, `InvalidInput` where none of its runs lies in the
    space.
    """
    values: dict[str, list[float | None]] = {}
    params_by_key: dict[str, dict[str, Any]] = {}
    for source in record.sources:
        run_count = logged = 0
        experiments = list(find_experiments(Path(source)))
        if not experiments:
            raise NotFound(
                f"{source} is no experiment, and holds none: --from takes what `runslot run` made"
                " before"
            )
        for directory in experiments:
            status = read_status(directory)
            _refuse_other_mode(record, status.file, source)
            journal = _params_by_run(status)
            for entry in status.runs:
                params = _params_of(space, journal.get(entry.run.id), entry.run.variant)
                if params is None or entry.state not in {"succeeded", "failed", "timed_out"}:
                    continue
                run_count += 1
                key = canonical(params)
                params_by_key[key] = params
                curve = RunRows(
                    directory.run_dir(entry.run, status.file), record.metric, record.step
                ).read(False)
                numbers = [value for _, value in curve.whole]
                logged += bool(numbers)
                values.setdefault(key, []).append(
                    record.objective.of_run(numbers) if entry.state == "succeeded" else None
                )
        if not run_count:
            keys = ", ".join(word.partition("=")[0] for word in record.space) or record.function
            raise InvalidInput(
                f"{source} has no run of this space ({keys}): --from is for the same parameters"
            )
        if not logged:
            raise InvalidInput(
                f"no run of {source} logged {record.metric!r}: --from is for the same metric"
            )
    trials = []
    for number, (key, runs) in enumerate(values.items(), 1):
        value = record.objective.of_seeds(runs)
        status_said = "failed" if value is None else "complete"
        trials.append(
            {
                "trial": -number,
                "params": params_by_key[key],
                "status": status_said,
                "value": text_of(value),
            }
        )
    return trials
