"""How a search stands, for people and programs: trials, the best so far, rungs, what was tested.

The searcher says it at the end, `runslot status` at any time, also while another process searches:
it replays the journal and reads the runs' rows, and changes nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from runslot.engines.events import SearchStands
from runslot.experiment.journal import read_events
from runslot.experiment.states import UNDER_WAY
from runslot.experiment.status import ExperimentStatus
from runslot.record import record
from runslot.search.heats import as_json, seed_values
from runslot.search.pruner import make_pruner
from runslot.search.race import report
from runslot.search.recovery import replay
from runslot.search.rows import RunRows
from runslot.search.start import make_study, record_of, space_of, trials_limit
from runslot.search.study import Study
from runslot.search.trial import Trial, text_of
from runslot.terminal_text import one_line


@record
class SearchReport:
    """How a search stands."""

    study: Study
    limit: int | None
    """How many trials there may be."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many trials are complete, running, pruned, stopped, failed."""
        counts = Counter[str](self._status(trial) for trial in self.study.trials)
        return {word: counts[word] for word in _ORDER if counts[word]}

    def _status(self, trial: Trial) -> str:
        """Return how a trial stands; one of which a run was stopped or lost goes on with a
        resume.
        """
        states = {run.state for run in trial.runs.values()}
        is_stopped = "stopped" in states and "failed" not in states
        return "stopped" if is_stopped else self.study.status_of(trial)

    @property
    def is_over(self) -> bool:
        """Whether a resume has nothing to do: the winner is tested, or no trial can win, since all
        have failed, or diverged.
        """
        study = self.study
        has_all_trials = study.closed or (
            self.limit is not None and len(study.trials) >= self.limit
        )
        is_at_its_end = has_all_trials and not {"running", "stopped"} & self.counts.keys()
        return study.is_over or (is_at_its_end and self.best is None)

    @property
    def best(self) -> Trial | None:
        """The winner, or the best so far."""
        return self.study.best or self.study.best_now()

    @property
    def measure(self) -> str:
        """What a trial is worth, in words; empty where it is the mean of its runs' last rows."""
        record = self.study.record
        if (record.judged, record.over_seeds, record.bases) == ("final", "mean", 1):
            return ""
        row = {"final": "last row", "best": "best row"}.get(record.judged)
        row = row or f"mean of the last {record.judged.partition('-')[2]} rows"
        settings = f" and {record.bases} settings" if record.bases > 1 else ""
        return f"{row}, {record.over_seeds} over seeds{settings}"

    def stands(self) -> SearchStands:
        """Return it as an event of a launch."""
        trials = len(self.study.trials)
        return SearchStands(trials, self.limit, self.counts, tuple(self.lines()))

    def lines(self) -> list[str]:
        """Return it as a few lines."""
        study, metric = self.study, self.study.objective.metric
        of = "" if self.limit is None else f" of {self.limit}"
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items())
        number = len(study.trials) if self.limit is None else self.limit
        trials = "trial" if number == 1 else "trials"
        lines = [f"search: {len(study.trials)}{of} {trials}: {counts or 'none yet'}"]
        lines += [f"rungs: {rungs}"] if (rungs := self._rungs()) else []
        lines += [f"pruning: {words}"] if (words := self._late()) else []
        lines += [f"race: {words}"] if (words := self._race()) else []
        if self.best is None:
            rest = "at its end: none can win" if self.is_over else "yet"
            return [*lines, f"no trial has a value of {metric} {rest}"]
        word = "best" if study.best is not None else "best so far"
        value = f"{metric} {_shown(self._value_so_far(self.best))} ({self._judged(self.best)})"
        lines.append(f"{word}: trial {self.best.number}, {settings_of(self.best)}: {value}")
        return lines + self._tested(self.best)

    def _value_so_far(self, trial: Trial) -> float | None:
        """Return what a trial is worth; of one under way by the last rung that it came to."""
        value, ladder = self.study.value_of(trial), self.study.ladder
        score = None if ladder is None or value is not None else ladder.score_of(trial.number)
        return value if score is None else score.value

    def _judged(self, trial: Trial) -> str:
        if self.study.status_of(trial) == "complete":
            return _counted_seeds({run.run.seed for run in trial.runs.values()})
        rung = self.study.rung_of(trial)
        return "under way" if rung is None else f"at rung {rung}"

    def _race(self) -> str:
        """Return what a race of seeds has saved so far, and how likely a wrong drop is."""
        study = self.study
        if study.race is None or not study.drops:
            return ""
        least, bases = study.race.at_least, study.record.bases
        scores = seed_values(study.trials, least, bases, study.objective)
        return report(study.race, scores, study.drops).words

    def _rungs(self) -> str:
        stages = [] if self.study.ladder is None else self.study.ladder.stages()
        return ", ".join(f"step {stage.step:g}: {len(stage.trials)}" for stage in stages)

    def _late(self) -> str:
        """Return what to do where trials lagged behind, and none could be ended early."""
        study, ladder = self.study, self.study.ladder
        if ladder is None or ladder.halts or not ladder.late or "running" in self.counts:
            return ""
        rule, last = study.record.prune, ""
        pruner = make_pruner(rule)
        if pruner is not None and not pruner.is_settled:
            joint = "," if ":" in rule else ":"
            last = f", say how long one is (--prune {rule}{joint}last={ladder.pruner.last:g})"
        return (
            f"none; {len(ladder.late)} of {len(study.trials)} trials lagged behind, but had ended "
            f"by the time their rows were read (twice a second): log rows while a run goes on{last}"
            ", or leave --prune out"
        )

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
        """Return it as JSON values: the history of the trials, the rungs, and what won."""
        study, best = self.study, self.best
        stages = [] if study.ladder is None else study.ladder.stages()
        return {
            "metric": study.objective.metric,
            "mode": study.objective.mode,
            "limit": self.limit,
            "counts": dict(self.counts),
            "trials": self._history(),
            "rungs": [
                {
                    "rung": stage.rung,
                    "step": stage.step,
                    "trials": list(stage.trials),
                    "went_on": sorted(stage.went_on),
                }
                for stage in stages
            ],
            "dropped": [as_json(drop) for drop in study.drops],
            "best": None if best is None else best.number,
            "is_over": study.is_over,
            "value": None if best is None else text_of(self._value_so_far(best)),
            "tested": text_of(study.test_value()),
        }

    def _history(self) -> list[dict[str, Any]]:
        """Return the trials in the order in which they were asked for, each with the best value of
        a whole one until then.
        """
        study, history = self.study, []
        best: float | None = None
        for trial in study.trials:
            status, value = self._status(trial), study.value_of(trial)
            merit = study.objective.merit
            if status == "complete" and merit(value) > merit(best):
                best = value
            scores = [] if study.ladder is None else study.ladder.scores_of(trial.number)
            entry: dict[str, Any] = {"trial": trial.number, "params": dict(trial.params)}
            entry["status"] = status
            entry |= {"value": text_of(value), "best": text_of(best), "seeds": seeds_of(trial)}
            entry["rung"] = scores[-1][0] if scores else None
            entry["scores"] = [
                {"rung": rung, "step": score.step, "value": text_of(score.value)}
                for rung, score in scores
            ]
            entry["variant"] = next(iter(trial.runs.values())).run.name
            entry["runs"] = [run.id for run in trial.runs.values()]
            entry["tests"] = [run.id for run in trial.tests.values()]
            history.append(entry)
        return history


