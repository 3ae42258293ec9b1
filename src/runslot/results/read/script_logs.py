"""Metrics of scripts that know nothing of runslot: which file in a run directory of ours holds
them, and its rows.

`finding` asks `script_logs` for a run without a log that it knows; `reader` then asks
`read_script_log`. What is read stands where the script put it: nothing is copied, and the run pays
nothing. In this order: what the user named (`--metrics FILE`), W&B's own file, `trainer_state.json`
of Hugging Face's Trainer, what the run printed.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import polars as pl

from runslot.errors import RunslotError
from runslot.experiment.metrics import AUTO, NONE, is_file, is_pattern, metric_pattern
from runslot.experiment.rundir import RunDir
from runslot.results.formats.csv_dialect import frame_of
from runslot.results.formats.files import open_regular
from runslot.results.problems import Problem, Unread
from runslot.results.read.layouts import CONSOLE, TRAINER, WANDB_SUFFIX, natural
from runslot.variants.config import flatten

_RUNS_KEPT = 1 << 14
"""What their `run.json` says: a page that looks again and again reads it once."""
_CONSOLE_LIMIT_BYTES = 16 << 20
"""Of the end of a console that are read: half a million lines, some five seconds."""

_PLACES = (
    f"wandb/*run-*/*{WANDB_SUFFIX}",
    f"*/wandb/*run-*/*{WANDB_SUFFIX}",
    f"*/{TRAINER}",
    f"*/*/{TRAINER}",
    TRAINER,
)


def script_logs(run: str, names: Collection[str], directories: Collection[str]) -> tuple[str, ...]:
    """Return the file, relative to `run`, that holds the metrics of a run; `names` are its
    files."""
    metrics, _ = _asked_of(run)
    if metrics == NONE:
        return ()
    if is_file(metrics):
        return _newest(run, (metrics,))
    anywhere = directories or TRAINER in names
    newest = _newest(run, _PLACES) if anywhere and not is_pattern(metrics) else ()
    return newest or ((CONSOLE,) if CONSOLE in names else ())


def _newest(run: str, places: Sequence[str]) -> tuple[str, ...]:
    home = Path(run).resolve()
    for place in places:
        # A link may lead out of the run's directory, whose files alone are its own.
        files = [
            file
            for file in Path(run).glob(place)
            if file.is_file() and file.resolve().is_relative_to(home)
        ]
        if files:
            last = max(files, key=lambda file: natural(str(file)))
            return (last.relative_to(run).as_posix(),)
    return ()


def read_script_log(
    run: str, log: str, problems: list[Problem], unread: list[Unread]
) -> pl.DataFrame | None:
    """Return the rows of a console, of W&B's file or of a Trainer's state; a problem, and None,
    where it is broken."""
    path = f"{run}/{log}"
    try:
        if log.endswith(WANDB_SUFFIX):
            from runslot.results.formats.wandb_offline import (
                read_history,
            )  # few runs have such a file

            rows = read_history(path)
        elif log.endswith(TRAINER):
            rows = _trainer_rows(Path(path).read_text(encoding="utf-8"))
        else:
            rows = _console_rows(run, path, unread)
    except OSError as error:
        problems.append(Problem(path, f"cannot be read ({error.strerror})"))
        return None
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        problems.append(Problem(path, f"cannot be read ({error})"))
        return None
    return frame_of(rows) if rows else None


def _console_rows(run: str, path: str, unread: list[Unread]) -> list[dict[str, float]]:
    with os.fdopen(open_regular(path), "rb") as file:
        before = max(0, file.seek(0, 2) - _CONSOLE_LIMIT_BYTES)
        file.seek(before)
        text = file.read().decode("utf-8", "replace")
    if before:
        unread.append(
            Unread(
                path,
                f"its last {_CONSOLE_LIMIT_BYTES >> 20} MB alone are looked through for metrics",
            )
        )
    if not text:
        return []
    from runslot.results.formats.printed_rows import printed_rows  # its patterns take milliseconds

    metrics, variant = _asked_of(run)
    return printed_rows(text, metric_pattern(metrics) if is_pattern(metrics) else None, variant)


def _asked_of(run: str) -> tuple[str, Mapping[str, object]]:
    """Return what the user said of a run's metrics (`auto` where nothing), and its variant."""
    try:
        status = os.stat(RunDir(run).run_file)  # noqa: PTH116
    except OSError:
        return AUTO, {}
    return _asked_then(run, (status.st_ino, status.st_mtime_ns))


@functools.lru_cache(maxsize=_RUNS_KEPT)
def _asked_then(run: str, _version: tuple[int, int]) -> tuple[str, Mapping[str, object]]:
    try:
        file = RunDir(run).read_run()
        variant = flatten(file.run.variant)
    except (RunslotError, OSError):
        return AUTO, {}
    return file.logger.metrics or AUTO, variant


def _trainer_rows(text: str) -> list[dict[str, float]]:
    """Return a Trainer's `log_history`; training and evaluation of one step are one row."""
    rows: dict[float, dict[str, float]] = {}
    for entry in json.loads(text)["log_history"]:
        numbers = {
            str(name): float(value)
            for name, value in entry.items()
            if isinstance(value, (int, float))
        }
        if "step" in numbers:
            rows.setdefault(numbers["step"], {}).update(numbers)
    return list(rows.values())
