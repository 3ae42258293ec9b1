"""What a user says of a run's metrics (`--metrics`, `Experiment(metrics=…)`): `auto`, `none`, a
file, or a pattern.

It stands in the logger's settings of `experiment.json` and `run.json`. The launch checks it before
anything starts, and `results` finds the metrics by it: a run that logs through runslot needs none
of this.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from runslot.errors import InvalidInput

AUTO, NONE = "auto", "none"


def is_pattern(metrics: str) -> bool:
    """Whether it is a regular expression for lines of the console: only those name groups."""
    return "(?P<" in metrics


def is_file(metrics: str) -> bool:
    """Whether it names a file below the run's directory; `*` may stand in it."""
    return metrics not in (AUTO, NONE) and not is_pattern(metrics)


def metric_pattern(metrics: str) -> re.Pattern[str]:
    """Return the pattern; it has the groups `name` and `value`, or one group a metric, named by
    it.
    """
    try:
        pattern = re.compile(metrics)
    except re.error as error:
        raise InvalidInput(f"metrics {metrics!r} is no regular expression: {error}") from None
    if not pattern.groupindex:
        raise InvalidInput(
            f"metrics {metrics!r} names no group: write (?P<loss>…) for a metric, or (?P<name>…)"
            " with (?P<value>…)"
        )
    return pattern


def check_metrics(metrics: str) -> str:
    """Return it, or refuse what can be none of the four."""
    if not isinstance(metrics, str) or not metrics:
        raise InvalidInput(
            f"metrics is {metrics!r}: write {AUTO}, {NONE}, a file of the run, or a regular"
            " expression"
        )
    if is_pattern(metrics):
        metric_pattern(metrics)
    elif "(" in metrics or "\\" in metrics:
        raise InvalidInput(
            f"metrics {metrics!r} names no group: write (?P<loss>…) for a metric, or (?P<name>…)"
            " with (?P<value>…)"
        )
    elif metrics.startswith(("/", "~")) or ".." in PurePosixPath(metrics).parts:
        raise InvalidInput(
            f"metrics {metrics!r} is no file below the run's directory: write log.csv or out/*.csv"
        )
    return metrics
