"""What each program leaves in a run's directory: by which names it is recognised, which files are
its logs.

`finding` asks this for every directory that it walks through. Pure: names go in, names come out;
the few formats that share a name are told apart by a file's first line, for which the caller lends
a function.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from typing import Literal

from runslot.experiment.rundir import PARAMS, SYSTEM, RunDir
from runslot.record import record

Kind = Literal[
    "runslot",
    "launchkit",
    "rlpyt",
    "ray",
    "sacred",
    "spinningup",
    "stable-baselines3",
    "lightning",
    "yolo",
    "keras",
    "hydra",
    "jsonl",
    "csv",
    "tensorboard",
]
Format = Literal["csv", "jsonl", "sacred", "events", "script"]

VARIANT_CONFIG = "variant_config.json"
"""rlpyt's file with the variant, in the directory above the runs."""
HYDRA = ".hydra"
"""Hydra's directory in each job's, with these files."""
HYDRA_ITSELF = "hydra.yaml"
"""Of which the job's name is read, and which options of groups its configuration is made of."""
HYDRA_FILES = ("config.yaml", "overrides.yaml", HYDRA_ITSELF)
ZOO_FILES = ("config.yml", "args.yml")
"""RL Zoo's, in ALGO/ENV_N/ENV/."""
RUN_FILE, PROGRESS, OBJECTIVE, VARIANT = (
    RunDir("").run_file.name,
    RunDir("").progress.name,
    RunDir("").objective.name,
    RunDir("").variant_file.name,
)
SETTINGS = (
    PARAMS,
    VARIANT,
    "hparams.yaml",
    "config.json",
    "config.yaml",
    "config.yml",
    "args.json",
    "args.yaml",
    "args.yml",
    "opt.yaml",
)
"""Files beside a log that say the run's parameters; the later overrides the earlier."""

CONSOLE = RunDir("").console.name
TRAINER = "trainer_state.json"
"""Of Hugging Face's Trainer."""
WANDB_SUFFIX = ".wandb"

_JSON_LINES = (
    "metrics.jsonl",
    "progress.json",
    "progress.jsonl",
    "log.jsonl",
    "logs.jsonl",
    "scores.jsonl",
)
_YOLO = ("args.yaml", "opt.yaml")
_VERSION = re.compile(r"version_\d+")
_TABLE = re.compile(r".*\.(csv|tsv|jsonl|ndjson)", re.IGNORECASE)
_KERAS = re.compile(r"training\.log|.*\.csv")
_EXPORT_HEADS = ("run,row,", "run,experiment,", "variant,run,")
"""How the first lines begin of the tables that runslot itself writes."""
_NEVER: Mapping[str, str] = {
    RUN_FILE: "it is another program's, not runslot's",
    ".npz": "NumPy archives are not read",
    ".wandb": "W&B's own format is not read; its scalars are where another logger writes them, too",
    ".monitor.json": "monitors are read as CSV",
}


@record
class Match:
    """One run that a directory, or a file in it, is recognised as."""

    kind: Kind
    logs: tuple[str, ...]
    """Files with the metrics, all of them read as one; none where nothing was logged yet."""
    is_file: bool = False
    """The run is the file itself, one of several in its directory."""


def format_of(log: str, kind: Kind = "csv") -> Format:
    """Return how a log is read, by its name; what a Hydra job logs in words is read as a script's
    is."""
    if kind == "hydra":
        return "script"
    name = log.rpartition("/")[2]
    if is_events(name):
        return "events"
    if name == "metrics.json":
        return "sacred"
    if name in (CONSOLE, TRAINER) or name.endswith(WANDB_SUFFIX):
        return "script"
    return "jsonl" if name.endswith((".jsonl", ".ndjson", ".json")) else "csv"


def is_events(name: str) -> bool:
    """Tell whether TensorBoard reads a file of that name."""
    return "tfevents" in name


def is_monitor(name: str) -> bool:
    """Tell whether the reader of OpenAI Baselines and Stable-Baselines3 takes a file of that
    name."""
    return name.endswith("monitor.csv")


def matches_of(
    directory: str,
    names: Collection[str],
    below_variant: bool,
    globs: Collection[str],
    first_line: Callable[[str], str],
) -> list[Match]:
    """Return the runs that a directory of these file names holds itself; `first_line` reads one
    line of a file.

    `directory` is its path below the root, for `globs`, the logs that the user named.
    `below_variant`: the directory above holds rlpyt's variant.
    """
    if globs and (
        logs := [
            log for log in named_logs(directory, names, globs) if not is_export(first_line(log))
        ]
    ):
        kind: Kind = "jsonl" if format_of(logs[0]) == "jsonl" else "csv"
        return [Match(kind, (log,), is_file=len(logs) > 1) for log in logs]
    if match := _launcher_match(names, below_variant, first_line) or _logger_match(
        directory, names, first_line
    ):
        return [match]
    keras = [
        name for name in names if _KERAS.fullmatch(name) and _starts_with_epoch(first_line(name))
    ]
    if keras:
        return [Match("keras", (name,), is_file=len(keras) > 1) for name in sorted(keras)]
    events = tuple(sorted(name for name in names if is_events(name)))
    return [Match("tensorboard", events)] if events else []


