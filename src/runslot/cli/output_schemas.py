"""JSON Schemas of what commands print with `--json`: version 1 of each. Keys may be added; none
changes its meaning within a version.

Called by `runslot schema OF`; the tests hold what the commands print against these. Those of
`results` stand with what fills them (`OF_RESULTS`). A command that prints a table stands in
`PRINTED`, and has `--json`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

VERSION = 1
_TEXT, _NUMBER, _WHOLE, _FLAG = (
    {"type": kind} for kind in ("string", "number", "integer", "boolean")
)
_TIME = {"type": ["number", "null"], "description": "Seconds since 1970."}
_COUNTS = {
    "type": "object",
    "additionalProperties": _WHOLE,
    "description": "How many runs are in each state.",
}
_TEXTS = {"type": "array", "items": _TEXT}


def _object(meaning: str, **properties: Any) -> dict[str, Any]:
    """Return an object all of whose keys are there, but those named with a `_` at the end."""
    required = [key for key in properties if not key.endswith("_")]
    return {
        "type": "object",
        "description": meaning,
        "properties": {key.removesuffix("_"): value for key, value in properties.items()},
        "required": required,
    }


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_LS = _array(
    _object(
        "An experiment, or a collection of calls; the newest first.",
        directory=_TEXT,
        launched=_NUMBER,
        launcher={**_FLAG, "description": "Whether a launcher is at work on it."},
        counts=_COUNTS,
        problems_=_TEXTS,
    )
)
_RUN = _object(
    "A run.",
    run={**_TEXT, "description": "Its id."},
    directory=_TEXT,
    variant={"type": "object"},
    seed={"type": ["integer", "string", "null"]},
    state=_TEXT,
    attempts=_WHOLE,
    started=_TIME,
    slot={"type": ["integer", "null"]},
    outcome={"type": ["object", "null"], "description": "As `outcome.json`."},
    problem_=_TEXT,
)
_STATUS = _object(
    "The experiments of a directory.",
    experiments=_array(
        _object(
            "An experiment.",
            experiment={**_TEXT, "description": "Its name."},
            directory=_TEXT,
            launcher={"type": ["object", "null"], "description": "Process and host; null: none."},
            slots={"type": ["integer", "null"]},
            finished=_FLAG,
            counts=_COUNTS,
            runs=_array(_RUN),
            problems_=_TEXTS,
            search_={"type": "object", "description": "How a search stands."},
        )
    ),
)
_QUEUE = _object(
    "What runs or waits on this machine.",
    experiments=_array(
        _object(
            "An experiment under way.",
            experiment=_TEXT,
            directory=_TEXT,
            launcher={"type": ["integer", "null"], "description": "Its process."},
            slots={"type": ["integer", "null"]},
            paused=_FLAG,
            counts=_COUNTS,
            running=_array(
                _object(
                    "A run under way.",
                    run=_TEXT,
                    directory=_TEXT,
                    slot={"type": ["integer", "null"]},
                    started=_TIME,
                )
            ),
            waits_for=_TEXTS,
            seconds_left={"type": ["number", "null"]},
        )
    ),
)
_HARDWARE = _object(
    "The machine, and the slots that runs would get.",
    packages=_array({"type": "object"}),
    numa_nodes=_array({"type": "object"}),
    cores=_array({"type": "object"}),
    gpus=_array({"type": "object"}),
    slots=_array({"type": "object"}),
)
_LAUNCHERS = _array(
    _object(
        "A configured launcher.",
        name=_TEXT,
        kind=_TEXT,
        file={**_TEXT, "description": "Where it is configured."},
        settings={"type": "object"},
    )
)
_DIFF = _object(
    "What differs between two runs.",
    left={**_TEXT, "description": "The directory of the first."},
    right=_TEXT,
    parts={
        "type": "object",
        "description": "By part and key the two values; null where a run lacks the key.",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2},
        },
    },
)
_EVENT = _object(
    "An event of a launch, one a line, as it happens; docs/cli.md lists them with their keys.",
    event={
        **_TEXT,
        "description": "`launch_started`, `run_ended`, …; ignore those that you do not know.",
    },
    time_=_NUMBER,
    directory_=_TEXT,
    run_={**_TEXT, "description": "The id of the run that it is of."},
    variant_={"type": "object"},
    seed_={"type": ["integer", "string", "null"]},
    outcome_={"type": "object", "description": "As `outcome.json`."},
    counts_=_COUNTS,
)
_CHECK = _object(
    "One thing that was tried, one a line.",
    launcher=_TEXT,
    what={**_TEXT, "description": "As `login node1`."},
    well=_FLAG,
    seen={**_TEXT, "description": "What was seen."},
    fix={**_TEXT, "description": "What to do, where it is not well."},
)
_MACHINE = _object(
    "A machine that is rented, one a line.",
    name=_TEXT,
    status=_TEXT,
    infra={**_TEXT, "description": "Cloud and region."},
    since=_NUMBER,
    price={**_NUMBER, "description": "Dollars an hour."},
    managed=_FLAG,
    hours=_NUMBER,
    cost={**_NUMBER, "description": "Dollars until now."},
)
_GIVEN_BACK = _object(
    "A machine that was to be given back, one a line.",
    name=_TEXT,
    given_back=_FLAG,
    problem={**_TEXT, "description": "Why it may still be there; empty where it is not."},
)
OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    "ls": _LS,
    "status": _STATUS,
    "queue": _QUEUE,
    "hardware": _HARDWARE,
    "launchers": _LAUNCHERS,
    "launchers-check": _CHECK,
    "diff": _DIFF,
    "cloud-ls": _MACHINE,
    "cloud-down": _GIVEN_BACK,
    "events": _EVENT,
}
"""By name what `--json` prints, where it does not stand with what fills it."""
OF_RESULTS: Mapping[str, str] = {
    "results": "runslot.results.document",
    "effects": "runslot.results.effects",
    "system": "runslot.results.text.system",
}
"""By name the module that has the `SCHEMA`."""
PRINTED: Mapping[str, tuple[str, ...]] = {
    "run": ("events",),
    "resume": ("events",),
    "attach": ("events",),
    "confirm": ("events",),
    "results": ("results", "effects", "system", "diff"),
    "launchers": ("launchers",),
    "launchers check": ("launchers-check",),
    "cloud ls": ("cloud-ls",),
    "cloud down": ("cloud-down",),
    **{name: (name,) for name in ("ls", "status", "queue", "hardware")},
}
"""By command, whose options have `--json`, what that prints."""
_CALLS = {
    "diff": "results diff RUN RUN",
    "launchers-check": "launchers check",
    "cloud-ls": "cloud ls",
    "cloud-down": "cloud down",
    "events": "run",
}


def output_schema(name: str) -> Mapping[str, Any]:
    """Return the schema of what a command prints with `--json`, by its name here."""
    if name in OF_RESULTS:
        schema: Mapping[str, Any] = importlib.import_module(OF_RESULTS[name]).SCHEMA
        return schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"What `runslot {_CALLS.get(name, name)} --json` prints, version {VERSION}",
        **OUTPUTS[name],
    }