SETTING_COLUMNS = 60
"""Of one setting of a trial, in a line of a terminal."""
_ORDER = ("complete", "running", "pruned", "stopped", "failed")


def read_report(status: ExperimentStatus) -> SearchReport:
    """Return how the search of an experiment stands, from its files."""
    record = record_of(status.file)
    space = space_of(record, status.directory.path)
    study = make_study(record, status.file.name, space, asks=False)
    for event in read_events(status.directory.journal_file):
        replay(study, event)
    for entry in status.runs:
        run = study.runs.get(entry.run.id)
        # The status knows better than the journal, whose launcher may have been killed: only that a
        # paused run is about to go on stands nowhere else.
        goes_on = run is not None and run.state == "waiting" and entry.state == "paused"
        if run is None or goes_on or entry.state in UNDER_WAY:
            continue
        rows = RunRows(status.directory.run_dir(entry.run, status.file), record.metric, record.step)
        curve = rows.read(resumed=status.file.policy.resumable and entry.attempts > 1)
        study.note_rows(run.id, curve.whole)
        value = study.objective.of_run([value for _, value in curve.whole])
        study.note_end(run.id, entry.state, value)
    return SearchReport(study, trials_limit(record))


def seeds_of(trial: Trial) -> int:
    """Return by how many seeds a trial is known: those with which a run of it has a value."""
    return len({run.run.seed for run in trial.runs.values() if run.value is not None})


def settings_of(trial: Trial) -> str:
    """Return a trial's parameters in words, or its variant's name where it has none."""
    settings = [one_line(f"{key}={value}") for key, value in trial.params.items()]
    words = ", ".join(
        text if len(text) <= SETTING_COLUMNS else f"{text[: SETTING_COLUMNS - 1]}…"
        for text in settings
    )
    return words or next(iter(trial.runs.values())).run.name


def best_yaml(params: Mapping[str, Any], value: float | None) -> str:
    """Return the best trial as Hydra's sweeper for Optuna writes it into its directory."""
    lines = ["name: runslot", "best_params:" if params else "best_params: {}"]
    lines += [f"  {_yaml(key)}: {_yaml(value)}" for key, value in params.items()]
    lines.append(f"best_value: {_yaml(value)}")
    return "".join(f"{line}\n" for line in lines)


def _yaml(value: Any) -> str:
    """Return a value on one line of YAML, which every reader takes for the same."""
    if isinstance(value, float):
        text = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
        return text if "." in text else text.replace("e", ".0e")  # `1e-05` is text to some
    if isinstance(value, str) and re.fullmatch(_PLAIN_YAML, value):
        return value
    return json.dumps(value, ensure_ascii=False)


_PLAIN_YAML = r"(?!(?i:true|false|null|yes|no|on|off|y|n)$)[A-Za-z_][\w./@-]*"
"""Text that needs no quotes."""


def _shown(value: float | None) -> str:
    return "no value" if value is None else f"{value:.6g}"


def _counted_seeds(seeds: set[Any]) -> str:
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