def named_logs(directory: str, names: Collection[str], globs: Collection[str]) -> list[str]:
    """Return the files that one of the globs means: of a name, or of a path below the root where it
    has a `/`."""
    return sorted(
        name
        for name in names
        if name != SYSTEM
        and any(
            fnmatchcase(f"{directory}/{name}".lstrip("/") if "/" in glob else name, glob)
            for glob in globs
        )
        and not is_events(name)
    )


def _launcher_match(
    names: Collection[str], below_variant: bool, first_line: Callable[[str], str]
) -> Match | None:
    """Return what a launcher's or a framework's own directory is."""
    if PROGRESS in names:
        return _progress_match(names, below_variant, first_line)
    if "progress.txt" in names:
        return Match("spinningup", ("progress.txt",))
    if RUN_FILE in names and ("config.json" in names or "metrics.json" in names):
        return Match("sacred", ("metrics.json",) if "metrics.json" in names else ())
    if "result.json" in names and _is_object(first_line("result.json")):
        return Match("ray", ("result.json",))
    return None


def _progress_match(
    names: Collection[str], below_variant: bool, first_line: Callable[[str], str]
) -> Match | None:
    if VARIANT in names:
        return Match("launchkit", (PROGRESS,))
    if PARAMS in names or below_variant:
        return Match("ray" if "result.json" in names else "rlpyt", (PROGRESS,))
    return None if is_export(first_line(PROGRESS)) else Match("stable-baselines3", (PROGRESS,))


def _logger_match(
    directory: str, names: Collection[str], first_line: Callable[[str], str]
) -> Match | None:
    """Return what a directory is in which a logger wrote."""
    if "metrics.csv" in names:
        is_lightning = "hparams.yaml" in names or _VERSION.fullmatch(directory.rpartition("/")[2])
        return Match("lightning" if is_lightning else "csv", ("metrics.csv",))
    for name in _JSON_LINES:
        if name in names and (name.endswith("l") or _is_object(first_line(name))):
            return Match("jsonl", (name,))
    if monitors := tuple(sorted((name for name in names if is_monitor(name)), key=natural)):
        return Match("stable-baselines3", monitors)
    if "results.csv" in names and any(name in names for name in _YOLO):
        return Match("yolo", ("results.csv",))
    return None


def hydra_logs(names: Collection[str], job: Callable[[], str]) -> tuple[str, ...]:
    """Return the file into which a Hydra job logs in words: `train.log`; `job` reads its name, for
    where there are several."""
    logs = sorted(name for name in names if name.endswith(".log"))
    if len(logs) > 1 and (by_name := f"{job()}.log") in logs:
        return (by_name,)
    return tuple(logs[:1])


def our_logs(directory: str, names: Collection[str], globs: Collection[str]) -> tuple[str, ...]:
    """Return the logs in a run directory of ours: `progress.csv`, else what another library wrote
    there."""
    if logs := named_logs(directory, names, globs):
        return tuple(logs[:1])
    if PROGRESS in names:
        return (PROGRESS,)
    match = _logger_match(directory, names, lambda _: "")
    if match is not None:
        return match.logs
    events = tuple(sorted(name for name in names if is_events(name)))
    return events or ((OBJECTIVE,) if OBJECTIVE in names else ())


def is_ours(text: str) -> bool:
    """Tell whether a `run.json` of this text is runslot's; one that is broken may well be."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return True
    return isinstance(value, dict) and ("run" in value or "work" in value)


def is_export(first_line: str) -> bool:
    """Tell whether a table that begins so is one that runslot wrote of results."""
    return first_line.removeprefix("\ufeff").startswith(_EXPORT_HEADS)


def why_unread(name: str, logs: Collection[str], first_line: Callable[[str], str]) -> str | None:
    """Return why a file that may hold numbers, and is neither log nor settings, is not read; None
    for any other."""
    for ending, reason in _NEVER.items():
        if name == ending or (ending.startswith(".") and name.endswith(ending)):
            return reason
    log = (
        name in {"result.json", "metrics.json", *_JSON_LINES}
        or is_events(name)
        or bool(_TABLE.fullmatch(name))
    )
    if not log or name == SYSTEM:
        return None
    if _TABLE.fullmatch(name) and is_export(first_line(name)):
        return "it is a table that runslot wrote of results"
    if logs:
        return f"the run is read from {sorted(logs)[0]} beside it"
    if format_of(name) in {"csv", "jsonl"} and not name.endswith(".json"):
        return f"it is no log that is known by its name; --log '{name}' reads it"
    return None if name == "metrics.json" else "it is not one JSON object a line"


def _starts_with_epoch(line: str) -> bool:
    """Tell whether a header is of Keras' CSVLogger, whose first column is the epoch."""
    cells = re.split(r"[,;\t]", line.removeprefix("\ufeff"))
    return len(cells) > 1 and cells[0].strip().strip('"') == "epoch"


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        # The first line of a long object is cut where the caller stops reading; pretty-printed ones
        # begin with "{\n".
        return line.startswith('{"') and len(line) >= FIRST_LINE_BYTES


FIRST_LINE_BYTES = 1 << 16
"""So much of a line is read to recognise a file."""


def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """Return a key that sorts numbers in names by value: `run_9` before `run_10`, `lr=0.5` before
    `lr=2`."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple((0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts))
