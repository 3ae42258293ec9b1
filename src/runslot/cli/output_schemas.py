"""JSON Schemas of what commands print with `--json`: version 1 of each. Keys may be added; none
changes its meaning within a version.

Called by `runslot schema OF`; the tests hold what the commands print against these. That of
`results` stands with what fills it, in `runslot.results.document`.
"""

from __future__ import annotations

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
OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    "ls": _LS,
    "status": _STATUS,
    "queue": _QUEUE,
    "hardware": _HARDWARE,
    "launchers": _LAUNCHERS,
    "diff": _DIFF,
}
_CALLS = {"diff": "results diff RUN RUN"}


def output_schema(command: str) -> dict[str, Any]:
    """Return the schema of what `runslot COMMAND --json` prints."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"What `runslot {_CALLS.get(command, command)} --json` prints, version {VERSION}",
        **OUTPUTS[command],
    }
