"""What earlier experiments have shown (`--from`), as trials of this search's space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, NotFound
from runslot.experiment.records import ExperimentFile
from runslot.experiment.status import find_experiments, read_status
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
            for entry in status.runs:
                params = None if space is None else space.params_of(entry.run.variant)
                if params is None or entry.state not in {"succeeded", "failed", "timed_out"}:
                    continue
                run_count += 1
                key = canonical(params)
                params_by_key[key] = params
                curve = RunRows(
                    directory.run_dir(entry.run, status.file), record.metric, record.step
                ).read(False)
                numbers = [value for _, value in curve.rows]
                logged += bool(numbers)
                values.setdefault(key, []).append(
                    record.objective.of_run(numbers) if entry.state == "succeeded" else None
                )
        if not run_count:
            keys = ", ".join(word.partition("=")[0] for word in record.space)
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
