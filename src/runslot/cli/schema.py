"""`runslot schema`: the JSON Schema of sweep files, made from the table of options; or of what a
command prints with `--json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from runslot.cli.parameters import argument
from runslot.errors import InvalidInput, nearest
from runslot.terminal_text import echo

SCHEMA_FILE = Path(__file__).with_name("sweep.schema.json")
"""The schema as it is shipped; `python -m runslot.cli.schema` writes it anew."""


_OF = argument(
    metavar="OF",
    help="sweep (files that `runslot run` reads), or what --json prints: results, effects, system,"
    " diff, ls, status, queue, hardware, launchers, launchers-check, cloud-ls, cloud-down, events.",
    shows_default=True,
)


def schema(of: Annotated[str, _OF] = "sweep") -> None:
    """Print the JSON Schema of sweep files, for editors; or of what commands print with --json."""
    if of == "sweep":
        echo(SCHEMA_FILE.read_text(encoding="utf-8"), end="")
        return
    import json

    from runslot.cli.output_schemas import OF_RESULTS, OUTPUTS, output_schema

    names = (*OF_RESULTS, *OUTPUTS)
    if of not in names:
        words = f"sweep, {', '.join(names)}"
        raise InvalidInput(f"there is no schema of {of!r}{nearest(of, names)}; there are {words}")
    echo(json.dumps(output_schema(of), indent=2, ensure_ascii=False))


def schema_text() -> str:
    """Return the schema that the table of options gives."""
    import json

    return json.dumps(sweep_schema(), indent=2, ensure_ascii=False) + "\n"


def sweep_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of sweep files."""
    from runslot.cli.kinds import Word
    from runslot.cli.options import GROUPS, WORDS

    def properties(words: Mapping[str, Word]) -> dict[str, Any]:
        return {
            key: {"description": word.meaning, **word.kind.schema} for key, word in words.items()
        }

    def inside(group: str) -> dict[str, Any]:
        return {"properties": properties(GROUPS[group]), "additionalProperties": False}

    keys = properties(WORDS)
    keys["resources"] |= inside("resources")
    repository, settings = keys["code"]["anyOf"]
    keys["code"] |= {"anyOf": [repository, {**settings, **inside("code")}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A sweep of runslot",
        "description": (
            "What to run, over which variants and seeds, with what of the machine (runslot run"
            " FILE)."
        ),
        "type": "object",
        "properties": keys,
        "additionalProperties": False,
        "oneOf": [{"required": ["function"]}, {"required": ["command"]}],
        "dependentRequired": {"sample": ["samples"], "samples": ["sample"]},
    }


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
