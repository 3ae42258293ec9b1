"""What a run directory says of its run: variant, seed, state, times, host; a reader for each kind
of directory."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError
from runslot.experiment.processes import ProcessIdentity, is_alive
from runslot.experiment.records import Attempt, Outcome, Run, RunFile
from runslot.experiment.rundir import PARAMS, ExperimentDir, RunDir, attempt_of
from runslot.record import record
from runslot.results.formats.csv_text import monitor_task
from runslot.results.formats.files import read_object
from runslot.results.formats.sacred import sacred_run
from runslot.results.problems import Problem
from runslot.results.read.directories import RunFiles
from runslot.results.read.layouts import HYDRA, HYDRA_FILES, ZOO_FILES, is_monitor
from runslot.results.read.parameters import (
    BOOKKEEPING,
    Value,
    flatten,
    parameters_of,
    read_settings,
)
from runslot.results.read.run_path import RunPaths


@record
class Description:
    """What is known of one run without its metrics."""

    id: str | None = None
    variant: str = ""
    """The variant's name, where the directory has one."""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    """The variant, flattened: dotted keys, no dict; a list is JSON text; `BOOKKEEPING` left out."""
    seed: int | str | None = None
    state: str | None = None
    """A `State`; None where the kind of directory does not tell."""
    started: float | None = None
    ended: float | None = None
    host: str | None = None
    slot: int | None = None
    attempt: int | None = None
    peak_memory: int | None = None
    experiment: str | None = None
    """Absolute directory of the experiment or collection that the run belongs to."""
    watched: Mapping[str, int | str] | None = None
    """The identity of the process that runs it, for a state that changes without a file
    changing."""

    def now(self) -> Description:
        """Return the description with `running` replaced by `lost` where the run's keeper is known
        to be gone."""
        if self.state != "running" or not self.watched:
            return self
        identity = ProcessIdentity(**self.watched)  # type: ignore[arg-type]  # as `_watched` made it
        if is_alive(identity) is False:
            return dataclasses.replace(self, state="lost")
        return self


def describe(
    files: RunFiles, problems: list[Problem], experiments: dict[Path, str | None], places: RunPaths
) -> Description:
    """Read what `found` says of itself; a broken file is named in `problems` and its part left out.

    `experiments` remembers, for the calls of one reading, to which experiment the runs of a
    directory belong.
    """
    if files.kind != "runslot":
        return _of_others(files, problems, experiments, places)
    return _of_runslot(files, problems, places)


def _of_runslot(files: RunFiles, problems: list[Problem], places: RunPaths) -> Description:
    directory = RunDir(files.path)
    run = _UNREAD
    configuration: Mapping[str, Value] = {}
    home = "."
    try:
        file = RunFile.from_json(read_object(directory.run_file) or {})
        run, home = file.run, file.home
        if file.affinity_code is not None and PARAMS in files.stamps:
            configuration = _configuration(directory, places.names_of(files), problems)
    except (RunslotError, TypeError, OSError) as error:
        problems.append(Problem(str(directory.run_file), str(error)))
    description = Description(
        id=run.id or None,
        variant=run.name,
        parameters={**configuration, **flatten(run.variant, leave_out=BOOKKEEPING)},
        seed=run.seed if run.seed is not None else run.variant.get("seed", run.run_ID),
        experiment=collection_of(os.path.normpath(Path(files.path, home))),
    )
    try:
        return dataclasses.replace(description, **_progress_of(directory))
    except (RunslotError, TypeError, OSError) as error:
        problems.append(Problem(files.path, str(error)))
        return dataclasses.replace(description, state="lost")


_UNREAD = Run("", "", {}, "")
"""Stands for what a broken `run.json` does not say."""


def _configuration(
    directory: RunDir, places: Sequence[str], problems: list[Problem]
) -> Mapping[str, Value]:
    """Return what a script of rlpyt's, and its `add_exp_param`, put into `params.json`; the variant
    goes before it."""
    try:
        settings = read_object(directory.params_file) or {}
    except (RunslotError, OSError) as error:
        problems.append(Problem(str(directory.params_file), str(error)))
        return {}
    settings.pop("name", None)  # of the run, as `run_ID` is
    return parameters_of(settings, places)[0]


