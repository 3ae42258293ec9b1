"""How a search stands, for people and programs: trials, the best so far, rungs, what was tested.

The searcher says it at the end, `runslot status` at any time, also while another process searches:
it replays the journal and reads the runs' rows, and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runslot.experiment.journal import read_events
from runslot.experiment.states import UNDER_WAY
from runslot.experiment.status import ExperimentStatus
from runslot.search.rows import RunRows
from runslot.search.start import make_study, record_of, space_of, trials_limit
from runslot.search.study import Study
from runslot.search.trial import Trial, text_of


@dataclass(frozen=True)
class SearchReport:
    """How a search stands."""

    study: Study
    limit: int | None
    """How many trials there may be."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many trials are complete, running, pruned, failed."""
        counts = Counter[str](self.study.status_of(trial) for trial in self.study.trials)
        return {word: counts[word] for word in _ORDER if counts[word]}

    @property
    def best(self) -> Trial | None:
        """The winner, or the best so far."""
        return self.study.best or self.study.best_now()

    def lines(self) -> list[str]:
        """Return it as a few lines."""
        study, metric = self.study, self.study.objective.metric
        of = "" if self.limit is None else f" of {self.limit}"
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items())
        lines = [f"search: {len(study.trials)}{of} trials: {counts}"]
        lines += [f"rungs: {rungs}"] if (rungs := self._rungs()) else []
        if self.best is None:
            return [*lines, f"no trial has a value of {metric} yet"]
        word = "best" if study.best is not None else "best so far"
        value = f"{metric} {_shown(study.value_of(self.best))} ({self._judged(self.best)})"
        lines.append(f"{word}: trial {self.best.number}, {settings_of(self.best)}: {value}")
        return lines + self._tested(self.best)

    def _judged(self, trial: Trial) -> str:
        if self.study.status_of(trial) == "complete":
            return _counted_seeds({run.run.seed for run in trial.runs.values()})
        rung = self.study.rung_of(trial)
        return "under way" if rung is None else f"at rung {rung}"

    def _rungs(self) -> str:
        counts = [] if self.study.ladder is None else self.study.ladder.counts()
        return ", ".join(f"step {step:g}: {count}" for step, count in counts if count)

    def _tested(self, best: Trial) -> list[str]:
        seeds = {run.run.seed for run in best.tests.values() if run.state == "succeeded"}
        if not seeds:
            return []
        number = f"{self.study.objective.metric} {_shown(self.study.test_value())}"
        return [
            f"tested: {number} ({_counted_seeds(seeds)} that chose nothing)",
            "report the tested value: the other is the best of many, and flatters",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        study, best = self.study, self.best
        return {
            "metric": study.objective.metric,
            "mode": study.objective.mode,
            "trials": [
                {
                    "trial": trial.number,
                    "params": dict(trial.params),
                    "status": study.status_of(trial),
                    "value": text_of(study.value_of(trial)),
                    "rung": study.rung_of(trial),
                    "runs": [run.id for run in trial.runs.values()],
                }
                for trial in study.trials
            ],
            "best": None if best is None else best.number,
            "is_over": study.is_over,
            "tested": text_of(study.test_value()),
        }


_ORDER = ("complete", "running", "pruned", "failed")


def read_report(status: ExperimentStatus) -> SearchReport:
    """Return how the search of an experiment stands, from its files."""
    record = record_of(status.file)
    space = space_of(record, status.directory.path)
    study = make_study(record, status.file.name, space, asks=False)
    for event in read_events(status.directory.journal_file):
        study.apply(event)
    for entry in status.runs:
        run = study.runs.get(entry.run.id)
        # The status knows better than the journal, whose launcher may have been killed: only that a
        # paused run is about to go on stands nowhere else.
        goes_on = run is not None and run.state == "waiting" and entry.state == "paused"
        if run is None or goes_on or entry.state in UNDER_WAY:
            continue
        rows = RunRows(status.directory.run_dir(entry.run, status.file), record.metric, record.step)
        curve = rows.read(resumed=status.file.policy.resumable and entry.attempts > 1)
        study.note_rows(run.id, curve.rows)
        value = study.objective.of_run([value for _, value in curve.rows])
        study.note_end(run.id, entry.state, value)
    return SearchReport(study, trials_limit(record))


def settings_of(trial: Trial) -> str:
    """Return a trial's parameters in words, or its variant's name where it has none."""
    words = ", ".join(f"{key}={value}" for key, value in trial.params.items())
    return words or next(iter(trial.runs.values())).run.name


def _shown(value: float | None) -> str:
    return "no value" if value is None else f"{value:.6g}"


def _counted_seeds(seeds: set[Any]) -> str:
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
