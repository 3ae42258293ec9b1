"""How a sweep under way stands, for the page's first view: done, running in which slot, waiting for
what, failed with which last line.

`runslot.view.web.answer` puts it into its document.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from runslot.errors import RunslotError
from runslot.experiment.rundir import RunDir
from runslot.experiment.states import BAD
from runslot.experiment.status import time_left
from runslot.results.summary import FINAL
from runslot.results.text.labels import text_of_value
from runslot.view.data.alignment import shared_start
from runslot.view.data.groups import default_y
from runslot.view.web.live_runs import Moment
from runslot.view.web.texts import Texts, console_text

_MOST_SLOTS, _MOST_FAILURES = 64, 20
"""Runs under way, and failed ones, that are listed."""
_MOST_REASONS = 8
"""Reasons for which runs wait that are listed."""
_LAST_BYTES = 4096
"""Of a console, from which its last line is taken."""


def progress(moment: Moment, states: Mapping[str, int], texts: Texts) -> dict[str, Any] | None:
    """Return how far the runs are, which run in which slot, why others wait, and what failed; None
    where nothing is under way and nothing failed."""
    results = moment.results
    running = results.runs.filter(pl.col("state") == "running").sort("slot", nulls_last=True)
    failed = results.runs.filter(pl.col("state").is_in(list(BAD))).sort(
        "ended", descending=True, nulls_last=True
    )
    if not running.height and not states.get("queued") and not failed.height:
        return None
    now = time.time()
    metric = next(iter(default_y(results.common_metrics)), None)
    counter = results.counter
    durations = results.runs.filter(pl.col("state") == "succeeded")["seconds"].drop_nulls()
    ages = [now - started.timestamp() for started in running["started"].drop_nulls()]
    seconds_left = time_left(durations.to_list(), ages, states.get("queued", 0), running.height)
    common = shared_start(results.runs["run"].to_list())
    is_one_host = running["host"].drop_nulls().n_unique() <= 1
    slots = []
    for row in running.head(_MOST_SLOTS).iter_rows(named=True):
        values = [
            f"{name} {text_of_value(row[FINAL + name])}"
            for name in (counter, metric)
            if name is not None and row[FINAL + name] is not None
        ]
        started = row["started"]
        slots.append(
            {
                "run": row["run"],
                "name": row["run"][common:],
                "slot": _slot_words(row, is_one_host=is_one_host),
                "last": ", ".join(values),
                "seconds": None if started is None else now - started.timestamp(),
            }
        )
    return {
        "total": sum(states.values()),
        "done": sum(n for state, n in states.items() if state not in {"running", "queued"}),
        "running": running.height,
        "queued": states.get("queued", 0),
        "left_s": seconds_left if running.height else None,
        "slots": slots,
        "waits": list(moment.waits[:_MOST_REASONS]),
        "failed": failed.height,
        "failures": [
            {
                "run": row["run"],
                "name": row["run"][common:],
                "state": row["state"],
                "last": _last_words(row, texts),
            }
            for row in failed.head(_MOST_FAILURES).iter_rows(named=True)
        ],
    }


def _slot_words(row: Mapping[str, Any], *, is_one_host: bool) -> str:
    if row["slot"] is None:
        return ""
    host = "" if is_one_host else row["host"] or ""
    return f"{host} slot {row['slot']}".strip()


def _last_words(row: Mapping[str, Any], texts: Texts) -> str:
    """Return why a run failed: what its outcome says, and the last line that it printed."""
    try:
        directory = RunDir(texts.directory(row["path"]))
    except RunslotError:
        return ""
    outcome = texts.read(Path(directory.outcome_file)) or ""
    try:
        message = str(json.loads(outcome).get("message") or "")
    except (ValueError, AttributeError):
        message = ""
    console = texts.read(Path(directory.console), _LAST_BYTES)
    lines = console_text(console).split("\n") if console else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return " · ".join(dict.fromkeys(words for words in (message, last) if words))