def _progress_of(directory: RunDir) -> dict[str, Any]:
    """Return how far a run of ours is: its outcome, or the attempt under way."""
    attempt_json, outcome_json = (
        read_object(directory.attempt_file),
        read_object(directory.outcome_file),
    )
    attempt = None if attempt_json is None else attempt_of(attempt_json)
    outcome = None if outcome_json is None else Outcome.from_json(outcome_json)
    if outcome is not None and (attempt is None or attempt.attempt <= outcome.attempt):
        return _ended(outcome)
    if attempt is None:
        return {"state": "queued"}
    slot = (attempt.slot or {}).get("index") if isinstance(attempt.slot, Mapping) else attempt.slot
    return {
        "state": "running",
        "started": attempt.started,
        "host": attempt.host,
        "attempt": attempt.attempt,
        "slot": slot,
        "watched": _watched(attempt),
    }


def _ended(outcome: Outcome) -> dict[str, Any]:
    return {
        "state": outcome.kind,
        "started": outcome.started,
        "ended": outcome.ended,
        "host": outcome.host,
        "slot": outcome.slot,
        "attempt": outcome.attempt,
        "peak_memory": outcome.peak_memory,
    }


def _watched(attempt: Attempt) -> dict[str, int | str]:
    identity = ProcessIdentity(attempt.host, attempt.boot_id, attempt.pid, attempt.start_time)
    return dataclasses.asdict(identity)


def collection_of(experiment: str) -> str:
    """Return the experiment directory, or the collection whose call it records
    (PREFIX/.runslot/CALL)."""
    before, mark, _ = experiment.partition("/.runslot")
    return before if mark else experiment


def _of_others(
    files: RunFiles, problems: list[Problem], experiments: dict[Path, str | None], places: RunPaths
) -> Description:
    path = Path(files.path)
    settings = read_settings(files, problems)
    names = places.names_of(files)
    parameters, seed = parameters_of(settings, names)
    extras = sacred_run(files, problems) if files.kind == "sacred" else {}
    parameters |= extras.pop("parameters", {})
    if files.logs and is_monitor(files.logs[0]) and not parameters.keys() & {"env", "env_id"}:
        parameters |= monitor_task(files.file(files.logs[0]))
    is_whole = files.kind in _RECORDED or any(name.endswith(_WHOLE) for name in files.settings)
    is_recorded = bool(files.settings) and (is_whole or (seed is not None and bool(parameters)))
    place = places.of(files, is_recorded)
    if places.template is not None and places.fields_of(files) is None:
        problems.append(
            Problem(
                files.path, f"does not fit --path {places.template.text!r}; its whole path counts"
            )
        )
    if (
        place.seed is not None
        and seed is not None
        and str(place.seed) != str(seed)
        and not place.parameters
    ):
        place = place._replace(
            variant="/".join(names)
        )  # two seeds that disagree: the path stays a difference
    seed = place.seed if seed is None or (places.template and place.seed is not None) else seed
    leave_out = {"name"} if files.kind in {"rlpyt", "yolo"} else set()
    return Description(
        variant=place.variant,
        parameters={key: value for key, value in parameters.items() if key not in leave_out}
        | place.parameters,
        seed=seed,
        experiment=_experiment_above(path.parent, experiments) or _prefix_directory(path),
        **extras,
    )


_RECORDED = {"launchkit", "rlpyt", "ray", "sacred", "spinningup", "yolo"}
"""Kinds whose launcher records all parameters, also where these are none."""
_WHOLE = (*(f"{HYDRA}/{name}" for name in HYDRA_FILES), *(f"/{name}" for name in ZOO_FILES))
"""Files that hold all parameters of a run, whatever wrote its log."""


def _experiment_above(directory: Path, experiments: dict[Path, str | None]) -> str | None:
    """Return the nearest directory upward that a launcher's file marks as an experiment's, None
    where there is none.

    rlpyt leaves `experiments_tree.txt` there.
    """
    if directory not in experiments:
        experiment = ExperimentDir(directory)
        if experiment.experiment_file.is_file() or experiment.experiments_tree.is_file():
            experiments[directory] = str(directory)
        elif directory == directory.parent:
            experiments[directory] = None
        else:
            experiments[directory] = _experiment_above(directory.parent, experiments)
    return experiments[directory]


def _prefix_directory(path: Path) -> str | None:
    """Return launchkit's directory of runs of one prefix, in which they are named
    PREFIX_DATE_ID--s-SEED."""
    return str(path.parent) if re.search(r"--s-[^/]*$", path.name) else None
